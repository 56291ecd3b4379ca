"""TrainState: everything a run needs to be resumed exactly where it stopped, and the file it lives in.

The file is a NumPy `.npz` (no pickle) whose last entry is a SHA-256 over all the others, so that a damaged file is
noticed; it replaces the one before it in one step, so that a kill at any moment leaves either the old or the new one.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.archives import read_arrays
from digitlab.errors import RunError
from digitlab.files import printable, read_bytes

FORMAT = 1
# A billion weights with their moments would be 12 GB; nothing that reads 28 x 28 pixels comes near.
MAX_BYTES = 16 << 30

# The columns of a history, as Keras users know them; val_* stay empty (NaN) without validation images.
HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")


@dataclass(frozen=True, eq=False)
class TrainState:
    """A training run between two epochs.

    Shuffling needs no entry: the order of an epoch is drawn from the seed and the epoch's number
    (`batches.epoch_permutation`).

    Attributes:
        epoch: Finished epochs.
        weights: The model's variables, trainable ones first, then batch statistics and dropout's random state.
        trainable: How many of `weights` are trainable.
        optimizer: The optimizer's variables (step count, moments).
        history: One list per column of `HISTORY`, `epoch` values each.
        best: The weights of the best epoch on validation, as they are judged; empty for a recipe without patience.
    """

    epoch: int
    weights: tuple[np.ndarray, ...]
    trainable: int
    optimizer: tuple[np.ndarray, ...]
    history: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HISTORY})
    best: tuple[np.ndarray, ...] = ()


def to_bytes(state: TrainState) -> bytes:
    """The state as the bytes of its file."""
    arrays: dict[str, np.ndarray] = {}
    for kind in ("weights", "optimizer", "best"):
        for i, array in enumerate(getattr(state, kind)):
            arrays[f"{kind}_{i:03d}"] = array
    meta = {"format": FORMAT, "epoch": state.epoch, "trainable": state.trainable, "history": state.history}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    arrays["sha256"] = np.frombuffer(_digest(arrays), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the stubs want allow_pickle, which is off for plain arrays
    return buffer.getvalue()


def load(path: Path) -> TrainState:
    """Read a state file.

    Raises:
        RunError: missing, damaged, or of another format.
    """
    try:
        arrays = read_arrays(read_bytes(path, MAX_BYTES), MAX_BYTES)
        if bytes(arrays.pop("sha256")) != _digest(arrays):
            raise ValueError("its checksum does not match")
        meta: dict[str, Any] = json.loads(bytes(arrays.pop("meta")))
    except FileNotFoundError:
        raise RunError(f"{path}: no checkpoint; the run stopped before its first epoch. Train it anew") from None
    except Exception as error:
        # numpy and zipfile raise a dozen kinds of error for damaged bytes; they all mean the same to the user.
        raise RunError(
            f"{path}: damaged checkpoint ({printable(error)[:200]}); nothing was changed. Train anew, or restore it"
        ) from error
    if meta["format"] != FORMAT:
        raise RunError(f"{path}: checkpoint format {meta['format']}, expected {FORMAT}. Use the digitlab that wrote it")
    kinds = ("weights", "optimizer", "best")
    of = {kind: tuple(arrays[n] for n in sorted(arrays) if n.startswith(kind)) for kind in kinds}
    return TrainState(meta["epoch"], of["weights"], meta["trainable"], of["optimizer"], meta["history"], of["best"])


def _digest(arrays: dict[str, np.ndarray]) -> bytes:
    hasher = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        hasher.update(array.tobytes())
    return hasher.digest()
