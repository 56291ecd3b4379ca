"""How a run shows itself in a notebook while it trains: a bar that moves and what the last epoch brought."""

from __future__ import annotations

import importlib
import sys
import time
from html import escape
from typing import TYPE_CHECKING, Any

from digitlab.runs.events import Watcher
from digitlab.runs.states import Stage

if TYPE_CHECKING:
    from digitlab.learning.engine import Progress
    from digitlab.learning.state import TrainState

OFTEN = 0.3


def in_notebook() -> bool:
    """Whether this is a notebook's kernel, whose output can be changed after it was written."""
    if "ipykernel" not in sys.modules:
        return False
    shell = importlib.import_module("IPython").get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class NotebookProgress(Watcher):
    """Shows itself below the cell, in place."""

    def __init__(self) -> None:
        shown = importlib.import_module("IPython.display")
        self._html = shown.HTML
        self._handle: Any = shown.display(shown.HTML("preparing…"), display_id=True)
        self._last = 0.0
        self._words = ""

    def started(self, run: Any, data: Any, model: Any, state: TrainState | None) -> None:  # noqa: ARG002
        """Say which run it is."""
        self._title = f"{run.name}: {model.count_params():,} parameters"
        self._show(0.0, "compiling…", force=True)

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        share = (progress.epoch * progress.of + progress.images) / max(1, progress.epochs * progress.of)
        now = f"epoch {progress.epoch + 1} of {progress.epochs}, accuracy {100 * progress.accuracy:.2f} %"
        self._show(share, f"{now}. {self._words}")

    def epoch(self, state: TrainState, epochs: int) -> None:
        """Keep what the epoch brought."""
        validation = state.history["val_accuracy"][-1]
        if validation == validation:  # NaN without validation images
            self._words = f"Validation after epoch {state.epoch}: {100 * validation:.2f} %"
        self._show(state.epoch / epochs, f"epoch {state.epoch} of {epochs}. {self._words}", force=True)

    def stage(self, name: Stage) -> None:
        """Say what comes after training."""
        words = {
            Stage.JUDGE: "judging on the test images…",
            Stage.SAVE: "saving…",
            Stage.DRAW: "drawing figures and report…",
        }
        if name in words:
            self._show(1.0, f"{words[name]} {self._words}", force=True)

    def _show(self, share: float, words: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._handle is None or (not force and now - self._last < OFTEN):
            return
        self._last = now
        bar = f'<progress value="{share:.4f}" max="1" style="width:20em;vertical-align:middle"></progress>'
        self._handle.update(self._html(f"{bar} <b>{escape(self._title)}</b><br>{escape(words)}"))
