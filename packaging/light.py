"""Build the light distribution: the same code as `digitlab`, with only what reading needs as dependencies.

    uv run packaging/light.py            # dist/digitlab_light-VERSION-py3-none-any.whl
    uv run packaging/light.py --measure  # and what an installation of each of the two weighs

Why the same code and not a part of it: one wheel to test, and a command that cannot work says what to install. Beside
each other in one environment, both bring the same files.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = ("numpy", "onnxruntime", "pillow", "rich", "scipy", "typer")
PARTS = ("pyproject.toml", "README.md", "LICENSE", "src")


def light(pyproject: str) -> str:
    """The text of `pyproject.toml` with the light name and dependencies, at the same versions."""
    block = re.search(r"^dependencies = \[\n(.*?)^\]\n", pyproject, re.S | re.M)
    assert block is not None
    lines = [line for line in block[1].splitlines() if re.match(r'\s*"([\w-]+)', line)[1] in NEEDED]  # type: ignore[index]
    assert len(lines) == len(NEEDED), f"not all of {NEEDED} are among the dependencies"
    text = pyproject.replace(block[0], "dependencies = [\n" + "\n".join(lines) + "\n]\n")
    text = text.replace('name = "digitlab"', 'name = "digitlab-light"', 1)
    text = re.sub(
        r"^description = .*$", 'description = "Read handwritten digits: digitlab without training"', text, flags=re.M
    )
    return text + '\n[tool.uv.build-backend]\nmodule-name = "digitlab"\n'


def build(out: Path) -> Path:
    """Build the wheel into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in PARTS:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        (copy / "pyproject.toml").write_text(light((ROOT / "pyproject.toml").read_text("utf-8")), "utf-8")
        subprocess.run(["uv", "build", "--wheel", "--quiet", "--out-dir", str(out), str(copy)], check=True)
    return max(out.glob("digitlab_light-*.whl"), key=lambda wheel: wheel.stat().st_mtime)


def megabytes(what: str) -> dict[str, float]:
    """What an installation in an environment of its own weighs, by package, in MB of files without bytecode."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, folder], check=True)
        python = f"{folder}/bin/python"
        subprocess.run(["uv", "pip", "install", "--quiet", "--link-mode", "copy", "--python", python, what], check=True)
        site = next(Path(folder).glob("lib/python*/site-packages"))
        sizes: dict[str, float] = {}
        for file in site.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                top = file.relative_to(site).parts[0]
                sizes[top] = sizes.get(top, 0) + file.stat().st_size / 1e6
    return sizes


def main() -> None:
    """Build, and measure if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    wheel = build(options.out)
    print(wheel)
    if options.measure:
        for name, what in (("digitlab-light", str(wheel)), ("digitlab", str(ROOT))):
            sizes = sorted(megabytes(what).items(), key=lambda item: -item[1])
            most = ", ".join(f"{part} {size:.0f}" for part, size in sizes[:8])
            print(f"{name:<15} {sum(size for _, size in sizes):6.0f} MB: {most}")


if __name__ == "__main__":
    main()
