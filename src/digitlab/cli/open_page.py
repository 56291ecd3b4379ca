"""`digitlab train --open`: a page in the browser that shows the run while it trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.runs.events import Watcher
from digitlab.runs.live import Live

if TYPE_CHECKING:
    from digitlab.data import Dataset
    from digitlab.learning.state import TrainState
    from digitlab.runs import Run


class Announcing(Live):
    """Says where the report will be, once the run has a folder: the page is gone when the command ends."""

    def started(self, run: Run, data: Dataset, model: Any, state: TrainState | None) -> None:
        """Say it, and begin."""
        print(f"Its report will be in {run.path / 'report.html'}", file=sys.stderr, flush=True)
        super().started(run, data, model, state)


@contextmanager
def in_browser(watcher: Watcher, runs: Path | None, *, wanted: bool) -> Iterator[Watcher]:
    """A watcher that also feeds a page, opened in the browser; the watcher itself where that is not wanted."""
    if not wanted:
        yield watcher
        return
    import webbrowser

    from digitlab.serving.watching import watching

    with watching(runs) as address:
        print(f"Watch it learn: {address}", file=sys.stderr, flush=True)
        webbrowser.open(address)
        yield Announcing(watcher)
