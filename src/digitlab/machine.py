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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"system": f"{platform.system()} {platform.machine()}", "processor": _processor(), "cores": cores}


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
