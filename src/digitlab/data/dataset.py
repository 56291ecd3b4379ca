"""A data set ready for training: pictures and labels in train, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data import sources
from digitlab.errors import DataError


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures with their labels; both arrays are read-only, so no step can change what another sees.

    Args:
        images: uint8 (n, 28, 28), ink bright on 0.
        labels: uint8 (n,), from 0.

    Raises:
        DataError: Arrays of another type or shape, or of different length.

    Example:
        >>> split = Split(np.zeros((2, 28, 28), np.uint8), np.array([3, 1], np.uint8))
        >>> len(split)
        2
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if (
            images.dtype != np.uint8
            or labels.dtype != np.uint8
            or images.shape[1:] != (sources.SIDE, sources.SIDE)
            or labels.shape != images.shape[:1]
        ):
            raise DataError(
                f"images {images.dtype} {images.shape} with labels {labels.dtype} {labels.shape}, expected uint8"
                " (n, 28, 28) with uint8 (n,)."
            )
        for name in ("images", "labels"):
            view = getattr(self, name).view()  # the caller's own array stays as it was
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, validation and test, with where they came from.

    Choices are made on `validation`; `test` is looked at once, when a run is finished.

    Example:
        >>> mnist = load()
        >>> len(mnist.train), len(mnist.validation), len(mnist.test)
        (55000, 5000, 10000)
    """

    name: str  # "MNIST", or the name of the folder or file
    source: str  # "bundled", or the path as it was given
    sha256: str  # of all pictures and labels, the same however they came and whatever the validation share
    class_names: tuple[str, ...]  # what label 0, 1, … mean
    train: Split
    validation: Split  # may be empty
    test: Split
    doubtful: frozenset[int]  # test images (0-based) whose label people dispute


def load(source: str | Path | None = None, *, validation: int = 5000) -> Dataset:
    """Load a data set and set validation images aside.

    One door for all data, so that everything after it needs to know only one shape.

    Args:
        source: None for the MNIST in the package; else the path of a folder of IDX files (packed or not: Fashion-MNIST,
            KMNIST, QMNIST, EMNIST digits), of a Keras-style `.npz`, or of a folder with one sub-folder a class.
        validation: How many of the last training images become the validation images; 0 trains on all.

    Returns:
        uint8 images (n, 28, 28), ink bright on 0, and uint8 labels (n,) from 0, in three splits, read-only.

    Raises:
        DataError: The data are missing, damaged or of another kind, or leave no training image.

    Example:
        >>> mnist = load(validation=0)
        >>> mnist.train.images.shape, mnist.train.images.dtype, len(mnist.validation)
        ((60000, 28, 28), dtype('uint8'), 0)
    """
    found = sources.find(source)
    count = len(found.train_labels)
    if not 0 <= validation < count:
        # A twelfth is the share that 5,000 have in MNIST's 60,000.
        raise DataError(
            f"{found.location}: {validation:,} validation images asked for, expected 0 to {count - 1:,} of the"
            f" {count:,} training images. Try --validation {count // 12}."
        )
    cut = count - validation
    return Dataset(
        name=found.name,
        source=found.location,
        sha256=found.sha256,
        class_names=found.class_names,
        train=Split(found.train_images[:cut], found.train_labels[:cut]),
        validation=Split(found.train_images[cut:], found.train_labels[cut:]),
        test=Split(found.test_images, found.test_labels),
        doubtful=found.doubtful,
    )
