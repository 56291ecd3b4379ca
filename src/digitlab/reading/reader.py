"""Reader: a picture in, its digits out, each with a calibrated confidence and the right to say "not a digit"."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from digitlab.errors import ReadingError
from digitlab.probabilities import tempered
from digitlab.reading.glyphs import Glyph, Stages, find_glyphs
from digitlab.reading.model import open_model
from digitlab.reading.normalise import views_of
from digitlab.reading.picture import Picture, open_pages
from digitlab.reading.results import ReadDigit, Reading
from digitlab.reading.turning import read_turned
from digitlab.reading.word_filter import in_words

if TYPE_CHECKING:
    from PIL import Image

BUNDLED = Path(__file__).parent / "bundled"
# Less sure than this, a glyph is looked at once more.
UNSURE = 0.95
# Less sure than this, a digit is no evidence of a number.
SURE = 0.9
# Where a model's file does not say: refuse what the network itself gives less than this.
LEAST_CONFIDENCE = 0.4


class Reader:
    """Reads pictures with a trained network; owns the opened model.

    Args:
        model: None for the network that comes with the package, an .onnx file, a finished run or its folder.
        threads: processor threads for the network; None for one per core.
        reject: False to name a digit for everything that is found.

    Raises:
        ReadingError: no such model, or not one for 28 x 28 pictures and ten classes.

    Example:
        >>> import numpy as np
        >>> page = np.full((120, 200), 255, np.uint8)
        >>> page[20:90, 95:103] = 0
        >>> Reader().read(page).text
        '1'
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, *, threads: int | None = None, reject: bool = True
    ) -> None:
        self.model = open_model(_file_of(model), threads=threads)
        if self.model.classes != 10:
            raise ReadingError(f"{self.model.path}: tells {self.model.classes} classes apart, expected the ten digits.")
        self.temperature = self.model.number("temperature", 1.0)
        if not 1e-3 <= self.temperature <= 1e3:
            raise ReadingError(f"{self.model.path}: temperature {self.temperature:g}, expected 0.001 to 1000.")
        self.least_confidence = self.model.number("least_confidence", LEAST_CONFIDENCE)
        self.gate = open_model(BUNDLED / "gate.onnx", threads=threads)
        self.gate_threshold = self.gate.number("threshold", 0.5)
        # Above the threshold, but where few digits of a number lie.
        self.gate_doubt = self.gate.number("doubt", self.gate_threshold)
        self.reject = reject

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Feed ready 28 x 28 pictures through the network.

        Args:
            images: (n, 28, 28) uint8, bright ink on 0, MNIST's geometry.

        Returns:
            (n, 10) float32, calibrated probabilities; rows sum to 1.

        Raises:
            ReadingError: another shape or dtype.

        Example:
            >>> Reader().predict(np.zeros((3, 28, 28), np.uint8)).shape
            (3, 10)
        """
        return np.asarray(tempered(self.model.probabilities(_checked(images)), self.temperature), np.float32)

    def likeness(self, images: np.ndarray) -> np.ndarray:
        """Say how much pictures look like any digit at all, whichever.

        Args:
            images: (n, 28, 28) uint8, bright ink on 0, MNIST's geometry.

        Returns:
            (n,) float32, 0..1; below `gate_threshold` a picture is rejected.

        Raises:
            ReadingError: another shape or dtype.

        Example:
            >>> Reader().likeness(np.zeros((3, 28, 28), np.uint8)).shape
            (3,)
        """
        return self.gate.probabilities(_checked(images))[:, 0]

    def read(
        self,
        source: str | Path | bytes | BinaryIO | np.ndarray | Image.Image,
        *,
        single: bool = False,
        keep_stages: bool = True,
    ) -> Reading:
        """Read every digit of a picture.

        Args:
            source: a file by its name, opened (binary) or as bytes, a Pillow image, or an array (h, w[, 3 or 4]) of
                uint8.
            single: the whole picture is one digit, however many pieces it is in.
            keep_stages: False to forget each page's stages, so that a file of many pages is read in bounded memory.

        Returns:
            The digits in reading order; none on an empty page.

        Raises:
            ReadingError: not a picture, damaged, or too large.

        Example:
            >>> Reader().read(np.full((100, 100), 255, np.uint8)).text
            ''
        """
        start = time.perf_counter()
        digits: list[ReadDigit] = []
        stages: list[Stages] = []
        turned: list[float] = []
        for number, picture in enumerate(open_pages(io.BytesIO(source) if isinstance(source, bytes) else source)):
            first_line = digits[-1].line + 1 if digits else 0

            def read_page(
                page: Picture, line: int = first_line, number: int = number
            ) -> tuple[list[ReadDigit], Stages]:
                glyphs, seen = find_glyphs(page, single=single, judge=self._judge)
                return self._named(glyphs, line, number), seen

            found, seen, degrees = (
                (*read_page(picture), 0.0) if single else read_turned(picture, read_page, self._judge)
            )
            digits += found
            if keep_stages:
                stages.append(seen)
            turned.append(degrees)
        named = source if isinstance(source, str | Path) else getattr(source, "name", "")
        name = str(named) if isinstance(named, str | Path) else ""
        return Reading(tuple(digits), time.perf_counter() - start, tuple(stages), name, tuple(turned))

    def _judge(self, images: np.ndarray) -> np.ndarray:
        """How good a digit each picture is: recognised for sure, and like a digit at all."""
        return np.asarray(self.predict(images).max(1) * self.likeness(images))

    def _named(self, glyphs: list[Glyph], first_line: int, page: int) -> list[ReadDigit]:
        if not glyphs:
            return []
        images = np.stack([glyph.image for glyph in glyphs])
        probabilities, likeness = self._looked_at_twice(images), self.likeness(images)
        digits = [
            ReadDigit(
                digit=int(row.argmax()),
                confidence=float(row.max()),
                box=glyph.box,
                rejected=bool(reason := self._reason(glyph.image, float(row.max()), float(like))),
                reason=reason,
                glyph=glyph.image,
                line=first_line + glyph.line,
                page=page,
            )
            for glyph, row, like in zip(glyphs, probabilities, likeness, strict=True)
        ]
        if not self.reject:
            return digits
        words = in_words(
            np.array([digit.box for digit in digits]),
            np.array([digit.line for digit in digits]),
            np.array([-1 if digit.rejected or digit.digit is None else digit.digit for digit in digits]),
            np.where(likeness < self.gate_doubt, 2, probabilities.max(1) < SURE),
        )
        return [
            replace(digit, rejected=True, reason="stands in a word") if word and not digit.rejected else digit
            for digit, word in zip(digits, words, strict=True)
        ]

    def _looked_at_twice(self, images: np.ndarray) -> np.ndarray:
        """As `predict`, but what is unsure is also seen slanted and turned a little, and the mean counts.

        One glyph in thirty needs it, so it costs nothing; it put right a third of the wrong ones among validation
        digits of 9 to 28 pixels (19 -> 13 of 1,600) and did no harm to MNIST's own (16 -> 17 of 5,000).
        """
        probabilities = self.predict(images)
        unsure = np.flatnonzero(probabilities.max(1) < UNSURE)
        if len(unsure):
            views = views_of(images[unsure])
            seen = self.predict(np.concatenate(views)).reshape(len(views), len(unsure), 10)
            probabilities[unsure] = (probabilities[unsure] + seen.sum(0)) / (1 + len(views))
        return probabilities

    def _reason(self, image: np.ndarray, confidence: float, likeness: float) -> str:
        """Why this is no digit; "" if it is one."""
        if not self.reject:
            return ""
        if not image.any():
            return "blank"
        if likeness < self.gate_threshold:
            return f"looks like no digit ({likeness:.2f} of 1)"
        if confidence < self.least_confidence:
            return f"too uncertain which digit ({confidence:.2f} of 1)"
        return ""


def _file_of(model: str | os.PathLike[str] | None) -> Path:
    if model is None:
        return BUNDLED / "digits.onnx"
    path = Path(model)
    if path.is_dir():
        if not (path / "model.onnx").is_file():
            raise ReadingError(f"{path}: no model.onnx in it. Is the run finished? `digitlab train --resume` ends it.")
        return path / "model.onnx"
    return path


def _checked(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
        raise ReadingError(
            f"pictures of shape {images.shape}, {images.dtype}; expected (n, 28, 28) uint8, bright ink on 0. "
            "For a photo use read()."
        )
    return images
