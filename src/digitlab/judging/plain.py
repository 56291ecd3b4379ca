"""An evaluation's fields as plain JSON values, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.judging.calibration import Reliability
from digitlab.judging.rates import Confusion, RiskCoverage


def plain(value: Any) -> Any:
    """Turn a field into what `json.dumps(..., allow_nan=False)` takes."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, RiskCoverage):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, Reliability | Confusion):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _integers(value: Any) -> NDArray[np.int64]:
    return np.asarray(value, np.int64)


def _floats(value: Any) -> NDArray[np.float64]:
    return np.asarray(value, np.float64)  # None becomes nan


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _reliability(value: Any) -> Reliability:
    return Reliability(
        edges=_floats(value["edges"]),
        counts=_integers(value["counts"]),
        confidence=_floats(value["confidence"]),
        accuracy=_floats(value["accuracy"]),
    )


# How `from_dict` reads a field that is not a plain float.
READ: dict[str, Any] = {
    "samples": int,
    "correct": int,
    "accuracy_interval": lambda value: (float(value[0]), float(value[1])),
    **dict.fromkeys(
        ("temperature", "calibrated_log_loss", "calibrated_brier_score", "calibrated_calibration_error"), _optional
    ),
    **dict.fromkeys(("confusion", "support", "mistakes"), _integers),
    **dict.fromkeys(("precision", "recall", "f1"), _floats),
    "confusions": lambda value: tuple(Confusion(**{name: int(one[name]) for name in one}) for one in value),
    **dict.fromkeys(("doubtful", "doubtful_mistakes"), lambda value: tuple(int(index) for index in value)),
    "reliability": _reliability,
    "calibrated_reliability": lambda value: None if value is None else _reliability(value),
    "coverage": lambda value: RiskCoverage(_floats(value["coverage"]), _floats(value["error_rate"])),
}
