"""A second look at each sign the spotter found: at its own size, with what surrounds it, is it a digit, and which?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from digitlab.reading.spotter import Spots

if TYPE_CHECKING:
    from digitlab.reading.model import OnnxModel

# An image's side, and the longer side of the sign's box in it, pixels: MNIST's own geometry, but grey and not wiped.
SIDE, LONG = 28, 20
# Full darkness is that of the sign's darkest 3 of 100 pixels, but no paler than this.
DARKEST, PALEST = 97, 0.05
# What the network says besides the ten digits: another sign (a letter, a separator), or nothing but lines and scraps.
OTHER, NOTHING = 10, 11
# Exponents of both networks' probabilities of each digit, and of the verifier's that it is one at all;
# and what no probability falls below.
SPOTTER, VERIFIER, WHETHER, LEAST = 0.6, 0.5, 0.3, 1e-5
# A separator that the spotter is so sure of stays: cut out by itself a point looks like a speck, and only the spotter
# sees the digits beside it. Of 381 points on drawn validation pages 210 are found instead of 189, and 52 instead of 51
# where there is none; from 0.4 on 221 and 56, and most of the points that a real printed table does not have.
SEPARATOR = 0.5


def surroundings(ink: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Cut signs out of a page with what surrounds them.

    Args:
        ink: (h, w) float32, 0 paper to 1 black.
        boxes: (n, 4) float of left, top, right, bottom, pixels.

    Returns:
        (n, 28, 28) uint8, each box's middle in the middle, its longer side 20 pixels, its own ink at 255.

    Example:
        >>> page = np.zeros((50, 50), np.float32); page[10:40, 20:24] = 0.5
        >>> seen = surroundings(page, np.array([[20, 10, 24, 40]]))
        >>> seen.shape, int(seen[0, 14, 14]), int(seen[0, 14, 5])
        ((1, 28, 28), 255, 0)
    """
    from PIL import Image

    images = np.zeros((len(boxes), SIDE, SIDE), np.uint8)
    height, width = ink.shape
    for image, (left, top, right, bottom) in zip(images, np.asarray(boxes, float), strict=True):
        reach = SIDE / LONG * max(right - left, bottom - top, 2.0) / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        # The part of the page that the window and its filter need, with paper where the page ends.
        edge = int(reach + 0.2 * reach + 3)
        column, row = int(x) - edge, int(y) - edge
        part = np.zeros((2 * edge, 2 * edge), np.float32)
        rows, columns = (
            slice(max(0, row), min(height, row + 2 * edge)),
            slice(max(0, column), min(width, column + 2 * edge)),
        )
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        part[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column] = ink[rows, columns]
        window = (x - column - reach, y - row - reach, x - column + reach, y - row + reach)
        seen = np.asarray(Image.fromarray(part).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=window))
        full = max(float(np.percentile(seen[3:-3, 5:-5], DARKEST)), PALEST)
        image[:] = np.rint(255 * np.clip(seen / full, 0, 1))
    return images


def verified(verifier: OnnxModel, ink: np.ndarray, spots: Spots) -> Spots:
    """Look at each sign again, and join what both networks say of it.

    Args:
        verifier: the network.
        ink: (h, w) float32 of the page.
        spots: what the spotter found on it.

    Returns:
        The same signs with other probabilities and scores.
    """
    if not len(spots):
        return spots
    seen, features = verifier.with_features(surroundings(ink, spots.boxes))
    probabilities, there = joined(spots.probabilities, seen)
    found = Spots(spots.boxes, spots.scores, probabilities, averaged(spots.probabilities, seen), features)
    kept = found.separator & (spots.scores >= SEPARATOR)
    return replace(found, scores=np.where(kept, spots.scores, spots.scores * there).astype(np.float32))


def joined(signs: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join the spotter's and the verifier's answers.

    Args:
        signs: (n, 18) over `CHARACTERS`.
        seen: (n, 12) over the digits, `OTHER` and `NOTHING`.

    Returns:
        (n, 18) over `CHARACTERS`, rows sum to 1, and (n,) how much speaks for a sign at all, 0..1.
    """
    seen = np.maximum(seen, LEAST)
    signs = np.maximum(signs, LEAST)
    # Which digit: both nearly alike. Whether it is one: a letter is told by its neighbours, which the spotter sees.
    which = signs[:, :10] ** SPOTTER * seen[:, :10] ** VERIFIER
    digit = signs[:, :10].sum(1) * seen[:, :10].sum(1) ** WHETHER
    other = signs[:, 10:].sum(1) * seen[:, OTHER] ** WHETHER
    share = (digit / (digit + other))[:, None]
    both = np.concatenate(
        [
            share * which / which.sum(1, keepdims=True),
            (1 - share) * signs[:, 10:] / signs[:, 10:].sum(1, keepdims=True),
        ],
        1,
    )
    return both.astype(np.float32), 1 - seen[:, NOTHING] ** 2


def averaged(signs: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Average what the spotter and the verifier say, each by itself; where they disagree, it is sure of nothing.

    Args:
        signs: (n, 18) over `CHARACTERS`.
        seen: (n, 12) over the digits, `OTHER` and `NOTHING`.

    Returns:
        (n, 18) over `CHARACTERS`, rows sum to 1; which of the signs that are no digits, only the spotter can say.
    """
    others = np.maximum(signs[:, 10:], LEAST)
    others = seen[:, OTHER:].sum(1, keepdims=True) * others / others.sum(1, keepdims=True)
    return np.asarray((signs + np.concatenate([seen[:, :10], others], 1)) / 2, np.float32)
