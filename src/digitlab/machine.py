"""What a number was measured on: the machine and the versions, as a run keeps them; and its memory."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import platform
from pathlib import Path

from digitlab.version import __version__

_PACKAGES = ("keras", "jax", "tensorflow", "torch", "numpy", "scipy", "scikit-learn")


def machine() -> dict[str, str | int]:
    """Operating system, processor and number of usable cores.

    Example:
        >>> sorted(machine())
        ['cores', 'processor', 'system']
    """
    system = f"{platform.system()} {platform.machine()}"
    return {"system": system, "processor": _processor(), "cores": len(usable_cores())}


def usable_cores() -> list[int]:
    """The cores this process may use, by number: those it is bound to, and no more than its container's share.

    Example:
        >>> len(usable_cores()) >= 1
        True
    """
    bound = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    return bound[: container_share(Path("/sys/fs/cgroup")) or len(bound)]


def container_share(cgroup: Path) -> int | None:
    """How many cores' worth of time a container may use, rounded up; None where there is no limit.

    Args:
        cgroup: Where the control groups are mounted; version 2 says it in one file, version 1 in two.
    """
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text("ascii").split()
        else:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        return max(1, math.ceil(int(quota) / int(period))) if quota != "max" and int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def give_back_memory() -> None:
    """Give memory that is free already back to the system, where the C library knows how (glibc).

    Training leaves 56 MB of it, which the processes that draw the figures can use.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _processor() -> str:
    """The processor's own name; `platform.processor()` is empty or just "x86_64" on Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on, those that are installed."""
    found = {"python": platform.python_version(), "digitlab": __version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
