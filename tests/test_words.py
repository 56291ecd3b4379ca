"""The words of CONTRIBUTING.md, where a pattern can hold them: in help, errors, docstrings and docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    *sorted((ROOT / "src" / "digitlab").rglob("*.py")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
]
# What to say instead of a pattern; `docs/log.md` is a diary and stays as it was written.
WORDS = {
    r"\b(one|output|sub-folder|value|column|row|probability|call|line|file) an? "
    r"(class|epoch|column|core|run|architecture|module|error)\b": "per class, per epoch, per line …",
    r"\bmistakes? of ours\b": "bug in digitlab",
    r"\b([Gg]o|goes|going|gone) on with\b": "resume",
    r"\bread right\b|\d % right\b|\bright ones\b": "correct",
    r"\bleast sure\b": "least certain",
    r"\b([Aa]|[Tt]he|each|every|no|one|of|in|with|real|test|training|small) pictures?\b(?! in )": "image",
}


@pytest.mark.parametrize("pattern", WORDS)
def test_one_word_for_one_thing(pattern: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in FILES
        if file.name != "log.md"
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, f"say {WORDS[pattern]!r}:\n" + "\n".join(found)


def test_the_pattern_finds_what_it_is_for() -> None:
    text = "one output a class; a mistake of ours; go on with it; 95 % right; the least sure digit; a picture"
    assert sum(bool(re.search(pattern, text)) for pattern in WORDS) == 6
