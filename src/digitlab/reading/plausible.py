"""Of what was found on a page, what cannot be the sign it was taken for: by its ink, and by what stands beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from digitlab.reading.components import Blob
from digitlab.reading.spotter import CHARACTERS, Spots

# A separator stands beside a digit, this many digit heights off at most; elsewhere it is a speck, a scratch, a crease.
BESIDE = 1.2
# A stroke at the end of a number that is a slash, but a 1 with this probability, is a 1.
LEANING = 0.2
# A sign of whose ink the rulings hold this share is squared paper; a 1 with none but pale lines is a side of a square.
# Of 2,896 digits on drawn validation pages one is lost so.
RULED = 0.95
# A doubtful digit this many heights from every good one is no writing: none of 1,569 real digits is lost so.
FAR = 3.0
# What a stroke is read as.
STROKES = (CHARACTERS.index("1"), CHARACTERS.index("/"), CHARACTERS.index("+"), CHARACTERS.index("?"))
# A digit this much lower than the page's is a remain of something.
LOWEST = 0.4
# Ink of this share of the usual darkness shows through the paper, or was erased, where a page has so many good digits;
# but if it is so many times as many signs as those, it is a pale print that somebody wrote on.
PALE, GOOD, FEWEST, PRINT = 0.3, 0.6, 3, 2.5
# The marks of a number line: so many strokes at least, crossed by one ruling between these shares of their height,
# which goes on for this share of it on both sides, with hardly a gap; they differ in height by no more than this share.
TICKS, CROSSED, GOES_ON, WHOLE, AS_HIGH = 4, (0.15, 0.85), 0.4, 0.8, 0.25


def leaning_ones(spots: Spots) -> Spots:
    """A slash stands between digits: what is none on one side may be a leaning 1, and is not a slash then."""
    slash = CHARACTERS.index("/")
    rows = np.flatnonzero((spots.probabilities.argmax(1) == slash) & (spots.probabilities[:, 1] >= LEANING))
    if not len(rows):
        return spots
    probabilities, averaged = spots.probabilities.copy(), spots.averaged.copy()
    others = spots.boxes[spots.digit]
    for row in rows:
        left, top, right, bottom = spots.boxes[row]
        reach = BESIDE * (bottom - top)
        level = (others[:, 3] > top) & (others[:, 1] < bottom)
        middle = (others[:, 0] + others[:, 2]) / 2
        before = level & (middle < (left + right) / 2) & (left - others[:, 2] < reach)
        after = level & (middle > (left + right) / 2) & (others[:, 0] - right < reach)
        if not (before.any() and after.any()):
            for said in (probabilities[row], averaged[row]):
                said[slash] = 0
                said /= said.sum()
    return replace(spots, probabilities=probabilities, averaged=averaged)


def believed(spots: Spots) -> Spots:
    """Leave out digits far too low or, doubtful, far from all good ones, and separators that stand by no digit."""
    digits = spots.digit
    high = spots.boxes[:, 3] - spots.boxes[:, 1]
    if not digits.any():
        return spots.take(np.flatnonzero(~spots.separator))
    tall = float(np.median(high[digits]))
    keep = ~digits | ((high > LOWEST * tall) & ~_far_off(spots, tall))
    for i in np.flatnonzero(spots.separator):
        left, top, right, bottom = spots.boxes[i]
        others = spots.boxes[digits & keep]
        across = np.maximum(others[:, 0] - right, left - others[:, 2])
        level = (np.minimum(others[:, 3] + 0.3 * tall, bottom) - np.maximum(others[:, 1], top)) > 0
        keep[i] = bool((level & (across < BESIDE * tall)).any())
    return spots.take(np.flatnonzero(keep))


def _far_off(spots: Spots, tall: float) -> np.ndarray:
    """(n,) bool, doubtful digits that stand far from the good ones of a page that has several: bits of the desk."""
    good = spots.digit & (spots.quality >= GOOD)
    if good.sum() <= FEWEST:
        return np.zeros(len(spots), bool)
    left, top, right, bottom = spots.boxes.T
    across = np.maximum(left[:, None] - right[good], left[good] - right[:, None]).clip(0)
    down = np.maximum(top[:, None] - bottom[good], top[good] - bottom[:, None]).clip(0)
    return np.asarray(spots.digit & ~good & (np.hypot(across, down).min(1) > FAR * tall))


def all_ruling(spots: Spots, mask: np.ndarray, rulings: np.ndarray) -> np.ndarray:
    """(n,) bool, what is a piece of ruled lines; separators are not asked: a dash on a line is all ruling too."""
    found = spots.probabilities.argmax(1) == 1
    for i, (left, top, right, bottom) in enumerate(spots.boxes.clip(0).astype(int)):
        box = np.s_[top : bottom + 1, left : right + 1]
        lines, rest = rulings[box].sum(), mask[box].sum()
        found[i] = lines >= RULED * (lines + rest) if lines else found[i] and not rest
    return np.asarray(found & ~spots.separator)


def ticks(spots: Spots, rulings: np.ndarray) -> np.ndarray:
    """(n,) bool, the marks of a number line: strokes alike in height, all crossed by one ruling, and nothing else."""
    found = np.zeros(len(spots), bool)
    crossed = np.array([_crossing(box, rulings) for box in spots.boxes.tolist()]).reshape(-1)
    middles = (spots.boxes[:, 0] + spots.boxes[:, 2]) / 2
    on_it = np.flatnonzero(~np.isnan(crossed))
    on_it = on_it[np.argsort(middles[on_it], kind="stable")]
    if len(on_it) < TICKS:
        return found
    high = spots.boxes[:, 3] - spots.boxes[:, 1]
    stroke = np.isin(spots.probabilities.argmax(1), STROKES)
    # From one to the next a line that lies aslant climbs by less than a part of their height.
    for row in np.split(on_it, np.flatnonzero(np.abs(np.diff(crossed[on_it])) > 0.5 * np.median(high[on_it])) + 1):
        alike = np.abs(high[row] - np.median(high[row])) < AS_HIGH * np.median(high[row])
        if len(row) >= TICKS and (stroke[row] & alike).all():
            found[row] = True
    return found


def _crossing(box: list[float], rulings: np.ndarray) -> float:
    """Where a ruling crosses a box from side to side, in rows of the page; NaN where none does."""
    left, top, right, bottom = box
    height = bottom - top
    low, high = (int(max(0, top + share * height)) for share in CROSSED)
    reach = int(GOES_ON * height) + 1
    around = rulings[low : high + 1, max(0, int(left) - reach) : int(right) + reach + 1]
    columns = np.asarray(around.any(0))
    if not len(columns) or min(columns[:reach].mean(), columns[-reach:].mean()) < WHOLE:
        return np.nan
    rows = np.flatnonzero(around.any(1))
    return float(low + rows.mean())


def showing_through(blobs: list[Blob], spots: Spots) -> np.ndarray:
    """(n,) bool, what is far paler than the page's digits and no number: the other side's writing, erased ink.

    A pale number stays where most of what stands beside each of its digits is a good digit too: seen from behind, an
    8 or a 0 still is one.

    Args:
        blobs: the ink of each sign.
        spots: the signs, as many.
    """
    dark = np.array([blob.dark for blob in blobs])
    good = spots.quality >= GOOD
    found = np.zeros(len(blobs), bool)
    if good.sum() < FEWEST:
        return found
    pale = (dark < PALE * np.median(dark[good])) & ~spots.separator
    faint = np.flatnonzero(pale)
    if len(faint) > PRINT * (good & ~pale).sum():
        return found
    left, top, right, bottom = spots.boxes[faint].T
    tall = bottom - top
    level = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top) > 0.5 * tall[:, None]
    apart = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    beside = level & (apart < BESIDE * tall[:, None])
    number = ((beside @ good[faint]) > beside.sum(1) / 2) & (beside.sum(1) > 1)
    found[faint[~number]] = True
    return found
