"""What a number was measured on: the machine and the versions, as a run keeps them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("digitlab", "keras", "jax", "tensorflow", "torch", "numpy", "scipy", "scikit-learn")


def machine() -> dict[str, str | int]:
    """Operating system, processor and number of usable cores.

    Example:
        >>> sorted(machine())
        ['cores', 'processor', 'system']
    """
    system = f"{platform.system()} {platform.machine()}"
    return {"system": system, "processor": _processor(), "cores": len(usable_cores())}


def usable_cores() -> list[int]:
    """The cores this process may use, by number.

    Example:
        >>> len(usable_cores()) >= 1
        True
    """
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


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
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
