"""Several seeds of one recipe as a group: trained one after another, judged each by itself, summed up with an interval.

A group is no folder of its own: its runs carry the group's name in `run.json` and are called ``GROUP-seed0`` and so on.
Training the same group again goes on where it stopped: finished seeds stay, a stopped one is resumed.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.errors import ExportError, RecipeError, RunError
from digitlab.learning.export import FORMATS, export_model
from digitlab.learning.recipe import Recipe
from digitlab.learning.recipe import recipe as make_recipe
from digitlab.runs import training
from digitlab.runs.folder import Run, check_name, list_runs, open_run, runs_folder
from digitlab.runs.gather import dataset_of, onnx_metadata
from digitlab.runs.parallel import Told, check_sendable, run_at_once

if TYPE_CHECKING:
    from digitlab.judging import Evaluation
    from digitlab.judging.compare import Comparison, GroupComparison, Spread


@dataclass(frozen=True)
class Group:
    """Finished runs that differ only by their seed.

    Attributes:
        name: The group's name.
        runs: By seed.
    """

    name: str
    runs: tuple[Run, ...]

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

    @functools.cached_property
    def ensemble(self) -> Evaluation:
        """What the runs know together: the mean of their probabilities, judged like one network's.

        No member is chosen or weighted, so that the test images decide nothing; the temperature is fitted to the mean
        on the validation images.
        """
        from digitlab.judging import evaluate

        kept = [run.predictions for run in self.runs]
        together = {
            part: np.mean([arrays[f"{part}_probabilities"] for arrays in kept], axis=0)
            for part in ("test", "validation")
        }
        labels = kept[0]["validation_labels"]
        return evaluate(
            together["test"],
            kept[0]["test_labels"],
            validation=(together["validation"], labels) if len(labels) else None,
        )

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
    watcher: Callable[[], training.Watcher] = training.Watcher,
    changes: dict[str, Any] | None = None,
    jobs: int = 1,
    told: Told | None = None,
    **options: Any,
) -> Group:
    """Train a recipe with seeds counting up from its own; each seed is a run of its own.

    One after another they share one compiled program and all cores. Side by side (`jobs`) each has its share of the
    cores: four seeds of `mlp` with 20 epochs took 48 s on two cores instead of 55 s.

    Args:
        recipe: As for `train`.
        seeds: How many, at least 2.
        name: The group's name; naming one that is there goes on with it.
        folder: Where runs live.
        watcher: Makes a watcher for each run; with `jobs` above 1 it is `told` that hears.
        changes: Fields of the recipe to set.
        jobs: How many at a time, each in a process of its own; never more than there are cores.
        told: Called with a run's name and what it did, {"epoch": …} or {"stage": …}, where `jobs` is above 1.
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
    if jobs < 1:
        raise RecipeError(f"jobs: got {jobs}, expected at least 1: how many seeds to train at a time")
    if name is not None:
        check_name(name)
    now = datetime.datetime.now(datetime.UTC).astimezone()
    called = name or f"{settings.name}-{now:%Y%m%d-%H%M%S}"
    members = []
    for seed in range(settings.seed, settings.seed + seeds):
        one = make_recipe(settings, seed=seed)
        run = Run(runs_folder(folder) / f"{called}-seed{seed}")
        if run.path.exists() and run.recipe != training.own_recipe(one, options.get("model")):
            raise RunError(f"{run.path}: is there already and has another recipe. Choose another --name")
        members.append((one, run))
    to_do = [(one, run) for one, run in members if not run.path.exists() or run.state != "finished"]
    if jobs > 1 and len(to_do) > 1:
        check_sendable(options.get("model"))
        tasks = [_task(one, run, {**options, "folder": folder, "group": called}) for one, run in to_do]
        run_at_once(tasks, jobs, told or (lambda *_: None))
    else:
        for one, run in to_do:
            if run.path.exists():
                training.resume(run.path, model=options.get("model"), watcher=watcher())
            else:
                training.train(one, name=run.name, folder=folder, group=called, watcher=watcher(), **options)
    return Group(called, tuple(run for _, run in members))


def _task(recipe: Recipe, run: Run, options: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own needs to train this run, or to go on with it."""
    from digitlab.data import Dataset

    data = options.get("data")
    return {
        "name": run.name,
        "recipe": recipe.to_dict(),
        "resume": run.path if run.path.exists() else None,
        "dataset": data if isinstance(data, Dataset) else None,
        "options": options,
    }


def open_group(name: str, folder: str | Path | None = None) -> Group | None:
    """The group of that name with its finished runs; None if no run belongs to it."""
    found = [run for run in list_runs(folder) if run.info.get("group") == name and run.state == "finished"]
    return Group(name, tuple(sorted(found, key=lambda run: int(run.info["seed"])))) if found else None


def export(
    name: str, kind: str = "onnx", *, output: str | Path | None = None, folder: str | Path | None = None
) -> Path:
    """Write a group as one model that averages its runs' probabilities, checked on real pictures first.

    Args:
        name: The group.
        kind: "onnx", "keras" or "h5".
        output: The file; else ``NAME.KIND`` in the folder of the runs.
        folder: Where runs live.

    Returns:
        The file's path; the Reader and `digitlab read --model` take it, if it is ONNX.

    Raises:
        RunError: no such group with at least two finished runs.
        ExportError: an unknown format, a layer that cannot be written, or answers that differ.
    """
    from digitlab.learning.models import average

    group = open_group(name, folder)
    if group is None or len(group.runs) < 2:
        raise RunError(f"{name}: no group of at least two finished runs. `digitlab runs` lists the runs")
    path = Path(output) if output else runs_folder(folder) / f"{name}.{kind}"
    if kind not in FORMATS or path.suffix != f".{kind}":
        raise ExportError(f"{path}: expected a file that ends in .{kind}, and a format of {', '.join(FORMATS)}")
    members = [run.model for run in group.runs]
    # Of models opened anew: one that is a layer of another has tensors of two graphs, which ONNX writing would mix up.
    mean = average([Run(run.path).model for run in group.runs])
    images = dataset_of(group.runs[0], None).test.images[:200]
    seeds = ", ".join(str(run.info["seed"]) for run in group.runs)
    metadata = onnx_metadata(group.runs[0], group.ensemble) | {"seed": f"mean of {seeds}"}
    return export_model(mean, path, images, metadata, members)


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


def _run(reference: str | Path, folder: str | Path | None, group: Group | None) -> Run:
    return group.runs[0] if group else open_run(reference, folder)
