"""A trained model for other programs: `.keras`, `.h5` or ONNX, each checked against the model it came from.

ONNX is written from the Keras layers with `onnx.helper`: Keras' own export on JAX goes through TensorFlow and 64 more
packages, and writes a pooling that ONNX Runtime refuses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import ExportError
from digitlab.files import write_atomically
from digitlab.learning.backend import import_keras
from digitlab.learning.kinds import Layer, Model
from digitlab.learning.onnx_graph import Graph

FORMATS = ("onnx", "keras", "h5")
OPSET = 17  # 2022; every ONNX Runtime since 1.12 reads it
# Probabilities of two correct runtimes differ by rounding only; 1e-6 is what was seen, a wrong layer is off by 0.01.
TOLERANCE = 1e-4


def export_model(
    model: Model,
    path: str | Path,
    images: np.ndarray,
    metadata: Mapping[str, str] | None = None,
    members: Sequence[Model] = (),
) -> Path:
    """Write a Keras model in the format its file's ending names, checked on images first.

    Args:
        model: A keras.Model from 0..255 images to (n, k) probabilities.
        path: Ends in .onnx, .keras or .h5; replaced whole or not at all.
        images: (n, 28, 28) uint8, some real images to check on; a few hundred are enough.
        metadata: Stored in an ONNX file, such as labels and scores.
        members: The models that `model` averages, if it is an ensemble.

    Returns:
        The path.

    Raises:
        ExportError: another ending, a layer that cannot be written, or a written model that answers otherwise.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ExportError(f"{path}: ends in {path.suffix!r}, expected .onnx, .keras or .h5")
    content = onnx_bytes(members or [model], metadata or {}) if kind == "onnx" else _keras_bytes(model, kind)
    _check(model, content, kind, images, path)
    write_atomically(path, content)
    return path


def _keras_bytes(model: Model, kind: str) -> bytes:
    import logging
    import warnings

    log = logging.getLogger("absl")
    level = log.level
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras calls .h5 legacy; whoever asks for it knows
        log.setLevel(logging.ERROR)  # and says it here as well
        try:
            file = Path(folder) / f"model.{kind}"
            model.save(file)
            return file.read_bytes()
        finally:
            log.setLevel(level)


def _check(model: Model, content: bytes, kind: str, images: np.ndarray, path: Path) -> None:
    """Raise unless the written model gives the same probabilities as the one it came from."""
    from digitlab.learning.predict import predict

    expected = predict(model, images)
    if kind == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            found = session.run(None, {session.get_inputs()[0].name: images})[0]
        except Exception as error:  # ONNX Runtime raises a family of its own
            raise ExportError(f"{path}: ONNX Runtime refuses the model ({' '.join(str(error).split())})") from error
    else:
        import keras

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"model.{kind}"
            file.write_bytes(content)
            found = predict(keras.saving.load_model(file, compile=False), images)
    worst = float(np.abs(found - expected).max()) if len(images) else 0.0
    if not worst <= TOLERANCE:  # also when it is NaN
        raise ExportError(
            f"{path}: the written model's answers differ by up to {worst:.2g}, expected at most {TOLERANCE}"
        )


def onnx_bytes(models: Sequence[Model], metadata: Mapping[str, str]) -> bytes:
    """The mean of the models as an ONNX file: uint8 images (n, 28, 28), 0..255, to float32 probabilities (n, k).

    Raises:
        ExportError: a layer or activation that is not known here, or a layer used more than once.
    """
    import onnx

    graph = Graph()
    pictures = graph.add("Cast", ["pictures"], to=onnx.TensorProto.FLOAT)
    outputs = [_write_model(graph, model, pictures) for model in models]
    graph.nodes.append(onnx.helper.make_node("Mean", outputs, ["probabilities"]))
    helper, types = onnx.helper, onnx.TensorProto
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "digitlab",
            [helper.make_tensor_value_info("pictures", types.UINT8, ["n", 28, 28])],
            [helper.make_tensor_value_info("probabilities", types.FLOAT, ["n", models[0].output_shape[-1]])],
            graph.constants,
        ),
        producer_name="digitlab",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    helper.set_model_props(proto, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def _write_model(graph: Graph, model: Model, pictures: str) -> str:
    """The nodes of one model; the name of its probabilities."""
    output = graph.add("Reshape", [pictures, graph.shape((0, *model.input_shape[1:]))])
    output = _write_operations(graph, model, output)
    # Sigmoid outputs are divided by their sum, as everywhere in digitlab; a softmax already sums to 1.
    if _activation_name(model.layers[-1]) != "softmax":
        # A number far below any output on each of them makes a row of zeros 1/k each and leaves every other as it is.
        output = graph.add("Add", [output, graph.floats(1e-30)])
        output = graph.add("Div", [output, graph.add("ReduceSum", [output, graph.integers([-1])], keepdims=1)])
    return output


def _write_operations(graph: Graph, model: Model, given: str) -> str:
    """The nodes of all layers and operations of a model with one input; the name of its output."""
    stack = isinstance(model, import_keras().Sequential)
    operations = [one for one in (model.layers if stack else model.operations) if type(one).__name__ != "InputLayer"]
    if stack:
        # One after another, whatever tensors Keras keeps: a Sequential read from a file has several generations.
        for operation in operations:
            given = _write_layer(graph, operation, [given])
        return given
    if len(model.inputs) != 1:
        raise ExportError(f"model {model.name!r} has {len(model.inputs)} inputs, expected one")
    graph.tensors[id(model.inputs[0])] = given
    for operation in operations:
        inputs, result = _tensors(operation)
        graph.tensors[id(result)] = _write_layer(graph, operation, [graph.tensors[id(tensor)] for tensor in inputs])
    return graph.tensors[id(model.outputs[0])]


def _write_layer(graph: Graph, layer: Layer, inputs: list[str]) -> str:
    """The nodes of one layer and its activation; the name of its output."""
    kind = type(layer).__name__
    if isinstance(layer, import_keras().Model):  # a model within the model
        return _write_operations(graph, layer, inputs[0])
    if kind not in _LAYERS:
        raise ExportError(
            f"layer {layer.name!r} ({kind}) cannot be written as ONNX; known are {', '.join(sorted(_LAYERS))}"
        )
    return _activate(graph, layer, _LAYERS[kind](graph, layer, inputs))


def _tensors(layer: Layer) -> tuple[list[Any], Any]:
    """The Keras tensors that a layer of a functional model takes and gives."""
    try:
        return layer.input if isinstance(layer.input, list) else [layer.input], layer.output
    except (AttributeError, ValueError) as error:
        raise ExportError(f"layer {layer.name!r} is used more than once, which cannot be written as ONNX") from error


def _activation_name(layer: Layer) -> str:
    if type(layer).__name__ == "Softmax":
        return "softmax"
    return str(getattr(getattr(layer, "activation", None), "__name__", "linear"))


def _activate(graph: Graph, layer: Layer, name: str) -> str:
    """Apply the layer's own activation, where it has one."""
    if not hasattr(layer, "activation"):
        return name
    activation = _activation_name(layer)
    if activation not in _ACTIVATIONS:
        raise ExportError(
            f"layer {layer.name!r}: activation {activation!r} cannot be written as ONNX; "
            f"known are {', '.join(sorted(_ACTIVATIONS))}"
        )
    return _ACTIVATIONS[activation](graph, name)


def _gelu(g: Graph, x: str) -> str:
    """Keras' tanh-free default: 0.5 x (1 + erf(x / sqrt 2))."""
    erf = g.add("Erf", [g.add("Div", [x, g.floats(2**0.5)])])
    return g.add("Mul", [g.add("Mul", [x, g.floats(0.5)]), g.add("Add", [erf, g.floats(1)])])


_ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "linear": lambda _, x: x,
    "relu": lambda g, x: g.add("Relu", [x]),
    "relu6": lambda g, x: g.add("Clip", [x, g.floats(0), g.floats(6)]),
    "sigmoid": lambda g, x: g.add("Sigmoid", [x]),
    "tanh": lambda g, x: g.add("Tanh", [x]),
    "softmax": lambda g, x: g.add("Softmax", [x], axis=-1),
    "softplus": lambda g, x: g.add("Softplus", [x]),
    "elu": lambda g, x: g.add("Elu", [x]),
    "selu": lambda g, x: g.add("Selu", [x]),
    "silu": lambda g, x: g.add("Mul", [x, g.add("Sigmoid", [x])]),
    "leaky_relu": lambda g, x: g.add("LeakyRelu", [x], alpha=0.2),
    "gelu": _gelu,
}


def _weights(layer: Layer) -> list[np.ndarray]:
    return [np.asarray(w) for w in layer.get_weights()]


def _dense(g: Graph, layer: Layer, inputs: list[str]) -> str:
    kernel, *bias = _weights(layer)
    product = g.add("MatMul", [inputs[0], g.floats(kernel)])
    return g.add("Add", [product, g.floats(bias[0])]) if bias else product


def _channels_first(g: Graph, x: str) -> str:
    return g.add("Transpose", [x], perm=[0, 3, 1, 2])


def _channels_last(g: Graph, x: str) -> str:
    # ONNX Runtime cancels the pair of transposes between two convolutions.
    return g.add("Transpose", [x], perm=[0, 2, 3, 1])


def _pads(layer: Layer, kernel: tuple[int, ...], strides: tuple[int, ...], dilation: tuple[int, ...]) -> list[int]:
    """Begin and end pads; "same" puts the odd pixel at the end, as TensorFlow and Keras do."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    totals = []
    for side, size, stride, spread in zip(layer.input.shape[1:3], kernel, strides, dilation, strict=True):
        # With stride 1 the side does not matter, which a model within the model may leave open.
        steps = 0 if stride == 1 else (-(-side // stride) - 1) * stride + 1 - side
        totals.append(max(0, steps + (size - 1) * spread))
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def _need_channels_last(layer: Layer) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ExportError(f"layer {layer.name!r} is channels_first, expected channels_last, Keras' default")


def _convolution(g: Graph, layer: Layer, inputs: list[str]) -> str:
    _need_channels_last(layer)
    kernel, *bias = _weights(layer)
    groups = getattr(layer, "groups", 1)
    if type(layer).__name__ == "DepthwiseConv2D":
        height, width, channels, multiplier = kernel.shape
        # (h, w, c, m) -> one group a channel, m filters each
        kernel = kernel.reshape(height, width, 1, channels * multiplier)
        groups = channels
    names = [_channels_first(g, inputs[0]), g.floats(kernel.transpose(3, 2, 0, 1))]
    result = g.add(
        "Conv",
        names + [g.floats(b) for b in bias],
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        group=groups,
        pads=_pads(layer, layer.kernel_size, layer.strides, layer.dilation_rate),
    )
    return _channels_last(g, result)


def _pool(kind: str) -> Callable[[Graph, Layer, list[str]], str]:
    def write(g: Graph, layer: Layer, inputs: list[str]) -> str:
        _need_channels_last(layer)
        pads = _pads(layer, layer.pool_size, layer.strides, (1, 1))
        x = _channels_first(g, inputs[0])
        sizes = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides), "pads": pads}
        return _channels_last(g, g.add(kind, [x], **sizes))

    return write


def _global_pool(kind: str) -> Callable[[Graph, Layer, list[str]], str]:
    def write(g: Graph, layer: Layer, inputs: list[str]) -> str:
        _need_channels_last(layer)
        return g.add(kind, [inputs[0]], axes=[1, 2], keepdims=int(layer.keepdims))

    return write


def _normalisation(g: Graph, layer: Layer, inputs: list[str]) -> str:
    """Outside training, batch normalisation is one multiplication and one addition a channel."""
    if layer.axis not in (-1, len(layer.input.shape) - 1):
        raise ExportError(f"layer {layer.name!r} normalises axis {layer.axis}, expected the last one")
    weights = _weights(layer)
    gamma = weights.pop(0) if layer.scale else 1.0
    beta = weights.pop(0) if layer.center else 0.0
    mean, variance = (w.astype(np.float64) for w in weights)
    factor = gamma / np.sqrt(variance + layer.epsilon)
    return g.add("Add", [g.add("Mul", [inputs[0], g.floats(factor)]), g.floats(beta - mean * factor)])


def _rescaling(g: Graph, layer: Layer, inputs: list[str]) -> str:
    return g.add("Add", [g.add("Mul", [inputs[0], g.floats(layer.scale)]), g.floats(layer.offset)])


def _reshape(g: Graph, layer: Layer, inputs: list[str]) -> str:
    return g.add("Reshape", [inputs[0], g.shape((0, *layer.output.shape[1:]))])


def _padding(g: Graph, layer: Layer, inputs: list[str]) -> str:
    _need_channels_last(layer)
    (top, bottom), (left, right) = layer.padding
    return g.add("Pad", [inputs[0], g.integers([0, top, left, 0, 0, bottom, right, 0])])


def _leaky(g: Graph, layer: Layer, inputs: list[str]) -> str:
    return g.add("LeakyRelu", [inputs[0]], alpha=float(layer.negative_slope))


def _softmax(g: Graph, layer: Layer, inputs: list[str]) -> str:
    return g.add("Softmax", [inputs[0]], axis=int(layer.axis))


def _of_two(kind: str) -> Callable[[Graph, Layer, list[str]], str]:
    def write(g: Graph, layer: Layer, inputs: list[str]) -> str:
        if len(inputs) != 2:
            raise ExportError(f"operation {layer.name!r} has {len(inputs)} tensors, expected 2: no constants, no more")
        return g.add(kind, inputs)

    return write


def _same(_: Graph, __: Layer, inputs: list[str]) -> str:
    return inputs[0]


# `Activation` and the layers with an activation of their own get it in `_write_layer`.
_LAYERS: dict[str, Callable[[Graph, Layer, list[str]], str]] = {
    "Absolute": lambda g, _, inputs: g.add("Abs", inputs),
    "Activation": _same,
    "Add": lambda g, _, inputs: g.add("Sum", inputs),
    "Average": lambda g, _, inputs: g.add("Mean", inputs),
    "AveragePooling2D": _pool("AveragePool"),
    "BatchNormalization": _normalisation,
    "Concatenate": lambda g, layer, inputs: g.add("Concat", inputs, axis=int(layer.axis)),
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _convolution,
    "Divide": _of_two("Div"),
    "Dropout": _same,
    "Flatten": _reshape,
    "GaussianNoise": _same,
    "GlobalAveragePooling2D": _global_pool("ReduceMean"),
    "GlobalMaxPooling2D": _global_pool("ReduceMax"),
    "Identity": _same,
    "LeakyReLU": _leaky,
    "MaxPooling2D": _pool("MaxPool"),
    "Multiply": _of_two("Mul"),
    "ReLU": lambda g, _, inputs: g.add("Relu", inputs),
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "SpatialDropout2D": _same,
    "Subtract": _of_two("Sub"),
    "ZeroPadding2D": _padding,
}
