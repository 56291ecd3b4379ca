"""A network in an ONNX file: opened once, fed pictures, its probabilities calibrated. No Keras, no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import ReadingError
from digitlab.machine import usable_cores
from digitlab.probabilities import normalised

# Pictures a call: 256 keep the activations within the processor's cache and lose nothing to overhead.
BATCH = 256


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

    def number(self, name: str, default: float) -> float:
        """Read a number from the metadata.

        Args:
            name: its name there.
            default: what to take where it is missing or no number.

        Returns:
            The number.
        """
        try:
            return float(self.metadata[name])
        except (KeyError, ValueError):
            return default

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Feed pictures through the network.

        Args:
            images: (n, 28, 28) uint8.

        Returns:
            (n, classes) float32; rows sum to 1.
        """
        node = self.session.get_inputs()[0]
        kind = np.uint8 if "uint8" in node.type else np.float32
        parts = []
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH].astype(kind, copy=False)
            if len(node.shape) == 4:
                batch = batch[:, None] if node.shape[1] == 1 else batch[..., None]
            elif len(node.shape) == 2:
                batch = batch.reshape(len(batch), -1)
            parts.append(self.session.run(None, {node.name: batch})[0])
        classes = self.session.get_outputs()[0].shape[-1]
        outputs = np.concatenate(parts) if parts else np.zeros((0, classes), np.float32)
        return normalised(outputs)


def open_model(path: Path, *, threads: int | None = None) -> OnnxModel:
    """Open an ONNX file.

    Args:
        path: the file.
        threads: how many ONNX Runtime may use; None for one per core.

    Returns:
        The model.

    Raises:
        ReadingError: missing, damaged, or not a network over 28 x 28 pictures.
    """
    if not path.is_file():
        raise ReadingError(f"{path}: no such model. Name an .onnx file or a finished run's folder.")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(usable_cores())
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would take the cores from whatever else reads or decodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        metadata = dict(session.get_modelmeta().custom_metadata_map)
        shape = session.get_inputs()[0].shape
    except Exception as error:  # ONNX Runtime raises a family of its own for a damaged or foreign file
        reason = " ".join(str(error).split())[:160]
        raise ReadingError(f"{path}: not an ONNX model that can be opened ({reason}). Export the run again.") from None
    pixels = np.prod([side for side in shape[1:] if isinstance(side, int)])
    if pixels != 784:
        raise ReadingError(f"{path}: takes input of shape {shape}, expected (n, 28, 28). Is this another model?")
    return OnnxModel(path, metadata, session)
