"""Which model files of the user's own were named on this machine: a run folder alone never makes digitlab run Python.

`run.json` says which file a model comes from and what its hash was, but whoever made the folder wrote both. So naming a
file (`--model my_file.py:build`) leaves a mark outside the folder, and resuming runs only what has one, or is named
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from digitlab.errors import DigitlabError, RunError
from digitlab.files import write_atomically

# Marks kept; the oldest go.
MOST = 1000


def marks_file() -> Path:
    """Where the marks are: a line each, a hash of path, function and content."""
    state = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".local" / "state"
    return Path(state) / "digitlab" / "trusted-models"


def trust(reference: str) -> None:
    """Leave a mark for a file that the user named, as ``my_file.py:build``, as it is now."""
    file = marks_file()
    marks = _marks()
    mark = _mark(reference)
    if mark in marks:
        return
    with contextlib.suppress(OSError, DigitlabError):  # then it has to be named again, which the error says
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(file, "\n".join([*marks, mark][-MOST:]) + "\n")


def check_trusted(run: Path, network: str, named: str | None) -> None:
    """Let a run's own model be run only if the user named it, now or before.

    Args:
        run: the run's folder, for the message.
        network: ``FILE.py:FUNCTION`` as `run.json` has it.
        named: the same as the user gives it now; None if not given.

    Raises:
        RunError: another was named, or none and it has no mark.
    """
    if named is not None:
        if _place(named) != _place(network):
            raise RunError(f"{run}: was begun with --model {network}, not {named}. Name the one it was begun with")
        trust(network)
    elif _mark(network) not in _marks():
        raise RunError(
            f"{run}: resuming it runs the Python file {network.rpartition(':')[0]}, as it is now not named by anybody "
            f"on this machine. If you trust that file, say so: digitlab train --resume {run} --model {network}"
        )


def _marks() -> list[str]:
    try:
        return marks_file().read_text("ascii").split()[-MOST:]
    except (OSError, UnicodeDecodeError):
        return []


def _place(reference: str) -> tuple[str, str]:
    path, _, function = reference.rpartition(":")
    return str(Path(path).resolve()), function


def _mark(reference: str) -> str:
    path, function = _place(reference)
    try:
        content = Path(path).read_bytes()
    except OSError:
        content = b""
    return hashlib.sha256("\0".join([path, function, ""]).encode("utf-8", "surrogateescape") + content).hexdigest()
