"""Reader: an image in, its digits out, each with a calibrated confidence and the right to say "not a digit"."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from digitlab.errors import ReadingError
from digitlab.probabilities import tempered
from digitlab.reading.alike import alike, told_by_each_other
from digitlab.reading.glyphs import Glyph, Stages, find_glyphs
from digitlab.reading.model import open_model
from digitlab.reading.normalise import views_of
from digitlab.reading.perspective import read_straight
from digitlab.reading.picture import Picture, open_pages
from digitlab.reading.results import ReadDigit, Reading
from digitlab.reading.sizes import glance
from digitlab.reading.spotter import CHARACTERS, open_spotter, signs_alone
from digitlab.reading.turning import read_turned
from digitlab.reading.verdict import (
    IMAGE,
    IMAGE_TAUGHT,
    SPOTTER,
    SPOTTER_TAUGHT,
    confident,
    together,
    weight_of_others,
)
from digitlab.reading.verifier import averaged, joined

if TYPE_CHECKING:
    from PIL import Image

BUNDLED = Path(__file__).parent / "bundled"
# Less sure than this, a glyph is looked at once more.
UNSURE = 0.95
# A sign by itself is shown to the networks of pages again if its probability to be none of ours lies between these.
DOUBTFUL = 0.1, 0.98
# Where a model's file does not say: refuse what the network itself gives less than this.
LEAST_CONFIDENCE = 0.4
# Refuse what is less likely than this to be one of our signs.
LIKE_A_DIGIT = 0.5

DIGITS = tuple("0123456789")


class Reader:
    """Reads images with a trained network; owns the opened model.

    A network of other classes than the ten digits names single images: each page is one sign, brought to 28 x 28 by the
    same steps, or taken as it is where it has that size, and its text is the class's name.

    Args:
        model: None for the network that comes with the package, an .onnx file, a finished run or its folder.
        threads: processor threads for the network; None for one per core.
        reject: False to name a digit for everything that is found.

    Raises:
        ReadingError: no such model, or not one for 28 x 28 images.

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
        self.model = open_model(model_file(model), threads=threads)
        self.class_names = self.model.class_names
        self.reads_digits = self.class_names == DIGITS
        self.temperature = self.model.number("temperature", 1.0)
        if not 1e-3 <= self.temperature <= 1e3:
            raise ReadingError(f"{self.model.path}: temperature {self.temperature:g}, expected 0.001 to 1000.")
        self.least_confidence = self.model.number("least_confidence", LEAST_CONFIDENCE)
        self.spotter = open_spotter(BUNDLED / "spotter.onnx", threads=threads)
        self.verifier = open_model(BUNDLED / "verifier.onnx", threads=threads)
        self.least_likeness = LIKE_A_DIGIT
        self._taught = "taught" in self.model.metadata
        self._weights = (SPOTTER_TAUGHT, IMAGE_TAUGHT) if self._taught else (SPOTTER, IMAGE)
        self.reject = reject

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Feed ready 28 x 28 images through the network.

        Args:
            images: (n, 28, 28) uint8, bright ink on 0, MNIST's geometry.

        Returns:
            (n, 10) float32, calibrated probabilities; rows sum to 1. Of another network (n, classes).

        Raises:
            ReadingError: another shape or dtype.

        Example:
            >>> Reader().predict(np.zeros((3, 28, 28), np.uint8)).shape
            (3, 10)
        """
        return np.asarray(tempered(self.model.probabilities(_checked(images)), self.temperature), np.float32)

    def likeness(self, images: np.ndarray) -> np.ndarray:
        """Say how much images look like any digit at all, whichever.

        Args:
            images: (n, 28, 28) uint8, bright ink on 0, MNIST's geometry.

        Returns:
            (n,) float32, 0..1; below `least_likeness` an image is rejected.

        Raises:
            ReadingError: another shape or dtype.

        Example:
            >>> Reader().likeness(np.zeros((3, 28, 28), np.uint8)).shape
            (3,)
        """
        images = _checked(images)
        if not len(images) or not self.reads_digits:
            return np.ones(len(images), np.float32)
        signs = self._signs_alone(images)[0]
        return np.asarray(together(signs, self.predict(images), *self._weights)[:, :10].sum(1))

    def read(
        self,
        source: str | Path | bytes | BinaryIO | np.ndarray | Image.Image,
        *,
        single: bool = False,
        keep_stages: bool = True,
    ) -> Reading:
        """Read every digit of an image.

        Args:
            source: a file by its name, opened (binary) or as bytes, a Pillow image, or an array (h, w[, 3 or 4]) of
                uint8.
            single: the whole image is one digit, however many pieces it is in.
            keep_stages: False to forget each page's stages, so that a file of many pages is read in bounded memory.

        Returns:
            The digits in reading order; none on an empty page.

        Raises:
            ReadingError: not an image, damaged, or too large.

        Example:
            >>> Reader().read(np.full((100, 100), 255, np.uint8)).text
            ''
        """
        start = time.perf_counter()
        pages: list[_PageRead] = []
        line = 0
        for number, picture in enumerate(open_pages(io.BytesIO(source) if isinstance(source, bytes) else source)):
            page = self._page(picture, line, number, single)
            line = page.signs[-1].line + 1 if page.signs else line
            pages.append(page if keep_stages else page._replace(stages=None))
        named = source if isinstance(source, str | Path) else getattr(source, "name", "")
        name = str(named) if isinstance(named, str | Path) else ""
        return Reading(
            tuple(sign for page in pages for sign in page.signs),
            time.perf_counter() - start,
            tuple(page.stages for page in pages if page.stages),
            name,
            tuple(page.turned for page in pages),
            tuple(page.straightened for page in pages),
            tuple(page.size for page in pages),
        )

    def _page(self, picture: Picture, line: int, number: int, single: bool) -> _PageRead:
        """Read one page; its first line has the number `line`."""
        if not self.reads_digits:
            return _PageRead(*self._single(picture, line, number), picture.size)

        def as_it_lies(page: Picture) -> tuple[list[ReadDigit], Stages]:
            glyphs, seen = find_glyphs(page, spotter=self.spotter, verifier=self.verifier, single=single)
            return self._named(glyphs, line, number), seen

        if single:
            return _PageRead(*as_it_lies(picture), picture.size)

        def as_it_should_lie(page: Picture) -> tuple[list[ReadDigit], Stages, float]:
            return read_turned(page, as_it_lies, self._judge, lambda ink, tall: glance(ink, tall, self.spotter))

        signs, seen, degrees, tilted = read_straight(picture, as_it_should_lie)
        return _PageRead(signs, seen, picture.size, degrees, tilted)

    def _single(self, picture: Picture, line: int, page: int) -> tuple[list[ReadDigit], Stages]:
        """Name a page as one image of one of the network's classes."""
        glyphs, seen = find_glyphs(picture, single=True)
        image = glyphs[0].image if glyphs else np.zeros((28, 28), np.uint8)
        if picture.small is not None:
            # As the network's own images are: bright on dark.
            border = np.median(np.concatenate([picture.small[0], picture.small[-1]]))
            image = 255 - picture.small if border > 127 else picture.small
        if not image.any():
            return [], seen
        row = self.predict(image[None])[0]
        best = int(row.argmax())
        confidence = float(row[best])
        reason = ""
        if self.reject and confidence < self.least_confidence:
            reason = f"too uncertain which class ({confidence:.2f} of 1)"
        box = glyphs[0].box if glyphs and picture.small is None else (0, 0, *picture.size)
        named = ReadDigit(
            best,
            confidence,
            box,
            bool(reason),
            reason,
            image,
            line,
            page,
            probabilities=row,
            name=self.class_names[best],
        )
        return [named], seen

    def _judge(self, images: np.ndarray) -> np.ndarray:
        """How good a digit each image is: recognised for sure, and like a digit at all."""
        return np.asarray(self.predict(images).max(1) * self.likeness(images))

    def _signs_alone(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 18) of images that show one sign each, as both networks of pages see them: joined, and averaged.

        Where they doubt whether it is one of ours, it is also seen slanted and turned a little, and the mean counts: of
        MNIST's 5,000 validation digits 22 are refused so, 27 by one look; of letters one in a hundred more passes.
        """
        found = self._each_alone(images)
        _seen_again(self._each_alone, images, found, _doubtful(found[:, 0]))
        return found[:, 0], found[:, 1]

    def _each_alone(self, images: np.ndarray) -> np.ndarray:
        """(n, 2, 18), by one look."""
        signs, seen = signs_alone(self.spotter, images), self.verifier.probabilities(images)
        return np.stack([joined(signs, seen)[0], averaged(signs, seen)], 1)

    def _named(self, glyphs: list[Glyph], first_line: int, page: int) -> list[ReadDigit]:
        if not glyphs:
            return []
        images = np.stack([glyph.image for glyph in glyphs])
        seen = self._looked_at_twice(images)
        alone = [glyph.probabilities is None for glyph in glyphs]
        signs, each = np.zeros((2, len(glyphs), len(CHARACTERS)), np.float32)
        for i, glyph in enumerate(glyphs):
            if glyph.probabilities is not None:
                signs[i], each[i] = glyph.probabilities, glyph.averaged
        if any(alone):
            signs[alone], each[alone] = self._signs_alone(images[alone])
        elif len(glyphs) == 1 and len(_doubtful(signs)):
            # No neighbours tell whether it is a letter: what its image says by itself counts as much as the page.
            signs, each = (np.stack([signs, each]) + np.stack(self._signs_alone(images))) / 2
        rows = together(signs, seen, *self._weights, weight_of_others(signs[:, -1]))
        features = [glyph.features for glyph in glyphs if glyph.features is not None]
        if len(features) == len(glyphs) > 1:
            rows = told_by_each_other(rows, alike(images, np.stack(features)))
        return [self._named_one(*row, first_line, page) for row in zip(glyphs, rows, each, strict=True)]

    def _named_one(self, glyph: Glyph, row: np.ndarray, each: np.ndarray, first_line: int, page: int) -> ReadDigit:
        """Name one sign; `row` and `each` are (18,) over CHARACTERS, the networks' answers joined and averaged."""
        best = int(row[:-1].argmax())
        if not self.reject and best >= 10 and (row[-1] > row[best] or row[:10].sum() > 0.5 * row[best]):
            best = int(row[:10].argmax())
        joint = float(row[best])
        reason = self._reason(glyph.image, joint, 1 - float(row[-1])) if best < 10 or row[-1] > joint else ""
        # What a network was taught of a hand, the others do not know.
        said = row if self._taught else confident(row, each, None if reason else best)
        return ReadDigit(
            digit=best if best < 10 else None if not reason else int(row[:10].argmax()),
            confidence=float(said[best]),
            box=glyph.box,
            rejected=bool(reason),
            reason=reason,
            glyph=glyph.image,
            line=first_line + glyph.line,
            page=page,
            separator="" if best < 10 or reason else CHARACTERS[best],
            probabilities=said,
        )

    def _looked_at_twice(self, images: np.ndarray) -> np.ndarray:
        """As `predict`, but what is unsure is also seen slanted and turned a little, and the mean counts.

        One glyph in thirty needs it, so it costs nothing; it put right a third of the wrong ones among validation
        digits of 9 to 28 pixels (19 -> 13 of 1,600) and did no harm to MNIST's own (16 -> 17 of 5,000).
        """
        probabilities = self.predict(images)
        _seen_again(self.predict, images, probabilities, np.flatnonzero(probabilities.max(1) < UNSURE))
        return probabilities

    def _reason(self, image: np.ndarray, confidence: float, likeness: float) -> str:
        """Why this is no digit; "" if it is one."""
        if not self.reject:
            return ""
        if not image.any():
            return "blank"
        if likeness < self.least_likeness:
            return f"looks like no digit ({likeness:.2f} of 1)"
        if confidence < self.least_confidence:
            return f"too uncertain which digit ({confidence:.2f} of 1)"
        return ""


class _PageRead(NamedTuple):
    """What was read of a page, and how; see `Reading`."""

    signs: list[ReadDigit]
    stages: Stages | None
    size: tuple[int, int]
    turned: float = 0.0
    straightened: bool = False


def model_file(model: str | os.PathLike[str] | None) -> Path:
    """The ONNX file of what `Reader` takes as its model.

    Raises:
        ReadingError: a folder without one.
    """
    if model is None:
        return BUNDLED / "digits.onnx"
    path = Path(model)
    if path.is_dir():
        if not (path / "model.onnx").is_file():
            raise ReadingError(f"{path}: no model.onnx in it. Is the run finished? `digitlab train --resume` ends it.")
        return path / "model.onnx"
    return path


def _seen_again(
    ask: Callable[[np.ndarray], np.ndarray], images: np.ndarray, said: np.ndarray, rows: np.ndarray
) -> None:
    """In these rows put the mean of what was said of images and what is said of them slanted and turned a little."""
    if len(rows):
        views = views_of(images[rows])
        again = ask(np.concatenate(views)).reshape(len(views), len(rows), *said.shape[1:])
        said[rows] = (said[rows] + again.sum(0)) / (1 + len(views))


def _doubtful(signs: np.ndarray) -> np.ndarray:
    """Of (n, 18), the rows that may be other signs, or not."""
    low, high = DOUBTFUL
    return np.flatnonzero((signs[:, -1] > low) & (signs[:, -1] < high))


def _checked(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
        raise ReadingError(
            f"images of shape {images.shape}, {images.dtype}; expected (n, 28, 28) uint8, bright ink on 0. "
            "For a photo use read()."
        )
    return images
