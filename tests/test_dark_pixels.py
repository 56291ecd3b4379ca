"""Training without the pixels that never see ink: the same weights, to the rounding of sums."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from digitlab.data import Dataset
from digitlab.learning import Recipe, compiled_engine, recipe
from digitlab.learning.backend import import_keras
from digitlab.learning.batches import LabelledImages
from digitlab.learning.dark_pixels import LitPixels
from digitlab.learning.engine import train
from digitlab.learning.kinds import Model
from digitlab.learning.models import build
from digitlab.learning.state import TrainState


def framed(small: Dataset) -> LabelledImages:
    """Training images whose outer three rows and columns are never lit, whatever the digits."""
    images = np.zeros_like(small.train.images)
    images[:, 3:-3, 3:-3] = small.train.images[:, 3:-3, 3:-3]
    return LabelledImages(images, small.train.labels)


def dark(images: np.ndarray) -> np.ndarray:
    """Which of the pixels that `LitPixels` leaves out, (784,) bool."""
    found = LitPixels.of(build(recipe("linear")), recipe("linear"), images)
    assert found is not None
    return np.bincount(found.columns, minlength=784) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        recipe("mlp", hidden=(16,), epochs=2),
        recipe("mlp", hidden=(16, 784), epochs=2, dropout=0.3, batch_norm=True, optimizer="rmsprop"),
        recipe("linear-sigmoid", epochs=2, optimizer="sgd", flat_input=True),
        recipe("linear", epochs=2, weight_decay=0.5, peak_rate=0.01, schedule="one-cycle"),
        recipe("linear", epochs=2, weight_decay=0.5, peak_rate=0.01, optimizer="adamw", schedule="constant"),
    ],
    ids=["Adam", "dropout and batch normalisation, RMSprop", "SGD, rows", "decay", "AdamW"],
)
def test_without_dark_pixels_training_is_the_same(
    settings: Recipe, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = framed(small)
    fewer = train(build(settings), settings, training, engine="compiled")
    with monkeypatch.context() as patch:
        patch.setattr(compiled_engine.LitPixels, "of", lambda *_: None)
        whole = train(build(settings), settings, training, engine="compiled")
    assert [a.shape for a in fewer.weights] == [a.shape for a in whole.weights]
    for mine, other in zip((*fewer.weights, *fewer.optimizer), (*whole.weights, *whole.optimizer), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(fewer.history["loss"], whole.history["loss"], rtol=1e-4)
    # What nothing moves is what the model began with, to the last bit; what only decays, to the rounding of a product.
    begun = np.asarray(build(settings).trainable_variables[0])
    untouched = dark(training.images)
    assert untouched.sum() > 250
    if settings.weight_decay:
        np.testing.assert_allclose(fewer.weights[0][untouched], whole.weights[0][untouched], rtol=1e-5)
        assert np.abs(fewer.weights[0][untouched]).sum() < 0.9 * np.abs(begun[untouched]).sum()
        return
    np.testing.assert_array_equal(fewer.weights[0][untouched], begun[untouched])
    np.testing.assert_array_equal(whole.weights[0][untouched], begun[untouched])


def scaled(**options: object) -> Callable[[], Model]:
    def make() -> Model:
        layers = import_keras().layers
        first = layers.Rescaling(**options)
        return import_keras().Sequential([layers.Input((784,)), first, layers.Dense(10, "softmax")])

    return make


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        ({"average": 0.9}, None),
        ({"shift": 1.0}, None),
        ({"optimizer": "nadam"}, None),
        ({}, scaled(scale=1 / 255, offset=-0.5)),
    ],
    ids=["average", "shifted images", "Nadam", "an offset"],
)
def test_where_dark_pixels_matter_they_stay(
    changes: dict[str, object], model: Callable[[], Model] | None, small: Dataset
) -> None:
    settings = dataclasses.replace(recipe("linear"), **changes)  # type: ignore[arg-type]
    made = model() if model else build(settings)
    assert LitPixels.of(made, settings, framed(small).images) is None


def test_images_that_light_every_pixel_and_numbers_that_are_no_images_stay_whole(small: Dataset) -> None:
    settings = recipe("linear")
    bright = np.full((2, 28, 28), 1, np.uint8)
    assert LitPixels.of(build(settings), settings, bright) is None
    assert LitPixels.of(build(settings), settings, framed(small).images.astype(np.float32)) is None
    assert LitPixels.of(build(recipe("tiny")), recipe("tiny"), framed(small).images) is None


def test_decay_resumes_bit_equal(small: Dataset) -> None:
    settings = recipe("linear", epochs=3, weight_decay=0.2, peak_rate=0.01)
    states: list[TrainState] = []
    ended = train(build(settings), settings, framed(small), on_epoch=states.append)
    resumed = train(build(settings), settings, framed(small), resume=states[0])
    for mine, other in zip((*ended.weights, *ended.optimizer), (*resumed.weights, *resumed.optimizer), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.slow
def test_a_state_from_other_images_goes_on_with_what_it_has_in_store(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Momentum of weights that only the first images lit still moves them."""
    settings = recipe("linear", epochs=2)
    first: list[TrainState] = []
    lit = LabelledImages(np.maximum(small.train.images, 1), small.train.labels)
    train(build(settings), settings, lit, on_epoch=first.append)
    ended = train(build(settings), settings, framed(small), resume=first[0])
    monkeypatch.setattr(compiled_engine.LitPixels, "of", lambda *_: None)
    whole = train(build(settings), settings, framed(small), resume=first[0])
    np.testing.assert_array_equal(ended.weights[0], whole.weights[0])
    assert (ended.weights[0] != first[0].weights[0]).any()
