"""The recipe `robust`: what its input takes away, what training disturbs, and that plain Keras loads it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import ndimage

from digitlab.data import Dataset
from digitlab.judging.corruptions import CORRUPTIONS
from digitlab.learning import Recipe, augment, disturb, recipe
from digitlab.learning.backend import import_keras
from digitlab.learning.batches import LabelledImages
from digitlab.learning.engine import train
from digitlab.learning.input_layers import local_contrast
from digitlab.learning.models import build
from digitlab.learning.predict import predict
from digitlab.learning.step import _structure


def contrast(images: np.ndarray) -> np.ndarray:
    return np.asarray(local_contrast((5, 9), 0.1)(np.asarray(images, np.float32)[..., None]))


def test_local_contrast_against_scipy(small: Dataset) -> None:
    ink = small.test.images[:4].astype(np.float32) / 255

    def mean(values: np.ndarray) -> np.ndarray:
        inside = ndimage.uniform_filter(np.ones((28, 28)), 5, mode="constant")
        return np.asarray(ndimage.uniform_filter(values, (0, 5, 5), mode="constant") / inside)

    size = np.abs(ink - mean(ink))
    np.testing.assert_allclose(contrast(ink)[..., 0], size / (mean(size) + 0.1), atol=1e-4)


@pytest.mark.slow
def test_local_contrast_does_not_see_polarity_paper_or_shade(small: Dataset) -> None:
    ink = small.test.images[:8] / 255
    as_it_is = contrast(ink)
    np.testing.assert_allclose(contrast(1 - ink), as_it_is, atol=1e-4)
    np.testing.assert_allclose(contrast(0.5 * ink + 0.5), contrast(0.5 * ink), atol=1e-4)
    shade = np.linspace(0, 0.5, 28)
    inside = slice(8, 20)  # at the rim, a mean over what is inside the image is off centre
    shaded = contrast(0.5 * ink + shade)[:, inside, inside]
    np.testing.assert_allclose(shaded, contrast(0.5 * ink)[:, inside, inside], atol=1e-3)
    assert contrast(np.full((1, 28, 28), 0.7)).max() < 1e-4
    # A fifth of the contrast leaves more than a third of what is seen.
    assert contrast(0.2 * ink).max() > 0.33 * as_it_is.max()


def test_calm_channels_see_the_image_without_specks(small: Dataset) -> None:
    ink = small.test.images[:4].astype(np.float32) / 255
    seen = np.asarray(local_contrast((5,), 0.1, calm=(5,))(ink[..., None]))
    still = ndimage.median_filter(ndimage.median_filter(ink, (1, 1, 3)), (1, 3, 1))
    inside = slice(5, 23)  # further out the means take in the rim, where the median is of two
    np.testing.assert_allclose(seen[..., 1][:, inside, inside], contrast(still)[:, inside, inside, 0], atol=1e-4)
    np.testing.assert_array_equal(seen[..., 0], contrast(ink)[..., 0])
    speck = np.zeros((1, 28, 28, 1), np.float32)
    speck[0, 14, 14] = 1
    wide = np.asarray(local_contrast((5,), 0.1, calm=(5,))(speck))
    assert wide[..., 0].max() > 1
    assert wide[..., 1].max() < 1e-5


@pytest.mark.slow
def test_plain_keras_loads_the_model(small: Dataset, tmp_path: Path) -> None:
    model = build(recipe("robust"))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", small.test.images[:5])
    code = (
        "import json, sys; sys.modules['digitlab'] = None; import keras, numpy; "
        "model = keras.saving.load_model('model.keras'); "
        "print(json.dumps(model.predict(numpy.load('images.npy'), verbose=0).tolist()))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(json.loads(run.stdout), predict(model, small.test.images[:5]), atol=1e-5)


def test_two_seeds_share_a_program() -> None:
    first, second = (json.dumps(_structure(build(recipe("robust", seed=seed))), default=str) for seed in (0, 1))
    assert first == second
    keras = import_keras()
    other = keras.Sequential([keras.Input((28, 28, 1)), local_contrast((7,), 0.1)])
    another = keras.Sequential([keras.Input((28, 28, 1)), local_contrast((7,), 0.2)])
    assert json.dumps(_structure(other), default=str) != json.dumps(_structure(another), default=str)


@pytest.mark.slow
def test_disturb_changes_its_share_and_stays_in_range(small: Dataset) -> None:
    images = np.repeat(small.train.images[:1], 400, axis=0)
    changed = np.asarray(augment.apply(jax.random.key(0), images, Recipe(disturb=0.25)))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    touched = (np.abs(changed - images).max((1, 2)) > 0.5).mean()
    assert 0.18 < touched < 0.32
    again = np.asarray(augment.apply(jax.random.key(0), images, Recipe(disturb=0.25)))
    np.testing.assert_array_equal(changed, again)
    assert augment.active(Recipe(disturb=0.1))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(disturb.OPERATIONS))
def test_each_operation_changes_some_images_and_leaves_a_digit_to_see(name: str, small: Dataset) -> None:
    images = small.train.images[:300].astype(np.float32) / 255
    changed = np.asarray(getattr(disturb, name)(jax.random.key(2), images))
    assert np.isfinite(changed).all()
    touched = np.abs(changed - images).max((1, 2)) > 0.01
    assert 0.1 < touched.mean() <= 1
    alike = [abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in zip(images, changed, strict=True)]
    assert np.median(alike) > 0.5


def test_the_operations_listed_are_those_there_are_and_none_is_judged_on() -> None:
    private = [name for name, _ in inspect.getmembers(disturb, inspect.isfunction) if name.startswith("_")]
    helpers = {"_draws", "_places", "_rectangle"}
    assert set(private) - helpers == set(disturb.OPERATIONS)
    words = " ".join(disturb.OPERATIONS.values())
    for kind in ("impulse noise", "zigzag", "dotted line", "fog", "spatter", "canny", "glass blur"):
        assert kind in CORRUPTIONS or kind == "canny"
        assert kind not in words


@pytest.mark.slow
def test_it_learns(small: Dataset) -> None:
    some = LabelledImages(small.train.images[:256], small.train.labels[:256])
    changed = recipe("robust", epochs=6, disturb=0.2, average=0.0)
    state = train(build(changed), changed, some)
    assert state.history["loss"][-1] < 0.6 * state.history["loss"][0]
