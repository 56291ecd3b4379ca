"""Augmentation against SciPy and by its laws: repeatable, bounded, off by default, the same in both engines."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from digitlab.data import Dataset
from digitlab.errors import RecipeError
from digitlab.learning import Recipe, augment, recipe
from digitlab.learning.batches import LabelledImages
from digitlab.learning.engine import train
from digitlab.learning.models import build

ALL = Recipe(shift=2.0, rotate=10.0, scale=0.15, shear=0.15, elastic=0.8, thickness=0.5)


def test_off_by_default_gives_the_pictures_back(small: Dataset) -> None:
    images = small.train.images[:5]
    assert not augment.active(Recipe())
    np.testing.assert_array_equal(augment.apply(jax.random.key(0), images, Recipe()), images)


def test_bilinear_reading_equals_scipy(small: Dataset) -> None:
    """Fractional places in and around the picture, far outside as well."""
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    images = small.train.images[:6].astype("float32")
    rows, columns = rng.uniform(-6, 34, (2, 6, 28, 28)).astype("float32")
    ours = np.asarray(augment._sampled(images, rows, columns))
    for i, image in enumerate(images):
        # A blank frame, because SciPy's "constant" mode does not blend the edge into the outside.
        framed = map_coordinates(np.pad(image, 9), [rows[i] + 9, columns[i] + 9], order=1)
        np.testing.assert_allclose(ours[i], framed, atol=0.05)


@pytest.mark.parametrize("field", ["shift", "rotate", "scale", "shear", "elastic", "thickness"])
def test_each_field_alone_changes_pictures_each_in_its_own_way(field: str, small: Dataset) -> None:
    images = np.repeat(small.train.images[:1], 4, axis=0)
    value = {"shift": 2.0, "rotate": 15.0, "elastic": 0.8}.get(field, 0.2)
    changed = np.asarray(augment.apply(jax.random.key(1), images, recipe("mlp", **{field: value})))
    assert changed.shape == (4, 28, 28)
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255.01
    assert all(np.abs(changed[i] - changed[j]).max() > 1 for i in range(4) for j in range(i))
    assert all(0.5 < c.sum() / images[0].sum() < 1.6 for c in changed)


def test_shift_stays_within_its_pixels() -> None:
    dot = np.zeros((200, 28, 28), np.uint8)
    dot[:, 14, 14] = 200
    changed = np.asarray(augment.apply(jax.random.key(3), dot, Recipe(shift=2.0)))
    weight = changed.sum((1, 2))
    rows = (changed.sum(2) * np.arange(28)).sum(1) / weight - 14
    assert np.abs(rows).max() <= 2.001
    assert np.abs(rows).max() > 1.8
    assert abs(rows.mean()) < 0.3


def test_rotation_turns_by_at_most_its_degrees() -> None:
    bar = np.zeros((100, 28, 28), np.uint8)
    bar[:, 13:15, 4:24] = 255
    changed = np.asarray(augment.apply(jax.random.key(4), bar, Recipe(rotate=20.0)))
    places = np.arange(28) - 13.5
    total = changed.sum((1, 2))
    xx = (changed * places**2).sum((1, 2)) / total
    yy = (changed * places[:, None] ** 2).sum((1, 2)) / total
    xy = (changed * places * places[:, None]).sum((1, 2)) / total
    degrees = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))
    assert 17 < np.abs(degrees).max() < 20.5
    assert degrees.min() < -10 < 10 < degrees.max()


def test_elastic_field_has_the_standard_deviation_it_says() -> None:
    field = np.asarray(augment._smooth_field(jax.random.key(0), 400, 28, 28))
    assert field.shape == (2, 400, 28, 28)
    assert field.std() == pytest.approx(1, abs=0.03)
    assert np.abs(np.diff(field, axis=-1)).max() < 1.5  # smooth: neighbours go along


def test_thickness_gives_more_ink_and_less() -> None:
    page = np.zeros((60, 28, 28), np.uint8)
    page[:, 10:16, 8:20] = 255
    ink = np.asarray(augment.apply(jax.random.key(2), page, Recipe(thickness=1.0))).sum((1, 2)) / page[0].sum()
    assert ink.min() < 0.7
    assert ink.max() > 1.3


@pytest.mark.slow
def test_a_step_has_its_own_draws_and_always_the_same(small: Dataset) -> None:
    images = small.train.images[:8]

    def draw(seed: int, step: int) -> bytes:
        return np.asarray(augment.apply(augment.step_key(seed, step), images, ALL)).tobytes()

    assert draw(0, 7) == draw(0, 7)
    assert len({draw(0, 7), draw(0, 8), draw(1, 7)}) == 3


@pytest.mark.slow
def test_examples_show_the_picture_first(small: Dataset) -> None:
    grid = augment.examples(small.train.images[:3], ALL, columns=4)
    assert grid.shape == (3, 5, 28, 28)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid[:, 0], small.train.images[:3])


@pytest.mark.slow
def test_both_engines_learn_from_the_same_augmented_pictures(small: Dataset) -> None:
    changes = {k: getattr(ALL, k) for k in ("shift", "rotate", "scale", "shear", "elastic", "thickness")}
    settings = recipe("mlp", hidden=(16,), epochs=2, batch_size=100, **changes)
    some = LabelledImages(small.train.images[:250], small.train.labels[:250])
    compiled, fit = (train(build(settings), settings, some, engine=name) for name in ("compiled", "fit"))
    unchanged = recipe(settings, **dict.fromkeys(changes, 0.0))
    plain = train(build(unchanged), unchanged, some, engine="compiled")
    np.testing.assert_allclose(compiled.history["loss"], fit.history["loss"], rtol=1e-3)
    assert abs(plain.history["loss"][1] / fit.history["loss"][1] - 1) > 5e-3


def test_rotation_beyond_twenty_degrees_is_refused() -> None:
    with pytest.raises(RecipeError, match="rotate: got 30, expected a number from 0 to 20"):
        Recipe(rotate=30)


def test_each_picture_is_moved_by_its_own_matrix(small: Dataset) -> None:
    """Against SciPy with the matrix written out: two shifts, angle, height, width and slant, each by itself."""
    from scipy.ndimage import map_coordinates

    settings = Recipe(shift=2.0, rotate=15.0, scale=0.2, shear=0.2)
    images, key = small.train.images[:8], jax.random.key(5)
    changed = np.asarray(augment.apply(key, images, settings))
    draws = np.asarray(jax.random.uniform(jax.random.split(key, 3)[1], (6, len(images)), minval=-1, maxval=1))
    assert np.abs(np.corrcoef(draws) - np.eye(6)).max() < 0.95  # six draws, not one used twice
    y, x = np.mgrid[:28, :28] - 13.5
    for i, image in enumerate(images):
        down, across, turn, high, wide, slant = draws[:, i]
        angle = np.deg2rad(15 * turn)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        slanted = rotation + np.array([[0, 0], [0.2 * slant, 0]])
        sized = np.diag([1 / (1 + 0.2 * high), 1 / (1 + 0.2 * wide)]) @ slanted
        rows, columns = np.einsum("ij,jyx->iyx", sized, np.stack([y, x]))
        places = [rows + 13.5 - 2 * down + 9, columns + 13.5 - 2 * across + 9]
        expected = map_coordinates(np.pad(image.astype("float32"), 9), places, order=1)
        np.testing.assert_allclose(changed[i], expected, atol=0.3)
