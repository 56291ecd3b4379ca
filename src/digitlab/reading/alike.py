"""Signs of one page that look alike are most likely the same sign: one hand, one way of writing it."""

from __future__ import annotations

import numpy as np

# Below this likeness two signs tell each other nothing; from there to 1 their word counts from nothing to all.
UNLIKE = 0.6
# All others together count no more than this, a sign's own answer 1.
OTHERS = 2.0
# Only signs are asked that are digits this surely; what no probability of a digit falls below.
DIGIT, LEAST = 0.3, 1e-3
# Of an image's blur, pixels: strokes a little apart still count as the same.
BLUR = 1.2


def alike(images: np.ndarray, features: np.ndarray) -> np.ndarray:
    """How much signs look alike: the mean of the cosines of their blurred images and of what a network sees in them.

    Args:
        images: (n, 28, 28) uint8.
        features: (n, k) float32, of any length.

    Returns:
        (n, n) float32, at most 1.

    Example:
        >>> images = np.zeros((2, 28, 28), np.uint8); images[:, 4:24, 13:15] = 255
        >>> alike(images, np.ones((2, 3), np.float32)).round(2).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(images.astype(np.float32) / 255, (0, BLUR, BLUR)).reshape(len(images), -1)
    cosines = []
    for seen in (blurred, features.astype(np.float32)):
        unit = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-6)
        cosines.append(unit @ unit.T)
    return np.asarray((cosines[0] + cosines[1]) / 2, np.float32)


def told_by_each_other(rows: np.ndarray, likeness: np.ndarray) -> np.ndarray:
    """Which digit each sign is, weighed with what those that look like it are; whether it is one stays as it is.

    A geometric mean: a sign that is sure holds its own against some that waver, and a page on which one of twelve 7s
    is taken for a 1 gets twelve 7s.

    Args:
        rows: (n, 18) over `spotter.CHARACTERS`, rows sum to 1.
        likeness: (n, n), see `alike`.

    Returns:
        (n, 18), rows sum to 1.

    Reference:
        D. Zhou, O. Bousquet, T. Lal, J. Weston, B. Schölkopf, Learning with local and global consistency (2004); here
        one step of it.

    Example:
        >>> rows = np.full((3, 18), 0.001); rows[:2, 7], rows[2, 7], rows[2, 1] = 0.983, 0.44, 0.544
        >>> told_by_each_other(rows, np.ones((3, 3))).argmax(1).tolist()
        [7, 7, 7]
    """
    weights = np.maximum(0, (likeness - UNLIKE) / (1 - UNLIKE))
    share = rows[:, :10].sum(1, keepdims=True)
    weights *= (share > DIGIT) & (share.T > DIGIT)
    np.fill_diagonal(weights, 0)
    weights *= np.minimum(1, OTHERS / np.maximum(weights.sum(1, keepdims=True), 1e-9))
    np.fill_diagonal(weights, 1)
    which = np.maximum(rows[:, :10] / np.maximum(share, 1e-9), LEAST)
    which = np.exp(weights / weights.sum(1, keepdims=True) @ np.log(which))
    which *= share / which.sum(1, keepdims=True)
    return np.concatenate([which, rows[:, 10:]], 1).astype(np.float32)
