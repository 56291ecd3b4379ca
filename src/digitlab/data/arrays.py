"""Arrays as people have them, brought to what digitlab works with: uint8 images (n, 28, 28), uint8 labels (n,)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DataError

SIDE = 28


def images_from(values: Any, what: str = "images") -> NDArray[np.uint8]:
    """Bring images to uint8 (n, 28, 28).

    Args:
        values: (n, 28, 28), (n, 28, 28, 1) or (n, 784); whole numbers 0 to 255, or floats 0 to 1 or 0 to 255, or bool.
        what: What to call them in an error.

    Returns:
        (n, 28, 28) uint8; floats up to 1 are multiplied by 255.

    Raises:
        DataError: another shape or type, or values outside these ranges.

    Example:
        >>> images_from(np.ones((2, 784))).max()
        np.uint8(255)
    """
    array = np.asarray(values)
    pixels = math.prod(array.shape[1:])
    wanted = "(n, 28, 28), (n, 28, 28, 1) or (n, 784) of numbers 0 to 255 or 0 to 1"
    if array.ndim < 2 or pixels != SIDE * SIDE or array.shape[1:] not in ((SIDE, SIDE), (SIDE, SIDE, 1), (pixels,)):
        raise DataError(f"{what}: shape {array.shape}, expected {wanted}. Resize or reshape them first.")
    if array.dtype.kind not in "buif":
        raise DataError(f"{what}: type {array.dtype}, expected {wanted}.")
    array = array.reshape(-1, SIDE, SIDE)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not array.size:
        return array.astype(np.uint8)
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # also where it is NaN
        raise DataError(f"{what}: values from {low:g} to {high:g}, expected {wanted}. Undo the normalisation first.")
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and high <= 1):
        array = array * np.float32(255)
    return np.asarray(np.rint(array), np.uint8)


def labels_from(values: Any, what: str = "labels") -> NDArray[np.uint8]:
    """Bring labels to uint8 (n,).

    Args:
        values: (n,) or (n, 1) whole numbers from 0, also as floats.
        what: What to call them in an error.

    Returns:
        (n,) uint8.

    Raises:
        DataError: another shape, or no whole numbers 0 to 99.

    Example:
        >>> labels_from([[3.0], [1.0]]).tolist()
        [3, 1]
    """
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    whole = array.dtype.kind in "iu" or (array.dtype.kind == "f" and bool((array == np.round(array)).all()))
    if array.ndim != 1 or not whole or (array.size and not 0 <= array.min() <= array.max() <= 99):
        raise DataError(
            f"{what}: {array.dtype} of shape {array.shape}, expected (n,) whole numbers from 0."
            " Number the classes from 0; of one-hot labels take argmax(axis=1)."
        )
    return array.astype(np.uint8)
