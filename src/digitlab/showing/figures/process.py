"""Draw a run's figures in a process of its own.

Why: importing Matplotlib and Seaborn takes 2 to 3 seconds and drawing another 2, on a core that training leaves idle.
The process imports at once, then waits for the content on its standard input; when that closes without any (the
training process was stopped or killed), it ends.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from digitlab.errors import RunError
from digitlab.processes import environment, python

if TYPE_CHECKING:
    from digitlab.showing.figures import FigureContent


class Drawer:
    """The drawing process of one run; a context manager, so that it never outlives the run.

    Example:
        >>> with Drawer() as drawer:  # doctest: +SKIP
        ...     drawer.draw(Path("runs/my-run/figures"), content)  # returns at once
        ...     drawer.wait()
    """

    def __enter__(self) -> Drawer:
        self._process = subprocess.Popen(  # noqa: S603  (this Python, a module of ours)
            python("digitlab.showing.figures.process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for the training process; this one ends when its input closes
        )
        return self

    def draw(self, folder: Path, content: FigureContent) -> None:
        """Hand over what to draw; the process begins at once."""
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101  (opened above; for the type checker)
        try:
            # Between two processes of ours, never to a file: pickle is what multiprocessing would use here as well.
            pickle.dump((str(folder.resolve()), content), pipe, protocol=pickle.HIGHEST_PROTOCOL)
            pipe.close()
        except BrokenPipeError:
            pass  # it died; `wait` says why

    def wait(self) -> None:
        """Wait for the figures.

        Raises:
            RunError: they could not be drawn, with the reason.
        """
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101
        message = stderr.read().decode(errors="replace").strip()
        if self._process.wait() != 0:
            reason = message.splitlines()[-1] if message else f"exit code {self._process.returncode}"
            raise RunError(f"the figures could not be drawn ({reason}); `digitlab train --resume` tries again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if kind is not None:
            self._process.kill()
        self._process.wait()


def main() -> None:
    """What the process does: import, wait for the content, draw."""
    from digitlab.showing.figures import save_figures, warm_up

    warm_up()
    try:
        folder, content = pickle.load(sys.stdin.buffer)  # noqa: S301  (from our own parent process)
    except EOFError:
        return
    save_figures(Path(folder), content)


if __name__ == "__main__":
    main()
