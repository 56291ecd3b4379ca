"""The boxes of a straightened sheet: which are filled, which are empty or crossed out, and the writing of each.

The pale outlines are found again near each box, so that paper that bends or a lens that does is followed; then they
are wiped out, and what is left of the box goes through the reader's own steps as one digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from digitlab.collecting import layout

SCALE, MARGIN = 8.0, 6.0  # pixels a millimetre of the straightened sheet; millimetres around the marks' centres
REACH = 2.2  # how far from where the marks say, in millimetres, a box may lie
LINE = 1.0  # an outline's pixels lie within so many millimetres of where it was found
LEAST_WRITING = 1.2  # square millimetres of ink that make a box a filled one: a dot of a pen is less


@dataclass(frozen=True, eq=False)
class Box:
    """One box of a sheet.

    Attributes:
        row, column: from 0; the row is the digit to be written.
        edges: left, top, right, bottom in pixels of the straightened sheet, as found.
        grey: (h, w) uint8, the box and a little around it, paper and light divided out and its outline wiped out.
        ink: square millimetres that are written on.
        corners: in how many of the box's four corners there is ink.
        strokes: the inked share of each diagonal, from the ink in one corner to that in the opposite one.
    """

    row: int
    column: int
    edges: tuple[float, float, float, float]
    grey: np.ndarray
    ink: float
    corners: int
    strokes: tuple[float, float]

    @property
    def empty(self) -> bool:
        """Whether nothing is written in it."""
        return self.ink < LEAST_WRITING


def cut_boxes(flat: np.ndarray) -> list[Box]:
    """Cut every box out of a straightened sheet.

    Args:
        flat: (h, w) float32 grey, 0..255, as `corner_marks.straightened` gives it with `SCALE` and `MARGIN`.

    Returns:
        120 boxes, row by row.
    """
    ink, paper = _ink_of(flat)
    # The paper divided out, so that what is painted over leaves no edge in a shadow.
    level_paper = 255 * np.clip(flat / paper, 0, 1)
    places = [_edges(row, column) for row in range(layout.ROWS) for column in range(layout.COLUMNS)]
    outline = _outline_level(ink, places)
    shifts = _smooth(np.array([_shift(ink, place, outline) for place in places]))
    found = [_moved(place, shift) for place, shift in zip(places, shifts, strict=True)]
    level = _writing_level(ink, found)
    threshold = max(0.4 * level, 0.14)
    boxes = []
    for index, edges in enumerate(found):
        row, column = divmod(index, layout.COLUMNS)
        boxes.append(_cut(level_paper, ink, row, column, edges, threshold, max(threshold, 1.6 * outline)))
    return boxes


def _edges(row: int, column: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = ((edge + MARGIN) * SCALE for edge in layout.box(row, column))
    return left, top, right, bottom


def _moved(edges: tuple[float, ...], shift: np.ndarray) -> tuple[float, float, float, float]:
    dx, dy = float(shift[0]), float(shift[1])
    return edges[0] + dx, edges[1] + dy, edges[2] + dx, edges[3] + dy


def _ink_of(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of the paper's light the ink takes away, 0..1, and the light of the paper; (h, w) float32 both."""
    from PIL import Image
    from scipy import ndimage

    soft = ndimage.gaussian_filter(flat, 0.12 * SCALE)
    size = (flat.shape[1] // 3, flat.shape[0] // 3)
    small = np.asarray(Image.fromarray(soft).resize(size, Image.Resampling.BOX), np.float32)
    # A closing fills what is narrower than 5 mm, and follows a shadow's edge, which a blur would smear.
    side = int(5 * SCALE / 3) | 1
    paper = ndimage.grey_closing(small, (side, side), mode="nearest")
    # It rides on the grain's crests; what most of the sheet lies below it by is that ride.
    paper -= np.quantile(paper - small, 0.4)
    paper = np.asarray(
        Image.fromarray(paper).resize((flat.shape[1], flat.shape[0]), Image.Resampling.BILINEAR), np.float32
    )
    paper = np.maximum(paper, 50)
    return np.clip((paper - soft) / paper, 0, 1), paper


def _outline_level(ink: np.ndarray, places: list[tuple[float, float, float, float]]) -> float:
    """How dark the pale outlines are: the strongest line near where each box's left side should be."""
    reach = round(REACH * SCALE)
    levels = []
    for left, top, _, bottom in places:
        x, rows = round(left), slice(round(top) + 8, round(bottom) - 8)
        levels.append(np.median(ink[rows, x - reach : x + reach + 1], axis=0).max())
    return float(np.clip(np.median(levels), 0.03, 0.4))


def _shift(ink: np.ndarray, edges: tuple[float, float, float, float], outline: float) -> tuple[float, float]:
    """How far from its place a box's outline lies, (dx, dy) in pixels."""
    left, top, right, bottom = (round(edge) for edge in edges)
    reach = round(REACH * SCALE)
    window = ink[top - reach : bottom + reach + 1, left - reach : right + reach + 1]
    # Writing is no stronger evidence than a line.
    window = np.minimum(window, 1.3 * outline)
    across = window[reach:-reach].mean(0)
    down = window[:, reach:-reach].mean(1)
    return _best(across, reach), _best(down, reach)


def _best(profile: np.ndarray, reach: int) -> float:
    """The shift that puts both edges on lines: a box has two of them at a known distance."""
    soft = np.convolve(profile, np.ones(3) / 3, "same")
    length = len(profile) - 2 * reach - 1
    offsets = np.arange(-reach, reach + 1)
    score = soft[offsets + reach] + soft[offsets + reach + length]
    return float(offsets[int(np.argmax(score - 0.001 * np.abs(offsets)))])


def _smooth(shifts: np.ndarray) -> np.ndarray:
    """Paper bends slowly: each box's shift is the median of its neighbours' and its own; (120, 2)."""
    from scipy import ndimage

    grid = shifts.reshape(layout.ROWS, layout.COLUMNS, 2)
    smooth = np.stack([ndimage.median_filter(grid[..., axis], 3, mode="nearest") for axis in (0, 1)], -1)
    return np.asarray(smooth.reshape(-1, 2))


def _inside(edges: tuple[float, float, float, float], inset: float) -> tuple[slice, slice]:
    by = inset * SCALE
    left, top, right, bottom = edges
    return slice(round(top + by), round(bottom - by)), slice(round(left + by), round(right - by))


def _writing_level(ink: np.ndarray, found: list[tuple[float, float, float, float]]) -> float:
    """How dark the writing is, where there is some: the 80th percentile of what is clearly ink in the boxes."""
    inner = np.concatenate([ink[_inside(edges, 1.3)].ravel() for edges in found])
    strong = inner[inner > 0.2]
    return float(np.quantile(strong, 0.8)) if len(strong) > 200 else 0.5


def _cut(
    level_paper: np.ndarray,
    ink: np.ndarray,
    row: int,
    column: int,
    edges: tuple[float, float, float, float],
    threshold: float,
    on_line: float,
) -> Box:
    from scipy import ndimage

    window = _inside(edges, -0.6)
    written, grey = ink[window] > threshold, level_paper[window].copy()
    inset = np.zeros(written.shape, bool)
    edge = round((0.6 + LINE) * SCALE)
    inset[edge:-edge, edge:-edge] = True
    # On the outline only what is darker than it is writing.
    written &= inset | (ink[window] > on_line)
    labels, count = ndimage.label(written, np.ones((3, 3)))
    if count:
        # A neighbour's stroke that reaches in lies on the rim; a digit's own lies inside for the most part.
        share = ndimage.mean(inset, labels, np.arange(1, count + 1))
        size = ndimage.sum(written, labels, np.arange(1, count + 1)) / SCALE**2
        written = np.isin(labels, 1 + np.flatnonzero((share > 0.35) & (size > 0.08)))
    near = ndimage.binary_dilation(written, iterations=3)
    # Paint the paper over whatever is neither writing nor paper well inside: outlines, neighbours, specks.
    keep = near | (inset & (ink[window] < 0.5 * threshold))
    grey[~keep] = np.median(grey[inset & ~near]) if (inset & ~near).any() else 255.0
    inner = written & inset
    ends = _ends(inner, edge)
    return Box(
        row,
        column,
        edges,
        np.clip(grey, 0, 255).astype(np.uint8),
        float(inner.sum()) / SCALE**2,
        sum(end is not None for end in ends),
        (_inked(inner, ends[0], ends[3]), _inked(inner, ends[1], ends[2])),
    )


def _ends(written: np.ndarray, edge: int) -> list[tuple[int, int] | None]:
    """The ink nearest to each corner, (row, column), or None: top left, top right, bottom left, bottom right."""
    core = written[edge:-edge, edge:-edge]
    height, width = core.shape
    rows, columns = np.nonzero(core)
    found: list[tuple[int, int] | None] = []
    for bottom, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        down = height - 1 - rows if bottom else rows
        across = width - 1 - columns if right else columns
        near = np.flatnonzero((down < 0.24 * height) & (across < 0.28 * width))
        if len(near) < 5:
            found.append(None)
            continue
        best = near[np.argmin(down[near] / height + across[near] / width)]
        found.append((int(rows[best]) + edge, int(columns[best]) + edge))
    return found


def _inked(written: np.ndarray, start: tuple[int, int] | None, stop: tuple[int, int] | None) -> float:
    """The share of the straight way between two points that lies within a pen's width of ink; 0 without both."""
    from scipy import ndimage

    if start is None or stop is None:
        return 0.0
    near = ndimage.binary_dilation(written, iterations=round(0.5 * SCALE))
    rows, columns = (np.linspace(a, b, 60).round().astype(int) for a, b in zip(start, stop, strict=True))
    return float(near[rows, columns].mean())
