"""A sheet photographed on a darker table: where does it lie?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from digitlab.reading.sheet_map import sheet_map

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
# Its four sides hold no more than this times its own area, and this much of a pixel along them, as a slip turned on a
# desk has steps for sides; a torn or round one has more corners.
FOUR_SIDED, STEPS = 1.06, 0.5
# What the network sees as a sheet is so sure on the average, has hardly any holes, does not fill the image, and has this
# in common with its four sides.
SURE, FULL, MOST_AREA, ALIKE = 3.7, 0.95, 0.93, 0.88
# It learnt from no images narrower than this.
NARROW = 0.6
HANGS = 0.06
# Sides are laid along its edge so many times.
FITS = 4
# How far a side is moved to a step in the image's colours, in pixels of a copy of 512.
REACH = 16
# The rim of such a sheet, in pixels of a copy of 512 on its long side.
RIM = 4
# A corner is at the image's border within this share of the image's side.
AT_BORDER = 0.015


class Sheet(NamedTuple):
    """A light sheet found on a dark table.

    Attributes:
        whole: (h, w) bool, the sheet.
        inner: (h, w) bool, the sheet less its rim, in which what is no writing may lie: its torn edge.
        painted: (h, w) float32, the image with the table painted over in the colour of the nearest paper.
        may_be_dark: whether it may be a board with light writing.
    """

    whole: np.ndarray
    inner: np.ndarray
    painted: np.ndarray
    may_be_dark: bool = False


def sheet_on_table(grey: np.ndarray, pixels: np.ndarray | None = None) -> Sheet | None:
    """Find the one light sheet that lies on a dark ground, if that is what the image shows.

    Without this the table would count as the paper, the sheet as one great light blot. A digit of chalk must not pass
    for a sheet: a sheet is large, nearly fills its own box, leaves a dark rim on all sides and carries dark marks.

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
        >>> sheet_on_table(255 - photo) is None
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

    from digitlab.reading.paper import resized

    sheet = ndimage.binary_erosion(fine, iterations=2, border_value=1)
    inner = ndimage.binary_erosion(sheet, iterations=RIM, border_value=1)
    deep = resized(inner.astype(np.float32), seen.filled.shape) > 0.99
    nearest = ndimage.distance_transform_edt(~deep, return_distances=False, return_indices=True)
    paint = resized(np.ascontiguousarray(seen.filled[tuple(nearest)]), grey.shape)
    whole, within = (resized(part.astype(np.float32), grey.shape) > 0.5 for part in (sheet, inner))
    return Sheet(whole, within, np.where(whole, grey, paint), may_be_dark=True)


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
    seen = _seen(grey, pixels)
    if seen is None:
        return None
    corners = _four_sides(seen.whole)
    if corners is None:
        return None
    corners = corners / seen.whole.shape[::-1]
    # A side along the image's border is where the image ends, not the sheet.
    at_border = np.stack([corners < AT_BORDER, corners > 1 - AT_BORDER])
    if (at_border & np.roll(at_border, -1, axis=1)).any():
        return None
    return np.asarray(corners * grey.shape[::-1])


class _Seen(NamedTuple):
    """A sheet on a small copy of the image: itself, less its rim, what surely is table, and the grey between.

    `fine` is itself on a copy of 512 pixels, where the network found it.
    """

    whole: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    filled: np.ndarray
    level: float
    fine: np.ndarray | None = None


def _seen(grey: np.ndarray, pixels: np.ndarray | None = None) -> _Seen | None:
    from scipy import ndimage

    from digitlab.reading.paper import small_copy

    small = small_copy(grey, 128)
    # Writing and rulings on the sheet are filled, so that it is one piece.
    filled = ndimage.grey_closing(np.pad(small, 8, mode="edge"), (7, 7))[8:-8, 8:-8]
    if (mapped := _mapped(grey if pixels is None else pixels, small)) is not None:
        return mapped
    found = _lighter(filled)
    found = _smoother(filled) if found is None else found
    if found is None:
        return None
    whole, inner, outer, level, step = found
    marks = (filled - small)[inner]
    if np.mean(marks > 0.15 * step) < 0.005:
        return None
    return _Seen(whole, inner, outer, filled, level)


def _mapped(pixels: np.ndarray, small: np.ndarray) -> _Seen | None:
    """Sheets that the network sees: pieces of its map with four straight sides, whether or not the image cuts them."""
    from PIL import Image
    from scipy import ndimage

    from digitlab.reading.paper import resized

    if min(small.shape) < NARROW * max(small.shape):
        return None
    likely = resized(sheet_map(pixels), small.shape)
    if (likely > 0).mean() > MOST_AREA:
        return None
    factor = max(1.0, min(512, max(pixels.shape[:2])) / max(small.shape))
    shape = tuple(round(factor * side) for side in small.shape)
    image = Image.fromarray(pixels.astype(np.uint8)).convert("RGB").resize(shape[::-1], Image.Resampling.BOX)
    colours = np.asarray(image, np.float32)
    labels, number = ndimage.label(ndimage.binary_opening(np.pad(likely > 0, 4, mode="edge"), iterations=1)[4:-4, 4:-4])
    sheet, fine = np.zeros(small.shape, bool), np.zeros(shape, bool)
    for label in range(1, number + 1):
        one = labels == label
        whole = np.asarray(ndimage.binary_fill_holes(one))
        if whole.mean() < MIN_AREA_SMOOTH or one.sum() < FULL * whole.sum():
            continue
        around = ndimage.binary_dilation(whole, iterations=8)
        # What hangs on it is the desk's; the sides meet again where this rounds the corners.
        much = int(HANGS * np.sqrt(whole.sum()))
        whole = ndimage.binary_opening(np.pad(whole, 9, mode="edge"), iterations=1 + much)[9:-9, 9:-9]
        corners = _four_sides(whole, exactly=False)
        corners = None if corners is None else _fitted(corners, whole)
        if corners is None or np.abs(likely[around]).mean() < SURE:
            continue
        straight = _within(corners, whole.shape)
        alike = (straight & whole).sum() / (straight | whole).sum()
        if alike >= ALIKE:
            corners = _at_the_step(factor * _to_the_border(corners, whole.shape), colours)
            fine |= _within(corners, shape)
            sheet |= _within(corners / factor, whole.shape)
    if not sheet.any():
        return None
    # Marks darker than paper, or lighter than a board, are none of it.
    return _Seen(sheet, *_rims(sheet), ndimage.median_filter(small, 9), float(np.median(small[sheet])), fine)


def _fitted(corners: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Lay four sides (4, 2) along a mask's edge, not around it; None where they then do not meet."""
    from scipy import ndimage

    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    edge = np.column_stack([x, y]) + 0.5
    for _ in range(FITS):
        way = np.roll(corners, -1, 0) - corners
        normal = np.column_stack([-way[:, 1], way[:, 0]]) / np.maximum(np.hypot(*way.T), 1e-9)[:, None]
        off = (edge[:, None] - corners) * normal
        off = np.abs(off.sum(2))
        nearest = off.argmin(1)
        lines = []
        for side in range(4):
            own = edge[nearest == side]
            if len(own) < 8:
                return None
            own = own[off[nearest == side, side] <= np.quantile(off[nearest == side, side], 0.8) + 0.5]
            middle = own.mean(0)
            direction = np.linalg.svd(own - middle, full_matrices=False)[2][0]
            lines.append((middle, direction))
        met = []
        for (a, u), (b, v) in zip(lines[-1:] + lines[:-1], lines, strict=True):
            system = np.column_stack([u, -v])
            if abs(np.linalg.det(system)) < 0.2:
                return None
            met.append(a + np.linalg.solve(system, b - a)[0] * u)
        corners = np.array(met)
    return corners


def _to_the_border(corners: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Let sides (4, 2) that lie along the border of an image (h, w) lie beyond it: the sheet goes on there."""
    size = np.array(shape[::-1])
    moved = corners.copy()
    for side in range(4):
        both = [side, (side + 1) % 4]
        for axis in (0, 1):
            if (corners[both, axis] < 2 * AT_BORDER * size[axis]).all():
                moved[both, axis] = -AT_BORDER * size[axis]
            if (corners[both, axis] > (1 - 2 * AT_BORDER) * size[axis]).all():
                moved[both, axis] = (1 + AT_BORDER) * size[axis]
    return moved


def _at_the_step(corners: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Move each side (4, 2) to where the colours (h, w, 3) differ most between this side of it and the other.

    A ground's own edges differ now one way and now the other; along the sheet's edge it is one step.
    """
    height, width = colours.shape[:2]
    moves = np.arange(-REACH, REACH + 1, 2)
    first, last = (move.ravel() for move in np.meshgrid(moves, moves))
    lines = []
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        way = (b - a) / max(np.hypot(*(b - a)), 1e-9)
        inward = np.array([-way[1], way[0]])  # clockwise, as y grows downwards
        along = np.linspace(0.08, 0.92, 48)
        base = a + along[:, None] * (b - a)
        off = first[:, None] * (1 - along) + last[:, None] * along
        sides = []
        for apart in (-4, -2, 2, 4):
            at = base + (off + apart)[..., None] * inward
            x, y = np.rint(at[..., 0]).astype(int), np.rint(at[..., 1]).astype(int)
            there = (x >= 0) & (y >= 0) & (x < width) & (y < height)
            sides.append((colours[y.clip(0, height - 1), x.clip(0, width - 1)], there))
        seen = np.logical_and.reduce([there for _, there in sides])
        steps = sides[2][0] + sides[3][0] - sides[0][0] - sides[1][0]
        enough = seen.sum(1) >= 0.5 * len(along)
        step = np.linalg.norm((steps * seen[..., None]).sum(1) / np.maximum(seen.sum(1), 1)[:, None], axis=1) * enough
        step *= 1 - 0.3 * np.maximum(abs(first), abs(last)) / REACH
        best = int(step.argmax()) if step.any() else len(first) // 2
        lines.append((a + first[best] * inward, b + last[best] * inward))
    met = []
    for (a, b), (c, d) in zip(lines[-1:] + lines[:-1], lines, strict=True):
        system = np.column_stack([b - a, c - d])
        if abs(np.linalg.det(system)) < 1e-6:
            return corners
        met.append(a + np.linalg.solve(system, c - a)[0] * (b - a))
    return np.array(met)


def _within(corners: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool of shape `shape`, what lies within corners (4, 2) of x and y."""
    from PIL import Image, ImageDraw

    image = Image.new("1", shape[::-1])
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners - 0.5], fill=1)
    return np.asarray(image)


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
        if clear and _lies_free(whole, whole, 0.2) and _four_sides(whole) is not None:
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
    if fill < MIN_FILL and (fill < MIN_FILL_ASLANT or _four_sides(whole) is None):
        return False
    rim = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    return bool(rim.mean() <= 0.25 and min(height / whole.shape[0], width / whole.shape[1]) >= least)


def _rims(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sheet less its rim, and what surely is none of it."""
    from scipy import ndimage

    inner = ndimage.binary_erosion(whole, iterations=2, border_value=1)
    return np.asarray(inner), np.asarray(~ndimage.binary_dilation(whole, iterations=2))


def _four_sides(mask: np.ndarray, exactly: bool = True) -> np.ndarray | None:
    """The corners of the four-sided shape that a mask is, clockwise from the upper left; None where it is none.

    Not `exactly`, of the one that it is nearly.

    Of the sides of its convex hull the one goes, again and again, without which its neighbours meet soonest.
    """
    from scipy.spatial import ConvexHull

    y, x = np.nonzero(mask)
    pixels = np.concatenate([np.column_stack([x + dx, y + dy]) for dx in (0, 1) for dy in (0, 1)])
    points = [pixels[i].astype(float) for i in ConvexHull(pixels).vertices]  # all one way round
    while len(points) > 4:
        least, best, meeting = np.inf, -1, points[0]
        for i in range(len(points)):
            a, b, c, d = (points[(i + k) % len(points)] for k in (-1, 0, 1, 2))
            system = np.column_stack([b - a, d - c])
            if abs(np.linalg.det(system)) < 1e-9:
                continue
            along, back = np.linalg.solve(system, d - a)
            if along < 1 or back < 1:
                continue  # they part
            corner = a + along * (b - a)
            (ux, uy), (vx, vy) = corner - b, c - b
            more = abs(ux * vy - uy * vx) / 2
            if more < least:
                least, best, meeting = more, i, corner
        if best < 0:
            return None
        points[best] = meeting
        del points[(best + 1) % len(points)]
    corners = np.array(points)
    if len(corners) < 4:
        return None
    x, y = corners.T
    doubled = float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    around = float(np.hypot(*(corners - np.roll(corners, 1, axis=0)).T).sum())
    if exactly and abs(doubled) / 2 > FOUR_SIDED * mask.sum() + STEPS * around:
        return None
    corners = corners if doubled > 0 else corners[::-1]  # clockwise, as y grows downwards
    return np.roll(corners, -int(np.argmin(corners.sum(1))), axis=0)


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
