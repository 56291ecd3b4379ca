"""Class probabilities of a Keras model, compiled where it runs on JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from digitlab.learning.backend import import_keras, on_jax
from digitlab.learning.batches import padded_chunks
from digitlab.learning.kinds import Model
from digitlab.probabilities import normalised

if TYPE_CHECKING:
    import jax


def predict(model: Model, images: np.ndarray) -> np.ndarray:
    """Class probabilities of a Keras model, on whatever backend it runs.

    Sigmoid outputs are divided by their sum, which is what the loss does with them on JAX, so that they are judged as
    the probabilities they were trained to be.

    Args:
        model: A keras.Model that takes 0..255 images.
        images: (n, 28, 28) uint8.

    Returns:
        (n, classes) float32, each row summing to 1.
    """
    return predictor(model)(images)


def predictor(model: Model, weights: Sequence[np.ndarray] | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """What `predict` does, for many sets of images: the network is compiled once and not for each of them.

    Args:
        model: A keras.Model that takes 0..255 images; its weights as they are now.
        weights: To take the place of the model's own, trainable ones first.

    Returns:
        A function of (n, 28, 28) uint8, or of rows (n, features) for a model that takes those, that returns
        (n, classes) float32, each row summing to 1.
    """
    call = _forward(model, weights)

    def probabilities(images: np.ndarray) -> np.ndarray:
        if not len(images):
            return np.zeros((0, model.output_shape[-1]), np.float32)
        # Fewer images than a chunk are filled up to a power of two, so that not every number of them compiles anew.
        size = min(1000, 1 << (len(images) - 1).bit_length())
        rows = [np.asarray(call(part))[:valid] for part, _, valid in padded_chunks(images, size=size)]
        return normalised(np.concatenate(rows))

    return probabilities


def _forward(model: Model, weights: Sequence[np.ndarray] | None) -> Callable[[np.ndarray], np.ndarray | jax.Array]:
    """The model's forward pass, compiled where it runs on JAX: once for all models of the same layers."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    if not on_jax():
        keras = import_keras()
        shape = model.input_shape[1:]
        for variable, value in zip(variables, weights or (), strict=weights is not None):
            variable.assign(value)
        return lambda part: keras.ops.convert_to_numpy(
            model(part.reshape(-1, *shape).astype(np.float32), training=False)
        )
    from digitlab.learning.step import forward

    values, count = weights or [v.value for v in variables], len(model.trainable_variables)
    return functools.partial(forward(model), values[:count], values[count:])
