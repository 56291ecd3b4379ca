"""What all networks together say of a sign, and what the page around it has to do with it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pages import mnist, single_of

from digitlab.reading.reader import Reader
from digitlab.reading.spotter import CHARACTERS
from digitlab.reading.verdict import BOUNDS, OTHER, together, weight_of_others

READER = Reader(threads=1)
pages = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(np.array)


@given(pages)
def test_each_sign_is_weighed_by_the_others_of_its_page(others: np.ndarray) -> None:
    weight = weight_of_others(others)
    assert ((weight >= BOUNDS[0]) & (weight <= BOUNDS[1])).all()
    order = np.random.default_rng(len(others)).permutation(len(others))
    np.testing.assert_allclose(weight_of_others(others[order]), weight[order])
    # Its own probability says nothing of the page it stands on, but by what the others then are.
    np.testing.assert_allclose(weight_of_others(others[:1]), OTHER)
    # One letter more makes no other sign likelier to be a digit.
    by_a_letter, by_a_digit = (weight_of_others(np.append(others, one))[:-1] for one in (1.0, 0.0))
    assert (by_a_letter >= by_a_digit - 1e-12).all()


def test_a_sign_among_digits_is_a_digit_and_the_same_among_letters_is_none() -> None:
    doubtful = np.full(len(CHARACTERS), 0.001, np.float32)
    doubtful[7], doubtful[-1] = 0.25, 0.734
    seen = np.full((21, 10), 0.01, np.float32)
    seen[:, 7] = 0.91
    for rest, likely in ((3, 7), (len(CHARACTERS) - 1, len(CHARACTERS) - 1)):
        signs = np.full((21, len(CHARACTERS)), 0.0005, np.float32)
        signs[:, rest] = 0.9915
        signs[0] = doubtful
        assert together(signs, seen, other=weight_of_others(signs[:, -1]))[0].argmax() == likely


def test_a_digit_by_itself_is_hardly_ever_refused() -> None:
    """By one look at the page 11 of 1,000 validation digits were not read, most of them `?`."""
    images, labels = mnist("validation")
    rng = np.random.default_rng(29)
    picks = rng.choice(len(images), 150, replace=False)
    read = [READER.read(single_of(images[pick], int(rng.integers(12, 120)), rng)).text for pick in picks]
    assert sum(text == str(labels[pick]) for text, pick in zip(read, picks, strict=True)) >= 147
    assert sum("?" in text for text in read) <= 1
