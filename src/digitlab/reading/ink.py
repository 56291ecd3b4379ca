"""From pixels to ink: which is the sheet, which is the paper, how dark is what was written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from digitlab.reading.blocks import rounded
from digitlab.reading.components import page_contrast
from digitlab.reading.paper import (
    DARKEST,
    flat_paper,
    ink_is_dark,
    ink_of,
    levelled,
    noise_of,
    paper_of,
    separating_grey,
)
from digitlab.reading.sheet import sheet_on_table
from digitlab.reading.tiles import tiles_turned


@dataclass(frozen=True)
class PageInk:
    """The ink of a page, in working pixels.

    Attributes:
        ink: (h, w) float32, 0 paper to 1 black.
        grey: (h, w) float32, 0..255, colour removed, dark ink on light paper.
        paper: (h, w) float32, 0..255, the page as if unwritten.
        noise: standard deviation of the paper's grain, in ink units.
        contrast: how dark the writing usually is, 0..1; 0 where nothing is written.
        inverted: the ink was lighter than the paper.
        inner: (h, w) bool, a sheet on a darker table less its rim; None where the image is all sheet.
    """

    ink: np.ndarray
    grey: np.ndarray
    paper: np.ndarray
    noise: float
    contrast: float
    inverted: bool
    inner: np.ndarray | None

    @property
    def full(self) -> np.ndarray:
        """(h, w) float32 of 0 to 1, where 1 is this page's usual darkness: what the spotter looks at."""
        if not self.contrast:
            return np.zeros_like(self.ink)
        return np.asarray(np.clip(self.ink / self.contrast, 0, 1), dtype=np.float32)


def page_ink(pixels: np.ndarray) -> PageInk:
    """Divide the paper out of a page.

    Args:
        pixels: (h, w, 3) or (h, w) uint8.

    Returns:
        Its ink, and what it was found by.

    Example:
        >>> page = np.full((64, 64), 200, np.uint8); page[20:40, 30:33] = 20
        >>> found = page_ink(page)
        >>> found.inverted, bool(found.full[30, 31] > 0.9), bool(found.full[5, 5] < 0.1)
        (False, True, True)
    """
    from scipy import ndimage

    grey = tiles_turned(rounded(separating_grey(pixels)))
    flat = flat_paper(grey)
    if flat is not None:
        # Nothing to estimate: half of the time that a drawn digit takes went there.
        inverted = bool(grey.mean() > flat)
        grey, level = (255 - grey, 255 - flat) if inverted else (grey, flat)
        paper = np.full_like(grey, level)
        ink = ink_of(grey, paper)
        return PageInk(ink, grey, paper, 0.0, page_contrast(ink, 0.0), inverted, None)
    sheet = sheet_on_table(grey, pixels)
    if sheet is not None:
        grey = sheet.painted
    inverted = not ink_is_dark(grey) if sheet is None else sheet.dark
    if inverted:
        grey = 255 - grey
    paper = paper_of(grey)
    ink = levelled(ink_of(grey, paper))
    if sheet is not None:
        ink *= sheet.whole
    # Not of the ink, which stops at 0 and so hides half of the grain.
    noise = noise_of(grey / np.maximum(paper, DARKEST))
    if noise > 0.02:
        # Grain breaks strokes and feeds specks; half a pixel to a pixel of blur thins it out and costs no corner. What
        # is left of it is known: a Gaussian of width s leaves 1 / (2 s sqrt(pi)) of it, a narrow one a little less.
        ink = ndimage.gaussian_filter(ink, 0.6 if noise < 0.03 else 1.0)
        noise *= 0.45 if noise < 0.03 else 0.28
    contrast = page_contrast(ink, noise)
    return PageInk(ink, grey, paper, noise, contrast, inverted, None if sheet is None else sheet.inner)
