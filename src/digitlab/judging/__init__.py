"""Probabilities and labels in, what we know out; never sees a model."""

from __future__ import annotations

from digitlab.judging.calibration import Reliability, apply_temperature, fit_temperature, measure_reliability
from digitlab.judging.metrics import Confusion, Evaluation, RiskCoverage, evaluate, wilson_interval

__all__ = [
    "Confusion",
    "Evaluation",
    "Reliability",
    "RiskCoverage",
    "apply_temperature",
    "evaluate",
    "fit_temperature",
    "measure_reliability",
    "wilson_interval",
]
