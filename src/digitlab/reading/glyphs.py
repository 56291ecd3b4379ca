"""From a picture to its digits: one 28 x 28 picture each, in reading order, with every stage kept for people to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from digitlab.reading.components import (
    FAINT,
    Blob,
    blobs_of,
    drop_what_is_no_writing,
    is_grain,
    page_contrast,
    rejoin,
    union,
)
from digitlab.reading.margins import Margins, with_even_margins
from digitlab.reading.normalise import ink_inside, normalise
from digitlab.reading.order import lines_of
from digitlab.reading.paper import DARKEST, ink_is_dark, ink_of, levelled, noise_of, paper_of, separating_grey
from digitlab.reading.picture import Picture
from digitlab.reading.rulings import remove_rulings
from digitlab.reading.sheet import sheet_on_table
from digitlab.reading.split import split_touching

# (n, 28, 28) uint8 -> (n,) how digit-like, 0..1: what decides between one wide digit and two that touch.
Judge = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Glyph:
    """One digit cut out of a picture.

    Attributes:
        image: (28, 28) uint8, MNIST's geometry.
        box: left, top, right, bottom in the picture's own pixels, after EXIF rotation.
        line: number of its line on the page, from 0.
    """

    image: np.ndarray
    box: tuple[int, int, int, int]
    line: int


@dataclass(frozen=True)
class Stages:
    """What each step made of a page, in working pixels.

    Attributes:
        grey: (h, w) uint8, colour removed; dark ink on light paper, inverted if `inverted`.
        paper: (h, w) uint8, the page as if unwritten.
        ink: (h, w) uint8, how dark the ink is, 255 black.
        mask: (h, w) bool, what passed the first threshold, rulings out.
        rulings: (h, w) bool, ruled lines that were taken out.
        blobs: boxes (left, top, right, bottom) of the pieces before joining and splitting.
        inverted: the ink was lighter than the paper.
        scale: original pixels per working pixel.
    """

    grey: np.ndarray
    paper: np.ndarray
    ink: np.ndarray
    mask: np.ndarray
    rulings: np.ndarray
    blobs: list[tuple[int, int, int, int]] = field(default_factory=list)
    inverted: bool = False
    scale: float = 1.0


def find_glyphs(picture: Picture, *, single: bool = False, judge: Judge | None = None) -> tuple[list[Glyph], Stages]:
    """Find the digits of a page and bring each into MNIST's geometry.

    Args:
        picture: the page.
        single: the whole picture is one digit: every piece of it is joined, nothing is split.
        judge: says how digit-like pictures are; without it, touching digits stay together.

    Returns:
        The glyphs in reading order (none on an empty page), and the stages.

    Example:
        >>> page = np.full((200, 300), 255, np.uint8)
        >>> page[50:120, 100:110] = 0; page[50:120, 200:210] = 0
        >>> glyphs, stages = find_glyphs(Picture(page, (300, 200), 1.0))
        >>> [glyph.box for glyph in glyphs]
        [(100, 50, 110, 120), (200, 50, 210, 120)]
    """
    from scipy import ndimage

    pixels, margins = with_even_margins(picture.pixels)
    grey = separating_grey(pixels)
    sheet = sheet_on_table(grey)
    if sheet is not None:
        grey = sheet[2]
    inverted = sheet is None and not ink_is_dark(grey)
    if inverted:
        grey = 255 - grey
    paper = paper_of(grey)
    ink = levelled(ink_of(grey, paper))
    if sheet is not None:
        ink *= sheet[0]
    # Not of the ink, which stops at 0 and so hides half of the grain.
    noise = noise_of(grey / np.maximum(paper, DARKEST))
    if noise > 0.02:
        # Grain breaks strokes and feeds specks; half a pixel to a pixel of blur thins it out and costs no corner. What
        # is left of it is known: a Gaussian of width s leaves 1 / (2 s sqrt(pi)) of it, a narrow one a little less.
        ink = ndimage.gaussian_filter(ink, 0.6 if noise < 0.03 else 1.0)
        noise *= 0.45 if noise < 0.03 else 0.28
    contrast = page_contrast(ink, noise)
    mask = ink > max(FAINT * contrast, 3.5 * noise, 0.02) if contrast else np.zeros(ink.shape, bool)
    rulings = np.zeros_like(mask)
    if contrast and not single:
        mask, rulings = remove_rulings(mask, ink > 0.45 * contrast, ink)
    pieces = blobs_of(ink, mask, contrast) if contrast else []
    if sheet is not None:
        # What lies in the sheet's rim for the most part is its edge.
        pieces = [piece for piece in pieces if sheet[1][piece.window][piece.mask].mean() > 0.4]
    pieces, tall = drop_what_is_no_writing(pieces, ink.shape)
    if is_grain(pieces):
        pieces = []
    if single:
        blobs = [_all_of(pieces)] if pieces else []
    else:
        blobs = rejoin(pieces, tall)
        blobs = [blob for blob in blobs if blob.height >= 0.36 * tall]
    images = [normalise(ink_inside(ink, blob)) for blob in blobs]
    if judge is not None and not single:
        blobs, images = split_touching(blobs, images, ink, tall, judge)
    boxes = np.array([_box(blob, picture, margins) for blob in blobs]).reshape(-1, 4)
    glyphs = [
        Glyph(images[i], tuple(int(edge) for edge in boxes[i]), number)  # type: ignore[arg-type]
        for number, line in enumerate(lines_of(boxes))
        for i in line
    ]
    stages = Stages(
        grey=margins.put_back(np.clip(grey, 0, 255).astype(np.uint8)),
        paper=margins.put_back(np.clip(paper, 0, 255).astype(np.uint8)),
        ink=margins.put_back((255 * ink).astype(np.uint8)),
        mask=margins.put_back(mask),
        rulings=margins.put_back(rulings),
        blobs=[_placed(piece, margins) for piece in pieces],
        inverted=inverted,
        scale=picture.scale,
    )
    return glyphs, stages


def _all_of(pieces: list[Blob]) -> Blob:
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = union(whole, piece)
    return whole


def _placed(blob: Blob, margins: Margins) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in working pixels of the whole page."""
    return (
        blob.left + margins.left,
        blob.top + margins.top,
        blob.right + margins.left,
        blob.bottom + margins.top,
    )


def _box(blob: Blob, picture: Picture, margins: Margins) -> tuple[int, int, int, int]:
    width, height = picture.size
    left, top, right, bottom = (edge * picture.scale for edge in _placed(blob, margins))
    return (
        max(0, int(np.floor(left))),
        max(0, int(np.floor(top))),
        min(width, int(np.ceil(right))),
        min(height, int(np.ceil(bottom))),
    )
