"""Open any picture Pillow knows and hand over its pixels, the right way up and of a bounded size."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from digitlab.errors import ReadingError

# A 12-megapixel photo is worked on at half its size: the smallest digit a hand writes on a sheet is still some 25
# pixels tall there, and every later stage costs a quarter.
WORK_PIXELS = 3_400_000
# Beyond this a picture is more likely a decompression bomb than a page.
MAX_PIXELS = 120_000_000
MAX_PAGES = 64
# What an opened file may be: it may come from anybody, and some of Pillow's formats start other programs (EPS) or are
# hardly ever met, and so hardly ever tested.
FORMATS = frozenset(("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIF", "JPEG2000"))
# Fewer pixels than this on the long side are enlarged, so that a one-pixel pen has a shape to measure.
MIN_SIDE = 160

# EXIF orientation -> what turns the picture upright.
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
    """

    pixels: np.ndarray
    size: tuple[int, int]
    scale: float


def open_pages(source: str | Path | BinaryIO | np.ndarray | Image.Image) -> Iterator[Picture]:
    """Yield every page of a picture; all but a TIFF have one.

    Pages come one at a time, so a long TIFF never lies in memory whole.

    Args:
        source: a file by its name or opened (binary, from its beginning), a Pillow image, or an array (h, w), (h, w, 3)
            or (h, w, 4) of uint8.

    Yields:
        The pages, in order.

    Raises:
        ReadingError: no such file, not a picture, damaged, or too large.

    Example:
        >>> import numpy as np
        >>> [page.size for page in open_pages(np.full((200, 300), 255, np.uint8))]
        [(300, 200)]
    """
    if isinstance(source, np.ndarray):
        yield _picture(_from_array(source), "array")
        return
    if isinstance(source, Image.Image):
        yield _picture(source, "picture")
        return
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            raise ReadingError(f"{path}: a folder, expected a picture. Name its files, or use a pattern such as *.png.")
        try:
            empty = path.stat().st_size == 0
        except OSError as error:
            raise ReadingError(f"{path}: {_WHY.get(type(error), error.strerror)}") from None
        yield from _from_file(path, str(path), empty, None)
        return
    name = getattr(source, "name", None)
    empty = not source.seek(0, os.SEEK_END)
    source.seek(0)
    Image.init()  # so that the formats are known by name
    yield from _from_file(
        source, name if isinstance(name, str) else "picture", empty, sorted(FORMATS & set(Image.OPEN))
    )


_WHY = {FileNotFoundError: "no such file. Check the name.", PermissionError: "no permission to read it."}


def _from_file(file: Path | BinaryIO, name: str, empty: bool, formats: list[str] | None) -> Iterator[Picture]:
    """The pages of a file; whatever Pillow raises becomes one line."""
    try:
        if empty:
            raise ReadingError(f"{name}: 0 bytes, expected a picture. Was the file written completely?")
        with warnings.catch_warnings():
            # Pillow's own warning about size is replaced by the check in _picture; metadata warnings help nobody here.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=formats) as image:
                yield from _pages(image, name)
    except ReadingError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        raise ReadingError(f"{name}: {_WHY[type(error)]}") from None
    except Image.DecompressionBombError:
        raise ReadingError(f"{name}: {_too_large(None)}") from None
    except MemoryError:
        raise ReadingError(f"{name}: not enough memory to unpack it.") from None
    except UnidentifiedImageError:
        raise ReadingError(
            f"{name}: not a picture that Pillow knows, expected PNG, JPEG, WebP, TIFF, BMP or GIF. "
            "Was it renamed or cut off?"
        ) from None
    except (
        Exception
    ) as error:  # Pillow's decoders raise whatever a damaged file provokes: OSError, SyntaxError, struct…
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReadingError(f"{name}: damaged picture ({reason[:120]}). Is the file cut off?") from None


def _pages(image: Image.Image, name: str) -> Iterator[Picture]:
    """Every frame of a TIFF, the first one of anything else (an animation shows the same page)."""
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        for index, frame in enumerate(ImageSequence.Iterator(image)):
            if index == MAX_PAGES:
                raise ReadingError(f"{name}: more than {MAX_PAGES} pages. Split the file.")
            yield _picture(frame, name)
    else:
        yield _picture(image, name)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ReadingError(
            f"array of shape {array.shape}, {array.dtype}; expected (h, w), (h, w, 3) or (h, w, 4) of uint8."
        )
    if not array.size:
        raise ReadingError(f"array of shape {array.shape} holds no pixels.")
    return Image.fromarray(np.ascontiguousarray(array))


def _too_large(size: tuple[int, int] | None) -> str:
    came = f"{size[0]} x {size[1]} pixels" if size else "far too many pixels"
    return f"{came}, at most {MAX_PIXELS // 1_000_000} megapixels are read. Make it smaller first."


def _picture(image: Image.Image, name: str) -> Picture:
    """Check the size before a single pixel is unpacked, then unpack, shrink, turn upright and lay alpha on paper."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ReadingError(f"{name}: {_too_large(image.size)}")
    factor = 1
    while (width // (factor + 1)) * (height // (factor + 1)) >= WORK_PIXELS * 0.6 and width * height > (
        WORK_PIXELS * factor * factor
    ):
        factor += 1
    if factor > 1 and image.format == "JPEG":
        # The decoder halves for nearly nothing: 12 megapixels unpack in 60 ms instead of 180 ms.
        image.draft(None, (width // factor, height // factor))
    turn = _turn(image)
    image = _to_plain(_eight_bit(image))
    shrink = round(factor * image.width / width)
    if shrink > 1:
        image = image.reduce(shrink)
    if turn is not None:
        image = image.transpose(turn)
    size = (height, width) if turn in SIDEWAYS else (width, height)
    scale = size[0] / image.width
    grow = MIN_SIDE / max(image.size)
    if grow > 1:
        times = int(np.ceil(grow))
        image = image.resize((image.width * times, image.height * times), Image.Resampling.BICUBIC)
        scale /= times
    return Picture(np.asarray(image), size, scale)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What the camera says must be done to see the picture upright."""
    try:
        return UPRIGHT.get(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block must not cost the picture
        return None


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating-point grey to 8 bit; everything else as it is."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        deep = np.asarray(image).astype(np.float32)
        deep = np.nan_to_num(deep)
        top = 65535.0 if image.mode.startswith("I") and deep.max() > 255 else 255.0
        if image.mode == "F" or deep.max() > 65535 or deep.min() < 0:
            low, high = float(deep.min()), float(deep.max())
            deep, top = deep - low, max(high - low, 1e-6)
        image = Image.fromarray(np.round(deep * (255.0 / top)).clip(0, 255).astype(np.uint8))
    return image


def _to_plain(image: Image.Image) -> Image.Image:
    """Grey or RGB; whatever is transparent becomes the paper that its ink needs."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("1", "CMYK", "YCbCr", "LAB", "HSV"):
        return image.convert("L" if image.mode == "1" else "RGB")
    if "A" in image.getbands() or "transparency" in image.info or image.mode == "PA":
        layered = image.convert("RGBA")
        alpha = np.asarray(layered.getchannel("A"))
        paper = 255
        if alpha.min() < 250:
            # White ink on nothing would vanish on white paper: it is laid on black instead. A stray dark pixel in a
            # thousand does not make it black ink.
            seen = np.asarray(layered.convert("L"))[alpha > 127]
            if seen.size and np.mean(seen < 128) < 0.002:
                paper = 0
        plain = Image.new("RGB", layered.size, (paper, paper, paper))
        plain.paste(layered, mask=layered.getchannel("A"))
        return plain
    return image.convert("RGB")
