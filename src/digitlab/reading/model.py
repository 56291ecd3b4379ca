"""A network in an ONNX file: opened once, fed images, its probabilities calibrated. No Keras, no JAX."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import ReadingError
from digitlab.files import printable, read_bytes
from digitlab.machine import usable_cores
from digitlab.probabilities import normalised
from digitlab.reading.onnx_file import MAX_BYTES, check_file

# Images a call: 256 keep the activations within the processor's cache and lose nothing to overhead.
BATCH = 256
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX Runtime session and what its file says about itself.

    Attributes:
        path: the file.
        metadata: what was stored in it: labels, temperature, threshold, recipe, scores…, all strings.
        session: ONNX Runtime's session.
    """

    path: Path
    metadata: dict[str, str]
    session: Any

    @property
    def classes(self) -> int:
        """How many the network tells apart."""
        return int(self.session.get_outputs()[0].shape[-1])

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its answers mean, as its file says; else 0, 1 and so on."""
        try:
            names = json.loads(self.metadata["classes"])
        except (KeyError, ValueError, RecursionError):
            names = self.metadata.get("labels", "").split()
        if isinstance(names, list) and len(names) == self.classes and all(isinstance(name, str) for name in names):
            return tuple(printable(name)[:80] for name in names)
        return tuple(map(str, range(self.classes)))

    def number(self, name: str, default: float) -> float:
        """Read a number from the metadata.

        Args:
            name: its name there.
            default: what to take where it is missing or no finite number.

        Returns:
            The number.
        """
        try:
            value = float(self.metadata[name])
        except (KeyError, ValueError):
            return default
        return value if math.isfinite(value) else default

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Feed images through the network.

        Args:
            images: (n, 28, 28) uint8.

        Returns:
            (n, classes) float32; rows sum to 1.

        Raises:
            ReadingError: what comes out are no probabilities.
        """
        return self._outputs(images)[0]

    def with_features(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Feed images through a network of the package that also gives what its last layer decides by.

        Args:
            images: (n, 28, 28) uint8.

        Returns:
            As `probabilities`, and (n, k) float32; k = 0 where the file has no such output.
        """
        probabilities, *features = self._outputs(images)
        return probabilities, features[0] if features else np.zeros((len(images), 0), np.float32)

    def _outputs(self, images: np.ndarray) -> list[np.ndarray]:
        node = self.session.get_inputs()[0]
        kind = np.uint8 if "uint8" in node.type else np.float32
        parts = []
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH].astype(kind, copy=False)
            if len(node.shape) == 4:
                batch = batch[:, None] if node.shape[1] == 1 else batch[..., None]
            elif len(node.shape) == 2:
                batch = batch.reshape(len(batch), -1)
            parts.append(self.session.run(None, {node.name: batch}))
        sizes = [output.shape[1:] for output in self.session.get_outputs()]
        outputs, *others = (
            [np.concatenate(of) for of in zip(*parts, strict=True)]
            if parts
            else [np.zeros((0, *size), np.float32) for size in sizes]
        )
        if outputs.shape != (len(images), self.classes):
            raise ReadingError(
                f"{self.path}: gives {outputs.shape} for {len(images)} images, expected {self.classes} values each."
            )
        # Written so that nan is refused; probabilities may miss 0 and 1 by rounding.
        if outputs.size and not (outputs.min() >= -1e-3 and outputs.max() <= 1.001):
            raise ReadingError(
                f"{self.path}: gives values from {outputs.min():.3g} to {outputs.max():.3g}, expected probabilities. "
                "End the network with softmax."
            )
        return [normalised(outputs), *others]


def open_model(path: Path, *, threads: int | None = None) -> OnnxModel:
    """Open an ONNX file.

    Args:
        path: the file.
        threads: how many ONNX Runtime may use; None for one per core.

    Returns:
        The model.

    Raises:
        ReadingError: missing, damaged, or not a network over 28 x 28 images.
    """
    if not path.exists():
        raise ReadingError(f"{path}: no such model. Name an .onnx file or a finished run's folder.")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(usable_cores())
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would take the cores from whatever else reads or decodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        content = read_bytes(path, MAX_BYTES)
        check_file(content)
        # From memory: what was checked is what is run, and no other file can be reached from it.
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        metadata = dict(session.get_modelmeta().custom_metadata_map)
        inputs, outputs = session.get_inputs(), session.get_outputs()
    except Exception as error:  # ONNX Runtime raises a family of its own for a damaged or foreign file
        reason = printable(" ".join(str(error).split()))[:160]
        raise ReadingError(f"{path}: not an ONNX model that can be opened ({reason}). Export the run again.") from None
    known = BUNDLED in path.parents
    if len(inputs) != 1 or len(outputs) > 1 + known or not outputs:
        raise ReadingError(f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each.")
    shape, gives = inputs[0].shape, outputs[0].shape
    if math.prod(side for side in shape[1:] if isinstance(side, int)) != 784 or len(shape) not in (2, 3, 4):
        raise ReadingError(f"{path}: takes input of shape {shape}, expected (n, 28, 28). Is this another model?")
    kinds = (inputs[0].type, outputs[0].type)
    if kinds[0] not in ("tensor(uint8)", "tensor(float)") or kinds[1] != "tensor(float)":
        raise ReadingError(f"{path}: from {kinds[0]} to {kinds[1]}, expected from uint8 or float to float.")
    if len(gives) != 2 or not isinstance(gives[1], int):
        raise ReadingError(f"{path}: gives shape {gives}, expected (n, classes).")
    model = OnnxModel(path, metadata, session)
    if not known:
        try:
            model.probabilities(np.stack([np.zeros((28, 28), np.uint8), np.eye(28, dtype=np.uint8) * 255]))
        except ReadingError:
            raise
        except Exception as error:
            reason = printable(" ".join(str(error).split()))[:160]
            raise ReadingError(f"{path}: cannot be run ({reason}). Export the run again.") from None
    return model
