"""Where the benchmarks write: one section of RESULTS.md each, with the machine, the versions and the command."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from digitlab.machine import machine, versions

RESULTS = Path(__file__).with_name("RESULTS.md")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column and columns of words to the left, columns of numbers to the right."""
    numbers = [all(row[i][:1].isdigit() or not row[i] for row in rows) for i in range(len(header))]
    rules = ["---:" if number and i else "---" for i, number in enumerate(numbers)]
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join(rules) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def provenance(extra: str = "") -> str:
    """One line: when, on what, with which versions, by which command."""
    found = machine()
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    # Paths are a matter of the machine (`--peers /some/where`), so they stay out.
    words = [word for word in sys.argv[1:] if "/" not in word and word != "--peers"]
    command = "python " + " ".join([_own_path(), *words])
    return (
        f"{datetime.date.today().isoformat()}; {found['processor']}, {found['cores']} cores, {found['system']}; "
        f"{packages}{'; ' + extra if extra else ''}. Command: `{command}`"
    )


def _own_path() -> str:
    """The program that runs, as it is called from the repository."""
    script = Path(sys.argv[0]).resolve()
    return (
        script.relative_to(RESULTS.parents[1]).as_posix() if script.is_relative_to(RESULTS.parents[1]) else script.name
    )


def write_section(name: str, title: str, body: str) -> None:
    """Replace the section between its markers in RESULTS.md, or add it at the end."""
    _between_markers(RESULTS, name, f"## {title}\n\n{body}")


def write_readme(name: str, body: str) -> None:
    """Replace what stands between the markers in the README."""
    _between_markers(RESULTS.parents[1] / "README.md", name, body)


def _between_markers(file: Path, name: str, body: str) -> None:
    text = file.read_text("utf-8") if file.exists() else "# Results\n\nA command in this folder printed every figure.\n"
    section = f"<!-- {name} -->\n{body}\n<!-- /{name} -->"
    pattern = re.compile(rf"<!-- {re.escape(name)} -->.*?<!-- /{re.escape(name)} -->", re.DOTALL)
    text = pattern.sub(lambda _: section, text) if pattern.search(text) else f"{text.rstrip()}\n\n{section}\n"
    file.write_text(text, "utf-8")
