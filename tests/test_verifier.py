"""The second look: what it is given, how two networks' answers are joined, and what it is there for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pages import mnist, page_of
from PIL import Image, ImageDraw

from digitlab.reading.ink import page_ink
from digitlab.reading.reader import Reader
from digitlab.reading.spotter import CHARACTERS, Spots, nothing
from digitlab.reading.verdict import confident
from digitlab.reading.verifier import NOTHING, OTHER, averaged, joined, surroundings, verified

READER = Reader(threads=1)
IMAGES, LABELS = mnist("validation")


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 4999), st.floats(0, 400), st.floats(0, 400), st.floats(1, 300), st.floats(1, 300))
def test_any_box_gives_an_image_and_the_page_stays(
    pick: int, left: float, top: float, wide: float, high: float
) -> None:
    page = np.zeros((160, 200), np.float32)
    page[40:68, 60:88] = IMAGES[pick] / 255
    kept = page.copy()
    (seen,) = surroundings(page, np.array([[left - 100, top - 100, left - 100 + wide, top - 100 + high]]))
    assert seen.shape == (28, 28)
    assert seen.dtype == np.uint8
    assert np.array_equal(page, kept)


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_sign_is_seen_at_its_own_size(times: int) -> None:
    page = np.zeros((60, 60), np.float32)
    page[16:44, 16:44] = IMAGES[3] / 255
    box = np.array([[20.0, 20, 40, 40]])
    large = np.asarray(Image.fromarray(page).resize((60 * times, 60 * times), Image.Resampling.BICUBIC))
    small, big = surroundings(page, box)[0].astype(int), surroundings(large, times * box)[0].astype(int)
    assert np.abs(small - big).mean() < 6
    # Of one page, twice as pale is the same.
    assert np.abs(surroundings(page / 2, box)[0].astype(int) - small).max() <= 1


def test_what_lies_beside_a_sign_stays() -> None:
    page = np.zeros((80, 80), np.float32)
    page[30:50, 38:42] = 1
    page[30:50, 50:52] = 1
    (seen,) = surroundings(page, np.array([[30, 30, 50, 50]]))
    assert seen[14, 14] == 255
    assert seen[14, 25] > 200


rows = arrays(np.float32, (5, 18), elements=st.floats(0, 1, width=32)).map(
    lambda a: (a + 1e-6) / (a + 1e-6).sum(1, keepdims=True)
)
looks = arrays(np.float32, (5, 12), elements=st.floats(0, 1, width=32)).map(
    lambda a: (a + 1e-6) / (a + 1e-6).sum(1, keepdims=True)
)


@given(rows, looks)
def test_joined_answers_are_probabilities(signs: np.ndarray, seen: np.ndarray) -> None:
    both, there = joined(signs, seen)
    np.testing.assert_allclose(both.sum(1), 1, atol=1e-5)
    assert ((there >= 0) & (there <= 1)).all()
    # A verifier that says nothing changes nothing in the digits' order.
    even = np.full((5, 12), 1 / 12, np.float32)
    alone = joined(signs, even)[0][:, :10]
    np.testing.assert_allclose(alone.max(1), alone[np.arange(5), signs[:, :10].argmax(1)], rtol=1e-4)


def test_two_that_agree_are_believed_and_a_line_is_dropped() -> None:
    signs, seen = np.full((3, 18), 0.01, np.float32), np.full((3, 12), 0.005, np.float32)
    signs[:, 1] = 0.83
    seen[0, 1] = seen[1, NOTHING] = seen[2, OTHER] = 0.945
    both, there = joined(signs, seen)
    assert both[0, 1] > 0.9
    assert there[0] > 0.9
    assert there[1] < 0.2
    assert both[2, 1] < both[0, 1]


def test_no_signs_need_no_look() -> None:
    assert len(verified(READER.verifier, np.zeros((20, 20), np.float32), nothing())) == 0


class _SeesNothing:
    """A verifier to which everything is lines and scraps."""

    def with_features(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = np.full((len(images), 12), 1e-4, np.float32)
        seen[:, NOTHING] = 1 - 11e-4
        return seen, np.zeros((len(images), 4), np.float32)


def test_a_point_that_the_spotter_is_sure_of_stays_though_by_itself_it_looks_like_a_speck() -> None:
    named = np.full((3, len(CHARACTERS)), 1e-3, np.float32)
    named[:2, CHARACTERS.index(".")] = named[2, 7] = 1 - 1e-3 * (len(CHARACTERS) - 1)
    spots = Spots.seen_once(
        np.array([[10, 30, 13, 33], [20, 30, 23, 33], [30, 10, 45, 33]], np.float32),
        np.array([0.6, 0.45, 0.9], np.float32),
        named,
    )
    again = verified(_SeesNothing(), np.zeros((50, 60), np.float32), spots)  # type: ignore[arg-type]
    assert again.scores[0] == spots.scores[0]
    assert (again.scores[1:] < 0.01).all()


def _boxed(picks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Six digits in printed boxes with thick bars between them, and where they stand."""
    page = Image.new("L", (70 * len(picks) + 40, 120), 255)
    draw = ImageDraw.Draw(page)
    boxes = []
    for i, pick in enumerate(picks):
        left = 20 + 70 * i
        draw.line((left, 20, left, 100), fill=30, width=7)
        digit = Image.fromarray(IMAGES[pick]).resize((56, 56), Image.Resampling.BICUBIC)
        page.paste(Image.new("L", digit.size, 20), (left + 10, 32), digit)
        boxes.append((left + 10, 32, left + 66, 88))
    draw.line((20 + 70 * len(picks), 20, 20 + 70 * len(picks), 100), fill=30, width=7)
    return np.asarray(page), np.array(boxes)


def test_bars_between_cells_are_no_digits() -> None:
    rng = np.random.default_rng(5)
    read = wrong = bars = 0
    for _ in range(12):
        picks = rng.integers(0, 5000, 6)
        page, boxes = _boxed(picks)
        reading = READER.read(page)
        for sign in reading.digits:
            x = (sign.box[0] + sign.box[2]) / 2
            at = np.flatnonzero((boxes[:, 0] <= x) & (x <= boxes[:, 2]))
            bars += not len(at)
            if len(at):
                read += 1
                wrong += sign.character != str(LABELS[picks[at[0]]])
    assert read >= 70
    assert wrong <= 3
    assert bars <= 2


def test_the_network_knows_digits_letters_and_lines() -> None:
    page = Image.new("L", (400, 100), 255)
    draw = ImageDraw.Draw(page)
    draw.line((60, 0, 60, 99), fill=20, width=4)
    page.paste(Image.new("L", (56, 56), 20), (200, 20), Image.fromarray(IMAGES[0]).resize((56, 56)))
    ink = page_ink(np.asarray(page)).ink
    spots = Spots.seen_once(
        np.array([[56, 30, 64, 70], [208, 28, 248, 68]], np.float32),
        np.ones(2, np.float32),
        np.full((2, len(CHARACTERS)), 1 / len(CHARACTERS), np.float32),
    )
    line, digit = READER.verifier.probabilities(surroundings(ink, spots.boxes))
    assert line.argmax() == NOTHING
    assert digit.argmax() == LABELS[0]


def test_where_the_networks_disagree_a_digit_is_said_with_less_confidence() -> None:
    four, seven = np.full((2, len(CHARACTERS)), 0.001)
    four[4] = seven[7] = 1 - 0.001 * (len(CHARACTERS) - 1)
    seen = np.full((3, NOTHING + 1), 0.001)
    for row, digit in zip(seen, (4, 7, 7), strict=True):
        row[digit] = 1 - 0.001 * NOTHING
    signs = np.stack([four, four, seven])
    each = averaged(signs, seen)
    np.testing.assert_allclose(each.sum(1), 1, atol=1e-6)
    row = joined(signs, seen)[0]
    agreed, apart, again = (confident(one, other, int(one.argmax())) for one, other in zip(row, each, strict=True))
    assert agreed.argmax() == 4 and again.argmax() == 7 and min(agreed.max(), again.max()) > 0.97
    assert apart[row[1].argmax()] == apart.max() < 0.7
    for said in (agreed, apart, again):
        assert said.sum() == pytest.approx(1, abs=1e-6)
    # A sign that is refused is told as it is: most likely none.
    letter = np.full(len(CHARACTERS), 0.01)
    letter[-1] = 1 - 0.01 * (len(CHARACTERS) - 1)
    assert confident(letter, letter, None).argmax() == len(CHARACTERS) - 1


@pytest.mark.slow
def test_the_confidence_of_a_digit_is_that_of_its_row() -> None:
    for seed in range(4):
        for sign in READER.read(page_of(IMAGES, LABELS, seed).image).digits:
            assert sign.probabilities is not None
            assert sign.probabilities.sum() == pytest.approx(1, abs=1e-5)
            if not sign.rejected and sign.digit is not None:
                assert sign.confidence == pytest.approx(sign.probabilities[sign.digit], abs=1e-6)
                assert sign.probabilities.argmax() == sign.digit
