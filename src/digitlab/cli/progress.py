"""How a training run shows itself: a live bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from digitlab.runs.training import Watcher

if TYPE_CHECKING:
    from digitlab.data import Dataset
    from digitlab.learning.engine import Progress
    from digitlab.learning.state import TrainState
    from digitlab.runs import Run

_STAGES = {"judge": "judging on the test images", "save": "saving", "draw": "drawing figures and report"}


class Quiet(Watcher):
    """Says nothing; sees to it that Keras is imported the quick way, and only once data and names are known good."""

    def stage(self, name: str) -> None:
        """Import Keras when the model is about to be built."""
        if name == "build":
            from digitlab.startup import import_keras_quickly

            import_keras_quickly()


class Lines(Quiet):
    """One line an epoch, aligned; with a live bar underneath where stderr is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Any = None
        self._task: Any = None
        self.run: Run | None = None
        self.finished_epochs = 0

    def started(self, run: Run, data: Dataset, model: Any, state: TrainState | None) -> None:
        """Say what is trained on what."""
        self.run = run
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
            say(f"going on after epoch {state.epoch} of {recipe.epochs}")
        if not _rescales(model):
            say(
                "note: your model gets pixels 0 to 255 and does not rescale them; "
                "begin it with keras.layers.Rescaling(1 / 255) unless that is meant"
            )
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TaskProgressColumn(),
                TextColumn("{task.fields[numbers]}"),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("compiling", total=recipe.epochs * len(data.train), numbers="")
            self._bar.start()

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar:
            self._bar.update(
                self._task,
                description=f"epoch {progress.epoch + 1}/{progress.epochs}",
                completed=progress.epoch * progress.of + progress.images,
                numbers=f"loss {progress.loss:.4f}  accuracy {100 * progress.accuracy:.2f} %",
            )

    def epoch(self, state: TrainState, epochs: int) -> None:
        """One line with what Keras users know."""
        self.finished_epochs = state.epoch
        row = {name: values[-1] for name, values in state.history.items()}
        line = f"epoch {state.epoch:>{len(str(epochs))}}/{epochs}  loss {row['loss']:.4f}"
        line += f"  accuracy {100 * row['accuracy']:6.2f} %"
        if row["val_loss"] == row["val_loss"]:  # NaN where there are no validation images
            line += f"  val_loss {row['val_loss']:.4f}  val_accuracy {100 * row['val_accuracy']:6.2f} %"
        self._console.print(f"{line}  rate {row['learning_rate']:.1e}  {row['seconds']:.2f} s")

    def stage(self, name: str) -> None:
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
    from digitlab.learning.models import rescales

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
