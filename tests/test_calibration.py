"""Calibration against scikit-learn, scipy's minimiser and loops that follow the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digitlab.errors import DataError
from digitlab.judging.calibration import (
    apply_temperature,
    brier_score,
    check_probabilities,
    fit_temperature,
    log_loss,
    measure_reliability,
)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def draw(seed, n, k=10, spread=3.0, scale=1.0):
    """Honest probabilities, labels drawn from them, then made `scale` times too sure."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, k))
    labels = (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(scale * logits), labels


@st.composite
def judged(draw_from):
    """Any float32 probabilities a network may give, exact zeros and ones included, with any labels."""
    n, k = draw_from(st.integers(1, 30)), draw_from(st.integers(2, 6))
    # 120 nats apart underflow in float32: rows with exact zeros come up often.
    logits = draw_from(hnp.arrays(np.float32, (n, k), elements=st.floats(-60, 60, width=32)))
    labels = draw_from(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    return softmax(logits), labels


def test_scores_are_scikit_learns():
    from sklearn.metrics import brier_score_loss
    from sklearn.metrics import log_loss as sklearn_log_loss

    for k in (2, 3, 10):
        probabilities, labels = draw(k, 400, k)
        expected = sklearn_log_loss(labels, probabilities, labels=range(k))
        assert log_loss(probabilities, labels) == pytest.approx(expected, rel=1e-12)
        onehot = np.eye(k)[labels]
        expected = math.fsum(float(x) for x in ((onehot - probabilities) ** 2).ravel()) / len(labels)
        assert brier_score(probabilities, labels) == pytest.approx(expected, rel=1e-12)
        if k > 2:  # for two classes scikit-learn halves it
            expected = brier_score_loss(labels, probabilities, labels=range(k))
            assert brier_score(probabilities, labels) == pytest.approx(expected, rel=1e-12)


def test_log_loss_of_an_underflowed_softmax():
    from sklearn.metrics import log_loss as sklearn_log_loss

    logits = np.array([[200, 0, 0], [0, 20, 0], [0, 0, 1]], np.float32)
    probabilities = softmax(logits)
    assert probabilities.dtype == np.float32
    assert probabilities[0, 1] == 0
    labels = [1, 0, 2]
    by_hand = [-math.log(np.finfo(np.float32).tiny), 20 + math.log1p(2 * math.exp(-20)), math.log(math.e + 2) - 1]
    assert log_loss(probabilities, labels) == pytest.approx(sum(by_hand) / 3, rel=1e-6)
    # The difference that the docstring tells of: scikit-learn makes 16 nats of both bad mistakes.
    clipped = -math.log(np.finfo(np.float32).eps)
    assert sklearn_log_loss(labels, probabilities) == pytest.approx((2 * clipped + by_hand[2]) / 3, rel=1e-5)


def test_a_perfect_classifier_has_a_loss_of_plain_zero():
    loss = log_loss(np.eye(3), [0, 1, 2])
    assert loss == 0
    assert math.copysign(1, loss) == 1
    assert brier_score(np.eye(3), [0, 1, 2]) == 0
    assert brier_score(np.eye(3), [1, 2, 0]) == 2


@pytest.mark.parametrize("bins", [1, 2, 10, 15])
def test_reliability_by_brute_force(bins):
    probabilities, labels = draw(3, 500, scale=2)
    # Confidences that lie on an edge, and on both ends, fall into the bin below.
    probabilities[:3] = [[0.2] + [0.8 / 9] * 9, [0.6, 0.4] + [0] * 8, [1.0] + [0.0] * 9]
    reliability = measure_reliability(probabilities, labels, bins=bins)
    error = 0.0
    for index in range(bins):
        low, high = reliability.edges[index : index + 2]
        inside = [i for i in range(500) if low < max(probabilities[i]) <= high]
        assert reliability.counts[index] == len(inside)
        if not inside:
            assert math.isnan(reliability.confidence[index])
            assert math.isnan(reliability.accuracy[index])
            continue
        confidence = sum(max(probabilities[i]) for i in inside) / len(inside)
        accuracy = sum(int(np.argmax(probabilities[i]) == labels[i]) for i in inside) / len(inside)
        assert reliability.confidence[index] == pytest.approx(confidence)
        assert reliability.accuracy[index] == pytest.approx(accuracy)
        error += len(inside) / 500 * abs(confidence - accuracy)
    assert reliability.calibration_error == pytest.approx(error)
    assert reliability.edges[0] == 0
    assert reliability.edges[-1] == 1


@settings(deadline=None)
@given(judged())
def test_every_picture_is_in_one_bin(case):
    probabilities, labels = case
    reliability = measure_reliability(probabilities, labels)
    assert reliability.counts.sum() == len(labels)
    assert 0 <= reliability.calibration_error <= 1
    filled = reliability.counts > 0
    assert np.array_equal(filled, np.isfinite(reliability.accuracy))
    mean = np.average(reliability.accuracy[filled], weights=reliability.counts[filled])
    assert mean == pytest.approx((probabilities.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("k", [2, 10])
def test_fit_finds_how_much_too_sure(scale, k):
    probabilities, labels = draw(11, 5000, k, scale=scale)
    assert fit_temperature(probabilities, labels) == pytest.approx(scale, rel=0.06)


@pytest.mark.parametrize("n", [10, 200, 5000])
def test_fit_is_scipys_minimum(n):
    from scipy.optimize import minimize_scalar

    for seed in range(4):
        probabilities, labels = draw(seed, n, 2 + 2 * seed, scale=1.7)
        logits = np.log(probabilities)

        def loss(log_temperature, logits=logits, labels=labels):
            scaled = logits * np.exp(-log_temperature)
            peak = scaled.max(axis=1)
            return (peak + np.log(np.exp(scaled - peak[:, None]).sum(axis=1)) - scaled[range(n), labels]).sum()

        def with_prior(log_temperature, loss=loss):
            return loss(log_temperature) + math.exp(-log_temperature) - 1 + log_temperature

        temperature = fit_temperature(probabilities, labels)
        best = minimize_scalar(with_prior, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
        assert math.log(temperature) == pytest.approx(best.x, abs=1e-5)
        if n == 5000:  # then the prior says next to nothing
            plain = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
            assert temperature == pytest.approx(math.exp(plain.x), rel=1e-3)


def test_fit_makes_overconfident_probabilities_honest():
    probabilities, labels = draw(1, 5000, scale=2.5)
    other, other_labels = draw(2, 5000, scale=2.5)
    temperature = fit_temperature(probabilities, labels)
    before = measure_reliability(other, other_labels).calibration_error
    after = measure_reliability(apply_temperature(other, temperature), other_labels).calibration_error
    assert before > 0.1
    assert after < 0.03


@settings(deadline=None)
@given(judged())
def test_fit_never_makes_the_loss_worse(case):
    probabilities, labels = case
    temperature = fit_temperature(probabilities, labels)
    assert math.isfinite(temperature)
    assert temperature > 0
    # A unit in the last place may come from the division by a temperature of 1 alone.
    assert log_loss(apply_temperature(probabilities, temperature), labels) <= log_loss(probabilities, labels) * (
        1 + 1e-12
    )


@settings(deadline=None)
@given(st.integers(1, 300), st.sampled_from([2, 10]), st.floats(0.15, 1.0))
def test_fit_stays_sane_where_nothing_or_everything_is_misread(n, k, extra):
    probabilities = np.full((n, k), (1 - extra) / k)
    probabilities[:, 0] += extra
    sharper = fit_temperature(probabilities, np.zeros(n, int))
    assert 1e-3 < sharper <= 1
    softer = fit_temperature(probabilities, np.ones(n, int))
    assert 1 <= softer < 1e5
    # One certain mistake must not cost more than the 87 nats it costs at most.
    assert log_loss(apply_temperature(probabilities, sharper), np.ones(n, int)) <= 87.4


def test_a_perfect_small_validation_set_hardly_sharpens():
    probabilities = np.full((100, 10), 0.01 / 9)
    probabilities[:, 3] = 0.99
    assert fit_temperature(probabilities, np.full(100, 3)) > 0.5


def test_uninformative_probabilities_keep_temperature_one():
    assert fit_temperature(np.full((20, 4), 0.25), np.arange(20) % 4) == pytest.approx(1)


@settings(deadline=None)
@given(judged())
def test_temperature_one_is_the_identity(case):
    probabilities, _ = case
    expected = probabilities.astype(np.float64) / probabilities.astype(np.float64).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(apply_temperature(probabilities, 1.0), expected, rtol=1e-12, atol=1e-36)


@settings(deadline=None)
@given(judged(), st.floats(0.01, 100))
def test_temperature_keeps_the_answer_and_the_sum(case, temperature):
    probabilities, _ = case
    scaled = apply_temperature(probabilities, temperature)
    assert scaled.dtype == np.float64
    np.testing.assert_allclose(scaled.sum(axis=1), 1, rtol=1e-12)
    answers = probabilities.argmax(axis=1)[:, None]
    assert np.array_equal(np.take_along_axis(scaled, answers, axis=1)[:, 0], scaled.max(axis=1))


@settings(deadline=None)
@given(judged(), st.floats(0.2, 5), st.floats(0.2, 5))
def test_temperatures_multiply(case, first, second):
    probabilities = 0.999 * case[0] + 0.001 / case[0].shape[1]  # no zeros, which the floor would move
    twice = apply_temperature(apply_temperature(probabilities, first), second)
    np.testing.assert_allclose(twice, apply_temperature(probabilities, first * second), rtol=1e-7, atol=1e-30)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([0.5, 0.5], [0], "shape"),
        ([[1.0]], [0], "at least 2 classes"),
        ([[1, 0]], [0], "dtype int64, expected floating"),
        ([[0.5, np.nan]], [0], "row 0 holds nan"),
        ([[0.5, 0.5], [np.inf, 0.5]], [0, 0], "row 1 holds nan or inf"),
        ([[1.5, -0.5]], [0], "logits"),
        ([[0.5, 0.5], [0.9, 0.8]], [0, 0], "row 1 sums to 1.7, .*sigmoid"),
        ([[0.5, 0.5]], [0, 1], r"labels: shape \(2,\), expected \(1,\)"),
        ([[0.5, 0.5]], [[0, 1]], "labels: shape"),
        ([[0.5, 0.5]], [1.0], "labels: dtype float64"),
        ([[0.5, 0.5]], [2], "labels: from 2 to 2, expected 0 to 1"),
        ([[0.5, 0.5]], [-1], "labels: from -1"),
    ],
)
def test_what_no_classifier_says_is_refused(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        check_probabilities(probabilities, labels)


def test_nothing_to_judge():
    with pytest.raises(DataError, match="0 images"):
        log_loss(np.empty((0, 10)), np.empty(0, int))


def test_half_precision_is_accepted_and_the_input_left_alone():
    probabilities = draw(0, 50)[0].astype(np.float16)
    before = probabilities.copy()
    checked, _ = check_probabilities(probabilities)
    np.testing.assert_allclose(checked.sum(axis=1), 1, rtol=1e-12)
    assert np.array_equal(probabilities, before)
    doubles = np.array([[0.5, 0.4999]])
    check_probabilities(doubles)
    assert doubles.tolist() == [[0.5, 0.4999]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="expected a finite number above 0"):
        apply_temperature([[0.5, 0.5]], temperature)


def test_bins_must_be_positive():
    with pytest.raises(ValueError, match="bins: 0"):
        measure_reliability([[0.5, 0.5]], [0], bins=0)
