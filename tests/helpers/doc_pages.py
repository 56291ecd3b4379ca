"""Reads the project's Markdown: the fenced blocks of a page, with the mark before each, and its tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"(?:^<!-- test: (?P<mark>[^\n]+?) -->\n\s*)?^```(?P<language>\w*)\n(?P<source>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block; `mark` is what an HTML comment ``<!-- test: MARK -->`` right before it says."""

    language: str
    source: str
    mark: str
    line: int


def pages() -> list[Path]:
    """The pages whose blocks must work."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [
        Block(m["language"], m["source"], (m["mark"] or "").strip(), text.count("\n", 0, m.start("source")) + 1)
        for m in _BLOCK.finditer(text)
    ]


def first_column(text: str, heading: str) -> list[str]:
    """What stands in backticks in the first column of the tables under a heading."""
    _, found, section = text.partition(f"\n## {heading}\n")
    assert found, f"no heading {heading!r}"
    return re.findall(r"^\| `([^`]+)` \|", section.partition("\n## ")[0], re.MULTILINE)
