"""What a worker may be made to do by a file from elsewhere; imported by the processes that tests start."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.reading import bulk


def ready(*_: Any) -> str:
    return "state"


def refuse() -> None:
    from digitlab.errors import ReadingError

    raise ReadingError("no such model. Name another.")


def die_at_once() -> None:
    os._exit(7)


def echo(state: str, content: bytes) -> bytes:
    return state.encode() + content


def say(_: str, text: str) -> bytes:
    os.write(1, text.encode())
    os.write(2, text.encode())
    sys.stdout.write(text)
    sys.stdout.flush()
    return b"said"


def loop(_: Any) -> bytes:
    while True:
        pass


def hold(_: Any, megabytes: int) -> bytes:
    block = np.ones(megabytes << 20, np.uint8)
    return str(block.size >> 20).encode()


def crash(_: Any) -> bytes:
    os.abort()


def blunder(_: Any) -> bytes:
    raise ZeroDivisionError("by nought")


def pid(_: Any) -> bytes:
    return str(os.getpid()).encode()


def where(_: Any) -> bytes:
    import colorsys

    return str(colorsys.__file__).encode()


def evil(_: Any) -> bytes:
    return pickle.dumps(os.system)


def read_or_misbehave(state: Any, file: Path) -> bytes:
    """As `bulk.read_in_worker`, but some files do what a broken decoder does."""
    if file.name == "crashes.png":
        crash(state)
    if file.name == "sleeps.png":
        time.sleep(60)
    if file.name == "fills.png":
        hold(state, 4000)
    return bulk.read_in_worker(state, file)


# As `serving.models.read`.


def fail(*_: Any) -> bytes:
    raise ZeroDivisionError("by nought")


def read_slowly(reader: Any, path: Any, content: bytes, name: str, options: Any) -> bytes:
    """Wait until the test says so; a picture called so does worse."""
    from digitlab.serving import models

    if name == "crashes.png":
        os.abort()
    if name == "loops.png":
        loop(reader)
    if name == "waits.png":
        folder = Path(os.environ["DIGITLAB_TEST_FOLDER"])
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    return models.read(reader, path, content, name, options)
