"""Train the seeds of a group, one after another or side by side; a group that is there already is resumed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digitlab.data.dataset import as_dataset
from digitlab.errors import RecipeError, RunError
from digitlab.learning.recipe import Recipe
from digitlab.learning.recipe import recipe as make_recipe
from digitlab.runs import training
from digitlab.runs.events import OnEvent, Watcher
from digitlab.runs.folder import Run
from digitlab.runs.gather import write_card
from digitlab.runs.groups import Group
from digitlab.runs.own_model import own_recipe
from digitlab.runs.parallel import LocalProcesses, Place, check_sendable
from digitlab.runs.parcels import put_back
from digitlab.runs.register import check_name, runs_folder
from digitlab.runs.states import State


def train_group(
    recipe: str | Recipe = "mlp",
    seeds: int = 5,
    *,
    name: str | None = None,
    folder: str | Path | None = None,
    watcher: Callable[[], Watcher] = Watcher,
    changes: dict[str, Any] | None = None,
    jobs: int = 1,
    place: Place | None = None,
    on_event: OnEvent | None = None,
    data: Any = None,
    validation: int = 5000,
    model: str | Callable[[], Any] | None = None,
    engine: str = "auto",
    **fields: Any,
) -> Group:
    """Train a recipe with seeds counting up from its own; each seed is a run of its own.

    One after another they share one compiled program and all cores. Side by side (`jobs`) each has its share of the
    cores: four seeds of `mlp` with 20 epochs took 48 s on two cores instead of 55 s.

    Args:
        recipe: As for `train`.
        seeds: How many, at least 2.
        name: The group's name; one that is there already is resumed.
        folder: Where runs live.
        watcher: Makes a watcher for each run; with `jobs` above 1 or a `place` `on_event` is called instead.
        changes: Fields of the recipe to set, as an alternative to naming them here.
        jobs: How many at a time, each in a process of its own; never more than there are cores.
        place: Where to train them instead: a `digitlab.Cluster`.
        on_event: Called with a run's name and what it did, a `digitlab.runs.events.Epoch` or `Stage`, where `jobs` is
            above 1 or there is a `place`.
        data: As for `train`, like the next three.
        validation: Of the training images.
        model: A model of your own.
        engine: "auto", "compiled" or "fit".
        **fields: Fields of the recipe, as in ``epochs=3``.

    Raises:
        DigitlabError: as for `train`; the seeds that are finished stay.

    Example:
        >>> group = train_group("linear", seeds=3, epochs=1)  # doctest: +SKIP
        >>> group.spread.mean, group.spread.interval  # doctest: +SKIP
    """
    settings = make_recipe(recipe, **{**(changes or {}), **fields})
    if seeds < 2:
        raise RecipeError.of("seeds", seeds, "at least 2; one seed is an ordinary run")
    if jobs < 1:
        raise RecipeError.of("jobs", jobs, "at least 1: how many seeds to train at a time")
    if name is not None:
        check_name(name)
    now = datetime.datetime.now(datetime.UTC).astimezone()
    called = name or f"{settings.name}-{now:%Y%m%d-%H%M%S}"
    options = {"data": data, "validation": validation, "model": model, "engine": engine}
    members = []
    for seed in range(settings.seed, settings.seed + seeds):
        member = make_recipe(settings, seed=seed)
        run = Run(runs_folder(folder) / f"{called}-seed{seed}")
        put_back(run.path)
        if (run.path / "run.json").exists() and run.recipe != own_recipe(member, model):
            raise RunError(f"{run.path}: is there already and has another recipe. Choose another --name")
        members.append((member, run))
    to_do = [
        (member, run) for member, run in members if not (run.path / "run.json").exists() or run.state != State.FINISHED
    ]
    if place is None and jobs > 1 and len(to_do) > 1:
        place = LocalProcesses(jobs)
    if place is not None and to_do:
        check_sendable(model)
        tasks = [_task(member, run, {**options, "folder": folder, "group": called}) for member, run in to_do]
        place.train(tasks, on_event or (lambda *_: None))
    else:
        for member, run in to_do:
            if (run.path / "run.json").exists():
                # What was given as an object is in no file: it has to be given again.
                given = (
                    None if data is None or isinstance(data, str | Path) else as_dataset(data, validation=validation)
                )
                training.resume(run.path, data=given, model=model, watcher=watcher())
            else:
                training.train(member, name=run.name, folder=folder, group=called, watcher=watcher(), **options)
    group = Group(called, tuple(run for _, run in members))
    if all(run.state == "finished" for run in group.runs):
        write_card(group)
    return group


def _task(recipe: Recipe, run: Run, options: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own needs to train this run, or to resume it."""
    data = options.get("data")
    given = data is not None and not isinstance(data, str | Path)
    return {
        "name": run.name,
        "recipe": recipe.to_dict(),
        "resume": run.path if (run.path / "run.json").exists() else None,
        "dataset": as_dataset(data, validation=options["validation"]) if given else None,
        "options": options,
    }
