"""Tables from where signs stand and from rulings, and the CSV files that reading writes."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from helpers.command import in_process
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import enlarged, mnist
from PIL import Image
from test_numbers import reading_of

from digitlab.reading.reader import Reader
from digitlab.reading.results import ReadDigit
from digitlab.reading.spreadsheet import NUMBER_FIELDS, number_rows, safe_cell
from digitlab.reading.tables import table_of, tables_of, upright_rulings

NO_RULINGS = np.zeros((0, 2))


def signs_of(
    cells: list[list[str]], *, pitch: float, align: str, lean: float = 0.0, gap: float = 5, wide: float = 24
) -> list[list[ReadDigit]]:
    """Groups of signs 40 pixels high, one a cell, the cells' edges `pitch` apart."""
    groups = []
    for row, texts in enumerate(cells):
        top = 70 * row
        for column, text in enumerate(texts):
            extent = len(text) * (wide + gap) - gap
            left = (
                column * pitch + {"left": 0, "right": pitch - 40 - extent, "middle": (pitch - 40 - extent) / 2}[align]
            )
            group = []
            for character in text:
                box = (round(left + lean * top), top, round(left + lean * top + wide), top + 40)
                group.append(
                    ReadDigit(
                        4 if character == "?" else int(character),
                        0.9,
                        box,
                        character == "?",
                        "",
                        np.zeros((28, 28), np.uint8),
                        row,
                    )
                )
                left += wide + gap
            if group:
                groups.append(group)
    return groups


@given(
    st.integers(0, 10_000), st.integers(2, 8), st.integers(2, 6), st.sampled_from(["left", "right", "middle"]),
    st.floats(-0.12, 0.12),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_an_aligned_table_is_its_rows_and_columns(seed: int, rows: int, columns: int, align: str, lean: float) -> None:
    rng = np.random.default_rng(seed)
    cells = [["".join(rng.choice(list("0123456789"), rng.integers(1, 5))) for _ in range(columns)] for _ in range(rows)]
    # Empty cells, but never a whole row or column.
    for row in range(rows - 1):
        if row % columns != row // columns and rng.random() < 0.5:
            cells[row][int(rng.integers(1, columns))] = "" if row else cells[row][1]
    found = table_of(signs_of(cells, pitch=190, align=align, lean=lean), NO_RULINGS)
    assert found.rows == tuple(tuple(row) for row in cells)


def test_a_cell_written_up_to_its_neighbour_is_parted_as_the_other_rows_are() -> None:
    groups = signs_of([["12", "34"], ["56", "78"], ["90", "12"]], pitch=110, align="left")
    fused = [*groups[:2], groups[2] + groups[3], *groups[4:]]
    assert table_of(fused, NO_RULINGS).rows == (("12", "34"), ("56", "78"), ("90", "12"))


def test_refused_cells_are_empty_and_listed() -> None:
    found = table_of(signs_of([["12", "3?"], ["5", "78"]], pitch=190, align="left"), NO_RULINGS)
    assert found.rows == (("12", ""), ("5", "78"))
    assert found.refused == ((0, 1, "3?"),)


@pytest.mark.parametrize("lean", [0.0, 0.08])
def test_rulings_part_what_gaps_do_not(lean: float) -> None:
    groups = signs_of([["1234"], ["56", "78"], ["", "9"]], pitch=60, align="left", lean=lean)
    rulings = np.zeros((220, 260), bool)
    for y in range(220):
        for x in (-12, 56, 120):
            at = round(x + 20 + lean * y)
            rulings[y, max(at, 0) : max(at, 0) + 2] = True
    rulings[[3, 60, 130, 200]] = True
    moved = [
        [
            ReadDigit(d.digit, 0.9, (d.box[0] + 20, d.box[1], d.box[2] + 20, d.box[3]), False, "", d.glyph, d.line)
            for d in group
        ]
        for group in groups
    ]
    boxes = np.array([sign.box for group in moved for sign in group])
    lines = upright_rulings(rulings, boxes)
    assert len(lines) >= 2
    assert table_of(moved, lines).rows == (("12", "34"), ("56", "78"), ("", "9"))
    # Twice the pixels, half the working scale: the same table.
    np.testing.assert_allclose(upright_rulings(rulings, 2 * boxes, 2.0)[:, 0], 2 * lines[:, 0], atol=2)


def ruled_page(cells: list[list[str]], seed: int = 0) -> np.ndarray:
    """A photo-like page: digits of several hands in a ruled table."""
    images, labels = mnist("validation")
    rng = np.random.default_rng(seed)
    high, wide = 90, 150
    page = np.full((high * len(cells) + 61, wide * len(cells[0]) + 61), 235.0)
    page[30 : 30 + high * len(cells) + 1 : high] = 150
    page[30:-30, 30 : 30 + wide * len(cells[0]) + 1 : wide] = 150
    for row, texts in enumerate(cells):
        for column, text in enumerate(texts):
            left = 30 + wide * column + 15
            for character in text:
                digit = enlarged(images[rng.choice(np.flatnonzero(labels == int(character)))], 44)
                top = 30 + high * row + 24
                part = page[top : top + digit.shape[0], left : left + digit.shape[1]]
                np.minimum(part, 235 - 200 * digit, out=part)
                left += digit.shape[1] + 6
    return np.clip(page + rng.normal(0, 3, page.shape), 0, 255).astype(np.uint8)


CELLS = [["12", "405", "7"], ["9", "61", "238"], ["50", "", "46"], ["8", "172", "30"]]


def test_a_ruled_page_becomes_csv(tmp_path: Path) -> None:
    Image.fromarray(ruled_page(CELLS)).save(tmp_path / "marks.png")
    done = in_process("read", "marks.png", "--table", cwd=tmp_path)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert len(rows) == len(CELLS)
    assert all(len(row) == 3 for row in rows)
    same = sum(
        got == wanted for row, texts in zip(rows, CELLS, strict=True) for got, wanted in zip(row, texts, strict=True)
    )
    assert same >= 11, rows
    reading = Reader(threads=1).read(ruled_page(CELLS))
    assert tables_of(reading)[0].rows == tuple(tuple(row) for row in rows)


def test_numbers_of_everything_go_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for i in range(3):
        Image.fromarray(ruled_page([["12", "405"]], seed=i)).save(tmp_path / "many" / f"=p{i}.png")
    (tmp_path / "many" / "broken.png").write_text("no picture")
    done = in_process("read", "many", "--numbers", "out.csv", cwd=tmp_path)
    assert done.returncode == 1
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert tuple(rows[0]) == NUMBER_FIELDS
    assert [row["file"] for row in rows] == [f"many/=p{i}.png" for i in range(3) for _ in range(2)]
    assert [float(row["value"]) for row in rows] == [12, 405] * 3
    assert all(0 < float(row["confidence"]) <= 1 for row in rows)
    assert "broken.png" in done.stderr


def test_words_are_left_out_of_numbers_and_only_on_demand_of_the_text() -> None:
    reading = reading_of("?? 17 ??", "-3,5")
    rows = number_rows("a.png", reading.without_words())
    assert [row["number"] for row in rows] == ["17", "-3,5"]
    assert [row["value"] for row in rows] == ["17", "-3.5"]
    assert len(number_rows("a.png", reading)) == 4


@pytest.mark.parametrize("text", ["=1+1", "+49-1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "-", "+"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-403", "+7", "-3,14", "46+43=89", "a.png", "", "12/05/2024"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert safe_cell(text) == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--numbers", "out.txt"], "expected .csv"),
        (["--json", "--table"], "choose one"),
        (["--numbers", "none/out.csv"], "No such file"),
    ],
)
def test_options_that_make_no_sense_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    Image.new("L", (40, 40), 255).save(tmp_path / "a.png")
    done = in_process("read", "a.png", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
