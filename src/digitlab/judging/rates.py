"""What is counted: rates with their interval, kinds of mistakes, what refusing buys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """One kind of mistake: "4 read as 9: 12 of 982".

    Attributes:
        true: the label.
        predicted: what it was read as.
        count: how often, >= 1.
        support: images with that label.
    """

    true: int
    predicted: int
    count: int
    support: int

    def __str__(self) -> str:
        return f"{self.true} read as {self.predicted}: {self.count} of {self.support}"


class RiskCoverage(NamedTuple):
    """What refusing the least certain images buys.

    Attributes:
        coverage: (points,) float64, rising to 1: the fraction that is answered, the surest first.
        error_rate: (points,) float64: the fraction of these that is wrong.
    """

    coverage: NDArray[np.float64]
    error_rate: NDArray[np.float64]


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Where the true accuracy lies, from `correct` right answers of `total`; also honest near 0 and 1.

    Args:
        correct: right answers, 0 to total.
        total: all answers, >= 1.
        confidence: of the interval, in (0, 1).

    Returns:
        (low, high), both in [0, 1].

    Raises:
        ValueError: numbers outside these ranges.

    Example:
        >>> low, high = wilson_interval(9800, 10000)
        >>> round(low, 4), round(high, 4)
        (0.9771, 0.9826)

    Reference:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if not (0 <= correct <= total and total >= 1):
        raise ValueError(f"wilson_interval: {correct} of {total}, expected 0 <= correct <= total and total >= 1")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: {confidence}, expected between 0 and 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = correct / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    # At 0 and at total the formula gives 0 and 1 but for rounding.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == total else centre + half)


def risk_coverage(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> RiskCoverage:
    """Follow the error rate while the least certain images are refused one after the other.

    Images of equal confidence (many say exactly 1.0 in float32) cannot be told apart by a threshold, so a part of
    them counts with their common error rate.

    Args:
        confidence: (n,) float, top-1 probabilities, n >= 1.
        right: (n,) bool.

    Returns:
        At most 200 points: 100 in even steps of coverage (1 % each from 100 images on), 100 ever finer towards
        refusing nothing, where the useful ones lie.

    Example:
        >>> curve = risk_coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, True, False]))
        >>> curve.coverage.tolist(), curve.error_rate.tolist()
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.25])
    """
    total = len(confidence)
    _, group = np.unique(-confidence, return_inverse=True)
    answered = np.concatenate([[0], np.cumsum(np.bincount(group))])
    errors = np.concatenate([[0], np.cumsum(np.bincount(group, weights=~right))])
    even = np.rint(np.linspace(0, total, 101)[1:])
    fine = total - np.rint(np.geomspace(1, total, 100)) if total > 1 else even
    kept = np.unique(np.concatenate([even, fine]))
    kept = kept[kept > 0]
    return RiskCoverage(kept / total, np.interp(kept, answered, errors) / kept)


def per_class(confusion: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall and F1 of each class, (k,) each, from (k, k) counts; nan where there is no such rate."""
    hits, answers, support = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan: there is no such rate
        return hits / answers, hits / support, 2 * hits / (answers + support)


def confusions_in(confusion: NDArray[np.int64]) -> tuple[Confusion, ...]:
    """The cells off the diagonal that are above 0, most frequent first."""
    support = confusion.sum(axis=1)
    found = [
        Confusion(int(true), int(predicted), int(confusion[true, predicted]), int(support[true]))
        for true, predicted in np.argwhere(confusion)
        if true != predicted
    ]
    # Among equally frequent ones the rarer digit first, as it suffers more; then by number, so that order is fixed.
    return tuple(sorted(found, key=lambda one: (-one.count, one.support, one.true, one.predicted)))
