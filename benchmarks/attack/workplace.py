"""The folder that an attack works in: gone at its end, and at the next start where the attack itself was killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NAME = "digitlab-attack-"


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder; SIGTERM (what `timeout` sends) ends the process through it as Ctrl-C does."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_NAME}{os.getpid()}-"))
    mine = os.getpid()
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield folder
    finally:
        signal.signal(signal.SIGTERM, before)
        if os.getpid() == mine:  # not a fork of it
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of attacks that live no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_NAME}*"):
        number = re.match(rf"{_NAME}(\d+)-", folder.name)
        if number is None or not _lives(int(number[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
