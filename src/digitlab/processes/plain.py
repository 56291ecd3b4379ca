"""Unpickle plain values: what a worker answers may come from a process whose memory is no longer its own."""

from __future__ import annotations

import io
import pickle
from typing import Any


def plain_loads(content: bytes) -> Any:
    """Unpickle digitlab's own dataclasses and NumPy arrays, and refuse everything else.

    Example:
        >>> plain_loads(pickle.dumps({"text": "42"}))
        {'text': '42'}
        >>> plain_loads(pickle.dumps(print))
        Traceback (most recent call last):
        _pickle.UnpicklingError: builtins.print in what a worker answered
    """
    return _Plain(io.BytesIO(content)).load()


class _Plain(pickle.Unpickler):
    _NUMPY = frozenset(("_frombuffer", "_reconstruct", "dtype", "ndarray", "scalar"))

    def find_class(self, module: str, name: str) -> Any:
        """Only classes that hold values."""
        if module.partition(".")[0] == "numpy" and name in self._NUMPY:
            return super().find_class(module, name)
        if module.startswith("digitlab.") and "." not in name:
            found = super().find_class(module, name)
            if hasattr(found, "__dataclass_fields__"):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} in what a worker answered")
