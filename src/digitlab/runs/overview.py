"""Gather what the page of runs shows, from the runs' folders, and write it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from digitlab.errors import RunError
from digitlab.files import printable, write_atomically
from digitlab.runs.folder import Run
from digitlab.runs.register import damaged_runs, list_runs, runs_folder
from digitlab.runs.states import State

if TYPE_CHECKING:
    from digitlab.showing import RunRow


def write_dashboard(file: str | Path, *, folder: str | Path | None = None) -> Path:
    """Write all runs of a folder side by side as one self-contained HTML page.

    Unfinished and failed runs are there too; a damaged one with what is wrong with it. Neither model nor data is read.

    Args:
        file: The page; its folder must exist.
        folder: Where runs live; else `DIGITLAB_RUNS`, else ``runs``.

    Returns:
        The page's path.

    Raises:
        DigitlabError: the file cannot be written.

    Example:
        >>> write_dashboard("runs.html")  # doctest: +SKIP
        PosixPath('runs.html')
    """
    page = Path(file)
    write_atomically(page, dashboard(page.parent, folder=folder))
    return page


def dashboard(beside: Path, *, folder: str | Path | None = None, home: str | None = None) -> str:
    """The page of runs as text.

    Args:
        beside: The folder that the page is seen in, for the links to the reports.
        folder: Where runs live.
        home: Address of the page where one draws, where a server shows this one.

    Returns:
        HTML.
    """
    from digitlab.showing import render_runs

    rows = [describe(run, beside) for run in list_runs(folder)]
    rows += [_damaged(path, why) for path, why in damaged_runs(folder).items()]
    return render_runs(rows, title=str(runs_folder(folder)), home=home)


def describe(run: Run, beside: Path) -> RunRow:
    """What the page says of one run; `beside` is the page's folder, for the link to the run's report."""
    from digitlab.showing import RunRow

    info, state = run.info, run.state
    data: dict[str, Any] = info.get("data") or {}
    known: dict[str, Any] = {}
    damage = run.damage
    with contextlib.suppress(RunError):  # no epoch yet, or `damage` says what is wrong
        known["history"] = run.history
    with contextlib.suppress(RunError):
        known["robustness"] = robustness.mean if (robustness := run.robustness) else None
    data_id = str(data["test_sha256"])
    if state == State.FINISHED and not damage:
        predictions, evaluation = run.predictions, run.evaluation
        known["right"] = predictions["test_probabilities"].argmax(axis=1) == predictions["test_labels"]
        known["interval"], known["log_loss"] = evaluation.accuracy_interval, evaluation.log_loss
        data_id = f"{data_id} {evaluation.samples}"  # only what has as many answers can be compared
    counts = data.get("counts") or {}
    settings = {**info["recipe"], "engine": info.get("engine")}
    return RunRow(
        name=printable(run.name),
        recipe_name=str(info["recipe"].get("name", "")),
        state=State.DAMAGED if damage else state,
        created=str(info.get("created", "")),
        data_name=str(data.get("name", "unknown data")),
        data_id=data_id,
        recipe=settings | {f"{part} images": counts.get(part) for part in ("train", "validation")},
        epochs=int(info["recipe"].get("epochs", 0)),
        parameters=info.get("parameters"),
        seconds=(info.get("seconds") or {}).get("total"),
        link=_link(run.path / "report.html", beside),
        note=damage,
        group=str(info.get("group") or ""),
        **known,
    )


def _damaged(path: Path, why: str) -> RunRow:
    """What the page says of a run whose `run.json` cannot be used."""
    from digitlab.showing import RunRow

    return RunRow(
        name=printable(path.name),
        recipe_name="",
        state=State.DAMAGED,
        created="",
        data_name="unknown data",
        data_id="unknown",
        recipe={},
        epochs=0,
        note=why,
    )


def _link(report: Path, beside: Path) -> str | None:
    """The address of a report seen from the page, so that both can be moved together; None where there is none."""
    if not report.is_file():
        return None
    try:
        return quote(Path(os.path.relpath(report, beside)).as_posix())
    except ValueError:  # on another drive
        return report.resolve().as_uri()
