"""Images and labels as a trainer takes them: shuffled by index, in batches, in padded chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """What a trainer learns from.

    Attributes:
        images: (n, 28, 28) uint8 with ink bright on 0; or rows of numbers (n, features), for a model that takes those.
        labels: (n,) integers 0..classes-1.
        weights: (n,) how much each image counts in the loss, of mean 1; None: all the same.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


def epoch_permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch sees the training images: a permutation of 0..count-1, (count,) int32.

    Drawn from seed and epoch number alone, so that a resumed run repeats it without having to keep a generator.

    Example:
        >>> sorted(epoch_permutation(0, 3, 5).tolist())
        [0, 1, 2, 3, 4]
    """
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Steps of an epoch; the last one takes what is left, as in Keras."""
    return -(-count // batch_size)


def padded_chunks(
    images: np.ndarray, labels: np.ndarray | None = None, size: int = 1000
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Cut images into equal chunks, the last one padded with blanks, so that one compiled program serves them all.

    Yields:
        (images, labels, number of valid ones) a chunk.
    """
    for start in range(0, len(images), size):
        part = images[start : start + size]
        some = np.zeros(len(part), np.int32) if labels is None else np.asarray(labels[start : start + size], np.int32)
        missing = min(size, len(images)) - len(part) if len(images) < size else size - len(part)
        yield (
            np.pad(part, ((0, missing), *((0, 0) for _ in part.shape[1:]))),
            np.pad(some, (0, missing)),
            len(part),
        )
