"""How a training run shows itself: a live bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from digitlab.cli.width import columns_of, epoch_line, fitted, left, speed
from digitlab.runs.events import Epoch
from digitlab.runs.states import Stage
from digitlab.runs.worker import Quiet

if TYPE_CHECKING:
    from rich.console import Console

    from digitlab.data import Dataset
    from digitlab.learning.engine import Progress
    from digitlab.learning.state import TrainState
    from digitlab.runs import Run

_STAGES = {
    Stage.JUDGE: "judging on the test images",
    Stage.SAVE: "saving",
    Stage.DRAW: "drawing figures and report",
}


class Lines(Quiet):
    """One line per epoch, aligned; with a live bar underneath where stderr is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True, highlight=False)
        self._console.soft_wrap = not self._console.is_terminal  # a file's lines are not broken
        self._width = columns_of(self._console)
        # Below 60 columns the words need the bar's room.
        self._bar_width = min(30, self._console.width // 3 - 14) if self._console.width >= 60 else 0
        self._images = 0
        self._began: tuple[float, int] | None = None  # the first moment after compiling, and images seen by then
        self._bar: Any = None
        self._task: Any = None
        self.run: Run | None = None
        self.finished_epochs = 0

    def started(self, run: Run, data: Dataset, model: Any, state: TrainState | None) -> None:
        """Say what is trained on what."""
        self.run = run
        self._images = len(data.train)
        recipe = run.recipe
        say = self._console.print
        say(f"[bold]{recipe.name}[/]: {recipe.description}; {model.count_params():,} parameters, seed {recipe.seed}")
        counts = f"{len(data.train):,} training, {len(data.validation):,} validation, {len(data.test):,} test"
        say(f"[bold]{data.name}[/]: {counts} images of {len(data.class_names)} classes")
        if self._console.is_terminal:
            from digitlab.data.overview import terminal_grid

            # The first few training images, as many as fit: people see at once what is being learned.
            few = data.train.images[: max(1, (self._console.width + 2) // 16)][:7]
            for line in terminal_grid(few, columns=len(few)):
                say(line, markup=False)
        if state:
            self.finished_epochs = state.epoch
            say(f"resumed after epoch {state.epoch} of {recipe.epochs}")
        if not _rescales(model):
            say(
                "note: your model gets pixels 0 to 255 and does not rescale them; "
                "begin it with keras.layers.Rescaling(1 / 255) unless that is meant"
            )
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn

            bar = [BarColumn(bar_width=self._bar_width)] if self._bar_width else []
            self._bar = Progress(*bar, TextColumn("{task.description}"), console=self._console, transient=True)
            self._task = self._bar.add_task("compiling", total=recipe.epochs * len(data.train))
            self._bar.start()

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        if not self._bar:
            return
        done, total = progress.epoch * progress.of + progress.images, progress.epochs * progress.of
        now = time.perf_counter()
        self._began = self._began or (now, done)
        seconds, here = now - self._began[0], done - self._began[1]
        words = [
            (f"{progress.epoch + 1}/{progress.epochs}", 0),
            (f"{100 * done / max(1, total):3.0f} %", 1),
            (f"loss {progress.loss:.4f}", 4),
            (f"accuracy {100 * progress.accuracy:.2f} %", 2),
            (speed(here, seconds), 3),
            (left(seconds * (total - done) / here) if here else "", 0),
        ]
        taken = self._bar_width + 1 if self._bar_width else 0
        self._bar.update(self._task, description=fitted(words, self._console.width - taken), completed=done)

    def epoch(self, state: TrainState, epochs: int) -> None:
        """One line with what Keras users know."""
        self.finished_epochs = state.epoch
        self._console.print(epoch_line(Epoch.of(state, epochs), images=self._images, width=self._width))

    def stage(self, name: Stage) -> None:
        """Say what comes after training."""
        super().stage(name)
        if name in _STAGES:
            if self._bar:
                self._bar.stop()
                self._bar = None
            self._console.print(f"{_STAGES[name]} …", style="dim")

    def close(self) -> None:
        """Give the terminal back, however it ended."""
        if self._bar:
            self._bar.stop()
            sys.stderr.flush()


def _rescales(model: Any) -> bool:
    from digitlab.learning.describe import rescales

    return rescales(model)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told "so many of so many": a bar on a terminal, a line each tenth elsewhere; on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn(what))
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, of: bar.update(task, completed=done, total=of)
        return

    def line(done: int, of: int) -> None:
        if done == of or 10 * done // of > 10 * (done - 1) // of:
            console.print(f"{done} of {of} {what}")

    yield line
