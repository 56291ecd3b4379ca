"""Initial weights drawn by NumPy from Keras' own distributions.

Keras on JAX compiles a program for each shape that is drawn, which takes seconds of a first run (docs/log.md). NumPy
compiles nothing, and draws the same ones on any backend.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.learning.backend import import_keras
from digitlab.learning.kinds import Layer, Model

if TYPE_CHECKING:
    from collections.abc import Sequence

# The standard deviation of a standard normal cut off at 2, by which Keras divides.
CUT_OFF_AT_TWO = 0.87962566103423978


def drawn(name: str) -> Any:
    """An initializer as Keras has it under this name, but drawn by NumPy.

    Args:
        name: One that scales by the layer's inputs or outputs: "glorot_uniform", "he_normal" and their like.

    Returns:
        A keras.Initializer, to be given to a layer; `with_keras_initializers` puts Keras' own back.

    Example:
        >>> weights = drawn("glorot_uniform")((784, 128))
        >>> weights.dtype, bool(np.abs(weights).max() <= (6 / (784 + 128)) ** 0.5)
        (dtype('float32'), True)
    """
    return _in_numpy()(import_keras().initializers.get(name))


def with_keras_initializers(model: Model) -> Model:
    """The same model, its layers naming Keras' own initializers again, so that it loads without digitlab."""
    for layer in model.layers:
        own = getattr(layer, "kernel_initializer", None)
        if isinstance(own, _in_numpy()):
            layer.kernel_initializer = own.keras_own
    return model


def without_weights(layer: Layer, kind: type | None = None) -> Layer:
    """A copy of a layer whose weights start as zeros: for copies whose own weights nobody reads.

    Args:
        layer: A Keras layer.
        kind: Another class that takes the same config; None for the layer's own.
    """
    config = layer.get_config()
    if "kernel_initializer" in config:
        config["kernel_initializer"] = "zeros"
    made: Any = kind or type(layer)
    return made.from_config(config)


@functools.cache
def _in_numpy() -> Any:
    """The class of these initializers; made once, when Keras is there."""
    keras = import_keras()

    class InNumpy(keras.initializers.Initializer):  # type: ignore[misc, name-defined]
        def __init__(self, keras_own: Any) -> None:
            self.keras_own = keras_own  # it took its seed from Python's generator, as it always does

        def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:  # noqa: ARG002
            own = self.keras_own
            *window, inputs, outputs = shape
            fans = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}
            variance = own.scale / (math.prod(window) * fans[own.mode])
            rng = np.random.default_rng(own.seed)
            if own.distribution == "uniform":
                limit = math.sqrt(3 * variance)
                return rng.uniform(-limit, limit, shape).astype(np.float32)
            return (_cut_off_normal(rng, shape) * math.sqrt(variance) / CUT_OFF_AT_TWO).astype(np.float32)

    return InNumpy


def _cut_off_normal(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Standard normal draws within 2 of 0: those beyond are drawn again."""
    values = rng.standard_normal(shape)
    beyond = np.abs(values) > 2
    while beyond.any():
        values[beyond] = rng.standard_normal(int(beyond.sum()))
        beyond = np.abs(values) > 2
    return values
