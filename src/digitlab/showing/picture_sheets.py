"""Which test images a report shows, and the sheets of PNG that carry them.

All images lie on one sheet, so the page holds one image and shows parts of it: 200 single data URLs would be three
times as large.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from digitlab.showing.mosaic import mosaic

if TYPE_CHECKING:
    import numpy.typing as npt

    from digitlab.showing.report_content import ReportContent

    Integers = npt.NDArray[np.int64]

COLUMNS = 40  # images in a row of the sheet
GAP = 1  # empty pixels between them: a browser that scales by a fraction takes a little from the neighbour
SHEET_BYTES = 1_350_000  # of PNG; as base64 1.8 MB, which leaves room for all the rest of 3 MB
MOST_PICTURES = 6_000  # their probabilities, as numbers in the page, take 40 bytes each


@dataclass(frozen=True, eq=False)
class Selection:
    """Indices of test images, by what they are shown for.

    Attributes:
        shown: every image on the sheet once, mistakes first (most confident first), in the order of the sheet.
        mistakes: how many of `shown`, from its start, are mistakes.
        hardest: images read correctly with the least confidence, least certain first.
        typical: for each class, the correct ones nearest to the class's mean image.
        least: for each class, how many of its correct ones are shown because none is less sure.
        strangest: for each class, those whose own class got the least probability.
    """

    shown: Integers
    mistakes: int
    hardest: Integers
    least: tuple[int, ...]
    typical: tuple[Integers, ...]
    strangest: tuple[Integers, ...]


def select(content: ReportContent, mistakes: int | None = None) -> Selection:
    """Choose the images worth showing: all mistakes, and a few correct ones.

    Args:
        content: Of the report.
        mistakes: How many mistakes at most; all up to `MOST_PICTURES` if absent.

    Returns:
        The selection; the same for the same content.
    """
    e, labels = content.evaluation, content.labels
    k = len(content.class_names)
    each = 6 if k <= 12 else 4 if k <= 30 else 2
    read = content.probabilities.argmax(axis=1)
    own = content.probabilities[np.arange(len(labels)), labels]
    right = np.flatnonzero(read == labels)
    by_doubt = right[np.argsort(own[right], kind="stable")]
    flat = content.images.reshape(len(labels), -1)
    typical, strangest, hard_of_class = [], [], []
    for one in range(k):
        members = np.flatnonzero(labels == one)
        good = members[read[members] == one]
        strangest.append(members[np.argsort(own[members], kind="stable")[:each]])
        hard_of_class.append(good[np.argsort(own[good], kind="stable")[: 2 * each]])
        typical.append(good[_central(flat, good, each)])
    hardest = by_doubt[: max(60, 4 * k)]
    limit = MOST_PICTURES if mistakes is None else mistakes
    wrong = e.mistakes[:limit]
    # A cut that keeps only the most confident mistakes would empty some cells: spread it over the whole order.
    if len(e.mistakes) > limit:
        wrong = e.mistakes[np.linspace(0, len(e.mistakes) - 1, limit).astype(int)] if limit else e.mistakes[:0]
    others = np.unique(np.concatenate([hardest, *hard_of_class, *typical, *strangest]))
    others = others[~np.isin(others, wrong)].astype(np.int64)
    # The strangest members are mistakes too, and so belong with them where the mistakes had to be thinned.
    extra = others[read[others] != labels[others]]
    right_ones = others[read[others] == labels[others]]
    wrong = np.concatenate([wrong, extra])
    wrong = wrong[np.argsort(-content.probabilities[wrong, read[wrong]], kind="stable")]
    shown = np.concatenate([wrong, right_ones]).astype(np.int64)
    of_class = np.bincount(labels[hardest], minlength=k)
    least = tuple(max(len(hard), int(count)) for hard, count in zip(hard_of_class, of_class, strict=True))
    return Selection(shown, len(wrong), hardest.astype(np.int64), least, tuple(typical), tuple(strangest))


def _central(flat: npt.NDArray[np.uint8], members: Integers, count: int) -> Integers:
    """Find the members nearest to their own mean image, nearest first."""
    if not len(members):
        return members
    values = flat[members].astype(np.float32)
    distance = np.square(values - values.mean(axis=0)).sum(axis=1)
    return np.argsort(distance, kind="stable")[:count]


def fitting(content: ReportContent) -> tuple[Selection, bytes]:
    """Select images so that their sheet keeps within `SHEET_BYTES`, leaving out mistakes where there are thousands.

    Args:
        content: Of the report.

    Returns:
        The selection, and its sheet as PNG.
    """
    chosen = select(content)
    image = png(mosaic(content.images[chosen.shown], COLUMNS, GAP))
    while len(image) > SHEET_BYTES and chosen.mistakes > 0:
        fewer = int(chosen.mistakes * SHEET_BYTES / len(image) * 0.95) - 20
        smaller = select(content, max(0, fewer))
        if len(smaller.shown) >= len(chosen.shown):
            break
        chosen, image = smaller, png(mosaic(content.images[smaller.shown], COLUMNS, GAP))
    return chosen, image


def outcome_map(right: npt.NDArray[np.bool_]) -> bytes:
    r"""Draw one pixel for each test image in their order: clear where it was read correctly, vermillion where not.

    Args:
        right: bool (n,).

    Returns:
        A PNG, about square.

    Example:
        >>> outcome_map(np.array([True, False]))[:4]
        b'\x89PNG'
    """
    side = int(np.ceil(np.sqrt(len(right))))
    rows = -(-len(right) // side)
    pixels = np.zeros(rows * side, np.uint8)
    pixels[: len(right)] = np.where(right, 0, 1)
    return png(pixels.reshape(rows, side), palette=[(213, 94, 0)] * 2, alpha=bytes([0, 255]))


def worse_strip(image: npt.NDArray[np.uint8], kind: str, strengths: int) -> bytes:
    r"""Draw one image as it is and, beside it, made worse in one way with rising strength.

    Args:
        image: uint8 (h, w).
        kind: A name in `digitlab.judging.corruptions.CORRUPTIONS`.
        strengths: How many of them.

    Returns:
        A PNG, grey with clear gaps: half a gap at both ends, so that each image is in the middle of its share.

    Example:
        >>> worse_strip(np.zeros((28, 28), np.uint8), "fog", 5)[:4]
        b'\x89PNG'
    """
    from PIL import Image

    from digitlab.judging.corruptions import corrupt

    worse = [corrupt(image[None], kind, step + 1)[0] for step in range(strengths)]
    side = max(1, image.shape[1] // 12)
    cells = [np.pad(np.stack([one, np.full_like(one, 255)], axis=-1), ((0, 0), (side, side), (0, 0)))
             for one in (image, *worse)]  # fmt: skip
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(cells, axis=1), "LA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def weight_sheet(weights: npt.NDArray[np.floating], units: Integers, columns: int) -> bytes:
    """Draw the weights into some units as images: blue for ink that speaks for it, vermillion against.

    Strength is in the transparency, so that the images sit on a light and on a dark page.

    Args:
        weights: float (h, w, units).
        units: Which, in the order to draw.
        columns: Images in a row.

    Returns:
        A PNG. Each unit is scaled on its own, to the 99.5th percentile of its absolute weights.
    """
    levels = 20  # 41 colours: the eye sees no more at this size, and the file is half as large as with 255
    chosen = np.moveaxis(weights[:, :, units], -1, 0)
    strength = np.maximum(np.percentile(np.abs(chosen), 99.5, axis=(1, 2), keepdims=True), 1e-12)
    index = np.rint(np.clip(chosen / strength, -1, 1) * levels).astype(np.int64) + levels
    background = np.full((len(units), *weights.shape[:2]), levels, np.uint8)
    background[...] = index
    alpha = bytes(int(255 * abs(level - levels) / levels) for level in range(2 * levels + 1))
    palette = [(213, 94, 0) if level < levels else (0, 120, 190) for level in range(2 * levels + 1)]
    return png(mosaic(background, columns), palette=palette, alpha=alpha)


def png(pixels: npt.NDArray[np.uint8], palette: list[tuple[int, int, int]] | None = None, alpha: bytes = b"") -> bytes:
    """Write pixels as PNG, grey or by a palette with transparency."""
    from PIL import Image

    image = Image.fromarray(pixels)
    options: dict[str, object] = {}
    if palette is not None:
        image.putpalette([part for colour in palette for part in colour])
        options["transparency"] = alpha
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6, **options)
    return buffer.getvalue()


def data_url(image: bytes) -> str:
    """Turn a PNG into an address that holds the image itself.

    Example:
        >>> data_url(b"abc")
        'data:image/png;base64,YWJj'
    """
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
