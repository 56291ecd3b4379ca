"""The empty margin of a page, brought to one width: what stands on a page reads alike wherever it stands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# A margin is this share of the long side of what it surrounds (MNIST's own is a fifth) and this many pixels more,
# at most so many: a page full of writing must not become twice as large.
SHARE, LEAST, MOST = 0.25, 8, 200
# What fills at least this share of the page in height and width, and hardly shows the colour around it, is framed.
FRAMED, HARDLY = 0.5, 0.05


class Margins(NamedTuple):
    """What a page lost on each side, in pixels; below 0 what it gained."""

    top: int
    bottom: int
    left: int
    right: int

    def put_back(self, stage: np.ndarray) -> np.ndarray:
        """Give a stage of the trimmed page the size of the whole page, its edge repeated.

        Args:
            stage: (h, w) of the trimmed page.

        Returns:
            (h, w) of the whole page.

        Example:
            >>> Margins(1, 2, 0, -1).put_back(np.eye(2)).shape
            (5, 1)
        """
        rows, columns = stage.shape
        cut = stage[max(0, -self.top) : rows - max(0, -self.bottom), max(0, -self.left) : columns - max(0, -self.right)]
        width = ((max(0, self.top), max(0, self.bottom)), (max(0, self.left), max(0, self.right)))
        return np.pad(cut, width, mode="edge")


def with_even_margins(pixels: np.ndarray) -> tuple[np.ndarray, Margins]:
    """Bring every side's empty margin to the same width, decided by what stands within.

    Paper, polarity and noise are estimated on a small copy of the page and by shares of its size, so a digit on a large
    empty canvas would be judged otherwise than the same digit cut out. Empty is what has one colour to the last bit,
    as in drawings and screenshots; a photo has no such rows and stays as it is.

    Args:
        pixels: (h, w) or (h, w, 3) uint8.

    Returns:
        The page, and how to undo it; sides without an empty margin are left alone, and so is an empty page.

    Example:
        >>> page = np.full((900, 300), 255, np.uint8); page[100:140, 200:220] = 0
        >>> even, margins = with_even_margins(page)
        >>> even.shape, margins
        ((76, 56), Margins(top=82, bottom=742, left=182, right=62))
        >>> np.array_equal(with_even_margins(np.pad(page, 33, constant_values=255))[0], even)
        True
    """
    across = np.swapaxes(pixels, 0, 1)
    top, bottom, left, right = (_empty(lines) for lines in (pixels, pixels[::-1], across, across[::-1]))
    within = pixels[top : len(pixels) - bottom, left : len(across) - right]
    if not (top or bottom or left or right) or not within.size or _framed(pixels, within):
        return pixels, Margins(0, 0, 0, 0)
    margin = min(MOST, LEAST + int(SHARE * max(within.shape[:2])))
    # np.pad repeats what stays of a margin, at least the line next to the writing.
    top, bottom, left, right = (side - margin if side else 0 for side in (top, bottom, left, right))
    cut = pixels[max(0, top) : len(pixels) - max(0, bottom), max(0, left) : len(across) - max(0, right)]
    more = ((max(0, -top), max(0, -bottom)), (max(0, -left), max(0, -right)), (0, 0))
    return np.pad(cut, more[: pixels.ndim], mode="edge"), Margins(top, bottom, left, right)


def _framed(pixels: np.ndarray, within: np.ndarray) -> bool:
    """Whether the lines of one colour are a frame, or bars above and below a photo: no paper."""
    if min(within.shape[0] / pixels.shape[0], within.shape[1] / pixels.shape[1]) < FRAMED:
        return False
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    alike = [(within == corner).reshape(*within.shape[:2], -1).all(2).mean() for corner in corners]
    return bool(min(alike) < HARDLY)


def _empty(lines: np.ndarray) -> int:
    """How many of the first lines have one and the same colour."""
    colour = lines[0, 0]
    start, size = 0, 8
    while start < len(lines):
        # Ever larger pieces: most pages end after the first, an empty one costs a few comparisons in all.
        other = (lines[start : start + size] != colour).reshape(len(lines[start : start + size]), -1).any(1)
        if other.any():
            return start + int(np.argmax(other))
        start, size = start + size, min(2 * size, 4096)
    return len(lines)
