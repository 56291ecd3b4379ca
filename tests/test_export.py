"""Exported models against Keras: every layer that is known, every activation, all paddings and strides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.data import Dataset
from digitlab.errors import ExportError, RecipeError
from digitlab.learning import export, recipe
from digitlab.learning.models import average, build
from digitlab.learning.predict import predict

L = keras.layers


def sequential(*stack: Any, shape: tuple[int, ...] = (28, 28, 1)) -> Any:
    model = keras.Sequential([keras.Input(shape), L.Rescaling(1 / 127.5, offset=-1), *stack])
    rng = np.random.default_rng(0)
    # Random batch statistics too: fresh ones (mean 0, variance 1) would hide a mistake.
    model.set_weights(
        [np.abs(rng.normal(0.3, 0.3, w.shape)) * rng.choice([1, 0.5], w.shape) for w in model.get_weights()]
    )
    return model


def run(content: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"pictures": images})[0])


def same(model: Any, images: np.ndarray) -> None:
    found = run(export.onnx_bytes([model], {}), images)
    np.testing.assert_allclose(found, predict(model, images), rtol=1e-4, atol=2e-5)


@pytest.fixture(scope="module")
def images(small: Dataset) -> np.ndarray:
    return small.test.images[:20]


@pytest.mark.slow
def test_every_known_layer(images: np.ndarray) -> None:
    stack = [
        L.Conv2D(4, 3, padding="same", use_bias=False),
        L.BatchNormalization(),
        L.Activation("relu"),
        L.MaxPooling2D(2),
        L.ZeroPadding2D(((1, 0), (2, 1))),
        L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2),
        L.LeakyReLU(0.1),
        L.SpatialDropout2D(0.1),
        L.AveragePooling2D(2, strides=1, padding="same"),
        L.Conv2D(6, 3, groups=2, dilation_rate=2, padding="same", activation="elu"),
        L.GaussianNoise(0.1),
        L.Identity(),
        L.ReLU(),
        L.Reshape((-1, 6)),
        L.Flatten(),
        L.Dropout(0.5),
        L.Dense(12, activation="tanh"),
        L.BatchNormalization(scale=False, center=False),
        L.Dense(10),
        L.Softmax(),
    ]
    same(sequential(*stack), images)
    for pool in (L.GlobalAveragePooling2D(), L.GlobalMaxPooling2D()):
        same(sequential(L.Conv2D(5, 3), pool, L.Dense(10, activation="softmax")), images)


@pytest.mark.slow
def test_branches(images: np.ndarray) -> None:
    pixels = keras.Input((28, 28))
    scaled = L.Reshape((28, 28, 1))(L.Rescaling(1 / 255)(pixels))
    left, right = L.Conv2D(3, 3, padding="same")(scaled), L.Conv2D(3, 5, padding="same")(scaled)
    joined = L.Concatenate()([L.Add()([left, right]), left])
    same(keras.Model(pixels, L.Dense(10, activation="softmax")(L.Flatten()(joined))), images)


def test_a_model_within_the_model_and_operations_of_two_tensors(images: np.ndarray) -> None:
    inner = keras.Input((28, 28, 2))
    halves = [L.Conv2D(2, 1)(inner), L.AveragePooling2D((3, 1), 1, "same")(inner)]
    positive = L.Rescaling(1.0, 0.5)(keras.ops.absolute(L.Multiply()(halves)))
    output = keras.ops.divide(L.Subtract()(halves), positive)
    stack = [L.Conv2D(2, 3, padding="same"), keras.Model(inner, output), L.Flatten(), L.Dense(10, activation="softmax")]
    # Initial weights: quotients of the large random ones would show their rounding.
    same(keras.Sequential([keras.Input((28, 28, 1)), L.Rescaling(1 / 255), *stack]), images)
    constant = keras.Model(inner, keras.ops.divide(inner, 2.0))
    with pytest.raises(ExportError, match="has 1 tensors, expected 2"):
        export.onnx_bytes([sequential(L.Conv2D(2, 1), constant, L.Flatten(), L.Dense(10, activation="softmax"))], {})


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(export._ACTIVATIONS))
def test_every_activation(name: str, images: np.ndarray) -> None:
    middle = "relu" if name == "softmax" else name
    model = sequential(L.Flatten(), L.Dense(6, activation=middle), L.Dense(10, activation="softmax"), shape=(28, 28))
    model.set_weights([w - 0.2 for w in model.get_weights()])  # both signs
    same(model, images)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid"]),
    pool=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    kind=st.sampled_from([L.MaxPooling2D, L.AveragePooling2D]),
)
def test_paddings_and_strides(kernel: Any, stride: int, padding: str, pool: Any, kind: Any) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    stack = [L.Conv2D(2, kernel, strides=stride, padding=padding), kind(pool, padding=padding)]
    same(sequential(*stack, L.Flatten(), L.Dense(10, activation="softmax")), images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear-sigmoid", "mlp-onehot", "mlp2", "robust"])
def test_recipes_and_any_number_of_pictures(name: str, images: np.ndarray) -> None:
    model = build(recipe(name))
    content = export.onnx_bytes([model], {"labels": "0 1 2"})
    for count in (1, 7, 20):
        np.testing.assert_allclose(run(content, images[:count]), predict(model, images[:count]), atol=1e-6)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["labels"] == "0 1 2"
    assert session.get_inputs()[0].type == "tensor(uint8)"


@pytest.mark.parametrize("kind", ["onnx", "keras", "h5"])
def test_files(kind: str, images: np.ndarray, tmp_path: Path) -> None:
    model = build(recipe("mlp"))
    file = export.export_model(model, tmp_path / f"model.{kind}", images)
    assert [p.name for p in tmp_path.iterdir()] == [f"model.{kind}"]
    if kind != "onnx":
        loaded = keras.saving.load_model(file, compile=False)
        np.testing.assert_allclose(predict(loaded, images), predict(model, images), atol=1e-6)
        # A model read from a file is written like the one that was built.
        np.testing.assert_allclose(run(export.onnx_bytes([loaded], {}), images), predict(model, images), atol=1e-6)


@pytest.mark.slow
def test_an_average_of_models(images: np.ndarray, tmp_path: Path) -> None:
    names = ("linear-sigmoid", "mlp-onehot", "tiny")
    members = [build(recipe(name, seed=seed)) for seed, name in enumerate(names)]
    expected = np.mean([predict(model, images) for model in members], axis=0)
    together = average([build(recipe(name, seed=seed)) for seed, name in enumerate(names)])
    np.testing.assert_allclose(predict(together, images), expected, atol=1e-6)
    assert all(type(layer).__module__.startswith("keras.") for layer in together.layers)
    for kind in ("onnx", "keras"):
        file = export.export_model(together, tmp_path / f"mean.{kind}", images, members=members)
        if kind == "onnx":
            np.testing.assert_allclose(run(file.read_bytes(), images), expected, atol=1e-6)
        else:
            loaded = keras.saving.load_model(file, compile=False)
            np.testing.assert_allclose(predict(loaded, images), expected, atol=1e-6)
    with pytest.raises(RecipeError, match="have no mean"):
        average([build(recipe("linear")), build(recipe("linear"), classes=3)])


def test_what_cannot_be_written_is_said_in_words(images: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"\(LayerNormalization\) cannot be written as ONNX"):
        export.onnx_bytes([sequential(L.Flatten(), L.LayerNormalization(), L.Dense(10, activation="softmax"))], {})
    with pytest.raises(ExportError, match="activation 'mish'"):
        export.onnx_bytes([sequential(L.Flatten(), L.Dense(10, activation="mish"))], {})
    with pytest.raises(ExportError, match="expected .onnx, .keras or .h5"):
        export.export_model(build(recipe("linear")), tmp_path / "model.pb", images)


def test_a_wrong_translation_is_noticed(images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export._ACTIVATIONS, "relu", lambda g, x: g.add("Tanh", [x]))
    with pytest.raises(ExportError, match="answers differ by up to"):
        export.export_model(build(recipe("mlp")), tmp_path / "model.onnx", images)
    assert list(tmp_path.iterdir()) == []


def test_an_average_leaves_the_names_of_its_models(images: np.ndarray) -> None:
    models = [build(recipe("linear", seed=0)), build(recipe("linear-sigmoid", seed=1))]
    names = [model.name for model in models]
    assert average(models).count_params() == 2 * 7850
    assert [model.name for model in models] == names
