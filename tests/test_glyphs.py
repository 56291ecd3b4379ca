"""From picture to glyphs: each stage against an answer known beforehand, and laws over random pages."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import mnist
from PIL import Image, ImageDraw
from scipy import ndimage

from digitlab.data.image_files import MAX_PIXELS
from digitlab.errors import ReadingError
from digitlab.reading import glyphs, rulings
from digitlab.reading.components import blobs_of, page_contrast, quantile
from digitlab.reading.glyphs import find_glyphs
from digitlab.reading.margins import with_even_margins
from digitlab.reading.normalise import normalise
from digitlab.reading.order import lines_of
from digitlab.reading.paper import ink_is_dark, ink_of, noise_of, paper_of, separating_grey
from digitlab.reading.picture import Picture, open_pages
from digitlab.reading.reader import BUNDLED
from digitlab.reading.rulings import remove_rulings
from digitlab.reading.sheet import sheet_on_table
from digitlab.reading.spotter import CHARACTERS, Spots, open_spotter

SPOTTER = open_spotter(BUNDLED / "spotter.onnx", threads=1)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return mnist("validation")[0][:200]


def page_with(digit: np.ndarray, factor: int = 3) -> np.ndarray:
    """One digit, dark on white, enlarged by repetition."""
    return np.pad(255 - digit.repeat(factor, 0).repeat(factor, 1), 40, constant_values=255)


# Opening


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_every_mode_shows_the_same_page(tmp_path: Path, mode: str, ending: str) -> None:
    grey = np.full((200, 240), 255, np.uint8)
    grey[50:150, 100:115] = 0
    image = Image.fromarray(grey)
    if mode in ("I;16", "I"):
        image = Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey.astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(grey.astype(np.float32) / 255)
    else:
        image = image.convert(mode)
    if ending == "png" and mode in ("CMYK", "F", "I"):
        pytest.skip("PNG does not hold it")
    file = tmp_path / f"page.{ending}"
    image.save(file)
    (picture,) = open_pages(file)
    assert picture.size == (240, 200)
    glyphs, _ = find_glyphs(picture, spotter=SPOTTER)
    assert [glyph.box for glyph in glyphs] == [(100, 50, 115, 150)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone_and_boxes_follow(tmp_path: Path, orientation: int) -> None:
    upright = Image.fromarray(np.pad(np.zeros((80, 12), np.uint8), ((30, 90), (60, 200)), constant_values=255))
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "photo.png"
    stored.save(file, exif=exif)
    (picture,) = open_pages(file)
    assert picture.size == upright.size
    (glyph,) = find_glyphs(picture, spotter=SPOTTER)[0]
    assert glyph.box == (60, 30, 72, 110)


def test_transparent_drawings_get_the_paper_their_ink_needs() -> None:
    alpha = np.zeros((120, 120), np.uint8)
    alpha[30:90, 55:63] = 255
    for ink in (0, 255):
        rgba = np.dstack([np.full_like(alpha, ink)] * 3 + [alpha])
        (glyph,) = find_glyphs(next(open_pages(rgba)), spotter=SPOTTER)[0]
        assert glyph.box == (55, 30, 63, 90)


def test_tiff_pages_come_one_by_one(tmp_path: Path) -> None:
    sheets = [Image.new("L", (200 + 10 * i, 100), 255) for i in range(3)]
    sheets[0].save(tmp_path / "three.tiff", save_all=True, append_images=sheets[1:])
    assert [page.size for page in open_pages(tmp_path / "three.tiff")] == [(200, 100), (210, 100), (220, 100)]


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def truncated() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)).save(file, "PNG")
    return file.getvalue()[:9000]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "0 bytes"),
        (b"just a letter, no picture", "not an image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image"),
        (truncated(), "damaged"),
        (bomb(), "megapixels"),
    ],
)
def test_hostile_files_give_one_line_that_names_them(tmp_path: Path, body: bytes, says: str) -> None:
    file = tmp_path / "some.png"
    file.write_bytes(body)
    with pytest.raises(ReadingError) as caught:
        list(open_pages(file))
    message = str(caught.value)
    assert says in message
    assert message.startswith(str(file))
    assert "\n" not in message


@pytest.mark.parametrize("array", [np.zeros((3, 3)), np.zeros((3, 3, 2), np.uint8), np.zeros((0, 5), np.uint8)])
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ReadingError, match="shape"):
        list(open_pages(array))


def test_large_pages_are_worked_on_shrunk_and_boxes_stay_in_their_pixels(tmp_path: Path) -> None:
    page = np.full((3000, 4000), 240, np.uint8)
    page[1000:1600, 2000:2060] = 20
    for ending in ("jpg", "png"):
        file = tmp_path / f"large.{ending}"
        Image.fromarray(page).save(file)
        (picture,) = open_pages(file)
        assert picture.size == (4000, 3000)
        assert picture.pixels.size < 3.5e6
        (glyph,) = find_glyphs(picture, spotter=SPOTTER)[0]
        assert np.abs(np.array(glyph.box) - (2000, 1000, 2060, 1600)).max() <= 4
    assert MAX_PIXELS >= 50_000_000


# Paper and ink


@given(hue=st.sampled_from([(200, 20, 30), (20, 40, 180), (0, 0, 0), (30, 120, 40), (240, 220, 40)]))
def test_grey_keeps_more_contrast_than_luminance(hue: tuple[int, int, int]) -> None:
    page = np.full((80, 80, 3), 250, np.uint8)
    page[20:60, 38:43] = hue
    grey = separating_grey(page)
    luminance = np.asarray(Image.fromarray(page).convert("L"), float)
    assert grey[0, 0] - grey[40, 40] >= luminance[0, 0] - luminance[40, 40] - 1


def test_polarity_comes_from_the_paper_not_from_the_mean(digits: np.ndarray) -> None:
    for digit in digits[:40]:
        fat = ndimage.grey_dilation(digit, (3, 3)).astype(np.float32)
        assert not ink_is_dark(fat)
        assert ink_is_dark(255 - fat)
    # A sheet on a black table: three quarters of the picture are dark, and so is the ink.
    photo = np.full((200, 200), 30, np.float32)
    photo[40:160, 30:170] = 220
    for x in range(45, 150, 25):
        photo[70:110, x : x + 4] = 60
        photo[120:150, x : x + 4] = 60
    found = sheet_on_table(photo)
    assert found is not None
    sheet, inner, painted, _ = found
    assert sheet[100, 100]
    assert not (inner & ~sheet).any()
    assert not sheet[10, 10]
    assert painted[10, 10] == pytest.approx(220, abs=3)


def test_paper_follows_a_shadow_and_ink_forgets_it() -> None:
    light = np.tile(np.linspace(250, 90, 300, dtype=np.float32), (200, 1))
    light[:, 150:] -= 30
    page = light.copy()
    for x in (40, 120, 200, 260):
        page[60:140, x : x + 6] *= 0.3
    ink = ink_of(page, paper_of(page))
    for x in (40, 120, 200, 260):
        assert ink[100, x + 3] == pytest.approx(0.7, abs=0.08)
    blank = np.ones_like(page, bool)
    blank[50:150] = False
    assert np.quantile(ink[blank], 0.98) < 0.06


def test_noise_is_measured() -> None:
    noise = np.random.default_rng(0).normal(0.5, 0.05, (300, 300)).astype(np.float32)
    assert noise_of(noise) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("noise", [0, 3, 12])
def test_an_empty_page_has_no_glyphs(noise: float) -> None:
    rng = np.random.default_rng(1)
    page = np.linspace(240, 150, 400) + rng.normal(0, noise, (300, 400))
    glyphs, stages = find_glyphs(next(open_pages(page.clip(0, 255).astype(np.uint8))), spotter=SPOTTER)
    assert glyphs == []
    assert stages.mask.shape == stages.grey.shape


# Rulings


@pytest.mark.parametrize("angle", [-9.0, 0.0, 4.0])
@pytest.mark.parametrize("squared", [False, True])
def test_rulings_go_and_digits_stay(angle: float, squared: bool, digits: np.ndarray) -> None:
    writing = np.zeros((400, 600), np.float32)
    for i in range(8):
        writing[150:206, 40 + 65 * i : 96 + 65 * i] = digits[i].repeat(2, 0).repeat(2, 1)
    lines = np.zeros_like(writing)
    lines[20::45] = lines[21::45] = 1
    if squared:
        lines[:, 10::45] = lines[:, 11::45] = 1
    turned = ndimage.rotate(lines, angle, reshape=False, order=1) > 0.5
    strong = writing > 100
    clean, gone = remove_rulings(strong | turned, strong)
    assert gone[~strong].sum() > 0.9 * (turned & ~strong).sum()
    # What a line runs through keeps its ink.
    assert clean[strong].mean() > 0.9


@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 10**6))
def test_a_quantile_is_numpys(count: int, share: float, seed: int) -> None:
    values = np.random.default_rng(seed).random(count)
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-9)


def test_thick_strokes_are_no_rulings_and_cost_no_search_for_their_angle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    angle_of = rulings._angle_of_lines
    monkeypatch.setattr(rulings, "_angle_of_lines", lambda mask: asked.append(mask.shape) or angle_of(mask))
    page = Image.new("L", (600, 280))
    ImageDraw.Draw(page).line([(40, 70), (240, 70), (120, 220)], fill=255, width=16)
    drawing = np.asarray(page) > 0
    assert not remove_rulings(drawing, drawing)[1].any()
    assert not asked
    ImageDraw.Draw(page).line([(0, 120), (600, 140)], fill=255, width=3)
    ruled = np.asarray(page) > 0
    assert remove_rulings(ruled, drawing)[1][ruled & ~drawing].mean() > 0.9
    assert asked


def test_stems_darker_than_the_lines_stay_though_they_run_along_them() -> None:
    lines = np.zeros((420, 420), bool)
    lines[20::60] = lines[21::60] = True
    lines[:, 20::60] = lines[:, 21::60] = True
    stems, rings = np.zeros_like(lines), np.zeros_like(lines)
    # Two stems that nearly meet make a line longer than any digit, no thicker than the lines.
    for y in (150, 198):
        stems[y : y + 44, 45:47] = stems[y : y + 44, 107:109] = True
    for y in range(30, 380, 60):
        for x in range(150, 380, 60):
            rings[y : y + 44, x : x + 26] = True
            rings[y + 3 : y + 41, x + 3 : x + 23] = False
    ink = np.where(stems | rings, 0.4, np.where(lines, 0.15, 0)).astype(np.float32)
    clean, gone = remove_rulings(ink > 0.1, ink > 0.3, ink)
    assert clean[stems].mean() > 0.95
    assert gone[lines & ~stems].mean() > 0.9
    # As dark as each other they cannot be told apart by it.
    every = lines | stems | rings
    clean, _ = remove_rulings(every, every, every.astype(np.float32))
    assert clean[stems].mean() < 0.6


@given(st.integers(0, 10**6), st.integers(16, 60))
def test_lines_are_those_that_plain_filters_find(seed: int, least: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((50, 64)) < rng.uniform(0, 0.1)
    for row in rng.integers(1, 48, 3):
        mask[row : row + 2, rng.integers(0, 10) : rng.integers(30, 64)] = True
    rows = rulings._Rows(mask)
    flat, thickness = rows.flat, np.zeros(rows.flat.shape, int)
    for y, x in np.argwhere(flat):
        up, down = flat[: y + 1, x][::-1], flat[y:, x]
        thickness[y, x] = sum(next(i for i, ink in enumerate([*part, False]) if not ink) for part in (up, down)) - 1
    thick = ndimage.maximum_filter1d(flat.astype(np.uint8), 3, axis=0)
    share = ndimage.uniform_filter1d(thick.astype(float), least, axis=1, mode="constant")
    runs = ndimage.maximum_filter1d(share >= 0.75 - 1e-9, least, axis=1) & flat & (thickness <= rows.thickest)
    expected = np.zeros_like(flat)
    if runs.any() and rows.possible:
        thin = flat & (thickness <= 1.5 * np.median(thickness[runs]) + 1)
        expected = ndimage.maximum_filter1d(runs.view(np.uint8), 3, axis=0).astype(bool) & thin
    assert (rulings._shear(rows.lines(least), rows.shifts) == expected).all()


def test_writing_at_the_edge_of_a_sheet_stays_whole_and_the_edge_is_no_writing() -> None:
    photo = np.full((600, 800), 40, np.uint8)
    photo[60:540, 80:720] = 205
    photo[60:540, 717:720] = 120  # a torn edge
    for x in (120, 300, 500, 690):
        photo[250:330, x : x + 8] = 60
        photo[250:258, x - 18 : x + 26] = 60
    glyphs, _ = find_glyphs(next(open_pages(photo)), spotter=SPOTTER)
    assert [glyph.box for glyph in glyphs] == [(x - 18, 250, x + 26, 330) for x in (120, 300, 500, 690)]


def test_strokes_of_a_lone_digit_are_no_rulings(digits: np.ndarray) -> None:
    seven = np.zeros((300, 240), bool)
    seven[40:46, 30:200] = True
    for y in range(46, 270):
        seven[y, 195 - y // 3 : 201 - y // 3] = True
    one = np.zeros((300, 100), bool)
    one[5:295, 48:53] = True
    for shape in (seven, one):
        clean, gone = remove_rulings(shape, shape)
        assert not gone.any()
        assert (clean == shape).all()


# Whether it is writing


@pytest.mark.parametrize(
    ("qualities", "held", "written"),
    [
        ([0.9], 0.6, True),  # a digit
        ([0.75], 0.05, False),  # the same, less plain, in a landscape
        ([0.9], 0.05, True),  # on a door
        ([0.3], 0.99, True),  # a sloppy one, alone on its page
        ([0.3, 0.2], 0.99, False),
        ([0.6, 0.5, 0.5], 0.99, True),  # a faint number
        ([0.8, 0.7, 0.65, 0.3], 0.3, True),  # a hard page
        ([0.75, 0.5, 0.4, 0.3, 0.3], 0.5, False),  # windows of a house
        ([0.75, 0.5, 0.4, 0.3, 0.3], 0.97, True),  # a faint page with nothing else
        ([0.95, 0.5, 0.4, 0.3, 0.3], 0.3, True),
        ([0.95, 0.9, 0.9] + 200 * [0.4], 0.97, False),  # a pattern of circles
        ([], 0.99, False),
    ],
)
def test_a_digit_here_and_there_makes_no_page(qualities: list[float], held: float, written: bool) -> None:
    probabilities = np.zeros((len(qualities), len(CHARACTERS)), np.float32)
    probabilities[:, 3] = 1
    boxes = np.zeros((len(qualities), 4), np.float32)
    spots = Spots.seen_once(boxes, np.array(qualities, np.float32), probabilities)
    assert glyphs._is_written(spots, held) == written


# Components


def test_blobs_are_what_hangs_together() -> None:
    ink = np.zeros((60, 90), np.float32)
    ink[10:40, 10:16] = 0.9
    ink[10:40, 40:46] = 0.25
    found = blobs_of(ink, ink > 0.1, 0.5)
    assert sorted((blob.left, blob.top, blob.right, blob.bottom) for blob in found) == [
        (10, 10, 16, 40),
        (40, 10, 46, 40),
    ]
    assert page_contrast(ink, 0.0) == pytest.approx(0.9)


@given(
    slope=st.floats(-0.17, 0.17),
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 2**20),
)
@settings(deadline=None, max_examples=40)
def test_lines_are_found_however_they_climb(slope: float, counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = []
    for row, count in enumerate(counts):
        for column in range(count):
            x, y = 40 * column + rng.uniform(-4, 4), 90 * row + rng.uniform(-3, 3)
            boxes.append((x, y + slope * x, x + rng.uniform(8, 28), y + slope * x + 30))
    order = rng.permutation(len(boxes))
    lines = lines_of(np.array(boxes)[order])
    starts = np.cumsum([0, *counts])
    if max(counts) >= 3 or len(counts) == 1 or abs(slope) * 40 * max(counts) < 12:
        assert [[int(order[i]) for i in line] for line in lines] == [
            list(range(starts[k], starts[k + 1])) for k in range(len(counts))
        ]


# MNIST's geometry


def test_mnist_digits_come_back_nearly_as_they_were(digits: np.ndarray) -> None:
    again = np.stack([normalise(digit / 255) for digit in digits])
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(digits, again, strict=True)]
    assert np.median(alike) > 0.95
    assert np.quantile(alike, 0.05) > 0.85


@given(seed=st.integers(0, 199), factor=st.integers(1, 9), pad=st.integers(0, 30))
@settings(deadline=None, max_examples=40)
def test_glyphs_have_mnists_geometry(seed: int, factor: int, pad: int) -> None:
    digit = mnist_digit(seed)
    glyph = normalise(np.pad(digit.repeat(factor, 0).repeat(factor, 1) / 255, pad))
    assert glyph.shape == (28, 28)
    assert glyph.dtype == np.uint8
    rows, columns = np.nonzero(glyph.max(1) > 127)[0], np.nonzero(glyph.max(0) > 127)[0]
    assert 18 <= max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 <= 21
    centre = ndimage.center_of_mass(glyph.astype(float))
    assert np.abs(np.array(centre) - 14).max() < 1.0


@pytest.mark.parametrize("pen", [1, 5, 10])
def test_a_pen_comes_into_mnists_range(pen: int) -> None:
    """A stroke of 100 pixels' height, thinner or wider than MNIST's pens; within the range it keeps its share."""
    bar = np.zeros((106, 60))
    bar[3:103, 20 : 20 + pen] = 1
    bar[95:103, 10:50] = 1  # a foot, so that the box is not the stroke
    glyph = normalise(bar).astype(float) / 255
    width = float(np.median(glyph[6:18].sum(1)))  # ink of a row, above the foot
    assert {1: 1.5 < width < 2.1, 5: 1.5 < width < 2.1, 10: 1.7 < width < 2.4}[pen], width
    thick = np.zeros((106, 90))
    thick[3:103, 20:60] = 1
    assert float(np.median((normalise(thick) / 255.0)[8:20].sum(1))) < 5  # 8 as it was drawn


_cache: dict[str, np.ndarray] = {}


def mnist_digit(index: int) -> np.ndarray:
    if "digits" not in _cache:
        _cache["digits"] = mnist("validation")[0][:200]
    return _cache["digits"][index]


@given(
    inside=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    sides=st.tuples(*[st.integers(0, 60)] * 4),
    colours=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    levels=st.sampled_from([2, 256]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_even_margins_come_off_and_on_again(
    inside: tuple[int, int], sides: tuple[int, int, int, int], colours: tuple[int, int], levels: int, seed: int
) -> None:
    page = np.random.default_rng(seed).integers(0, levels, inside, dtype=np.uint8)
    top, bottom, left, right = sides
    page = np.pad(page, ((top, bottom), (0, 0)), constant_values=colours[0])
    page = np.pad(page, ((0, 0), (left, right)), constant_values=colours[1])
    even, margins = with_even_margins(page)
    np.testing.assert_array_equal(margins.put_back(even), page)
    again, none = with_even_margins(even)
    np.testing.assert_array_equal(again, even)
    assert none == (0, 0, 0, 0)


def test_a_page_without_empty_margins_is_left_alone() -> None:
    framed = np.pad(np.full((90, 120), 255, np.uint8), 5)
    framed[20:60, 50:55] = 0
    np.testing.assert_array_equal(with_even_margins(framed)[0], framed)
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(with_even_margins(photo)[0], photo)
    blank = np.full((30, 40, 3), 200, np.uint8)
    assert with_even_margins(blank)[0].shape == blank.shape


@given(index=st.integers(0, 199), right=st.integers(0, 150), down=st.integers(0, 150))
@settings(deadline=None, max_examples=25)
def test_moving_the_ink_does_not_change_the_glyph(index: int, right: int, down: int) -> None:
    digit = 255 - mnist_digit(index).repeat(3, 0).repeat(3, 1)
    pages = []
    for x, y in ((75, 75), (right, down)):
        page = np.full((240, 240), 255, np.uint8)
        page[y : y + 84, x : x + 84] = digit
        pages.append(find_glyphs(Picture(page, (240, 240), 1.0), spotter=SPOTTER)[0])
    assert [len(glyphs) for glyphs in pages] == [1, 1]
    here, there = (glyphs[0] for glyphs in pages)
    np.testing.assert_array_equal(there.image, here.image)
    assert np.array_equal(np.array(there.box) - here.box, [right - 75, down - 75] * 2)
