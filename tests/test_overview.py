from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from digitlab.data import Dataset, Split, load
from digitlab.data.overview import describe, grid_image, sample_indices, terminal_grid
from digitlab.errors import DataError


def small(train: np.ndarray, validation: np.ndarray, test: np.ndarray, classes: int = 3) -> Dataset:
    def split(images: np.ndarray) -> Split:
        return Split(images, (np.arange(len(images)) % classes).astype(np.uint8))

    names = tuple("abcdefgh"[:classes])
    return Dataset("small", "here", names, split(train), split(validation), split(test), frozenset({4, 2}))


def test_mnist_against_the_plain_computation() -> None:
    mnist = load()
    overview = describe(mnist)
    scaled = mnist.train.images.astype(np.float32) / 255
    assert overview.pixel_mean == pytest.approx(scaled.mean(dtype=np.float64), abs=1e-7)
    assert overview.pixel_std == pytest.approx(scaled.std(dtype=np.float64), abs=1e-7)
    assert overview.ink_share == pytest.approx((mnist.train.images > 0).mean())
    assert (overview.pixel_min, overview.pixel_max, overview.blank, overview.test_seen) == (0, 1, 0, 0)
    for split in ("train", "validation", "test"):
        labels = getattr(mnist, split).labels
        assert getattr(overview, split) == tuple(int((labels == digit).sum()) for digit in range(10))
    assert overview.doubtful == tuple(sorted(mnist.doubtful))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.just(28), st.just(28))))
def test_statistics_of_any_pictures(images: np.ndarray) -> None:
    overview = describe(small(images, images[:0], images[:0]))
    assert overview.pixel_mean == pytest.approx((images / 255).mean())
    assert overview.pixel_std == pytest.approx((images / 255).std())
    assert (overview.pixel_min, overview.pixel_max) == (images.min() / 255, images.max() / 255)
    assert overview.ink_share == pytest.approx(np.count_nonzero(images) / images.size)
    assert overview.blank == sum(not image.any() for image in images)


def test_test_pictures_also_in_training_are_counted() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    test = np.concatenate([pictures[15:], pictures[:2], pictures[11:12], pictures[:1]])
    assert describe(small(pictures[:10], pictures[10:15], test)).test_seen == 4
    assert describe(small(pictures[:10], pictures[10:15], pictures[15:])).test_seen == 0


def test_to_dict_is_json() -> None:
    images = np.zeros((4, 28, 28), np.uint8)
    made = describe(small(images, images[:1], images[:2])).to_dict()
    assert json.loads(json.dumps(made)) == made
    assert made["images"] == {"train": 4, "validation": 1, "test": 2}
    assert made["classes"][0] == {"name": "a", "train": 2, "validation": 1, "test": 1}
    assert made["classes"][2] == {"name": "c", "train": 1, "validation": 0, "test": 0}
    assert made["blank_train_images"] == 4
    assert made["doubtful_test_images"] == [2, 4]


@given(hnp.arrays(np.uint8, st.integers(0, 60), elements=st.integers(0, 6)), st.integers(1, 5), st.integers(0, 9))
def test_samples_are_distinct_and_even(labels: np.ndarray, per_class: int, seed: int) -> None:
    chosen = sample_indices(labels, per_class, seed)
    assert len(set(chosen.tolist())) == len(chosen)
    assert np.all(np.diff(labels[chosen].astype(int)) >= 0)
    for label in range(7):
        assert (labels[chosen] == label).sum() == min(per_class, (labels == label).sum())
    np.testing.assert_array_equal(chosen, sample_indices(labels, per_class, seed))


def test_samples_follow_the_seed() -> None:
    labels = np.arange(1000) % 10
    assert sample_indices(labels, 3, 1).tolist() != sample_indices(labels, 3, 2).tolist()
    with pytest.raises(DataError, match="0 images per class"):
        sample_indices(labels, 0)


@given(hnp.arrays(np.bool_, (2, 14, 28)))
def test_terminal_characters_show_exactly_their_quarters(ink: np.ndarray) -> None:
    """Read the drawing back by what Unicode says each block character covers."""
    covers = {
        " ": (0, 0, 0, 0), "▘": (1, 0, 0, 0), "▝": (0, 1, 0, 0), "▀": (1, 1, 0, 0),
        "▖": (0, 0, 1, 0), "▌": (1, 0, 1, 0), "▞": (0, 1, 1, 0), "▛": (1, 1, 1, 0),
        "▗": (0, 0, 0, 1), "▚": (1, 0, 0, 1), "▐": (0, 1, 0, 1), "▜": (1, 1, 0, 1),
        "▄": (0, 0, 1, 1), "▙": (1, 0, 1, 1), "▟": (0, 1, 1, 1), "█": (1, 1, 1, 1),
    }  # fmt: skip
    images = np.repeat(ink, 2, axis=1).astype(np.uint8) * 200  # (2, 28, 28)
    lines = [line.ljust(30) for line in terminal_grid(images, columns=2)]
    assert len(lines) == 7
    for picture, offset in ((0, 0), (1, 16)):
        for row in range(7):
            for column in range(14):
                block = ink[picture, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert covers[lines[row][offset + column]] == tuple(block.ravel().astype(int))


def test_terminal_grid_fits_eighty_columns() -> None:
    images = np.full((12, 28, 28), 255, np.uint8)
    lines = terminal_grid(images)
    assert len(lines) == 3 * 7
    assert max(map(len, lines)) == 78
    assert len(lines[-1]) == 30  # the last row holds two
    assert terminal_grid(images[:0]) == []
    assert terminal_grid(np.zeros((1, 28, 28), np.uint8)) == [""] * 7
    with pytest.raises(DataError, match="0 columns"):
        terminal_grid(images, 0)


def tiles(page: Image.Image) -> np.ndarray:
    """Where a page is darker than paper."""
    return np.asarray(page) < 255


def test_grid_image_shows_every_picture_where_its_class_is() -> None:
    # Each picture has its own grey, so that it is found again in the page.
    images = np.stack([np.full((28, 28), 60 + 10 * n, np.uint8) for n in range(6)])
    page = grid_image(images, labels=[2, 0, 2, 0, 2, 1], columns=2)
    pixels = np.asarray(page)

    def top(shade: int) -> int | None:
        rows = np.flatnonzero((pixels == shade).sum(axis=1) >= 56)  # words have such greys too, but not as many
        return int(rows[0]) if len(rows) else None

    tops = [top(60 + 10 * n) for n in range(6)]
    assert tops[1] == tops[3] is not None  # class 0
    assert tops[0] == tops[2] is not None  # class 2, its third picture left out
    assert tops[4] is None
    assert tops[1] < tops[5] < tops[0]  # type: ignore[operator]
    assert all((pixels == 60 + 10 * n).sum() >= 56 * 56 for n in (0, 1, 2, 3, 5))


def test_grid_image_names_make_room() -> None:
    images = np.zeros((2, 28, 28), np.uint8)
    plain = grid_image(images, columns=2)
    numbered = grid_image(images, [0, 1], columns=2)
    named = grid_image(images, [0, 1], columns=2, class_names=["trouser", "ankle boot"])
    assert plain.size == (2 * 16 + 2 * 56 + 6, 2 * 16 + 56)
    assert numbered.height == named.height == 2 * 16 + 2 * 56 + 6
    assert named.width > numbered.width + 50
    # Margins stay white on all sides, so no word is cut off.
    for page in (plain, numbered, named):
        dark = tiles(page)
        assert not dark[:14].any()
        assert not dark[-14:].any()
        assert not dark[:, :14].any()
        assert not dark[:, -14:].any()


def test_grid_image_refuses_nothing_to_draw() -> None:
    with pytest.raises(DataError, match="no images"):
        grid_image(np.zeros((0, 28, 28), np.uint8))
    with pytest.raises(DataError, match="0 columns"):
        grid_image(np.zeros((1, 28, 28), np.uint8), columns=0)
