"""Draw a run's figures in a process of its own.

Why: importing Matplotlib and Seaborn takes 2 to 3 seconds and drawing another 2, on a core that training leaves idle.
The process imports at once, then waits for the content on its standard input; when that closes without any (the
training process was stopped or killed), it ends.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from digitlab.errors import RunError
from digitlab.processes import Child

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
        self._process = Child("digitlab.showing.figures.process", errors=True)  # ends when its pipe closes
        return self

    def draw(self, folder: Path, content: FigureContent) -> None:
        """Hand over what to draw; the process begins at once."""
        # Between two processes of ours, never to a file: pickle is what multiprocessing would use here as well.
        self._process.tell(pickle.dumps((str(folder.resolve()), content), protocol=pickle.HIGHEST_PROTOCOL))

    def wait(self) -> None:
        """Wait for the figures.

        Raises:
            RunError: they could not be drawn, with the reason.
        """
        message = self._process.stderr.read().decode(errors="replace").strip()
        if self._process.wait() != 0:
            reason = message.splitlines()[-1] if message else f"exit code {self._process.returncode}"
            raise RunError(f"the figures could not be drawn ({reason}); `digitlab train --resume` tries again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.hang_up()
        self._process.stderr.close()
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
