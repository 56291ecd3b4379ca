"""Several seeds of one recipe as a group: trained one after another, judged each by itself, summed up with an interval.

A group is no folder of its own: its runs carry the group's name in `run.json` and are called ``GROUP-seed0`` and so on.
Training the same group again goes on where it stopped: finished seeds stay, a stopped one is resumed.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab import runs, workflow
from digitlab.errors import RecipeError, RunError
from digitlab.learning.recipe import Recipe
from digitlab.learning.recipe import recipe as make_recipe

if TYPE_CHECKING:
    from digitlab.judging.compare import Comparison, GroupComparison, Spread


@dataclass(frozen=True)
class Group:
    """Finished runs that differ only by their seed.

    Attributes:
        name: The group's name.
        runs: By seed.
    """

    name: str
    runs: tuple[runs.Run, ...]

    @property
    def accuracies(self) -> np.ndarray:
        """(seeds,) test accuracy of each run."""
        return np.array([run.evaluation.accuracy for run in self.runs])

    @property
    def correct(self) -> np.ndarray:
        """(seeds, n) bool: which run reads which test image right."""
        rows = []
        for run in self.runs:
            kept = run.predictions
            rows.append(kept["test_probabilities"].argmax(1) == kept["test_labels"])
        return np.stack(rows)

    @property
    def spread(self) -> Spread:
        """Mean, sample standard deviation and 95 % t interval of the test accuracy."""
        from digitlab.judging.compare import spread

        return spread(self.accuracies)


def train_group(
    recipe: str | Recipe = "mlp",
    seeds: int = 5,
    *,
    name: str | None = None,
    folder: str | Path | None = None,
    watcher: Callable[[], workflow.Watcher] = workflow.Watcher,
    changes: dict[str, Any] | None = None,
    **options: Any,
) -> Group:
    """Train a recipe with seeds counting up from its own; each seed is a run of its own.

    Args:
        recipe: As for `train`.
        seeds: How many, at least 2.
        name: The group's name; naming one that is there goes on with it.
        folder: Where runs live.
        watcher: Makes a watcher for each run.
        changes: Fields of the recipe to set.
        **options: `data`, `validation`, `model` and `engine`, as for `train`.

    Raises:
        DigitlabError: as for `train`; the seeds that are finished stay.

    Example:
        >>> group = train_group("linear", seeds=3, changes={"epochs": 1})  # doctest: +SKIP
        >>> group.spread.mean, group.spread.interval  # doctest: +SKIP
    """
    settings = make_recipe(recipe, **(changes or {}))
    if seeds < 2:
        raise RecipeError(f"seeds: got {seeds}, expected at least 2; one seed is an ordinary run")
    if name is not None:
        runs.check_name(name)
    now = datetime.datetime.now(datetime.UTC).astimezone()
    called = name or f"{settings.name}-{now:%Y%m%d-%H%M%S}"
    finished = []
    for seed in range(settings.seed, settings.seed + seeds):
        one = make_recipe(settings, seed=seed)
        path = runs.runs_folder(folder) / f"{called}-seed{seed}"
        if not path.exists():
            run = workflow.train(one, name=path.name, folder=folder, group=called, watcher=watcher(), **options)
        elif runs.Run(path).recipe != one:
            raise RunError(f"{path}: is there already and has another recipe. Choose another --name")
        elif runs.Run(path).state == "finished":
            run = runs.Run(path)
        else:
            run = workflow.resume(path, watcher=watcher())
        finished.append(run)
    return Group(called, tuple(finished))


def open_group(name: str, folder: str | Path | None = None) -> Group | None:
    """The group of that name with its finished runs; None if no run belongs to it."""
    found = [run for run in runs.list_runs(folder) if run.info.get("group") == name and run.state == "finished"]
    return Group(name, tuple(sorted(found, key=lambda run: int(run.info["seed"])))) if found else None


def compare(first: str | Path, second: str | Path, *, folder: str | Path | None = None) -> Comparison | GroupComparison:
    """How much two runs, or two groups, differ on the same test images, and whether that is more than chance.

    A run beside a group is compared as a group of one.

    Raises:
        RunError: no such run or group, not finished, or judged on different test images.
    """
    from digitlab.judging.compare import compare_groups, compare_runs

    a, b = (open_group(str(name), folder) for name in (first, second))
    one, other = (
        group or Group(run.name, (run,)) for group, run in ((a, _run(first, folder, a)), (b, _run(second, folder, b)))
    )
    tests = {run.info["data"]["test_sha256"] for run in (*one.runs, *other.runs)}
    if len(tests) > 1:
        raise RunError(f"{first} and {second}: judged on different test images, so they cannot be compared")
    if a or b:
        return compare_groups(one.correct, other.correct, names=(one.name, other.name))
    left, right = one.runs[0].predictions, other.runs[0].predictions
    probabilities = (left["test_probabilities"], right["test_probabilities"])
    return compare_runs(left["test_labels"], *probabilities, names=(one.name, other.name))


def _run(reference: str | Path, folder: str | Path | None, group: Group | None) -> runs.Run:
    return group.runs[0] if group else runs.open_run(reference, folder)
