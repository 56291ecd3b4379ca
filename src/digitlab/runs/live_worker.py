"""One run in a process that outlives who started it, such as a server; nobody types it."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from digitlab.runs.live import Live
from digitlab.runs.worker import Quiet


def _validation(data: str | None) -> int:
    """How many images are kept for validation: as everywhere for MNIST, else a tenth, at most 5,000."""
    from digitlab.data import load

    return 5000 if data is None else min(5000, len(load(data, validation=0).train) // 10)


def main() -> None:
    """Train or go on, as the task on stdin says."""
    from digitlab.errors import DigitlabError
    from digitlab.learning.recipe import Recipe
    from digitlab.runs import training

    task: dict[str, Any] = json.load(sys.stdin)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    live = Live(Quiet())
    try:
        if task.get("resume"):
            training.resume(task["resume"], folder=task["folder"], watcher=live)
        else:
            training.train(
                Recipe.from_dict(task["recipe"]),
                name=task["name"],
                folder=task["folder"],
                data=task["data"],
                validation=_validation(task["data"]),
                watcher=live,
            )
    except KeyboardInterrupt:
        os._exit(130)  # the run is kept and can go on
    except (DigitlabError, OSError, MemoryError) as error:
        live.failed(str(error) or type(error).__name__)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
