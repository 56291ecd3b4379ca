"""One seed of a group in a process of its own; `digitlab.runs.parallel` starts it, nobody types it."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from digitlab.processes import bind_to_a_free_core
from digitlab.runs.events import Epoch, Watcher, to_plain
from digitlab.runs.states import Stage

if TYPE_CHECKING:
    from digitlab.learning.state import TrainState


# Seconds until an interrupt is repeated: one that comes within a callback of a C library may be swallowed there.
PATIENCE = 5


class Quiet(Watcher):
    """Says nothing; sees to it that Keras is imported the quick way, and only once data and names are known good."""

    def stage(self, name: Stage) -> None:
        """Import Keras when the model is about to be built."""
        if name == Stage.BUILD:
            from digitlab.startup import import_keras_quickly

            import_keras_quickly()


class Reporting(Quiet):
    """A JSON line on stdout an epoch and a stage."""

    def epoch(self, state: TrainState, epochs: int) -> None:
        """What the last epoch gave."""
        _say(to_plain(Epoch.of(state, epochs)))

    def stage(self, name: Stage) -> None:
        """What comes next."""
        super().stage(name)
        _say(to_plain(name))


def _say(message: dict[str, Any]) -> None:
    try:
        print(json.dumps(message), flush=True)
    except BrokenPipeError:  # the parent is gone
        raise KeyboardInterrupt from None


def _end_with_parent() -> None:
    """Interrupt this process when its parent closes the pipe: on Ctrl-C, and by its end, whatever ended it."""
    parent = os.getppid()
    sys.stdin.buffer.read()
    while True:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(PATIENCE / 2)
        if os.getppid() != parent:  # nobody waits for it any more, and compiling can take minutes; the run is kept
            os._exit(130)
        time.sleep(PATIENCE / 2)


def main() -> None:
    """Train or go on, as the task on stdin says."""
    from digitlab.errors import DigitlabError
    from digitlab.learning.recipe import Recipe
    from digitlab.runs import training

    task: dict[str, Any] = pickle.load(sys.stdin.buffer)  # noqa: S301  (from our own parent process)
    if task["cores"] is None:  # a cluster's machine
        bind_to_a_free_core()
    elif hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, task["cores"])  # before JAX makes its threads
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background has it ignored, and so had we
    threading.Thread(target=_end_with_parent, daemon=True).start()
    watcher = Reporting()
    try:
        if task["resume"] is not None:
            model = task["options"].get("model")
            training.resume(task["resume"], data=task["dataset"], model=model, watcher=watcher)
        else:
            recipe = Recipe.from_dict(task["recipe"])
            training.train(recipe, name=task["name"], watcher=watcher, **task["options"])
    except KeyboardInterrupt:
        os._exit(130)  # the run is kept; the thread that reads stdin would hold the interpreter
    except (DigitlabError, OSError, MemoryError) as error:
        _say({"error": f"{task['name']}: {error or type(error).__name__}"})
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
