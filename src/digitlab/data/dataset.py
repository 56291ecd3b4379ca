"""A data set ready for training: images and labels in train, validation and test."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data import class_folders, idx, sources
from digitlab.data.arrays import images_from, labels_from
from digitlab.errors import DataError

# ((train_images, train_labels), (test_images, test_labels)), as Keras' own data sets give them.
Arrays = Sequence[Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels; both arrays are read-only, so no step can change what another sees.

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
    class_names: tuple[str, ...]  # what label 0, 1, … mean
    train: Split
    validation: Split  # may be empty
    test: Split
    doubtful: frozenset[int]  # test images (0-based) whose label people dispute

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of all images and labels as they are now, in hexadecimal; see `sources.content_hash`.

        The same however the data came and whatever the validation share; `load` has it from reading the files, a
        Dataset made or changed in Python computes it when it is first asked for.
        """
        arrays = (
            np.concatenate([self.train.images, self.validation.images]),
            np.concatenate([self.train.labels, self.validation.labels]),
            self.test.images,
            self.test.labels,
        )
        training_images, training_labels, test_images, test_labels = map(idx.sha256, arrays)
        return sources.content_hash((training_images, training_labels, test_images, test_labels))


def load(source: str | Path | None = None, *, validation: int = 5000) -> Dataset:
    """Load a data set and set validation images aside.

    One door for all data, so that everything after it needs to know only one shape.

    Args:
        source: None for the MNIST in the package; else the path of a folder of IDX files (packed or not: Fashion-MNIST,
            KMNIST, QMNIST, EMNIST digits), of a Keras-style `.npz`, or of a folder with one sub-folder per class.
        validation: How many training images become validation images; 0 trains on all. They are the last ones, as is
            the custom with MNIST; where the data are sorted by class, so that the last ones are not of every class, an
            even sample of each class instead, drawn by a fixed seed.

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
    train, held_back = _split(found.train_images, found.train_labels, validation)
    dataset = Dataset(
        name=found.name,
        source=found.location,
        class_names=found.class_names,
        train=train,
        validation=held_back,
        test=Split(found.test_images, found.test_labels),
        doubtful=found.doubtful,
    )
    vars(dataset)["sha256"] = found.sha256  # known from reading the files: not computed a second time
    return dataset


def as_dataset(data: Any, *, validation: int = 5000) -> Dataset:
    """Whatever a user gives as data: None or a path (see `load`), a Dataset, or arrays as Keras' data sets give them.

    Args:
        data: None, a path, a Dataset, ``((train_images, train_labels), (test_images, test_labels))``, or
            ``(images, labels)``, of which an even sixth becomes the test images. Images (n, 28, 28), (n, 28, 28, 1) or
            (n, 784), 0 to 255 or floats 0 to 1; labels whole numbers from 0, of any type.
        validation: As for `load`; a Dataset has its own.

    Raises:
        DataError: none of these, or as `load`.

    Example:
        >>> x, y = np.zeros((12, 28, 28), np.uint8), np.arange(12, dtype=np.uint8) % 2
        >>> len(as_dataset(((x, y), (x, y)), validation=2).train)
        10
    """
    if isinstance(data, Dataset):
        return data
    if data is None or isinstance(data, str | Path):
        return load(data, validation=validation)
    alone = isinstance(data, Sequence) and len(data) == 2 and not isinstance(data, str)
    if alone and not any(isinstance(part, tuple) for part in data):
        # Not pairs of pairs: images and labels, of which a sixth become the test images.
        images, labels = images_from(data[0], "data: images"), labels_from(data[1], "data: labels")
        Split(images, labels)
        chosen = _even_sample(labels, len(labels) // class_folders.TEST_SHARE)
        data = (images[~chosen], labels[~chosen]), (images[chosen], labels[chosen])
    pairs = isinstance(data, Sequence) and len(data) == 2 and all(isinstance(p, Sequence) and len(p) == 2 for p in data)
    if not pairs:
        raise DataError(
            f"data: got a {type(data).__name__}, expected a path, a digitlab.Dataset,"
            " (images, labels), or ((train_images, train_labels), (test_images, test_labels))."
        )
    (train_images, train_labels), (test_images, test_labels) = (
        (images_from(x, "data: images"), labels_from(y, "data: labels")) for x, y in data
    )
    if not 0 <= validation < len(train_labels):
        raise DataError(
            f"data: {validation:,} validation images asked for, expected 0 to {len(train_labels) - 1:,} of the"
            f" {len(train_labels):,} training images. Try validation={len(train_labels) // 12}."
        )
    train, held_back = _split(train_images, train_labels, validation)
    count = 1 + max(int(train_labels.max(initial=0)), int(test_labels.max(initial=0)))
    names = sources.DIGITS if count <= len(sources.DIGITS) else tuple(map(str, range(count)))
    return Dataset("arrays", "", names, train, held_back, Split(test_images, test_labels), frozenset())


def _split(images: NDArray[np.uint8], labels: NDArray[np.uint8], validation: int) -> tuple[Split, Split]:
    """Training and validation images; see `load`."""
    cut = len(labels) - validation
    classes = np.unique(labels)
    by_class = validation and any(len(np.unique(part)) < len(classes) for part in (labels[:cut], labels[cut:]))
    if not by_class or validation < len(classes) or cut < len(classes):
        return Split(images[:cut], labels[:cut]), Split(images[cut:], labels[cut:])
    chosen = _even_sample(labels, validation)
    return Split(images[~chosen], labels[~chosen]), Split(images[chosen], labels[chosen])


def _even_sample(labels: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """Choose `size` images, of each class its share; (n,) bool.

    Within a class images are in random order; image i of its m stands at place (i + 1/2) / m, and the images with the
    smallest places are chosen, so that every class gives the same share of its images to within one.
    """
    random = np.random.default_rng(0)
    places = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        places[random.permutation(of_class)] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    chosen = np.zeros(len(labels), bool)
    chosen[np.argsort(places, kind="stable")[:size]] = True
    return chosen
