"""`digitlab train --from`: a trained network taught own images, with what it gained and what it forgot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from digitlab import in_words
from digitlab.cli.errors import fail
from digitlab.cli.termination import ends_on_sigterm, exit_code

if TYPE_CHECKING:
    from digitlab.collecting.teaching import Judged, Teaching
    from digitlab.runs import Run

STOPPED = "stopped; teach it again, it takes a minute"


def teach(
    parent: str,
    data: str,
    held_back: float,
    changes: dict[str, Any],
    options: dict[str, Any],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Teach a run or the reader, and print what came of it."""
    from digitlab import cli
    from digitlab.cli.progress import Lines
    from digitlab.collecting.teaching import fine_tune
    from digitlab.runs.events import Stopwatch
    from digitlab.runs.worker import Quiet

    watcher = Quiet() if quiet else Lines()
    chosen = {name: options[name] for name in ("engine", "folder", "name")}
    try:
        with ends_on_sigterm(lambda: STOPPED):
            clock = Stopwatch(cli.STARTED)
            run, teaching = fine_tune(
                parent, data, held_back=held_back, watcher=watcher, stopwatch=clock, **chosen, **changes
            )
    except KeyboardInterrupt as stop:
        fail(STOPPED, exit_code(stop))
    finally:
        if isinstance(watcher, Lines):
            watcher.close()
    print(json.dumps({"run": str(run.path), **teaching.as_dict()}) if as_json else words(run, teaching))


def words(run: Run, teaching: Teaching) -> str:
    """What fine-tuning did, as a person reads it."""
    own, old = teaching.own, teaching.old
    seconds = run.info["seconds"]["total"]
    together = {"sheet": "whole sheets", "writer": "whole writers", "image": "images of every class"}
    lines = [f"{teaching.parent} learned {teaching.learned} of your images"]
    if own.samples:
        lines.append(f"held back to judge by: {own.samples}, {together[teaching.held_back_by]}")
        lines.append(f"yours     {_line(own)}; {own.verdict}{_interval(own)}")
    else:
        lines.append("none was held back, so nothing says how well it reads yours now")
    lines += [
        f"test      {_line(old)}; {old.difference:+.2f} points{_interval(old)}",
        f"run       {run.path}",
        f"use it    digitlab read photo.jpg --model {run.path}",
        f"time      {seconds:.1f} s",
    ]
    return "\n".join(lines)


def _line(judged: Judged) -> str:
    """As in ``91.7 % before, 100.0 % after (22 and 24 of 24)``."""
    before, after = (100 * count / judged.samples for count in (judged.before, judged.after))
    return f"{before:.2f} % before, {after:.2f} % after ({judged.before:,} and {judged.after:,} of {judged.samples:,})"


def _interval(judged: Judged) -> str:
    if judged.interval is None:
        return ""
    return f" ({in_words.interval_of_points(*judged.interval)})"
