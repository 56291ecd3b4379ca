"""Digits that touch: try cuts, and keep the one that leaves two good digits where one bad one was."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from digitlab.reading.components import Blob
from digitlab.reading.normalise import ink_inside, normalise

# Narrower than this many of its own heights, a blob is never two digits side by side.
MIN_ASPECT = 0.95
# Every part must look this much more like a digit than the whole did.
GAIN = 0.25
# Enclosed paper taller than this, in digit heights, is the inside of an 0, 6, 8 or 9, not where two strokes cross.
COUNTER = 0.15
MAX_PARTS = 6
# A lone stroke's width is at most this share of its length, by standard deviations. Two that touch and lean this many
# degrees apart are the sides of a V, a W, a zigzag, no 11: people write their 1s alike.
SLENDER, FOLDED = 0.3, 20


def split_touching(
    blobs: list[Blob],
    images: list[np.ndarray],
    ink: np.ndarray,
    tall: float,
    judge: Callable[[np.ndarray], np.ndarray],
) -> tuple[list[Blob], list[np.ndarray]]:
    """Cut blobs that are several digits, where the judge likes the parts better than the whole.

    Args:
        blobs: candidates.
        images: their (28, 28) pictures.
        ink: (h, w) float32 of the page.
        tall: the usual height of a digit.
        judge: (n, 28, 28) uint8 -> (n,) how digit-like.

    Returns:
        Blobs and pictures, some of them replaced by their parts.

    Example:
        >>> split_touching([], [], np.zeros((4, 4)), 0.0, lambda images: np.ones(len(images)))
        ([], [])
    """
    wide = [i for i, blob in enumerate(blobs) if blob.width >= MIN_ASPECT * min(blob.height, 1.2 * tall)]
    if not wide:
        return blobs, images
    likely = dict(zip(wide, judge(np.stack([images[i] for i in wide])), strict=True))
    new_blobs: list[Blob] = []
    new_images: list[np.ndarray] = []
    for i, blob in enumerate(blobs):
        parts = _best_parts(blob, float(likely[i]), ink, tall, judge) if i in likely and likely[i] < 0.9 else None
        if parts is None:
            new_blobs.append(blob)
            new_images.append(images[i])
        else:
            new_blobs += [part for part, _ in parts]
            new_images += [image for _, image in parts]
    return new_blobs, new_images


def _best_parts(
    blob: Blob, whole: float, ink: np.ndarray, tall: float, judge: Callable[[np.ndarray], np.ndarray]
) -> list[tuple[Blob, np.ndarray]] | None:
    """The best way of cutting a blob into 2 .. MAX_PARTS, by dynamic programming over its thinnest columns."""
    cuts = _cuts(blob, tall)
    if len(cuts) < 3:
        return None
    pieces: dict[tuple[int, int], tuple[Blob, np.ndarray]] = {}
    for a in range(len(cuts) - 1):
        for b in range(a + 1, len(cuts)):
            part = _part(blob, cuts[a], cuts[b])
            if part is not None and 0.1 * blob.height <= part.width <= 1.5 * blob.height and part.height > 0.4 * tall:
                pieces[a, b] = (part, normalise(ink_inside(ink, part)))
    if not pieces:
        return None
    scores = dict(zip(pieces, judge(np.stack([image for _, image in pieces.values()])), strict=True))
    # best[b]: the path to cut b whose worst part is best; ties by the mean.
    best: dict[int, tuple[float, float, list[tuple[int, int]]]] = {0: (1.0, 0.0, [])}
    for b in range(1, len(cuts)):
        for a in range(b):
            if (a, b) not in scores or a not in best or len(best[a][2]) == MAX_PARTS:
                continue
            score = float(scores[a, b])
            worst, total, path = best[a]
            new = (min(worst, score), total + np.log(max(score, 1e-6)), [*path, (a, b)])
            if b not in best or new[:2] > best[b][:2]:
                best[b] = new
    worst, _, path = best.get(len(cuts) - 1, (0.0, 0.0, []))
    if len(path) < 2 or worst < whole + GAIN:
        return None
    parts = [pieces[step] for step in path]
    slants = [_slant(part.mask) for part, _ in parts]
    if any(abs(a - b) > FOLDED for a, b in pairwise(slants)):
        return None
    return parts


def _slant(mask: np.ndarray) -> float:
    """Degrees that a lone stroke leans from upright; nan for what is more than a stroke."""
    rows, columns = np.nonzero(mask)
    (down, both), (_, across) = np.cov(rows, columns)
    long, short = (down + across) / 2 + np.array([1, -1]) * np.hypot((down - across) / 2, both)
    if short > SLENDER**2 * long:
        return float("nan")
    return float(np.degrees(np.arctan2(2 * both, down - across) / 2))


def _cuts(blob: Blob, tall: float) -> list[int]:
    """Columns where little ink must be cut: both ends and the thinnest places between, a fifth of a digit apart."""
    from scipy import ndimage

    ink_in_column = blob.mask.sum(0).astype(float)
    # Through a counter no two digits are parted: a wide 0 is one digit, however good a 1 and a 2 its halves make.
    counters = (ndimage.binary_fill_holes(blob.mask) & ~blob.mask).sum(0) > COUNTER * tall
    reach = max(1, int(0.06 * tall))
    smooth = np.convolve(np.pad(ink_in_column, reach, mode="edge"), np.ones(2 * reach + 1) / (2 * reach + 1), "valid")
    order = np.argsort(smooth + 1e-3 * np.abs(np.arange(blob.width) - blob.width / 2), kind="stable")
    apart = max(2, int(0.18 * tall))
    chosen: list[int] = []
    for column in order:
        if smooth[column] > 0.45 * blob.height:
            break
        if (
            not counters[column]
            and apart <= column <= blob.width - apart
            and all(abs(column - other) >= apart for other in chosen)
        ):
            chosen.append(int(column))
        if len(chosen) == 9:
            break
    return [0, *sorted(chosen), blob.width]


def _part(blob: Blob, start: int, stop: int) -> Blob | None:
    mask = blob.mask[:, start:stop]
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return None
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Blob(blob.top + int(rows[0]), blob.left + start + int(columns[0]), cut, blob.dark)
