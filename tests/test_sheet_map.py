"""Where the network sees paper: sheets on grounds of every grey, and pages that no desk surrounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import mnist, page_of
from PIL import Image, ImageDraw
from scipy import ndimage

from digitlab.reading.perspective import straightened, through
from digitlab.reading.picture import open_pages
from digitlab.reading.reader import Reader
from digitlab.reading.sheet_map import mapped_sheets, sheet_map

DIGITS = mnist("validation")
READER = Reader(threads=1)


def desk(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) float: streaks of two colours, as bright as a sheet may be."""
    streaks = ndimage.gaussian_filter(rng.normal(0, 1, shape), (1, 25))
    share = np.clip(0.5 + 0.35 * streaks / streaks.std(), 0, 1)[..., None]
    return share * rng.uniform(60, 200, 3) + (1 - share) * rng.uniform(20, 150, 3)


def photo_of(seed: int, paper: float = 235, turn: float = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A page of MNIST's digits on a desk; what of it is sheet; and its four corners."""
    rng = np.random.default_rng(seed)
    page = np.asarray(page_of(*DIGITS, seed).image.convert("L"), float)
    page = np.asarray(Image.fromarray(page.astype(np.uint8)).resize((520, 400)), float)
    whole = desk(rng, (600, 760))
    angle = np.radians(rng.uniform(-turn, turn))
    way = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([(-260.0, -200), (260, -200), (260, 200), (-260, 200)]) @ way + (380, 300)
    back = np.linalg.inv(np.vstack([np.column_stack([way.T, np.array([380, 300]) - way.T @ (260, 200)]), (0, 0, 1)]))
    place, size = tuple(back[:2].ravel()), (760, 600)
    on = np.asarray(Image.fromarray(page.astype(np.uint8)).transform(size, Image.Transform.AFFINE, place, 3), float)
    mask = np.asarray(Image.new("L", (520, 400), 255).transform(size, Image.Transform.AFFINE, place, 3), float) / 255
    whole = whole * (1 - mask[..., None]) + (on * paper / 255)[..., None] * mask[..., None]
    return np.clip(whole + rng.normal(0, 2, whole.shape), 0, 255).astype(np.uint8), mask > 0.5, corners


def test_sheets_on_a_desk_are_where_they_lie() -> None:
    common, mirrored = [], []
    for seed in range(30):
        photo, mask, _ = photo_of(seed, turn=30)
        found = np.asarray(Image.fromarray(sheet_map(photo)).resize(mask.shape[::-1], Image.Resampling.BILINEAR)) > 0
        common.append((found & mask).sum() / (found | mask).sum())
        mirrored.append(((sheet_map(photo[:, ::-1]) > 0)[:, ::-1] == (sheet_map(photo) > 0)).mean())
    assert np.quantile(common, 0.1) > 0.85
    assert np.quantile(mirrored, 0.1) > 0.9


def test_where_the_network_is_sure_its_sheets_end_where_the_colours_change() -> None:
    common = []
    for seed in range(30):
        photo, mask, _ = photo_of(seed, turn=30)
        if found := mapped_sheets(photo, (101, 128)):
            fine = np.asarray(Image.fromarray(found.fine).resize(mask.shape[::-1]))
            common.append((fine & mask).sum() / (fine | mask).sum())
    assert len(common) >= 22
    assert np.quantile(common, 0.1) > 0.9


def test_a_page_without_a_desk_has_none() -> None:
    found = 0
    for seed in range(40):
        page = page_of(*DIGITS, seed).image.convert("RGB")
        for framed in (False, True):
            if framed:
                edge = (15, 15, page.width - 15, page.height - 15)
                ImageDraw.Draw(page).rectangle(edge, outline=(20, 20, 90), width=4)
            found += mapped_sheets(np.asarray(page), (96, 128)) is not None
    assert found <= 2


@pytest.mark.parametrize("seed", range(4))
def test_what_lies_around_a_sheet_is_not_read(seed: int) -> None:
    photo, mask, _ = photo_of(seed)
    reading = READER.read(photo)
    assert len(reading.digits) >= 3
    for sign in reading.digits:
        left, top, right, bottom = sign.box
        assert mask[(top + bottom) // 2, (left + right) // 2], sign.box


def test_a_sheet_that_lies_turned_is_put_straight() -> None:
    turned = 0
    for seed in range(12):
        photo, _, corners = photo_of(seed, turn=25)
        if abs(np.degrees(np.arctan2(*(corners[1] - corners[0])[::-1]))) < 6:
            continue
        if page := straightened(next(open_pages(photo))):
            turned += 1
            back = np.linalg.inv(page[1])
            there = through(back, corners)
            way = np.degrees(np.arctan2(*(there[1] - there[0])[::-1]))
            assert abs(way) < 4
    assert turned >= 4


@given(st.integers(1, 300), st.integers(1, 300), st.booleans())
@settings(max_examples=30, deadline=None)
def test_images_of_every_shape_have_a_map(height: int, width: int, colour: bool) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, *([3] if colour else [])), dtype=np.uint8)
    found = sheet_map(image)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert max(found.shape) <= 64
