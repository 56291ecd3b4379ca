"""Probabilities and labels in, what we know out; never sees a model."""

from __future__ import annotations

from digitlab.judging.calibration import Reliability, apply_temperature, fit_temperature, measure_reliability
from digitlab.judging.compare import Comparison, GroupComparison, Spread, compare_groups, compare_runs, spread
from digitlab.judging.metrics import Confusion, Evaluation, RiskCoverage, evaluate, wilson_interval

__all__ = [
    "Comparison",
    "Confusion",
    "Evaluation",
    "GroupComparison",
    "Reliability",
    "RiskCoverage",
    "Spread",
    "apply_temperature",
    "compare_groups",
    "compare_runs",
    "evaluate",
    "fit_temperature",
    "measure_reliability",
    "spread",
    "wilson_interval",
]
