"""Plotted figures: digits on dark tiles are turned into dark writing, blocks are rounded, everything else stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import enlarged, mnist
from PIL import Image, ImageDraw
from scipy import ndimage

from digitlab.reading.blocks import rounded
from digitlab.reading.reader import Reader
from digitlab.reading.tiles import tiles_turned

READER = Reader(threads=1)
IMAGES, LABELS = mnist("validation")


@settings(max_examples=40, deadline=None)
@given(
    st.integers(40, 200), st.integers(40, 200), st.integers(15, 60), st.integers(0, 90), st.integers(180, 255),
    st.floats(1, 4), st.integers(0, 99),
)  # fmt: skip
def test_a_tile_becomes_page_with_dark_writing(
    wide: int, high: int, gap: int, dark: int, light: int, scale: float, seed: int
) -> None:
    """Whatever its size, greys and place: around the writing is page, and the writing is as dark as the tile was."""
    ink = np.asarray(Image.fromarray(IMAGES[seed]).resize((wide, high), Image.Resampling.BILINEAR), np.float32) / 255
    page, written = np.full((2, high + 2 * gap, wide + 2 * gap), np.float32(245))
    written[:] = 0
    page[gap : gap + high, gap : gap + wide] = dark + ink * (light - dark)
    written[gap : gap + high, gap : gap + wide] = ink
    size = int(scale * page.shape[1]), int(scale * page.shape[0])
    page, written = (np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BOX)) for part in (page, written))
    turned = tiles_turned(page)
    # A pixel of the small copy is a few of the page's: the tile's edge goes with them.
    assert turned[ndimage.maximum_filter(written, 5) < 0.02].min() > 225
    inside = ndimage.minimum_filter(written, 5) > 0.98
    assert turned[inside].max(initial=0) < dark + 40


def test_thick_digits_square_letters_photographs_and_frames_are_no_tiles() -> None:
    for image in IMAGES[:300]:
        page = 255 - 255 * np.pad(enlarged(image, 90), 20)
        assert tiles_turned(page) is page
    rng = np.random.default_rng(0)
    square = Image.new("L", (200, 200), 255)
    pens = ImageDraw.Draw(square)
    pens.rectangle((20, 20, 60, 90), fill=0)
    pens.rectangle((34, 34, 46, 76), fill=255)  # a 0 of thick straight strokes
    pens.rectangle((100, 20, 180, 180), outline=0, width=5)
    frame = np.asarray(square, np.float32)
    photograph = np.full((200, 200), 255, np.float32)
    photograph[40:160, 40:160] = rng.uniform(0, 110, (120, 120))
    photograph[80:100, 70:130] = 220
    for page in (frame, photograph, 255 - frame, np.full((50, 50), 255, np.float32)):
        assert tiles_turned(page) is page


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 30), st.integers(0, 99), st.booleans())
def test_only_blocks_are_rounded(size: int, seed: int, dark: bool) -> None:
    small = np.asarray(Image.fromarray(IMAGES[seed]).resize((10, 10), Image.Resampling.BOX), np.float32)
    small = 255 - small if dark else small
    page = np.kron(np.pad(small, 1, mode="edge"), np.ones((size, size), np.float32))
    soft = rounded(page)
    assert soft.shape == page.shape
    assert soft.min() >= 0
    assert soft.max() <= 255
    assert (soft != page).any()
    # The middles of the blocks keep their grey, as a smoothing by a third of a block leaves it.
    middles = soft[size // 2 :: size, size // 2 :: size]
    assert np.corrcoef(middles.ravel(), page[size // 2 :: size, size // 2 :: size].ravel())[0, 1] > 0.95
    smooth = 255 * np.pad(enlarged(IMAGES[seed], 12 * size), size)
    smooth = 255 - smooth if dark else smooth
    assert rounded(smooth) is smooth


def test_lines_and_grain_are_not_rounded() -> None:
    table = np.full((300, 400), 255, np.float32)
    table[::60] = table[:, ::90] = 0
    grain = np.random.default_rng(0).normal(128, 40, (300, 400)).clip(0, 255).astype(np.float32)
    for page in (table, grain, np.zeros((3, 3), np.float32)):
        assert rounded(page) is page


@pytest.mark.parametrize("block", [8, 24])
def test_handwriting_of_eight_by_eight_pixels_is_read(block: int) -> None:
    """scikit-learn's digits, by 43 people who are not MNIST's, enlarged as a plot enlarges them."""
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    pick = np.random.default_rng(5).choice(len(digits.target), 40, replace=False)
    good = 0
    for image, name in zip(digits.images[pick], digits.target[pick], strict=True):
        page = np.kron(np.pad(255 - 255 * image / 16, 1, constant_values=255), np.ones((block, block)))
        good += READER.read(page.astype(np.uint8)).text == str(name)
    assert good >= 34
