"""One run's folder: what is read from it and written into it. The format is documented in docs/run-format.md.

Every file is replaced in one step, `run.json` says how far the run came, and a lock file keeps a second process out; so
that a process killed at any moment leaves a folder that `digitlab train --resume` can resume.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab import in_words
from digitlab.archives import read_arrays
from digitlab.errors import DataError, RunError
from digitlab.files import printable, read_bytes, write_atomically
from digitlab.learning.recipe import Recipe
from digitlab.runs import schema
from digitlab.runs.lock import is_locked
from digitlab.runs.states import State

if TYPE_CHECKING:
    import numpy as np

    from digitlab.judging.metrics import Evaluation
    from digitlab.judging.robustness import Robustness
    from digitlab.learning.state import TrainState

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """One run's folder, read when asked.

    Attributes:
        path: The folder.

    Example:
        >>> run = open_run("runs/mlp-best")  # doctest: +SKIP
        >>> run.evaluation.accuracy, run.model.count_params()  # doctest: +SKIP
    """

    path: Path

    def __fspath__(self) -> str:
        """The folder, so that a Run can be given wherever a path is expected."""
        return str(self.path)

    def _repr_html_(self) -> str:
        from digitlab.notebook import card, curve

        info, state = self.info, self.state
        rows = [("recipe", f"{info['recipe'].get('description', '')}, seed {info['seed']}"), ("state", state)]
        if state == State.FINISHED:
            judged = self.evaluation
            rows.append(
                ("test accuracy", f"{100 * judged.accuracy:.2f} % ({in_words.interval(judged.accuracy_interval)})")
            )
        history = self.history if (self.path / "history.csv").is_file() else {}
        line = curve(history.get("val_accuracy") or history.get("accuracy") or [], "accuracy over the epochs")
        return card(self.name, [*rows, ("folder", str(self.path))], line)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def info(self) -> dict[str, Any]:
        """`run.json` as it is now.

        Raises:
            RunError: missing, damaged, or of another format.
        """
        return _read_info(self.path)

    @property
    def state(self) -> State:
        """How far it came; a run that says "training" while nobody holds its lock was killed."""
        state = State(self.info["state"])
        return State.STOPPED if state == State.TRAINING and not is_locked(self.path) else state

    @property
    def recipe(self) -> Recipe:
        """The recipe it was trained by."""
        return Recipe.from_dict(self.info["recipe"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """What label 0, 1, … mean."""
        return tuple(self.info["data"]["classes"])

    @property
    def metadata(self) -> dict[str, str]:
        """What an exported file says of itself: labels, recipe, seed, accuracy, temperature for the Reader."""
        return metadata(self.info, self.evaluation)

    @functools.cached_property
    def history(self) -> dict[str, list[float]]:
        """A list per column of `history.csv`: epoch, loss, accuracy, val_loss, val_accuracy, learning_rate, seconds."""
        file = self._require_file("history.csv")
        try:
            return schema.read_history(file)
        except (OSError, ValueError) as error:
            raise RunError(f"{file}: damaged ({_why(error)}). Restore it, or train the run anew") from None

    @functools.cached_property
    def evaluation(self) -> Evaluation:
        """What is known of the trained network from the test images."""
        from digitlab.judging.metrics import Evaluation

        file = self._require_file("metrics.json")
        try:
            evaluation = Evaluation.from_dict(schema.read_json(file, schema.metrics)["test"])
            if len(evaluation.support) != len(self.info["data"]["classes"]):
                raise ValueError(f"of {len(evaluation.support)} classes, run.json of another number")
            return evaluation
        except (OSError, ValueError, DataError) as error:
            raise RunError(f"{file}: damaged ({_why(error)}). Restore it, or train the run anew") from None

    @functools.cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """`test_probabilities` (n, k) float32, `test_labels` (n,), and the same for validation, if there was any."""
        file = self._require_file("predictions.npz")
        try:
            arrays = read_arrays(read_bytes(file, schema.MAX_ARRAYS), schema.MAX_ARRAYS)
            schema.check_predictions(arrays)
        except (OSError, ValueError) as error:
            raise RunError(f"{file}: damaged ({_why(error)}). Restore it, or train the run anew") from None
        return arrays

    @property
    def robustness(self) -> Robustness | None:
        """What `digitlab evaluate --corrupted` found, from `corruptions.json`; None before it was asked."""
        from digitlab.judging.robustness import Robustness

        file = self.path / "corruptions.json"
        if not file.exists():
            return None
        try:
            return Robustness.from_dict(schema.read_json(file, schema.CORRUPTIONS)["test"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{file}: damaged ({_why(error)}). `digitlab evaluate {self.path} --corrupted` mends it"
            ) from None

    @property
    def damage(self) -> str:
        """What is wrong with the files of numbers; "" for a run that is whole, as far as it came."""
        try:
            if (self.path / "history.csv").exists() or self.state == State.FINISHED:
                _ = self.history
            if self.state == State.FINISHED:
                evaluation, arrays = self.evaluation, self.predictions
                known, kept = (evaluation.samples, len(evaluation.support)), arrays["test_probabilities"].shape
                if len(self.info["data"]["classes"]) != len(evaluation.support):
                    return f"run.json: {len(self.info['data']['classes'])} classes, metrics.json has {known[1]}"
                if known != kept:
                    return f"metrics.json: {known} images and classes, predictions.npz has {kept}"
            _ = self.robustness
        except RunError as error:
            return str(error).replace(f"{self.path}{os.sep}", "")
        return ""

    @functools.cached_property
    def model(self) -> Any:
        """The trained Keras model, from `model.keras`."""
        from digitlab.learning.backend import import_keras

        file = self._require_file("model.keras")
        keras = import_keras()
        try:
            return keras.saving.load_model(file)
        except Exception as error:  # Keras passes on whatever zipfile, h5py and json raise
            words = printable(" ".join(str(error).split()))[:300]
            raise RunError(f"{file}: could not be opened by Keras ({words})") from error

    def _require_file(self, name: str) -> Path:
        file = self.path / name
        if not file.exists():
            state = self.state
            hint = (
                f"the run is not finished (it is {state}); resume it with: digitlab train --resume {self.path}"
                if state != State.FINISHED
                else "the folder is incomplete; restore it or train anew"
            )
            raise RunError(f"{file}: not there; {hint}")
        return file

    # Writing, by the process that holds the lock.

    def remove_temporary_files(self) -> None:
        """Take away what a killed process left half written."""
        for file in (*self.path.glob(".*.tmp*"), *self.path.glob("figures/.*.tmp*")):
            file.unlink(missing_ok=True)

    def update(self, **changes: Any) -> None:
        """Change entries of `run.json`."""
        write_json(self.path / "run.json", {**self.info, **changes})

    def save_checkpoint(self, state: TrainState) -> None:
        """Write the checkpoint and, after it, the history that people read."""
        from digitlab.learning.state import to_bytes

        write_atomically(self.path / "checkpoint.npz", to_bytes(state))
        write_atomically(self.path / "history.csv", history_csv(state.history))

    def checkpoint(self) -> TrainState | None:
        """The state to go on from; None if the run stopped before its first epoch was done.

        Raises:
            RunError: the checkpoint is damaged.
        """
        from digitlab.learning.state import load

        file = self.path / "checkpoint.npz"
        return load(file) if file.exists() else None


def metadata(info: Mapping[str, Any], evaluation: Evaluation) -> dict[str, str]:
    """What an exported file says of itself, from `run.json` and what is known of the network."""
    return {
        "labels": " ".join(info["data"]["classes"]),
        "classes": json.dumps(info["data"]["classes"]),
        "input": "uint8 (n, 28, 28), 0..255, ink bright on 0",
        "recipe": json.dumps(info["recipe"]),
        "seed": str(info["seed"]),
        "data_sha256": info["data"]["sha256"],
        "test_accuracy": f"{evaluation.accuracy:.6g}",
        "temperature": f"{evaluation.temperature or 1.0:.6g}",
        "digitlab": info["versions"]["digitlab"],
        **({"taught": info["parent"]["name"]} if "parent" in info else {}),
    }


def history_csv(history: Mapping[str, list[float]]) -> str:
    """The history as CSV, whole precision, an empty cell where there is no value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(history)
    for row in zip(*history.values(), strict=True):
        writer.writerow(["" if value != value else repr(value) for value in row])
    return out.getvalue()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file for people and programs: indented, UTF-8, whole or not at all."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an uncompressed `.npz`, whole or not at all."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the stubs take every keyword for allow_pickle
    write_atomically(path, buffer.getvalue())


_OF_A_BEGINNING = re.compile(r"\.lock|\.run\.json\.\d+\.tmp")


def begun(path: Path) -> bool:
    """Whether a folder was made for a run and nothing more: its process ended before `run.json` was written."""
    try:
        return all(_OF_A_BEGINNING.fullmatch(file.name) for file in path.iterdir())
    except OSError:
        return False


def _read_info(path: Path) -> dict[str, Any]:
    file = path / "run.json"

    def check(info: Any, where: str) -> None:
        version = info.get("format") if isinstance(info, dict) else None
        if isinstance(version, int) and version != FORMAT:
            raise RunError(f"{file}: run format {version}, expected {FORMAT}. Use the digitlab that wrote it")
        schema.RUN(info, where)

    try:
        info: dict[str, Any] = schema.read_json(file, check)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_dir() and begun(path):
            raise RunError(
                f"{path}: its process ended before anything was kept. Begin again: digitlab train --name {path.name}"
            ) from None
        raise RunError(f"{path}: not a run, it has no run.json. `digitlab runs` lists the runs") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: damaged ({_why(error)}). Restore it, or train the run anew") from None
    return info


def _why(error: Exception) -> str:
    """An error's reason in a few printable words."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(reason.split()))[:200]
