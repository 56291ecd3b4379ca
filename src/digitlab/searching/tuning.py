"""tune(): search, then train the best recipe and the one it began with over several seeds, and say the difference."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.data import Dataset, load
from digitlab.errors import RecipeError, RunError
from digitlab.files import write_atomically
from digitlab.judging.compare import compare_groups
from digitlab.learning.recipe import Recipe
from digitlab.learning.recipe import recipe as make_recipe
from digitlab.machine import usable_cores
from digitlab.runs.events import OnEvent, Watcher
from digitlab.runs.group_training import train_group
from digitlab.runs.parallel import LocalProcesses, Place
from digitlab.runs.recipe_file import save_recipe
from digitlab.runs.register import check_name, runs_folder
from digitlab.searching.elsewhere import search_at
from digitlab.searching.finalists import best_of, further_seeds
from digitlab.searching.finalists import finalists as best_trials
from digitlab.searching.ranges import Range, space
from digitlab.searching.study import OnTrial, TrialResult, best, data_sha256, opened, results, search
from digitlab.showing.study_page import StudyContent, StudyTrial, render_study

if TYPE_CHECKING:
    from digitlab.judging.compare import GroupComparison
    from digitlab.runs.groups import Group

STUDIES = "studies"


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        name: Of the study.
        path: Its folder: ``best.json``, ``study.html`` and, unless a server keeps them, the trials.
        start: The recipe it began with.
        ranges: What was searched.
        trials: All with a recipe, by number.
        best: The complete one with the best validation accuracy, of the finalists over their further seeds; None if
            none is complete.
        further: Of each finalist, its validation accuracies with further seeds; empty where there were none.
        importance: Share of the spread in accuracy that each parameter explains; empty with fewer than 4 trials.
        judged: Start and best over several seeds, on the test images; None if nothing was judged.
        comparison: Their difference; None if nothing was judged, or the best is the start.
    """

    name: str
    path: Path
    start: Recipe
    ranges: Mapping[str, Range]
    trials: tuple[TrialResult, ...]
    best: TrialResult | None
    importance: Mapping[str, float]
    further: Mapping[int, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    judged: tuple[Group, Group] | None = None
    comparison: GroupComparison | None = None

    @property
    def others(self) -> int:
        """How many trials other processes are training; while there are any, nothing is judged."""
        return sum(trial.state == "running" for trial in self.trials)


def tune(
    recipe: str | Recipe = "mlp",
    *,
    trials: int = 50,
    seconds: float | None = None,
    search_in: Mapping[str, str] | None = None,
    fix: Mapping[str, str] | None = None,
    study: str | None = None,
    storage: str | None = None,
    finalists: int = 5,
    seeds: int = 3,
    data: str | Path | Dataset | None = None,
    validation: int = 5000,
    engine: str = "auto",
    folder: str | Path | None = None,
    jobs: int | None = None,
    place: Place | None = None,
    on_trial: OnTrial | None = None,
    watcher: Callable[[], Watcher] | None = None,
    on_event: OnEvent | None = None,
    on_stage: Callable[[str], None] | None = None,
    **changes: Any,
) -> Tuned:
    """Search for a better recipe on validation images, then judge it once on test beside the one it began with.

    Args:
        recipe: The one to begin with: a name, or a Recipe.
        trials: Of the whole study, complete or pruned.
        seconds: After which no trial is begun; the last seeds come on top.
        search_in: Ranges by field, in place of the field's own or besides, as in ``{"peak_rate": "1e-4..1e-2"}``.
        fix: Values by field that is not searched; an empty text fixes it at the recipe's own.
        study: Its name; one that is there already is resumed or joined.
        storage: None for a journal file in the study's folder, or ``postgresql://...`` for any number of machines.
        finalists: How many of the best trials are trained with two further seeds before one is chosen, as the best of
            many by one seed is the luckiest; 0 or 1 for none.
        seeds: Of the best recipe and the first one, judged on test at the end; 0 judges nothing.
        data: As for `digitlab.train`.
        validation: As for `digitlab.train`; at least 1.
        engine: As for `digitlab.train`.
        jobs: How many trials, and then last runs, at a time, each in a process of its own; a trial on one core, a last
            run on its share of them. None for as many as there are cores. With 1 all are trained in this process.
        place: Where to train trials and last runs instead: a `digitlab.Cluster`.
        folder: Where runs live; the study is in its sub-folder ``studies``.
        on_trial: Called after each trial with it and the best so far.
        watcher: Makes a watcher for each of the last runs; elsewhere than in this process `on_event` is called instead.
        on_event: As for `digitlab.train_group`.
        on_stage: Called with "search", "finalists" and "judge" when these begin.
        **changes: Fields of the recipe to begin with.

    Returns:
        What was found.

    Raises:
        DigitlabError: what came, what was expected, what to do.
        KeyboardInterrupt: the trials stay; the same call with the study's name goes on.

    Example:
        >>> found = tune("linear", trials=20, seconds=60)  # doctest: +SKIP
        >>> found.best.recipe, found.comparison.difference  # doctest: +SKIP
    """
    start, ranges = space(make_recipe(recipe, **changes), search_in or {}, fix or {})
    if trials < 1:
        raise RecipeError.of("trials", trials, "at least 1")
    if finalists < 0:
        raise RecipeError.of("finalists", finalists, "at least 0")
    if seeds == 1 or seeds < 0:
        raise RecipeError.of("seeds", seeds, "0 or at least 2; one seed says nothing of chance")
    if jobs is not None and jobs < 1:
        raise RecipeError.of("jobs", jobs, "at least 1: how many trials to train at a time")
    if place is None and trials_at_once(jobs, trials) > 1:
        place = LocalProcesses(trials_at_once(jobs, trials))
    name = study or f"{start.name}-{datetime.datetime.now(datetime.UTC).astimezone():%Y%m%d-%H%M%S}"
    check_name(name)
    dataset = data if isinstance(data, Dataset) else load(data, validation=validation)
    if not len(dataset.validation):
        raise RecipeError("got 0 images, expected some: a search judges its trials on them", "validation")
    path = runs_folder(folder) / STUDIES / name
    if on_stage:
        on_stage("search")
    with opened(name, path, storage, start, ranges, data_sha256(dataset)) as kept:
        limits: dict[str, Any] = {"trials": trials, "seconds": seconds, "engine": engine, "on_trial": on_trial}
        if place is None:
            search(kept, start, ranges, dataset, **limits)
        else:
            search_at(place, kept, start, ranges, dataset, bundled=data is None, **limits)
        found = results(kept)
        tuned = Tuned(name, path, start, ranges, tuple(found), best(found), _importance(kept, found))
        chosen = best_trials(found, finalists)
        if len(chosen) > 1 and not tuned.others:
            if on_stage:
                on_stage("finalists")
            where: dict[str, Any] = {"engine": engine, "place": place, "bundled": data is None}
            further = further_seeds(kept, chosen, dataset, **where)
            tuned = dataclasses.replace(tuned, best=best_of(chosen, further), further=further)
    path.mkdir(parents=True, exist_ok=True)
    if tuned.best is not None:
        about = {"study": name, "trial": tuned.best.number, "validation_accuracy": tuned.best.accuracy}
        if tuned.best.number in tuned.further:
            about["further_seeds"] = list(tuned.further[tuned.best.number])
        save_recipe(best_recipe(tuned), path / "best.json", **about)
        if seeds and not tuned.others:
            if on_stage:
                on_stage("judge")
            options: dict[str, Any] = {"data": data, "validation": validation, "engine": engine, "folder": folder}
            options |= {"place": place, "on_event": on_event}
            tuned = _judged(tuned, seeds, watcher or Watcher, options)
    write_atomically(path / "study.html", render_study(_content(tuned)))
    return tuned


def trials_at_once(jobs: int | None, trials: int) -> int:
    """How many trials of a search are trained side by side; 1 for one after another, in this process."""
    return min(jobs or trials, trials, len(usable_cores()))


def _judged(tuned: Tuned, seeds: int, watcher: Callable[[], Watcher], options: dict[str, Any]) -> Tuned:
    """Both recipes trained over several seeds, which looks at the test images once a seed."""
    assert tuned.best is not None  # noqa: S101  (for the type checker)
    # Named by trial: should the study go on and find a better one, that is another group.
    recipes = {f"{tuned.name}-start": tuned.start, f"{tuned.name}-trial{tuned.best.number}": best_recipe(tuned)}
    first, found = (
        train_group(recipe, seeds, name=name, watcher=watcher, **options) for name, recipe in recipes.items()
    )
    comparison = compare_groups(found.correct, first.correct, names=(found.name, first.name))
    return dataclasses.replace(tuned, judged=(first, found), comparison=comparison)


def _content(tuned: Tuned) -> StudyContent:
    return StudyContent(
        name=tuned.name,
        recipe=tuned.start.name,
        ranges={name: str(tried) for name, tried in tuned.ranges.items()},
        trials=tuple(
            StudyTrial(t.number, t.state, t.accuracy, t.epochs, t.seconds, changed(t.recipe, tuned.start), t.parameters)
            for t in tuned.trials
        ),
        best=tuned.best.number if tuned.best else None,
        further=tuned.further,
        importance=tuned.importance,
        judged=tuple((group.name, group.spread) for group in tuned.judged or ()),
        words=tuned.comparison.words if tuned.comparison else "",
    )


def changed(recipe: Recipe, start: Recipe) -> dict[str, Any]:
    """The fields in which a recipe differs from the one a search began with.

    Example:
        >>> changed(Recipe(epochs=3), Recipe())
        {'epochs': 3}
    """
    before, after = start.to_dict(), recipe.to_dict()
    return {name: value for name, value in after.items() if value != before[name]}


def _importance(study: Any, found: list[TrialResult]) -> dict[str, float]:
    from optuna.importance import get_param_importances

    complete = [trial for trial in found if trial.state == "complete"]
    if len(complete) < 4 or len({trial.accuracy for trial in complete}) < 2:
        return {}
    return {name: float(share) for name, share in get_param_importances(study).items()}


def best_recipe(tuned: Tuned) -> Recipe:
    """The best recipe under a name of its own.

    Raises:
        RunError: no trial is complete yet.
    """
    if tuned.best is None:
        raise RunError(f"study {tuned.name}: no trial is complete yet. Resume it by the same command")
    description = f"trial {tuned.best.number} of the study {tuned.name}"
    return dataclasses.replace(tuned.best.recipe, name=f"{tuned.start.name}-tuned", description=description)
