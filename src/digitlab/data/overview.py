"""Look at a data set before training on it: counts, pixel statistics, sample grids for a terminal and as an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.dataset import Dataset
from digitlab.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_CHUNK = 2048  # images at a time: bincount widens each pixel to 8 bytes, 13 MB instead of 344 MB for MNIST
# Bit 0: upper left quarter of the character is ink, 1: upper right, 2: lower left, 3: lower right.
_QUARTERS = np.array(list(" ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"))

_SCALE = 2  # pixels of the image to one of a digit
_GAP = 6  # pixels between digits
_MARGIN = 16
_FONT_SIZE = 22
_PAPER, _WORDS = 255, 40  # grey levels


@dataclass(frozen=True)
class Overview:
    """What `digitlab data` tells about a data set.

    Example:
        >>> from digitlab.data import load
        >>> overview = describe(load())
        >>> overview.name, sum(overview.test), overview.test_seen
        ('MNIST', 10000, 0)
    """

    name: str
    source: str
    sha256: str
    class_names: tuple[str, ...]
    train: tuple[int, ...]  # training images per class, as class_names
    validation: tuple[int, ...]
    test: tuple[int, ...]
    pixel_mean: float  # of the training images scaled to 0..1, as are the next three
    pixel_std: float
    pixel_min: float
    pixel_max: float
    ink_share: float  # share of training pixels above 0
    blank: int  # training images without any ink
    test_seen: int  # test images that lie, pixel for pixel, among train or validation too: the test would be too easy
    doubtful: tuple[int, ...]  # test images (0-based) whose label people dispute

    def to_dict(self) -> dict[str, Any]:
        """Give the overview as plain lists, dictionaries, numbers and text, for JSON.

        Returns:
            `name`, `source`, `sha256`, `images` (by split), `classes` (a list), `pixels`, `blank_train_images`,
            `test_images_also_in_training` and `doubtful_test_images`.

        Example:
            >>> from digitlab.data import load
            >>> describe(load()).to_dict()["classes"][3]
            {'name': '3', 'train': 5622, 'validation': 509, 'test': 1010}
        """
        return {
            "name": self.name,
            "source": self.source,
            "sha256": self.sha256,
            "images": {"train": sum(self.train), "validation": sum(self.validation), "test": sum(self.test)},
            "classes": [
                {"name": name, "train": train, "validation": validation, "test": test}
                for name, train, validation, test in zip(
                    self.class_names, self.train, self.validation, self.test, strict=True
                )
            ],
            "pixels": {
                "mean": self.pixel_mean,
                "std": self.pixel_std,
                "min": self.pixel_min,
                "max": self.pixel_max,
                "ink_share": self.ink_share,
            },
            "blank_train_images": self.blank,
            "test_images_also_in_training": self.test_seen,
            "doubtful_test_images": list(self.doubtful),
        }


def describe(dataset: Dataset) -> Overview:
    """Count classes and measure pixels.

    Pixel statistics are those of the training images only: what a recipe may know before the test.

    Args:
        dataset: Any data set `load` gave.

    Returns:
        The numbers; `to_dict()` makes them fit for JSON.

    Example:
        >>> from digitlab.data import load
        >>> overview = describe(load(validation=0))
        >>> overview.train[:3], round(overview.pixel_mean, 4), round(overview.pixel_std, 4)
        ((5923, 6742, 5958), 0.1307, 0.3081)
    """
    classes = len(dataset.class_names)
    images = dataset.train.images
    counts = np.zeros(256, np.int64)
    blank = 0
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].reshape(-1, images[0].size)
        counts += np.bincount(chunk.ravel(), minlength=256)
        blank += int((chunk.max(axis=1) == 0).sum())
    values = np.arange(256) / 255
    mean = float(counts @ values / counts.sum())
    present = np.flatnonzero(counts)
    return Overview(
        name=dataset.name,
        source=dataset.source,
        sha256=dataset.sha256,
        class_names=dataset.class_names,
        train=_per_class(dataset.train.labels, classes),
        validation=_per_class(dataset.validation.labels, classes),
        test=_per_class(dataset.test.labels, classes),
        pixel_mean=mean,
        pixel_std=float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum())),
        pixel_min=float(values[present[0]]),
        pixel_max=float(values[present[-1]]),
        ink_share=float(1 - counts[0] / counts.sum()),
        blank=blank,
        test_seen=_count_seen(dataset),
        doubtful=tuple(sorted(dataset.doubtful)),
    )


def sample_indices(labels: NDArray[np.integer[Any]], per_class: int, seed: int = 0) -> NDArray[np.intp]:
    """Draw the same number of images from every class.

    Args:
        labels: Integer (n,).
        per_class: How many of each class, at least 1; a class with fewer gives all it has.
        seed: The same seed draws the same images.

    Returns:
        Positions in `labels`, class after class, without repeats.

    Raises:
        DataError: `per_class` below 1.

    Example:
        >>> labels = np.array([1, 0, 1, 0, 1])
        >>> labels[sample_indices(labels, per_class=2)].tolist()
        [0, 0, 1, 1]
    """
    if per_class < 1:
        raise DataError(f"{per_class} images per class asked for, expected at least 1.")
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(labels == label))[:per_class] for label in np.unique(labels)]
    return np.concatenate([*chosen, np.empty(0, np.intp)])


def terminal_grid(images: NDArray[np.uint8], columns: int = 5) -> list[str]:
    """Draw images with characters, without colour: 14 characters wide and 7 lines high each.

    Block quarters keep all 28 columns and every second row, which looks right as a character is twice as high as wide.
    Braille dots keep every row but look thin, shades (░▒▓) blur the strokes: both were tried side by side. A MNIST
    image's own margin separates the rows. Five images fill a line of 78 characters.

    Args:
        images: uint8 (n, 28, 28), ink bright on 0.
        columns: Images a row, at least 1.

    Returns:
        Lines without line ends or trailing spaces, 7 for every row of images.

    Raises:
        DataError: `columns` below 1.

    Example:
        >>> image = np.zeros((1, 28, 28), np.uint8)
        >>> image[0, 4:24, 13:15] = 255
        >>> for line in terminal_grid(image): print(f"{line}|")
        |
              ▐▌|
              ▐▌|
              ▐▌|
              ▐▌|
              ▐▌|
        |
    """
    _check_columns(columns)
    lines: list[str] = []
    for start in range(0, len(images), columns):
        blocks = [_characters(image) for image in images[start : start + columns]]
        lines += ["  ".join(parts).rstrip() for parts in zip(*blocks, strict=True)]
    return lines


def grid_image(
    images: NDArray[np.uint8],
    labels: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    columns: int = 10,
    class_names: Sequence[str] | None = None,
) -> Image.Image:
    """Draw images as a grid on white paper, for a file or a report.

    Args:
        images: uint8 (n, 28, 28), ink bright on 0; drawn at twice their size.
        labels: Integer (n,): one row per class with its name before it, showing its first `columns` images. None: as
            many rows as the images need, in order, without names.
        columns: Images a row, at least 1.
        class_names: What label 0, 1, … is called; the number itself where left out.

    Returns:
        A grey Pillow image (mode "L").

    Raises:
        DataError: No images, or `columns` below 1.

    Example:
        >>> grid_image(np.zeros((4, 28, 28), np.uint8), labels=[7, 1, 7, 7], columns=2).mode
        'L'
    """
    from PIL import Image, ImageDraw, ImageFont

    _check_columns(columns)
    if not len(images):
        raise DataError("no images to draw, expected at least one.")
    if labels is None:
        rows = [list(range(start, min(start + columns, len(images)))) for start in range(0, len(images), columns)]
        words = [""] * len(rows)
    else:
        kinds = np.unique(np.asarray(labels))
        rows = [np.flatnonzero(np.asarray(labels) == kind)[:columns].tolist() for kind in kinds]
        words = [class_names[kind] if class_names is not None else str(kind) for kind in kinds]

    font = ImageFont.load_default(_FONT_SIZE)
    gutter = round(max(font.getlength(word) for word in words))
    left = _MARGIN + (gutter + _MARGIN if gutter else 0)
    height, width = (_SCALE * side for side in images.shape[1:])
    page = Image.new(
        "L",
        (
            left + max(map(len, rows)) * (width + _GAP) - _GAP + _MARGIN,
            _MARGIN + len(rows) * (height + _GAP) - _GAP + _MARGIN,
        ),
        _PAPER,
    )
    draw = ImageDraw.Draw(page)
    for row, (members, word) in enumerate(zip(rows, words, strict=True)):
        top = _MARGIN + row * (height + _GAP)
        # Right-aligned and centred on the row: "rm" is Pillow's right-middle anchor.
        draw.text((_MARGIN + gutter, top + height // 2), word, _WORDS, font, anchor="rm")
        for column, member in enumerate(members):
            tile = Image.fromarray(images[member]).resize((width, height), Image.Resampling.BICUBIC)
            page.paste(tile, (left + column * (width + _GAP), top))
    return page


def _per_class(labels: NDArray[np.uint8], classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=classes).tolist())


def _count_seen(dataset: Dataset) -> int:
    def each(images: NDArray[np.uint8]) -> Iterator[bytes]:
        return (image.tobytes() for image in images)

    test = set(each(dataset.test.images))
    seen = {
        picture for split in (dataset.train, dataset.validation) for picture in each(split.images) if picture in test
    }
    return sum(picture in seen for picture in each(dataset.test.images)) if seen else 0


def _characters(image: NDArray[np.uint8]) -> list[str]:
    """Draw one image of even sides with quarter blocks: two columns and four rows of it a character."""
    pairs = image.reshape(image.shape[0] // 2, 2, -1).mean(axis=1)  # (14, 28): two rows become one
    # 0.35 of the brightest keeps thin strokes whole and open loops open; 1 keeps an empty image empty.
    ink = pairs > max(1.0, 0.35 * float(pairs.max()))
    quarters = ink[0::2, 0::2] + 2 * ink[0::2, 1::2] + 4 * ink[1::2, 0::2] + 8 * ink[1::2, 1::2]
    return ["".join(line) for line in _QUARTERS[quarters]]


def _check_columns(columns: int) -> None:
    if columns < 1:
        raise DataError(f"{columns} columns asked for, expected at least 1.")
