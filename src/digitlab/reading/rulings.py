"""Find ruled lines, squares and table frames, and take them out from under the writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np

# A ruled line is at least this many digit heights long; the bar of a 7 or the foot of a 2 never is.
MIN_LENGTH = 1.7
# ... and so many pixels.
SHORTEST = 16
# ... and is a fiftieth of the page thick or less.
SLENDER = 50
# To be believed, some line must reach along this share of the page; then shorter ones go as well.
LEAST = 0.4
# A worn or faint line may have gaps; a row of digits is never this dense.
DENSE = 0.75
# Where strokes cross it a line is thick; along this share of its length it is not.
THIN = 0.4
# Writing this much darker than the lines is told from them by its darkness.
DARKER = 1.45
MAX_ANGLE = 12.0
# Pixels: what has no piece as wide as this has no line.
WIDE = 24


def remove_rulings(
    mask: np.ndarray, strong: np.ndarray, ink: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Erase long thin straight lines, sparing the strokes that cross them.

    The mask is sheared until the lines run along rows, so a page photographed aslant costs no interpolation. A line's
    pixel goes only where the ink is no thicker than the line itself: a stroke standing on it is thicker. Where the
    writing is darker than the lines, a stroke that runs along or beside one is told from it by that.

    Args:
        mask: (h, w) bool, everything darker than the paper.
        strong: (h, w) bool, what is as dark as the page's writing: pale rulings are out of it already, so it tells how
            tall the writing is.
        ink: (h, w) float32, 0..1, how dark each pixel is; None where that is not known.

    Returns:
        The mask without rulings, and the rulings taken out; both (h, w) bool.

    Example:
        >>> page = np.zeros((120, 400), bool)
        >>> page[60:62] = True               # a ruled line
        >>> page[30:75, 200:205] = True      # a 1 that crosses it
        >>> clean, lines = remove_rulings(page, page)
        >>> bool(clean[60, 10]), bool(clean[60, 202])
        (False, True)
    """
    height, width = mask.shape
    none = np.zeros_like(mask)
    longest = max(SHORTEST, int(LEAST * width))
    along = _Rows(mask)
    # Of a drawn digit and of most pages without rulings no more needs to be asked.
    if not along.may_hold(longest) or not along.lines(longest).any():
        return mask, none
    dark_along, dark_upright = _Rows(strong), _Rows(strong.T)
    stems = dark_upright.lines(max(24, int(LEAST * height))).T
    # One upright line may well be a 1 or the stem of a 7; two and more are squares or a table, if rows agree.
    writing = strong & ~dark_along.lines(max(24, int(LEAST * width))) & ~(stems if _pieces(stems) >= 2 else none)
    tall = _digit_height(writing)
    # What is left over must be writing that the lines are long against; else the "lines" were strokes of a digit.
    need = max(SHORTEST, int(MIN_LENGTH * tall))
    if tall == 0 or not along.lines(max(need, int(LEAST * width))).any():
        return mask, none
    upright = _Rows(mask.T)
    rulings = along.lines(need)
    # Upright lines are looked for only on squared paper and in tables: a lone 1 is an upright line too.
    if upright.lines(max(need, int(LEAST * height))).any():
        rulings = rulings | upright.lines(need).T
    if ink is not None:
        rulings &= ~_writing_along(rulings, strong & ~rulings, ink, tall)
    return mask & ~rulings, rulings


def _writing_along(rulings: np.ndarray, writing: np.ndarray, ink: np.ndarray, tall: int) -> np.ndarray:
    """What was taken for ruled though it is as dark as the writing: the stem of a 9, a 1 in a narrow cell."""
    from scipy import ndimage

    none = np.zeros_like(rulings)
    if not writing.any() or not rulings.any():
        return none
    usual = float(np.median(ink[rulings]))
    dark = float(np.median(ink[writing]))
    if dark < DARKER * usual:
        return none
    # Lines are darker at the shaded end of a page; the stems among them may not count.
    size = 4 * tall + 1
    capped = np.minimum(ink, DARKER * usual) * rulings
    share = ndimage.uniform_filter(rulings.astype(np.float32), size)
    line = ndimage.uniform_filter(capped, size) / np.maximum(share, 1e-6)
    level = np.sqrt(line * np.maximum(dark, DARKER * line))
    stroke = rulings & (ndimage.uniform_filter(ink, 3) > level)
    # Its soft edge goes with it; a grain of a line does not make a stroke.
    labels, _ = ndimage.label(stroke, np.ones((3, 3)))
    long = [max(part.stop - part.start for part in box) >= 0.2 * tall for box in ndimage.find_objects(labels)]
    stroke = np.array([False, *long])[labels]
    return np.asarray(ndimage.binary_dilation(stroke, np.ones((3, 3))) & rulings)


class _Rows:
    """A mask sheared so that its lines run along rows; owns the sheared copy, so that several lengths can be tried."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask, self.shape = np.ascontiguousarray(mask), mask.shape

    def may_hold(self, least: int) -> bool:
        """Whether enough columns have a thin place for a line of that length: told without its angle."""
        return int((self.mask & (self.runs <= self.thickest)).any(0).sum()) >= THIN * least

    @property
    def thickest(self) -> float:
        """The thickness of a line, at most."""
        return float(self.shape[1] / SLENDER + 1)

    @cached_property
    def possible(self) -> bool:
        """Whether something is as wide as a line."""
        return _is_wide(self.mask)

    @cached_property
    def shifts(self) -> np.ndarray:
        """How far up each column goes: (w,) int."""
        shifts = np.round(np.arange(self.shape[1]) * np.tan(np.radians(_angle_of_lines(self.mask)))).astype(int)
        return np.asarray(shifts - shifts.min())

    @cached_property
    def flat(self) -> np.ndarray:
        """The mask sheared: (more than h, w) bool."""
        return _shear(self.mask, self.shifts)

    @cached_property
    def runs(self) -> np.ndarray:
        """How long the vertical run is that each pixel of the mask lies on."""
        return _run_lengths(self.mask)

    @cached_property
    def thickness(self) -> np.ndarray:
        """The same of the sheared mask: shearing moves columns, and leaves their runs."""
        return _shear(self.runs, self.shifts)

    @cached_property
    def ink_before(self) -> np.ndarray:
        """How many pixels of a sheared row are ink before a column, a wobble of one forgiven: (h, w + 1) int32."""
        wobble = 1 + self.flat.shape[1] // 1000
        thick = self.flat.copy()
        for step in range(1, wobble + 1):
            thick[step:] |= self.flat[:-step]
            thick[:-step] |= self.flat[step:]
        return _counted_before(thick)

    def lines(self, least: int) -> np.ndarray:
        """Line pixels on runs of at least `least` pixels, strokes that cross them spared; unsheared (h, w) bool."""
        none = np.zeros(self.shape, bool)
        if not self.possible or least > self.shape[1]:
            return none
        # Pixels on a stretch of `least` pixels that is nearly all ink.
        rows = np.flatnonzero(self.ink_before[:, -1] >= DENSE * least)
        dense = _in_window(self.ink_before[rows], least) >= DENSE * least
        held = dense.any(1)
        rows, dense = rows[held], dense[held]
        runs = np.zeros_like(self.flat)
        runs[rows] = self.flat[rows] & (_in_window(_counted_before(dense), least) > 0)
        # Long runs through fat strokes say nothing about the lines.
        runs &= self.thickness <= self.thickest
        if not runs.any():
            return none
        usual = np.median(self.thickness[runs])
        # The line's soft edge is on no long run of its own: it goes with the pixels above or below it.
        near = runs.copy()
        near[1:] |= runs[:-1]
        near[:-1] |= runs[1:]
        near &= self.flat
        near &= self.thickness <= 1.5 * usual + 1
        return _unshear(near, self.shifts, self.shape[0])


def _pieces(lines: np.ndarray) -> int:
    """How many separate lines; cuts made by the writing do not count twice."""
    columns = np.asarray(lines.any(axis=0))
    step = max(3, lines.shape[1] // 40)
    parts = [columns[i : i + step].any() for i in range(0, len(columns), step)]
    return int(np.sum(np.diff(np.array([0, *parts], int)) == 1))


def _is_wide(mask: np.ndarray) -> bool:
    """Cheap refusal: a line, aslant or not, makes one component at least `WIDE` pixels wide."""
    from scipy import ndimage

    stretch, reach = mask, 1  # pixels that begin a row's stretch of so many
    while reach < WIDE and stretch.any():
        step = min(reach, WIDE - reach)
        stretch, reach = stretch[:, :-step] & stretch[:, step:], reach + step
    if stretch.any():
        return True
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return any(box[1].stop - box[1].start >= WIDE for box in ndimage.find_objects(labels))


def _angle_of_lines(mask: np.ndarray) -> float:
    """The shear, in degrees, under which the rows' sums are most uneven."""
    step = max(1, int(max(mask.shape) / 500))
    height, width = mask.shape[0] // step * step, mask.shape[1] // step * step
    counts = mask[:height, :width].reshape(height // step, step, width).sum(1, dtype=np.int32)
    small = (counts.reshape(height // step, width // step, step).sum(2) / np.float32(step**2)).astype(np.float32)
    if not small.any():
        return 0.0
    # Strips of four columns tell the angle to half a degree, from a quarter of the pixels.
    strips = small[:, : max(1, small.shape[1] // 4) * 4]
    strips = np.add.reduceat(strips, np.arange(0, strips.shape[1], 4), axis=1)
    best = max(np.arange(-MAX_ANGLE, MAX_ANGLE + 0.1, 0.5), key=_unevenness(strips, 4))
    return float(max(np.arange(best - 0.5, best + 0.51, 0.1), key=_unevenness(small, 1)))


def _unevenness(weights: np.ndarray, wide: int) -> Callable[[float], float]:
    """How unevenly ink lies on rows sheared by an angle; `wide` is the columns that one of `weights` stands for."""
    rows, columns = np.nonzero(weights)
    found, middles = weights[rows, columns], wide * (columns + 0.5) - 0.5

    def unevenness(angle: float) -> float:
        at = rows + 0.5 - middles * np.tan(np.radians(angle))
        sums = np.bincount((at - at.min()).astype(int), found)
        return float(np.square(sums).sum())

    return unevenness


def _alike(shifts: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Neighbouring columns that go up as far as each other: how far, and which."""
    edges = [0, *(np.flatnonzero(np.diff(shifts)) + 1), len(shifts)]
    for first, last in pairwise(edges):
        yield int(shifts[first]), slice(first, last)


def _shear(mask: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Move column x up by shifts[x]; the result is taller by the largest shift."""
    height, width = mask.shape
    most = int(shifts.max())
    tall = np.zeros((height + most, width), mask.dtype)
    for shift, columns in _alike(shifts):
        tall[most - shift : most - shift + height, columns] = mask[:, columns]
    return tall


def _unshear(tall: np.ndarray, shifts: np.ndarray, height: int) -> np.ndarray:
    mask = np.zeros((height, tall.shape[1]), bool)
    most = int(shifts.max())
    for shift, columns in _alike(shifts):
        mask[:, columns] = tall[most - shift : most - shift + height, columns]
    return mask


def _counted_before(mask: np.ndarray) -> np.ndarray:
    """How many pixels of each row are set before a column: (h, w + 1) int32."""
    counts = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int32)
    np.cumsum(mask, axis=1, out=counts[:, 1:])
    return counts


def _in_window(before: np.ndarray, size: int) -> np.ndarray:
    """How many are set in the stretch of `size` pixels around each, cut off at the ends: (h, w) int32."""
    width = before.shape[1] - 1
    ahead, behind = size - size // 2, size // 2
    counts = np.empty((len(before), width), np.int32)
    counts[:, : width - ahead] = before[:, ahead:width]
    counts[:, width - ahead :] = before[:, width:]
    counts[:, behind:] -= before[:, : width - behind]
    return counts


def _run_lengths(flat: np.ndarray) -> np.ndarray:
    """How long the vertical run is that each pixel lies on."""
    height = flat.shape[0]
    small = np.int16 if height < np.iinfo(np.int16).max else np.int32  # half the memory is half the time
    index = np.arange(height, dtype=small)[:, None]
    last_off = np.maximum.accumulate(np.where(flat, small(-1), index), axis=0)
    next_off = np.minimum.accumulate(np.where(flat, small(height), index)[::-1], axis=0)[::-1]
    return np.asarray((next_off - last_off - 1) * flat)


def _digit_height(clean: np.ndarray) -> int:
    """The height of the larger components that are not lines themselves."""
    from scipy import ndimage

    labels, count = ndimage.label(clean, np.ones((3, 3)))
    if count == 0:
        return 0
    areas = np.bincount(labels.ravel())[1:].astype(float)
    boxes = ndimage.find_objects(labels)
    heights = np.array([box[0].stop - box[0].start for box in boxes])
    widths = np.array([box[1].stop - box[1].start for box in boxes])
    # Dashes and crumbs of a worn line must not vote; of the rest, half of all height lies in components at least this
    # tall.
    areas[widths > 3 * heights] = 0
    if areas.max() < 12:
        return 0
    heights = np.sort(heights[areas >= 0.1 * np.percentile(areas[areas >= 12], 90)])
    return int(heights[np.searchsorted(np.cumsum(heights), heights.sum() / 2)])
