"""What makes the command start fast; for the command-line process alone, never for a program that imports digitlab."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from digitlab.learning.backend import import_keras

# Keras imports these only to see whether they are there (pandas inputs, scikit-learn wrappers, plots); on two cores
# that takes 1.9 of the 3.4 seconds of `import keras`, and none of it is used by a command.
_PROBED = ("matplotlib", "pandas", "sklearn")
# Other backends: Keras on JAX looks for them later as well, on saving for instance, and then imports all of TensorFlow
# where that happens to be installed (10 s). A command on JAX never needs them.
_OTHER_BACKENDS = ("tensorflow", "torch")

# scipy.ndimage imports these, or has NumPy import them when it copies NumPy's list of names, and reading uses next to
# nothing of them: half of the time of its import. They are put off until something of theirs is asked for.
_PUT_OFF = (
    *("numpy.char", "numpy.ctypeslib", "numpy.f2py", "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.testing"),
    *("pydoc", "scipy.special"),
)


class _Absent(importlib.abc.MetaPathFinder):
    """Says "not installed" for the packages that Keras only probes for."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  (the interface's)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"{fullname} is not offered to Keras in this process", name=fullname)
        return None


class _Later(importlib.abc.MetaPathFinder):
    """Has packages loaded at the first use of something in them, by the standard library's own `LazyLoader`."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def import_ndimage_quickly() -> None:
    """Import `scipy.ndimage` without what reading never uses; that is loaded later should anything ask for it."""
    if "scipy.ndimage" in sys.modules:
        return
    # Reading multiplies no large matrices: OpenBLAS need not start its threads (0.57 s instead of 0.60 s in all).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    later = _Later(_PUT_OFF)
    sys.meta_path.insert(0, later)
    try:
        importlib.import_module("scipy.ndimage")
    finally:
        sys.meta_path.remove(later)


def import_keras_quickly() -> None:
    """Import Keras on JAX without what it only probes for, and keep compiled programs between commands."""
    if os.environ.get("KERAS_BACKEND", "jax") != "jax" or "keras" in sys.modules:
        return
    sys.meta_path.insert(0, _Absent(_OTHER_BACKENDS))
    probed = _Absent(tuple(name for name in _PROBED if name not in sys.modules))
    sys.meta_path.insert(0, probed)
    try:
        import_keras()
    finally:
        sys.meta_path.remove(probed)
    import jax

    # A command killed while it kept a program leaves half of one, which is compiled again: nothing to tell a person.
    warnings.filterwarnings("ignore", message="Error reading persistent compilation cache entry")
    configure: Any = jax.config.update

    # A second run of the same recipe finds its programs compiled: about a second saved.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        configure("jax_compilation_cache_dir", str(compiled_programs()))
    configure("jax_persistent_cache_min_compile_time_secs", 0.05)
    configure("jax_persistent_cache_min_entry_size_bytes", 0)


def compiled_programs() -> Path:
    """Where compiled programs are kept between commands."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digitlab" / "compiled"
