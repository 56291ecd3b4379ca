"""Initial weights are Keras' own distributions, drawn without a program compiled for each shape."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from digitlab.learning import recipe
from digitlab.learning.backend import import_keras, seeded
from digitlab.learning.initial_weights import drawn, without_weights
from digitlab.learning.models import NETWORKS, build


@pytest.mark.parametrize("shape", [(784, 128), (5, 5, 8, 16)])
@pytest.mark.parametrize("name", ["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal"])
def test_they_are_distributed_as_keras_draws_them(name: str, shape: tuple[int, ...]) -> None:
    with seeded(3):
        ours = np.sort(drawn(name)(shape).ravel())
        keras = np.sort(np.asarray(import_keras().initializers.get(name)(shape)).ravel())
    assert ours.dtype == np.float32
    assert abs(ours.mean()) < 0.05 * ours.std()
    assert ours.std() == pytest.approx(keras.std(), rel=0.05)
    assert ours[[0, -1]] == pytest.approx(keras[[0, -1]], rel=0.01)
    # Quantile by quantile: a uniform and a cut-off normal of one standard deviation differ by a third of it.
    assert np.abs(ours - keras)[:: len(ours) // 50].max() < 0.12 * keras.std()


def test_a_seed_draws_them_again_and_each_layer_has_its_own() -> None:
    first, again, other = (build(recipe("mlp", hidden=(784,), seed=seed)).get_weights() for seed in (0, 0, 1))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first[0], other[0])
    assert abs(np.corrcoef(first[0][:10].ravel(), first[2].T.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_a_network_is_built_without_jaxs_generators_and_names_keras_initializers(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("JAX compiles a program for each shape that it draws")

    monkeypatch.setattr(jax.random, "uniform", refused)
    monkeypatch.setattr(jax.random, "truncated_normal", refused)
    model = build(recipe("mlp", network=network, batch_norm=True))
    named = [layer.kernel_initializer for layer in model.layers if hasattr(layer, "kernel_initializer")]
    assert named
    assert all(type(one).__module__.startswith("keras.") for one in named)


def test_a_copy_without_weights_is_the_same_layer() -> None:
    layers = import_keras().layers
    layer = layers.Conv2D(4, 3, strides=2, activation="relu", use_bias=False)
    copy = without_weights(layer)
    copy.build((None, 8, 8, 1))
    assert not np.asarray(copy.kernel).any()
    apart = {"kernel_initializer", "build_config"}
    configs = [{k: v for k, v in one.get_config().items() if k not in apart} for one in (layer, copy)]
    assert configs[0] == configs[1]
