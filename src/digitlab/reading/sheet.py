"""A sheet photographed on a darker table: where does it lie?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from digitlab.reading.four_sides import AT_BORDER, four_sides
from digitlab.reading.sheet_map import mapped_sheets

# A sheet is at least this share of the image, and this much of the smallest box around it, however that lies.
MIN_AREA, MIN_FILL = 0.2, 0.8
# ... or this much where it has four straight sides: photographed aslant, it fills no box.
MIN_FILL_ASLANT = 0.6
# On a ground of every grey: neighbours differ by more than so many greys on at least this share of it, and it is darker
# than the sheet by so many on the whole.
ROUGH, ROUGH_SHARE, LIGHTER = 10.0, 0.12, 12.0
# ... and is so along this share of its edge. Such a sheet may be a slip, this share of the image, one of so many smooth
# pieces.
ALL_AROUND, MIN_AREA_SMOOTH, PIECES = 0.85, 0.06, 6
# The rim of a sheet that the network found, in pixels of a copy of 512 on its long side.
RIM = 5
# A board is darker than this, and what is written on it told from so many pixels within its edge.
DARK, MIDDLE = 150.0, 14


class Sheet(NamedTuple):
    """A light sheet found on a dark table.

    Attributes:
        whole: (h, w) bool, the sheet.
        inner: (h, w) bool, the sheet less its rim, in which what is no writing may lie: its torn edge.
        painted: (h, w) float32, the image with the table painted over in the colour of the nearest paper.
        dark: whether it is a board with light writing.
    """

    whole: np.ndarray
    inner: np.ndarray
    painted: np.ndarray
    dark: bool = False


def sheet_on_table(grey: np.ndarray, pixels: np.ndarray | None = None) -> Sheet | None:
    """Find the sheets that lie on a table, if that is what the image shows.

    Without this the table would count as the paper, the sheet as one great light blot, and what else lies on it would
    be read. Where a network is sure of sheets (`sheet_map.py`), it says where they are; else one is looked for that is
    lighter than all of the table, then smooth ones on a rough ground. A digit of chalk must not pass for a sheet: it is
    large, nearly fills its own box, leaves a dark rim on all sides and carries dark marks.

    Args:
        grey: (h, w) float32, 0..255.
        pixels: (h, w, 3) uint8, its colours; None where it has none.

    Returns:
        The sheet; None where there is none.

    Example:
        >>> photo = np.full((120, 120), 40, np.float32); photo[20:100, 20:100] = 210
        >>> photo[40:60, 50:54] = 30; photo[70:90, 60:64] = 30
        >>> sheet, inner, painted, _ = sheet_on_table(photo)
        >>> bool(inner[60, 60]), bool(sheet[5, 5]), int(painted[5, 5])
        (True, False, 210)
        >>> sheet_on_table(np.full((120, 120), 210, np.float32)) is None
        True
    """
    from scipy import ndimage

    from digitlab.reading.paper import resized

    seen = _seen(grey, pixels)
    if seen is None:
        return None
    if seen.fine is not None:
        return _as_mapped(grey, seen, seen.fine)
    surely = resized(seen.inner.astype(np.float32), grey.shape) > 0.5
    sheet = surely | _to_the_edge(grey, seen.inner, ~seen.outer, seen.level)
    deep = ndimage.binary_erosion(seen.inner, border_value=1)
    nearest = ndimage.distance_transform_edt(~deep, return_distances=False, return_indices=True)
    paint = resized(np.ascontiguousarray(seen.filled[tuple(nearest)]), grey.shape)
    return Sheet(sheet, surely, np.where(sheet, grey, paint))


def _as_mapped(grey: np.ndarray, seen: _Seen, fine: np.ndarray) -> Sheet:
    """A sheet that ends where the network says so, by a copy of 512 pixels."""
    from scipy import ndimage

    from digitlab.reading.paper import ink_is_dark, resized

    sheet = ndimage.binary_erosion(fine, border_value=1)
    inner = ndimage.binary_erosion(sheet, iterations=RIM, border_value=1)
    deep = resized(inner.astype(np.float32), seen.filled.shape) > 0.99
    deep = deep if deep.any() else seen.whole  # a strip
    nearest = ndimage.distance_transform_edt(~deep, return_distances=False, return_indices=True)
    paint = resized(np.ascontiguousarray(seen.filled[tuple(nearest)]), grey.shape)
    whole, within = (resized(part.astype(np.float32), grey.shape) > 0.5 for part in (sheet, inner))
    # What its writing is like is told without its edge, where a strip of the desk may be left.
    middle = resized(ndimage.binary_erosion(sheet, iterations=MIDDLE).astype(np.float32), grey.shape) > 0.5
    dark = bool(middle.any() and np.median(grey[middle]) < DARK and not ink_is_dark(np.where(middle, grey, paint)))
    return Sheet(whole, within, np.where(whole, grey, paint), dark)


def corners_of_sheet(grey: np.ndarray, pixels: np.ndarray | None = None) -> np.ndarray | None:
    """Find the corners of a sheet on a table.

    Args:
        grey: (h, w) float32, 0..255.
        pixels: (h, w, 3) uint8, its colours; None where it has none.

    Returns:
        (4, 2) float64 of x and y in pixels of `grey`, clockwise from the upper left; None where there is no sheet, it
        has not four straight sides, or the image does not show all of them.

    Example:
        >>> photo = np.full((128, 128), 40, np.float32); photo[20:100, 30:110] = 210
        >>> photo[40:60, 50:54] = 30; photo[70:90, 60:64] = 30
        >>> corners_of_sheet(photo).tolist()
        [[30.0, 20.0], [110.0, 20.0], [110.0, 100.0], [30.0, 100.0]]
    """
    small, filled = _filled(grey)
    # One that is lighter than all of the table ends where that says so, to half a pixel of the copy.
    lighter = _lighter(filled)
    corners = None if lighter is None or not _is_marked(small, filled, lighter) else four_sides(lighter.whole)
    if corners is not None:
        corners = corners / small.shape[::-1]
    elif (mapped := mapped_sheets(grey if pixels is None else pixels, small.shape)) is not None:
        corners = mapped.corners
    elif lighter is None and (smooth := _smoother(filled)) is not None and _is_marked(small, filled, smooth):
        corners = four_sides(smooth.whole)
        corners = corners if corners is None else corners / small.shape[::-1]
    if corners is None:
        return None
    # A side along the image's border is where the image ends, not the sheet.
    at_border = np.stack([corners < AT_BORDER, corners > 1 - AT_BORDER])
    if (at_border & np.roll(at_border, -1, axis=1)).any():
        return None
    return np.asarray(corners * grey.shape[::-1])


class _Seen(NamedTuple):
    """A sheet on a small copy of the image: itself, less its rim, what surely is table, and the grey between.

    Where the network found it, `fine` is itself on a copy of 512 pixels.
    """

    whole: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    filled: np.ndarray
    level: float
    fine: np.ndarray | None = None


def _seen(grey: np.ndarray, pixels: np.ndarray | None = None) -> _Seen | None:
    from scipy import ndimage

    small, filled = _filled(grey)
    if (mapped := mapped_sheets(grey if pixels is None else pixels, small.shape)) is not None:
        # Marks darker than paper, or lighter than a board, are none of it.
        flat, level = ndimage.median_filter(small, 9), float(np.median(small[mapped.whole]))
        return _Seen(mapped.whole, *_rims(mapped.whole), flat, level, mapped.fine)
    found = _lighter(filled)
    found = _smoother(filled) if found is None else found
    if found is None or not _is_marked(small, filled, found):
        return None
    return _Seen(found.whole, found.inner, found.outer, filled, found.level)


def _filled(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A small copy, and the same with writing and rulings on the sheet filled, so that it is one piece."""
    from scipy import ndimage

    from digitlab.reading.paper import small_copy

    small = small_copy(grey, 128)
    return small, ndimage.grey_closing(np.pad(small, 8, mode="edge"), (7, 7))[8:-8, 8:-8]


def _is_marked(small: np.ndarray, filled: np.ndarray, found: _Found) -> bool:
    """Whether a sheet carries dark marks."""
    return bool(np.mean((filled - small)[found.inner] > 0.15 * found.step) >= 0.005)


class _Found(NamedTuple):
    """A sheet by itself, less its rim, what surely is table, the grey between, and how much lighter it is."""

    whole: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    level: float
    step: float


def _lighter(filled: np.ndarray) -> _Found | None:
    """A sheet that is lighter than all of the table."""
    from scipy import ndimage

    level = _otsu(filled)
    light = filled > level
    if not light.any() or light.all():
        return None
    # The sheet's own shaded corner is still nearer to the sheet than to the table.
    low, high = np.median(filled[~light]), np.median(filled[light])
    light = filled > min(level, low + 0.4 * (high - low))
    if not 0.15 < light.mean() < 0.9:
        return None
    dark_part, light_part = filled[~light], filled[light]
    step = float(np.median(light_part) - np.median(dark_part))
    if step < 50 or np.percentile(dark_part, 90) > np.percentile(light_part, 10):
        return None
    whole = _one_piece(light)
    if whole is None or not _lies_free(whole, light):
        return None
    inner, outer = _rims(whole)
    # A sheet ends at once; a lamp's cone fades.
    edge = ndimage.binary_dilation(inner) & ~inner
    beside = ndimage.binary_dilation(edge) & inner
    beyond = ndimage.minimum_filter(np.where(outer, filled, 999), 9)[edge]
    if not beside.any() or np.median(filled[beside]) - np.median(beyond) < 0.6 * step:
        return None
    return _Found(whole, inner, outer, float((low + high) / 2), step)


def _smoother(filled: np.ndarray) -> _Found | None:
    """A sheet, or several, on a ground of every grey: wood, cloth, a keyboard; a sheet is smooth, that is not."""
    from scipy import ndimage

    rough = ndimage.morphological_gradient(filled, (3, 3)) > ROUGH
    labels, _ = ndimage.label(~rough)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    sheets: list[_Found] = []
    for label in np.argsort(-sizes)[:PIECES]:
        if sizes[label] < 0.9 * MIN_AREA_SMOOTH * rough.size:
            break
        whole = np.asarray(ndimage.binary_dilation(ndimage.binary_fill_holes(labels == label), np.ones((3, 3))))
        if not MIN_AREA_SMOOTH < whole.mean() < 0.9:
            continue
        inner, outer = _rims(whole)
        if not inner.any() or outer.mean() < 0.1 or rough[outer].mean() < ROUGH_SHARE:
            continue
        paper, ground = float(np.median(filled[inner])), float(np.median(filled[outer]))
        around = ndimage.binary_dilation(~outer, iterations=2) & outer
        clear = np.mean(filled[around] < paper - LIGHTER) >= ALL_AROUND and paper >= ground + LIGHTER
        if clear and _lies_free(whole, whole, 0.2) and four_sides(whole) is not None:
            sheets.append(_Found(whole, inner, outer, (paper + ground) / 2, max(paper - ground, 50.0)))
    if not sheets:
        return None
    whole, inner, outer = (
        np.logical_or.reduce([sheet.whole for sheet in sheets]),
        np.logical_or.reduce([sheet.inner for sheet in sheets]),
        np.logical_and.reduce([sheet.outer for sheet in sheets]),
    )
    return _Found(whole, inner, outer, min(sheet.level for sheet in sheets), min(sheet.step for sheet in sheets))


def _one_piece(light: np.ndarray) -> np.ndarray | None:
    """The largest piece with its holes filled, where it is large and has few holes."""
    from scipy import ndimage

    labels, _ = ndimage.label(light)
    one = labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    whole = np.asarray(ndimage.binary_fill_holes(one))
    return None if whole.mean() < MIN_AREA or one.sum() < 0.95 * whole.sum() else whole


def _lies_free(whole: np.ndarray, light: np.ndarray, least: float = 0.35) -> bool:
    """Whether a piece has a sheet's shape and size, and lies on something that shows on all sides."""
    rows, columns = np.nonzero(whole.any(1))[0], np.nonzero(whole.any(0))[0]
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    fill = whole.sum() / _least_box(whole)
    if fill < MIN_FILL and (fill < MIN_FILL_ASLANT or four_sides(whole) is None):
        return False
    rim = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    return bool(rim.mean() <= 0.25 and min(height / whole.shape[0], width / whole.shape[1]) >= least)


def _rims(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sheet less its rim, and what surely is none of it."""
    from scipy import ndimage

    inner = ndimage.binary_erosion(whole, iterations=2, border_value=1)
    return np.asarray(inner), np.asarray(~ndimage.binary_dilation(whole, iterations=2))


def _least_box(mask: np.ndarray) -> float:
    """The area of the smallest rectangle around a mask, whichever way it lies, to 3 degrees."""
    y, x = np.nonzero(mask)
    angles = np.radians(np.arange(0, 90, 3))[:, None]
    across, down = np.cos(angles) * x + np.sin(angles) * y, np.cos(angles) * y - np.sin(angles) * x
    return float(((np.ptp(across, axis=1) + 1) * (np.ptp(down, axis=1) + 1)).min())


def _to_the_edge(grey: np.ndarray, inner: np.ndarray, outer: np.ndarray, level: float) -> np.ndarray:
    """Follow the sheet's edge finer than the small copy shows it: what is written close to the edge must stay whole.

    Between what surely is the sheet and what surely is the table, the sheet reaches as far as light pixels do, and
    as a stroke does that has light pixels on its far side.
    """
    from scipy import ndimage

    from digitlab.reading.paper import resized, small_copy

    fine = small_copy(grey, 512)
    surely, maybe = (resized(part.astype(np.float32), fine.shape) > 0.5 for part in (inner, outer))
    light = surely | ((fine > level) & maybe)
    reach = np.ones((1 + 2 * (fine.shape[0] // 100), 1 + 2 * (fine.shape[1] // 100)), bool)
    closed = ndimage.binary_closing(np.pad(light, 8), reach)[8:-8, 8:-8]
    # The edge itself is half paper, half table: one pixel of it goes.
    sheet = ndimage.binary_erosion(surely | closed, border_value=1)
    return np.asarray(resized(sheet.astype(np.float32), grey.shape) > 0.5)


def _otsu(values: np.ndarray) -> float:
    """The level that parts the values into the two most different groups.

    Reference: N. Otsu, A threshold selection method from gray-level histograms (1979).
    """
    low, high = float(values.min()), float(values.max())
    counts, edges = np.histogram(values, 64, range=(low, max(high, low + 1)))  # of a blank page too
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * np.square(sums / below - (sums[-1] - sums) / above)
    return float(edges[1 + int(np.argmax(np.nan_to_num(between[:-1])))])
