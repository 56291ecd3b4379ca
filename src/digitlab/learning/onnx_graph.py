"""An ONNX graph while it is written: its nodes, its constants, and which Keras tensor has which name in it."""

from __future__ import annotations

from typing import Any

import numpy as np


class Graph:
    """The ONNX nodes and constants so far, and the ONNX name of each Keras tensor (channels last, as in Keras)."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.tensors: dict[int, str] = {}

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; returns its output's name."""
        import onnx

        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        """Add a constant; returns its name."""
        import onnx

        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def floats(self, values: Any) -> str:
        """A float32 constant."""
        return self.constant(np.asarray(values, np.float32))

    def integers(self, values: list[int]) -> str:
        """An int64 constant, for axes and shapes."""
        return self.constant(np.asarray(values, np.int64))

    def shape(self, sizes: tuple[int, ...]) -> str:
        """A shape whose first size, 0, is "as it comes"."""
        return self.integers(list(sizes))
