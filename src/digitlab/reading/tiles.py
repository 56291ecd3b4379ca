"""Dark areas of a light page that are written on in white: tiles of a plotted figure, labels, signs."""

from __future__ import annotations

import numpy as np

from digitlab.reading.paper import small_copy

# Tiles are looked for on a copy of so many pixels on its long side, and are so many wide and high on it at least.
SIDE, LEAST = 512, 12
# Dark and light differ by so many greys at least; three quarters of the dark pixels by no more than so many.
STEP, EVEN = 60.0, 14.0
# A tile is dark along this share of its border and on the second share of its area; on the third it is light at least.
BORDER, DARK, LIGHT = 0.85, 0.5, 0.015
# The opening of a square 0 or 8 fills the box around it like this; of what is written on tiles, few things do.
FILLED = 0.85
# A tile as wide or high as this is the page.
PAGE = 0.9
# No more dark pieces are asked: grain.
MOST = 2000


def tiles_turned(grey: np.ndarray) -> np.ndarray:
    """Make dark areas with light writing like the page around them: light, with dark writing.

    Args:
        grey: (h, w) float32, 0..255.

    Returns:
        (h, w) float32; the same array where there are none.

    Example:
        >>> page = np.full((120, 120), 255, np.float32)
        >>> page[20:60, 20:60] = 0; page[30:50, 36:40] = 240; page[46:50, 30:46] = 240
        >>> turned = tiles_turned(page)
        >>> int(turned[25, 25]), int(turned[40, 38])
        (255, 0)
    """
    from scipy import ndimage

    small = small_copy(grey, SIDE)
    low, high = float(small.min()), float(small.max())
    if high - low < STEP:
        return grey
    dark = small < (low + high) / 2
    labels, number = ndimage.label(dark)
    if not 0 < number <= MOST:
        return grey
    scale = grey.shape[0] / small.shape[0], grey.shape[1] / small.shape[1]
    turned = grey
    for label, window in enumerate(ndimage.find_objects(labels), 1):
        if not _is_tile(labels[window] == label, small[window], small.shape):
            continue
        if turned is grey:
            turned = grey.copy()
        _turn(turned, window, scale)
    return turned


def _is_tile(dark: np.ndarray, grey: np.ndarray, page: tuple[int, ...]) -> bool:
    """Whether a dark piece is an even area with light writing in it; `grey` is what its box shows."""
    height, width = dark.shape
    if min(height, width) < LEAST or height >= PAGE * page[0] or width >= PAGE * page[1]:
        return False
    border = np.concatenate([dark[1], dark[-2], dark[:, 1], dark[:, -2]])
    inner = dark[1:-1, 1:-1]
    if border.mean() < BORDER or not DARK <= inner.mean() <= 1 - LIGHT:
        return False
    from scipy import ndimage

    base, deep = np.median(grey[dark]), ndimage.binary_erosion(dark, iterations=2)
    if not deep.any() or np.percentile(np.abs(grey[deep] - base), 75) > EVEN:
        return False
    light = ~inner
    rows, columns = np.flatnonzero(light.any(1)), np.flatnonzero(light.any(0))
    box = light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return bool(np.percentile(grey[1:-1, 1:-1][light], 90) - base >= STEP and box.mean() < FILLED)


def _turn(grey: np.ndarray, window: tuple[slice, slice], scale: tuple[float, float]) -> None:
    """Turn one tile, in place; its soft edge becomes page."""
    # Pixels of the small copy are means: a tile may begin one of them earlier or later.
    top, bottom = int(window[0].start * scale[0]), int(np.ceil(window[0].stop * scale[0]))
    left, right = int(window[1].start * scale[1]), int(np.ceil(window[1].stop * scale[1]))
    seam = int(np.ceil(max(scale))) + 1
    outer = grey[max(0, top - seam) : bottom + seam, max(0, left - seam) : right + seam]
    inner = grey[top + seam : bottom - seam, left + seam : right - seam].copy()
    rim = np.concatenate([outer[0], outer[-1], outer[:, 0], outer[:, -1]])
    paper, base, white = float(np.percentile(rim, 75)), float(np.median(inner)), float(np.percentile(inner, 99.5))
    outer[...] = paper
    share = np.clip((inner - base) / max(white - base, 1.0), 0, 1)
    grey[top + seam : bottom - seam, left + seam : right - seam] = paper - share * (paper - min(base, paper))
