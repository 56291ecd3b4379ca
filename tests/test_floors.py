"""The lowest versions that may be installed are those without a known hole."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
# The first version without a hole that was made public.
SAFE = {
    "h11": (0, 16),
    "jinja2": (3, 1, 6),
    "onnx": (1, 19),
    "pillow": (12, 1, 1),
    "python-multipart": (0, 0, 22),
    "starlette": (0, 49, 1),
}


@pytest.mark.parametrize("package", SAFE)
def test_no_version_with_a_known_hole_is_allowed(package: str) -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]
    [line] = [line for line in project["dependencies"] if re.split(r"[<>=]", line)[0] == package]
    found = re.search(r">=([\d.]+)", line)
    assert found
    floor = tuple(int(part) for part in found[1].split("."))
    assert floor >= SAFE[package], f"{line}: versions below {SAFE[package]} have known holes"
