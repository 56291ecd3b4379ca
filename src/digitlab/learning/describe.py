"""What a built model is made of: its layers as plain values, the patterns its first layer looks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from digitlab.learning.backend import import_keras
from digitlab.learning.kinds import Model


def rescales(model: Model) -> bool:
    """Whether the model itself brings 0..255 pixels to the small range that networks learn from."""
    keras = import_keras()
    scaling = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.BatchNormalization)
    return any(isinstance(layer, scaling) for layer in model.layers[:3])


def describe_layers(model: Model) -> list[dict[str, Any]]:
    """The architecture as plain values, for the report."""
    described = []
    for layer in model.layers:
        activation = getattr(getattr(layer, "activation", None), "__name__", None)
        described.append(
            {
                "name": layer.name,
                "type": type(layer).__name__,
                "output_shape": [None, *layer.output.shape[1:]],
                "parameters": int(layer.count_params()),
                "activation": None if activation == "linear" else activation,
            }
        )
    return described


def first_weights(model: Model) -> np.ndarray | None:
    """What the first layer looks for, as images; None where it does not look at the pixels themselves.

    Returns:
        (28, 28, units) of a dense layer, (height, width, filters) of a convolution.
    """
    for layer in model.layers:
        weights = layer.get_weights()
        if weights:
            first = weights[0]
            if first.ndim == 2 and first.shape[0] == 28 * 28:
                return np.asarray(first.reshape(28, 28, -1))
            # One channel in: with more, it does not look at the image itself.
            return np.asarray(first[:, :, 0]) if first.ndim == 4 and first.shape[2] == 1 else None
    return None
