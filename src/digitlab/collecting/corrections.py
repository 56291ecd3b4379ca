"""Digits that somebody corrected on the page, kept in a collection: one source each, so that nothing is there twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from digitlab.collecting.collection import Collection, Labelled
from digitlab.errors import DataError

# Whoever reaches the page may add; a folder of corrections stays a folder that a person can look through.
MOST = 20_000


@dataclass(frozen=True, eq=False)
class Correction:
    """One digit that was read otherwise than it was meant.

    Attributes:
        image: (28, 28) uint8, as the network saw it.
        label: what it is, 0 to 9; None takes an earlier correction of this image back.
        source: the name of the photo, or drawing.png.
        box: left, top, right, bottom in the photo's pixels.
    """

    image: np.ndarray
    label: int | None
    source: str = ""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)


def keep_correction(collection: Collection, correction: Correction, *, writer: str = "me") -> int:
    """Add a corrected digit to a collection; the same again adds nothing, another label for it replaces the first.

    Args:
        collection: Where it goes.
        correction: The digit.
        writer: Who wrote it.

    Returns:
        1 if the collection has a new image, else 0.

    Raises:
        DataError: the folder cannot be written, or has as many corrections as it may.

    Example:
        >>> import pathlib, tempfile
        >>> mine, image = Collection(pathlib.Path(tempfile.mkdtemp())), np.full((28, 28), 9, np.uint8)
        >>> [keep_correction(mine, Correction(image, label)) for label in (3, 3, 5, None)]
        [1, 0, 1, 0]
        >>> mine.images()
        []
    """
    digest = hashlib.sha256(b"correction " + correction.image.tobytes()).hexdigest()
    before = collection.source(digest)
    if before is not None:
        if correction.label is not None and before["label"] == correction.label:
            return 0
        collection.forget(digest)
    if correction.label is None:
        return 0
    if collection.count_sources() >= MOST:
        raise DataError(f"{collection.path}: {MOST:,} sources in it, no more corrections are kept. Take another folder")
    item = Labelled(correction.image, correction.label, "c00", correction.box)
    return collection.add(
        [item],
        writer=writer,
        origin="correction",
        source=correction.source,
        digest=digest,
        about={"label": correction.label},
    )
