"""What a process of its own does: set up, then one piece of work after another, until its input ends."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from typing import IO, Any, BinaryIO

from digitlab.errors import DigitlabError

# Before every message: its kind, one letter, and the length of what follows.
HEAD = struct.Struct("<cQ")


def work(requests: BinaryIO, answers: BinaryIO, task: tuple[Any, ...]) -> None:
    """Set up, then answer until there is nothing more to read."""
    setup, arguments, memory, nice = task
    _quiet()
    end_with_parent()
    if nice and hasattr(os, "nice"):
        os.nice(nice)
    _cap_memory(memory)  # opening a model from elsewhere is work as well
    try:
        state = setup(*arguments)
    except BaseException as error:
        write(answers, *_failure(error))
        return
    write(answers, b"R", b"")
    _cap_memory(memory)
    while (content := read(requests)) is not None:
        function, values, seconds = pickle.loads(content)  # noqa: S301  (from our own parent process)
        if hasattr(signal, "alarm"):
            signal.alarm(int(seconds) + 5)  # should the parent be gone, nobody else ends this
        try:
            kind, answer = b"R", function(state, *values)
        except BaseException as error:
            kind, answer = _failure(error)
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        write(answers, kind, answer)


def _failure(error: BaseException) -> tuple[bytes, bytes]:
    """An exception as kind and content of an answer."""
    text = str(error)
    # ONNX Runtime and C++ say in words that there is no memory.
    if isinstance(error, MemoryError) or "bad_alloc" in text or "allocate memory" in text:
        return b"M", json.dumps(["MemoryError", ""]).encode()
    kind = b"E" if isinstance(error, DigitlabError) else b"!"
    return kind, json.dumps([type(error).__name__, text[:2000]]).encode()


def _quiet() -> None:
    """Nothing that a library prints may reach the terminal or stand between the answers."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _cap_memory(more: int) -> None:
    """Let this process have so many bytes more than now."""
    try:
        import resource

        status = Path("/proc/self/status").read_text("ascii")
        now = 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
        # Data, not address space: threads and allocators reserve more addresses than they ever use.
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = now + more if most == resource.RLIM_INFINITY else min(now + more, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError, StopIteration):
        return  # no Linux


def end_with_parent() -> None:
    """Have Linux end this process with the one that started it."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def write(pipe: IO[bytes], kind: bytes, content: bytes) -> None:
    """One message into a pipe: a letter for its kind, its length, its content."""
    pipe.write(HEAD.pack(kind, len(content)))
    pipe.write(content)
    pipe.flush()


def read(pipe: BinaryIO) -> bytes | None:
    """The content of the next message; None at the end."""
    head = pipe.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    _, size = HEAD.unpack(head)
    content = pipe.read(size)
    return content if len(content) == size else None


def main() -> None:
    """Take the task from stdin, then work."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    content = read(requests)
    if content is not None:
        work(requests, answers, pickle.loads(content))  # noqa: S301  (from our own parent process)
