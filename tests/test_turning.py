"""Pages that lie turned: found out, put right, boxes in the picture's own pixels; upright ones left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import enlarged, mnist
from PIL import Image, ImageFilter

from digitlab.reading.glyphs import Stages
from digitlab.reading.picture import Picture
from digitlab.reading.reader import Reader
from digitlab.reading.results import ReadDigit
from digitlab.reading.turning import _quarter_turned, box_back, ruling_angle, skew_of, turned

READER = Reader(threads=1)
IMAGES, LABELS = mnist("validation")
ROWS = ["31742", "45607"]


def page_of_rows(rows: list[str], seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A light page of dark digits, and the middle of each."""
    rng = np.random.default_rng(seed)
    page, middles = np.full((80 + 90 * len(rows), 420), 235.0), []
    for row, text in enumerate(rows):
        for column, character in enumerate(text):
            digit = enlarged(IMAGES[rng.choice(np.flatnonzero(int(character) == LABELS))], 52)
            top, left = 50 + 90 * row, 50 + 68 * column
            part = page[top : top + digit.shape[0], left : left + digit.shape[1]]
            np.minimum(part, 235 - 200 * digit, out=part)
            middles.append((left + digit.shape[1] / 2, top + digit.shape[0] / 2))
    return page.astype(np.uint8), np.array(middles)


def lying(page: np.ndarray, middles: np.ndarray, degrees: float) -> tuple[Image.Image, np.ndarray]:
    """The page turned clockwise by Pillow, and where its digits then are."""
    image = Image.fromarray(page).rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=235)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    off = middles - np.array(page.shape[::-1]) / 2
    return image, off @ turn.T + np.array(image.size) / 2


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [90, 180, 45, 28, 200, 220])
def test_a_turned_page_is_read_and_its_boxes_lie_where_its_digits_do(degrees: int) -> None:
    page, middles = page_of_rows(ROWS)
    assert READER.read(page).digits_only == "\n".join(ROWS)
    image, there = lying(page, middles, degrees)
    reading = READER.read(image)
    assert reading.digits_only == "\n".join(ROWS)
    assert abs((reading.turned[0] + degrees + 180) % 360 - 180) <= 6
    boxes = np.array([digit.box for digit in reading.digits])
    assert np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - there).max() < 8
    assert (boxes.min(0) >= 0).all()
    assert (boxes[:, 2:].max(0) <= image.size).all()
    assert reading.as_dict()["turned"] == [round(reading.turned[0], 1)]
    assert reading.sizes == (image.size,)  # which the boxes count in, though it was read turned


@pytest.mark.parametrize("degrees", [90, 40])
def test_ruled_paper_may_lie_turned(degrees: int) -> None:
    page, middles = page_of_rows(ROWS)
    page[27::45] = np.minimum(page[27::45], 170)
    reading = READER.read(lying(page, middles, degrees)[0])
    assert reading.digits_only == "\n".join(ROWS)
    assert abs((reading.turned[0] + degrees + 180) % 360 - 180) <= 6


@pytest.mark.parametrize(("text", "quarters"), [("6", 1), ("9", 1), ("4", 1), ("7", 1), ("69", 2)])
def test_where_it_cannot_be_told_upright_is_assumed(text: str, quarters: int) -> None:
    page, _ = page_of_rows([text])
    for quarter in range(0, 4, quarters):
        assert READER.read(np.rot90(page, quarter)).turned == (0.0,)


def test_a_few_digits_on_their_side_are_put_right() -> None:
    good = 0
    for seed in range(6):
        text = ["27", "45", "372", "58", "943", "2475"][seed]
        page, _ = page_of_rows([text], seed)
        good += sum(READER.read(np.rot90(page, quarter)).digits_only == text for quarter in (1, 3))
    assert good >= 10


def test_of_three_turns_only_the_one_that_looks_best_is_read() -> None:
    page, _ = page_of_rows(["27"])
    stages = READER.read(page).stages[0]
    for best in (90, -90, 180):
        read: list[np.ndarray] = []
        shown = {turn: np.rot90(stages.ink, -turn // 90).tobytes() for turn in (0, 90, -90, 180)}

        def look(ink: np.ndarray, _: float, shown: bytes = shown[best]) -> tuple[float, int]:
            return (0.8 if np.rint(255 * ink).astype(np.uint8).tobytes() == shown else 0.4), 3

        def reading(picture: Picture, read: list[np.ndarray] = read) -> tuple[list[ReadDigit], Stages]:
            read.append(picture.pixels)
            return [], stages

        picture = Picture(page, page.shape[::-1], 1.0)
        signs = [ReadDigit(4, 0.5, (0, 0, 9, 9), False, "", IMAGES[0], 0)] * 2
        assert _quarter_turned(picture, reading, look, signs, stages)[2] == 0.0  # nothing was found there
        assert [pixels.tobytes() for pixels in read] == [np.rot90(page, -best // 90).tobytes()]


def test_words_beside_sure_digits_make_nobody_turn_the_page() -> None:
    def sign(character: str, confidence: float) -> ReadDigit:
        refused = character == "?"
        return ReadDigit(0 if refused else int(character), confidence, (0, 0, 9, 9), refused, "", IMAGES[0], 0)

    stages = READER.read(page_of_rows(["1"])[0]).stages[0]
    for digits, looks in (("12345", 0), ("123", 4)):
        asked: list[tuple[int, ...]] = []
        signs = [sign(c, 0.97) for c in digits] + [sign("?", 0.1)] * 20

        def look(ink: np.ndarray, tall: float, asked: list[tuple[int, ...]] = asked) -> tuple[float, int]:
            asked.append((*ink.shape, round(tall)))
            return 0.9, 4

        page = Picture(np.zeros((90, 90), np.uint8), (90, 90), 1.0)
        _quarter_turned(page, lambda _: ([], stages), look, signs, stages)
        assert len(asked) == looks
        assert all(look[2] == asked[0][2] for look in asked)  # at one size


def test_upright_pages_that_are_read_for_sure_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr("digitlab.reading.turning.turned", lambda *page: read.append(1) or turned(*page))
    sure = 0
    for seed in range(6):
        rows = ["1117", "69", "77411"][: 1 + seed % 3]
        reading = READER.read(page_of_rows(rows, seed)[0])
        assert reading.turned == (0.0,)
        if np.mean([digit.confidence for digit in reading.digits]) > 0.9:
            sure += 1
            assert not read
        read.clear()
    assert sure >= 3


@given(st.floats(-180, 180), st.floats(0.2, 5), st.tuples(st.integers(0, 50), st.integers(0, 30)))
def test_a_point_turned_and_brought_back_is_where_it_was(degrees: float, scale: float, at: tuple[int, int]) -> None:
    size = (round(60 * scale), round(40 * scale))
    page, back = turned(Picture(np.zeros((40, 60), np.uint8), size, scale), degrees)
    there = np.linalg.inv(back) @ np.array([at[0] * scale, at[1] * scale, 1.0])
    assert (there[:2] >= -1e-6).all()
    assert (there[:2] <= np.array(page.size) + scale + 0.5).all()  # the size is a rounded one
    box = box_back((int(there[0]), int(there[1]), int(there[0]) + 1, int(there[1]) + 1), back, size)
    assert box[0] - 2 <= at[0] * scale <= box[2] + 2
    assert box[1] - 2 <= at[1] * scale <= box[3] + 2


@pytest.mark.parametrize("degrees", [-40, -20, 15, 33])
def test_slanting_rows_are_measured(degrees: int) -> None:
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(np.arange(9) * 30.0, np.arange(4) * 52.0)
    points = np.stack([x.ravel(), y.ravel()], 1) + rng.normal(0, 1.5, (36, 2))
    angle = np.radians(degrees)
    points = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert abs(skew_of(np.hstack([points, points + 22])) - degrees) <= 3


def test_level_rows_and_scattered_digits_have_no_slant() -> None:
    x, y = np.meshgrid(np.arange(9) * 30.0, np.arange(4) * 52.0)
    points = np.stack([x.ravel(), y.ravel()], 1)
    assert abs(skew_of(np.hstack([points, points + 22]))) <= 9
    assert skew_of(np.zeros((0, 4))) == 0.0


@pytest.mark.parametrize("degrees", [-60, -12, 25, 40])
def test_rulings_aslant_are_measured(degrees: int) -> None:
    y, x = np.indices((300, 420)).astype(float)
    level = np.cos(np.radians(degrees)) * y - np.sin(np.radians(degrees)) * x
    ruled = np.mod(level, 25) < 2
    assert abs(ruling_angle(ruled) - degrees) <= 1
    squared = ruled | (np.mod(np.sin(np.radians(degrees)) * y + np.cos(np.radians(degrees)) * x, 25) < 2)
    assert min(abs(ruling_angle(squared) - turn) for turn in (degrees, degrees - 90, degrees + 90)) <= 1


@pytest.mark.parametrize("degrees", [-50, -20, 30, 65])
def test_broad_dark_bands_are_no_rulings(degrees: int) -> None:
    # Rows of these hold as many dark pixels as a ruling does, but so do the rows beside them: a roof, planks, a beach.
    y, x = np.indices((300, 420)).astype(float)
    level = np.cos(np.radians(degrees)) * y - np.sin(np.radians(degrees)) * x
    assert ruling_angle(np.mod(level, 80) < 40) == 0.0


def test_a_thick_sign_that_fills_its_picture_is_no_ruled_page() -> None:
    # The strokes of this 9 pass for rulings that slant.
    large = np.asarray(Image.fromarray(IMAGES[200]).resize((168, 168), Image.Resampling.BICUBIC))
    page = np.where(large > 100, 0, 255).astype(np.uint8)[10:158, 14:154]
    reading = READER.read(np.asarray(Image.fromarray(page).filter(ImageFilter.MinFilter(9))))
    assert (reading.text, reading.turned) == ("9", (0.0,))


def test_squared_paper_from_the_side_on_a_dark_table() -> None:
    # Its lines run aslant, hang together with the writing, and make it seem as tall as the sheet.
    page, _ = page_of_rows(ROWS * 2)
    page = np.pad(page, ((60, 60), (60, 400)), constant_values=235)
    for start in (20, 21):
        page[start::40] = np.minimum(page[start::40], 165)
        page[:, start::40] = np.minimum(page[:, start::40], 165)
    height, width = page.shape
    corners = [(width * 0.07, 0), (width * 0.93, height * 0.09), (width, height * 0.95), (0, height * 0.88)]
    flat = [(0, 0), (width, 0), (width, height), (0, height)]
    rows = [
        row
        for (x, y), (u, v) in zip(corners, flat, strict=True)
        for row in ((x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y))
    ]
    coefficients = np.linalg.solve(np.array(rows), np.array(flat).ravel())
    sheet = Image.fromarray(page.astype(np.uint8)).transform(
        (width, height), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC, fillcolor=60
    )
    photo = np.pad(np.asarray(sheet), 120, constant_values=60)
    assert READER.read(photo).digits_only == "\n".join(ROWS * 2)
