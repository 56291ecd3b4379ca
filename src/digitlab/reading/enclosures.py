"""Circles, ovals and frames drawn around numbers: closed strokes that are no signs, but hold some."""

from __future__ import annotations

import numpy as np

from digitlab.reading.components import EIGHT

# Pixels: what is lower holds no sign that could be read.
LOWEST = 16
# More pieces than this, or a larger one, pixels, are grain, print, a landscape: nothing is looked for.
MOST, LARGEST = 3000, 600_000
# What lies inside is at least this tall, in heights of what encloses it: less is a speck, a dotted zero's dot.
INSIDE = 0.15
# Around its middle no gap is wider than this share of a turn.
GAP = 0.12
# Its stroke is this thin, in its heights: a zero around a detached slash is thicker.
THIN = 0.1
# What sticks out of it is this thin, in widths of its stroke.
OUT = 5
# A sign inside reaches this deep into it, in its heights.
DEEP = 0.2
DIRECTIONS = 360
# It fills its convex hull to this share, and is ink for less than this share of it: else it is grain, or hatching.
# Signs that stick out of it widen the hull.
CONVEX, FULL, NEARLY = 0.9, 0.4, 0.75
# This share of its ink runs along its edge: else it is a table. What so fills the box around it is a printed box,
# which the spotter knows: signs that touch it would lose by its going.
EDGE, BOX, CLEAN = 0.4, 0.88, 0.75


def enclosing_strokes(mask: np.ndarray) -> np.ndarray:
    """Find strokes that run once around other ink, less what touches or crosses them.

    Args:
        mask: (h, w) bool, ink.

    Returns:
        (h, w) bool, the strokes.

    Example:
        >>> page = np.zeros((60, 60), bool)
        >>> page[5:55, 5:55] = True; page[7:53, 7:53] = False   # a frame
        >>> page[15:45, 28:32] = True                           # a 1 in it
        >>> found = enclosing_strokes(page)
        >>> bool(found[5, 30]), bool(found[30, 30])
        (True, False)
    """
    from scipy import ndimage

    found = np.zeros_like(mask)
    labels, _ = ndimage.label(mask, EIGHT)
    boxes = ndimage.find_objects(labels)
    edges = np.array([[b[0].start, b[1].start, b[0].stop, b[1].stop] for b in boxes]).reshape(-1, 4)
    numbers = np.flatnonzero(edges[:, 2] - edges[:, 0] >= INSIDE * LOWEST)
    if len(numbers) > MOST:
        return found
    edges = edges[numbers]
    heights, widths = edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]
    for i in np.flatnonzero((np.minimum(heights, widths) >= LOWEST) & (heights * widths <= LARGEST)):
        top, left, bottom, right = edges[i]
        held = (edges[:, :2] > (top, left)).all(1) & (edges[:, 2:] < (bottom, right)).all(1)
        held &= heights >= INSIDE * heights[i]
        if held.any():
            box = boxes[numbers[i]]
            own = np.pad(labels[box] == numbers[i] + 1, 1)  # paper on all sides, which distances are measured from
            found[box] |= _around(own, edges[held] - (top, left, top, left) + 1)[1:-1, 1:-1]
    return found


def _around(own: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Of a piece of ink the thin stroke around these boxes (n, 4), top, left, bottom, right; none if it is no such."""
    from scipy import ndimage

    none = np.zeros_like(own)
    middle = (held[:, :2].min(0) + held[:, 2:].max(0)) / 2
    whole = _whole(own, middle)
    if whole is None or own.sum() > FULL * whole.sum() or whole.sum() < NEARLY * CONVEX * _hull(own):
        return none
    inside = ndimage.distance_transform_edt(whole)
    rim = ndimage.binary_dilation(whole & ~own) & own & ndimage.binary_erosion(whole, EIGHT)
    wide = float(np.quantile(inside[rim], 0.3)) if rim.any() else np.inf
    if wide > THIN * min(own.shape):
        return none
    # A sign that sticks out of it belongs to what stays.
    body = ndimage.distance_transform_edt(~(inside > OUT * wide / 2)) <= OUT * wide / 2
    if not body.any() or body.sum() < CONVEX * _hull(body):
        return none
    depth = ndimage.distance_transform_edt(body)
    along = own & body & (depth <= 1.5 * wide + 1)
    if along.sum() < (CLEAN if whole[1:-1, 1:-1].mean() > BOX else EDGE) * own.sum():
        return none
    # So do its own ends where it runs around more than once, in the other way: they reach less deep than a sign.
    labels, count = ndimage.label(own & body & ~along, EIGHT)
    deepest = ndimage.maximum(depth, labels, np.arange(1, count + 1)) if count else np.zeros(0)
    along |= np.concatenate([[False], deepest < DEEP * min(own.shape)])[labels]
    # What crosses it goes on: between what is left on both sides.
    reach = int(np.ceil(wide / 2)) + 1
    joined = ndimage.binary_closing(np.pad(own & ~along, reach), EIGHT, iterations=reach)
    return np.asarray(along & ~joined[reach:-reach, reach:-reach])


def _whole(own: np.ndarray, middle: np.ndarray) -> np.ndarray | None:
    """What a stroke encloses, with it, whether or not its ends meet; None where it leaves a gap."""
    from PIL import Image, ImageDraw

    y, x = np.nonzero(own)
    away_y, away_x = y + 0.5 - middle[0], x + 0.5 - middle[1]
    turns = np.arctan2(away_y, away_x) / (2 * np.pi)
    ordered = np.sort(turns)
    if np.diff(ordered, append=ordered[0] + 1).max() > GAP:
        return None
    direction = ((turns + 0.5) * DIRECTIONS).astype(int).clip(0, DIRECTIONS - 1)
    outermost = np.lexsort((np.hypot(away_y, away_x), direction))
    last = np.flatnonzero(np.diff(direction[outermost], append=DIRECTIONS))
    corners = outermost[last]
    sheet = Image.new("1", own.shape[::-1])
    ImageDraw.Draw(sheet).polygon([(int(x[i]), int(y[i])) for i in corners], fill=1, outline=1)
    return np.asarray(np.asarray(sheet) | own)


def _hull(mask: np.ndarray) -> float:
    """The area of the convex hull of a mask's pixels."""
    from scipy.spatial import ConvexHull

    y, x = np.nonzero(mask)
    return float(ConvexHull(np.concatenate([np.column_stack([x + i, y + j]) for i in (0, 1) for j in (0, 1)])).volume)
