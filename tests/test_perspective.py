"""A sheet photographed from the side: its corners, the page seen from above, and boxes brought back into the photo."""

from __future__ import annotations

import numpy as np
import pytest
from aslant import from_the_side, table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import mnist
from PIL import Image, ImageDraw

from digitlab.reading.perspective import homography, straightened, through
from digitlab.reading.picture import open_pages
from digitlab.reading.reader import Reader
from digitlab.reading.sheet import corners_of_sheet
from digitlab.reading.tables import tables_of


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(threads=1)


def photo_of(corners: np.ndarray, size: tuple[int, int] = (640, 480)) -> np.ndarray:
    """A light four-sided sheet with some writing, on a dark table."""
    photo = Image.new("L", size, 50)
    pen = ImageDraw.Draw(photo)
    pen.polygon([tuple(corner) for corner in corners], fill=220)
    for x, y in corners.mean(0) + np.array([(-80, -30), (0, 0), (60, 30)]):
        pen.line([(x, y - 25), (x, y + 25)], fill=30, width=6)
    return np.asarray(photo)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_corners_are_found_to_within_two_hundredths_of_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = np.array([(120.0, 90), (520, 90), (520, 390), (120, 390)]) + rng.uniform(-45, 45, (4, 2))
    found = corners_of_sheet(photo_of(corners).astype(np.float32))
    assert found is not None
    assert np.abs(found - corners).max() < 13


def test_a_torn_sheet_a_round_one_and_a_page_without_a_table_are_left_alone() -> None:
    whole = np.array([(120.0, 60), (500, 110), (560, 400), (90, 380)])
    # A board with light writing on a light wall is a sheet as well.
    for photo in (photo_of(whole), 255 - photo_of(whole)):
        assert straightened(next(open_pages(photo))) is not None
    torn = photo_of(whole).copy()
    torn[60:200, 380:] = 50
    disc = Image.new("L", (640, 480), 50)
    ImageDraw.Draw(disc).ellipse((120, 40, 520, 440), fill=220)
    cut_off = photo_of(np.array([(120, 60), (500, 100), (460, 600), (80, 560)]))
    for page in (cut_off, torn, np.asarray(disc), np.full((480, 640), 220, np.uint8)):
        assert straightened(next(open_pages(page))) is None
    level = np.array([(120, 90), (520, 90), (520, 390), (120, 390)])
    assert straightened(next(open_pages(photo_of(level)))) is None


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_point_comes_back_to_where_it_was_photographed(scale: float) -> None:
    corners = np.array([(120.0, 60), (500, 110), (560, 400), (90, 380)])
    picture = next(open_pages(photo_of(corners)))
    page, back = straightened(type(picture)(picture.pixels, (int(640 * scale), int(480 * scale)), scale))  # type: ignore[misc]
    assert page.size == (round(page.pixels.shape[1] * page.scale), round(page.pixels.shape[0] * page.scale))
    # What is light on the page is the sheet in the photo.
    rows, columns = np.nonzero(page.pixels > 130)
    box = np.array([(columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)]) * page.scale
    (left, top), (right, bottom) = box
    there = through(back, np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    assert np.abs(there / scale - corners).max() < 13


def test_four_points_go_where_they_should_and_back() -> None:
    rng = np.random.default_rng(0)
    here, there = (np.array([(0, 0), (9, 0), (9, 9), (0, 9)]) + rng.uniform(-2, 2, (4, 2)) for _ in range(2))
    matrix = homography(here, there)
    np.testing.assert_allclose(through(matrix, here), there)
    np.testing.assert_allclose(through(np.linalg.inv(matrix), there), here)


@pytest.mark.slow
@pytest.mark.parametrize(("tilt", "pan"), [(25, 0), (0, 25), (15, 20)])
def test_a_ruled_table_photographed_aslant_is_a_table(reader: Reader, tilt: float, pan: float) -> None:
    rng = np.random.default_rng(4)
    sheet, cells = table_of(*mnist("validation"), rng, ruled=True)
    photo = from_the_side(sheet, tilt, pan, rng)
    reading = reader.read(photo)
    assert reading.straightened == (True,)
    assert reading.as_dict()["straightened"] == [True]
    assert reading.sizes == (photo.size,)
    (table,) = tables_of(reading)
    assert (len(table.rows), len(table.rows[0])) == (len(cells), len(cells[0]))
    pairs = zip(table.rows, cells, strict=True)
    correct = [read == wanted for pair in pairs for read, wanted in zip(*pair, strict=True)]
    assert np.mean(correct) >= 0.9
    # Each sign's box, in the photo's own pixels, holds its dark ink.
    grey = np.asarray(photo)
    for sign in reading.digits:
        left, top, right, bottom = sign.box
        assert grey[top:bottom, left:right].min() < 130


@pytest.mark.slow
def test_a_sheet_that_lies_straight_is_read_as_it_lies(reader: Reader) -> None:
    rng = np.random.default_rng(1)
    sheet, _ = table_of(*mnist("validation"), rng, ruled=True)
    assert reader.read(from_the_side(sheet, 0, 0, rng)).straightened == (False,)
