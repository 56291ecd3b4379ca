"""What each layer of a network makes of an image: its ONNX file opened with the layers' results as further outputs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import ReadingError

ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "Elu", "Selu", "LeakyRelu", "Gelu", "Swish", "HardSigmoid", "Softplus")
POOLS = ("MaxPool", "AveragePool")
# Maps and units shown of a layer; what comes behind looks much the same.
MAPS, LAYERS = 32, 12


@dataclass(frozen=True, eq=False)
class LayerView:
    """A layer's result for one image.

    Attributes:
        title: what it is, with its size.
        words: a sentence that explains it.
        maps: (k, h, w) uint8, 255 the strongest of the layer; units of a dense layer are one map of 1 x n.
    """

    title: str
    words: str
    maps: np.ndarray


def look_inside(path: str | Path, image: np.ndarray) -> list[LayerView]:
    """Run an image through a network and keep what every layer makes of it.

    Of an ensemble the first network is shown.

    Args:
        path: an .onnx file over 28 x 28 images.
        image: (28, 28) uint8, bright ink on 0.

    Returns:
        Its layers from the image to the ten sums.

    Raises:
        ReadingError: the file cannot be opened, or has no layer that can be shown.

    Example:
        >>> from digitlab.reading.reader import BUNDLED
        >>> [view.title for view in look_inside(BUNDLED / "digits.onnx", np.zeros((28, 28), np.uint8))][0]
        'Convolution, 8 maps of 26 x 26'
    """
    path = Path(path)
    try:
        session, layers = _opened(path, path.stat().st_mtime_ns)
        node = session.get_inputs()[0]
        pixels = image[None].astype(np.uint8 if "uint8" in node.type else np.float32)
        if len(node.shape) == 4:
            pixels = pixels[:, None] if node.shape[1] == 1 else pixels[..., None]
        elif len(node.shape) == 2:
            pixels = pixels.reshape(1, -1)
        results = session.run([name for name, _, _ in layers], {node.name: pixels})
    except ReadingError:
        raise
    except Exception as error:  # onnx and ONNX Runtime raise families of their own
        reason = " ".join(str(error).split())[:160]
        raise ReadingError(f"{path.name}: cannot be looked into ({reason}).") from None
    return _views(layers, results)


@functools.lru_cache(4)
def _opened(path: Path, _: int) -> tuple[Any, list[tuple[str, str, bool]]]:
    """A session that also gives the layers' results, and of each its name, kind, and whether channels come first."""
    import onnx
    import onnxruntime

    model = onnx.load(str(path))
    made_by = {output: node for node in model.graph.node for output in node.output}
    layers = []
    for node in model.graph.node:
        if node.op_type == "Softmax":
            layers.append((node.input[0], "sums", False))
            break  # an ensemble's first network ends here
        if node.op_type in ACTIVATIONS + POOLS:
            before = made_by.get(node.input[0])
            first = node.op_type in POOLS or (before is not None and before.op_type == "Conv")
            layers.append((node.output[0], "pool" if node.op_type in POOLS else "units", first))
    given = {output.name for output in model.graph.output}
    layers = [layer for layer in layers if layer[0] not in given][:LAYERS]
    if not layers:
        raise ReadingError(f"{path.name}: no layer between the image and the answer. It is a single step.")
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name, _, _ in layers)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, layers


def _views(layers: list[tuple[str, str, bool]], results: list[np.ndarray]) -> list[LayerView]:
    views = []
    seen = 0  # convolutions so far
    for (_, kind, first), result in zip(layers, results, strict=True):
        values = np.asarray(result[0], np.float64)
        if values.ndim == 3:
            maps = values if first else np.moveaxis(values, -1, 0)
            count, height, width = maps.shape
            size = f"{count} maps of {height} x {width}"
            if kind == "pool":
                title, words = f"Pooling, {size}", "The same maps, smaller: of neighbours the strongest stays."
            else:
                title = f"Convolution, {size}"
                words = (
                    "Each map looks for one small pattern everywhere, such as an edge; it is bright where it finds it."
                    if seen == 0
                    else "Each map looks for a pattern of the patterns before: corners, curves, ends of strokes."
                )
                seen += 1
        elif values.ndim == 1:
            maps, count = values[None, None], len(values)
            if kind == "sums":
                title, words = (
                    f"{count} sums",
                    "One for each class; their exponentials, divided by their sum, are the probabilities.",
                )
            else:
                title = f"Dense, {count} units"
                words = "Each unit weighs everything before it; a bright one has found what it looks for."
        else:
            continue
        views.append(LayerView(title, words, _bright(maps[:MAPS])))
    return views


def _bright(maps: np.ndarray) -> np.ndarray:
    """The layer's least value black, its largest white; rectified layers keep 0 at black."""
    low, high = min(0.0, float(maps.min())), float(maps.max())
    return np.round(255 * (maps - low) / max(high - low, 1e-9)).astype(np.uint8)
