"""The input of the network `robust`: how much each pixel stands out from its surroundings, whatever paper and polarity.

Made of stock Keras layers and operations without parameters, so that a saved model loads in plain Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from digitlab.learning.backend import import_keras


def local_contrast(windows: Sequence[int], floor: float, calm: Sequence[int] = ()) -> Any:
    """A model of |pixel - mean around it| / (mean of that around it + floor), one channel per window.

    The mean around a pixel takes away shade, fog and whatever else is smooth; the absolute value makes dark ink on
    bright paper the same as bright ink on dark; the division makes faint ink as strong as full. The floor keeps blank
    paper blank. Means are over square windows, of the pixels inside the image only, so that its rim is no edge.

    Args:
        windows: Sides of the squares, odd numbers of pixels.
        floor: Above 0, in units of the ink, 0..1.
        calm: Sides of further squares, for the image without specks: each pixel the median of three in its row, then
            in its column (of two at the rim). Their channels come last.

    Returns:
        A keras.Model named local_contrast, (n, h, w, 1) float32 in [0, 1] to (n, h, w, len(windows) + len(calm))
        float32 >= 0.

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

    def median_of_three(values: Any, window: tuple[int, int], name: str) -> Any:
        # The sum without the largest and the smallest. At the rim, where two are inside, that is their mean.
        total = layers.Rescaling(3.0, name=f"{name}_sum")(layers.AveragePooling2D(window, 1, "same")(values))
        largest = layers.MaxPooling2D(window, 1, "same")(values)
        opposite = layers.Rescaling(-1.0)(values)
        less_smallest = layers.MaxPooling2D(window, 1, "same")(opposite)
        return layers.Add(name=name)([layers.Subtract()([total, largest]), less_smallest])

    def contrast(ink: Any, side: int, name: str) -> Any:
        difference = layers.Subtract(name=f"difference_{name}")([ink, mean(ink, side, f"mean_{name}")])
        size = keras.ops.absolute(difference)
        usual = layers.Rescaling(1.0, floor, name=f"usual_{name}")(mean(size, side, f"size_{name}"))
        return keras.ops.divide(size, usual)

    ink = keras.Input((None, None, 1), name="ink")
    channels = [contrast(ink, side, f"{side}") for side in windows]
    if calm:
        still = median_of_three(median_of_three(ink, (1, 3), "median_across"), (3, 1), "median_down")
        channels += [contrast(still, side, f"calm_{side}") for side in calm]
    output = channels[0] if len(channels) == 1 else layers.Concatenate(name="windows")(channels)
    return keras.Model(ink, output, name="local_contrast")
