"""What a sign is, from all that the networks say of it and of the other signs on its page."""

from __future__ import annotations

import numpy as np

# Letters are rarer where digits are read than where the spotter was trained, by this factor. Of MNIST's 5,000
# validation digits and 150 made-up marks are refused: 1.12 and 92.0 % with 0.5, 0.66 and 90.7 % with 0.3, 0.54 and
# 89.3 % with 0.2, by the spotter and the digits' network alone.
OTHER = 0.3
# What is known of a page before it is read counts as so many signs that are digits or separators, and so many that are
# none; and between these the factor stays, whatever the page holds.
OURS, OTHERS, BOUNDS = 4.0, 1.0, (0.03, 3.0)
# Exponents of what the networks of pages say a digit is, and of what the digits' network says of its image; chosen on
# drawn validation pages, pages of validation digits and these alone. On photos of other hands the first know more.
SPOTTER, IMAGE = 1.0, 0.4
# The same where the digits' network was taught a hand, which the others do not know.
SPOTTER_TAUGHT, IMAGE_TAUGHT = 0.4, 0.85


def weight_of_others(others: np.ndarray) -> np.ndarray:
    """How much to believe in "another sign" on this page: more where its other signs are letters, less among digits.

    The share of such signs that the rest of the page shows takes the place of the one in training (expectation
    maximisation, a few rounds).

    Args:
        others: (n,), how likely the networks hold each sign of a page to be none of ours.

    Returns:
        (n,), the factor for each; `OTHER` for a sign by itself.

    Reference:
        M. Saerens, P. Latinne, C. Decaestecker, Adjusting the outputs of a classifier to new a priori probabilities: a
        simple procedure (2002).

    Example:
        >>> among_digits = weight_of_others(np.array([0.4, 0, 0, 0, 0, 0]))[0]
        >>> among_letters = weight_of_others(np.array([0.4, 1, 1, 1, 1, 1]))[0]
        >>> bool(among_digits < weight_of_others(np.array([0.4]))[0] < among_letters)
        True
    """
    others = np.asarray(others, float)
    weight = np.full(len(others), OTHER)
    for _ in range(5):
        share = weight * others / (weight * others + 1 - others)
        of_the_rest = (share.sum() - share + OTHERS) / (len(share) - 1 + OURS + OTHERS)
        weight = np.clip(OTHER * of_the_rest / (1 - of_the_rest) * OURS / OTHERS, *BOUNDS)
    return weight


def together(
    signs: np.ndarray,
    seen: np.ndarray,
    spotter: float = SPOTTER,
    image: float = IMAGE,
    other: float | np.ndarray = OTHER,
) -> np.ndarray:
    """Join what the spotter says of a sign among its neighbours with what the digits' network says of its image.

    The spotter decides whether it is a digit at all; which one, both, as a weighted geometric mean.

    Args:
        signs: (n, 18), over `CHARACTERS`.
        seen: (n, 10).
        spotter: exponent of the first.
        image: exponent of the second.
        other: how much "another sign" weighs, one number or (n,).

    Returns:
        (n, 18), rows sum to 1.
    """
    other = np.broadcast_to(other, len(signs))[:, None]
    signs = np.concatenate([signs[:, :-1], other * signs[:, -1:]], 1)
    signs /= signs.sum(1, keepdims=True)
    digit = signs[:, :10].sum(1, keepdims=True)
    which = np.maximum(signs[:, :10] / np.maximum(digit, 1e-9), 1e-6) ** spotter * np.maximum(seen, 1e-6) ** image
    which /= which.sum(1, keepdims=True)
    return np.concatenate([which * digit, signs[:, 10:]], 1)


def confident(row: np.ndarray, each: np.ndarray, best: int | None) -> np.ndarray:
    """How sure to be of a sign: the mean of what the networks say together and what each of them says by itself.

    Their product, by which a sign is named, is too sure of itself where one of them is wrong. On drawn validation pages
    2.6 % of what it called at least 0.9 sure was wrong and the log loss was 0.146, of this mean 0.9 % and 0.104
    (docs/log.md has the other ways that were tried).

    Args:
        row: (18,) over `CHARACTERS`, joined.
        each: (18,), averaged over the two networks of pages.
        best: what it is named, which nothing outdoes; None for a sign that is refused.

    Returns:
        (18,), sums to 1.
    """
    said = (row + 2 * each) / 3
    said = said if best is None else np.minimum(said, said[best])
    return np.asarray(said / said.sum(), np.float32)
