"""`digitlab train RECIPE --seeds N`: a group of seeds, one after another, side by side, or on a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from digitlab import in_words
from digitlab.cli.errors import fail
from digitlab.cli.scheduler import cluster_at
from digitlab.cli.termination import ends_on_sigterm, exit_code

if TYPE_CHECKING:
    from digitlab.learning import Recipe
    from digitlab.runs.events import Event
    from digitlab.runs.groups import Group
    from digitlab.runs.worker import Quiet


def train_group(
    settings: Recipe,
    seeds: int,
    jobs: int,
    options: dict[str, Any],
    *,
    scheduler: str | None = None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a group, and print its mean, its spread and what its members know together."""
    from digitlab.cli.progress import Lines
    from digitlab.runs.group_training import train_group as train
    from digitlab.runs.worker import Quiet
    from digitlab.startup import compiled_programs

    watchers: list[Quiet] = []

    def watcher() -> Quiet:
        watchers.append(Quiet() if quiet else Lines())
        return watchers[-1]

    if jobs > 1:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compiled_programs()))
    began: list[str] = []

    def on_event(name: str, event: Event) -> None:
        if name not in began:
            began.append(name)
        if not quiet:
            say(name, event)

    def kept() -> str:
        run = getattr(watchers[-1], "run", None) if watchers else None
        called = run.info["group"] if run else began[0].rpartition("-seed")[0] if began else options["name"]
        if not called:
            return "stopped. Nothing is kept"
        return f"stopped. Resume it by the same command with --name {called}: finished seeds stay"

    try:
        with ends_on_sigterm(kept), contextlib.ExitStack() as stack:
            place = stack.enter_context(cluster_at(scheduler)) if scheduler else None
            group = train(settings, seeds, watcher=watcher, jobs=jobs, place=place, on_event=on_event, **options)
    except KeyboardInterrupt as stop:
        fail(kept(), exit_code(stop))
    finally:
        for one in watchers:
            if isinstance(one, Lines):
                one.close()
    print(json.dumps(summary(group)) if as_json else closing_words(group))


def say(name: str, event: Event) -> None:
    """A line per epoch, with the seed it belongs to in front."""
    from rich.console import Console

    from digitlab.cli.width import columns_of, epoch_line
    from digitlab.runs.events import Epoch
    from digitlab.runs.states import Stage

    seed = name.rpartition("-")[2].replace("seed", "seed ")
    if isinstance(event, Epoch):
        line = epoch_line(event, before=f"{seed:<7}", width=columns_of(Console(stderr=True)))
        print(line, file=sys.stderr, flush=True)
    elif event == Stage.JUDGE:
        print(f"{seed:<7}  judging on the test images …", file=sys.stderr, flush=True)


def summary(group: Group) -> dict[str, Any]:
    """What `--json` prints."""
    found, together = group.spread, group.ensemble
    return {
        "group": group.name,
        "recipe": group.runs[0].info["recipe"]["name"],
        "seeds": [run.info["seed"] for run in group.runs],
        "test_accuracies": group.accuracies.tolist(),
        "mean": found.mean,
        "std": found.std,
        "interval": found.interval,
        "ensemble": {"test_accuracy": together.accuracy, "interval": list(together.accuracy_interval)},
        "runs": [str(run.path) for run in group.runs],
    }


def closing_words(group: Group) -> str:
    """The result as a person reads it."""
    found, together = group.spread, group.ensemble
    of_mean = in_words.interval(found.interval or (found.mean, found.mean), of="the mean")
    lines = [
        f"seed {run.info['seed']}  {100 * accuracy:.2f} %  {run.path}"
        for run, accuracy in zip(group.runs, group.accuracies, strict=True)
    ]
    return "\n".join(
        [
            f"{group.name}: {100 * found.mean:.2f} ± {100 * (found.std or 0):.2f} % correct on the test images, mean "
            f"and standard deviation of {found.n} seeds "
            f"({of_mean})",
            *lines,
            f"ensemble  {100 * together.accuracy:.2f} % ({in_words.interval(together.accuracy_interval)}): their "
            f"probabilities averaged; digitlab export {group.name} makes one model of them",
        ]
    )
