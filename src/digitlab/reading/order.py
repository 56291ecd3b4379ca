"""Reading order: digits into lines, lines from top to bottom, each from left to right, even where they climb."""

from __future__ import annotations

import numpy as np

MAX_SLOPE = np.tan(np.radians(12.0))
MOST_PAIRS = 200_000


def lines_of(boxes: np.ndarray) -> list[list[int]]:
    """Group boxes into lines of writing.

    First the common slope under which the boxes fall into the narrowest rows is looked for, then rows are cut where the
    centres jump by more than about half a digit, following a line that bends.

    Args:
        boxes: (n, 4) of left, top, right, bottom, in pixels.

    Returns:
        Indices, line by line from top to bottom, each line from left to right.

    Example:
        >>> lines_of(np.array([[40, 4, 50, 24], [0, 0, 10, 20], [3, 50, 14, 70]]))
        [[1, 0], [2]]
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    if len(boxes) == 0:
        return []
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    slope = _slope(x, y, tall)
    level = y - slope * x
    lines = _chains(x, level, tall)
    lines.sort(key=lambda line: float(np.mean(level[line])))
    return [sorted(line, key=lambda i: x[i]) for line in lines]


def _slope(x: np.ndarray, y: np.ndarray, tall: float) -> float:
    """The slope whose levels fall into the fewest, densest rows; flat wins a tie."""
    if len(x) < 3 or tall <= 0:
        return 0.0
    across, down = _near_pairs(x, y, tall)
    if not len(across):
        return 0.0
    slopes = np.linspace(-MAX_SLOPE, MAX_SLOPE, 97)
    votes = np.array([np.exp(-np.square((down - slope * across) / (0.25 * tall))).sum() for slope in slopes])
    votes -= 0.02 * votes.max(initial=0) * np.abs(slopes) / MAX_SLOPE
    return float(slopes[int(np.argmax(votes))])


def _near_pairs(x: np.ndarray, y: np.ndarray, tall: float) -> tuple[np.ndarray, np.ndarray]:
    """How far apart, across and down, the neighbours are that may lie on one line.

    Only neighbours vote: at 40 digits a chance pair at the far corner must not. On a page of very many pieces an even
    share of them: the slope needs a hundred pairs, and all pairs of 2,847 pieces once took 12 GB.
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    stop = np.searchsorted(x, x + 6 * tall, "left")
    count = stop - np.arange(len(x)) - 1
    step = 1 + int(count.sum()) // MOST_PAIRS
    first = np.repeat(np.arange(len(x)), -(-count // step))
    # 1, 1 + step, 1 + 2 step... places after the first of each pair.
    start = np.cumsum(-(-count // step)) - (-(-count // step))
    second = first + 1 + step * (np.arange(len(first)) - np.repeat(start, -(-count // step)))
    across, down = x[second] - x[first], y[second] - y[first]
    possible = np.abs(down) < (6 * MAX_SLOPE + 1) * tall
    return across[possible], down[possible]


def _chains(x: np.ndarray, level: np.ndarray, tall: float) -> list[list[int]]:
    """From left to right, put each box on the line whose last boxes lie at its level."""
    lines: list[list[int]] = []
    # The last three of a line say where it is now: it may bend.
    now = np.zeros(len(x))
    for i in np.argsort(x, kind="stable"):
        gaps = np.abs(now[: len(lines)] - level[i])
        best = int(np.argmin(gaps)) if len(lines) else -1
        if best >= 0 and gaps[best] < 0.6 * tall:
            lines[best].append(int(i))
        else:
            best = len(lines)
            lines.append([int(i)])
        now[best] = np.mean(level[lines[best][-3:]])
    return lines
