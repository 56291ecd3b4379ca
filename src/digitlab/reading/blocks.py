"""Images enlarged without smoothing, as 8 x 8 digits are plotted: their blocks are rounded, so that strokes show."""

from __future__ import annotations

import numpy as np

# Neighbouring pixels that differ by so many greys are an edge.
EDGE = 10.0
# Edges of blocks are straight for at least so many pixels, and as far from the next; others bend at every pixel or two,
# and lines are thin. No more than this share is shorter or closer. From the last length on an edge is a drawn line.
LEAST, SHORT, LINE = 3, 0.03, 256
# That is told in areas of this many pixels, and those around each.
AREA = 32
# Bands looked at first, pixels across, and the share of short edges from which on a page is let alone.
SAMPLE, BAND, ELSEWHERE = 12, 16, 0.5
# Both sides of a line differ from it alike: their sum is less than this share of their difference.
ALIKE = 0.5
# A digit of 8 x 8 blocks has more runs of edges than these, and their strengths fall into so many ranges, each so many
# greys wide, that hold this share of them: blocks are of many greys. Rectangles that a program drew are of one or two.
RUNS, MANY, WIDE, SOME = 10, 6, 16.0, 0.02
# Standard deviation of the smoothing, in blocks: of 200 enlarged 8 x 8 digits 159 were read as they are, 190 with 0.3,
# 186 with 0.5, 160 with 0.7.
SMOOTH = 0.3


def rounded(grey: np.ndarray) -> np.ndarray:
    """Smooth the parts of a page that are made of blocks, by a third of a block.

    Args:
        grey: (h, w) float32, 0..255.

    Returns:
        (h, w) float32; the same array where nothing is made of blocks.

    Example:
        >>> greys = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.float32)
        >>> page = np.kron(greys, np.ones((8, 8), np.float32))
        >>> bool((rounded(page) != page).any())
        True
    """
    if min(grey.shape) < 2 * LEAST or _bends(grey):
        return grey
    from scipy import ndimage

    across, down = _edges(grey), _edges(grey.T).T
    thin = _thin(across) | _thin(down.T).T
    strength = np.maximum(np.abs(across), np.abs(down))
    across, down = across != 0, down != 0
    long = (across | down).astype(np.float32)
    short = (across & (thin | ~_straight(across)) | down & (thin | ~_straight(down.T).T)).astype(np.float32)
    shape = tuple(-(-side // AREA) for side in grey.shape)
    padding = [(0, AREA * cells - side) for cells, side in zip(shape, grey.shape, strict=True)]
    parts = [np.pad(part, padding).reshape(shape[0], AREA, shape[1], AREA).sum((1, 3)) for part in (short, long)]
    few, all_of = (ndimage.uniform_filter(part, 3, mode="constant") for part in parts)
    here = (few <= SHORT * all_of) & (all_of > 0)
    if not here.any():
        return grey
    inside = np.kron(here, np.ones((AREA, AREA), bool))[: grey.shape[0], : grey.shape[1]]
    ways = [across & inside, (down & inside).T]
    lengths, apart = (np.concatenate([measure(way) for way in ways]) for measure in (_lengths, _apart))
    lengths, apart = (some[(some >= LEAST) & (some < LINE)] for some in (lengths, apart))
    if len(lengths) < RUNS or not len(apart) or not _of_many_greys(strength[inside]):
        return grey
    block = float(min(np.percentile(lengths, 10), np.percentile(apart, 10)))
    soft = ndimage.gaussian_filter(grey, SMOOTH * block, mode="nearest")
    return np.asarray(np.where(inside, soft, grey), np.float32)


def _of_many_greys(strength: np.ndarray) -> bool:
    """Whether edges are of many strengths, as those between blocks are; those of drawn rectangles are of one or two."""
    counts = np.bincount((strength[strength > 0] / WIDE).astype(int))
    return bool((counts > SOME * counts.sum()).sum() >= MANY)


def _edges(grey: np.ndarray) -> np.ndarray:
    """(h, w) float32, how much lighter the right neighbour of a pixel is, where it differs most from it; else 0."""
    step = np.pad(np.diff(grey, axis=1), ((0, 0), (1, 2)))
    left, here, right = step[:, :-2], step[:, 1:-1], step[:, 2:]
    most = ((here > EDGE) & (here >= left) & (here > right)) | ((here < -EDGE) & (here <= left) & (here < right))
    return np.asarray(np.where(most, here, 0), np.float32)


def _straight(edges: np.ndarray) -> np.ndarray:
    """Of edges between columns, those that go on for `LEAST` rows."""
    run = edges[:-2] & edges[1:-1] & edges[2:]
    found = np.zeros_like(edges)
    for shift in range(LEAST):
        found[shift : shift + len(run)] |= run
    return found


def _thin(edges: np.ndarray) -> np.ndarray:
    """(h, w) bool, of edges between columns one side of a line thinner than `LEAST`: its other side is beside it.

    Enlarging an image smoothly leaves a weak edge beside each strong one.
    """
    found = np.zeros(edges.shape, bool)
    for shift in range(1, LEAST):
        one, other = edges[:, :-shift], edges[:, shift:]
        both = (one * other < 0) & (np.abs(one + other) < ALIKE * np.abs(one - other))
        found[:, :-shift] |= both
        found[:, shift:] |= both
    return found


def _apart(edges: np.ndarray) -> np.ndarray:
    """How far it is from each edge between columns to the next in its row."""
    rows, columns = np.nonzero(edges)
    return np.asarray(np.diff(columns)[np.diff(rows) == 0])


def _lengths(edges: np.ndarray) -> np.ndarray:
    """Lengths of the runs down each column."""
    padded = np.pad(edges.T, ((0, 0), (1, 1))).astype(np.int8).ravel()
    steps = np.diff(padded)
    return np.flatnonzero(steps < 0) - np.flatnonzero(steps > 0)


def _bends(grey: np.ndarray) -> bool:
    """Whether most edges are short or thin, by a few bands of the page: hardly any page needs a closer look."""
    short, total = 0, 0
    for page in (grey, grey.T):
        high = min(BAND, len(page))
        for top in np.linspace(0, len(page) - high, SAMPLE).astype(int):
            edges = _edges(page[top : top + high])
            total += int(np.count_nonzero(edges))
            short += int(np.count_nonzero((edges != 0) & (_thin(edges) | ~_straight(edges != 0))))
    return short > ELSEWHERE * total or not total
