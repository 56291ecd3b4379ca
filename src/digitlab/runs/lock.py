"""One process at a time works on a run: a lock that the operating system lets go of however the process ends."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from digitlab.errors import RunError


@contextlib.contextmanager
def locked(run: os.PathLike[str]) -> Iterator[None]:
    """Hold the run for this process; the operating system lets go of it however the process ends.

    Raises:
        RunError: another process holds it, the folder has no locks, or nothing can be written there.
    """
    path = Path(run)
    try:
        opened = (path / ".lock").open("a")
    except OSError as error:
        raise RunError(
            f"{path}: cannot be worked on ({error.strerror}). Copy it to a folder that you may write to"
        ) from None
    with opened as file:
        try:
            free = _lock(file.fileno())
        except OSError as error:
            raise RunError(
                f"{path}: its file system cannot lock files ({error.strerror}). Keep runs on a disk of this "
                "machine: --runs FOLDER"
            ) from None
        if not free:
            raise RunError(f"{path}: another process is working on this run. Wait for it, or stop it first")
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
