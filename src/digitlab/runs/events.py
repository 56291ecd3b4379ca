"""What a run tells while it trains, in this process and across processes, and who listens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from digitlab.runs.states import Stage

if TYPE_CHECKING:
    from digitlab.data import Dataset
    from digitlab.learning.engine import Progress
    from digitlab.learning.state import TrainState
    from digitlab.runs.folder import Run


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended.

    Attributes:
        epoch: Its number, from 1.
        epochs: How many there are.
        values: What it gave, by the names of a history's columns; NaN without validation images.
    """

    epoch: int
    epochs: int
    values: Mapping[str, float]

    @classmethod
    def of(cls, state: TrainState, epochs: int) -> Epoch:
        """The last epoch of a state, of so many.

        Example:
            >>> from digitlab.learning.state import TrainState
            >>> history = {"epoch": [1, 2], "loss": [0.4, 0.2]}
            >>> Epoch.of(TrainState(2, (), 0, (), history), 5)
            Epoch(epoch=2, epochs=5, values={'epoch': 2, 'loss': 0.2})
        """
        return cls(state.epoch, epochs, {name: column[-1] for name, column in state.history.items()})


# An epoch that has ended, or a stage that begins.
Event = Epoch | Stage
# Called with a run's name and what it did, where it trains in another process.
OnEvent = Callable[[str, Event], None]


def to_plain(event: Event) -> dict[str, Any]:
    """An event as plain JSON values, for a pipe or a scheduler; NaN and infinity become None.

    Example:
        >>> to_plain(Epoch(1, 3, {"loss": 0.5, "val_loss": float("nan")}))
        {'epoch': 1, 'epochs': 3, 'values': {'loss': 0.5, 'val_loss': None}}
    """
    if isinstance(event, Stage):
        return {"stage": str(event)}
    values = {name: value if math.isfinite(value) else None for name, value in event.values.items()}
    return {"epoch": event.epoch, "epochs": event.epochs, "values": values}


def from_plain(told: Mapping[str, Any]) -> Event:
    """The event that `to_plain` was given; None becomes NaN.

    Example:
        >>> from_plain({"stage": "judge"}).name
        'JUDGE'
    """
    if "stage" in told:
        return Stage(told["stage"])
    values = {name: math.nan if value is None else value for name, value in told["values"].items()}
    return Epoch(told["epoch"], told["epochs"], values)


class Watcher:
    """What `train` tells while it works; this one keeps silent, the command line's draws a progress bar."""

    def started(self, run: Run, data: Dataset, model: Any, state: TrainState | None) -> None:
        """The run folder is made and the model is built; `state` is what it resumes from."""

    def progress(self, progress: Progress) -> None:
        """Several times a second within an epoch."""

    def epoch(self, state: TrainState, epochs: int) -> None:
        """An epoch is done and its checkpoint kept; `Epoch.of(state, epochs)` is what it gave."""

    def stage(self, name: Stage) -> None:
        """A new stage begins."""


class Stopwatch(Watcher):
    """Seconds by stage. `started` is a `time.perf_counter()` value: where the first stage, "start", began."""

    def __init__(self, started: float | None = None) -> None:
        self._started = self._last = time.perf_counter() if started is None else started
        self._stages: dict[str, float] = {}
        self._name = Stage.START

    def stage(self, name: Stage) -> None:
        """End the stage that runs and begin another."""
        now = time.perf_counter()
        self._stages[self._name] = self._stages.get(self._name, 0.0) + now - self._last
        self._name, self._last = name, now

    def seconds(self) -> dict[str, float]:
        """Seconds by stage up to now, with `total`."""
        self.stage(self._name)
        rounded = {str(name): round(value, 3) for name, value in self._stages.items()}
        return rounded | {"total": round(time.perf_counter() - self._started, 3)}
