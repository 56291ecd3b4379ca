from __future__ import annotations

import gzip
import hashlib
import time
from collections import Counter

import numpy as np
import pytest

import digitlab.data
from digitlab.data import Dataset, Split, load
from digitlab.data.sources import BUNDLED, MNIST_SHA256
from digitlab.errors import DataError


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return load()


def unpacked(name: str) -> bytes:
    return gzip.decompress((BUNDLED / f"{name}.gz").read_bytes())


def test_bundled_mnist_is_the_original(mnist: Dataset) -> None:
    """Counted and hashed here from the files with gzip alone, without the project's reader."""
    for name, wanted in MNIST_SHA256.items():
        assert hashlib.sha256(unpacked(name)).hexdigest() == wanted
        assert wanted in (BUNDLED / "LICENSE.md").read_text()
    train, test = (Counter(unpacked(f"{part}-labels-idx1-ubyte")[8:]) for part in ("train", "t10k"))
    # The counts known from the literature.
    assert [train[digit] for digit in range(10)] == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert [test[digit] for digit in range(10)] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(np.concatenate([mnist.train.labels, mnist.validation.labels])).tolist() == [
        train[digit] for digit in range(10)
    ]
    assert np.bincount(mnist.test.labels).tolist() == [test[digit] for digit in range(10)]
    images = b"".join(split.images.tobytes() for split in (mnist.train, mnist.validation))
    assert images == unpacked("train-images-idx3-ubyte")[16:]
    assert mnist.test.images.tobytes() == unpacked("t10k-images-idx3-ubyte")[16:]


def test_what_mnist_is_called(mnist: Dataset) -> None:
    assert (mnist.name, mnist.source) == ("MNIST", "bundled")
    assert mnist.class_names == tuple("0123456789")
    lines = "".join(f"{hashlib.sha256(unpacked(name)).hexdigest()}\n" for name in MNIST_SHA256)
    assert mnist.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert sorted(mnist.doubtful) == [
        947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729
    ]  # fmt: skip


def test_validation_is_the_end_of_train(mnist: Dataset) -> None:
    whole = load(validation=0)
    assert len(whole.train) == 60_000
    assert len(whole.validation) == 0
    assert whole.validation.images.shape == (0, 28, 28)
    assert whole.sha256 == mnist.sha256
    assert (len(mnist.train), len(mnist.validation), len(mnist.test)) == (55_000, 5_000, 10_000)
    np.testing.assert_array_equal(mnist.validation.images, whole.train.images[55_000:])
    np.testing.assert_array_equal(mnist.validation.labels, whole.train.labels[55_000:])
    np.testing.assert_array_equal(mnist.train.labels, whole.train.labels[:55_000])
    assert len(load(validation=59_999).train) == 1


@pytest.mark.parametrize("validation", [-1, 60_000, 10**9])
def test_validation_that_cannot_be(validation: int) -> None:
    with pytest.raises(DataError, match=r"validation images asked for, expected 0 to 59,999 of the 60,000 .* 5000"):
        load(validation=validation)


def test_arrays_are_read_only_but_the_callers_stay_as_they_were(mnist: Dataset) -> None:
    for split in (mnist.train, mnist.validation, mnist.test):
        assert not split.images.flags.writeable
        assert not split.labels.flags.writeable
        assert split.images.dtype == split.labels.dtype == np.uint8
    images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8)
    split = Split(images, labels)
    with pytest.raises(ValueError, match="read-only"):
        split.images[0, 0, 0] = 1
    images[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 28, 28), np.float32), np.zeros(2, np.uint8)),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 28, 27), np.uint8), np.zeros(2, np.uint8)),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.uint8)),
        (np.zeros((2, 784), np.uint8), np.zeros(2, np.uint8)),
    ],
)
def test_split_refuses_other_arrays(images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected uint8"):
        Split(images, labels)


def test_splits_are_frozen(mnist: Dataset) -> None:
    with pytest.raises(AttributeError):
        mnist.train = mnist.test  # type: ignore[misc]


def test_loading_stays_cheap() -> None:
    """0.14 s were measured; ten times that would be felt at every start."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        load()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.4


def test_public_names() -> None:
    assert digitlab.data.__all__ == ["Dataset", "Split", "load"]
