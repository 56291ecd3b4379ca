"""The input of the network `robust`: how much each pixel stands out from its surroundings, whatever paper and polarity.

Made of stock Keras layers and operations without parameters, so that a saved model loads in plain Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from digitlab.learning.backend import import_keras


def local_contrast(windows: Sequence[int], floor: float) -> Any:
    """A model of |pixel - mean around it| / (mean of that around it + floor), one channel for each window.

    The mean around a pixel takes away shade, fog and whatever else is smooth; the absolute value makes dark ink on
    bright paper the same as bright ink on dark; the division makes faint ink as strong as full. The floor keeps blank
    paper blank. Means are over square windows, of the pixels inside the image only, so that its rim is no edge.

    Args:
        windows: Sides of the squares, odd numbers of pixels.
        floor: Above 0, in units of the ink, 0..1.

    Returns:
        A keras.Model named local_contrast, (n, h, w, 1) float32 in [0, 1] to (n, h, w, len(windows)) float32 >= 0.

    Reference:
        Jarrett, Kavukcuoglu, Ranzato, LeCun: What is the best multi-stage architecture for object recognition? ICCV
        2009 (local contrast normalisation, there of learned features).

    Example:
        >>> import numpy as np
        >>> contrast = local_contrast((5,), 0.1)
        >>> float(np.max(contrast(np.full((1, 28, 28, 1), 0.5, np.float32)))), contrast.count_params()
        (0.0, 0)
    """
    keras = import_keras()
    layers = keras.layers

    def mean(values: Any, side: int, name: str) -> Any:
        # Rows, then columns: 2 x side additions a pixel instead of side x side.
        down = layers.AveragePooling2D((side, 1), 1, "same", name=f"{name}_down")(values)
        return layers.AveragePooling2D((1, side), 1, "same", name=f"{name}_across")(down)

    ink = keras.Input((None, None, 1), name="ink")
    channels = []
    for side in windows:
        difference = layers.Subtract(name=f"difference_{side}")([ink, mean(ink, side, f"mean_{side}")])
        size = keras.ops.absolute(difference)
        usual = layers.Rescaling(1.0, floor, name=f"usual_{side}")(mean(size, side, f"size_{side}"))
        channels.append(keras.ops.divide(size, usual))
    output = channels[0] if len(channels) == 1 else layers.Concatenate(name="windows")(channels)
    return keras.Model(ink, output, name="local_contrast")
