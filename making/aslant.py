"""Tables of MNIST digits on a sheet, and the sheet on a table as a camera sees it from the side."""

from __future__ import annotations

import numpy as np
from pages import enlarged
from PIL import Image, ImageDraw

from digitlab.reading.perspective import homography


def table_of(
    images: np.ndarray, labels: np.ndarray, rng: np.random.Generator, ruled: bool
) -> tuple[Image.Image, list[list[str]]]:
    """Write a table of whole numbers on a white sheet: the sheet, and its cells row by row."""
    rows, columns, tall = int(rng.integers(4, 10)), int(rng.integers(3, 6)), float(rng.uniform(40, 60))
    step = np.array([(4.6 if ruled else 6.0) * tall, rng.uniform(1.6, 2.2) * tall])
    left, top = rng.uniform(1, 2, 2) * tall
    size = np.ceil(np.array([left, top]) * 2 + step * (columns, rows)).astype(int)
    ink = np.zeros(size[::-1], np.float32)
    cells = [[str(rng.integers(1, 10_000)) for _ in range(columns)] for _ in range(rows)]
    for row, column in np.ndindex(rows, columns):
        x, y = np.array([left, top]) + step * (column, row) + (0.4 * tall, 0.5 * (step[1] - tall))
        for character in cells[row][column]:
            digit = enlarged(images[rng.choice(np.flatnonzero(labels == int(character)))], tall)
            at = slice(int(y + rng.normal(0, 2)), None), slice(int(x), None)
            part = ink[at][: digit.shape[0], : digit.shape[1]]
            np.maximum(part, digit[: part.shape[0], : part.shape[1]], out=part)
            x += digit.shape[1] + rng.uniform(0.1, 0.3) * tall
    page = Image.fromarray((245 * (1 - 0.85 * ink.clip(0, 1))).astype(np.uint8))
    if ruled:
        pen, (right, bottom) = ImageDraw.Draw(page), np.array([left, top]) + step * (columns, rows)
        for y in top + step[1] * np.arange(rows + 1):
            pen.line([(left, y), (right, y)], fill=120, width=3)
        for x in left + step[0] * np.arange(columns + 1):
            pen.line([(x, top), (x, bottom)], fill=120, width=3)
    return page, cells


def from_the_side(page: Image.Image, tilt: float, pan: float, rng: np.random.Generator) -> Image.Image:
    """Photograph a sheet that lies on a dark table, a little turned.

    Args:
        page: grey.
        tilt: degrees by which its lower edge is nearer to the camera.
        pan: degrees by which its left edge is.
        rng: turns it by up to five degrees, and draws the table and the grain.
    """
    width, height = page.size
    away = 1.5 * max(page.size)
    turn, tilt, pan = np.radians([rng.uniform(-5, 5), tilt, pan])
    plane = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * (width / 2, height / 2, 0)
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    tilted = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    panned = np.array([[np.cos(pan), 0, np.sin(pan)], [0, 1, 0], [-np.sin(pan), 0, np.cos(pan)]])
    space = plane @ (panned @ tilted @ turned).T
    seen = space[:, :2] * (away / (1.1 * away + space[:, 2]))[:, None]
    seen -= seen.min(0) - 0.1 * max(page.size)
    size = tuple(int(side) for side in np.ceil(seen.max(0) + 0.1 * max(page.size)))
    place = homography(seen, np.array([(0, 0), (width, 0), (width, height), (0, height)], float)).ravel()[:8]
    photo = np.asarray(page.transform(size, Image.Transform.PERSPECTIVE, tuple(place), Image.Resampling.BICUBIC), float)
    own = Image.new("L", page.size, 255).transform(size, Image.Transform.PERSPECTIVE, tuple(place))
    photo = np.where(np.asarray(own) > 128, photo, rng.uniform(30, 90))
    return Image.fromarray((photo + rng.normal(0, rng.uniform(1, 5), photo.shape)).clip(0, 255).astype(np.uint8))
