"""A core for each process: processes of ours that know nothing of each other do not end up on the same one."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zlib
from pathlib import Path

# Open for as long as this process lives: the operating system lets go of a lock however the process ends.
_held: list[int] = []


def bind_to_a_free_core() -> list[int]:
    """Bind this process to one of its cores, if possible one that no other process has taken this way.

    For processes on a cluster's machines, whose parents do not know of each other. To be called before JAX makes its
    threads; the core is held until the process ends. Where there are no such locks nothing is bound.

    Returns:
        The core, or no core.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    # Containers on one machine do not see each other's locks: each begins with another core.
    start = zlib.crc32(os.uname().nodename.encode()) % len(cores)
    cores = cores[start:] + cores[:start]
    chosen = next((core for core in cores if _take(core)), cores[os.getpid() % len(cores)])
    os.sched_setaffinity(0, [chosen])
    return [chosen]


def _take(core: int) -> bool:
    import fcntl

    folder = Path(tempfile.gettempdir()) / f"digitlab-cores-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False  # somebody else's, who may have meant no good
        descriptor = os.open(folder / str(core), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
