"""Worker: one process that does one piece of work after another, each with a deadline, all under a memory cap."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from digitlab import errors
from digitlab.errors import ProcessError
from digitlab.processes.inside import HEAD, write
from digitlab.processes.start import Child, Copy

# What one image may take unless the user says otherwise.
SECONDS = 30.0
# What a worker may take beyond what it has when it is ready: 120 megapixels with alpha need 1.3 GB. Linux alone counts
# this; elsewhere the deadline has to do.
MEMORY = 2 << 30
# Imports and a model opened: half a second on an idle machine.
START_SECONDS = 60.0


class WorkerError(Exception):
    """An exception that nobody meant to raise, from a worker: its kind and its message."""


class Worker:
    """One process that does one piece of work after another, started when it is first asked.

    Args:
        setup: a function at the top of a module; called first, in the process, for what its work needs.
        arguments: for it.
        memory: bytes that the work may take beyond what `setup` left.
        fork: copy this process instead of starting a Python of its own, where `can_fork`: it is there at once.
        nice: by how much it steps back when others want the processor.

    Example:
        >>> with Worker(str, ("ready",)) as worker:
        ...     worker.ask(_echo, b"ink", seconds=60)
        b'ready ink'
    """

    def __init__(
        self,
        setup: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        *,
        memory: int = MEMORY,
        fork: bool = False,
        nice: int = 0,
    ) -> None:
        self._task = (setup, arguments, memory, nice)
        self._fork = fork
        self._process: Child | Copy | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            DigitlabError: what `setup` raised.
            ProcessError: it died, or took longer than `START_SECONDS`.
        """
        self.launch()
        process = self._process
        if process is not None and not getattr(process, "ready", False):
            self._answer(time.monotonic() + START_SECONDS)
            process.ready = True  # type: ignore[union-attr]

    def launch(self) -> None:
        """Start the process without waiting for it."""
        if self._process is not None:
            return
        if self._fork:
            self._process = Copy(self._task)
            return
        # Its complaints are nobody's: a library that warns of a damaged file prints what the file says.
        self._process = Child("digitlab.processes", answers=True)
        self._send(self._task)

    def ask(self, function: Callable[..., bytes], *arguments: Any, seconds: float = SECONDS) -> bytes:
        """Call a function in the process, as ``function(what setup returned, *arguments)``.

        Args:
            function: at the top of a module; returns bytes.
            arguments: plain values.
            seconds: when they are over the process is ended; the next piece of work starts another.

        Raises:
            DigitlabError: what the function raised.
            ProcessError: it took too long or too much memory, or the process died.
            WorkerError: the function raised anything else.
        """
        self.start()
        self._send((function, arguments, seconds))
        return self._answer(time.monotonic() + seconds)

    def _send(self, content: Any) -> None:
        process = self._process
        assert process is not None  # noqa: S101  (started above; for the type checker)
        data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
        with contextlib.suppress(BrokenPipeError, ValueError):  # it died; reading its answer says so
            write(process.stdin, b"W", data)

    def _answer(self, deadline: float) -> bytes:
        process = self._process
        assert process is not None  # noqa: S101
        pipe = process.stdout
        try:
            with _Until(deadline, process) as until:
                kind, size = HEAD.unpack(until.read(pipe.fileno(), HEAD.size))
                content = until.read(pipe.fileno(), size)
        except (EOFError, OSError):
            late = time.monotonic() >= deadline
            code = self.end()
            raise ProcessError(_why(code, late), timed_out=late) from None
        except BaseException:  # Ctrl-C in the middle of an answer: what comes next would be the rest of it
            self.end()
            raise
        if kind == b"R":
            return content
        name, message = json.loads(content)
        if kind == b"E":
            raise getattr(errors, name)(message)
        if kind == b"M":
            raise ProcessError("takes more memory than one image may", timed_out=False)
        raise WorkerError(f"{name}: {message}")

    def kill(self) -> None:
        """End the process from another thread than the one that asks, which hears of it."""
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()

    def end(self) -> int:
        """End the process at once, in the middle of whatever it does; returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        code = process.poll()
        if code is None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()
            # One that died by itself is given a moment to be seen doing so.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(0.05)
            process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
        last = process.wait()
        return last if code is None else code


def _why(code: int, late: bool) -> str:
    if late:
        return "took too long"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"ended the process that read it ({signal.Signals(-code).name})"
    return f"ended the process that read it (exit code {code})"


class _Until:
    """Reads from a pipe until a moment, then ends the process at its other end."""

    def __init__(self, deadline: float, process: Any) -> None:
        self._deadline, self._process = deadline, process
        self._timer: threading.Timer | None = None

    def __enter__(self) -> _Until:
        if os.name == "nt":  # its pipes cannot be waited for
            self._timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._process.kill)
            self._timer.daemon = True
            self._timer.start()
        else:
            self._poll = select.poll()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def read(self, descriptor: int, size: int) -> bytes:
        """So many bytes.

        Raises:
            EOFError: the other side is gone, or the moment is over.
        """
        parts = bytearray()
        if self._timer is None:
            self._poll.register(descriptor, select.POLLIN)
        while len(parts) < size:
            if self._timer is None:
                left = self._deadline - time.monotonic()
                if left <= 0 or not self._poll.poll(1000 * left):
                    self._process.kill()
                    raise EOFError
            part = os.read(descriptor, min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


def _echo(state: str, content: bytes) -> bytes:
    return state.encode() + b" " + content
