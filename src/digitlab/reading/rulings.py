"""Find ruled lines, squares and table frames, and take them out from under the writing."""

from __future__ import annotations

import numpy as np

# A ruled line is at least this many digit heights long; the bar of a 7 or the foot of a 2 never is.
MIN_LENGTH = 1.7
# ... and is a fiftieth of the page thick or less.
SLENDER = 50
MAX_ANGLE = 12.0


def remove_rulings(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Erase long thin straight lines, sparing the strokes that cross them.

    The mask is sheared until the lines run along rows, so a page photographed aslant costs no interpolation. A line's
    pixel goes only where the ink is no thicker than the line itself: a stroke standing on it is thicker.

    Args:
        mask: (h, w) bool, everything darker than the paper.

    Returns:
        The mask without rulings, and the rulings taken out; both (h, w) bool.

    Example:
        >>> page = np.zeros((120, 400), bool)
        >>> page[60:62] = True               # a ruled line
        >>> page[30:75, 200:205] = True      # a 1 that crosses it
        >>> clean, lines = remove_rulings(page)
        >>> bool(clean[60, 10]), bool(clean[60, 202])
        (False, True)
    """
    flat, gone = _remove_along_rows(mask)
    # Upright lines are looked for only on squared paper and in tables: a lone 1 is an upright line too.
    if gone.any():
        upright, more = _remove_along_rows(flat.T)
        return upright.T, gone | more.T
    return flat, gone


def _remove_along_rows(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    none = np.zeros_like(mask)
    height, width = mask.shape
    least = max(24, int(0.2 * width))
    if not _may_hold_lines(mask, least):
        return mask, none
    angle = _angle_of_lines(mask)
    shifts = np.round(np.arange(width) * np.tan(np.radians(angle))).astype(int)
    shifts -= shifts.min()
    flat = _shear(mask, shifts)
    lines = _long_runs(flat, least)
    if not lines.any():
        return mask, none
    clean = flat & ~_thin_part(flat, lines)
    tall = _digit_height(clean)
    # What is left over must be writing that the lines are long against; else the "lines" were strokes of a digit.
    need = int(MIN_LENGTH * tall)
    if tall == 0:
        return mask, none
    if need > least:
        lines = _long_runs(flat, need)
        clean = flat & ~_thin_part(flat, lines)
        if lines.any() and need < MIN_LENGTH * _digit_height(clean):
            return mask, none
    clean = _unshear(clean, shifts, height)
    return clean, mask & ~clean


def _may_hold_lines(mask: np.ndarray, least: int) -> bool:
    """Cheap refusal: a line, aslant or not, makes one component at least that wide."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3, 3)))
    return count > 0 and any(box[1].stop - box[1].start >= least for box in ndimage.find_objects(labels))


def _angle_of_lines(mask: np.ndarray) -> float:
    """The shear, in degrees, under which the rows' sums are most uneven."""
    step = max(1, int(max(mask.shape) / 500))
    height, width = mask.shape[0] // step * step, mask.shape[1] // step * step
    small = mask[:height, :width].reshape(height // step, step, width // step, step).mean((1, 3), dtype=np.float32)
    rows, columns = np.nonzero(small)
    weights = small[rows, columns]

    def unevenness(angle: float) -> float:
        at = rows + 0.5 - columns * np.tan(np.radians(angle))
        sums = np.bincount((at - at.min()).astype(int), weights)
        return float(np.square(sums).sum())

    if len(rows) == 0:
        return 0.0
    best = max(np.arange(-MAX_ANGLE, MAX_ANGLE + 0.1, 0.5), key=unevenness)
    return float(max(np.arange(best - 0.5, best + 0.51, 0.1), key=unevenness))


def _shear(mask: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Move column x up by shifts[x]; the result is taller by the largest shift."""
    height, width = mask.shape
    tall = np.zeros((height + int(shifts.max()), width), bool)
    rows, columns = np.nonzero(mask)
    tall[rows + int(shifts.max()) - shifts[columns], columns] = True
    return tall


def _unshear(tall: np.ndarray, shifts: np.ndarray, height: int) -> np.ndarray:
    rows, columns = np.nonzero(tall)
    mask = np.zeros((height, tall.shape[1]), bool)
    mask[rows - int(shifts.max()) + shifts[columns], columns] = True
    return mask


def _long_runs(flat: np.ndarray, least: int) -> np.ndarray:
    """Pixels on a horizontal run of at least `least`, small gaps and a wobble of one pixel forgiven."""
    from scipy import ndimage

    wobble = 1 + flat.shape[1] // 1000
    thick = ndimage.maximum_filter1d(flat.astype(np.uint8), 2 * wobble + 1, axis=0)
    gap = max(3, least // 12) | 1
    closed = ndimage.minimum_filter1d(ndimage.maximum_filter1d(thick, gap, axis=1), gap, axis=1)
    opened = ndimage.maximum_filter1d(ndimage.minimum_filter1d(closed, least, axis=1), least, axis=1)
    return np.asarray((opened > 0) & flat)


def _thin_part(flat: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Of the line pixels, those where the ink is hardly thicker than the line usually is."""
    if not lines.any():
        return lines
    thickness = _run_lengths(flat)
    usual = np.median(thickness[lines])
    if usual > flat.shape[1] / SLENDER:
        return np.zeros_like(lines)
    return np.asarray(lines & (thickness <= 1.5 * usual + 1))


def _run_lengths(flat: np.ndarray) -> np.ndarray:
    """How long the vertical run is that each pixel lies on."""
    height = flat.shape[0]
    index = np.arange(height, dtype=np.int32)[:, None]
    last_off = np.maximum.accumulate(np.where(flat, -1, index), axis=0)
    next_off = np.minimum.accumulate(np.where(flat, height, index)[::-1], axis=0)[::-1]
    return np.asarray((next_off - last_off - 1) * flat)


def _digit_height(clean: np.ndarray) -> int:
    """The height of the larger components that are not lines themselves."""
    from scipy import ndimage

    labels, _ = ndimage.label(clean, np.ones((3, 3)))
    heights = np.array([box[0].stop - box[0].start for box in ndimage.find_objects(labels)])
    heights = heights[heights >= 6]
    if len(heights) == 0:
        return 0
    order = np.sort(heights)
    # Half of all height lies in components at least this tall: specks hardly count.
    return int(order[np.searchsorted(np.cumsum(order), order.sum() / 2)])
