"""The sheet's four corner marks in a photo, whichever way it was turned, and the sheet seen straight from above."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from digitlab.collecting import layout
from digitlab.errors import ReadingError
from digitlab.reading.perspective import homography, through

# Of the paper's light around it, a mark has less than this.
DARK = 0.62
# det(covariance) / area squared: the same for every parallelogram, however it is turned, stretched or sheared
# (1/144; an ellipse has 1/158, so a written 0 is none).
PARALLELOGRAM = 1 / 144
MOST_CANDIDATES = 24


@dataclass(frozen=True)
class Mark:
    """A square with a square hole, perhaps a corner mark: centre and area in pixels, and whether it has the dot."""

    x: float
    y: float
    area: float
    dotted: bool


def find_sheet(pixels: np.ndarray, name: str = "photo") -> np.ndarray:
    """Find the sheet in a photo.

    Args:
        pixels: (h, w, 3) or (h, w) uint8.
        name: What to call the photo in an error.

    Returns:
        (3, 3) float64: the homography from millimetres on the sheet to pixels of the photo.

    Raises:
        ReadingError: not all four corner marks are to be seen.
    """
    candidates = _candidates(_grey(pixels))
    best, least = None, np.inf
    for four in itertools.combinations(candidates[:MOST_CANDIDATES], 4):
        if sum(mark.dotted for mark in four) != 1:
            continue
        ordered = _clockwise(four)
        if ordered is None:
            continue
        points = np.array([(mark.x, mark.y) for mark in ordered])
        matrix = homography(np.array(layout.CORNERS), points)
        error = _misfit(matrix, ordered)
        if error < least:
            best, least = matrix, error
    if best is None:
        raise ReadingError(
            f"{name}: no sheet found, expected all four of its corner marks. Photograph the whole sheet, flat and"
            " sharp; for a page without marks give --text."
        )
    return best


def straightened(pixels: np.ndarray, matrix: np.ndarray, scale: float, margin: float) -> np.ndarray:
    """Show the sheet straight from above.

    Args:
        pixels: (h, w, 3) or (h, w) uint8.
        matrix: Millimetres to pixels, as from `find_sheet`.
        scale: Pixels per millimetre of the result.
        margin: Millimetres around the centres of the marks.

    Returns:
        (height, width) float32 grey, 0..255.
    """
    from PIL import Image

    to_millimetres = np.array([[1 / scale, 0, -margin], [0, 1 / scale, -margin], [0, 0, 1]])
    # Pixel (0, 0) of Pillow's has its middle at (0.5, 0.5).
    there = matrix @ to_millimetres
    there /= there[2, 2]
    size = (round((layout.WIDTH + 2 * margin) * scale), round((layout.HEIGHT + 2 * margin) * scale))
    image = Image.fromarray(np.clip(_grey(pixels), 0, 255).astype(np.uint8))
    flat = image.transform(
        size, Image.Transform.PERSPECTIVE, tuple(there.ravel()[:8]), Image.Resampling.BICUBIC, fillcolor=255
    )
    return np.asarray(flat, np.float32)


def _grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _candidates(grey: np.ndarray) -> list[Mark]:
    """Everything that may be a corner mark, the best first."""
    from PIL import Image
    from scipy import ndimage

    height, width = grey.shape
    factor = max(1.0, max(grey.shape) / 256)
    small_size = (max(8, round(width / factor)), max(8, round(height / factor)))
    small = np.asarray(Image.fromarray(grey).resize(small_size, Image.Resampling.BOX), np.float32)
    # A mark takes a thirtieth of the side, so most of any eighth is paper (or table, where there are no marks).
    paper = ndimage.percentile_filter(small, 75, max(5, max(small.shape) // 8), mode="nearest")
    light = np.asarray(Image.fromarray(paper).resize((width, height), Image.Resampling.BILINEAR), np.float32)
    dark = grey < DARK * light
    labels, _ = ndimage.label(dark, np.ones((3, 3)))
    found: list[tuple[float, Mark]] = []
    longest = max(grey.shape)
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        rows, columns = (part.stop - part.start for part in window)
        # 8 mm of a sheet that fills a sixth of the image at the least, all of it at the most.
        if not (min(rows, columns) >= 6 and max(rows, columns) <= longest / 10 and 0.3 < rows / columns < 3.3):
            continue
        own = labels[window] == number
        mark = _mark(own, dark[window], window)
        if mark:
            found.append(mark)
    return [mark for _, mark in sorted(found, key=lambda pair: pair[0])]


def _mark(own: np.ndarray, dark: np.ndarray, window: tuple[slice, slice]) -> tuple[float, Mark] | None:
    """How far a dark piece is from a perfect mark, and the mark; None where it is none."""
    from scipy import ndimage

    whole = ndimage.binary_fill_holes(own)
    hole = whole & ~own
    area, inside = float(whole.sum()), float(hole.sum())
    # The hole is 25/64 of the mark; a blurred and inked one has less, an overexposed one more.
    if not 0.15 < inside / area < 0.6:
        return None
    y, x, shape = _moments(whole)
    hole_y, hole_x, _ = _moments(hole)
    off = np.hypot(y - hole_y, x - hole_x) / np.sqrt(area)
    crooked = abs(shape / PARALLELOGRAM - 1)
    if off > 0.08 or crooked > 0.055:
        return None
    # The dot is a separate piece in the hole.
    dotted = (dark & hole & ~ndimage.binary_dilation(own)).sum() > 0.06 * inside
    mark = Mark(window[1].start + x + 0.5, window[0].start + y + 0.5, area, bool(dotted))
    return crooked + off, mark


def _moments(mask: np.ndarray) -> tuple[float, float, float]:
    """Centre (row, column), and det(covariance) / area squared."""
    rows, columns = np.nonzero(mask)
    y, x = rows.mean(), columns.mean()
    spread = np.cov(np.stack([rows, columns]), bias=True) + np.eye(2) / 12  # a pixel is itself a little square
    return float(y), float(x), float(np.linalg.det(spread) / len(rows) ** 2)


def _clockwise(marks: tuple[Mark, ...]) -> list[Mark] | None:
    """The four in the sheet's order, from the dotted one; None where they span no convex shape."""
    points = np.array([(mark.x, mark.y) for mark in marks])
    middle = points.mean(0)
    turn = np.argsort(np.arctan2(points[:, 1] - middle[1], points[:, 0] - middle[0]))  # y downwards: clockwise
    ring = points[turn]
    edges = np.roll(ring, -1, 0) - ring
    following = np.roll(edges, -1, 0)
    cross = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    if not (cross > 0).all():
        return None
    ordered = [marks[i] for i in turn]
    first = next(i for i, mark in enumerate(ordered) if mark.dotted)
    return ordered[first:] + ordered[:first]


def _misfit(matrix: np.ndarray, marks: list[Mark]) -> float:
    """How badly the marks' sizes fit the perspective that their places say; infinite where they cannot be a sheet."""
    error = 0.0
    for (x, y), mark in zip(layout.CORNERS, marks, strict=True):
        half = layout.MARK / 2
        around = np.array([(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)])
        corners = through(matrix, around)
        u, v = corners[:, 0], corners[:, 1]
        predicted = 0.5 * abs(np.dot(u, np.roll(v, -1)) - np.dot(v, np.roll(u, -1)))
        ratio = mark.area / max(predicted, 1e-6)
        if not 0.55 < ratio < 1.8:
            return float("inf")
        error += abs(np.log(ratio))
    return error
