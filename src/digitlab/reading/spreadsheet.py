"""Readings as rows of a CSV file, safe to open in a spreadsheet."""

from __future__ import annotations

import re
from typing import Any

from digitlab.reading.results import Reading

DIGIT_FIELDS = ("file", "page", "line", "digit", "confidence", "left", "top", "right", "bottom", "reason", "error")
NUMBER_FIELDS = ("file", "page", "line", "number", "value", "confidence", "left", "top", "right", "bottom")
_EDGES = ("left", "top", "right", "bottom")
# A spreadsheet takes a cell that begins like this for a formula and may run it; a signed number is harmless.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_SIGNED = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


def safe_cell(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula.

    Example:
        >>> safe_cell("=1+1"), safe_cell("-403"), safe_cell("46+43=89"), safe_cell("-2+3")
        ("'=1+1", '-403', '46+43=89', "'-2+3")
    """
    return f"'{text}" if _FORMULA.match(text) and not _SIGNED.fullmatch(text) else text


def digit_rows(file: str, reading: Reading) -> list[dict[str, Any]]:
    """Give each sign its row, by DIGIT_FIELDS: what `digitlab read --csv` prints.

    Example:
        >>> digit_rows("empty.png", Reading())
        []
    """
    return [
        {
            "file": safe_cell(file),
            "page": digit.page,
            "line": digit.line,
            "digit": safe_cell(digit.character),
            "confidence": round(digit.confidence, 4),
            **dict(zip(_EDGES, digit.box, strict=True)),
            "reason": digit.reason,
            "error": "",
        }
        for digit in reading.digits
    ]


def error_row(file: str, error: str) -> dict[str, Any]:
    """Give a file that could not be read its row, by DIGIT_FIELDS.

    Example:
        >>> error_row("a.png", "a.png: no such file.")["error"]
        'a.png: no such file.'
    """
    return {**dict.fromkeys(DIGIT_FIELDS, ""), "file": safe_cell(file), "error": safe_cell(error)}


def number_rows(file: str, reading: Reading) -> list[dict[str, Any]]:
    """Give each number its row, by NUMBER_FIELDS: what `digitlab read --numbers` writes.

    Example:
        >>> number_rows("empty.png", Reading())
        []
    """
    return [
        {
            "file": safe_cell(file),
            "page": number.page,
            "line": number.line,
            "number": safe_cell(number.text),
            "value": "" if number.value is None else f"{number.value:.15g}",
            "confidence": round(number.confidence, 4),
            **dict(zip(_EDGES, number.box, strict=True)),
        }
        for number in reading.numbers
    ]
