"""The runs of a folder: made, found by their name, listed."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digitlab.errors import RunError
from digitlab.runs import schema
from digitlab.runs.folder import FORMAT, Run, begun, write_json
from digitlab.runs.lock import locked
from digitlab.runs.states import State

# How a run is named: its path, its name in the folder of runs, "latest", or the Run itself.
Reference = str | os.PathLike[str]


def runs_folder(folder: str | Path | None = None) -> Path:
    """Where runs live: the argument, else `DIGITLAB_RUNS`, else ``runs`` in the current folder."""
    return Path(folder or os.environ.get("DIGITLAB_RUNS") or "runs")


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
    if path.exists() and not begun(path):
        raise RunError(
            f"{path}: already there. Choose another --name, or resume it with: digitlab train --resume {path}"
        )


def create_run(folder: Path, name: str | None, info: Mapping[str, Any]) -> Run:
    """Make a new run folder with its `run.json`; a name that is taken is an error, a made-up one never is.

    Raises:
        RunError: the name is taken or cannot be a folder's name, or the folder cannot be made.
    """
    check_free(folder, name)
    now = datetime.datetime.now(datetime.UTC).astimezone()
    base = name or f"{info['recipe']['name']}-{now:%Y%m%d-%H%M%S}"
    first = {"format": FORMAT, "name": base, "state": State.TRAINING, "created": now.isoformat("T", "seconds"), **info}
    try:
        schema.RUN(first, "")
    except ValueError as error:  # a layer, file or class whose name no terminal should see
        raise RunError(f"{folder / base}: cannot be described ({error}). Give it another name") from None
    for attempt in range(1, 1000):
        path = folder / (base if attempt == 1 else f"{base}-{attempt}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=begun(path))
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
