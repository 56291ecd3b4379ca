"""A run's folder as bytes, to be sent to another machine and back; it arrives whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

from digitlab.errors import DigitlabError, RunError
from digitlab.runs.folder import write_json

# Folders on their way in lie here, below the folder of runs: a rename then is all that is left to do.
ARRIVING = ".arriving"
# What is of the machine or of a process that is gone.
_STAYS = (".lock",)


def pack(run: Path) -> bytes:
    """All files of a run's folder, its checkpoint included."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(run.rglob("*")):
            if file.is_file() and file.name not in _STAYS and not file.name.endswith(".tmp"):
                archive.write(file, file.relative_to(run))
    return content.getvalue()


def unpack(content: bytes, run: Path, source: str | None = None) -> None:
    """Put such a folder in its place, or in that of an older state of the same run.

    Args:
        content: As from `pack`.
        run: Where the folder is to be.
        source: Where its data lie on this machine, for its run.json; None leaves what stands there.

    Raises:
        RunError: damaged, or it cannot be written; what was there is untouched.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "a").mkdir()
        ...     _ = (Path(folder) / "a" / "run.json").write_text("{}")
        ...     unpack(pack(Path(folder) / "a"), Path(folder) / "b")
        ...     (Path(folder) / "b" / "run.json").read_text()
        '{}'
    """
    waiting = run.parent / ARRIVING
    folder, old = waiting / run.name, waiting / f"{run.name}.old"
    try:
        put_back(run)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder)  # keeps names inside the folder
        if source is not None:
            info = json.loads((folder / "run.json").read_text("utf-8"))
            info["data"]["source"] = source
            write_json(folder / "run.json", info)
        for file in folder.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        if run.exists():
            run.rename(old)
        folder.rename(run)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, DigitlabError) as error:
        raise RunError(
            f"{run}: could not be brought home ({error}). Make room, then repeat the command: it is trained again"
        ) from error
    shutil.rmtree(old, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are on their way
        waiting.rmdir()


def put_back(run: Path) -> None:
    """Bring back an older state that was moved aside by a process which then was killed."""
    old = run.parent / ARRIVING / f"{run.name}.old"
    if old.is_dir() and not run.exists():
        old.rename(run)
