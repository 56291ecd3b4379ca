"""Class probabilities of a Keras model, compiled where it runs on JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from digitlab.learning.backend import import_keras, on_jax
from digitlab.learning.batches import padded_chunks


def predict(model: Any, images: np.ndarray) -> np.ndarray:
    """Class probabilities of a Keras model, on whatever backend it runs.

    Sigmoid outputs are divided by their sum, which is what the loss does with them on JAX, so that they are judged as
    the probabilities they were trained to be.

    Args:
        model: A keras.Model that takes 0..255 pictures.
        images: (n, 28, 28) uint8.

    Returns:
        (n, classes) float32, each row summing to 1.
    """
    return predictor(model)(images)


def predictor(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """What `predict` does, for many sets of images: the network is compiled once and not for each of them.

    Args:
        model: A keras.Model that takes 0..255 pictures; its weights as they are now.

    Returns:
        A function of (n, 28, 28) uint8 that returns (n, classes) float32, each row summing to 1.
    """
    call = _forward(model)

    def probabilities(images: np.ndarray) -> np.ndarray:
        if not len(images):
            return np.zeros((0, model.output_shape[-1]), np.float32)
        rows = [np.asarray(call(part))[:valid] for part, _, valid in padded_chunks(images)]
        outputs = np.concatenate(rows).astype(np.float32)
        # A sigmoid network may put 0 on everything; it then knows nothing, which is 1/k each.
        total = outputs.sum(1, keepdims=True, dtype=np.float64)
        return np.where(total > 0, outputs / np.where(total > 0, total, 1), 1 / outputs.shape[1]).astype(np.float32)

    return probabilities


def _forward(model: Any) -> Callable[[np.ndarray], Any]:
    """The model's forward pass, compiled where it runs on JAX."""
    shape = model.input_shape[1:]
    if not on_jax():
        keras = import_keras()
        return lambda part: keras.ops.convert_to_numpy(
            model(part.reshape(-1, *shape).astype(np.float32), training=False)
        )
    import jax
    import jax.numpy as jnp

    from digitlab.learning.matmul_layers import map_in_microbatches, with_matmul_layers

    fast = with_matmul_layers(model)
    trainable = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]

    @jax.jit
    def call(trainable: Any, others: Any, part: Any) -> Any:
        inputs = part.astype(jnp.float32).reshape(-1, *shape)

        def outputs(some: Any) -> Any:
            return fast.stateless_call(trainable, others, some, training=False)[0]

        return outputs(inputs) if fast is model else map_in_microbatches(outputs, inputs)

    return functools.partial(call, trainable, others)
