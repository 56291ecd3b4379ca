"""From signs on lines to numbers: where a blank stands, which signs are one number, and what it is worth."""

from __future__ import annotations

import re

import numpy as np

SEPARATORS = "/-.,:+="
# A gap wider than NARROW digit heights may part two numbers, one wider than WIDE always does: loosely written digits of
# one number stand up to 1.8 heights apart. In between it must be wider than what is usual on the line, by this factor
# and this much more.
NARROW, WIDE = 0.7, 2.5
FACTOR, MORE = 1.6, 0.25
# The usual gap is a low one of the line's: half of all gaps may lie between numbers.
USUAL = 0.3
# With fewer gaps than this a line says little about itself, and the page's are asked.
ENOUGH = 4
# Signs in printed boxes: the ratio of their widest to their narrowest pitch, and how wide such a pitch may be.
REGULAR, BOXED = 1.35, 1.8
# A point or comma may stand this far off its digit; a leading sign this far, if it is further from what is before it.
LOOSE, SIGN, NEARER = 0.8, 0.9, 0.6

_PLAIN = re.compile(r"[+-]?([0-9]+([.,][0-9]+)?|[.,][0-9]+)")
_POINTS = re.compile(r"[+-]?[0-9]{1,3}([.][0-9]{3})+(,[0-9]+)?")
_COMMAS = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+([.][0-9]+)?")


def value_of(text: str) -> float | None:
    """Say what a number is worth.

    A single point or comma is the decimal sign. Where there are more of them, those of one kind before groups of three
    digits part thousands.

    Args:
        text: the number's signs.

    Returns:
        Its value; None for what is more than one number (a date, a time, a sum) or holds a refused sign.

    Example:
        >>> value_of("-3,14"), value_of("1.234,50"), value_of("1,234,567")
        (-3.14, 1234.5, 1234567.0)
        >>> value_of("12.05.2024"), value_of("10:45"), value_of("4?3")
        (None, None, None)
    """
    if _PLAIN.fullmatch(text):
        return float(text.replace(",", "."))
    if _POINTS.fullmatch(text):
        return float(text.replace(".", "").replace(",", "."))
    if _COMMAS.fullmatch(text):
        return float(text.replace(",", ""))
    return None


def blanks_before(boxes: np.ndarray, characters: str, lines: np.ndarray) -> np.ndarray:
    """Find where one number ends and the next begins on the same line.

    Gaps are measured in heights of the line's digits. A gap counts that is wide beside the usual ones of its line, or
    of the page where the line is short. Signs at one even pitch, as in a form's boxes, are one number however narrow a
    1 among them is. Points and commas go with the digit before them, a sign with the number that it stands nearer to.

    Args:
        boxes: (n, 4) left, top, right, bottom of each sign in the upright page; line by line, from left to right.
        characters: n of them: a digit, a separator, or `?`.
        lines: (n,) the number of each one's line.

    Returns:
        (n,) bool, True before the first sign of every number but the first of a line.

    Example:
        >>> boxes = np.array([(0, 0, 20, 30), (24, 0, 44, 30), (80, 0, 100, 30), (104, 0, 124, 30)])
        >>> blanks_before(boxes, "1234", np.zeros(4, int)).tolist()
        [False, False, True, False]
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    lines = np.asarray(lines)
    blanks = np.zeros(len(boxes), bool)
    if len(boxes) < 2:
        return blanks
    high = boxes[:, 3] - boxes[:, 1]
    separator = np.array([character in SEPARATORS for character in characters])
    page_tall = float(np.median(high[~separator])) if not separator.all() else float(high.max())
    rows = [np.flatnonzero(lines == line) for line in np.unique(lines)]
    gaps = [_gaps(boxes[row], high[row], separator[row], page_tall) for row in rows]
    page_usual = _usual(np.concatenate(gaps))
    for row, gap in zip(rows, gaps, strict=True):
        if len(row) > 1 and not _is_regular(boxes[row], high[row], separator[row]):
            usual = _usual(gap) if len(gap) >= ENOUGH else min(_usual(gap), page_usual)
            limit = float(np.clip(FACTOR * usual + MORE, NARROW, WIDE))
            blanks[row[1:]] = _wide(gap, "".join(characters[i] for i in row), limit)
    return blanks


def _gaps(boxes: np.ndarray, high: np.ndarray, separator: np.ndarray, page_tall: float) -> np.ndarray:
    """(n - 1,) empty space before every sign but the first, in digit heights."""
    tall = float(np.median(high[~separator])) if not separator.all() else page_tall
    reached = np.maximum.accumulate(boxes[:, 2])[:-1]
    return np.asarray((boxes[1:, 0] - reached) / max(tall, 1.0))


def _usual(gaps: np.ndarray) -> float:
    return float(np.quantile(gaps.clip(0), USUAL)) if len(gaps) else 0.0


def _is_regular(boxes: np.ndarray, high: np.ndarray, separator: np.ndarray) -> bool:
    """Whether at least four digits stand at one pitch, closely."""
    if separator.any() or len(boxes) < 4:
        return False
    pitch = np.diff((boxes[:, 0] + boxes[:, 2]) / 2) / max(float(np.median(high)), 1.0)
    return bool(pitch.min() > 0 and pitch.max() < REGULAR * pitch.min() and pitch.max() < BOXED)


def _wide(gaps: np.ndarray, characters: str, limit: float) -> np.ndarray:
    """(n - 1,) bool: which gaps of one line part numbers."""
    wide = gaps > limit
    for i, gap in enumerate(gaps):
        before, after = characters[i], characters[i + 1]
        if after in ",.:":
            wide[i] = gap > max(limit, LOOSE)
        elif before in "+-" and after not in SEPARATORS:
            # A leading sign: nothing before it, or a wide gap. One halfway between two numbers is an operator.
            free = gaps[i - 1] if i else np.inf
            if free > limit and gap < min(max(limit, SIGN), NEARER * free):
                wide[i] = False
    return np.asarray(wide)


def words_of(characters: str, blanks: np.ndarray, lines: np.ndarray) -> list[range]:
    """Part the signs of a page at blanks and line ends.

    Args:
        characters: n signs, line by line.
        blanks: (n,) bool from `blanks_before`.
        lines: (n,) the number of each one's line.

    Returns:
        A range of indices for each group, in order.

    Example:
        >>> words_of("1234", np.array([False, False, True, False]), np.array([0, 0, 0, 1]))
        [range(0, 2), range(2, 3), range(3, 4)]
    """
    starts = [i for i in range(len(characters)) if not i or blanks[i] or lines[i] != lines[i - 1]]
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(characters)], strict=True)]


def number_in(characters: str) -> slice | None:
    """Find the number in a group of signs: all but the points, commas and colons that only end it.

    Args:
        characters: the signs of one group.

    Returns:
        Where it lies; None in a group without a digit or `?`.

    Example:
        >>> "12,"[number_in("12,")], number_in("+")
        ('12', None)
    """
    if all(character in SEPARATORS for character in characters):
        return None
    return slice(0, len(characters.rstrip(".,:")))
