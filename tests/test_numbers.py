"""Signs to text and numbers: where blanks stand, what belongs to a number, what it is worth."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import mnist, page_of

from digitlab.reading.numbers import SEPARATORS, blanks_before, value_of
from digitlab.reading.reader import Reader
from digitlab.reading.results import ReadDigit, Reading

# What each sign is wide and how high its top stands, in digit heights.
WIDE = {"1": 0.15, ".": 0.1, ",": 0.12, ":": 0.1, "-": 0.4, "+": 0.5, "=": 0.5, "/": 0.45}
TOP = {".": 0.88, ",": 0.85, ":": 0.3, "-": 0.45, "=": 0.35, "+": 0.25}
BOTTOM = {",": 1.15, "-": 0.55, "=": 0.65, "+": 0.75}


def reading_of(*rows: str, gap: float = 0.2, blank: float = 0.9, tall: float = 40, rng: object = None) -> Reading:
    """Signs as a hand sets them: a gap after each, a blank in the rows where one is wanted."""
    signs = []
    for line, row in enumerate(rows):
        left = 0.0
        for i, character in enumerate(row):
            if character == " ":
                left += (blank - gap) * tall
                continue
            wide = WIDE.get(character, 0.6) * tall
            top = (1.7 * line + TOP.get(character, 0.0)) * tall
            bottom = (1.7 * line + BOTTOM.get(character, 1.0)) * tall
            separator = character if character in SEPARATORS else ""
            box = (round(left), round(top), round(left + wide), round(bottom))
            digit = None if separator else 4 if character == "?" else int(character)
            reason = "blank" if character == "?" else ""
            glyph = np.zeros((28, 28), np.uint8)
            signs.append(ReadDigit(digit, 0.9, box, character == "?", reason, glyph, line, separator=separator))
            jitter = 1.0 if rng is None else rng.uniform(0.6, 1.4)  # type: ignore[attr-defined]
            left += wide + gap * tall * jitter * (i < len(row) - 1)
    return Reading(tuple(signs))


TEXTS = [
    "3.14", "-114", "-403", "12/05/2024", "10:45", "404-1000", "46+43=89", "3,5 -2 +7", "12 34 56 78", "1 22 333",
    "0.5 1.5", "12, 13", "?? 17", "7", "1.234,50 99", "11 11 111", "12 345 6789 1 23",
]  # fmt: skip


@pytest.mark.parametrize("gap", [0.05, 0.2, 0.35])
@pytest.mark.parametrize("text", TEXTS)
def test_text_is_what_was_written(text: str, gap: float) -> None:
    assert reading_of(text, gap=gap, blank=1.0).text == text


def test_an_operator_between_two_blanks_belongs_to_neither() -> None:
    reading = reading_of("46 + 43 = 89", blank=0.8)
    assert reading.text == "46 + 43 = 89"
    assert [number.text for number in reading.numbers] == ["46", "43", "89"]


def test_many_hands() -> None:
    """Numbers of 1 to 5 digits, gaps as uneven as a hand's, blanks from 0.8 heights on: nearly every text is exact."""
    rng = np.random.default_rng(5)
    exact = 0
    for _ in range(300):
        gap = rng.uniform(0.03, 0.35)
        rows = [
            " ".join("".join(rng.choice(list("0123456789"), rng.integers(1, 6))) for _ in range(rng.integers(1, 5)))
            for _ in range(rng.integers(1, 4))
        ]
        text = reading_of(*rows, gap=gap, blank=max(0.8, 3 * gap) * rng.uniform(1, 1.6), rng=rng).text
        exact += text == "\n".join(rows)
    assert exact >= 285


@given(st.integers(0, 10_000), st.floats(0.12, 0.75))
def test_one_even_row_has_no_blanks(seed: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    row = "".join(rng.choice(list("0123456789"), rng.integers(1, 20)))
    assert reading_of(row, gap=gap, rng=np.random.default_rng(seed)).text == row
    boxed = np.array([(i * 50 + 25 - (4 if c == "1" else 15), 0, i * 50 + 25 + 15, 40) for i, c in enumerate(row)])
    assert not blanks_before(boxed, row, np.zeros(len(row), int)).any()


@given(st.floats(0.3, 30), st.floats(-500, 500), st.sampled_from(TEXTS))
def test_neither_size_nor_place_changes_the_blanks(size: float, off: float, text: str) -> None:
    reading = reading_of(text, tall=200)
    boxes = np.array([digit.box for digit in reading.digits], float)
    lines = np.array([digit.line for digit in reading.digits])
    characters = text.replace(" ", "")
    here, there = (blanks_before(b, characters, lines) for b in (boxes, size * boxes + off))
    np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.14", 3.14), ("3,14", 3.14), ("-403", -403.0), ("+7", 7.0), ("007", 7.0), (",5", 0.5), ("1.234,5", 1234.5),
        ("1,234.5", 1234.5), ("1.234.567", 1234567.0), ("12/05/2024", None), ("12.05.2024", None), ("10:45", None),
        ("404-1000", None), ("46+43=89", None), ("4?", None), ("?", None), ("1.23.456", None), ("-", None), ("٣", None),
    ],
)  # fmt: skip
def test_values(text: str, value: float | None) -> None:
    assert value_of(text) == value


@given(st.integers(-(10**12), 10**12), st.integers(0, 4))
def test_value_agrees_with_python(whole: int, places: int) -> None:
    number = whole / 10**places
    assert value_of(f"{number:.{places}f}") == float(f"{number:.{places}f}")
    assert value_of(f"{number:.{places}f}".replace(".", ",")) == float(f"{number:.{places}f}")


def test_numbers_know_where_they_stand_and_how_sure_they_are() -> None:
    reading = reading_of("12 -3,5,", "4?")
    first, second, third = reading.numbers
    assert (first.text, first.value, first.line) == ("12", 12.0, 0)
    assert first.confidence == pytest.approx(0.81)
    assert (second.text, second.value) == ("-3,5", -3.5)  # the comma behind it only ends it
    assert second.box[0] == reading.digits[2].box[0]
    assert second.box[2] == reading.digits[5].box[2]
    assert second.confidence == pytest.approx(0.9**4)
    assert (third.text, third.value, third.confidence, third.line) == ("4?", None, 0.0, 1)


def test_digits_only_and_words() -> None:
    reading = reading_of("?? 17 ?", "3.14 -?-", "???")
    assert reading.digits_only == "??17?\n314?\n???"
    assert reading.without_words().text == "17\n3.14"
    assert reading.text == "?? 17 ?\n3.14 -?-\n???"


def test_a_turned_page_is_spaced_as_it_was_read() -> None:
    reading = reading_of("12 34")
    turned = tuple(
        dataclasses.replace(d, upright=d.box, box=(100 - d.box[3], d.box[0], 100 - d.box[1], d.box[2]))
        for d in reading.digits
    )
    assert Reading(turned, turned=(90.0,)).text == "12 34"
    assert Reading(turned).as_dict()["numbers"][0]["box"] == [60, 0, 100, 38]


def test_as_dict_is_json_with_line_page_character_and_numbers() -> None:
    row = json.loads(json.dumps(reading_of("3.1 ?").as_dict()))
    assert row["text"] == "3.1 ?"
    assert [digit["character"] for digit in row["digits"]] == ["3", ".", "1", "?"]
    assert [digit["digit"] for digit in row["digits"]] == [3, None, 1, 4]
    assert all({"line", "page", "box", "confidence", "rejected"} <= set(digit) for digit in row["digits"])
    assert [(number["text"], number["value"]) for number in row["numbers"]] == [("3.1", 3.1), ("?", None)]
    assert Reading().text == Reading().digits_only == ""
    assert Reading().numbers == ()


@pytest.mark.slow
def test_a_row_of_digits_of_a_page_stays_one_number() -> None:
    reader, (images, labels) = Reader(threads=1), mnist("validation")
    rows = parted = separators = 0
    for seed in range(30, 42):
        reading = reader.read(page_of(images, labels, seed).image)
        rows += len(reading.lines)
        parted += sum(" " in line for line in reading.lines)
        separators += sum(bool(digit.separator) for digit in reading.digits)
    assert separators <= 1  # on twelve pages
    assert rows > 30
    assert parted <= 0.05 * rows
