"""Who may import whom, and what stays light: the plan of docs/architecture.md, held against the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "digitlab"

GROUND = {"errors", "files", "machine"}
# A room may import from itself and from the rooms below it; neighbours do not know each other.
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "machine": set(),
    "data": GROUND,
    "judging": {*GROUND, "data"},
    "reading": {*GROUND, "data"},
    "learning": {*GROUND, "data"},
    "showing": {*GROUND, "data", "judging"},
}
BELOW["startup"] = {"learning"}  # called by processes of our own alone: the command line and the workers
BELOW["runs"] = {*BELOW}
BELOW["searching"] = BELOW["collecting"] = {*BELOW} - {"startup"}
BELOW["serving"] = {*BELOW} - {"startup"}
BELOW["cli"] = {*BELOW}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Rooms of digitlab that a module imports, at its top or inside a function, for running or for typing."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "digitlab":
                names = [f"digitlab.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [f"digitlab.{room(path)}"]
        found |= {name.split(".")[1] for name in names if name.startswith("digitlab.")}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_only(path: Path) -> None:
    own = room(path)
    if own in ("__init__", "__main__"):
        return
    assert own in BELOW, f"{own} is a new room: give it its place here and in docs/architecture.md"
    wrong = {name for name in imported(path) if name in BELOW} - BELOW[own] - {own}
    assert not wrong, f"{path.name} ({own}) imports {sorted(wrong)}, which lies above or beside it"


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"keras", "jax", "matplotlib", "sklearn", "seaborn", "scipy", "pandas", "numpy", "PIL", "jinja2", "onnxruntime"}


def test_import_is_light() -> None:
    assert not loaded_after("import digitlab, digitlab.cli") & HEAVY


def test_help_is_light() -> None:
    code = "from digitlab.cli import app\ntry:\n    app(['train', '--help'])\nexcept SystemExit:\n    pass"
    assert not loaded_after(code) & HEAVY


def test_judging_and_data_need_no_keras() -> None:
    code = "import digitlab.judging.compare, digitlab.showing, digitlab.data\ndigitlab.data.load()"
    assert not loaded_after(code) & {"keras", "jax"}


def test_drawing_needs_no_keras() -> None:
    code = "import digitlab.showing.figures.process\nfrom digitlab.showing.figures import warm_up\nwarm_up()"
    assert not loaded_after(code) & {"keras", "jax"}


def test_every_public_name_resolves() -> None:
    import digitlab

    for name in digitlab.__all__:
        assert getattr(digitlab, name) is not None
    assert sorted(digitlab.__all__) == digitlab.__all__ or set(digitlab.__all__) <= set(dir(digitlab))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = digitlab.nonsense
