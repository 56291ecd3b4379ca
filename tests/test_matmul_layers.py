"""The fast twins against Keras' own layers: values, gradients, variables, and what they leave alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from digitlab.data import Dataset
from digitlab.learning import recipe
from digitlab.learning.batches import LabelledImages
from digitlab.learning.engine import train
from digitlab.learning.matmul_layers import (
    convolve,
    is_samplewise,
    map_in_microbatches,
    max_pool,
    part_size,
    with_matmul_layers,
)
from digitlab.learning.models import build
from digitlab.learning.predict import predict

CONVOLUTIONS = [
    # channels, kernel, strides, dilation, padding
    (1, (3, 3), (1, 1), (1, 1), "valid"),
    (1, (5, 5), (2, 2), (1, 1), "same"),
    (32, (3, 3), (1, 1), (1, 1), "valid"),
    (32, (3, 3), (1, 1), (1, 1), "same"),
    (32, (2, 4), (1, 1), (1, 1), "same"),
    (32, (3, 3), (1, 2), (1, 1), "same"),
    (32, (3, 3), (2, 1), (1, 1), "valid"),
    (24, (3, 3), (1, 1), (2, 3), "same"),
    (70, (1, 1), (1, 1), (1, 1), "valid"),
]


@pytest.mark.parametrize(("channels", "kernel", "strides", "dilation", "padding"), CONVOLUTIONS)
def test_convolution_equals_keras(
    channels: int, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int], padding: str
) -> None:
    import jax

    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(3, 11, 13, channels)).astype("float32")
    weights = rng.normal(size=(*kernel, channels, 5)).astype("float32")

    def stock(inputs: np.ndarray, weights: np.ndarray) -> object:
        return keras.ops.conv(inputs, weights, strides=list(strides), padding=padding, dilation_rate=list(dilation))

    ours, our_gradients = jax.vjp(lambda x, k: convolve(x, k, strides, dilation, padding), inputs, weights)
    theirs, their_gradients = jax.vjp(stock, inputs, weights)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    down = rng.normal(size=ours.shape).astype("float32")
    for mine, other in zip(our_gradients(down), their_gradients(down), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
@pytest.mark.parametrize(("size", "padding"), [(2, "valid"), ((3, 2), "valid"), (2, "same")])
def test_pooling_equals_keras_also_where_values_are_equal(kind: str, size: object, padding: str) -> None:
    """Rounded values, so that most windows hold their largest value several times; 12 x 9 leaves a rest."""
    import jax

    rng = np.random.default_rng(2)
    inputs = rng.integers(0, 3, (2, 12, 9, 4)).astype("float32")
    model = keras.Sequential([keras.Input(inputs.shape[1:]), getattr(keras.layers, kind)(size, padding=padding)])
    fast = with_matmul_layers(model)
    assert fast is not model
    ours, our_gradient = jax.vjp(lambda x: fast.stateless_call([], [], x)[0], inputs)
    theirs, their_gradient = jax.vjp(lambda x: model.stateless_call([], [], x)[0], inputs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    down = rng.normal(size=ours.shape).astype("float32")
    np.testing.assert_allclose(our_gradient(down)[0], their_gradient(down)[0], rtol=1e-6)


def test_max_pool_of_nothing_larger_than_the_window() -> None:
    picture = np.arange(12, dtype="float32").reshape(1, 3, 4, 1)
    assert np.asarray(max_pool(picture, (3, 2)))[0, 0, :, 0].tolist() == [9, 11]


@pytest.mark.parametrize("layer", [
    keras.layers.Conv2D(4, 3, groups=2),
    keras.layers.MaxPooling2D(3, strides=2),
    keras.layers.MaxPooling2D(2, padding="same"),
    keras.layers.AveragePooling2D(3, strides=1, padding="same"),
])  # fmt: skip
def test_what_is_not_covered_stays_as_it_was(layer: keras.Layer) -> None:
    model = keras.Sequential([keras.Input((7, 9, 4)), layer])
    inputs = np.random.default_rng(0).normal(size=(2, 7, 9, 4)).astype("float32")
    np.testing.assert_allclose(with_matmul_layers(model)(inputs), model(inputs), rtol=1e-5, atol=1e-6)


def test_twin_has_the_same_variables_in_the_same_order() -> None:
    model = build(recipe("cnn"))
    fast = with_matmul_layers(model)
    assert fast is not model
    assert [v.path.rsplit("/")[-1] for v in fast.variables] == [v.path.rsplit("/")[-1] for v in model.variables]
    for ours, theirs in zip(fast.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours.value, theirs.value)
        assert ours is not theirs


def test_models_without_convolutions_and_without_configs_are_their_own_twin() -> None:
    dense = build(recipe("mlp"))
    assert with_matmul_layers(dense) is dense

    class Odd(keras.layers.Layer):
        def __init__(self, needed: object) -> None:
            super().__init__()

        def call(self, inputs: object) -> object:
            return inputs

    odd = keras.Sequential([keras.Input((8, 8, 1)), Odd(object()), keras.layers.Conv2D(2, 3)])
    assert with_matmul_layers(odd) is odd


def test_only_models_that_treat_each_picture_by_itself_are_divided() -> None:
    assert is_samplewise(with_matmul_layers(build(recipe("cnn", batch_norm=False))))
    assert not is_samplewise(with_matmul_layers(build(recipe("cnn"))))


def test_a_part_divides_its_batch() -> None:
    for count in range(1, 300):
        assert count % part_size(count) == 0
        assert part_size(count) == count or 8 <= part_size(count) <= 16


def test_parts_are_put_together_in_order() -> None:
    rows = np.arange(96.0).reshape(48, 2)
    np.testing.assert_array_equal(map_in_microbatches(lambda some: some.sum(1), rows), rows.sum(1))


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_in_parts_equals_keras_fit_on_stock_layers(batch_norm: bool, small: Dataset) -> None:
    """The fit engine knows neither twins nor parts: whole batches through Keras' own convolutions."""
    settings = recipe("mlp", epochs=1, batch_size=48, optimizer="sgd", peak_rate=0.01)
    some = LabelledImages(small.train.images[:120], small.train.labels[:120])
    layers = keras.layers

    def make() -> keras.Model:
        norm = [layers.BatchNormalization()] if batch_norm else []
        head = [layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Reshape((28, 28, 1)), layers.Conv2D(4, 3, 2)]
        return keras.Sequential(
            [*head, *norm, layers.ReLU(), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, "softmax")]
        )

    models, states = [], []
    for engine in ("compiled", "fit"):
        models.append(build(settings, maker=make))
        states.append(train(models[-1], settings, some, some, engine=engine))
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(states[0].history[name], states[1].history[name], rtol=1e-3, err_msg=name)
    for ours, theirs in zip(states[0].weights, states[1].weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    for layer in models[0].layers:
        assert type(layer).__module__.startswith("keras.")
    images = small.test.images[:50]
    np.testing.assert_allclose(predict(models[0], images), models[0].predict(images, verbose=0), rtol=1e-3, atol=1e-5)
