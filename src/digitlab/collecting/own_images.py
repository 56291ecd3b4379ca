"""Own images read for teaching: as arrays, and parted into those to learn from and those held back to judge by."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitlab.collecting.collection import Collection, Kept
from digitlab.data.class_folders import read_image
from digitlab.errors import DataError

# A source of fewer images is no sheet but a correction or a short line.
LEAST_SHEET = 20


@dataclass(frozen=True, eq=False)
class OwnImages:
    """Own images with labels and where each came from.

    Attributes:
        images: (n, 28, 28) uint8, ink bright on 0.
        labels: (n,) uint8, position in the class names asked for.
        kept: n records, in the same order.
        sha256: of images and labels.
    """

    images: np.ndarray
    labels: np.ndarray
    kept: tuple[Kept, ...]
    sha256: str


@dataclass(frozen=True, eq=False)
class HeldBack:
    """Which own images to learn from and which to judge by.

    Attributes:
        learn, judge: positions, int.
        by: "sheet", "writer" or "image": what was kept together. "" where nothing is held back.
    """

    learn: np.ndarray
    judge: np.ndarray
    by: str


def read_own_images(folder: str | Path, class_names: tuple[str, ...]) -> OwnImages:
    """Read a folder of own images, made by `digitlab collect` or by hand.

    Args:
        folder: One sub-folder per class; not every class needs one.
        class_names: What the network tells apart.

    Returns:
        The images, class by class.

    Raises:
        DataError: no images, a class the network does not know, an image that cannot be read or is not 28 x 28.
    """
    path = Path(folder)
    kept = Collection(path).images()
    if not kept:
        raise DataError(f"{path}: no images, expected sub-folders 0, 1, … with some. Make them with: digitlab collect")
    unknown = next((image for image in kept if image.label not in class_names), None)
    if unknown:
        raise DataError(
            f"{unknown.file.parent}: class {unknown.label!r} is not one of the network's ({', '.join(class_names)})."
            " Rename or move the folder."
        )
    images = np.stack([read_image(image.file, 28) for image in kept])
    # Bright ink on 0, decided once for all of them: MNIST's own border is dark.
    border = np.concatenate([images[:, 0].ravel(), images[:, -1].ravel()])
    if np.median(border) > 127:
        images = 255 - images
    labels = np.array([class_names.index(image.label) for image in kept], np.uint8)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return OwnImages(images, labels, tuple(kept), digest)


def hold_back(kept: tuple[Kept, ...], share: float, seed: int = 0) -> HeldBack:
    """Part own images into those to learn from and those to judge by.

    Whole sheets are held back where a writer has several, else whole writers where there are several, else images of
    every class: two images of one sheet are more alike than what the network will meet.

    Args:
        kept: As `Collection.images` gives them.
        share: How much to hold back, 0 to below 1; 0 holds nothing back.
        seed: Decides which.

    Returns:
        Positions; each image is in one of the two.

    Raises:
        DataError: a share outside its range.

    Example:
        >>> alone = tuple(Kept(Path(f"{n}.png"), "3", "anna", "a") for n in range(10))
        >>> parted = hold_back(alone, 0.2)
        >>> parted.by, len(parted.learn), len(parted.judge)
        ('image', 8, 2)
    """
    if not 0 <= share < 1:
        raise DataError(f"--held-back: got {share}, expected a share from 0 to below 1, as in 0.2")
    rng = np.random.default_rng(seed)
    everything = np.arange(len(kept))
    if share == 0:
        return HeldBack(everything, everything[:0], "")
    sheets = Counter((image.writer, image.source) for image in kept if image.source)
    of_writer: dict[str, list[str]] = {}
    for (writer, source), count in sorted(sheets.items()):
        if count >= LEAST_SHEET:
            of_writer.setdefault(writer, []).append(source)
    several = {writer: sources for writer, sources in of_writer.items() if len(sources) > 1}
    writers = sorted({image.writer for image in kept})
    if several:
        chosen = {source for sources in several.values() for source in _some(sources, share, rng)}
        held, by = np.array([image.source in chosen for image in kept]), "sheet"
    elif len(writers) > 1:
        chosen = set(_some(writers, share, rng))
        held, by = np.array([image.writer in chosen for image in kept]), "writer"
    else:
        held, by = np.zeros(len(kept), bool), "image"
        for label in {image.label for image in kept}:
            of_class = np.flatnonzero([image.label == label for image in kept])
            held[rng.permutation(of_class)[: round(share * len(of_class))]] = True
    return HeldBack(everything[~held], everything[held], by)


def _some(names: list[str], share: float, rng: np.random.Generator) -> list[str]:
    """At least one of them, and not all."""
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return [names[i] for i in rng.permutation(len(names))[:count]]
