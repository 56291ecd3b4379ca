"""What is no writing is taken off a page: circles, frames, brackets, holes, folds, the desk, what shows through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import mnist
from PIL import Image, ImageDraw
from scenes import SCENES, scene_of

from digitlab.reading.arrows import arrows
from digitlab.reading.brackets import without_brackets
from digitlab.reading.clearing import clear
from digitlab.reading.components import Blob, drop_what_is_no_writing
from digitlab.reading.enclosures import enclosing_strokes
from digitlab.reading.ink import page_ink
from digitlab.reading.plausible import believed, showing_through, ticks
from digitlab.reading.reader import Reader
from digitlab.reading.sheet import corners_of_sheet, sheet_on_table
from digitlab.reading.spotter import CHARACTERS, Spots

READER = Reader(threads=1)
DIGITS = mnist("validation")


def drawn(draw: Callable[[ImageDraw.ImageDraw], None], size: tuple[int, int] = (200, 160)) -> np.ndarray:
    """A mask, (h, w) bool, of what was drawn at these (w, h)."""
    page = Image.new("L", size)
    draw(ImageDraw.Draw(page))
    return np.asarray(page) > 127


# Whole pages


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCENES)
def test_scenes_are_read(kind: str) -> None:
    wrong = digits = 0
    for seed in range(100, 104):
        page = scene_of(kind, *DIGITS, seed)
        wanted = "".join(page.lines).replace(" ", "")
        read = "".join(sign.character for sign in READER.read(page.image).digits if not sign.separator)
        alike = sum(block.size for block in SequenceMatcher(a=read, b=wanted, autojunk=False).get_matching_blocks())
        wrong += max(len(read), len(wanted)) - alike
        digits += len(wanted)
    assert wrong <= 0.1 * digits


# Circles and frames


@settings(max_examples=60, deadline=None)
@given(
    st.floats(30, 70), st.floats(30, 60), st.integers(2, 5), st.floats(-0.4, 0.9), st.floats(-0.1, 0.1), st.floats(0, 6)
)
def test_a_circle_by_hand_is_found_and_what_it_holds_stays(
    wide: float, high: float, pen: int, over: float, drift: float, start: float
) -> None:
    turns = np.linspace(start, start + 2 * np.pi + over, 120)
    grown = 1 + np.linspace(0, drift, 120)
    points = list(zip(100 + wide * grown * np.cos(turns), 80 + high * grown * np.sin(turns), strict=True))
    ring = drawn(lambda pens: pens.line(points, fill=255, width=pen, joint="curve"))
    digit = drawn(lambda pens: pens.line([(92, 70), (108, 70), (98, 92)], fill=255, width=4))
    found = enclosing_strokes(ring | digit)
    assert not (found & digit).any()
    # The tips of a flat oval may stay.
    assert (found & ring).sum() > 0.75 * ring.sum()


def test_rings_with_a_gap_of_half_a_radian_are_found_but_for_a_few_flat_ones() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(60):
        turns = np.linspace(0, 2 * np.pi - 0.5, 120) + rng.uniform(0, 6)
        wide, high = rng.uniform(30, 70), rng.uniform(30, 60)
        points = list(zip(100 + wide * np.cos(turns), 80 + high * np.sin(turns), strict=True))
        pen = int(rng.integers(2, 6))
        ring = drawn(lambda pens, points=points, pen=pen: pens.line(points, fill=255, width=pen, joint="curve"))
        digit = drawn(lambda pens: pens.line([(92, 70), (108, 70), (98, 92)], fill=255, width=4))
        taken = enclosing_strokes(ring | digit)
        assert not (taken & digit).any()
        found += bool((taken & ring).sum() > 0.75 * ring.sum())
    assert found >= 55


def test_a_stroke_that_crosses_a_circle_goes_on() -> None:
    circle = drawn(lambda pens: pens.ellipse((50, 30, 150, 130), outline=255, width=3))
    inside = drawn(lambda pens: pens.line([(95, 60), (95, 100)], fill=255, width=5))
    across = drawn(lambda pens: pens.line([(20, 80), (80, 80)], fill=255, width=6))
    found = enclosing_strokes(circle | inside | across)
    assert (found & circle & ~across).sum() > 0.9 * (circle & ~across).sum()
    assert (found & across).sum() < 0.1 * across.sum()


def test_digits_hold_nothing() -> None:
    """No digit of MNIST, enlarged, is a circle around something."""
    for image in DIGITS[0][:1000]:
        assert not enclosing_strokes(image.repeat(4, 0).repeat(4, 1) > 90).any()


def test_a_zero_with_a_dot_a_grid_and_a_spiral_stay() -> None:
    dotted = drawn(
        lambda pens: (pens.ellipse((60, 30, 130, 130), outline=255, width=9), pens.ellipse((92, 76, 98, 82), fill=255))
    )
    spiral = drawn(
        lambda pens: pens.line(
            [(100 + t * np.cos(t), 80 + t * np.sin(t)) for t in np.linspace(0, 50, 900)], fill=255, width=2
        )
    )
    grain = np.random.default_rng(0).random((160, 200)) < 0.35
    for mask in (dotted, spiral, grain):
        assert enclosing_strokes(mask).sum() < 0.05 * mask.sum()


def test_an_empty_circle_is_still_a_zero() -> None:
    page = Image.new("L", (160, 160), 255)
    ImageDraw.Draw(page).ellipse((45, 30, 115, 130), outline=20, width=7)
    assert READER.read(page).text == "0"


# Holes and lines


def test_holes_go_and_points_and_digits_stay() -> None:
    page = Image.new("L", (300, 200), 240)
    pens = ImageDraw.Draw(page)
    for y in (30, 90, 150):
        pens.ellipse((20, y, 40, y + 20), fill=40)
    for x in (100, 150, 200):
        pens.line([(x, 70), (x + 20, 70), (x + 8, 110)], fill=40, width=5)
    pens.ellipse((230, 104, 236, 110), fill=40)
    cleared = clear(page_ink(np.asarray(page)))
    assert not cleared.page.ink[:, 15:45].any()
    assert cleared.page.ink[60:115, 90:240].max() > 0.7
    assert cleared.page.ink[104:110, 230:236].max() > 0.7
    assert 35 < cleared.tall < 50


def test_long_lines_do_not_say_how_tall_a_digit_is() -> None:
    aslant = np.zeros((400, 40), bool)
    for y in range(400):
        aslant[y, y // 11 : y // 11 + 2] = True
    margin = Blob(0, 30, aslant, 0.9)
    digits = [Blob(50 * i, 100, np.ones((30, 8), bool), 0.9) for i in range(5)]
    assert drop_what_is_no_writing([margin, *digits], (420, 300))[1] == 30
    # A page with nothing else keeps its strokes.
    assert drop_what_is_no_writing([margin], (420, 300))[1] == 400


def test_a_ring_does_not_say_how_tall_a_digit_is() -> None:
    y, x = np.mgrid[:400, :400] - 199.5
    ring = Blob(20, 20, np.abs(np.hypot(y, x) - 194) < 4, 0.7)
    digits = [Blob(20 + 60 * i, 500, np.ones((44, 10), bool), 0.8) for i in range(5)]
    kept, tall = drop_what_is_no_writing([ring, *digits], (620, 760))
    assert (len(kept), tall) == (5, 44)
    # Specks of every height, or two digits, are no page of writing around it.
    specks = [Blob(20 + 60 * i, 500, np.ones((12 * i + 6, 10), bool), 0.8) for i in range(5)]
    for others in (specks, digits[:2]):
        assert drop_what_is_no_writing([ring, *others], (620, 760))[1] == 400


def test_marks_of_a_number_line_go_and_ones_on_ruled_paper_stay() -> None:
    rulings = np.zeros((200, 600), bool)
    rulings[60:63] = True
    marks = [("1", np.ones((40, 5), bool), 40 + 90 * i, 42) for i in range(6)]
    assert ticks(signs(*marks)[1], rulings).all()
    on_the_line = [("1", np.ones((40, 5), bool), 40 + 90 * i, 24) for i in range(6)]
    beside_a_digit = [*marks, ("5", block(), 560, 40)]
    of_all_heights = [("1", np.ones((20 + 8 * i, 5), bool), 40 + 90 * i, 48 - 4 * i) for i in range(6)]
    for others in (on_the_line, beside_a_digit, of_all_heights, marks[:3]):
        assert not ticks(signs(*others)[1], rulings).any()
    assert not ticks(signs(*marks)[1], np.zeros_like(rulings)).any()


@settings(max_examples=40, deadline=None)
@given(st.floats(14, 24), st.floats(100, 180), st.floats(-6, 6), st.integers(3, 6), st.booleans())
def test_heads_of_arrows_go_and_digits_at_a_dash_stay(
    wing: float, long: float, climb: float, pen: int, left: bool
) -> None:
    x, y, back = 280, 80, 280 - 1.3 * wing
    shaft, head = [(x - long, y - climb), (x, y)], [(back, y - wing), (x, y), (back, y + wing)]
    arrow = drawn(lambda pens: (pens.line(shaft, 255, pen), pens.line(head, 255, pen, joint="curve")), (340, 160))
    page = arrow[:, ::-1] if left else arrow
    box = np.array([[back - 2, y - wing - 2, x + 3, y + wing + 2], [x - 60, y - 4, x - 40, y + 4]], np.float32)
    if left:
        box[:, [0, 2]] = page.shape[1] - box[:, [2, 0]]
    probabilities = np.zeros((2, len(CHARACTERS)), np.float32)
    probabilities[0, 7] = probabilities[1, -1] = 1
    spots = Spots.seen_once(box, np.ones(2, np.float32), probabilities)
    assert arrows(spots, page)[0]
    # On ruled paper the line goes on behind the sign; a 7 has its corner at the top.
    ruled = page.copy()
    ruled[78:82] = True
    assert not arrows(spots, ruled).any()
    seven = drawn(lambda pens: pens.line([(240, 60), (280, 60), (260, 100)], fill=255, width=pen), (340, 160))
    dash = drawn(lambda pens: pens.line([(150, 80), (238, 80)], fill=255, width=pen), (340, 160))
    boxes = np.array([[238, 58, 282, 102]], np.float32)
    assert not arrows(Spots.seen_once(boxes, np.ones(1, np.float32), probabilities[:1]), seven | dash).any()


def test_a_doubtful_digit_far_from_all_others_goes() -> None:
    row = [("5", block(), 60 + 60 * i, 100) for i in range(5)]
    _, spots = signs(*row, ("3", block(), 600, 500))
    doubtful = replace(spots, scores=np.array([1, 1, 1, 1, 1, 0.4], np.float32))
    assert len(believed(doubtful)) == 5
    assert len(believed(spots)) == 6
    assert len(believed(doubtful.take(np.array([0, 1, 2, 5])))) == 4
    near = signs(*row, ("3", block(), 420, 100))[1]
    assert len(believed(replace(near, scores=doubtful.scores))) == 6


# Brackets


def signs(*names: tuple[str, np.ndarray, int, int]) -> tuple[list[Blob], Spots]:
    """Signs by their name, ink, and place."""
    blobs = [Blob(top, left, ink, 0.9) for _, ink, left, top in names]
    probabilities = np.zeros((len(names), len(CHARACTERS)), np.float32)
    for row, (name, *_) in enumerate(names):
        probabilities[row, CHARACTERS.index(name)] = 1
    boxes = np.array([[b.left, b.top, b.right, b.bottom] for b in blobs], np.float32)
    return blobs, Spots.seen_once(boxes, np.ones(len(names), np.float32), probabilities)


def bow(deep: int, opens: bool) -> np.ndarray:
    """A bow 60 pixels high, its middle so many pixels from its ends' line."""
    mask = np.zeros((60, deep + 5), bool)
    for y in range(60):
        x = int(deep * ((y - 29.5) / 29.5) ** 2)
        x = x if opens else deep - x
        mask[y, x : x + 5] = True
    return mask


def block() -> np.ndarray:
    ink = np.zeros((50, 30), bool)
    ink[:6] = ink[:, :6] = ink[-6:] = True
    return ink


def test_brackets_go_and_ones_stay() -> None:
    stroke = np.ones((55, 5), bool)
    both = signs(("1", bow(10, True), 0, 0), ("5", block(), 20, 5), ("1", stroke, 60, 2), ("1", bow(10, False), 75, 0))
    blobs, spots = without_brackets(*both)
    assert [CHARACTERS[i] for i in spots.probabilities.argmax(1)] == ["5", "1"]
    assert [blob.left for blob in blobs] == [20, 60]
    # One that opens and nothing that closes; two that bend alike; one that only closes: may be 1s.
    for first, last in ((True, None), (True, True), (None, False)):
        row = [("1", bow(10, first), 0, 0)] if first is not None else []
        row += [("5", block(), 20, 5), ("8", block(), 60, 5)]
        row += [("1", bow(10, last), 100, 0)] if last is not None else []
        assert len(without_brackets(*signs(*row))[0]) == len(row)


def test_a_list_loses_its_brackets_and_a_bracket_between_digits_keeps_them_apart() -> None:
    rows = [[("5", block(), 0, y), ("7", bow(12, False), 40, y), ("8", block(), 100, y)] for y in (0, 100)]
    blobs, spots = without_brackets(*signs(*rows[0], *rows[1]))
    assert [CHARACTERS[i] for i in spots.probabilities.argmax(1)] == ["5", "8", "5", "8"]
    rows = [[("5", block(), 0, y), ("7", bow(12, False), 40, y), ("8", block(), 65, y)] for y in (0, 100)]
    blobs, spots = without_brackets(*signs(*rows[0], *rows[1]))
    assert [CHARACTERS[i] for i in spots.probabilities.argmax(1)] == 2 * ["5", CHARACTERS[-1], "8"]
    assert len(blobs) == 6


# The other side, and the desk


def test_pale_signs_go_unless_they_are_good_digits() -> None:
    blobs, spots = signs(*(("5", block(), 40 * i, 0) for i in range(6)))
    pale = [replace(blob, dark=0.25) if i >= 3 else blob for i, blob in enumerate(blobs)]
    bad = replace(spots, scores=np.array([0.9, 0.9, 0.9, 0.4, 0.4, 0.4], np.float32))
    assert showing_through(pale, bad).tolist() == 3 * [False] + 3 * [True]
    assert not showing_through(pale, spots).any()
    assert not showing_through(blobs, bad).any()


@pytest.mark.parametrize("kind", ["on a desk", "slips", "slip aslant"])
def test_sheets_are_found_on_a_ground_of_every_grey(kind: str) -> None:
    for seed in range(6):
        grey = np.asarray(scene_of(kind, *DIGITS, seed).image.convert("L"), np.float32)
        sheet = sheet_on_table(grey)
        assert sheet is not None
        white = grey > 225
        assert sheet.whole[white].mean() > 0.95
        assert (grey[sheet.whole] > 150).mean() > 0.9
        if kind == "slips":
            assert corners_of_sheet(grey) is None


def test_a_frame_on_the_same_paper_is_no_sheet() -> None:
    page = Image.new("L", (600, 500), 225)
    pens = ImageDraw.Draw(page)
    pens.rectangle((150, 100, 450, 400), outline=30, width=4)
    for x in range(30, 560, 60):
        for y in (30, 250, 440):
            pens.line([(x, y), (x + 20, y), (x + 8, y + 40)], fill=30, width=5)
    assert sheet_on_table(np.asarray(page, np.float32)) is None
