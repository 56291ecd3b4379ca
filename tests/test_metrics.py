"""The evaluation against scikit-learn, scipy and loops that follow the definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digitlab.errors import DataError
from digitlab.judging import Evaluation, evaluate, wilson_interval
from digitlab.judging.calibration import apply_temperature, fit_temperature, measure_reliability
from digitlab.judging.metrics import risk_coverage


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def draw(seed, n=2000, k=10, scale=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) + 3 * np.eye(k)[labels]
    return softmax(scale * logits), labels


@st.composite
def judged(draw_from):
    n, k = draw_from(st.integers(1, 40)), draw_from(st.integers(2, 5))
    logits = draw_from(hnp.arrays(np.float32, (n, k), elements=st.floats(-60, 60, width=32)))
    labels = draw_from(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    return softmax(logits), labels


def test_counts_and_rates_are_scikit_learns():
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    probabilities, labels = draw(0)
    labels[labels == 7] = 2  # no picture of a 7
    probabilities[:, 5] = 0  # and 5 never answered
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    evaluation = evaluate(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    assert evaluation.accuracy == accuracy_score(labels, predicted)
    assert np.array_equal(evaluation.confusion, confusion_matrix(labels, predicted, labels=range(10)))
    expected = precision_recall_fscore_support(labels, predicted, labels=range(10), zero_division=np.nan)
    for ours, theirs in zip(
        (evaluation.precision, evaluation.recall, evaluation.f1, evaluation.support), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, equal_nan=True)
    assert math.isnan(evaluation.recall[7])
    assert math.isnan(evaluation.precision[5])
    assert evaluation.f1[5] == 0


def test_losses_are_scikit_learns():
    from sklearn.metrics import brier_score_loss, log_loss

    probabilities, labels = draw(1)
    evaluation = evaluate(probabilities, labels)
    assert evaluation.log_loss == pytest.approx(log_loss(labels, probabilities), rel=1e-12)
    assert evaluation.brier_score == pytest.approx(brier_score_loss(labels, probabilities), rel=1e-12)


def test_validation_fits_the_temperature_and_nothing_else():
    from sklearn.metrics import brier_score_loss, log_loss

    probabilities, labels = draw(2, scale=3)
    validation = draw(3, scale=3)
    plain, evaluation = evaluate(probabilities, labels), evaluate(probabilities, labels, validation=validation)
    assert plain.temperature is None
    assert plain.calibrated_log_loss is None
    assert plain.calibrated_brier_score is None
    assert plain.calibrated_calibration_error is None
    assert plain.calibrated_reliability is None
    assert evaluation.temperature == fit_temperature(*validation)
    calibrated = apply_temperature(probabilities, evaluation.temperature)
    assert evaluation.calibrated_log_loss == pytest.approx(log_loss(labels, calibrated), rel=1e-9)
    assert evaluation.calibrated_brier_score == pytest.approx(brier_score_loss(labels, calibrated), rel=1e-9)
    reliability = measure_reliability(calibrated, labels)
    assert evaluation.calibrated_calibration_error == pytest.approx(reliability.calibration_error)
    assert np.array_equal(evaluation.calibrated_reliability.counts, reliability.counts)
    assert evaluation.calibrated_log_loss < evaluation.log_loss
    assert evaluation.calibrated_calibration_error < evaluation.calibration_error
    for name in ("accuracy", "log_loss", "brier_score", "calibration_error"):
        assert getattr(plain, name) == getattr(evaluation, name)
    assert np.array_equal(plain.predicted, evaluation.predicted)


def test_confusions_and_mistakes_by_brute_force():
    probabilities, labels = draw(4, 500)
    evaluation = evaluate(probabilities, labels)
    counted = {}
    wrong = []
    for index in range(500):
        answer = max(range(10), key=lambda digit: probabilities[index, digit])
        assert evaluation.predicted[index] == answer
        assert evaluation.confidence[index] == pytest.approx(probabilities[index, answer], rel=1e-12)
        if answer != labels[index]:
            wrong.append(index)
            counted[labels[index], answer] = counted.get((labels[index], answer), 0) + 1
    assert len(wrong) == 500 - evaluation.correct > 20
    assert sorted(evaluation.mistakes) == wrong
    sure = evaluation.confidence[evaluation.mistakes]
    assert (np.diff(sure) <= 0).all()
    assert {(one.true, one.predicted): one.count for one in evaluation.confusions} == counted
    assert [one.count for one in evaluation.confusions] == sorted(counted.values(), reverse=True)
    for one in evaluation.confusions:
        assert one.support == (labels == one.true).sum()
        assert str(one) == f"{one.true} read as {one.predicted}: {one.count} of {one.support}"


def test_equally_frequent_confusions_have_a_fixed_order():
    probabilities = np.eye(3)[[1, 0, 0, 2, 2]]
    evaluation = evaluate(probabilities, [0, 1, 2, 1, 2])
    order = [(one.true, one.predicted, one.support) for one in evaluation.confusions]
    assert order == [(0, 1, 1), (1, 0, 2), (1, 2, 2), (2, 0, 2)]


def test_equally_sure_mistakes_stay_in_order():
    evaluation = evaluate([[0.75, 0.25]] * 4 + [[0.9, 0.1]], [1, 0, 1, 1, 1])
    assert evaluation.mistakes.tolist() == [4, 0, 2, 3]


def test_doubtful_labels_are_flagged_but_count():
    probabilities, labels = np.eye(2)[[0, 1, 1, 0]], [0, 0, 1, 1]
    evaluation = evaluate(probabilities, labels, doubtful=[3, 1, 3, 0, 4, 9729])
    assert evaluation.doubtful == (0, 1, 3)
    assert evaluation.doubtful_mistakes == (1, 3)
    assert evaluation.accuracy == evaluate(probabilities, labels).accuracy == 0.5
    assert evaluate(probabilities, labels, doubtful=np.array([3])).doubtful_mistakes == (3,)


@settings(deadline=None)
@given(judged())
def test_laws(case):
    probabilities, labels = case
    evaluation = evaluate(probabilities, labels, validation=case)
    confusion = evaluation.confusion
    assert evaluation.accuracy == np.trace(confusion) / confusion.sum()
    assert evaluation.samples == len(labels) == confusion.sum() == evaluation.support.sum()
    assert evaluation.correct + len(evaluation.mistakes) == evaluation.samples
    assert sum(one.count for one in evaluation.confusions) == len(evaluation.mistakes)
    low, high = evaluation.accuracy_interval
    assert 0 <= low <= evaluation.accuracy <= high <= 1
    assert evaluation.log_loss >= 0
    assert 0 <= evaluation.brier_score <= 2
    assert evaluation.calibrated_log_loss <= evaluation.log_loss  # fitted on these very images
    assert len(evaluation.coverage.coverage) == len(evaluation.coverage.error_rate) <= 200
    assert evaluation.coverage.coverage[-1] == 1
    assert evaluation.coverage.error_rate[-1] == pytest.approx(1 - evaluation.accuracy)


@settings(deadline=None)
@given(judged(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_changes_nothing(case, random):
    probabilities, labels = case
    order = np.array(random.sample(range(len(labels)), len(labels)))
    one = evaluate(probabilities, labels, validation=case)
    other = evaluate(probabilities[order], labels[order], validation=(probabilities[order], labels[order]))
    assert sorted(one.mistakes) == sorted(order[other.mistakes])
    first, second = one.to_dict(), other.to_dict()
    del first["mistakes"], second["mistakes"]
    assert flat(first) == pytest.approx(flat(second), rel=1e-6, abs=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(judged(), st.booleans())
def test_json_round_trip(case, with_validation):
    probabilities, labels = case
    evaluation = evaluate(probabilities, labels, validation=case if with_validation else None, doubtful=[0, 2])
    written = evaluation.to_dict()
    text = json.dumps(written, allow_nan=False)
    read = Evaluation.from_dict(json.loads(text), predicted=evaluation.predicted, confidence=evaluation.confidence)
    assert read.to_dict() == written
    for name in Evaluation.__dataclass_fields__:
        ours, theirs = getattr(evaluation, name), getattr(read, name)
        assert type(ours) is type(theirs), name
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype, name
            assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"), name
        elif name not in ("reliability", "calibrated_reliability", "coverage"):
            assert ours == theirs, name
    np.testing.assert_array_equal(read.reliability.accuracy, evaluation.reliability.accuracy)
    np.testing.assert_array_equal(read.coverage.error_rate, evaluation.coverage.error_rate)


def test_json_leaves_out_what_the_predictions_file_holds():
    evaluation = evaluate(*draw(5))
    written = evaluation.to_dict()
    assert set(Evaluation.__dataclass_fields__) - set(written) == {"predicted", "confidence"}
    read = Evaluation.from_dict({**written, "from_the_future": 1})
    assert read.predicted.shape == read.confidence.shape == (0,)
    assert len(json.dumps(written)) < 40_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_loss": ...}, "no 'log_loss'"),
        ({"log_loss": None}, "'log_loss' cannot be read"),
        ({"confusion": "x"}, "'confusion' cannot be read"),
        ({"reliability": {}}, "'reliability' cannot be read"),
        ({"accuracy_interval": [1]}, "'accuracy_interval' cannot be read"),
        ({"confusions": [{"true": 1}]}, "'confusions' cannot be read"),
    ],
)
def test_damaged_metrics_are_a_clear_error(change, message):
    written = {**evaluate(*draw(5, 50)).to_dict(), **change}
    written = {name: value for name, value in written.items() if value is not ...}
    with pytest.raises(DataError, match=message):
        Evaluation.from_dict(written)


def test_metrics_that_are_no_mapping():
    with pytest.raises(DataError, match="list, expected"):
        Evaluation.from_dict([1, 2])


@settings(deadline=None)
@given(st.integers(1, 20_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_is_scipys(case):
    from scipy.stats import binomtest

    correct, total = case
    for confidence in (0.9, 0.95, 0.99):
        expected = binomtest(correct, total).proportion_ci(confidence, method="wilson")
        assert wilson_interval(correct, total, confidence) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("arguments", [(-1, 5), (6, 5), (0, 0), (1, 5, 0.0), (1, 5, 1.0)])
def test_wilson_refuses_nonsense(arguments):
    with pytest.raises(ValueError, match="expected"):
        wilson_interval(*arguments)


def test_refusing_the_least_sure_by_brute_force():
    probabilities, labels = draw(6)  # 2,000 images, no two equally sure
    evaluation = evaluate(probabilities, labels)
    order = sorted(range(2000), key=lambda index: -evaluation.confidence[index])
    coverage, error_rate = evaluation.coverage
    for covered, rate in zip(coverage, error_rate, strict=True):
        kept = order[: round(covered * 2000)]
        assert rate == pytest.approx(np.mean([evaluation.predicted[i] != labels[i] for i in kept]))
    assert {0.5, 0.9, 0.99, 1.0} <= set(coverage)  # the round ones can be quoted
    assert 1999 / 2000 in coverage
    assert error_rate[np.searchsorted(coverage, 0.8)] < error_rate[-1]


def test_equally_sure_pictures_share_their_errors():
    confidence = np.array([0.9, 1.0, 1.0, 1.0, 1.0])
    right = np.array([False, True, False, True, True])
    curve = risk_coverage(confidence, right)
    assert curve.coverage.tolist() == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert curve.error_rate.tolist() == pytest.approx([0.25, 0.25, 0.25, 0.25, 0.4])


@pytest.mark.parametrize("n", [1, 2, 3, 99, 100, 101, 10_000])
def test_the_curve_has_at_most_200_rising_points(n):
    curve = risk_coverage(np.random.default_rng(n).random(n), np.arange(n) % 3 > 0)
    assert min(n, 100) <= len(curve.coverage) <= min(n, 200)
    assert (np.diff(curve.coverage) > 0).all()
    assert curve.coverage[0] > 0
    assert curve.coverage[-1] == 1


def test_arrays_that_do_not_fit():
    probabilities, labels = draw(7, 20)
    with pytest.raises(ValueError, match="10 columns, expected 26"):
        evaluate(probabilities, labels, classes=26)
    with pytest.raises(ValueError, match="validation probabilities: 2 columns, expected 10"):
        evaluate(probabilities, labels, validation=([[0.5, 0.5]], [0]))
    with pytest.raises(ValueError, match="doubtful: index -1"):
        evaluate(probabilities, labels, doubtful=[3, -1])
    with pytest.raises(ValueError, match="labels: from"):
        evaluate(probabilities, labels + 5)
    with pytest.raises(DataError, match="0 images"):
        evaluate(np.empty((0, 10)), np.empty(0, int))
    with pytest.raises(DataError, match="validation probabilities: 0 images"):
        evaluate(probabilities, labels, validation=(np.empty((0, 10)), np.empty(0, int)))


def test_judging_needs_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, digitlab.judging as j; j.evaluate([[.9,.1]], [0], validation=([[.9,.1]], [0]));"
        "print([m for m in ('sklearn', 'scipy', 'pandas', 'jax', 'keras', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def flat(value):
    """All numbers in nested JSON, in order; None as nan."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in flat(part)]
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [math.nan if value is None else value]
