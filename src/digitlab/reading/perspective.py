"""A sheet photographed from the side: the page as it looks straight from above, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from digitlab.reading.paper import separating_grey
from digitlab.reading.picture import WORK_PIXELS, Picture
from digitlab.reading.sheet import corners_of_sheet
from digitlab.reading.sheet_map import sheet_map
from digitlab.reading.turning import box_back

if TYPE_CHECKING:
    from digitlab.reading.glyphs import Stages
    from digitlab.reading.results import ReadDigit

    # A page in; its signs, its stages, and by how many degrees it was turned out.
    ReadAnyWay = Callable[[Picture], tuple[list[ReadDigit], Stages, float]]

# Opposite sides that differ by less than this, degrees, are level enough to be read as they lie. No sheet that can be
# read is photographed more aslant than the second.
LEAST, MOST = 4.0, 40.0
# Nor does a sheet lie straight whose sides are off level and upright by this.
TILTED = 4.0
# So much of the table stays around it, as a share of its sides, by which its edge is found as on any photo.
AROUND = 0.06
# The corners are looked for on a copy of this many pixels on its long side.
COPY = 512
# The image's border must be this much darker than much of it, in grey levels, for a sheet to be looked for at all.
DARKER = 25


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Find the perspective that takes four points to four others.

    Args:
        source: (4, 2) float.
        target: (4, 2) float.

    Returns:
        (3, 3) float64; ``H @ (x, y, 1)``, divided by its third number, is the target.

    Example:
        >>> square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
        >>> homography(square, 2 * square + 3).round(6).tolist()
        [[2.0, 0.0, 3.0], [0.0, 2.0, 3.0], [0.0, 0.0, 1.0]]
    """
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    values = np.linalg.solve(np.array(rows, np.float64), np.asarray(target, np.float64).ravel())
    return np.append(values, 1.0).reshape(3, 3)


def through(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take (n, 2) points through a homography; returns (n, 2)."""
    projected = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(projected[:, :2] / projected[:, 2:])


def read_straight(picture: Picture, read: ReadAnyWay) -> tuple[list[ReadDigit], Stages, float, bool]:
    """Read a page, and one that was photographed from the side as it looks straight from above.

    Args:
        picture: the page.
        read: reads a page, whichever way it is turned.

    Returns:
        The signs (boxes in the image's own pixels, `upright` ones on the page as it was straightened), the stages,
        the degrees that `read` turned it by, and whether it was straightened.
    """
    straight = straightened(picture)
    if straight is not None:
        page, back = straight
        signs, stages, degrees = read(page)
        if signs:
            own = [
                replace(sign, upright=sign.upright or sign.box, box=box_back(sign.box, back, picture.size))
                for sign in signs
            ]
            return own, stages, degrees, True
    return (*read(picture), False)


def straightened(picture: Picture) -> tuple[Picture, np.ndarray] | None:
    """Show a sheet that was photographed from the side as it looks straight from above.

    Args:
        picture: the page.

    Returns:
        The sheet with a little of the table around it, and (3, 3) what brings a point of its own pixels back into the
        image's; None where no sheet lies on a table, or it lies straight.

    Example:
        >>> straightened(Picture(np.full((100, 200), 255, np.uint8), (200, 100), 1.0)) is None
        True
    """
    from PIL import Image

    image = Image.fromarray(picture.pixels)
    if not (_dark_around(image) or np.median(_border(sheet_map(np.asarray(image)))) < 0):
        return None
    factor = max(1.0, max(image.size) / COPY)
    copy = image.reduce(int(factor)) if factor >= 2 else image
    corners = corners_of_sheet(separating_grey(np.asarray(copy)), np.asarray(copy))
    if corners is None or _convergence(corners) > MOST:
        return None
    if _convergence(corners) < LEAST and abs(_tilt(corners)) < TILTED:
        return None
    corners = corners * np.array(image.size) / copy.size
    sides = np.hypot(*(np.roll(corners, -1, 0) - corners).T)
    width, height = max(sides[0], sides[2]), max(sides[1], sides[3])
    shrink = min(1.0, np.sqrt(WORK_PIXELS / (width * height)))
    width, height = shrink * width, shrink * height
    left, top = AROUND * width, AROUND * height
    place = np.array([(left, top), (left + width, top), (left + width, top + height), (left, top + height)])
    back = homography(place, corners)
    size = (round(width + 2 * left), round(height + 2 * top))
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX))
    rim = np.median(_border(small), axis=0)
    table = int(rim) if small.ndim == 2 else tuple(int(level) for level in rim)
    flat = image.transform(
        size, Image.Transform.PERSPECTIVE, tuple(back.ravel()[:8]), Image.Resampling.BICUBIC, fillcolor=table
    )
    scale = picture.scale / shrink
    own = np.diag([picture.scale, picture.scale, 1.0]) @ back @ np.diag([1 / scale, 1 / scale, 1.0])
    return Picture(np.asarray(flat), (round(size[0] * scale), round(size[1] * scale)), scale), own


def _dark_around(image: object) -> bool:
    """Whether the image's border is darker than much of it: most images need no closer look."""
    from PIL import Image

    assert isinstance(image, Image.Image)  # noqa: S101
    step = max(1, min(image.size) // 32)
    small = np.asarray(image.reduce(step).convert("L"), np.float32)
    border = _border(small)
    # A sheet is a fifth of its image at least.
    return float(np.quantile(small, 0.85) - np.median(border)) > DARKER


def _border(small: np.ndarray) -> np.ndarray:
    return np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])


def _tilt(corners: np.ndarray) -> float:
    """By how many degrees the sides are off level and upright, on the average, -45 to 45."""
    x, y = (np.roll(corners, -1, 0) - corners).T
    return float(np.degrees(np.angle(np.mean(np.exp(4j * np.arctan2(y, x)))) / 4))


def _convergence(corners: np.ndarray) -> float:
    """By how many degrees opposite sides differ, at most."""
    x, y = (np.roll(corners, -1, 0) - corners).T
    ways = np.degrees(np.arctan2(y, x))
    return float(max(abs((ways[i] - ways[i + 2]) % 360 - 180) for i in (0, 1)))
