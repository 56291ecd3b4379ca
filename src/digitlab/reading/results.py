"""What a reading says: signs, lines, numbers; plain values that hold no network and no image but the glyphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.reading.numbers import blanks_before, number_in, value_of, words_of

if TYPE_CHECKING:
    from digitlab.reading.glyphs import Stages

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class ReadDigit:
    """One sign as read: a digit, or a separator between digits.

    Attributes:
        digit: 0..9, the best guess, also where it was rejected; None for a separator.
        confidence: calibrated probability that the guess is right, 0..1.
        box: left, top, right, bottom in the image's own pixels, after EXIF rotation.
        rejected: True where this is taken for no digit; `text` shows `?`.
        reason: why it was rejected, "" where it was not.
        glyph: (28, 28) uint8, what the network saw.
        line: the number of its line in the reading, from 0.
        page: the number of its page, from 0; more than one only in a TIFF or PDF.
        separator: one of `/ - . , : + =`; "" for a digit.
        probabilities: (18,) float32, of each of `spotter.CHARACTERS` (ten digits, seven separators, any other sign);
            None where it was not said.
        upright: the box on the page as it was turned for reading; None where it was not turned.
        name: what it is, from a network of other classes than the ten digits; `digit` is the class's number then, and
            `probabilities` are of the classes. "" for a digit or separator.
    """

    digit: int | None
    confidence: float
    box: Box
    rejected: bool
    reason: str
    glyph: np.ndarray = field(repr=False)
    line: int
    page: int = 0
    separator: str = ""
    probabilities: np.ndarray | None = field(default=None, repr=False)
    upright: Box | None = None
    name: str = ""

    @property
    def character(self) -> str:
        """The digit or separator, the class's name, or `?`."""
        return "?" if self.rejected else self.name or self.separator or str(self.digit)

    def as_dict(self) -> dict[str, Any]:
        """Turn into what `digitlab read --json` prints for a digit."""
        return {
            "digit": self.digit,
            "character": self.character,
            "confidence": round(self.confidence, 4),
            "box": list(self.box),
            "line": self.line,
            "page": self.page,
            "rejected": self.rejected,
            **({"reason": self.reason} if self.rejected else {}),
        }


@dataclass(frozen=True)
class Number:
    """What stands between two blanks: a number, a date, a time, a sum.

    Attributes:
        text: its signs, `?` for a refused one.
        value: what it is worth; None for more than a number, or with a refused sign. See `numbers.value_of`.
        confidence: the probability that every sign of it is right: their product, 0 with a refused one.
        box: left, top, right, bottom in the image's own pixels, around all its signs.
        line: the number of its line in the reading, from 0.
        page: the number of its page, from 0.
    """

    text: str
    value: float | None
    confidence: float
    box: Box
    line: int
    page: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Turn into what `digitlab read --json` prints for a number."""
        return {
            "text": self.text,
            "value": self.value,
            "confidence": round(self.confidence, 4),
            "box": list(self.box),
            "line": self.line,
            "page": self.page,
        }


@dataclass(frozen=True, repr=False)
class Reading:
    """What stands in an image.

    Attributes:
        digits: digits and separators in reading order.
        seconds: how long it took.
        stages: what each step made of each page, to see why something was misread.
        file: the image's name, "" for one from memory.
        turned: for each page the degrees by which it was turned clockwise to be read; empty where none was.
        straightened: for each page whether it was photographed from the side, and read as it looks from above.
        sizes: (width, height) of each page in the image's own pixels, which boxes count in.
        spaced: False where a line is one number, whatever its gaps.

    Example:
        >>> def sign(left, text):
        ...     separator = text if text in "/-.,:+=" else ""
        ...     box, glyph = (left, 0, left + 9, 20), np.zeros((28, 28), np.uint8)
        ...     return ReadDigit(None if separator else int(text), 0.9, box, False, "", glyph, 0, separator=separator)
        >>> reading = Reading((sign(0, "3"), sign(10, ","), sign(20, "5"), sign(70, "8")))
        >>> reading.text, [number.value for number in reading.numbers], reading.digits_only
        ('3,5 8', [3.5, 8.0], '358')
    """

    digits: tuple[ReadDigit, ...] = ()
    seconds: float = 0.0
    stages: tuple[Stages, ...] = ()
    file: str = ""
    turned: tuple[float, ...] = ()
    straightened: tuple[bool, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    spaced: bool = True

    def __repr__(self) -> str:
        text = " / ".join(self.lines)
        return f"Reading({text!r}, {len(self.digits)} signs, least certain {self.confidence:.1%})"

    def _repr_html_(self) -> str:
        from digitlab.notebook import card, image

        text = " / ".join(self.lines)
        rows = [("signs", f"{len(self.digits)}"), ("least certain", f"{min(99.9, 100 * self.confidence):.1f} %")]
        shown = [np.pad(digit.glyph, 1, constant_values=90) for digit in self.digits[:40]]
        strip = image(np.concatenate(shown, 1), f"what the network saw: {text}", height=45) if shown else ""
        return card(f"Reading: {text or 'nothing'}", rows, strip)

    @cached_property
    def groups(self) -> list[tuple[ReadDigit, ...]]:
        """The signs between two blanks or line ends, in order."""
        if not self.digits:
            return []
        if self.digits[0].name:  # single images
            return [(digit,) for digit in self.digits]
        boxes = np.array([digit.upright or digit.box for digit in self.digits])
        lines = np.array([digit.line for digit in self.digits])
        characters = "".join(digit.character for digit in self.digits)
        blanks = blanks_before(boxes, characters, lines) if self.spaced else np.zeros(len(lines), bool)
        return [self.digits[group.start : group.stop] for group in words_of(characters, blanks, lines)]

    @property
    def lines(self) -> list[str]:
        """The text, line by line: a blank between numbers, `?` for what is no digit."""
        lines: dict[int, list[str]] = {}
        for group in self.groups:
            lines.setdefault(group[0].line, []).append(sign_text(group))
        return [" ".join(groups) for groups in lines.values()]

    @property
    def text(self) -> str:
        """The lines, joined by newlines; "" for an empty page."""
        return "\n".join(self.lines)

    @property
    def digits_only(self) -> str:
        """The text without separators and blanks: digits and `?`, line by line."""
        return self.without_separators().text

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every number, in reading order."""
        numbers: list[Number] = []
        for group in self.groups if not (self.digits and self.digits[0].name) else []:
            part = number_in(sign_text(group))
            if part is not None:
                numbers.append(_number(group[part]))
        return tuple(numbers)

    @property
    def confidence(self) -> float:
        """The least confidence of any sign that was not rejected; 0 where there is none."""
        return min((digit.confidence for digit in self.digits if not digit.rejected), default=0.0)

    def without_stages(self) -> Reading:
        """Drop the stages: they hold five images a page."""
        return replace(self, stages=())

    def without_words(self) -> Reading:
        """Drop every group that holds not one digit: words, blots, lone separators."""
        kept = [group for group in self.groups if any(not sign.rejected and not sign.separator for sign in group)]
        return replace(self, digits=tuple(sign for group in kept for sign in group))

    def without_separators(self) -> Reading:
        """Drop separators and the blanks between numbers: each line becomes one row of digits and `?`."""
        kept = [digit for digit in self.digits if digit.rejected or not digit.separator]
        return replace(self, digits=tuple(kept), spaced=False)

    def as_dict(self) -> dict[str, Any]:
        """Turn into what `digitlab read --json` prints for an image."""
        return {
            "file": self.file,
            "text": self.text,
            "lines": self.lines,
            "numbers": [number.as_dict() for number in self.numbers],
            "digits": [digit.as_dict() for digit in self.digits],
            "turned": [round(degrees, 1) for degrees in self.turned],
            "straightened": list(self.straightened),
            "seconds": round(self.seconds, 4),
        }


def sign_text(signs: Sequence[ReadDigit]) -> str:
    """Write signs one after the other."""
    return "".join(sign.character for sign in signs)


def _number(signs: tuple[ReadDigit, ...]) -> Number:
    text = sign_text(signs)
    boxes = np.array([sign.box for sign in signs])
    left, top = (int(edge) for edge in boxes[:, :2].min(0))
    right, bottom = (int(edge) for edge in boxes[:, 2:].max(0))
    confidence = 0.0 if "?" in text else float(np.prod([sign.confidence for sign in signs]))
    return Number(text, value_of(text), confidence, (left, top, right, bottom), signs[0].line, signs[0].page)
