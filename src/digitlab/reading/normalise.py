"""Give a digit MNIST's own geometry: pen width, 20 x 20 box, centre of mass in the middle of 28 x 28."""

from __future__ import annotations

import numpy as np

from digitlab.reading.components import Blob

# Work at four times the size, then average 4 x 4: edges come out soft, as MNIST's are.
FINE = 4
BOX = 20
SIDE = 28
# MNIST puts the centre of mass on pixel 14 (measured: 13.99, 14.01), which is half a pixel right of the true centre.
MIDDLE = FINE * 14 + (FINE - 1) / 2
# MNIST's pens, measured by the same rule on validation digits: 5 % are thinner than 1.55 pixels, 5 % wider than 3.65.
THIN, THICK = 1.8, 3.4
# How far a second look turns (radians) and slants (share of the height) a glyph.
TURN, SLANT = 0.1, 0.12


def ink_inside(ink: np.ndarray, blob: Blob) -> np.ndarray:
    """Cut a blob's ink out, its neighbours wiped, its own full darkness scaled to 1.

    Args:
        ink: (h, w) float32 of the page.
        blob: what to cut.

    Returns:
        (blob height + 4, blob width + 4) float32.

    Example:
        >>> ink_inside(np.full((9, 9), 0.4, np.float32), Blob(3, 3, np.ones((2, 2), bool), 0.4)).shape
        (6, 6)
    """
    from scipy import ndimage

    pad = 2
    mask = np.pad(blob.mask, pad)
    # The soft edge just outside belongs to the blob as well.
    near = ndimage.binary_dilation(mask, iterations=pad)
    window = np.zeros(mask.shape, np.float32)
    row0, column0 = max(0, blob.top - pad), max(0, blob.left - pad)
    part = ink[row0 : blob.bottom + pad, column0 : blob.right + pad]
    row, column = row0 - blob.top + pad, column0 - blob.left + pad
    window[row : row + part.shape[0], column : column + part.shape[1]] = part
    window = np.where(near, window, 0)
    # Each stretch of the stroke is measured against the darkest ink near it, so the pale half of a pencil 8 stays.
    reach = max(3, max(blob.height, blob.width) // 6) | 1
    full = ndimage.uniform_filter(ndimage.maximum_filter(window, reach), reach)
    return np.asarray(window / np.clip(full, 0.45 * blob.dark, 1.2 * blob.dark + 1e-3))


def normalise(ink: np.ndarray) -> np.ndarray:
    """Turn one digit's ink into the image a network trained on MNIST knows.

    The shape is cut at half its darkness, its pen brought into MNIST's range by growing or shrinking the outline
    (a distance transform, so corners stay round), and then fitted and centred as LeCun did it.

    Args:
        ink: (h, w) float, 0 (paper) to about 1 (the digit's own darkest), cut to the digit.

    Returns:
        (28, 28) uint8, bright ink on 0; all 0 where there is no ink.

    Reference:
        LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition (1998), section III.

    Example:
        >>> bar = np.ones((60, 9))
        >>> glyph = normalise(bar)
        >>> glyph.shape, round(float(glyph.max(axis=1).sum()) / 255)
        ((28, 28), 20)
    """
    from scipy import ndimage

    distance = _outline(ink)
    if distance is None:
        return np.zeros((SIDE, SIDE), np.uint8)
    wanted, width = FINE * BOX, pen_width(distance)
    # The pen is measured in pixels of the 20 x 20 box.
    change = np.clip(width, FINE * THIN, FINE * THICK) - width
    if change:
        distance = distance + change / 2
        distance = _fit(distance, wanted)
    canvas = np.full((FINE * SIDE, FINE * SIDE), -9.0, np.float32)
    height, length = distance.shape
    shape = np.clip(distance + 0.5, 0, 1)
    row, column = ndimage.center_of_mass(shape)
    top = int(np.clip(round(MIDDLE - row), 0, FINE * SIDE - height))
    left = int(np.clip(round(MIDDLE - column), 0, FINE * SIDE - length))
    canvas[top : top + height, left : left + length] = distance
    fine = np.clip(canvas + 0.5, 0, 1)
    glyph = fine.reshape(SIDE, FINE, SIDE, FINE).mean((1, 3))
    return np.asarray(np.round(255 * glyph), dtype=np.uint8)


def views_of(images: np.ndarray) -> list[np.ndarray]:
    """Show glyphs as another hand might have held the pen: slanted and turned a little, both ways.

    Args:
        images: (n, 28, 28) uint8.

    Returns:
        Four times (n, 28, 28) uint8.

    Example:
        >>> len(views_of(np.zeros((2, 28, 28), np.uint8)))
        4
    """
    from scipy import ndimage

    turn = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
    slant = np.array([[1.0, 0.0], [SLANT, 1.0]])
    middle = np.array([14.0, 14.0])
    return [
        np.stack([ndimage.affine_transform(image, matrix, middle - matrix @ middle, order=1) for image in images])
        for matrix in (slant, 2 * np.eye(2) - slant, turn, turn.T)
    ]


def pen_width(distance: np.ndarray) -> float:
    """Measure the pen: twice the typical distance from the stroke's middle to its edge.

    Args:
        distance: (h, w) float, signed distance to the outline, positive inside.

    Returns:
        The width in the same pixels.

    Example:
        >>> from scipy import ndimage
        >>> bar = np.pad(np.ones((80, 9)), 3)
        >>> round(pen_width(ndimage.distance_transform_edt(bar) - 0.5))
        9
    """
    from scipy import ndimage

    ridge = (distance > 0.4) & (distance >= ndimage.maximum_filter(distance, 3) - 1e-3)
    return float(2 * np.median(distance[ridge])) if ridge.any() else 1.0


def _outline(ink: np.ndarray) -> np.ndarray | None:
    """The digit, 80 pixels on its long side, as the signed distance to its outline."""
    from PIL import Image

    ink = np.asarray(ink, dtype=np.float32)
    if not ink.size or ink.max() <= 0:
        return None
    rows, columns = np.nonzero(ink.max(1) >= 0.5)[0], np.nonzero(ink.max(0) >= 0.5)[0]
    if not len(rows) or not len(columns):
        return None
    # One pixel of border, so that the soft edge of the enlarged shape is not cut.
    ink = np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    factor = FINE * BOX / (max(ink.shape) - 2)
    size = (max(1, round(ink.shape[1] * factor)), max(1, round(ink.shape[0] * factor)))
    kind = Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.BOX
    large = np.asarray(Image.fromarray(ink).resize(size, kind))
    return _crop(_signed_distance(large >= 0.5))


def _signed_distance(inside: np.ndarray) -> np.ndarray | None:
    from scipy import ndimage

    if not inside.any():
        return None
    padded = np.pad(inside, 14)
    signed = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
    return np.asarray(np.where(signed > 0, signed - 0.5, signed + 0.5), dtype=np.float32)


def _crop(distance: np.ndarray | None) -> np.ndarray | None:
    if distance is None or not (distance > 0).any():
        return None
    rows, columns = np.nonzero((distance > 0).any(1))[0], np.nonzero((distance > 0).any(0))[0]
    return distance[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _fit(distance: np.ndarray, wanted: int) -> np.ndarray:
    """Resize a changed outline back to the box."""
    from PIL import Image

    cut = _crop(distance)
    if cut is None:
        return distance
    factor = wanted / max(cut.shape)
    size = (max(1, round(cut.shape[1] * factor)), max(1, round(cut.shape[0] * factor)))
    return np.asarray(np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.BILINEAR)) * np.float32(factor))
