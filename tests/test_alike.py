"""Signs of a page that look alike tell each other which digit they are, and nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digitlab.data import Dataset
from digitlab.reading.alike import alike, told_by_each_other
from digitlab.reading.model import open_model
from digitlab.reading.reader import BUNDLED, Reader

SEEDS = st.integers(0, 2**32 - 1)


def page(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows over the characters, sure and unsure ones, and a likeness of each two."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(18, 0.1), count).astype(np.float32)
    seen = rng.normal(size=(count, 3))
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    return rows, seen @ seen.T


@given(SEEDS, st.integers(1, 12))
def test_laws(seed: int, count: int) -> None:
    rows, likeness = page(seed, count)
    told = told_by_each_other(rows, likeness)
    np.testing.assert_allclose(told.sum(1), 1, atol=1e-5)
    # Whether a sign is a digit, and which separator else, no other sign says.
    np.testing.assert_allclose(told[:, 10:], rows[:, 10:], atol=1e-6)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(told_by_each_other(rows[order], likeness[order][:, order]), told[order], atol=1e-5)
    # Unlike all others, a sign keeps its answer.
    apart = told_by_each_other(rows, np.where(np.eye(count), 1, 0.3))
    assert (apart[:, :10].argmax(1) == rows[:, :10].argmax(1)).all()


def test_signs_of_one_answer_keep_it() -> None:
    row = np.full(18, 0.01)
    row[4] = 0.83
    told = told_by_each_other(np.stack([row] * 5), np.ones((5, 5)))
    np.testing.assert_allclose(told, np.stack([row] * 5), atol=1e-6)


def test_a_letter_tells_a_digit_nothing() -> None:
    rows = np.full((2, 18), 1e-4)
    rows[0, [7, 1]] = 0.5, 0.498
    rows[1, [1, 17]] = 0.2, 0.798
    assert told_by_each_other(rows, np.ones((2, 2)))[0].argmax() == 7


def test_a_sure_sign_holds_against_wavering_ones() -> None:
    rows = np.full((5, 18), 1e-5)
    rows[0, [7, 1]] = 0.999, 0.0005
    rows[1:, [7, 1]] = 0.42, 0.5795
    assert told_by_each_other(rows, np.ones((5, 5)))[0].argmax() == 7


def test_digits_look_more_like_their_own_kind(mnist: Dataset) -> None:
    images, labels = mnist.validation.images[:200], mnist.validation.labels[:200]
    verifier = open_model(BUNDLED / "verifier.onnx")
    probabilities, features = verifier.with_features(images)
    np.testing.assert_array_equal(probabilities, verifier.probabilities(images))
    likeness = alike(images, features)
    np.testing.assert_allclose(np.diag(likeness), 1, atol=1e-5)
    np.testing.assert_allclose(likeness, likeness.T, atol=1e-5)
    same = labels[:, None] == labels[None, :]
    np.fill_diagonal(likeness, -1)
    nearest = likeness.argmax(1)
    assert (labels[nearest] == labels).mean() > 0.9
    assert likeness[same].mean() > likeness[~same].mean() + 0.1


def test_the_reader_asks_signs_that_look_alike(mnist: Dataset, monkeypatch: object) -> None:
    """One 7 that the networks waver about, among six like it."""
    import digitlab.reading.reader as module

    seven = mnist.validation.images[int(np.flatnonzero(mnist.validation.labels == 7)[0])]
    ink = np.zeros((60, 28 * 9), np.uint8)
    for place in range(7):
        ink[16:44, 10 + 34 * place : 38 + 34 * place] = seven
    asked = []

    def counted(rows: np.ndarray, likeness: np.ndarray) -> np.ndarray:
        asked.append(likeness)
        wavering = rows.copy()
        wavering[3] = 0.001
        wavering[3, [7, 1]] = 0.43, 0.554
        return told_by_each_other(wavering, likeness)

    monkeypatch.setattr(module, "told_by_each_other", counted)  # type: ignore[attr-defined]
    assert Reader().read(255 - ink).text == "7777777"
    assert asked
    assert min(of.min() for of in asked) > 0.9
