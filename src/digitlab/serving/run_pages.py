"""The page of runs, kept until a run changes, and each run's report."""

from __future__ import annotations

import os
import time
from pathlib import Path

# So long a page is handed out without a look at the folders.
FRESH = 0.5
# What the page of runs is made of.
FILES = ("run.json", "history.csv", "metrics.json", "predictions.npz", "corruptions.json", "report.html")
MAX_REPORT = 64_000_000


class RunsPage:
    """The page of runs; owns its last text and the state of the folders that it shows.

    Args:
        runs: folder of the runs.
    """

    def __init__(self, runs: str | Path | None) -> None:
        self.runs = runs
        self._text, self._looked = "", -FRESH
        self._state: tuple[object, ...] | None = None

    def fresh(self) -> str | None:
        """The page if it was made or looked at just now."""
        return self._text if time.monotonic() - self._looked < FRESH else None

    def text(self) -> str:
        """The page as the folders are now; made anew only if one of them changed."""
        if (page := self.fresh()) is not None:
            return page
        from digitlab.runs.overview import dashboard
        from digitlab.runs.register import runs_folder

        state = self._folders()
        if state != self._state:
            self._text = dashboard(runs_folder(self.runs), folder=self.runs, home="../")
            self._state = state
        self._looked = time.monotonic()
        return self._text

    def _folders(self) -> tuple[object, ...]:
        """Everything that the page depends on: names, times and sizes of files, and who is being trained."""
        from digitlab.runs.lock import is_locked
        from digitlab.runs.register import runs_folder

        state: list[object] = []
        try:
            folders = sorted(runs_folder(self.runs).iterdir())
        except OSError:
            return ()
        for folder in folders:
            for name in FILES:
                try:
                    found = os.stat(folder / name)  # noqa: PTH116  (a thousand runs; half the time)
                except OSError:
                    continue
                state.append((folder.name, name, found.st_mtime_ns, found.st_size, found.st_ino))
            # A run that is killed changes no file: it only lets go of its lock.
            if (folder / "checkpoint.npz").exists() or not (folder / "metrics.json").exists():
                state.append((folder.name, is_locked(folder)))
        return tuple(state)


def report(runs: str | Path | None, name: str) -> bytes | None:
    """A run's report; the name is only ever compared with those of folders that are there, never made into a path."""
    from digitlab.runs.register import runs_folder

    try:
        folders = {entry.name: Path(entry.path) for entry in os.scandir(runs_folder(runs)) if entry.is_dir()}
    except OSError:
        return None
    folder = folders.get(name)
    if folder is None or not (folder / "run.json").is_file():
        return None
    file = folder / "report.html"
    # Not out of the run's folder by a link either.
    if not file.is_file() or file.resolve().parent != folder.resolve() or file.stat().st_size > MAX_REPORT:
        return None
    return file.read_bytes()
