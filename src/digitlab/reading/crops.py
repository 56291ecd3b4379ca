"""Small images of the numbers that somebody should look at, cut from the page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from digitlab.reading.frames import SURE
from digitlab.reading.picture import open_pages
from digitlab.reading.results import Number, Reading

# Height of an image of a number; a page of 60 doubtful ones takes some 150 kB.
HEIGHT, WIDTH = 96, 480


def is_doubtful(number: Number) -> bool:
    """Whether a number should be looked at: less than 90 % sure, or with a refused sign.

    Example:
        >>> is_doubtful(Number("4?3", None, 0.0, (0, 0, 9, 9), 0))
        True
    """
    return number.confidence < SURE or "?" in number.text


def crops(source: str | Path | np.ndarray | Image.Image, reading: Reading) -> tuple[bytes, ...]:
    """Cut the doubtful numbers out of the image that was read.

    Args:
        source: the image.
        reading: what was read in it.

    Returns:
        A JPEG for each of `reading.numbers`, in their order; empty bytes for a sure one.

    Example:
        >>> crops(np.full((60, 80), 255, np.uint8), Reading())
        ()
    """
    cut = [b""] * len(reading.numbers)
    if any(map(is_doubtful, reading.numbers)):
        for page, picture in enumerate(open_pages(source)):
            sheet = Image.fromarray(picture.pixels).convert("RGB")
            for index, number in enumerate(reading.numbers):
                if number.page == page and is_doubtful(number):
                    cut[index] = _crop(sheet, number, picture.scale)
    return tuple(cut)


def _crop(sheet: Image.Image, number: Number, scale: float) -> bytes:
    left, top, right, bottom = (edge / scale for edge in number.box)
    pad = 0.25 * (bottom - top) + 2
    part = sheet.crop((round(left - pad), round(top - pad), round(right + pad), round(bottom + pad)))
    zoom = min(HEIGHT / part.height, WIDTH / part.width)
    part = part.resize((max(1, round(part.width * zoom)), max(1, round(part.height * zoom))), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    part.save(file, "JPEG", quality=85)
    return file.getvalue()
