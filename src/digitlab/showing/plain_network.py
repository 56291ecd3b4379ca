"""A network in an ONNX file as plain values: operations in order and one block of weights, for a page's own JavaScript.

`templates/network.js` carries them out; a test holds the two lists of operators together.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from digitlab.errors import ExportError

# What network.js knows: everything that `digitlab export` writes.
# fmt: off
OPERATORS = frozenset((
    "Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "Div", "Elu", "Erf", "LeakyRelu", "MatMul", "MaxPool",
    "Mean", "Mul", "Pad", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Selu", "Sigmoid", "Softmax",
    "Softplus", "Sum", "Tanh", "Transpose",
))
# fmt: on


def plain_network(content: bytes) -> dict[str, Any]:
    """Take a network apart.

    Args:
        content: of an ONNX file that digitlab wrote.

    Returns:
        `input` and `output`: numbers of tensors; `nodes`: operator, inputs, output, attributes of each; `constants`:
        shape and place in the weights by number, or whole values; `weights`: float32, little-endian, base64.

    Raises:
        ExportError: an operator that the page's script does not know.

    Example:
        >>> from digitlab.reading.model import BUNDLED
        >>> network = plain_network((BUNDLED / "digits.onnx").read_bytes())
        >>> network["nodes"][-1][0], len(network["weights"])
        ('Mean', 142912)
    """
    import onnx

    graph = onnx.load_from_string(content).graph
    unknown = sorted({node.op_type for node in graph.node} - OPERATORS)
    if unknown:
        raise ExportError(
            f"operator {unknown[0]} cannot run on a page; known are {', '.join(sorted(OPERATORS))}. "
            "Export as onnx instead"
        )
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    first = number(graph.input[0].name)
    weights, place = [], 0
    constants: dict[int, dict[str, Any]] = {}
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype != np.float32:
            constants[number(tensor.name)] = {"values": array.ravel().tolist()}
            continue
        constants[number(tensor.name)] = {"shape": list(array.shape), "at": place}
        weights.append(array.astype("<f4").tobytes())
        place += array.size
    nodes = [
        [
            node.op_type,
            [number(name) for name in node.input],
            number(node.output[0]),
            {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
        ]
        for node in graph.node
    ]
    return {
        "input": first,
        "output": number(graph.output[0].name),
        "nodes": nodes,
        "constants": constants,
        "weights": base64.b64encode(b"".join(weights)).decode("ascii"),
    }
