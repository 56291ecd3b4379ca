"""Whose ink is whose: from the boxes of the signs to the ink of each, where they touch, overlap or lie on lines."""

from __future__ import annotations

import numpy as np

from digitlab.reading.components import EIGHT, Blob, quantile

# A sign's own ink may leave its box by this share of the box, as boxes are a network's estimate.
AROUND = 0.12
# A connected piece goes to one sign as a whole where this share of it is nearer to that sign than to any other.
WHOLE = 0.8
# What hangs together but reaches out of its sign's surroundings by more than this share is a line or a neighbour too.
INSIDE = 0.75


def cut_out(mask: np.ndarray, ink: np.ndarray, boxes: np.ndarray) -> list[Blob]:
    """Give each sign its ink.

    A pixel is nearest to the sign in whose box it lies deepest, measured in half widths and half heights from the
    middle. A connected piece goes to one sign if most of it is that sign's and it does not reach far out of the box; of
    other pieces (digits that touch, a stroke on a ruled line) each sign gets the pixels nearest to it.

    Args:
        mask: (h, w) bool, where there is ink.
        ink: (h, w) float32, 0..1.
        boxes: (n, 4) float of left, top, right, bottom.

    Returns:
        A blob for each box, in order; where the mask shows nothing, the box's darkest pixels.

    Example:
        >>> ink = np.zeros((20, 30), np.float32); ink[4:16, 5:14] = 1; ink[4:16, 14:24] = 1
        >>> [(blob.left, blob.width) for blob in cut_out(ink > 0.5, ink, np.array([[5, 4, 14, 16], [14, 4, 24, 16]]))]
        [(5, 9), (14, 10)]
    """
    from scipy import ndimage

    boxes = np.asarray(boxes, float).reshape(-1, 4)
    height, width = mask.shape
    nearest = np.full(mask.shape, np.inf, np.float32)
    owner = np.full(mask.shape, -1, np.int32)
    windows = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        tall = max(bottom - top, right - left)
        pad = AROUND * tall + 1
        rows = slice(max(0, int(top - pad)), min(height, int(np.ceil(bottom + pad))))
        columns = slice(max(0, int(left - pad)), min(width, int(np.ceil(right + pad))))
        windows.append((rows, columns))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        # A stroke's half box is a pixel or two: what is measured is at least a tenth of its height.
        half_width, half_height = max((right - left) / 2, 0.1 * tall, 1), max((bottom - top) / 2, 0.1 * tall, 1)
        down = np.abs(np.arange(rows.start, rows.stop) + 0.5 - (top + bottom) / 2) / half_height
        across = np.abs(np.arange(columns.start, columns.stop) + 0.5 - (left + right) / 2) / half_width
        away = np.maximum(down[:, None], across[None]).astype(np.float32)
        nearer = away < nearest[rows, columns]
        nearest[rows, columns][nearer] = away[nearer]
        owner[rows, columns][nearer] = number
    labels, count = ndimage.label(mask, EIGHT)
    number_of = _owners(labels, count, owner, len(boxes))
    return [
        _blob(number, window, labels, owner, number_of, ink, boxes[number]) for number, window in enumerate(windows)
    ]


def _owners(labels: np.ndarray, count: int, owner: np.ndarray, number: int) -> np.ndarray:
    """(count + 1,) the sign to which each connected piece belongs as a whole; -1 where it is to be cut."""
    of = np.full(count + 1, -1, int)
    inked = labels > 0
    pieces, owners = labels[inked], owner[inked]
    size = np.bincount(pieces, minlength=count + 1)
    near = owners >= 0
    pairs, counts = np.unique(pieces[near].astype(np.int64) * max(number, 1) + owners[near], return_counts=True)
    piece, sign = pairs // max(number, 1), pairs % max(number, 1)
    owned = np.bincount(piece, counts, minlength=count + 1)
    whole = (counts >= WHOLE * owned[piece]) & (counts >= INSIDE * size[piece])
    of[piece[whole]] = sign[whole]
    return of


def _blob(
    number: int,
    window: tuple[slice, slice],
    labels: np.ndarray,
    owner: np.ndarray,
    number_of: np.ndarray,
    ink: np.ndarray,
    box: np.ndarray,
) -> Blob:
    rows, columns = window
    of_piece = number_of[labels[rows, columns]]
    own = (labels[rows, columns] > 0) & ((of_piece == number) | ((of_piece < 0) & (owner[rows, columns] == number)))
    values = ink[rows, columns]
    if own.any():
        # Shreds of a line or a neighbour that are not joined to the sign's main part and far smaller go.
        own = _without_shreds(own)
    elif values.size and values.max() > 0:
        own = values > 0.5 * values.max()
    if not own.any():
        left, top = int(max(box[0], 0)), int(max(box[1], 0))
        return Blob(top, left, np.ones((1, 1), bool), 1.0)
    inside_rows, inside_columns = np.nonzero(own.any(1))[0], np.nonzero(own.any(0))[0]
    top, left = int(inside_rows[0]), int(inside_columns[0])
    cut = (slice(top, int(inside_rows[-1]) + 1), slice(left, int(inside_columns[-1]) + 1))
    dark = quantile(values[cut][own[cut]], 0.75)
    return Blob(rows.start + top, columns.start + left, own[cut], max(dark, 1e-3))


def _without_shreds(own: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    parts, count = ndimage.label(own, EIGHT)
    if count < 2:
        return own
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= 0.04 * sizes.max())[parts] & own)
