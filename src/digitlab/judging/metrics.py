"""Probabilities and true labels in, everything a run reports about them out.

Why NumPy and not scikit-learn: `import sklearn.metrics` takes 2.5 s and 130 MB (pandas and scipy.stats come along), all
of `evaluate` with 10,000 test and 5,000 validation images 0.04 s. The tests hold each number to scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab import in_words
from digitlab.errors import DataError
from digitlab.judging.calibration import (
    Reliability,
    apply_temperature,
    bin_confidence,
    brier_score,
    check_probabilities,
    fit_temperature,
    log_loss,
)
from digitlab.judging.plain import READ, plain
from digitlab.judging.rates import Confusion, RiskCoverage, confusions_in, per_class, risk_coverage, wilson_interval

__all__ = [
    "Confusion",
    "Evaluation",
    "Reliability",
    "RiskCoverage",
    "apply_temperature",
    "evaluate",
    "fit_temperature",
    "wilson_interval",
]

BINS = 15
# Fields with a value per image, kept in `predictions.npz`.
_PER_IMAGE = ("predicted", "confidence")


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """All that is known about one classifier on one set of labelled images.

    Attributes:
        samples: n, how many images.
        correct: how many were read correctly.
        accuracy: correct / samples, in [0, 1].
        accuracy_interval: its 95 % Wilson interval.
        log_loss: mean -log(probability of the true label), nats.
        brier_score: multi-class, summed over classes, in [0, 2].
        calibration_error: top-label expected calibration error, 15 equal-width bins, in [0, 1].
        temperature: fitted on validation; None when there was no validation set, and so for the next three.
        calibrated_log_loss: the same after temperature scaling.
        calibrated_brier_score: the same after temperature scaling.
        calibrated_calibration_error: the same after temperature scaling.
        confusion: (k, k) int64; row = true label, column = what it was read as.
        precision: (k,) float64; nan for a class that was never answered.
        recall: (k,) float64; nan for a class without a image.
        f1: (k,) float64; nan only where a class has no image and was never answered.
        support: (k,) int64, images of each class.
        confusions: the off-diagonal cells above 0, most frequent first.
        mistakes: (errors,) int64, indices of the misread images, most confident first.
        predicted: (n,) int64.
        confidence: (n,) float64, probability of the predicted class, before temperature scaling.
        doubtful: indices whose label is known to be doubtful, rising.
        doubtful_mistakes: those of them that were "misread", rising.
        reliability: the reliability diagram's data.
        calibrated_reliability: the same after temperature scaling, or None.
        coverage: the risk-coverage curve, at most 200 points.
    """

    samples: int
    correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    log_loss: float
    brier_score: float
    calibration_error: float
    temperature: float | None
    calibrated_log_loss: float | None
    calibrated_brier_score: float | None
    calibrated_calibration_error: float | None
    confusion: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    confusions: tuple[Confusion, ...]
    mistakes: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    doubtful: tuple[int, ...]
    doubtful_mistakes: tuple[int, ...]
    reliability: Reliability
    calibrated_reliability: Reliability | None
    coverage: RiskCoverage

    def __repr__(self) -> str:
        ends = in_words.percents(self.accuracy_interval)
        return f"Evaluation({self.correct:,} of {self.samples:,} correct, {100 * self.accuracy:.2f} %, {ends})"

    def _repr_html_(self) -> str:
        from digitlab.judging.notebook import evaluation_card

        return evaluation_card(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but `predicted` and `confidence` as plain JSON values, nan as None.

        These two hold a value for each image and live in the run's `predictions.npz`; in JSON they would take 300 kB.

        Example:
            >>> values = evaluate([[0.9, 0.1], [0.4, 0.6]], [0, 1]).to_dict()
            >>> values["accuracy"], values["confusion"], values["temperature"]
            (1.0, [[1, 0], [0, 1]], None)
        """
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__ if name not in _PER_IMAGE}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, predicted: ArrayLike = (), confidence: ArrayLike = ()
    ) -> Evaluation:
        """Rebuild what `to_dict` wrote.

        Args:
            values: the mapping, as JSON gives it back. Unknown names are ignored, so that a newer file still opens.
            predicted: (n,) integers that belong to it; empty when they are not at hand.
            confidence: (n,) floats that belong to it; empty when they are not at hand.

        Raises:
            DataError: a field is missing or is of the wrong kind; the caller names the file.

        Example:
            >>> evaluation = evaluate([[0.9, 0.1], [0.4, 0.6]], [0, 1])
            >>> Evaluation.from_dict(evaluation.to_dict()).accuracy
            1.0
        """
        if not isinstance(values, Mapping):
            raise DataError(f"metrics: a {type(values).__name__}, expected one object; judge the run again")
        fields: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            if name in _PER_IMAGE:
                continue
            if name not in values:
                raise DataError(f"metrics: no {name!r}, expected all fields of an evaluation; judge the run again")
            try:
                fields[name] = READ.get(name, float)(values[name])
            except (TypeError, ValueError, LookupError) as error:
                raise DataError(f"metrics: {name!r} cannot be read ({error}); judge the run again") from error
        return cls(**fields, predicted=np.asarray(predicted, np.int64), confidence=np.asarray(confidence, np.float64))


def evaluate(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    doubtful: Collection[int] = (),
    classes: int | None = None,
) -> Evaluation:
    """Judge a classifier by its probabilities for labelled images it has not seen.

    Args:
        probabilities: (n, k) float, rows sum to 1 (divide sigmoid outputs by their sum first).
        labels: (n,) integer in [0, k).
        validation: (probabilities, labels) of other images, to fit the temperature on; None leaves calibration out.
        doubtful: indices into `labels` known to be doubtful; those beyond n are dropped, so that the first 1,000 test
            images can be judged with the list for all.
        classes: k as the caller knows it; checked against the array when given.

    Returns:
        The evaluation. Nothing in it depends on the order of the images but the indices.

    Raises:
        DataError: no images.
        ValueError: arrays that do not fit.

    Example:
        >>> evaluation = evaluate([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1])
        >>> evaluation.correct, evaluation.mistakes.tolist(), str(evaluation.confusions[0])
        (2, [1], '1 read as 0: 1 of 2')
    """
    values, truth = check_probabilities(probabilities, labels)
    samples, k = values.shape
    if classes is not None and classes != k:
        raise ValueError(f"probabilities: {k} columns, expected {classes}, one per class")
    if any(index < 0 for index in doubtful):
        raise ValueError(f"doubtful: index {min(doubtful)}, expected 0 or more")
    predicted = values.argmax(axis=1)
    confidence = values.max(axis=1)
    right = predicted == truth
    confusion = np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)
    precision, recall, f1 = per_class(confusion)
    wrong = np.flatnonzero(~right)
    doubts = tuple(sorted({int(index) for index in doubtful if index < samples}))
    reliability = bin_confidence(confidence, right, BINS)
    temperature = calibrated = calibrated_reliability = calibrated_error = None
    if validation is not None:
        seen, _ = check_probabilities(*validation, what="validation probabilities")
        if seen.shape[1] != k:
            raise ValueError(f"validation probabilities: {seen.shape[1]} columns, expected {k} as in the others")
        temperature = fit_temperature(*validation)
        calibrated = apply_temperature(values, temperature)
        calibrated_reliability = bin_confidence(calibrated.max(axis=1), right, BINS)
        calibrated_error = calibrated_reliability.calibration_error
    return Evaluation(
        samples=samples,
        correct=int(right.sum()),
        accuracy=float(right.mean()),
        accuracy_interval=wilson_interval(int(right.sum()), samples),
        log_loss=log_loss(values, truth),
        brier_score=brier_score(values, truth),
        calibration_error=reliability.calibration_error,
        temperature=temperature,
        calibrated_log_loss=None if calibrated is None else log_loss(calibrated, truth),
        calibrated_brier_score=None if calibrated is None else brier_score(calibrated, truth),
        calibrated_calibration_error=calibrated_error,
        confusion=confusion,
        precision=precision,
        recall=recall,
        f1=f1,
        support=confusion.sum(axis=1),
        confusions=confusions_in(confusion),
        mistakes=wrong[np.argsort(-confidence[wrong], kind="stable")],
        predicted=predicted,
        confidence=confidence,
        doubtful=doubts,
        doubtful_mistakes=tuple(index for index in doubts if not right[index]),
        reliability=reliability,
        calibrated_reliability=calibrated_reliability,
        coverage=risk_coverage(confidence, right),
    )
