"""Shapes of four straight sides: the one that a mask is, laid along its edge, and moved to where the colours change."""

from __future__ import annotations

import numpy as np

# Its four sides hold no more than this times its own area, and this much of a pixel along them, as a slip turned on a
# desk has steps for sides; a torn or round one has more corners.
FOUR_SIDED, STEPS = 1.06, 0.5
# A corner is at the image's border within this share of the image's side.
AT_BORDER = 0.015
# Sides are laid along its edge so many times.
FITS = 4
# The sine of the least angle at which two sides meet.
MEET = 0.2
# How far a side is moved to a step in the image's colours, in pixels of a copy of 512.
REACH = 16


def four_sides(mask: np.ndarray, exactly: bool = True) -> np.ndarray | None:
    """The corners of the four-sided shape that a mask is, clockwise from the upper left; None where it is none.

    Of the sides of its convex hull the one goes, again and again, without which its neighbours meet soonest.

    Args:
        mask: (h, w) bool.
        exactly: None where it is not that shape; else the corners of the one that it is nearly.

    Returns:
        (4, 2) float64 of x and y, pixels, or None.

    Example:
        >>> mask = np.zeros((20, 30), bool); mask[5:15, 10:25] = True
        >>> four_sides(mask).tolist()
        [[10.0, 5.0], [25.0, 5.0], [25.0, 15.0], [10.0, 15.0]]
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


def fitted(corners: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Lay four sides along a mask's edge, not around it.

    Args:
        corners: (4, 2) of x and y.
        mask: (h, w) bool.

    Returns:
        (4, 2) float64; None where the sides then do not meet.

    Example:
        >>> mask = np.zeros((40, 60), bool); mask[5:35, 10:50] = True; mask[35:38, 20:23] = True
        >>> fitted(four_sides(mask, exactly=False), mask).round().tolist()
        [[10.0, 6.0], [50.0, 6.0], [50.0, 34.0], [10.0, 34.0]]
    """
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
        met = _where_they_meet(lines)
        if met is None:
            return None
        corners = met
    return corners


def to_the_border(corners: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Let sides that lie along the border of an image lie beyond it: the sheet goes on there.

    Args:
        corners: (4, 2) of x and y.
        shape: (h, w) of the image.

    Returns:
        (4, 2) float64.

    Example:
        >>> to_the_border(np.array([(0.0, 10), (60, 10), (60, 40), (0, 40)]), (100, 200)).tolist()
        [[-3.0, 10.0], [60.0, 10.0], [60.0, 40.0], [-3.0, 40.0]]
    """
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


def at_the_step(corners: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Move each side to where an image's colours differ most between this side of it and the other.

    A ground's own edges differ now one way and now the other; along the sheet's edge it is one step.

    Args:
        corners: (4, 2) of x and y, clockwise.
        colours: (h, w, 3) float32.

    Returns:
        (4, 2) float64.

    Example:
        >>> photo = np.zeros((100, 120, 3), np.float32); photo[20:80, 30:90] = 200
        >>> near = np.array([(26.0, 24), (94, 16), (87, 84), (33, 77)])
        >>> bool(np.abs(at_the_step(near, photo) - [(30, 20), (90, 20), (90, 80), (30, 80)]).max() < 4)
        True
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
        start, end = a + first[best] * inward, b + last[best] * inward
        lines.append((start, (end - start) / max(np.hypot(*(end - start)), 1e-9)))
    met = _where_they_meet(lines)
    return corners if met is None else met


def _where_they_meet(lines: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """The corners (4, 2) of four lines, each a point and a direction of length 1; None where two hardly meet."""
    met = []
    for (a, u), (b, v) in zip(lines[-1:] + lines[:-1], lines, strict=True):
        system = np.column_stack([u, -v])
        if abs(np.linalg.det(system)) < MEET:
            return None
        met.append(a + np.linalg.solve(system, b - a)[0] * u)
    return np.array(met)


def within(corners: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Say which pixels lie within four sides.

    Args:
        corners: (4, 2) of x and y.
        shape: (h, w) of the image.

    Returns:
        (h, w) bool.

    Example:
        >>> int(within(np.array([(2.0, 1), (8, 1), (8, 5), (2, 5)]), (10, 10)).sum()) in range(20, 36)
        True
    """
    from PIL import Image, ImageDraw

    image = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners - 0.5], fill=1)
    return np.asarray(image)
