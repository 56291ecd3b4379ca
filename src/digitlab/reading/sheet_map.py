"""Which part of an image is paper, and which the desk that it lies on: a small network's answer."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from digitlab.reading.four_sides import at_the_step, fitted, four_sides, to_the_border, within
from digitlab.reading.model import BUNDLED
from digitlab.reading.spotter import open_spotter

# It learnt from images of this many pixels on the long side, and a multiple of so many on each.
SIDE, CELL = 128, 16
# A sheet is at least this share of the image.
MIN_AREA = 0.06
# What the network sees as a sheet is so sure on the average, or beside another one so sure, has hardly any holes, does
# not fill the image, and has this in common with its four sides.
SURE, SURE_BESIDE, FULL, MOST_AREA, ALIKE = 3.7, 1.5, 0.95, 0.93, 0.88
# What the network sees beside its sheets is no more than this share of them.
REST = 0.15
# It learnt from no images narrower than this.
NARROW = 0.6
# What hangs on a sheet is thinner than this share of its side.
HANGS = 0.06
# It is straight if this is common, and no sheet at all is what the network is so sure of.
STRAIGHT, NONE = 0.94, 4.0


class Mapped(NamedTuple):
    """Sheets that the network sees.

    Attributes:
        whole: (m, n) bool, on a small copy.
        fine: (r, s) bool, on a copy of 512 pixels on its long side.
        corners: (4, 2) of x and y, shares of the image's sides, clockwise from the upper left; None where it is more
            than one, or the network itself sees no straight sides.
    """

    whole: np.ndarray
    fine: np.ndarray
    corners: np.ndarray | None


def sheet_map(pixels: np.ndarray) -> np.ndarray:
    """Say how surely each place of an image is sheet; `making/sheets.py` made the network.

    Args:
        pixels: (h, w, 3) or (h, w) of 0..255.

    Returns:
        (m, n) float32, at most 64 each, of the whole image: above 0 where there more likely is sheet than ground.

    Example:
        >>> photo = np.full((120, 160), 60, np.uint8); photo[20:100, 30:130] = 230
        >>> found = sheet_map(photo)
        >>> found.shape, bool(found[24, 32] > 0), bool(found[2, 2] > 0)
        ((48, 64), True, False)
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    factor = max(height, width) / SIDE
    shape = max(CELL, round(height / factor)), max(CELL, round(width / factor))
    image = Image.fromarray(pixels.astype(np.uint8)).convert("RGB")
    small = np.asarray(image.resize(shape[::-1], Image.Resampling.BOX), np.float32)
    padded = np.pad(small, ((0, -shape[0] % CELL), (0, -shape[1] % CELL), (0, 0)), mode="edge")
    answer = _session().run(None, {"pixels": padded.transpose(2, 0, 1)[None]})[0][0, 0]
    return np.asarray(answer[: -(-shape[0] // 2), : -(-shape[1] // 2)])


def mapped_sheets(pixels: np.ndarray, size: tuple[int, ...]) -> Mapped | None:
    """Find the sheets that the network sees: pieces of its map with four sides, whether or not the image cuts them.

    Args:
        pixels: (h, w, 3) or (h, w) of 0..255.
        size: (m, n) of the copy on which they are to be.

    Returns:
        The sheets; None where it sees none for sure, or nothing else.

    Example:
        >>> photo = np.full((120, 160), 60, np.uint8); photo[20:100, 30:130] = 230
        >>> photo[40:60, 50:54] = photo[40:60, 80:84] = 30
        >>> found = mapped_sheets(photo, (96, 128))
        >>> bool(found.whole[48, 64]), bool(found.whole[3, 3]), found.corners.round(1).tolist()
        (True, False, [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    """
    from PIL import Image
    from scipy import ndimage

    from digitlab.reading.paper import resized

    if min(size) < NARROW * max(size):
        return None
    likely = resized(sheet_map(pixels), size)
    if (likely > 0).mean() > MOST_AREA:
        return None
    factor = max(1.0, min(512, max(pixels.shape[:2])) / max(size))
    shape = round(factor * size[0]), round(factor * size[1])
    image = Image.fromarray(pixels.astype(np.uint8)).convert("RGB").resize(shape[::-1], Image.Resampling.BOX)
    colours = np.asarray(image, np.float32)
    labels, number = ndimage.label(ndimage.binary_opening(np.pad(likely > 0, 4, mode="edge"), iterations=1)[4:-4, 4:-4])
    sheet, fine, surest = np.zeros(size, bool), np.zeros(shape, bool), 0.0
    found: list[np.ndarray | None] = []
    for label in range(1, number + 1):
        one = labels == label
        whole = np.asarray(ndimage.binary_fill_holes(one))
        if whole.mean() < MIN_AREA or one.sum() < FULL * whole.sum():
            continue
        sure = float(np.abs(likely[ndimage.binary_dilation(whole, iterations=8)]).mean())
        # What hangs on it is the desk's; the sides meet again where this rounds the corners.
        much = int(HANGS * np.sqrt(whole.sum()))
        whole = ndimage.binary_opening(np.pad(whole, 9, mode="edge"), iterations=1 + much)[9:-9, 9:-9]
        corners = four_sides(whole, exactly=False)
        corners = None if corners is None else fitted(corners, whole)
        if corners is None or sure < SURE_BESIDE:
            continue
        four = within(corners, size)
        alike = (four & whole).sum() / (four | whole).sum()
        if alike >= ALIKE:
            corners = at_the_step(factor * to_the_border(corners, size), colours)
            fine |= within(corners, shape)
            sheet |= within(corners / factor, size)
            surest = max(surest, sure)
            found.append(corners / shape[::-1] if alike >= STRAIGHT else None)
    # Beside what is taken there is no more that may be another.
    rest = (likely > 0) & ~ndimage.binary_dilation(sheet, iterations=3)
    if surest < SURE or rest.sum() > REST * sheet.sum():
        return None
    # A hand on it, a corner torn off: what surely is none.
    fine = np.asarray(ndimage.binary_fill_holes(fine & (resized(likely, shape) > -NONE)))
    if fine.mean() < sheet.mean() / 2:
        return None
    return Mapped(sheet, fine, found[0] if len(found) == 1 else None)


@cache
def _session() -> Any:
    return open_spotter(BUNDLED / "sheets.onnx", threads=1)  # 5 ms of work
