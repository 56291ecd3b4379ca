"""What the server has its workers do: each gets plain values and gives the bytes of an answer's JSON.

Neither an image nor a model from elsewhere is ever opened in the process that talks to the network.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.machine import usable_cores
from digitlab.processes import SECONDS, Pool

if TYPE_CHECKING:
    from digitlab.reading.reader import Reader
    from digitlab.serving.answers import ReadingOptions

# Who has waited so long for a worker is told to come again: the answer to a stroke is no use after more.
PATIENCE = 2.0
# The workers step back for the process that talks to the network: it has little to do, and others wait for it.
NICE = 3


def reading_pool(model: str | Path | None = None, workers: int | None = None, seconds: float = SECONDS) -> Pool:
    """Workers that read with one model; `launch` starts them.

    Args:
        model: as `Reader` takes it.
        workers: images read at the same time; None for one per core.
        seconds: that one image may take.
    """
    count = workers or len(usable_cores())
    return Pool(count, open_reader, (model,), seconds=seconds, patience=PATIENCE, nice=NICE)


def open_reader(model: str | Path | None) -> Reader:
    """Open the model, and read a first image while nobody waits: that loads SciPy and what else reading needs."""
    from PIL import Image, ImageDraw

    from digitlab.reading.reader import Reader
    from digitlab.serving import answers

    reader = Reader(model, threads=1)
    page, file = Image.new("L", (200, 100), 255), io.BytesIO()
    ImageDraw.Draw(page).line([(60, 20), (60, 80)], fill=0, width=8)
    page.save(file, "PNG")
    answers.read(reader, file, answers.ReadingOptions(explain=True))
    return reader


def read(reader: Reader, content: bytes, name: str, options: ReadingOptions) -> bytes:
    """Read one image; see `answers.read`."""
    from digitlab.serving import answers

    return _bytes(answers.read(reader, answers.named(content, name), options))


def predict(reader: Reader, body: bytes) -> bytes:
    """Feed 28 x 28 images through the network; see `answers.predict`."""
    from digitlab.serving import answers

    return _bytes(answers.predict(reader, body))


def card(reader: Reader, name: str) -> bytes:
    """Say what reads; see `answers.model_card`."""
    from digitlab.serving import answers

    return _bytes(answers.model_card(reader, name))


def _bytes(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
