"""The spotter and the cutting: separators, touching digits, lines, and laws that hold for any ink."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import mnist
from PIL import Image, ImageDraw
from scipy import ndimage

from digitlab.reading import sizes
from digitlab.reading.cutting import cut_out
from digitlab.reading.ink import page_ink
from digitlab.reading.reader import Reader
from digitlab.reading.sizes import spots_at_their_size
from digitlab.reading.spotter import CHARACTERS, TALL, Spots, nothing
from digitlab.reading.verdict import OTHER, together

READER = Reader(threads=1)
IMAGES, LABELS = mnist("validation")


def written(text: str, seed: int, gap: int = 6, tall: int = 60) -> np.ndarray:
    """A page with MNIST's digits and separators drawn by a pen."""
    rng = np.random.default_rng(seed)
    page = Image.new("L", (60 + 62 * len(text), tall + 80), 255)
    draw = ImageDraw.Draw(page)
    x, top = 30, 40
    for sign in text:
        if sign.isdigit():
            of = np.flatnonzero(int(sign) == LABELS)
            image = IMAGES[of[rng.integers(len(of))]]
            rows, columns = np.nonzero(image.max(1) > 60)[0], np.nonzero(image.max(0) > 60)[0]
            cut = Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
            wide = max(5, round(cut.width * tall / cut.height))
            page.paste(Image.new("L", (wide, tall), 20), (x, top), cut.resize((wide, tall), Image.Resampling.BICUBIC))
            x += wide + gap
            continue
        if sign == "/":
            draw.line((x + 22, top - 4, x + 2, top + tall + 4), fill=20, width=6)
        elif sign == "-":
            draw.line((x, top + tall // 2, x + 22, top + tall // 2), fill=20, width=6)
        else:
            draw.ellipse((x + 2, top + tall - 8, x + 10, top + tall), fill=20)
            if sign == ",":
                draw.line((x + 7, top + tall - 3, x + 1, top + tall + 11), fill=20, width=5)
        x += 26 + gap
    return np.asarray(page)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["3.14", "12/05/24", "404-1000", "-403", "2,50"])
def test_separators_stand_where_they_were_written(text: str) -> None:
    readings = [READER.read(written(text, seed)) for seed in range(8)]
    signs = [reading.text for reading in readings]
    assert sum(read.translate(str.maketrans("0123456789?", "#" * 11)) == text.translate(
        str.maketrans("0123456789", "#" * 10)) for read in signs) >= 6, signs  # fmt: skip
    assert sum(read == text for read in signs) >= 4, signs


def test_touching_digits_are_read() -> None:
    right = sum(
        READER.read(written(text, seed, gap=-3)).digits_only == text
        for seed, text in enumerate(["25", "39", "480", "636"])
    )
    assert right >= 3


def test_a_line_under_the_digits_is_no_sign() -> None:
    page = written("2758", 5).copy()
    page[108:111] = 60
    assert READER.read(page).text == READER.read(written("2758", 5)).text == "2758"


def test_digits_are_found_at_their_size_whatever_their_pieces_say() -> None:
    # A grid and grain over the page: what hangs together is a scrap or the whole page, never a digit.
    page = written("27584", 5, gap=10)
    for step, dark, grain in ((30, 60, 0), (16, 60, 0), (14, 110, 14), (9, 30, 0)):
        grid = np.full(page.shape, 255.0)
        grid[::step] = grid[:, ::step] = dark
        noise = np.random.default_rng(step).normal(0, 1, page.shape) * grain
        squared = np.clip(np.minimum(page, grid) + noise, 0, 255).astype(np.uint8)
        assert READER.read(squared).text == "27584", (step, dark, grain)


def test_the_edge_of_a_sheet_is_no_sign_that_holds_all_the_ink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a dark desk was seen as one sign as tall as the page, so that none of the page's size was looked for."""
    page = page_ink(written("27584", 5, gap=10))
    height, width = page.ink.shape

    def seen(_: object, __: np.ndarray, tall: float) -> Spots:
        if tall > 100:
            box, name = [0.0, 2.0, width - 1.0, height - 2.0], len(CHARACTERS) - 1
        else:
            box, name = [30.0, 40.0, 60.0, 40.0 + tall], 7
        probabilities = np.full((1, len(CHARACTERS)), 0.001, np.float32)
        probabilities[0, name] = 0.983
        return Spots.seen_once(np.array([box], np.float32), np.ones(1, np.float32), probabilities)

    monkeypatch.setattr(sizes, "spots_of", seen)
    assert spots_at_their_size(page, float(height), None).digit.all()


@pytest.mark.parametrize("tall", [0.5, 3.0, 11.0, 300.0, 2000.0])
def test_a_wrong_guess_of_the_size_is_found_out(tall: float) -> None:
    page = page_ink(written("27584", 5, gap=10))
    spots = spots_at_their_size(page, tall, READER.spotter)
    names = "".join(CHARACTERS[i] for i in spots.probabilities.argmax(1)[np.argsort(spots.boxes[:, 0])])
    assert names == "27584"


def test_grain_is_not_enlarged_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank sheet whose grain passes for writing took a minute: it was enlarged to 12 megapixels, three times."""
    looked = []
    monkeypatch.setattr(
        sizes, "spots_of", lambda _, ink, tall: looked.append(ink.size * (TALL / tall) ** 2) or nothing()
    )
    rng = np.random.default_rng(0)
    for side in (300, 1000, 1800):
        looked.clear()
        page = page_ink(np.clip(rng.normal(200, 10, (side, side)), 0, 255).astype(np.uint8))
        for tall in (0.1, 3.0, 8.0, 60.0):
            spots_at_their_size(replace(page, contrast=0.1), tall, None)
        assert sum(looked) < 4 * (sizes.MOST_PIXELS + 2 * sizes.MOST_SEARCHED)


def test_where_no_size_shows_a_good_digit_none_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poor digits, each time of another size than the page was looked at for: a blank sheet's grain."""
    looked: list[float] = []

    def poor(_: object, __: np.ndarray, tall: float) -> Spots:
        looked.append(tall)
        boxes = np.array([[10.0, 10.0, 30.0, 10.0 + tall / 2]], np.float32)
        probabilities = np.full((1, 18), 0.5 / 17, np.float32)
        probabilities[0, 3] = 0.5
        return Spots.seen_once(boxes, np.array([0.8], np.float32), probabilities)

    monkeypatch.setattr(sizes, "spots_of", poor)
    page = replace(page_ink(written("27584", 5, gap=10)), contrast=1.0)
    spots_at_their_size(page, 1.0, None)
    assert len(looked) == len(set(looked)) and looked == sorted(looked, reverse=True)


def test_paper_alone_says_nothing() -> None:
    rng = np.random.default_rng(0)
    for noise in (0, 3, 12):
        page = np.clip(rng.normal(200, noise, (500, 700)), 0, 255).astype(np.uint8)
        assert READER.read(page).text == ""


@pytest.mark.slow
def test_textures_and_photographs_say_nothing() -> None:
    from matplotlib import cbook

    pages = [np.asarray(Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        octaves = [
            ndimage.zoom(rng.normal(0, size, (240 // size, 320 // size)), size, order=1) for size in (2, 4, 8, 16)
        ]
        pages.append(np.clip(150 + 6 * sum(octaves), 0, 255).astype(np.uint8))
    texts = [READER.read(page).text for page in pages]
    assert sum(not text for text in texts) >= 5, texts
    assert sum(character.isdigit() for text in texts for character in text) <= 2, texts


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(deadline=None, max_examples=25)
def test_signs_are_given_only_ink(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    ink = np.zeros((60, 160), np.float32)
    boxes = []
    for _ in range(number):
        left, top = int(rng.integers(0, 130)), int(rng.integers(0, 35))
        ink[top : top + 20, left : left + 12] = 1
        boxes.append((left, top, left + 12, top + 20))
    taken = np.zeros(ink.shape, int)
    for blob in cut_out(ink > 0.5, ink, np.array(boxes)):
        taken[blob.window] += blob.mask & (ink[blob.window] > 0.5)
    assert (taken[ink <= 0.5] == 0).all()


def test_two_networks_say_together_what_both_think() -> None:
    signs = np.full((1, len(CHARACTERS)), 0.01, np.float32)
    signs[0, [1, 7]] = 0.5, 0.34
    seen = np.full((1, 10), 0.01, np.float32)
    seen[0, 7] = 0.91
    both = together(signs, seen)
    np.testing.assert_allclose(both.sum(1), 1, rtol=1e-5)
    assert both[0, :10].argmax() == 7
    # What is no digit stays as likely, but for the weight of letters.
    np.testing.assert_allclose(both[0, 17] / both[0, 10], OTHER, rtol=1e-5)
