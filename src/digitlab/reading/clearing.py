"""A page less what is no writing: ruled lines, circles and frames around numbers, punched holes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from digitlab.reading.components import FAINT, Blob, blobs_of, drop_what_is_no_writing
from digitlab.reading.enclosures import enclosing_strokes
from digitlab.reading.ink import PageInk
from digitlab.reading.rulings import remove_rulings

# A punched hole, a bullet, a stain is filled: its middle is this far from paper, in its heights or widths, more than in
# any stroke of a digit; it is round, not a block of a compressed image, dark, and this tall, in heights of a digit,
# more than a point.
FILLED, ROUND, DARK, HOLE = 0.42, 0.9, 0.8, 0.4
# Marks too pale for writing, as squared paper or the other side's writing: so pale, in the page's darkness, and
# so many times as many as what is written: of drawn pages at most 3 times, of whole sheets of squared paper 6 to 10.
FAINTEST, MANY = 0.06, 4.0
# Pixels around a stroke that its soft edge takes.
EDGE = 2


class Cleared(NamedTuple):
    """What is left of a page, and what was taken out.

    Attributes:
        page: its ink without circles, frames and holes; ruled lines are in it still, as the spotter knows them.
        mask: (h, w) bool, the ink without the ruled lines too.
        rulings: (h, w) bool, ruled lines, circles and frames.
        pieces: what may be signs, or parts of them.
        tall: how tall a digit seems to be, pixels; 0 where there is none.
    """

    page: PageInk
    mask: np.ndarray
    rulings: np.ndarray
    pieces: list[Blob]
    tall: float

    @property
    def bare(self) -> PageInk:
        """The page without its rulings: squared paper aslant, however pale, hides digits that are plain to see."""
        return replace(self.page, ink=np.where(self.mask, self.page.ink, 0))

    @property
    def mostly_pale(self) -> bool:
        """Whether most marks are too pale for writing."""
        pale = np.count_nonzero(_marks(self.page, FAINTEST) & ~self.mask)
        return bool(pale > MANY * np.count_nonzero(self.mask))


def clear(page: PageInk) -> Cleared:
    """Take out of a page what is no writing.

    Args:
        page: its ink.

    Returns:
        The page, its pieces and what was taken out.

    Example:
        >>> from digitlab.reading.ink import page_ink
        >>> page = np.full((64, 64), 200, np.uint8); page[20:40, 30:33] = 20
        >>> [(piece.height, piece.width) for piece in clear(page_ink(page)).pieces]
        [(20, 3)]
    """
    if not page.contrast:
        return uncleared(page)
    mask = _marks(page)
    around = enclosing_strokes(mask)
    if around.any():
        page = _without(page, around)
        mask = _marks(page)
    mask, rulings = remove_rulings(mask, page.ink > 0.45 * page.contrast, page.ink)
    blobs = blobs_of(page.ink, mask, page.contrast)
    pieces, tall = _pieces(page, blobs)
    large_and_dark = [blob for blob in blobs if blob.height >= HOLE * tall and blob.dark >= DARK * page.contrast]
    holes = [blob for blob in large_and_dark if _is_filled(blob.mask)]
    if holes:
        punched = np.zeros_like(mask)
        for hole in holes:
            punched[hole.window] |= hole.mask
        page = _without(page, punched)
        mask &= page.ink > 0
        pieces, tall = _pieces(page, blobs_of(page.ink, mask, page.contrast))
    return Cleared(page, mask, rulings | around, pieces, tall)


def uncleared(page: PageInk) -> Cleared:
    """The page as it is, and its pieces."""
    mask = _marks(page)
    pieces, tall = _pieces(page, blobs_of(page.ink, mask, page.contrast)) if page.contrast else ([], 0.0)
    return Cleared(page, mask, np.zeros_like(mask), pieces, tall)


def _marks(page: PageInk, least: float = FAINT) -> np.ndarray:
    """Everything darker than the paper by this share of the page's usual darkness."""
    if not page.contrast:
        return np.zeros(page.ink.shape, bool)
    return np.asarray(page.ink > max(least * page.contrast, 3.5 * page.noise, 0.02))


def _without(page: PageInk, taken: np.ndarray) -> PageInk:
    """The page without these marks and their soft edges."""
    from scipy import ndimage

    return replace(page, ink=np.where(ndimage.binary_dilation(taken, iterations=EDGE), np.float32(0), page.ink))


def _pieces(page: PageInk, blobs: list[Blob]) -> tuple[list[Blob], float]:
    """Of what hangs together what may be writing, and how tall a digit seems to be."""
    if page.inner is not None:
        # What lies in the sheet's rim for the most part is its edge.
        blobs = [blob for blob in blobs if page.inner[blob.window][blob.mask].mean() > 0.4]
    return drop_what_is_no_writing(blobs, page.ink.shape)


def _is_filled(mask: np.ndarray) -> bool:
    """Whether a piece is as thick as it is tall and wide."""
    from scipy import ndimage

    if not FILLED < mask.mean() < ROUND:
        return False
    return bool(ndimage.distance_transform_edt(np.pad(mask, 1)).max() > FILLED * max(mask.shape))
