"""The pages of a PDF as images, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from digitlab.errors import ReadingError

# As a scanner would: a digit 4 mm tall is 31 pixels. A poster is drawn with fewer dots, so that it has no more pixels.
DOTS_PER_INCH, MOST_PIXELS, MOST_SIDE = 200, 6_000_000, 20_000


def pages_of(file: Path | BinaryIO, name: str) -> Iterator[Image.Image]:
    """Draw every page of a PDF, one after the other: only one is in memory.

    Args:
        file: a path, or opened (binary).
        name: what errors call it.

    Yields:
        The pages, RGB, as shown on a screen.

    Raises:
        ReadingError: pypdfium2 is not installed, or the file is damaged or locked.
    """
    try:
        import pypdfium2
    except ImportError:
        raise ReadingError(f"{name}: a PDF; reading it needs pypdfium2. Run `pip install 'digitlab[pdf]'`.") from None
    try:
        document = pypdfium2.PdfDocument(file)
        try:
            for number in range(len(document)):
                page = document[number]
                width, height = (max(points, 1.0) / 72 for points in page.get_size())
                dots = min(DOTS_PER_INCH, (MOST_PIXELS / (width * height)) ** 0.5, MOST_SIDE / max(width, height))
                bitmap = page.render(scale=dots / 72)
                image = bitmap.to_pil().convert("RGB")
                bitmap.close()
                page.close()
                yield image
        finally:
            document.close()
    except pypdfium2.PdfiumError as error:
        reason = " ".join(str(error).split())
        if "password" in reason.lower():
            raise ReadingError(f"{name}: a PDF locked by a password. Save it without one first.") from None
        raise ReadingError(f"{name}: damaged PDF ({reason[:120]}). Is the file cut off?") from None
