"""Convolution and pooling as matrix products: fast twins of Keras' layers for training on a CPU.

Why: XLA's own CPU convolutions are slow in their gradients and lose their threads inside a compiled loop: an epoch of
the convnet of the Keras examples takes minutes with them and 4 s as below (`docs/log.md` has every variant and figure).
A twin is an ordinary Keras model with the same variables in the same order, used for computing only; the plain model
gets the trained values back, so that a saved model holds nothing but stock layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from digitlab.learning.backend import import_keras
from digitlab.learning.initial_weights import without_weights
from digitlab.learning.kinds import Keras, Layer, Model

if TYPE_CHECKING:
    import jax

# Layers that treat every image by itself, so that a batch may be computed in parts with the same result.
_PICTURE_BY_PICTURE = (
    *(
        "Activation",
        "Add",
        "AveragePooling2D",
        "Concatenate",
        "Conv2D",
        "Dense",
        "DepthwiseConv2D",
        "Dropout",
        "Flatten",
    ),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer", "LeakyReLU", "MaxPooling2D", "Multiply", "Permute"),
    *("ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax", "SpatialDropout2D", "ZeroPadding2D"),
)

# Below this many inputs to a row of windows the products are too thin, and the whole window is laid out instead.
_ROW_INPUTS = 64

# Images computed at a time where a batch may be divided: their windows fit a core's cache of 1 MB or so.
PART = 16


def with_matmul_layers(model: Model) -> Model:
    """The model with convolutions and poolings as matrix products, sharing no variable with it.

    Args:
        model: A built keras.Model.

    Returns:
        A model of the same variables, in the same order and with the same values; `model` itself where it has nothing
        to replace, where Keras cannot clone it, or where this is not JAX on a CPU (a GPU's own convolutions are best).

    Example:
        >>> layers = import_keras().layers
        >>> plain = import_keras().Sequential([layers.Input((28, 28, 1)), layers.Conv2D(4, 3), layers.Flatten()])
        >>> type(with_matmul_layers(plain).layers[0]).__name__
        'MatmulConv2D'
    """
    import jax

    keras = import_keras()
    if keras.backend.backend() != "jax" or jax.default_backend() != "cpu":
        return model
    fast: dict[type, Any] = _classes(keras)
    if not any(type(layer) in fast for layer in model._flatten_layers(include_self=False)):
        return model
    try:
        copy = keras.models.clone_model(
            model,
            clone_function=lambda layer: without_weights(layer, fast.get(type(layer))),
        )
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return model  # a user's own class that cannot be made from its config: slower, but right
    pairs: list[tuple[Layer, Layer]] = []
    for kind in ("trainable_variables", "non_trainable_variables"):
        ours, theirs = getattr(copy, kind), getattr(model, kind)
        if [(v.shape, v.dtype) for v in ours] != [(v.shape, v.dtype) for v in theirs]:
            return model
        pairs += zip(ours, theirs, strict=True)
    for ours, theirs in pairs:
        ours.assign(theirs)
    return copy


def is_samplewise(model: Model) -> bool:
    """Whether the model treats every image by itself also in training, so that a batch may be computed in parts.

    Batch normalisation does not: its statistics are those of the whole batch. A layer not known here counts as not.
    """
    keras = import_keras()
    known = {getattr(keras.layers, name) for name in _PICTURE_BY_PICTURE} | set(_classes(keras).values())
    return all(
        type(layer) in known
        for layer in model._flatten_layers(include_self=False, recursive=True)
        if not isinstance(layer, keras.Model)
    )


def part_size(count: int) -> int:
    """Into parts of how many images to cut a batch: equal ones of `PART` down to half of it, else the whole batch.

    Example:
        >>> part_size(128), part_size(88), part_size(17)
        (16, 11, 17)
    """
    return next((size for size in range(PART, PART // 2 - 1, -1) if count % size == 0), count)


def map_in_microbatches(call: Callable[[jax.Array], jax.Array], inputs: jax.Array) -> jax.Array:
    """`call(inputs)` for a function that treats every image by itself, a `part_size` of them at a time."""
    import jax

    size = part_size(len(inputs))
    if size == len(inputs):
        return call(inputs)
    outputs = jax.lax.map(call, inputs.reshape(-1, size, *inputs.shape[1:]))
    return outputs.reshape(len(inputs), *outputs.shape[2:])


def convolve(
    inputs: jax.Array, kernel: jax.Array, strides: tuple[int, int], dilation: tuple[int, int], padding: str
) -> jax.Array:
    """A convolution as one matrix product.

    With many channels, pixels are laid side by side along a row of the window only, and one product gives the partial
    results of all the window's rows, which are then added with an offset: a third of the memory traffic of whole
    windows. With few channels (a first layer), or a stride, whole windows are laid out.

    Args:
        inputs: (n, height, width, channels) float.
        kernel: (rows, columns, channels, filters) float.
        strides: Down and across, at least 1.
        dilation: Down and across, at least 1.
        padding: "valid", or "same" with zeros around, more of them at the bottom right (as in Keras).

    Returns:
        (n, out height, out width, filters) float.
    """
    import jax.numpy as jnp

    rows, columns, channels, filters = kernel.shape
    spans = (dilation[0] * (rows - 1) + 1, dilation[1] * (columns - 1) + 1)
    if padding == "same":
        around = []
        for size, span, stride in zip(inputs.shape[1:3], spans, strides, strict=True):
            missing = max(0, (-(-size // stride) - 1) * stride + span - size)
            around.append((missing // 2, missing - missing // 2))
        inputs = jnp.pad(inputs, ((0, 0), *around, (0, 0)))
    count, height, width = inputs.shape[:3]
    out_height, out_width = (height - spans[0]) // strides[0] + 1, (width - spans[1]) // strides[1] + 1

    def down(array: jax.Array, i: int) -> jax.Array:
        start = i * dilation[0]
        return array[:, start : start + (out_height - 1) * strides[0] + 1 : strides[0]]

    def across(array: jax.Array, j: int) -> jax.Array:
        start = j * dilation[1]
        return array[:, :, start : start + (out_width - 1) * strides[1] + 1 : strides[1]]

    if strides[0] == 1 and columns * channels >= _ROW_INPUTS:
        row_windows = jnp.concatenate([across(inputs, j) for j in range(columns)], -1)
        # (n h w', columns c) x (columns c, rows f): one product for all rows of the window.
        side_by_side = kernel.transpose(1, 2, 0, 3).reshape(columns * channels, rows * filters)
        parts = row_windows.reshape(-1, columns * channels) @ side_by_side
        parts = parts.reshape(count, height, out_width, rows * filters)
        return sum(down(parts[..., i * filters : (i + 1) * filters], i) for i in range(rows))  # type: ignore[return-value]
    windows = jnp.concatenate([across(down(inputs, i), j) for i in range(rows) for j in range(columns)], -1)
    products = windows.reshape(-1, rows * columns * channels) @ kernel.reshape(-1, filters)
    return products.reshape(count, out_height, out_width, filters)


def max_pool(inputs: jax.Array, size: tuple[int, int]) -> jax.Array:
    """The largest value of each window of `size`, windows side by side, what does not fill a window left out.

    The gradient goes to the first of equal values, row by row, as in XLA's own pooling.

    Args:
        inputs: (n, height, width, channels) float.
        size: Rows and columns of a window.

    Returns:
        (n, height // rows, width // columns, channels) float.
    """
    import jax
    import jax.numpy as jnp

    rows, columns = size

    def at(array: jax.Array, i: int, j: int) -> jax.Array:
        height, width = array.shape[1] // rows * rows, array.shape[2] // columns * columns
        return array[:, i:height:rows, j:width:columns]

    def forward(array: jax.Array) -> jax.Array:
        largest = at(array, 0, 0)
        for i in range(rows):
            for j in range(columns):
                largest = jnp.maximum(largest, at(array, i, j))
        return largest

    def keep(array: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        largest = forward(array)
        return largest, (array, largest)

    def backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
        array, largest = kept
        taken = jnp.zeros(largest.shape, bool)
        lines = []
        for i in range(rows):
            line = []
            for j in range(columns):
                here = (at(array, i, j) == largest) & ~taken
                taken = taken | here
                line.append(jnp.where(here, gradient, 0))
            lines.append(jnp.stack(line, 3))
        count, height, width, channels = largest.shape
        whole = jnp.stack(lines, 2).reshape(count, height * rows, width * columns, channels)
        rest = ((0, array.shape[1] - height * rows), (0, array.shape[2] - width * columns))
        return (jnp.pad(whole, ((0, 0), *rest, (0, 0))),)

    pool = jax.custom_vjp(forward)
    pool.defvjp(keep, backward)
    return pool(inputs)


def average_pool(inputs: jax.Array, size: tuple[int, int]) -> jax.Array:
    """The mean of each window of `size`, windows side by side; shapes as in `max_pool`."""
    count, height, width, channels = inputs.shape
    rows, columns = height // size[0], width // size[1]
    filled = inputs[:, : rows * size[0], : columns * size[1]]
    return filled.reshape(count, rows, size[0], columns, size[1], channels).mean((2, 4))


def _classes(keras: Keras) -> dict[type, type]:
    """The stock layer classes with a fast twin; made once, when Keras is there."""
    if not _TWINS:
        _TWINS.update(_make_classes(keras))
    return _TWINS


_TWINS: dict[type, type] = {}


def _make_classes(keras: Keras) -> dict[type, type]:
    layers = keras.layers

    class MatmulConv2D(layers.Conv2D):  # type: ignore[misc, name-defined]
        """Conv2D by `convolve`."""

        def convolution_op(self, inputs: jax.Array, kernel: jax.Array) -> jax.Array:
            plain = self.data_format == "channels_last" and self.groups == 1 and self.padding in ("valid", "same")
            if not plain:
                return super().convolution_op(inputs, kernel)
            kernel = keras.ops.convert_to_tensor(kernel)
            return convolve(inputs, kernel, self.strides, self.dilation_rate, self.padding)

    def side_by_side(layer: Layer, inputs: jax.Array) -> bool:
        """Whether the windows neither overlap nor leave gaps nor hang over the edge."""
        whole = layer.padding == "valid" or all(
            n % p == 0 for n, p in zip(inputs.shape[1:3], layer.pool_size, strict=True)
        )
        return bool(layer.data_format == "channels_last" and tuple(layer.pool_size) == tuple(layer.strides) and whole)

    class SlicedMaxPooling2D(layers.MaxPooling2D):  # type: ignore[misc, name-defined]
        """MaxPooling2D by `max_pool`."""

        def call(self, inputs: jax.Array) -> jax.Array:
            return max_pool(inputs, self.pool_size) if side_by_side(self, inputs) else super().call(inputs)

    class SlicedAveragePooling2D(layers.AveragePooling2D):  # type: ignore[misc, name-defined]
        """AveragePooling2D by `average_pool`."""

        def call(self, inputs: jax.Array) -> jax.Array:
            return average_pool(inputs, self.pool_size) if side_by_side(self, inputs) else super().call(inputs)

    return {
        layers.Conv2D: MatmulConv2D,
        layers.MaxPooling2D: SlicedMaxPooling2D,
        layers.AveragePooling2D: SlicedAveragePooling2D,
    }
