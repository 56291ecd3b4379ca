"""From ink to blobs: what hangs together; specks, frames and edges dropped; how tall a digit is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Below this share of the page's usual ink nothing is looked at; below CUT of its own darkness a blob ends: a half would
# part the pale strokes of a pencil 8, a quarter joins blurred neighbours.
FAINT = 0.17
CUT = 0.36
# What reaches along this share of the page is a fold's shadow, a table, the edge of a sheet: where writing hangs on it,
# the writing's darkness tells what is written.
ACROSS = 0.9
# A line reaches along this share of the page, is this thin, and its ink this long, in its lengths; a tall 1 is one only
# among so many others.
LONG, SLIM, STRAIGHT, OTHERS = 0.25, 0.03, 1.35, 4
# Pieces are alike if this share of them is as tall as the middle one within this factor.
AS_TALL, MOST_ALIKE = 1.6, 0.6
EIGHT = np.ones((3, 3), dtype=bool)
# More blobs than this on one page are grain, hatching or print, and the largest are kept.
MAX_BLOBS = 3000


@dataclass(frozen=True)
class Blob:
    """A connected piece of ink.

    Attributes:
        top, left: where `mask` lies in the working image, pixels.
        mask: (h, w) bool, its pixels, cut to its box.
        dark: its own full darkness, 0..1.
    """

    top: int
    left: int
    mask: np.ndarray
    dark: float

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.mask.shape[0])

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.mask.shape[1])

    @property
    def bottom(self) -> int:
        """First row below."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """First column to the right."""
        return self.left + self.width

    @property
    def window(self) -> tuple[slice, slice]:
        """Its box as an index into the page."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def pen(self) -> float:
        """Roughly how wide its strokes are, pixels: area over half the outline's length."""
        edge = sum(
            int(np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[[0, -1]]))
            for mask in (self.mask, self.mask.T)
        )
        return 2 * self.area / max(edge, 1)


def page_contrast(ink: np.ndarray, noise: float) -> float:
    """Measure how dark the writing on a page usually is; 0 where nothing rises above the paper's grain.

    The page is cut into tiles and the darkest spot of each is taken, so that three digits on twelve megapixels count
    as much as a full sheet.

    Args:
        ink: (h, w) float32, 0..1.
        noise: its standard deviation, from `noise_of`.

    Returns:
        The median darkness of the tiles with writing, 0..1.

    Example:
        >>> page_contrast(np.zeros((64, 64), np.float32), 0.0)
        0.0
    """
    tile = max(8, min(ink.shape) // 16)
    height, width = ink.shape[0] // tile * tile, ink.shape[1] // tile * tile
    tiles = ink[:height, :width].reshape(height // tile, tile, width // tile, tile).max((1, 3))
    top = float(tiles.max(initial=0.0))
    # Eight grey levels in 255, or seven times the grain: less is paper. Of a million pixels of pure grain, the darkest
    # reaches five.
    if top < max(0.03, 7 * noise):
        return 0.0
    return float(np.median(tiles[tiles > 0.5 * top]))


def blobs_of(ink: np.ndarray, mask: np.ndarray, contrast: float) -> list[Blob]:
    """Label what hangs together and cut each blob at a share of its own darkness.

    A pale pencil row and a black one on the same sheet each get the threshold that suits them.

    Args:
        ink: (h, w) float32, 0..1.
        mask: (h, w) bool, candidates, from a low threshold.
        contrast: the page's usual darkness.

    Returns:
        Blobs in no particular order, each at least a few pixels large.

    Example:
        >>> ink = np.zeros((20, 20), np.float32); ink[5:15, 9:12] = 0.8
        >>> blob, = blobs_of(ink, ink > 0.1, 0.8)
        >>> (blob.top, blob.left, blob.height, blob.width)
        (5, 9, 10, 3)
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask, EIGHT)
    if count == 0:
        return []
    areas = np.bincount(labels.ravel())[1:]
    # ndimage.maximum sorts the whole page for this: 0.44 s against 0.02 s.
    peaks = np.zeros(count + 1, np.float32)
    np.maximum.at(peaks, labels[mask], ink[mask])
    keep = np.nonzero((areas >= 4) & (peaks[1:] >= 0.3 * contrast))[0]
    if len(keep) > MAX_BLOBS:
        keep = keep[np.argsort(areas[keep])[-MAX_BLOBS:]]
    boxes = ndimage.find_objects(labels)
    blobs = []
    for index in keep:
        box = boxes[index]
        own = labels[box] == index + 1
        values = ink[box]
        dark = quantile(values[own], 0.8)
        across = max(own.shape[0] / ink.shape[0], own.shape[1] / ink.shape[1]) > ACROSS
        for piece, cut in _pieces(own, values, max(dark, contrast) if across else dark, across):
            darkness = quantile(values[cut][piece], 0.75)
            blobs.append(Blob(box[0].start + cut[0].start, box[1].start + cut[1].start, piece, darkness))
    return blobs


def quantile(values: np.ndarray, share: float) -> float:
    """As `numpy.quantile`, without what that costs for few values: a page of specks asks thousands of times.

    Args:
        values: (n,) float, at least one.
        share: 0 to 1.

    Returns:
        The value that this share of them lies below, between two of them by their distance.

    Example:
        >>> quantile(np.array([3.0, 1.0, 2.0]), 0.75)
        2.5
    """
    ordered = np.sort(values)
    at = (len(ordered) - 1) * share
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (at - low) * (ordered[high] - ordered[low]))


def _pieces(
    own: np.ndarray, values: np.ndarray, dark: float, several: bool
) -> list[tuple[np.ndarray, tuple[slice, slice]]]:
    """Part what only blur or pale ink holds together, unless it is one digit with a pale stretch."""
    from scipy import ndimage

    parts, number = ndimage.label(own & (values >= CUT * dark), EIGHT)
    cuts = ndimage.find_objects(parts, number)
    if number > 1 and not several:
        height, width = own.shape
        large = sum(cut[0].stop - cut[0].start >= 0.45 * height for cut in cuts)
        if large == 1 or (large == 0 and number <= 12 and width <= 1.3 * height):
            parts, number = ndimage.label(own & (values >= 0.5 * CUT * dark), EIGHT)
            cuts = ndimage.find_objects(parts, number)
    pieces = [(parts[cut] == part, cut) for part, cut in enumerate(cuts, 1)]
    return [(piece, cut) for piece, cut in pieces if np.count_nonzero(piece) >= 4]


def usual_height(blobs: list[Blob]) -> float:
    """Tell the height of a digit on this page: half of all height lies in blobs at least this tall.

    Args:
        blobs: as found, specks and all.

    Returns:
        The height in working pixels; 0 without blobs.

    Example:
        >>> usual_height([])
        0.0
    """
    if not blobs:
        return 0.0
    heights = np.sort([blob.height for blob in blobs])
    return float(heights[np.searchsorted(np.cumsum(heights), heights.sum() / 2)])


def drop_what_is_no_writing(blobs: list[Blob], shape: tuple[int, ...]) -> tuple[list[Blob], float]:
    """Drop specks, frames, edges and shadows.

    Args:
        blobs: as found.
        shape: (height, width) of the working image.

    Returns:
        The blobs that may be digits or parts of them, and the usual height of a digit.

    Example:
        >>> drop_what_is_no_writing([], (10, 10))
        ([], 0.0)
    """
    if not blobs:
        return [], 0.0
    blobs = [blob for blob in blobs if not _is_edge(blob, shape)]
    others = [blob for blob in blobs if not _is_line(blob, shape)]
    blobs = others if len(others) >= OTHERS else blobs
    blobs = _without_sprawling(blobs, shape)
    tallest = max((blob.height for blob in blobs), default=0)
    # Grain must not vote on how tall a digit is.
    tall = usual_height([blob for blob in blobs if max(blob.height, blob.width) > 0.08 * tallest])
    for _ in range(2):
        blobs = [blob for blob in blobs if _may_be_writing(blob, tall)]
        tall = usual_height([blob for blob in blobs if blob.height > 0.3 * tall]) or tall
    if blobs:
        weights = [blob.height for blob in blobs]
        usual = float(np.average([blob.dark for blob in blobs], weights=weights))
        blobs = [blob for blob in blobs if blob.dark > 0.3 * usual]
    if len(blobs) > 3:
        pen = float(np.median([blob.pen for blob in blobs if blob.height > 0.5 * tall] or [0.0]))
        # A crease or the edge of a sheet: paler than the writing and much finer.
        blobs = [blob for blob in blobs if blob.dark > 0.6 * usual or blob.pen > 0.45 * pen]
        blobs = [blob for blob in blobs if not _lies_along_border(blob, shape)]
    return blobs, tall


def _lies_along_border(blob: Blob, shape: tuple[int, ...]) -> bool:
    """A dark corner, a finger, the next sheet: most of one side coincides with the image's own."""
    height, width = shape
    sides = [
        blob.mask[:, 0].mean() if blob.left <= 1 else 0,
        blob.mask[:, -1].mean() if blob.right >= width - 1 else 0,
        blob.mask[0].mean() if blob.top <= 1 else 0,
        blob.mask[-1].mean() if blob.bottom >= height - 1 else 0,
    ]
    return max(sides) > 0.6


def _may_be_writing(blob: Blob, tall: float) -> bool:
    if max(blob.height, blob.width) < 0.14 * tall:
        return False
    if blob.height > 3.2 * tall:
        return False
    # Long and flat: a dash, what is left of a ruled line, an underline.
    return not (blob.width > 1.6 * tall and blob.height < 0.3 * tall)


def _is_edge(blob: Blob, shape: tuple[int, ...]) -> bool:
    """A frame or the edge of the sheet: spans the image, yet hardly fills its own box."""
    height, width = shape
    spans = (blob.height > 0.9 * height) + (blob.width > 0.9 * width)
    touches = (blob.top <= 1) + (blob.left <= 1) + (blob.bottom >= height - 1) + (blob.right >= width - 1)
    fill = blob.area / (blob.height * blob.width)
    return (spans == 2 and touches >= 3 and fill < 0.12) or (touches >= 3 and fill < 0.08)


def _is_line(blob: Blob, shape: tuple[int, ...]) -> bool:
    """A margin, the edge of a sheet: far along the page, thin and straight."""
    return _is_thin(blob, shape) and blob.area < STRAIGHT * float(np.hypot(blob.height, blob.width)) * blob.pen


def _without_sprawling(blobs: list[Blob], shape: tuple[int, ...]) -> list[Blob]:
    """Leave out large thin shapes, as a ring around half of the page, among as dark pieces of about one height."""
    large = [blob for blob in blobs if _is_thin(blob, shape)]
    rest = [blob for blob in blobs if not any(blob is one for one in large)]
    if not large or len(rest) < OTHERS:
        return blobs
    dark, tallest = max(blob.dark for blob in large), max(blob.height for blob in large)
    heights = np.array([blob.height for blob in rest if blob.dark > 0.6 * dark and blob.height > 0.08 * tallest])
    if len(heights) < OTHERS:
        return blobs
    middle = np.median(heights)
    return rest if ((heights > middle / AS_TALL) & (heights < middle * AS_TALL)).mean() >= MOST_ALIKE else blobs


def _is_thin(blob: Blob, shape: tuple[int, ...]) -> bool:
    """Far along the page, and drawn by a pen that is thin beside that."""
    far = blob.height > LONG * shape[0] or blob.width > LONG * shape[1]
    return far and blob.pen < SLIM * float(np.hypot(blob.height, blob.width))


def _edges(blob: Blob) -> tuple[int, int, int, int]:
    return blob.left, blob.top, blob.right, blob.bottom


def _paste(window: np.ndarray, blob: Blob, top: int, left: int) -> None:
    """Draw a blob into a window whose corner lies at (top, left) of the page."""
    row0, row1 = max(blob.top, top), min(blob.bottom, top + window.shape[0])
    column0, column1 = max(blob.left, left), min(blob.right, left + window.shape[1])
    if row0 < row1 and column0 < column1:
        window[row0 - top : row1 - top, column0 - left : column1 - left] |= blob.mask[
            row0 - blob.top : row1 - blob.top, column0 - blob.left : column1 - blob.left
        ]


def union(first: Blob, second: Blob) -> Blob:
    """Make one blob of two.

    Args:
        first: a blob.
        second: another one.

    Returns:
        Both, in the box around both.

    Example:
        >>> union(Blob(0, 0, np.ones((2, 2), bool), 1.0), Blob(4, 0, np.ones((2, 2), bool), 1.0)).height
        6
    """
    top, left = min(first.top, second.top), min(first.left, second.left)
    bottom, right = max(first.bottom, second.bottom), max(first.right, second.right)
    mask = np.zeros((bottom - top, right - left), bool)
    _paste(mask, first, top, left)
    _paste(mask, second, top, left)
    dark = first.dark if first.area >= second.area else second.dark
    return Blob(top, left, mask, dark)
