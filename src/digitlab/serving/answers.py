"""What the server answers, as plain values: a reading, probabilities, the model. Nothing here knows HTTP."""

from __future__ import annotations

import base64
import copy
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from digitlab.errors import ServingError

if TYPE_CHECKING:
    import numpy as np

    from digitlab.reading.glyphs import Stages
    from digitlab.reading.reader import Reader
    from digitlab.reading.results import Reading

# Of what a sender calls a file.
MAX_NAME = 200
# The long side of an image of a stage; larger than a screen shows it would only cost time.
STAGE_SIDE = 900


@dataclass(frozen=True)
class ReadingOptions:
    """How one image is read, and how much is said about it.

    Attributes:
        single: the whole image is one digit.
        reject: False to name a digit for everything that is found.
        explain: also the probabilities of the ten digits and the 28 x 28 image of each digit.
        stages: also an image of every step.
    """

    single: bool = False
    reject: bool = True
    explain: bool = False
    stages: bool = False


def read(reader: Reader, picture: BinaryIO, options: ReadingOptions) -> dict[str, Any]:
    """Read one image.

    Args:
        reader: with its model.
        picture: an opened file; its `name` is what errors call it.
        options: how.

    Returns:
        What `digitlab read --json` prints for it, and with `explain` or `stages` more.

    Raises:
        ReadingError: not an image, damaged or too large.
    """
    if options.reject != reader.reject:
        reader = copy.copy(reader)  # shares the opened model
        reader.reject = options.reject
    reading = reader.read(picture, single=options.single)
    answer = reading.as_dict()
    if not reader.reads_digits:
        answer["classes"] = list(reader.class_names)
    if options.explain:
        _explain(answer, reading)
    if options.stages:
        answer["stages"] = [_stage_pictures(stages) for stages in reading.stages]
    return answer


def named(content: bytes, name: str) -> BinaryIO:
    """A file in memory that knows its name."""
    file = io.BytesIO(content)
    if name:
        file.name = name
    return file


def plain_name(name: str | None) -> str:
    r"""What a sender calls a file: no path, and nothing that a terminal would obey.

    Example:
        >>> plain_name("../a\x1b[31m.png")
        'a[31m.png'
    """
    plain = "".join(letter for letter in (name or "") if letter.isprintable())
    return plain.replace("\\", "/").rpartition("/")[2][:MAX_NAME]


def _explain(answer: dict[str, Any], reading: Reading) -> None:
    """Add what a person needs to see why: the size of each page, and what the network saw and thought of each digit."""
    import numpy as np

    answer["pages"] = [list(size) for size in reading.sizes]
    if not reading.digits:
        return
    for entry, digit in zip(answer["digits"], reading.digits, strict=True):
        if digit.name and digit.probabilities is not None:
            entry["probabilities"] = [round(float(p), 6) for p in digit.probabilities]
            entry["likeness"], entry["glyph"] = 1.0, digit.glyph.tolist()
            continue
        row = np.zeros(11) if digit.probabilities is None else digit.probabilities
        named = digit.digit is not None and not digit.rejected
        ten = row[:10] if named else row[:10] / max(float(row[:10].sum()), 1e-9)
        entry["page"], entry["line"] = digit.page, digit.line
        # Of the ten digits, beside that it is none; of what was not read as a digit, were it one. And whether it is any
        # sign that digitlab knows.
        entry["probabilities"] = [round(float(p), 6) for p in ten]
        entry["likeness"] = round(float(1 - row[-1]), 4)
        entry["glyph"] = digit.glyph.tolist()


def _stage_pictures(stages: Stages) -> dict[str, Any]:
    import numpy as np

    mask = np.repeat((255 * ~stages.mask).astype(np.uint8)[..., None], 3, axis=2)
    mask[stages.rulings] = (60, 120, 255)
    height, width = stages.grey.shape
    return {
        "width": width,
        "height": height,
        "scale": stages.scale,
        "inverted": stages.inverted,
        "rulings": bool(stages.rulings.any()),
        "pieces": [[int(edge) for edge in box] for box in stages.blobs],
        "grey": _data_url(stages.grey),
        "paper": _data_url(stages.paper),
        "ink": _data_url(255 - stages.ink),
        "mask": _data_url(mask),
    }


def _data_url(pixels: np.ndarray) -> str:
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((STAGE_SIDE, STAGE_SIDE), Image.Resampling.BOX)
    kind = "PNG" if image.width * image.height < 100_000 else "JPEG"  # a small drawing sharp, a photo quickly
    file = io.BytesIO()
    image.save(file, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def predict(reader: Reader, body: bytes) -> dict[str, Any]:
    """Feed ready 28 x 28 images through the network.

    Args:
        reader: with its model.
        body: JSON, ``{"images": n x 28 x 28 numbers 0..255, ink bright on 0}``; one image may stand alone.

    Returns:
        `probabilities`, n rows of ten, and `digits`, the most probable of each; of a network of other classes a
        value per class, and its number.

    Raises:
        ServingError: not such JSON.

    Example:
        >>> from digitlab import Reader
        >>> predict(Reader(), json.dumps({"images": [[[0] * 28] * 28]}).encode())["digits"].__len__()
        1
    """
    images = images_in(body)
    probabilities = reader.predict(images)
    return {
        "probabilities": [[round(float(p), 6) for p in row] for row in probabilities],
        "digits": [int(digit) for digit in probabilities.argmax(axis=1)],
    }


def images_in(body: bytes) -> np.ndarray:
    """The images of a request, (n, 28, 28) uint8; see `predict`.

    Raises:
        ServingError: not such JSON.
    """
    import numpy as np

    wanted = 'expected {"images": n x 28 x 28 numbers from 0 to 255, ink bright on 0}'
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ServingError(f"body: not JSON ({' '.join(str(error).split())[:100]}), {wanted}") from None
    if not isinstance(content, dict) or "images" not in content:
        came = f"an object with {_names(content)}" if isinstance(content, dict) else type(content).__name__
        raise ServingError(f"body: {came}, {wanted}")
    unknown = sorted(set(content) - {"images"})
    if unknown:
        raise ServingError(f"body: no key {unknown[0][:40]!r}, {wanted}")
    try:
        numbers = np.asarray(content["images"])
    except (ValueError, OverflowError):
        raise ServingError(f"images: rows of different length, {wanted}") from None
    if not numbers.size and numbers.ndim == 1:
        return np.zeros((0, 28, 28), np.uint8)
    if numbers.shape == (28, 28):
        numbers = numbers[None]
    if numbers.ndim != 3 or numbers.shape[1:] != (28, 28):
        raise ServingError(f"images: {' x '.join(map(str, numbers.shape)) or 'a single value'}, {wanted}")
    if numbers.dtype.kind not in "iuf":
        raise ServingError(f"images: values that are no numbers, {wanted}")
    low, high = numbers.min(), numbers.max()
    if not (low >= 0 and high <= 255):  # written so that nan is refused
        raise ServingError(f"images: values from {low} to {high}, {wanted}")
    if 0 < high <= 1:
        raise ServingError(f"images: no value above {high}, as if they were scaled to 0..1; {wanted}. Multiply by 255")
    return np.asarray(np.round(numbers), np.uint8)


def _names(content: dict[str, Any]) -> str:
    return ", ".join(repr(name[:40]) for name in list(content)[:4]) or "no keys"


def model_card(reader: Reader, name: str) -> dict[str, Any]:
    """Say what reads: labels, recipe, scores, temperature, from the model's own file."""
    metadata = reader.model.metadata
    scores = _json(metadata.get("scores"), {})
    scores = {
        str(name)[:40]: value
        for name, value in (scores.items() if isinstance(scores, dict) else ())
        if isinstance(value, int | float) and 0 <= value <= 1
    }
    if "test_accuracy" in metadata:
        scores["test_accuracy"] = min(1.0, max(0.0, reader.model.number("test_accuracy", 0.0)))
    return {
        "name": name,
        "labels": list(reader.class_names),
        "input": "uint8 (n, 28, 28), 0..255, ink bright on 0",
        "recipe": _json(metadata.get("recipe"), None),
        "seed": _json(metadata.get("seed"), None),
        "scores": scores,
        "temperature": reader.temperature,
        "least_confidence": reader.least_confidence,
        "likeness_threshold": reader.least_likeness,
    }


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _json(text: str | None, default: Any) -> Any:
    """A value that a model's file may hold; a file from elsewhere may hold anything."""
    try:
        return default if text is None else json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return default
