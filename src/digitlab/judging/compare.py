"""Is one classifier better than another, or was it chance? Two runs on the same images, or several seeds of each.

`scipy.special` takes 0.2 s to import, `scipy.stats` with the same formulas 1.2 s; the tests hold one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab import in_words
from digitlab.errors import DataError
from digitlab.judging.calibration import check_probabilities
from digitlab.judging.verdict import CONFIDENCE, chance_words, lead_words, ordered, p_words

_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two classifiers on the same images.

    Attributes:
        names: how the two are called in words.
        samples: n, images.
        accuracies: of each, in [0, 1].
        difference: the first's accuracy minus the second's, in percentage points.
        difference_interval: its 95 % interval, in percentage points (Tango's score interval for paired rates).
        only_a: (b,) int64, indices that only the first reads right.
        only_b: (c,) int64, indices that only the second reads right.
        p_value: McNemar's exact test: how often two equally good classifiers would split their b + c disagreements at
            least so unevenly.
    """

    names: tuple[str, str]
    samples: int
    accuracies: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    only_a: NDArray[np.int64]
    only_b: NDArray[np.int64]
    p_value: float

    @property
    def counts(self) -> tuple[int, int]:
        """How many images only the first, and only the second, reads right (McNemar's b and c)."""
        return len(self.only_a), len(self.only_b)

    @property
    def words(self) -> str:
        """Say in plain words whether one is better and how sure that is."""
        counts = self.counts
        if sum(counts) == 0:
            right = round(self.accuracies[0] * self.samples)
            return f"{self.names[0]} and {self.names[1]} read the same {right:,} images correctly."
        (first, best, more), (second, other, fewer) = ordered(self.difference, self.names, self.accuracies, counts)
        lead = lead_words(self.difference, self.difference_interval)
        chance = f"equally good networks {chance_words(self.p_value)} (McNemar {p_words(self.p_value)})"
        disagree = f"It alone reads {more:,} images correctly, the other alone {fewer:,}: {chance}"
        low, high = self.difference_interval
        shares = f"{best:.2%} against {other:.2%}"
        if self.p_value < 1 - CONFIDENCE:
            return f"{first} is better than {second} by {lead}: {shares}. {disagree}; other seeds may differ."
        if low <= 0 <= high:
            return f"No difference shown: {first} leads {second} by {lead}, {shares}. {disagree}."
        return (
            f"Not settled: {first} leads {second} by {lead}, {shares}. "
            f"The interval leaves out 0, the stricter exact test does not. {disagree}."
        )


@dataclass(frozen=True)
class Spread:
    """Several runs of the same thing, differing only by their seed.

    Attributes:
        mean: of the values, in their unit.
        std: sample standard deviation (n - 1); None for a single value.
        interval: 95 % t interval of the mean; None for a single value.
        n: how many values.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class GroupComparison:
    """Two groups of runs, each with several seeds.

    Attributes:
        names: how the two are called in words.
        spreads: mean, standard deviation and interval of the accuracy (0 to 1) of each.
        difference: mean of the first minus mean of the second, in percentage points.
        difference_interval: its 95 % Welch interval over seeds, these images given; percentage points. None where a
            group has one run, or no accuracy varies.
        p_value: Welch's t test; None in the same cases.
        general_interval: 95 % interval of the difference for other seeds and other images of the same kind; percentage
            points. None unless it is known which image each run read correctly, and each group has two runs.
    """

    names: tuple[str, str]
    spreads: tuple[Spread, Spread]
    difference: float
    difference_interval: tuple[float, float] | None
    p_value: float | None
    general_interval: tuple[float, float] | None

    @property
    def words(self) -> str:
        """Say in plain words whether one is better and how sure that is."""
        means = tuple(spread.mean for spread in self.spreads)
        counts = tuple(spread.n for spread in self.spreads)
        (first, best, more), (second, other, fewer) = ordered(self.difference, self.names, means, counts)
        lead = lead_words(self.difference, self.difference_interval)
        shares = f"{best:.2%} (mean of {more}) against {other:.2%} (mean of {fewer})"
        if min(counts) < 2:
            single = " and ".join(name for name, n in zip(self.names, counts, strict=True) if n < 2)
            return (
                f"Cannot be told: {first} leads {second} by {lead}, {shares}. "
                f"With one run of {single} nobody knows what another seed would give."
            )
        if self.p_value is None:
            return (
                f"Cannot be tested: {first} leads {second} by {lead}, {shares}. "
                "Within each group all runs have the same accuracy."
            )
        chance = f"equally good recipes {chance_words(self.p_value)} (Welch {p_words(self.p_value)})"
        if self.p_value >= 1 - CONFIDENCE:
            return f"No difference shown: {first} leads {second} by {lead}, {shares}. {chance[0].upper()}{chance[1:]}."
        said = f"{first} is better than {second} on these images by {lead}: {shares}. {chance[0].upper()}{chance[1:]}"
        if self.general_interval is None:
            return f"{said}."
        low, high = sorted(math.copysign(1, self.difference) * end for end in self.general_interval)
        verdict = "may turn on" if low <= 0 <= high else "would hold for"
        return f"{said}; it {verdict} other images of the same kind ({in_words.points(low, high)} points)."


def compare_runs(
    labels: ArrayLike,
    probabilities_a: ArrayLike,
    probabilities_b: ArrayLike,
    *,
    names: tuple[str, str] = ("A", "B"),
) -> Comparison:
    """Compare two classifiers image by image; far sharper than comparing two accuracies with their intervals.

    Args:
        labels: (n,) integer in [0, k).
        probabilities_a: (n, k) float, what the first said; rows sum to 1.
        probabilities_b: (n, k) float, what the second said about the same images in the same order.
        names: how to call them.

    Returns:
        The comparison; `words` says it in two sentences.

    Raises:
        DataError: no images.
        ValueError: arrays that do not fit.

    Example:
        >>> sure, unsure = [[0.9, 0.1]] * 10, [[0.4, 0.6]] * 10
        >>> comparison = compare_runs([0] * 10, sure, unsure, names=("cnn", "mlp"))
        >>> comparison.counts, round(comparison.p_value, 4)
        ((10, 0), 0.002)

    Reference:
        Q. McNemar, Psychometrika 12 (1947), as the exact binomial test on the disagreements; T. Tango, Equivalence test
        and confidence interval for the difference in proportions for the paired-sample design, Statistics in Medicine
        17 (1998), which keeps its 95 % also with few disagreements, where the textbook's Wald interval does not.
    """
    first, truth = check_probabilities(probabilities_a, labels, what=f"probabilities of {names[0]}")
    second, _ = check_probabilities(probabilities_b, labels, what=f"probabilities of {names[1]}")
    right_a, right_b = first.argmax(axis=1) == truth, second.argmax(axis=1) == truth
    only_a, only_b = np.flatnonzero(right_a & ~right_b), np.flatnonzero(right_b & ~right_a)
    low, high = tango_interval(len(only_a), len(only_b), len(truth))
    return Comparison(
        names=names,
        samples=len(truth),
        accuracies=(float(right_a.mean()), float(right_b.mean())),
        difference=100 * (len(only_a) - len(only_b)) / len(truth),
        difference_interval=(100 * low, 100 * high),
        only_a=only_a,
        only_b=only_b,
        p_value=mcnemar(len(only_a), len(only_b)),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact p-value: two-sided binomial test that disagreements fall either way with equal chance.

    Args:
        only_a: images that only the first reads right, >= 0.
        only_b: images that only the second reads right, >= 0.

    Returns:
        p in (0, 1]; 1 when they never disagree.

    Example:
        >>> mcnemar(5, 0)
        0.0625
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def tango_interval(only_a: int, only_b: int, total: int) -> tuple[float, float]:
    """Find the 95 % score interval of (only_a - only_b) / total, the difference of two paired rates.

    Args:
        only_a: images that only the first reads right, >= 0.
        only_b: images that only the second reads right, >= 0.
        total: all images, >= 1 and >= only_a + only_b.

    Returns:
        (low, high) in [-1, 1]; they hold the differences that a score test does not reject.

    Example:
        >>> low, high = tango_interval(12, 4, 1000)
        >>> round(low, 4), round(high, 4)
        (0.0002, 0.0173)

    Reference:
        T. Tango, Statistics in Medicine 17 (1998) 891-908.
    """

    def score(difference: float) -> float:
        # The disagreement rate that is most likely if the true difference were `difference`, in closed form.
        linear = -only_a - only_b + (2 * total - only_a + only_b) * difference
        constant = -only_b * difference * (1 - difference)
        rate = (math.sqrt(max(0.0, linear**2 - 8 * total * constant)) - linear) / (4 * total)
        variance = total * (2 * rate + difference * (1 - difference))
        distance = only_a - only_b - total * difference
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    # The score falls from high to low as the difference rises, through 0 at what was observed: halve on either side.
    def crossing(level: float, low: float, high: float) -> float:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > level else (low, middle)
        return (low + high) / 2

    observed = (only_a - only_b) / total
    return crossing(_Z, -1.0, observed), crossing(-_Z, observed, 1.0)


def spread(values: ArrayLike) -> Spread:
    """Mean, sample standard deviation and 95 % t interval of some seeds' results.

    Args:
        values: (n,) float, n >= 1, any unit.

    Returns:
        The spread; std and interval are None when n is 1.

    Raises:
        DataError: no values.
        ValueError: not one row of finite numbers.

    Example:
        >>> spread([0.98, 0.99, 0.97]).interval
        (0.955..., 1.004...)
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ValueError(f"values: shape {numbers.shape}, expected one row of finite numbers")
    n = len(numbers)
    if n == 0:
        raise DataError("values: none, expected the result of at least 1 run")
    mean = float(numbers.mean())
    if n == 1:
        return Spread(mean, None, None, 1)
    # Equal values: their mean is not always that value in the last digit, and a spread of 1e-17 is no spread.
    std = 0.0 if np.ptp(numbers) == 0 else float(numbers.std(ddof=1))
    half = _t_quantile(n - 1) * std / math.sqrt(n)
    return Spread(mean, std, (mean - half, mean + half), n)


def compare_groups(
    group_a: ArrayLike | Sequence[ArrayLike],
    group_b: ArrayLike | Sequence[ArrayLike],
    *,
    names: tuple[str, str] = ("A", "B"),
) -> GroupComparison:
    """Compare two recipes by several seeds of each.

    Args:
        group_a: (seeds,) float accuracies in [0, 1]; or (seeds, n) bool, which of n test images each run reads right.
        group_b: the same for the other, with as many seeds as it has; where both are bool, on the same images.
        names: how to call them.

    Returns:
        The comparison; `words` says it in two sentences. Only bool matrices tell how far it would carry
        to other images.

    Raises:
        DataError: a group without a run.
        ValueError: arrays that do not fit.

    Example:
        >>> groups = compare_groups([0.985, 0.984, 0.986], [0.980, 0.981, 0.979], names=("mlp2", "mlp"))
        >>> round(groups.difference, 2), groups.p_value < 0.01
        (0.5, True)

    Reference:
        B. L. Welch, The generalization of Student's problem when several different population variances are involved,
        Biometrika 34 (1947).
    """
    accuracies_a, matrix_a = _accuracies(group_a, names[0])
    accuracies_b, matrix_b = _accuracies(group_b, names[1])
    a, b = spread(accuracies_a), spread(accuracies_b)
    difference = a.mean - b.mean
    interval = p_value = general = None
    # (variance of the difference, its degrees of freedom), one part a source.
    parts = [(one.std**2 / one.n, one.n - 1) for one in (a, b) if one.std is not None]
    if len(parts) == 2 and sum(variance for variance, _ in parts) > 0:
        from scipy.special import stdtr

        error, freedom = _welch(parts)
        interval = _around(difference, parts)
        p_value = 2 * float(stdtr(freedom, -abs(difference) / error))
    if matrix_a is not None and matrix_b is not None:
        if matrix_a.shape[1] != matrix_b.shape[1]:
            raise ValueError(f"groups: {matrix_a.shape[1]} and {matrix_b.shape[1]} images, expected the same images")
        by_image = matrix_a.mean(axis=0) - matrix_b.mean(axis=0)
        n = len(by_image)
        if len(parts) == 2 and n > 1:
            # What a seed does to a single image counts here as well: rather too wide than too narrow.
            general = _around(difference, [*parts, (float(by_image.var(ddof=1)) / n, n - 1)])
    return GroupComparison(
        names=names,
        spreads=(a, b),
        difference=100 * difference,
        difference_interval=interval,
        p_value=p_value,
        general_interval=general,
    )


def _welch(parts: list[tuple[float, int]]) -> tuple[float, float]:
    """Add up variances: the standard error, and the degrees of freedom by Welch and Satterthwaite (inf for error 0)."""
    total = sum(variance for variance, _ in parts)
    lower = sum(variance**2 / freedom for variance, freedom in parts)
    return math.sqrt(total), total**2 / lower if lower > 0 else math.inf


def _around(difference: float, parts: list[tuple[float, int]]) -> tuple[float, float]:
    error, freedom = _welch(parts)
    half = _t_quantile(freedom) * error
    return 100 * (difference - half), 100 * (difference + half)


def _accuracies(
    group: ArrayLike | Sequence[ArrayLike], name: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    values = np.asarray(group)
    if values.size == 0:
        raise DataError(f"{name}: no runs, expected at least 1")
    if values.ndim == 2 and values.dtype == np.bool_:
        return values.mean(axis=1), values
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(
            f"{name}: shape {values.shape} of {values.dtype}, expected (seeds,) accuracies or (seeds, n) bool"
        )
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name}: accuracies from {values.min()} to {values.max()}, expected 0 to 1 (not percent)")
    return values.astype(np.float64), None


def _t_quantile(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
