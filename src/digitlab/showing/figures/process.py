"""Draw a run's figures in a process of its own.

Why: importing Matplotlib and Seaborn takes 2 to 3 seconds and drawing another 2, on a core that training leaves idle.
The process imports at once, then draws what comes on its standard input: first what does not depend on the result, so
that less is left to do after the end; and the last figures in two, by a copy of itself. When its input closes, it ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from digitlab.errors import RunError
from digitlab.machine import usable_cores
from digitlab.processes import Child, can_fork

if TYPE_CHECKING:
    from digitlab.showing.figures import FigureContent


class Drawer:
    """The drawing process of one run; a context manager, so that it never outlives the run.

    Example:
        >>> with Drawer() as drawer:  # doctest: +SKIP
        ...     drawer.draw(Path("runs/my-run/figures"), content, FIGURES)  # returns at once
        ...     drawer.wait()
    """

    def __enter__(self) -> Drawer:
        # With one thread, so that a copy of the process works; the figures need no more.
        self._process = Child("digitlab.showing.figures.process", errors=True, settings={"OPENBLAS_NUM_THREADS": "1"})
        # A thread writes: the pipe holds little, and the process reads nothing before it has imported.
        self._orders: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()
        return self

    def draw(self, folder: Path, content: FigureContent, names: Sequence[str]) -> None:
        """Have these figures drawn, names as in `FIGURES`; returns at once."""
        # Between two processes of ours, never to a file: pickle is what multiprocessing would use here as well.
        order = (str(folder.resolve()), content, tuple(names))
        self._orders.put(pickle.dumps(order, protocol=pickle.HIGHEST_PROTOCOL))

    def _write(self) -> None:
        while (order := self._orders.get()) is not None:
            self._process.tell(order, last=False)
        self._process.hang_up()

    def wait(self) -> None:
        """Wait for the figures.

        Raises:
            RunError: they could not be drawn, with the reason.
        """
        self._orders.put(None)
        message = self._process.stderr.read().decode(errors="replace").strip()
        if self._process.wait() != 0:
            reason = message.splitlines()[-1] if message else f"exit code {self._process.returncode}"
            raise RunError(f"the figures could not be drawn ({reason}); `digitlab train --resume` tries again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._kill()
        self._orders.put(None)
        self._writer.join()
        self._process.stderr.close()
        self._process.wait()

    def _kill(self) -> None:
        """End it and its copy, which is of the same session."""
        if sys.platform == "win32":
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def save_in_two(folder: Path, content: FigureContent, names: Sequence[str]) -> None:
    """`save_figures`, half of them by a copy of this process, where a copy works and there is a core for it."""
    from digitlab.showing.figures import save_figures

    if len(names) < 2 or not can_fork() or len(usable_cores()) < 2:
        save_figures(folder, content, names)
        return
    child = os.fork()
    if not child:
        code = 1
        try:
            save_figures(folder, content, names[1::2])
            code = 0
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    save_figures(folder, content, names[::2])
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)  # it has said why


def main() -> None:
    """What the process does: import, then draw what comes until the input closes."""
    from digitlab.showing.figures import warm_up

    warm_up()
    while True:
        try:
            folder, content, names = pickle.load(sys.stdin.buffer)  # noqa: S301  (from our own parent process)
        except EOFError:
            return
        save_in_two(Path(folder), content, names)


if __name__ == "__main__":
    main()
