"""Open any image or PDF and hand over its pixels, the right way up and of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from digitlab.data.image_files import (
    PDF,
    check_size,
    eight_bit,
    format_of,
    head_of,
    opened_image,
    orientation_of,
    to_plain,
)
from digitlab.errors import DataError, ReadingError

# A 12-megapixel photo is worked on at half its size: the smallest digit a hand writes on a sheet is still some 25
# pixels tall there, and every later stage costs a quarter.
WORK_PIXELS = 3_400_000
# Pages of one file; what comes opened may come from anybody.
MAX_PAGES, MAX_PAGES_OPENED = 1000, 64
# Fewer pixels than this on the long side are enlarged, so that a one-pixel pen has a shape to measure.
MIN_SIDE = 160

# EXIF orientation -> what turns the image upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {UPRIGHT[5], UPRIGHT[6], UPRIGHT[7], UPRIGHT[8]}


@dataclass(frozen=True)
class Picture:
    """The pixels of one page, ready to be worked on.

    Attributes:
        pixels: (h, w, 3) or (h, w) uint8, upright, alpha laid on its paper.
        size: (width, height) of the original in pixels after EXIF rotation.
        scale: original pixels per working pixel (2.0 = halved, 0.25 = enlarged fourfold).
        small: (28, 28) uint8, grey, where the original has just that size and needs no preparation; else None.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    scale: float
    small: np.ndarray | None = None


def open_pages(source: str | Path | BinaryIO | np.ndarray | Image.Image) -> Iterator[Picture]:
    """Yield every page of an image; all but a TIFF and a PDF have one.

    Pages come one at a time, so a long one never lies in memory whole.

    Args:
        source: a file by its name or opened (binary, from its beginning), a Pillow image, or an array (h, w), (h, w, 3)
            or (h, w, 4) of uint8.

    Yields:
        The pages, in order.

    Raises:
        ReadingError: no such file, not an image, damaged, or too large.

    Example:
        >>> import numpy as np
        >>> [page.size for page in open_pages(np.full((200, 300), 255, np.uint8))]
        [(300, 200)]
    """
    try:
        if isinstance(source, np.ndarray):
            yield _picture(_from_array(source), "array")
        elif isinstance(source, Image.Image):
            yield _picture(source, "image")
        elif isinstance(source, str | Path):
            yield from _from_file(Path(source), str(source), MAX_PAGES)
        else:
            name = getattr(source, "name", None)
            yield from _from_file(source, name if isinstance(name, str) else "image", MAX_PAGES_OPENED)
    except DataError as error:
        raise ReadingError(str(error)) from None


def _from_file(file: Path | BinaryIO, name: str, most: int) -> Iterator[Picture]:
    """The pages of a file: of a PDF or TIFF all, of anything else the first (an animation shows the same page)."""
    if isinstance(file, Path) and file.is_dir():
        raise ReadingError(f"{name}: a folder, expected an image. Name its files, or use a pattern such as *.png.")
    if _is_pdf(file):
        from digitlab.reading.pdf import pages_of

        for page in _at_most(most, pages_of(file, name), name):
            yield _picture(page, name)
        return
    with opened_image(file, name) as image:
        if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
            for frame in _at_most(most, ImageSequence.Iterator(image), name):
                yield _picture(frame, name)
        else:
            yield _picture(image, name)


def _is_pdf(file: Path | BinaryIO) -> bool:
    try:
        return format_of(head_of(file)) == PDF
    except OSError:  # opening it as an image says why
        return False


def _at_most(most: int, pages: Iterable[Image.Image], name: str) -> Iterator[Image.Image]:
    for index, page in enumerate(pages):
        if index == most:
            raise ReadingError(f"{name}: more than {most} pages. Split the file.")
        yield page


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ReadingError(
            f"array of shape {array.shape}, {array.dtype}; expected (h, w), (h, w, 3) or (h, w, 4) of uint8."
        )
    if not array.size:
        raise ReadingError(f"array of shape {array.shape} holds no pixels.")
    return Image.fromarray(np.ascontiguousarray(array))


def _picture(image: Image.Image, name: str) -> Picture:
    """Check the size before a single pixel is unpacked, then unpack, shrink, turn upright and lay alpha on paper."""
    width, height = image.size
    check_size(image.size, name)
    factor = 1
    while (width // (factor + 1)) * (height // (factor + 1)) >= WORK_PIXELS * 0.6 and width * height > (
        WORK_PIXELS * factor * factor
    ):
        factor += 1
    if factor > 1 and image.format == "JPEG":
        # The decoder halves for nearly nothing: 12 megapixels unpack in 60 ms instead of 180 ms.
        image.draft(None, (width // factor, height // factor))
    turn = UPRIGHT.get(orientation_of(image))
    image = to_plain(eight_bit(image))
    shrink = round(factor * image.width / width)
    if shrink > 1:
        image = image.reduce(shrink)
    if turn is not None:
        image = image.transpose(turn)
    size = (height, width) if turn in SIDEWAYS else (width, height)
    scale = size[0] / image.width
    small = np.asarray(image.convert("L")) if image.size == (28, 28) else None
    grow = MIN_SIDE / max(image.size)
    if grow > 1:
        times = int(np.ceil(grow))
        image = image.resize((image.width * times, image.height * times), Image.Resampling.BICUBIC)
        scale /= times
    return Picture(np.asarray(image), size, scale, small)
