"""Start a Python that runs ours and nobody else's modules: anew, or as a copy of this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from digitlab.processes.inside import work


def python(module: str) -> list[str]:
    """The command that runs a module of ours in another Python, and never one that lies in the current folder.

    Example:
        >>> python("digitlab.processes")[1:]
        ['-P', '-m', 'digitlab.processes']
    """
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """The environment of such a process: it finds this digitlab, and nothing in the folder that it happens to start in.

    `sys.path` is not handed on: its first entry is the current folder under `python -m`, and the script's own folder
    under `python script.py`.
    """
    kept = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    ours = Path(__file__).parents[2]
    if ours.name not in ("site-packages", "dist-packages"):  # Python finds those, after its own library
        kept = [str(ours), *(entry for entry in kept if entry != str(ours))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(kept)}


class Child(subprocess.Popen[bytes]):
    """A module of ours in another Python, and the pipe that it is told through; Ctrl-C is for this process alone.

    Args:
        module: as in "digitlab.processes".
        answers: whether somebody reads what it prints.
        errors: the same of what it complains of.
        settings: environment variables, beside those of `environment`.
    """

    stdin: BinaryIO
    stdout: BinaryIO
    stderr: BinaryIO

    def __init__(
        self,
        module: str,
        *,
        answers: bool = False,
        errors: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(
            python(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if answers else subprocess.DEVNULL,
            stderr=subprocess.PIPE if errors else subprocess.DEVNULL,
            env={**environment(), **settings},
            start_new_session=True,
        )

    def tell(self, content: bytes, *, last: bool = True) -> None:
        """Write to it; where it has died already, its exit code says so. `last` closes the pipe."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.stdin.write(content)
            self.stdin.flush()
        if last:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the pipe that it is told through."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()


class Copy:
    """A process made by fork, with what is used of `subprocess.Popen`."""

    def __init__(self, task: tuple[Any, ...]) -> None:
        down, up = os.pipe(), os.pipe()
        self.ready = False
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
                os.close(down[1])
                os.close(up[0])
                work(os.fdopen(down[0], "rb"), os.fdopen(up[1], "wb"), task)
                code = 0
            finally:
                os._exit(code)  # the parent's buffers and exit handlers are the parent's
        os.close(down[0])
        os.close(up[1])
        self.stdin: BinaryIO = os.fdopen(down[1], "wb")
        self.stdout: BinaryIO = os.fdopen(up[0], "rb")
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            time.sleep(0.002)
        return code

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def can_fork() -> bool:
    """Whether a copy of this process would work: on Linux, and with one thread, since only that one is copied."""
    try:
        return sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False
