"""Reading order: digits into lines, lines from top to bottom, each from left to right, even where they climb."""

from __future__ import annotations

import numpy as np

MAX_SLOPE = np.tan(np.radians(12.0))


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
    if len(x) < 3:
        return 0.0
    slopes = np.linspace(-MAX_SLOPE, MAX_SLOPE, 97)
    level = y[None] - slopes[:, None] * x[None]
    apart = np.abs(level[:, :, None] - level[:, None, :]) / (0.25 * tall)
    # Only neighbours on the page vote: at 40 digits a chance pair at the far corner must not.
    near = np.abs(x[:, None] - x[None]) < 6 * tall
    np.fill_diagonal(near, val=False)
    votes = (np.exp(-np.square(apart)) * near).sum((1, 2))
    votes -= 0.02 * votes.max(initial=0) * np.abs(slopes) / MAX_SLOPE
    return float(slopes[int(np.argmax(votes))])


def _chains(x: np.ndarray, level: np.ndarray, tall: float) -> list[list[int]]:
    """From left to right, put each box on the line whose last boxes lie at its level."""
    lines: list[list[int]] = []
    for i in np.argsort(x, kind="stable"):
        # The last three of a line say where it is now: it may bend.
        gaps = [abs(float(np.mean(level[line[-3:]])) - level[i]) for line in lines]
        best = int(np.argmin(gaps)) if gaps else -1
        if best >= 0 and gaps[best] < 0.6 * tall:
            lines[best].append(int(i))
        else:
            lines.append([int(i)])
    return lines
