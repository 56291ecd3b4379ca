"""The one decoder of image files, for training and for reading: what a file is, is decided by its content.

Only the formats listed here are ever opened, whatever a file is called: some that Pillow knows start other programs
(PostScript starts Ghostscript) or are hardly ever met, and so hardly ever tested.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from digitlab.errors import DataError, DigitlabError

if TYPE_CHECKING:
    from PIL import Image

# Beyond this an image is more likely a decompression bomb than a page; and no decoder of JPEG goes further than this
# along one side.
MAX_PIXELS, MAX_SIDE = 120_000_000, 65_500
# A format is told by its first bytes; PDF's mark may stand anywhere in this many.
HEAD = 1024
EXPECTED = "PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000, AVIF, HEIC or PDF"


@dataclass(frozen=True)
class Format:
    """An image format that is read.

    Attributes:
        name: as Pillow calls it; "PDF" is pypdfium2's.
        plugin: the module of Pillow that reads it.
    """

    name: str
    plugin: str


PDF = Format("PDF", "")
HEIF = Format("HEIF", "pillow_heif")
_AVIF = Format("AVIF", "PIL.AvifImagePlugin")
_STARTS: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", Format("PNG", "PIL.PngImagePlugin")),
    (b"\xff\xd8\xff", Format("JPEG", "PIL.JpegImagePlugin")),
    (b"GIF87a", Format("GIF", "PIL.GifImagePlugin")),
    (b"GIF89a", Format("GIF", "PIL.GifImagePlugin")),
    (b"BM", Format("BMP", "PIL.BmpImagePlugin")),
    *((start, Format("TIFF", "PIL.TiffImagePlugin")) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *(
        (start, Format("JPEG2000", "PIL.Jpeg2KImagePlugin"))
        for start in (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")
    ),
    *((b"P%d" % kind, Format("PPM", "PIL.PpmImagePlugin")) for kind in range(1, 7)),
)
# What people bring that is no image, and what to do about it.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a compressed file"),
    (b"{\\rtf", "a text document"),
)


def format_of(head: bytes) -> Format | None:
    """Tell an image format by a file's first bytes.

    Args:
        head: up to HEAD bytes.

    Returns:
        The format; None for anything else.

    Example:
        >>> format_of(b"%!PS-Adobe-3.0 EPSF-3.0") is None, format_of(b"GIF89a...").name
        (True, 'GIF')
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Format("WEBP", "PIL.WebPImagePlugin")
    if head[4:8] == b"ftyp":
        brands = head[8 : max(12, min(int.from_bytes(head[:4], "big"), len(head)))]
        if b"avif" in brands or b"avis" in brands:
            return _AVIF
        return (
            HEIF if any(brand in brands for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")) else None
        )
    # Not behind the name of another format: an office document may hold a PDF.
    return PDF if b"%PDF-" in head and not any(head.startswith(start) for start, _ in _OTHERS) else None


def what_it_is_instead(head: bytes) -> str:
    """Say in a line what a file is that is none of the formats, and what to do.

    Example:
        >>> what_it_is_instead(b"<svg xmlns='http://www.w3.org/2000/svg'>")
        'an SVG drawing, made of shapes instead of pixels. Export it as PNG first.'
    """
    for start, name in _OTHERS:
        if head.startswith(start):
            return f"{name}, expected {EXPECTED}. Export its pages as PNG or PDF first."
    if b"<svg" in head.lower():
        return "an SVG drawing, made of shapes instead of pixels. Export it as PNG first."
    return f"not an image in a format that is read, expected {EXPECTED}. Was it renamed or cut off?"


def head_of(file: Path | BinaryIO) -> bytes:
    """Read the first bytes of a file; an opened one is left at its beginning.

    Raises:
        OSError: It cannot be read.

    Example:
        >>> import io
        >>> head_of(io.BytesIO(b"GIF89a"))
        b'GIF89a'
    """
    if isinstance(file, Path):
        if file.exists() and not file.is_file():  # opening a pipe would wait for whoever writes into it
            raise OSError(errno.EINVAL, "no ordinary file")
        with file.open("rb") as opened:
            return opened.read(HEAD)
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    return head


@contextmanager
def opened_image(file: Path | BinaryIO, name: str) -> Iterator[Image.Image]:
    """Open an image; its size has been checked, no pixel unpacked yet.

    Whatever Pillow raises, here or inside the `with`, becomes one line.

    Args:
        file: a path, or opened (binary).
        name: what errors call it.

    Yields:
        The image.

    Raises:
        DataError: no such file, none of the formats, damaged, too large, or a PDF, which `opened_pages` reads.

    Example:
        >>> import io
        >>> with opened_image(io.BytesIO(b"%!PS-Adobe"), "a.png") as image:
        ...     pass
        Traceback (most recent call last):
        digitlab.errors.DataError: a.png: a PostScript file, expected PNG, JPEG, ... as PNG or PDF first.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        head = head_of(file)
        if not head:
            raise DataError(f"{name}: 0 bytes, expected an image. Was the file written completely?")
        kind = format_of(head)
        if kind == PDF:
            raise DataError(f"{name}: a PDF, expected a single image. Export its pages as PNG first.")
        if kind is None:
            raise DataError(f"{name}: {what_it_is_instead(head)}")
        _load_plugin(kind, name)
        with warnings.catch_warnings():
            # Pillow's own warning about size is replaced by our check; metadata warnings help nobody here.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=[kind.name]) as image:
                check_size(image.size, name)
                yield image
    except DigitlabError:
        raise
    except FileNotFoundError:
        raise DataError(f"{name}: no such file. Check the name.") from None
    except PermissionError:
        raise DataError(f"{name}: no permission to read it.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{name}: far too many pixels, {_AT_MOST}") from None
    except MemoryError:
        raise DataError(f"{name}: not enough memory to unpack it.") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: damaged image (only its first bytes are one's). Is the file cut off?") from None
    except IsADirectoryError:
        raise DataError(f"{name}: a folder, expected an image.") from None
    # Pillow's decoders raise whatever a damaged file provokes: OSError, SyntaxError, struct.error...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: damaged image ({reason[:120]}). Is the file cut off?") from None


_AT_MOST = (
    f"at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE:,} along one side are read. Make it smaller first."
)


def check_size(size: tuple[int, int], name: str) -> None:
    """Refuse what is too large to be unpacked.

    Raises:
        DataError: more than MAX_PIXELS, or more than MAX_SIDE along one side.

    Example:
        >>> check_size((1_000_000, 1), "thin.png")
        Traceback (most recent call last):
        digitlab.errors.DataError: thin.png: 1,000,000 x 1 pixels, at most 120 megapixels and 65,500 along one side ...
    """
    width, height = size
    if width * height > MAX_PIXELS or max(size) > MAX_SIDE:
        raise DataError(f"{name}: {width:,} x {height:,} pixels, {_AT_MOST}")


def _load_plugin(kind: Format, name: str) -> None:
    """Import what opens a format: of Pillow's forty plugins only the one that is needed."""
    if kind == HEIF:
        try:
            import pillow_heif
        except ImportError:
            raise DataError(
                f"{name}: a HEIC image; reading it needs pillow-heif. Run `pip install 'digitlab[pdf]'`."
            ) from None
        pillow_heif.register_heif_opener(thumbnails=False)
        return
    from PIL import Image

    with contextlib.suppress(ImportError):
        importlib.import_module(kind.plugin)
    if kind.name not in Image.OPEN:
        raise DataError(f"{name}: an image in {kind.name}, which this Pillow cannot read. Export it as PNG first.")


def orientation_of(image: Image.Image) -> int:
    """Say how the camera wants an image to be turned: EXIF's orientation, 1 to 8.

    Example:
        >>> from PIL import Image
        >>> orientation_of(Image.new("L", (2, 2)))
        1
    """
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block must not cost the image
        return 1


def eight_bit(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and floating-point grey to 8 bit; everything else stays as it is.

    Example:
        >>> from PIL import Image
        >>> eight_bit(Image.fromarray(np.full((1, 1), 65535, np.uint16))).getpixel((0, 0))
        255
    """
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        deep = np.asarray(image).astype(np.float32)
        deep = np.nan_to_num(deep)
        top = 65535.0 if image.mode.startswith("I") and deep.max() > 255 else 255.0
        if image.mode == "F" or deep.max() > 65535 or deep.min() < 0:
            low, high = float(deep.min()), float(deep.max())
            deep, top = deep - low, max(high - low, 1e-6)
        image = Image.fromarray(np.round(deep * (255.0 / top)).clip(0, 255).astype(np.uint8))
    return image


def to_plain(image: Image.Image) -> Image.Image:
    """Give grey or RGB; whatever is transparent becomes the paper that its ink needs.

    Example:
        >>> from PIL import Image
        >>> to_plain(Image.new("RGBA", (2, 2), (255, 255, 255, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    from PIL import Image

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
        laid = Image.new("RGB", layered.size, (paper, paper, paper))
        laid.paste(layered, mask=layered.getchannel("A"))
        return laid
    return image.convert("RGB")
