"""From a photo to labelled images in a collection: of the printed sheet, or of any page whose text is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digitlab.collecting.boxes import MARGIN, SCALE, Box, cut_boxes
from digitlab.collecting.collection import Collection, Labelled
from digitlab.collecting.corner_marks import find_sheet, straightened
from digitlab.errors import DataError, ReadingError
from digitlab.reading.perspective import through

if TYPE_CHECKING:
    from digitlab.reading.reader import Reader


@dataclass(frozen=True)
class Gathered:
    """What one photo gave.

    Attributes:
        file: The photo's name.
        added: Images that are new in the collection.
        known: This very photo was collected before; nothing was added.
        empty: Boxes in which nothing is written.
        crossed_out: Boxes that were crossed out.
        unused: Lines of a page whose number of signs does not agree with the text.
        doubtful: Of the added ones, those to look at: the reader takes them for another digit, or they may be crossed
            out.
    """

    file: str
    added: int = 0
    known: bool = False
    empty: int = 0
    crossed_out: int = 0
    unused: tuple[str, ...] = ()
    doubtful: int = 0


def collect_sheet(
    photo: str | Path, collection: Collection, *, writer: str = "me", reader: Reader | None = None
) -> Gathered:
    """Cut every filled box of a photographed sheet into a collection.

    Args:
        photo: The photo's file: any turn, shadow or perspective, the whole sheet to be seen.
        collection: Where the images go.
        writer: Who wrote it; images of one writer are kept together when some are held back.
        reader: Says which images to look at; None for the network inside.

    Returns:
        How many were added, and what was passed over. The same photo again adds nothing.

    Raises:
        ReadingError: not a photo, damaged, or no sheet in it.
        DataError: a writer's name that cannot be part of a file's name, or a folder that cannot be written.
    """
    path, digest = _opened(photo, collection, writer)
    if collection.knows(digest):
        return Gathered(path.name, known=True)
    from digitlab.reading.picture import open_pages

    page = next(open_pages(path))
    matrix = find_sheet(page.pixels, str(path))
    boxes = cut_boxes(straightened(page.pixels, matrix, SCALE, MARGIN))
    filled = [box for box in boxes if not box.empty]
    images = [image_of(box.grey) for box in filled]
    with_image = [(box, image) for box, image in zip(filled, images, strict=True) if image is not None]
    if not with_image:
        raise ReadingError(f"{path}: the sheet is empty, expected digits in its boxes. Is it the photo you meant?")
    kept_boxes, kept_images = [box for box, _ in with_image], np.stack([image for _, image in with_image])
    chances = _chances(kept_images, np.array([box.row for box in kept_boxes]), reader)
    crossed = crossed_out(kept_boxes, chances)
    items = [
        Labelled(
            image=image,
            label=box.row,
            place=f"r{box.row}c{box.column:02d}",
            box=_in_photo(box, matrix, page.scale),
            doubtful=bool(chance < 0.5 or box.corners >= 3 or min(box.strokes) > 0.6),
        )
        for box, image, chance, out in zip(kept_boxes, kept_images, chances, crossed, strict=True)
        if not out
    ]
    passed = {"empty": len(boxes) - len(with_image), "crossed_out": int(crossed.sum())}
    added = collection.add(items, writer=writer, origin="sheet", source=path.name, digest=digest, about=passed)
    doubtful = sum(item.doubtful for item in items)
    return Gathered(path.name, added, empty=passed["empty"], crossed_out=passed["crossed_out"], doubtful=doubtful)


def collect_page(
    photo: str | Path, text: str, collection: Collection, *, writer: str = "me", reader: Reader | None = None
) -> Gathered:
    """Take the digits of a page whose text is known; a line counts only where the number of signs found agrees.

    Args:
        photo: The photo's file.
        text: Its lines from top to bottom, separated by "/" or newlines; blanks do not count.
        collection: Where the images go.
        writer: Who wrote it.
        reader: Finds the signs; None for the network inside.

    Returns:
        How many were added, and the lines that were not used.

    Raises:
        ReadingError: not a photo, or damaged.
        DataError: a text that is not of digits, or a writer's name that cannot be part of a file's name.
    """
    lines = ["".join(line.split()) for line in text.replace("\n", "/").split("/")]
    lines = [line for line in lines if line]
    wrong = next((sign for line in lines for sign in line if not (sign.isascii() and sign.isdigit())), "")
    if wrong or not lines:
        raise DataError(
            f"--text: got {wrong or text!r}, expected the page's digits, lines separated by /, as in 012/345"
        )
    path, digest = _opened(photo, collection, writer)
    if collection.knows(digest):
        return Gathered(path.name, known=True)
    if reader is None:
        from digitlab.reading.reader import Reader

        reader = Reader()
    signs: dict[int, list[tuple[np.ndarray, tuple[int, int, int, int], int | None]]] = {}
    for found in reader.read(path).digits:
        signs.setdefault(found.line, []).append((found.glyph, found.box, found.digit))
    rows = list(signs.values())
    items, unused = [], []
    for number, line in enumerate(lines):
        # With another number of lines nobody knows which is which.
        if len(rows) != len(lines) or len(rows[number]) != len(line):
            unused.append(line)
            continue
        for position, (sign, (image, box, guess)) in enumerate(zip(line, rows[number], strict=True)):
            place = f"l{number}p{position:02d}"
            items.append(Labelled(image, int(sign), place, box, doubtful=guess != int(sign)))
    if not items:
        seen = ", ".join(str(len(row)) for row in rows) or "none"
        wanted = ", ".join(str(len(line)) for line in lines)
        raise ReadingError(
            f"{path}: signs found per line {seen}, --text has {wanted}; nothing was added. Correct the text, or"
            f" look at what was found: digitlab read {path} --annotate seen.png"
        )
    added = collection.add(items, writer=writer, origin="page", source=path.name, digest=digest, about={"text": text})
    return Gathered(path.name, added, unused=tuple(unused), doubtful=sum(item.doubtful for item in items))


def image_of(grey: np.ndarray) -> np.ndarray | None:
    """Bring an image of one digit into MNIST's geometry, by the reader's own steps.

    Args:
        grey: (h, w) uint8.

    Returns:
        (28, 28) uint8, ink bright on 0; None where nothing is written.

    Example:
        >>> page = np.full((120, 100), 255, np.uint8)
        >>> page[20:100, 45:55] = 0
        >>> image_of(page).shape
        (28, 28)
    """
    from digitlab.reading.glyphs import find_glyphs
    from digitlab.reading.picture import open_pages

    glyphs, _ = find_glyphs(next(open_pages(grey)), single=True)
    return glyphs[0].image if glyphs and glyphs[0].image.any() else None


def crossed_out(boxes: list[Box], chances: np.ndarray) -> np.ndarray:
    """Say which boxes were crossed out.

    Two straight strokes from corner to corner are a cross, whatever the reader makes of it (a crossed 4 looks like an
    8). A cross of other strokes reaches three corners, which a digit hardly ever does, and a scribble has far more ink
    than its row's others; these do not count where the reader still sees the row's digit. One stroke from corner to
    corner counts only where the reader sees nothing of the digit.

    Args:
        boxes: Filled ones.
        chances: (n,) the reader's probability of the row's digit.

    Returns:
        (n,) bool.
    """
    ink = np.array([box.ink for box in boxes])
    rows = np.array([box.row for box in boxes])
    usual = np.array([np.median(ink[rows == row]) for row in rows])
    corners = np.array([box.corners for box in boxes])
    weaker, stronger = np.sort(np.array([box.strokes for box in boxes]), axis=1).T
    return np.asarray(
        (weaker > 0.85)
        | ((corners >= 3) & (chances < 0.5))
        | ((ink > 2.2 * usual) & (chances < 0.5))
        | ((stronger > 0.9) & (ink > 1.3 * usual) & (chances < 0.05))
    )


def _opened(photo: str | Path, collection: Collection, writer: str) -> tuple[Path, str]:
    """The photo's path and the SHA-256 of its bytes."""
    collection.check_writer(writer)
    path = Path(photo)
    try:
        return path, hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ReadingError(f"{path}: cannot be read ({error.strerror}), expected a photo. Check the name.") from None


def _chances(images: np.ndarray, labels: np.ndarray, reader: Reader | None) -> np.ndarray:
    if reader is None:
        from digitlab.reading.reader import Reader

        reader = Reader()
    return np.asarray(reader.predict(images)[np.arange(len(labels)), labels])


def _in_photo(box: Box, matrix: np.ndarray, scale: float) -> tuple[int, int, int, int]:
    """Where a box lies in the photo's own pixels: the upright rectangle around it."""
    left, top, right, bottom = (edge / SCALE - MARGIN for edge in box.edges)
    corners = through(matrix, np.array([(left, top), (right, top), (right, bottom), (left, bottom)])) * scale
    low, high = np.floor(corners.min(0)), np.ceil(corners.max(0))
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
