"""Brackets around numbers and behind their ordinals, `(601)` and `1)`: bows that would pass for 1s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from digitlab.reading.components import Blob
from digitlab.reading.spotter import CHARACTERS, Spots

# How far a bow's middle is from its ends' line, in its heights: each of two that belong together, the two added, and
# one alone. Of MNIST's 1s one in nine is bent by the first, one in eighty by the last; of the brackets of eleven
# handwriting fonts all but one pair are bent by 0.14 and more.
BOW, PAIR, BOW_ALONE = 0.06, 0.16, 0.12
# How far its pixels' middles are from the bow, and how wide its rows are, in its heights.
SMOOTH, SLENDER = 0.03, 0.3
# A bracket is at least this tall, in heights of a digit, and stands this close behind one, in its own heights.
TALL, NEAR = 0.8, 1.0
# A number in brackets is at most so long, in their heights.
LONGEST = 14.0
# So many brackets that only close make a list; a single one may be a 1.
LIST = 2
# More bows than this are a pattern.
MOST = 200
# Between digits as close as this, in heights of a digit, a bracket stays, as a sign that is none of ours: else two
# numbers were one.
TIGHT = 0.5
# What networks take a bracket for.
MAY_BE = [CHARACTERS.index(character) for character in "167/"] + [len(CHARACTERS) - 1]


def without_brackets(blobs: list[Blob], spots: Spots) -> tuple[list[Blob], Spots]:
    """Leave out brackets.

    Args:
        blobs: the ink of each sign.
        spots: the signs, as many.

    Returns:
        Both without them.

    Example:
        >>> from digitlab.reading.spotter import nothing
        >>> without_brackets([], nothing())[0]
        []
    """
    digits = np.flatnonzero(spots.digit)
    if len(digits) < 2:
        return blobs, spots
    tall = float(np.median([blobs[i].height for i in digits]))
    may_be = np.isin(spots.probabilities.argmax(1), MAY_BE)
    bows = np.array(
        [_bow(blob.mask) if may_be[i] and blob.height >= TALL * tall else 0.0 for i, blob in enumerate(blobs)]
    )
    if np.count_nonzero(bows) > MOST:
        return blobs, spots
    found = _pairs(blobs, bows, digits)
    closing = [
        i
        for i in range(len(blobs))
        if bows[i] <= -BOW and i not in found and _beside(blobs, i, digits)[0] < NEAR * blobs[i].height
    ]
    alone = [i for i in closing if bows[i] <= -BOW_ALONE]
    if len(alone) >= LIST:
        # The straighter ones of a list stand below the others.
        found += [i for i in closing if any(abs(blobs[i].right - blobs[k].right) < tall for k in alone)]
    digits = np.setdiff1d(digits, found)
    tight = [i for i in found if max(_beside(blobs, i, digits)) < TIGHT * tall]
    kept = np.array([i for i in range(len(blobs)) if i not in found or i in tight])
    probabilities, averaged = spots.probabilities.copy(), spots.averaged.copy()
    for said in (probabilities, averaged):
        said[tight] = 0
        said[tight, -1] = 1
    return [blobs[i] for i in kept], replace(spots, probabilities=probabilities, averaged=averaged).take(kept)


def _bow(mask: np.ndarray) -> float:
    """How bent a stroke is, in its heights: positive as `(` is, negative as `)`; 0 where it is no single bow."""
    height = len(mask)
    counts = mask.sum(1)
    rows = np.flatnonzero(counts)
    if len(rows) < 8:
        return 0.0
    columns = np.arange(mask.shape[1])
    middles = (mask @ columns)[rows] / counts[rows]
    curve = np.polyfit(rows, middles, 2)
    extent = mask.shape[1] - mask[rows][:, ::-1].argmax(1) - mask[rows].argmax(1)
    if np.std(middles - np.polyval(curve, rows)) > SMOOTH * height or np.quantile(extent, 0.9) > SLENDER * height:
        return 0.0
    return float(curve[0] * height / 4)


def _pairs(blobs: list[Blob], bows: np.ndarray, digits: np.ndarray) -> list[int]:
    """Bows that open, each with the next one that closes, around a number."""
    found: list[int] = []
    closing = sorted((j for j in range(len(blobs)) if bows[j] <= -BOW), key=lambda j: blobs[j].left)
    for i in (i for i in range(len(blobs)) if bows[i] >= BOW):
        first = blobs[i]
        j = next((j for j in closing if blobs[j].left > first.right and _level(first, blobs[j])), None)
        if j is None or j in found or bows[i] - bows[j] < PAIR or blobs[j].left - first.right > LONGEST * first.height:
            continue
        between = [blobs[k] for k in digits if first.left < blobs[k].left and blobs[k].right < blobs[j].right]
        if any(_level(first, digit) for digit in between):
            found += [i, j]
    return found


def _beside(blobs: list[Blob], i: int, digits: np.ndarray) -> tuple[float, float]:
    """How far the next digit is to the left and to the right, pixels; infinity where there is none."""
    own = blobs[i]
    level = [blobs[k] for k in digits if k != i and _level(own, blobs[k])]
    left = [own.left - other.right for other in level if other.left < own.left]
    right = [other.left - own.right for other in level if other.left >= own.left]
    return max(0.0, min(left, default=np.inf)), max(0.0, min(right, default=np.inf))


def _level(first: Blob, second: Blob) -> bool:
    """Whether two signs stand on one line."""
    overlap = min(first.bottom, second.bottom) - max(first.top, second.top)
    return overlap > 0.5 * min(first.height, second.height)
