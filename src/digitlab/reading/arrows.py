"""Arrows between numbers: their heads pass for 7s, their shafts for other signs."""

from __future__ import annotations

import numpy as np

from digitlab.reading.spotter import Spots

# A shaft meets the head between these shares of its height, is at least so many heights long, and fills no more than
# this share of the height; nearly all of its columns show it, and hardly anything above and below it.
MIDDLE, SHAFT, THIN, WHOLE, BESIDE = (0.25, 0.75), 1.2, 0.35, 0.95, 0.02
# The head's tip takes this share of its width, and nothing goes on behind it for this share of its height.
TIP, BEHIND = 0.15, 0.3
# A head is no wider than this, in its heights.
HEAD = 1.1


def arrows(spots: Spots, dark: np.ndarray) -> np.ndarray:
    """Find the signs that are heads of arrows to the right or left, and what was seen on their shafts.

    Args:
        spots: the signs of a page.
        dark: (h, w) bool, its dark ink, rulings in.

    Returns:
        (n,) bool.

    Example:
        >>> from digitlab.reading.spotter import nothing
        >>> arrows(nothing(), np.zeros((9, 9), bool))
        array([], dtype=bool)
    """
    found = np.zeros(len(spots), bool)
    boxes = np.rint(spots.boxes).astype(int).clip(0)
    for i in np.flatnonzero(~spots.separator):
        for mirrored in (False, True):
            page = dark[:, ::-1] if mirrored else dark
            here = _mirrored(boxes, dark.shape[1]) if mirrored else boxes
            shaft = _shaft(page, here[i])
            if shaft:
                left, top, right, bottom = here.T
                low, high = here[i, 1], here[i, 3]
                on_it = ((left + right) / 2 > here[i, 2] - shaft) & (right <= here[i, 2])
                level = (top >= low) & (bottom <= high) & (bottom - top < 0.6 * (high - low))
                found |= on_it & level
                found[i] = True
    return found


def _mirrored(boxes: np.ndarray, width: int) -> np.ndarray:
    left, top, right, bottom = boxes.T
    return np.column_stack([width - right, top, width - left, bottom])


def _shaft(dark: np.ndarray, box: np.ndarray) -> int:
    """Pixels from the far end of a shaft on the left to the right edge of its head; 0 where there is none."""
    left, top, right, bottom = (int(edge) for edge in box)
    high = bottom - top
    long = int(SHAFT * high)
    low, deep = top + int(MIDDLE[0] * high), top + int(np.ceil(MIDDLE[1] * high))
    # Part of the shaft may be in the box, and the tip may not be.
    going_on = np.asarray(dark[low:deep, right : right + high // 2].any(0))
    right += len(going_on) if going_on.all() else int(going_on.argmin())
    left = max(left, right - int(HEAD * high))
    if left < long or high < 6 or right - left < 4:
        return 0
    before = dark[top:bottom, left - long : left]
    middle = before[low - top : deep - top]
    others = np.count_nonzero(before) - np.count_nonzero(middle)
    if middle.any(0).mean() < WHOLE or middle.sum(0).max() > THIN * high or others > BESIDE * before.size:
        return 0
    tip = dark[top:bottom, right - max(2, int(TIP * (right - left))) : right + 1]
    rows = np.flatnonzero(tip.any(1)) / high
    behind = dark[low:deep, right + 2 : right + 2 + int(BEHIND * high)]
    if not len(rows) or rows[0] < MIDDLE[0] or rows[-1] > MIDDLE[1] or behind.any():
        return 0
    shown = dark[low:deep, :left].any(0)
    gaps = np.flatnonzero(~shown)
    return right - (int(gaps[-1]) + 1 if len(gaps) else 0)
