"""Comparisons against exact sums of fractions, scipy.stats, likelihoods maximised by brute force, and simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.errors import DataError
from digitlab.judging import compare_groups, compare_runs, spread
from digitlab.judging.compare import mcnemar, tango_interval


def probabilities_for(right):
    """Two-class probabilities, all labels 0, read correctly where `right` says so."""
    return np.where(np.asarray(right)[:, None], [0.9, 0.1], [0.2, 0.8])


def run_pair(both, only_a, only_b, neither):
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return compare_runs(np.zeros(len(a), int), probabilities_for(a), probabilities_for(b), names=("cnn", "mlp"))


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_sum(b, c):
    tail = sum(Fraction(math.comb(b + c, i), 2 ** (b + c)) for i in range(min(b, c) + 1))
    assert mcnemar(b, c) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-9)


def test_mcnemar_is_scipys_binomial_test():
    from scipy.stats import binomtest

    for b, c in [(0, 1), (5, 0), (10, 10), (12, 4), (130, 180), (4000, 4200)]:
        assert mcnemar(b, c) == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-9)
    assert mcnemar(0, 0) == 1


def test_tango_gives_the_published_interval():
    # Airway hyper-responsiveness before and after stem cell transplantation, as in M. W. Fagerland, S. Lydersen and
    # P. Laake, Recommended tests and confidence intervals for paired binomial proportions, Stat. in Medicine 33 (2014).
    assert tango_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 400))
def test_tango_ends_are_where_the_score_test_turns(b, c, agree):
    from scipy.optimize import minimize_scalar

    n = b + c + agree
    if n == 0:
        return
    z = 1.959963984540054

    def score(difference):
        """(b - c - n difference) over its standard error, its variance from a likelihood maximised numerically."""
        least = max(0.0, -difference)
        most = (1 - difference) / 2  # p21 and p12 = p21 + difference, with p12 + p21 <= 1

        def minus_log_likelihood(p21):
            terms = [(b, p21 + difference), (c, p21), (agree, 1 - difference - 2 * p21)]
            return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

        best = minimize_scalar(minus_log_likelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-13})
        return (b - c - n * difference) / math.sqrt(n * (2 * best.x + difference - difference**2))

    low, high = tango_interval(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    if low > -1 + 1e-9 and b - c < n:
        assert score(low) == pytest.approx(z, rel=2e-3)
    if high < 1 - 1e-9 and c - b < n:
        assert score(high) == pytest.approx(-z, rel=2e-3)
    mirrored = tango_interval(c, b, n)
    assert (-mirrored[1], -mirrored[0]) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("p_a", "p_b", "n"), [(0.01, 0.01, 10_000), (0.004, 0.001, 10_000), (0.05, 0.02, 200)])
def test_tango_interval_covers_95_percent(p_a, p_b, n):
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, [p_a, p_b, 1 - p_a - p_b], size=3000)
    pairs, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    covered = 0
    for (b, c), often in zip(pairs, times, strict=True):
        low, high = tango_interval(int(b), int(c), n)
        covered += often * (low <= p_a - p_b <= high)
    assert 0.935 < covered / 3000 < 0.97  # 3,000 trials: 0.95 give or take 0.012


def test_two_runs_image_by_image():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 400)
    a, b = (np.abs(rng.normal(size=(400, 10))) + 2 * np.eye(10)[labels] for _ in range(2))
    a, b = a / a.sum(axis=1, keepdims=True), b / b.sum(axis=1, keepdims=True)
    comparison = compare_runs(labels, a, b)
    only_a = [i for i in range(400) if np.argmax(a[i]) == labels[i] != np.argmax(b[i])]
    only_b = [i for i in range(400) if np.argmax(b[i]) == labels[i] != np.argmax(a[i])]
    assert comparison.only_a.tolist() == only_a
    assert comparison.only_b.tolist() == only_b
    assert comparison.counts == (len(only_a), len(only_b))
    assert min(comparison.counts) > 10
    assert comparison.samples == 400
    assert comparison.accuracies == ((a.argmax(1) == labels).mean(), (b.argmax(1) == labels).mean())
    assert comparison.difference == pytest.approx(100 * (comparison.accuracies[0] - comparison.accuracies[1]))
    low, high = comparison.difference_interval
    assert low < comparison.difference < high
    swapped = compare_runs(labels, b, a)
    assert swapped.p_value == comparison.p_value
    assert swapped.difference_interval == pytest.approx((-high, -low))


def test_words_for_two_runs():
    better = run_pair(9000, 217, 148, 635).words
    assert better.startswith("cnn is better than mlp by 0.69 points (95 % interval ")
    assert ": 92.17% against 91.48%. It alone reads 217 images correctly, the other alone 148: " in better
    assert "(McNemar p = 0.00036)" in better
    assert "hardly ever" in better
    assert "other seeds may differ" in better
    # The better one first, whichever was named first, with the same numbers: a lead is never negative.
    swapped = run_pair(9000, 148, 217, 635).words
    assert swapped.startswith("mlp is better than cnn by 0.69 points (95 % interval 0.")
    assert "It alone reads 217 images correctly, the other alone 148" in swapped
    often = run_pair(900, 8, 20, 0)
    assert 28 < 1 / often.p_value < 29
    assert "once in 28 cases" in often.words
    unclear = run_pair(9000, 20, 25, 955).words
    assert "in 55% of cases" in unclear
    assert unclear.startswith("No difference shown: mlp leads cnn by 0.05 points (95 % interval -0.0")
    assert run_pair(9000, 5, 0, 995).words.startswith("Not settled: ")  # exact p 0.0625, score interval without 0
    assert run_pair(90, 0, 0, 10).words == "cnn and mlp read the same 90 images correctly."


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_words_agree_with_the_numbers(b, c):
    comparison = run_pair(500, b, c, 10)
    low, high = comparison.difference_interval
    if " is better than " in comparison.words:
        assert comparison.p_value < 0.05
        assert low > 0 or high < 0
        assert comparison.words.startswith("cnn" if b > c else "mlp")
    else:
        assert comparison.p_value >= 0.05


def test_spread_is_the_t_interval():
    from scipy.stats import t

    values = [0.981, 0.979, 0.984, 0.98, 0.9785]
    result = spread(values)
    assert result.mean == pytest.approx(sum(values) / 5)
    assert result.std == pytest.approx(math.sqrt(sum((x - sum(values) / 5) ** 2 for x in values) / 4))
    expected = t.interval(0.95, 4, loc=result.mean, scale=result.std / math.sqrt(5))
    assert result.interval == pytest.approx(expected)
    assert result.n == 5


def test_spread_of_one_or_of_equal_values():
    assert (spread([0.98]).std, spread([0.98]).interval, spread([0.98]).n) == (None, None, 1)
    equal = spread([0.1] * 3)
    assert equal.std == 0
    assert equal.interval == (equal.mean, equal.mean)
    with pytest.raises(DataError, match="at least 1 run"):
        spread([])
    for wrong in ([math.nan], [[0.5]], 0.5):
        with pytest.raises(ValueError, match="one row of finite numbers"):
            spread(wrong)


def test_spread_interval_covers_95_percent():
    rng = np.random.default_rng(2)
    covered = [low < 7 < high for low, high in (spread(row).interval for row in rng.normal(7, 2, (3000, 3)))]
    assert 0.938 < np.mean(covered) < 0.962


@pytest.mark.filterwarnings("ignore:Precision loss")  # SciPy's own, where one group's accuracies are all equal
@settings(deadline=None)
@given(
    st.lists(st.integers(9000, 10_000), min_size=2, max_size=8),
    st.lists(st.integers(9000, 10_000), min_size=2, max_size=8),
)
def test_groups_are_scipys_welch_test(right_a, right_b):
    from scipy.stats import ttest_ind

    a, b = np.array(right_a) / 10_000, np.array(right_b) / 10_000
    result = compare_groups(a, b)
    assert result.difference == pytest.approx(100 * (a.mean() - b.mean()), abs=1e-9)
    assert result.general_interval is None
    if len(set(right_a)) == len(set(right_b)) == 1:
        assert result.p_value is None
        assert result.difference_interval is None
        assert "Cannot be tested" in result.words
        return
    expected = ttest_ind(np.array(right_a), np.array(right_b), equal_var=False)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    interval = expected.confidence_interval(0.95)
    assert result.difference_interval == pytest.approx((interval.low / 100, interval.high / 100), rel=1e-6, abs=1e-8)
    assert (" is better than " in result.words) == (result.p_value < 0.05)


def simulate(rng, seeds, images, hardness):
    """Which images each run reads right: each image has its own chance, each seed shifts all of them a little."""
    shift = rng.normal(0, 0.2, (seeds, 1))
    return rng.random((seeds, images)) < 1 / (1 + np.exp(-(hardness[None, :] + shift)))


def test_general_interval_covers_other_seeds_and_other_images():
    rng = np.random.default_rng(3)
    # The truth: the two recipes' mean over all seeds and all images of the kind, by a large sample.
    hard, change, shift = rng.normal(3, 2, 400_000), rng.normal(0.2, 1, 400_000), rng.normal(0, 0.2, 400_000)
    truth = 100 * np.mean(1 / (1 + np.exp(-(hard + change + shift))) - 1 / (1 + np.exp(-(hard + shift))))
    general, seeds_only = 0, 0
    for _ in range(400):
        hardness = rng.normal(3, 2, 300)
        a = simulate(rng, 4, 300, hardness + rng.normal(0.2, 1, 300))
        result = compare_groups(a, simulate(rng, 4, 300, hardness))
        general += result.general_interval[0] < truth < result.general_interval[1]
        seeds_only += result.difference_interval[0] < truth < result.difference_interval[1]
        assert result.difference == pytest.approx(100 * (a.mean() - result.spreads[1].mean))
    assert general / 400 > 0.93  # rather too wide than too narrow
    assert seeds_only < general


def test_words_for_groups():
    rng = np.random.default_rng(4)

    def runs(*right):
        rows = np.ones((len(right), 10_000), bool)
        for row, count in zip(rows, right, strict=True):
            row[rng.choice(10_000, 10_000 - count, replace=False)] = False
        return rows

    names = ("cnn", "mlp")
    sure = compare_groups(runs(9950, 9952, 9948), runs(9800, 9803, 9797), names=names).words
    assert sure.startswith("cnn is better than mlp on these images by 1.50 points (95 % interval 1.")
    assert ": 99.50% (mean of 3) against 98.00% (mean of 3). Equally good recipes would hardly ever" in sure
    assert "; it would hold for other images of the same kind (1." in sure
    narrow = compare_groups(runs(9800, 9801, 9799), runs(9805, 9806, 9804), names=names).words
    assert narrow.startswith("mlp is better than cnn on these images")
    assert "; it may turn on other images of the same kind (-0." in narrow
    plain = compare_groups([0.98, 0.981, 0.979], [0.97, 0.971, 0.969], names=names).words
    assert plain.startswith("cnn is better than mlp on these images")
    assert "other images" not in plain
    assert compare_groups([0.98, 0.97], [0.975, 0.974], names=names).words.startswith("No difference shown: ")
    one = compare_groups([0.98], [0.97, 0.971], names=names)
    assert one.p_value is None
    assert one.words.startswith("Cannot be told: cnn leads mlp by 0.95 points, 98.00% (mean of 1) against ")
    assert "one run of cnn" in one.words
    assert "one run of cnn and mlp" in compare_groups([0.98], [0.97], names=names).words


def test_groups_of_different_kinds_or_sizes():
    right = np.ones((2, 50), bool)
    assert compare_groups(right, [0.5, 0.6]).general_interval is None
    with pytest.raises(ValueError, match="50 and 40 images"):
        compare_groups(right, right[:, :40])
    with pytest.raises(ValueError, match="not percent"):
        compare_groups([98.1, 98.2], [97.0, 97.1])
    with pytest.raises(ValueError, match=r"A: shape \(2, 50\) of int64"):
        compare_groups(right.astype(int), right)
    with pytest.raises(DataError, match="B: no runs"):
        compare_groups(right, [])


def test_runs_on_different_images():
    with pytest.raises(ValueError, match="probabilities of mlp"):
        compare_runs([0, 1], np.eye(2), np.full((3, 2), 0.5), names=("cnn", "mlp"))
    with pytest.raises(ValueError, match="expected"):
        compare_runs([0, 1], np.eye(2), np.full((3, 2), 0.5))
