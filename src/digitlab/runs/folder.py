"""A run's folder: create, open, list, go on. The format is documented in docs/run-format.md and has a version.

Every file is replaced in one step, `run.json` says how far the run came, and a lock file keeps a second process out; so
that a process killed at any moment leaves a folder that `digitlab train --resume` can resume.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import functools
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.archives import read_arrays
from digitlab.errors import DataError, RunError
from digitlab.files import printable, read_bytes, write_atomically
from digitlab.learning.recipe import Recipe
from digitlab.runs import schema

if TYPE_CHECKING:
    import numpy as np

    from digitlab.judging.metrics import Evaluation
    from digitlab.judging.robustness import Robustness
    from digitlab.learning.state import TrainState

FORMAT = 1

# How a run is named: its path, its name in the folder of runs, "latest", or the Run itself.
Reference = str | os.PathLike[str]

# What `state` in run.json can say. A run that says "training" while nobody holds its lock was killed.
STATES = ("training", "interrupted", "failed", "trained", "finished")


def runs_folder(folder: str | Path | None = None) -> Path:
    """Where runs live: the argument, else `DIGITLAB_RUNS`, else ``runs`` in the current folder."""
    return Path(folder or os.environ.get("DIGITLAB_RUNS") or "runs")


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
        if state == "finished":
            low, high = self.evaluation.accuracy_interval
            words = f"{100 * self.evaluation.accuracy:.2f} % ({100 * low:.2f} to {100 * high:.2f} %)"
            rows.append(("test accuracy", words))
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
    def state(self) -> str:
        """One of `STATES`, or "stopped" for a run that was killed."""
        state = str(self.info["state"])
        return "stopped" if state == "training" and not is_locked(self.path) else state

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
            return Evaluation.from_dict(schema.read_json(file, schema.metrics)["test"])
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
            if (self.path / "history.csv").exists() or self.state == "finished":
                _ = self.history
            if self.state == "finished":
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
                if state != "finished"
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
        "input": "uint8 (n, 28, 28), 0..255, ink bright on 0",
        "recipe": json.dumps(info["recipe"]),
        "seed": str(info["seed"]),
        "data_sha256": info["data"]["sha256"],
        "test_accuracy": f"{evaluation.accuracy:.6g}",
        "temperature": f"{evaluation.temperature or 1.0:.6g}",
        "digitlab": info["versions"]["digitlab"],
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


def check_name(name: str) -> None:
    """Raise a RunError unless this can be the name of a run's folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise RunError(f"run name {name!r}: expected letters, digits, '.', '_' and '-', at most 100, as in my-run.2")


def check_free(folder: Path, name: str | None) -> None:
    """Raise a RunError unless a new run could have this name; None, for a name made up, always can.

    Raises:
        RunError: the name cannot be a folder's name, or is taken.
    """
    if name is None:
        return
    check_name(name)
    path = folder / name
    if path.exists() and not _begun(path):
        raise RunError(
            f"{path}: already there. Choose another --name, or resume it with: digitlab train --resume {path}"
        )


_OF_A_BEGINNING = re.compile(r"\.lock|\.run\.json\.\d+\.tmp")


def _begun(path: Path) -> bool:
    """Whether a folder was made for a run and nothing more: its process ended before `run.json` was written."""
    try:
        return all(_OF_A_BEGINNING.fullmatch(file.name) for file in path.iterdir())
    except OSError:
        return False


def create_run(folder: Path, name: str | None, info: Mapping[str, Any]) -> Run:
    """Make a new run folder with its `run.json`; a name that is taken is an error, a made-up one never is.

    Raises:
        RunError: the name is taken or cannot be a folder's name, or the folder cannot be made.
    """
    check_free(folder, name)
    now = datetime.datetime.now(datetime.UTC).astimezone()
    base = name or f"{info['recipe']['name']}-{now:%Y%m%d-%H%M%S}"
    first = {"format": FORMAT, "name": base, "state": "training", "created": now.isoformat("T", "seconds"), **info}
    try:
        schema.RUN(first, "")
    except ValueError as error:  # a layer, file or class whose name no terminal should see
        raise RunError(f"{folder / base}: cannot be described ({error}). Give it another name") from None
    for attempt in range(1, 1000):
        path = folder / (base if attempt == 1 else f"{base}-{attempt}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=_begun(path))
        except FileExistsError:
            check_free(folder, name)
            continue
        except OSError as error:
            raise RunError(f"{path}: could not be made ({error.strerror}). Choose another --runs folder") from error
        run = Run(path)
        with locked(run):
            if (path / "run.json").exists():  # another process was quicker
                check_free(folder, name)
                continue
            run.remove_temporary_files()
            write_json(path / "run.json", {**first, "name": path.name})
        return run
    raise RunError(f"{folder}: no free name for {base}")


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
        if path.is_dir() and _begun(path):
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


def open_run(reference: Reference, folder: str | Path | None = None) -> Run:
    """The run at a path, or of that name in the runs folder; ``latest`` is the newest one; a Run is itself.

    Raises:
        RunError: no such run, or its `run.json` is damaged or of another format.
    """
    if not isinstance(reference, str | os.PathLike):
        raise RunError(f"run: got a {type(reference).__name__}, expected a run's name or path, or a Run")
    reference = os.fspath(reference)
    if reference == "latest":
        found = list_runs(folder)
        if not found:
            raise RunError(f"{runs_folder(folder)}: no runs yet; make one with: digitlab train")
        return found[-1]
    for path in (Path(reference), runs_folder(folder) / reference):
        if path.is_dir():
            run = Run(path)
            _ = run.info  # says at once what is wrong with it
            return run
    raise RunError(
        f"{reference}: no such run, neither as a path nor in {runs_folder(folder)}. `digitlab runs` lists them"
    )


def list_runs(folder: str | Path | None = None) -> list[Run]:
    """All runs in a folder, oldest first; folders that are no runs, or whose run.json is damaged, are passed over."""
    found = []
    for path in runs_folder(folder).glob("*/run.json"):
        with contextlib.suppress(RunError):
            created = Run(path.parent).info["created"]
            try:
                moment = datetime.datetime.fromisoformat(created).astimezone().timestamp()
            except (ValueError, OverflowError, OSError):
                moment = 0.0
            found.append((moment, path.parent))
    return [Run(path) for _, path in sorted(found)]


def damaged_runs(folder: str | Path | None = None) -> dict[Path, str]:
    """The runs of a folder whose run.json cannot be used, with why, by name."""
    found = {}
    for path in sorted(runs_folder(folder).glob("*/run.json")):
        try:
            _ = Run(path.parent).info
        except RunError as error:
            found[path.parent] = str(error).replace(f"{path.parent}{os.sep}", "")
    return found


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the run for this process; the operating system lets go of it however the process ends.

    Raises:
        RunError: another process holds it, or the folder has no locks.
    """
    with (run.path / ".lock").open("a") as file:
        try:
            free = _lock(file.fileno())
        except OSError as error:
            raise RunError(
                f"{run.path}: its file system cannot lock files ({error.strerror}). Keep runs on a disk of this "
                "machine: --runs FOLDER"
            ) from None
        if not free:
            raise RunError(f"{run.path}: another process is working on this run. Wait for it, or stop it first")
        yield


def is_locked(path: Path) -> bool:
    """Whether some process is working on the run."""
    try:
        file = (path / ".lock").open("rb")
    except OSError:  # nobody ever held it
        return False
    with file:
        try:
            return not _lock(file.fileno())
        except OSError:  # no locks there, so nobody can hold one
            return False


def _lock(descriptor: int) -> bool:
    """Take an exclusive lock without waiting; False if another holds it.

    Raises:
        OSError: the file system has no locks, as some in a network.
    """
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True
