"""A page that shows a run of this process while it trains, for `digitlab train --open`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# So long the page may take to see the last of the run, once it has ended.
FAREWELL = 2.0


@contextlib.contextmanager
def watching(runs: str | Path | None) -> Iterator[str]:
    """Serve the page of training runs, only to this machine and only to look at, until the run has ended.

    Args:
        runs: folder of the runs.

    Yields:
        The page's address.

    Example:
        >>> with watching("runs") as address:
        ...     address.startswith("http://127.0.0.1:")
        True
    """
    from starlette.applications import Starlette

    from digitlab.serving.access import Access
    from digitlab.serving.guard import Guard
    from digitlab.serving.server import addresses, open_port, serve
    from digitlab.serving.training import Trainings

    trainings = Trainings(runs, control=False)
    app = Guard(Starlette(routes=trainings.routes()), Access(local=True), lambda _: None)
    listening, stop = open_port(port=0), threading.Event()
    [address, *_] = addresses(listening)
    thread = threading.Thread(target=serve, args=(app, listening), kwargs={"stop": stop}, daemon=True)
    thread.start()
    try:
        yield f"{address}/train/"
    finally:
        until = time.monotonic() + FAREWELL
        while trainings.followed and time.monotonic() < until:
            time.sleep(0.05)  # it closes the connection itself when it has seen the end
        stop.set()
        thread.join(5)
