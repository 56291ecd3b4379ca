"""The best trials once more, with further seeds: the best of many by one seed is also the one with the most luck."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from digitlab.data import Dataset
from digitlab.errors import RunError, TrainingError
from digitlab.learning.recipe import Recipe
from digitlab.processes import Mapper
from digitlab.searching.elsewhere import work_on
from digitlab.searching.study import TrialResult, validation_accuracy

if TYPE_CHECKING:
    import optuna

# Not those that are judged on the test images later (they count up from the recipe's own): seeds that chose a recipe
# would speak for it once more.
SEEDS = (1001, 1002)
_KEPT = "further seeds"


def finalists(found: list[TrialResult], count: int) -> list[TrialResult]:
    """The complete trials with the highest validation accuracies, the best first."""
    complete = [trial for trial in found if trial.state == "complete" and trial.accuracy is not None]
    return sorted(complete, key=lambda trial: (-(trial.accuracy or 0.0), trial.number))[:count]


def further_seeds(
    study: optuna.Study,
    chosen: list[TrialResult],
    data: Dataset,
    *,
    engine: str = "auto",
    place: Mapper | None = None,
    bundled: bool = False,
) -> dict[int, tuple[float, ...]]:
    """Validation accuracies of some trials' recipes with each of `SEEDS`; the study keeps them.

    Args:
        study: As from `opened`.
        chosen: Trials of it.
        data: Its test images are not looked at.
        engine: As for `digitlab.train`.
        place: Where to train them; None for here, one after another.
        bundled: The images are where digitlab is, and not sent.

    Returns:
        By number of the trial; 0 for a seed whose loss became infinite.

    Raises:
        RunError: a process died.
    """
    kept: dict[str, list[float]] = dict(study.user_attrs.get(_KEPT, {}))
    wanted = [trial for trial in chosen if str(trial.number) not in kept]
    recipes = [dataclasses.replace(t.recipe, seed=t.recipe.seed + more) for t in wanted for more in SEEDS]
    answers = _trained(recipes, data, engine, place, bundled=bundled)
    for trial in wanted:
        kept[str(trial.number)] = [next(answers) for _ in SEEDS]
        study.set_user_attr(_KEPT, kept)
    return {trial.number: tuple(kept[str(trial.number)]) for trial in chosen}


def _trained(
    recipes: list[Recipe], data: Dataset, engine: str, place: Mapper | None, *, bundled: bool
) -> Iterator[float]:
    if place is None:
        from digitlab.learning.models import build

        for one in recipes:
            try:
                yield validation_accuracy(build(one, len(data.class_names)), one, data, engine, lambda *_: None)
            except TrainingError:
                yield 0.0
        return
    for answer in place.map(work_on(data, engine, bundled=bundled), ((one.to_dict(), {}) for one in recipes)):
        if isinstance(answer, Exception):
            raise RunError(f"one of the best trials, trained again: a process {answer}. Has it too little memory?")
        yield json.loads(answer)["accuracy"] or 0.0


def best_of(chosen: list[TrialResult], further: Mapping[int, tuple[float, ...]]) -> TrialResult | None:
    """The trial with the highest mean over its further seeds, the first of equal ones; None without any.

    Example:
        >>> from digitlab.learning import Recipe
        >>> lucky, sound = (TrialResult(n, "complete", Recipe(), a, 1, 1.0, {}) for n, a in ((0, 0.99), (1, 0.98)))
        >>> best_of([lucky, sound], {0: (0.97, 0.97), 1: (0.98, 0.97)}).number
        1
    """
    if not chosen:
        return None
    return max(chosen, key=lambda trial: sum(further.get(trial.number, ())))
