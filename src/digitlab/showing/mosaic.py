"""Images laid out row by row on one sheet, for figures and for the report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mosaic(images: NDArray[np.uint8], columns: int, gap: int = 0, caption: int = 0) -> NDArray[np.uint8]:
    """Lay images out row by row on one sheet, with room under each for a caption.

    Args:
        images: (n, h, w) uint8.
        columns: Images in a row, at least 1.
        gap: Empty pixels to the right of and below each.
        caption: More empty pixels below each.

    Returns:
        (rows * (h + gap + caption), columns * (w + gap)) uint8, at least one row; what holds no image is 0.

    Example:
        >>> mosaic(np.full((3, 2, 2), 9, np.uint8), columns=2, gap=1)
        array([[9, 9, 0, 9, 9, 0],
               [9, 9, 0, 9, 9, 0],
               [0, 0, 0, 0, 0, 0],
               [9, 9, 0, 0, 0, 0],
               [9, 9, 0, 0, 0, 0],
               [0, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    count, height, width = images.shape
    rows, down, across = max(1, -(-count // columns)), height + gap + caption, width + gap
    sheet = np.zeros((rows * columns, down, across), np.uint8)
    sheet[:count, :height, :width] = images
    grid = sheet.reshape(rows, columns, down, across).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * down, columns * across))
