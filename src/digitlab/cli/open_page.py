"""`digitlab train --open`: a page in the browser that shows the run while it trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digitlab.runs.training import Watcher


@contextmanager
def in_browser(watcher: Watcher, runs: Path | None, *, wanted: bool) -> Iterator[Watcher]:
    """A watcher that also feeds a page, opened in the browser; the watcher itself where that is not wanted."""
    if not wanted:
        yield watcher
        return
    import webbrowser

    from digitlab.runs.live import Live
    from digitlab.serving.watching import watching

    with watching(runs) as address:
        print(f"Watch it learn: {address}", file=sys.stderr, flush=True)
        webbrowser.open(address)
        yield Live(watcher)
