"""Which digits stand in a word: an o between letters is a fine 0 by itself, and only its neighbours tell."""

from __future__ import annotations

import numpy as np

# Letters of a word stand closer than this share of the taller one's height, and side by side by this share of the
# shorter one's: an index beside its letter hangs low.
GAP, BESIDE = 0.6, 0.3
# An index is smaller than this share of its letter.
INDEX = 0.6
# What one sign says, as the logarithm of how much likelier it is in a number than in a word. A digit read for sure is
# what nearly every sign of a number is, and one letter in five; a refused one is the other way round, but a blot in a
# number must not cost it, so it counts for two digits. One read in doubt is rare among digits. A lone stroke says
# nothing: it is one digit in ten, and an i, an l, a t, a piece of an m, the numeral I.
SURE, DOUBTFUL, REFUSED, STROKE = 1.4, -1.0, -2.8, -0.2
# A page on which hardly anything is refused is one of numbers, one on which much is has words; no further than this.
MOST_PRIOR = 2.5


def in_words(boxes: np.ndarray, lines: np.ndarray, digits: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Weigh every closely written group: is it a number or a word?

    Each group is judged by naive Bayes from its signs, with the share of the page that is no number as the prior; one
    in which every sign looks like a digit is always a number. Lone strokes in a line that holds nothing but strokes and
    refused signs go with those: a table's head of Roman numerals.

    Args:
        boxes: (n, 4) left, top, right, bottom of each sign, pixels.
        lines: (n,) the number of each one's line.
        digits: (n,) 0 to 9, or -1 for a refused one.
        doubt: (n,) 0 for none, 1 where it is not sure which digit, 2 where it hardly looks like one.

    Returns:
        (n,) bool, whether it stands in a word.

    Example:
        >>> boxes = np.array([(0, 0, 20, 30), (25, 0, 45, 30), (50, 0, 70, 30), (200, 0, 220, 30)])
        >>> in_words(boxes, np.zeros(4, int), np.array([-1, 0, -1, 7]), np.zeros(4))
        array([ True,  True,  True, False])
        >>> bool(in_words(boxes, np.zeros(4, int), np.array([1, 7, -1, 7]), np.zeros(4)).any())
        False
    """
    refused = digits < 0
    words = np.zeros(len(digits), bool)
    if not refused.any():
        return words
    tall = boxes[:, 3] - boxes[:, 1]
    says = np.where(doubt > 0, DOUBTFUL, SURE)
    says = np.where((digits == 1) & (doubt < 2), STROKE, says)
    says = np.where(refused, REFUSED, says)
    groups = [group for group in _groups(boxes) if (refused | (doubt == 2))[group].any()]
    # The words found raise the share of words: after three rounds nothing changes any more.
    for _ in range(3):
        share = (np.count_nonzero(refused | words) + 0.5) / (len(digits) + 1)
        prior = np.clip(np.log((1 - share) / share), -MOST_PRIOR, MOST_PRIOR)
        for group in groups:
            if prior >= 0 and _one_among_digits(tall[group], refused[group], doubt[group]):
                continue  # unless most of the page is words
            words[group] |= prior + says[group].sum() < 0
    for line in np.unique(lines[refused]):
        if np.count_nonzero(lines == line) > 2 and np.isin(digits[lines == line], (-1, 1)).all():
            words |= lines == line
    return words


def _one_among_digits(tall: np.ndarray, refused: np.ndarray, doubt: np.ndarray) -> bool:
    """Whether a group is sure digits of one size with a single blot, cross or unit; a letter's index is smaller."""
    if np.count_nonzero(refused) != 1 or doubt[~refused].any():
        return False
    return bool((tall[~refused] >= INDEX * tall[refused]).all())


def _groups(boxes: np.ndarray) -> list[np.ndarray]:
    """Signs that hang together: side by side with no wide gap between them, whichever line they were put on."""
    left, top, right, bottom = boxes.T.astype(float)
    tall = bottom - top
    pairs = []
    # A few hundred at a time: all at once, 3,000 signs took 300 MB.
    for start in range(0, len(boxes), 256):
        some = slice(start, start + 256)
        gap = np.maximum(left[some, None], left) - np.minimum(right[some, None], right)
        overlap = np.minimum(bottom[some, None], bottom) - np.maximum(top[some, None], top)
        near = (gap <= GAP * np.maximum(tall[some, None], tall)) & (
            overlap >= BESIDE * np.minimum(tall[some, None], tall)
        )
        pairs.append(np.argwhere(near) + np.array([start, 0]))
    first, second = np.concatenate(pairs).T if pairs else np.zeros((2, 0), int)
    # Each takes the lowest number among its neighbours, and that one's own, until nothing changes. SciPy's
    # connected_components gives the same, but importing it takes 0.2 s of reading a picture's 0.6.
    group = np.arange(len(boxes))
    while True:
        lower = group.copy()
        np.minimum.at(lower, first, group[second])
        lower = lower[lower]
        if np.array_equal(lower, group):
            return [np.flatnonzero(group == number) for number in np.unique(group)]
        group = lower
