from __future__ import annotations

import gzip
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import digitlab.data
from digitlab.data import Dataset, Split, load
from digitlab.data.dataset import as_dataset
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
    """Measured against what cannot be avoided, unpacking and hashing, in processor time: a busy machine slows both."""

    def seconds(work: Callable[[], object]) -> float:
        spent = []
        for _ in range(3):
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
        return min(spent)

    def unavoidable() -> None:
        for name in MNIST_SHA256:
            hashlib.sha256(gzip.decompress((BUNDLED / f"{name}.gz").read_bytes())).hexdigest()

    assert seconds(load) < 4 * seconds(unavoidable)  # 1.1 times as much was measured


def test_public_names() -> None:
    assert digitlab.data.__all__ == ["Dataset", "Split", "load"]


def test_the_hash_is_of_the_contents(mnist: Dataset) -> None:
    assert replace(mnist).sha256 == mnist.sha256  # computed here, known from the files there
    few = replace(mnist, train=Split(mnist.train.images[:10], mnist.train.labels[:10]))
    other = replace(mnist, train=Split(255 - mnist.train.images[:10], mnist.train.labels[:10]))
    assert len({mnist.sha256, few.sha256, other.sha256}) == 3


def test_data_sorted_by_class_give_a_sample_of_each(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 60)
    images = np.zeros((600, 28, 28), np.uint8)
    images[:, 0, :2] = np.arange(600)[:, None] // [1, 256] % 256
    np.savez(tmp_path / "sorted.npz", x_train=images, y_train=labels, x_test=images[:20], y_test=labels[:20])
    data = load(tmp_path / "sorted.npz", validation=50)
    np.testing.assert_array_equal(np.bincount(data.validation.labels), np.full(10, 5))
    np.testing.assert_array_equal(np.bincount(data.train.labels), np.full(10, 55))
    both = np.concatenate([data.train.images, data.validation.images])[:, 0, :2] @ [1, 256]
    assert sorted(both) == list(range(600))  # every image once
    again = load(tmp_path / "sorted.npz", validation=50)
    np.testing.assert_array_equal(again.validation.images, data.validation.images)
    mixed = np.random.default_rng(0).permutation(labels)
    np.savez(tmp_path / "mixed.npz", x_train=images, y_train=mixed, x_test=images[:20], y_test=labels[:20])
    np.testing.assert_array_equal(load(tmp_path / "mixed.npz", validation=200).validation.images, images[400:])


def test_arrays_as_keras_gives_them() -> None:
    x, y = np.zeros((24, 28, 28), np.uint8), np.arange(24) % 3
    data = as_dataset(((x, y), (x[:6], y[:6])), validation=6)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [18, 6, 6]
    assert data.train.labels.dtype == np.uint8
    for wrong in (x, 3, ((x, y), (x, y, y))):
        with pytest.raises(
            DataError, match=r"data: got a .*, expected a path, a digitlab\.Dataset, \(images, labels\), or"
        ):
            as_dataset(wrong)
    with pytest.raises(DataError, match="expected 0 to 23"):
        as_dataset(((x, y), (x, y)), validation=24)
