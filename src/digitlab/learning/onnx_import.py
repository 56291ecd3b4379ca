"""A network out of an ONNX file that digitlab wrote, as a Keras model again: how the Reader's own network is taught.

The package holds the Reader's network as ONNX only, where batch normalisation is a multiplication and an addition per
channel. Both go into the convolution before them, so that the Keras model gives the same probabilities and has nothing
left that depends on the batch: a few own images cannot disturb its statistics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import ExportError
from digitlab.learning.backend import import_keras
from digitlab.learning.kinds import Layer, Model


def keras_from_onnx(path: Path) -> Model:
    """Build the Keras model of an ONNX file with convolutions, poolings and dense layers one after another.

    Args:
        path: As `digitlab export` writes it; the mean of several such networks, too.

    Returns:
        A keras.Model from (n, 28, 28) images, 0..255, to (n, classes) probabilities; stock layers only.

    Raises:
        ExportError: no such file, or a network of other parts.
    """
    import onnx

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # onnx and protobuf raise kinds of their own
        raise ExportError(f"{path}: not an ONNX file that can be opened ({type(error).__name__})") from None
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # Weights kept in half precision are cast back, as by the networks of pages in the package.
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in constants]
    constants.update({node.output[0]: constants[node.input[0]].astype(np.float32) for node in casts})
    makers = {name: node for node in graph.node for name in node.output}
    keras = import_keras()
    images = keras.Input((28, 28), name="images")
    scaled = keras.layers.Reshape((28, 28, 1))(keras.layers.Rescaling(1 / 255)(images))
    members = [_member(_chain(makers, name), constants, scaled, path) for name in makers["probabilities"].input]
    outputs = members[0] if len(members) == 1 else keras.layers.Average()(members)
    return keras.Model(images, outputs)


def _chain(makers: dict[str, Any], name: str) -> list[Any]:
    """The nodes from the input to a tensor, in order; each has one input that is no constant."""
    chain = []
    while name in makers:
        node = makers[name]
        chain.append(node)
        name = node.input[0]
    return chain[::-1]


def _member(chain: list[Any], constants: dict[str, np.ndarray], output: Any, path: Path) -> Any:
    """The Keras layers of one network, applied to the scaled images."""
    layers = import_keras().layers
    nodes = [node for node in chain if node.op_type not in ("Cast", "Transpose", "Reshape")]
    # The first multiplication and addition scale the pixels, which is done already.
    values = [constants[node.input[1]] for node in nodes[:2]]
    scales = [node.op_type for node in nodes[:2]] == ["Mul", "Add"]
    if not scales or not np.allclose([values[0].ravel()[0], values[1].ravel()[0]], [1 / 255, 0]):
        raise ExportError(f"{path}: does not begin by scaling 0..255 to 0..1, as digitlab's networks do")
    nodes, position = nodes[2:], 0
    while position < len(nodes):
        node = nodes[position]
        kind, attributes = node.op_type, {a.name: list(a.ints) or a.i for a in node.attribute}
        following = [later.op_type for later in nodes[position + 1 : position + 3]]
        if kind == "Conv" and attributes["group"] == 1 and attributes["dilations"] == [1, 1]:
            kernel = constants[node.input[1]].transpose(2, 3, 1, 0).astype(np.float64)
            bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(kernel.shape[-1])
            if following == ["Mul", "Add"]:
                factor, shift = (constants[later.input[1]] for later in nodes[position + 1 : position + 3])
                kernel, bias = kernel * factor, bias * factor + shift
                position += 2
            padding = "same" if any(attributes["pads"]) else "valid"
            layer = layers.Conv2D(kernel.shape[-1], attributes["kernel_shape"], attributes["strides"], padding)
            output = _with(layer, output, kernel, bias)
        elif kind == "MaxPool" and not any(attributes["pads"]):
            output = layers.MaxPooling2D(attributes["kernel_shape"], attributes["strides"])(output)
        elif kind == "Relu":
            output = layers.ReLU()(output)
        elif kind == "MatMul" and following[:1] == ["Add"]:
            kernel, bias = constants[node.input[1]], constants[nodes[position + 1].input[1]]
            flat = layers.Flatten()(output) if len(output.shape) > 2 else output
            output = _with(layers.Dense(kernel.shape[-1]), flat, kernel, bias)
            position += 1
        elif kind == "Softmax":
            output = layers.Softmax()(output)
        else:
            raise ExportError(f"{path}: {kind} cannot be made a Keras layer; only digitlab's own recipes can be taught")
        position += 1
    return output


def _with(layer: Layer, inputs: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    """Apply a layer with these weights."""
    output = layer(inputs)
    layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return output
