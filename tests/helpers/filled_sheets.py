"""The printed sheet filled with MNIST digits and photographed: turned, in perspective, bent, shaded, with a shadow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from scipy import ndimage

from digitlab.collecting import layout
from digitlab.collecting.corner_marks import homography
from digitlab.collecting.printed_sheet import sheet_figure

DPI = 200
PER_MM = DPI / 25.4


@dataclass(frozen=True)
class FilledSheet:
    """A photo and what is written on the sheet."""

    photo: Image.Image
    digits: dict[tuple[int, int], np.ndarray]  # (row, column) -> (28, 28) MNIST image
    crossed: set[tuple[int, int]]
    empty: set[tuple[int, int]]


@cache
def printed(paper: str) -> np.ndarray:
    """The empty sheet as a printer puts it on paper: (h, w, 3) float32."""
    canvas = FigureCanvasAgg(sheet_figure(paper, "anna"))
    canvas.figure.set_dpi(DPI)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(np.float32)


def filled_sheet(
    images: np.ndarray, labels: np.ndarray, seed: int, *, crossed: int = 4, empty: int = 6, columns: int | None = None
) -> FilledSheet:
    """Fill a sheet and photograph it, everything drawn from the seed."""
    rng = np.random.default_rng([seed, 7])
    paper = ("a4", "letter")[int(rng.integers(2))]
    page = printed(paper).copy()
    width, height = layout.PAPERS[paper]
    left, top = (width - layout.WIDTH) / 2, (height - layout.HEIGHT) / 2
    places = [(row, column) for row in range(layout.ROWS) for column in range(columns or layout.COLUMNS)]
    chosen = [places[i] for i in rng.permutation(len(places))]
    out, blank = set(chosen[:crossed]), set(chosen[crossed : crossed + empty])
    pen = np.array([(20, 20, 25), (30, 45, 130), (70, 70, 75), (25, 25, 90)][int(rng.integers(4))], np.float32)
    digits = {}
    coverage = np.zeros(page.shape[:2], np.float32)
    for row, column in places:
        if (row, column) in blank:
            continue
        image = images[rng.choice(np.flatnonzero(labels == row))]
        x0, y0, x1, y1 = layout.box(row, column)
        tall = rng.uniform(8, 15.5)
        digit = _large(image, tall * PER_MM, (x1 - x0 - 1.6) * PER_MM)
        x = (left + (x0 + x1) / 2 + rng.normal(0, 0.8)) * PER_MM - digit.shape[1] / 2
        y = (top + (y0 + y1) / 2 + rng.normal(0, 0.8)) * PER_MM - digit.shape[0] / 2
        part = coverage[int(y) : int(y) + digit.shape[0], int(x) : int(x) + digit.shape[1]]
        np.maximum(part, digit, out=part)
        if (row, column) in out:
            _cross_out(coverage, (left + x0, top + y0, left + x1, top + y1), rng)
        else:
            digits[row, column] = image
    page += (coverage * rng.uniform(0.8, 1.0))[..., None] * (pen - page)
    return FilledSheet(photographed(page, rng), digits, out, blank)


def _large(image: np.ndarray, tall: float, widest: float) -> np.ndarray:
    rows, columns = np.nonzero(image.max(1) > 60)[0], np.nonzero(image.max(0) > 60)[0]
    cut = np.pad(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    factor = min(tall / cut.shape[0], widest / cut.shape[1])
    size = (max(1, round(cut.shape[1] * factor)), max(1, round(cut.shape[0] * factor)))
    return np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC), np.float32) / 255


def _cross_out(coverage: np.ndarray, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    """A cross that a hand draws, or one time in four a zigzag."""
    x0, y0, x1, y1 = box

    def near(x: float, y: float) -> np.ndarray:
        return (np.array([x, y]) + rng.uniform(-1.5, 1.5, 2)) * PER_MM

    if rng.random() < 0.25:
        knots = [near(x0 + 2 + (i % 2) * (x1 - x0 - 4), y0 + 2 + i * (y1 - y0 - 4) / 9) for i in range(10)]
        ways = list(itertools.pairwise(knots))
    else:
        ways = [(near(x0, y0), near(x1, y1)), (near(x1, y0), near(x0, y1))]
    half = 0.3 * PER_MM
    for start, stop in ways:
        bow = rng.normal(0, 0.04) * np.array([-(stop - start)[1], (stop - start)[0]])
        for t in np.linspace(0, 1, 240):
            x, y = start + t * (stop - start) + 4 * t * (1 - t) * bow
            coverage[int(y - half) : int(y + half) + 1, int(x - half) : int(x + half) + 1] = 1


def photographed(page: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A phone's photo of a flat page: bent paper, perspective, any turn, a lamp, a hand's shadow, grain, JPEG."""
    rows, columns = page.shape[:2]
    # Paper that bends: rows move by up to a millimetre along a slow wave.
    bend = rng.uniform(0, 1.2) * PER_MM
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    wave = bend * np.sin(2 * np.pi * (x / columns * rng.uniform(0.5, 1) + rng.uniform()))
    page = np.stack(
        [ndimage.map_coordinates(page[..., c], [y + wave, x], order=1, mode="nearest") for c in range(3)], -1
    )
    size = int(rng.integers(1500, 2400))  # the photo's long side
    table = np.array([(60, 45, 35), (120, 118, 112), (30, 32, 36), (170, 150, 120)][int(rng.integers(4))], np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    scale = 0.78 * size / rows
    middle = np.array([size / 2, size / 2])
    own_middle = np.array([columns / 2, rows / 2])
    corners = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], float) - own_middle
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    target = corners @ rotation.T * scale + middle + rng.normal(0, 0.025 * size, (4, 2))
    target = np.clip(target, 3, size - 3)
    back = homography(target, corners + own_middle)
    canvas = Image.fromarray(page.clip(0, 255).astype(np.uint8))
    numbers = tuple(back.ravel()[:8])
    warped = canvas.transform((size, size), Image.Transform.PERSPECTIVE, numbers, Image.Resampling.BICUBIC)
    inside = Image.new("L", canvas.size, 255).transform((size, size), Image.Transform.PERSPECTIVE, numbers)
    alpha = np.asarray(inside, np.float32)[..., None] / 255
    photo = np.asarray(warped, np.float32) * alpha + (1 - alpha) * table
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j].astype(np.float32)
    way = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0, 0.4) * ((x - 0.5) * np.cos(way) + (y - 0.5) * np.sin(way) + 0.5)
    if rng.random() < 0.6:  # a hand's shadow, its edge a few millimetres soft
        way = rng.uniform(0, 2 * np.pi)
        side = (x - 0.5) * np.cos(way) + (y - 0.5) * np.sin(way) - rng.uniform(-0.2, 0.2)
        light = light * (1 - rng.uniform(0.2, 0.5) / (1 + np.exp(np.clip(-side / 0.006, -60, 60))))
    photo = photo * light[..., None] * np.array([1.0, rng.uniform(0.93, 1), rng.uniform(0.82, 1)], np.float32)
    photo = ndimage.gaussian_filter(photo, (s := rng.uniform(0.2, 1.0), s, 0))
    photo = photo + rng.normal(0, rng.uniform(1, 6), photo.shape)
    return Image.fromarray(photo.clip(0, 255).astype(np.uint8))
