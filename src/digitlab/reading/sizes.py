"""How tall a page's digits are: guessed from its pieces, and where that guess shows nothing sure, found by looking."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from digitlab.reading.ink import PageInk
from digitlab.reading.spotter import TALL, Spots, nothing, spots_of

# Where the digits found are taller or smaller than was guessed by more than this, it is looked again at their size.
AGREES = (0.72, 1.4)
LOOKS = 3
# Below this score a sign is not there.
LEAST_SCORE = 0.4
# Pieces this low, pixels, are grain or print, and no look enlarges a page to more pixels than this, nor more than so
# many times across if it then has more than `MOST_SEARCHED`.
LOWEST, MOST_PIXELS, ENLARGED = 6.0, 3_500_000, 2.0
# So sure, on the average, are the digits of a page that is seen at the right size; a lone one is.
SURE, SURE_ALONE = 0.6, 0.85
# Nor is another size looked for where the signs hold this share of the dark ink; but what takes this share of the
# page's width or height is none.
ALL, ACROSS = 0.9, 0.95
# Where the guess shows this many signs, another size must show as many digits that are this good.
FEWEST, GOOD = 3, 0.6
# Sizes looked at where the guess was wrong are half as large each time, down to this height, pixels, or so many pixels.
SMALLEST, MOST_SEARCHED = 10.0, 800_000


class _Look(NamedTuple):
    """What is seen at one size.

    Attributes:
        spots: all of it.
        tall: the usual height of its digits, pixels; 0 without any.
        strength: sum of the heights of its digits, each by the square of how good it is; by it sizes are compared: the
            parts of a digit that is seen too large count less together than the whole does.
        sure: its digits are good ones on the average.
        good: how many of its digits are good ones.
    """

    spots: Spots
    tall: float
    strength: float
    sure: bool
    good: int


_NOTHING = _Look(nothing(), 0.0, 0.0, False, 0)


def spots_at_their_size(page: PageInk, tall: float, spotter: Any) -> Spots:
    """Find the signs of a page at the size at which the spotter knows digits.

    Args:
        page: its ink.
        tall: how tall its pieces make a digit, pixels; 0 for not known.
        spotter: ONNX Runtime's session of the spotter.

    Returns:
        The signs.
    """
    if not page.contrast or not tall:
        return nothing()
    best = _settled(page, tall, spotter) if tall >= LOWEST else _NOTHING
    whole = best.spots.take(np.flatnonzero(~_across(best.spots, page.ink.shape)))
    if best.sure or (len(whole) and share_held(whole, page) >= ALL):
        return best.spots
    size = TALL * 2.0 ** np.floor(np.log2(min(page.ink.shape) / TALL))
    found = best
    while size >= SMALLEST and page.ink.size * (TALL / size) ** 2 <= MOST_SEARCHED:
        found = max(found, _look(page, size, spotter), key=lambda look: look.strength)
        size /= 2
    # Grain shows digits, and no good one; a page that lies turned shows signs that are no digits.
    if found.good and found is not best and (found.good >= FEWEST or len(best.spots) < FEWEST):
        best = max(found, _settled(page, found.tall, spotter), key=lambda look: look.strength)
    return best.spots


def glance(ink: np.ndarray, tall: float, spotter: Any) -> tuple[float, int]:
    """Look once at a page: how good its digits look on the average, and how many they are.

    Args:
        ink: (h, w) float32, 0 paper to 1 black.
        tall: the height of a digit, pixels.
        spotter: ONNX Runtime's session of the spotter.

    Returns:
        The mean of how good they are, 0..1, and their number; 0.0 and 0 without any.
    """
    spots = spots_of(spotter, ink, max(tall, TALL * float(np.sqrt(ink.size / MOST_SEARCHED))))
    quality = spots.quality[spots.digit & (spots.scores >= LEAST_SCORE)]
    return (float(quality.mean()), len(quality)) if len(quality) else (0.0, 0)


def share_held(spots: Spots, page: PageInk) -> float:
    """Say how much of a page's dark ink lies in the boxes of its signs.

    Args:
        spots: its signs.
        page: its ink.

    Returns:
        The share, 0 to 1.

    Example:
        >>> page = np.full((64, 64), 200, np.uint8); page[20:40, 30:33] = 20
        >>> from digitlab.reading.ink import page_ink
        >>> share_held(nothing(), page_ink(page))
        0.0
    """
    dark = page.ink > 0.5 * page.contrast
    held = np.zeros_like(dark)
    for left, top, right, bottom in spots.boxes.clip(0).astype(int):
        held[top : bottom + 1, left : right + 1] = True
    return float((dark & held).sum() / max(dark.sum(), 1))


def _across(spots: Spots, shape: tuple[int, ...]) -> np.ndarray:
    """(n,) bool, which reach from one border of the page to the other: the edge of a sheet, half a desk."""
    left, top, right, bottom = spots.boxes.T
    return np.asarray((right - left >= ACROSS * shape[1]) | (bottom - top >= ACROSS * shape[0]))


def _settled(page: PageInk, tall: float, spotter: Any) -> _Look:
    """Look at the size of what is found, until it agrees."""
    tall = _bounded(page, tall)
    best = look = _look(page, tall, spotter)
    for _ in range(LOOKS - 1):
        if not look.tall or AGREES[0] < look.tall / tall < AGREES[1]:
            break
        tall = _bounded(page, look.tall)
        look = _look(page, tall, spotter)
        best = max(best, look, key=lambda look: look.strength)
    return best


def _bounded(page: PageInk, tall: float) -> float:
    """The least size at which a page may be looked at, where `tall` is less."""
    most = max(MOST_SEARCHED, min(MOST_PIXELS, ENLARGED**2 * page.ink.size))
    return max(tall, TALL * float(np.sqrt(page.ink.size / most)))


def _look(page: PageInk, tall: float, spotter: Any) -> _Look:
    spots = spots_of(spotter, page.ink, _bounded(page, tall))
    spots = spots.take(np.flatnonzero(spots.scores >= LEAST_SCORE))
    digits = spots.take(np.flatnonzero(spots.digit))
    if not len(digits):
        return _Look(spots, 0.0, 0.0, False, 0)
    high, quality = digits.boxes[:, 3] - digits.boxes[:, 1], digits.quality
    sure = quality.mean() >= (SURE if len(digits) > 1 else SURE_ALONE)
    strength = float((quality**2 * high).sum())
    return _Look(spots, float(np.median(high)), strength, bool(sure), int((quality >= GOOD).sum()))
