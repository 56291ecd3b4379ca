"""Trials that are trained somewhere else; the study stays here, and no trial needs Optuna or an answer on its way.

A trial takes along the accuracies that it has to reach to be worth going on: after each epoch, the median of the trials
that were complete when it was handed out. Trials are told to the study in the order in which they were asked for, so
that a search does not depend on which machine was fastest.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.data import Dataset, Split, load
from digitlab.errors import RunError, TrainingError
from digitlab.learning.recipe import Recipe
from digitlab.processes import Mapper, Work, bind_to_a_free_core
from digitlab.searching.ranges import Range, suggest
from digitlab.searching.study import STARTUP, OnTrial, tell_of, validation_accuracy, warmup

if TYPE_CHECKING:
    import optuna

SECONDS = 24 * 3600.0
MEMORY = 1 << 40  # no more than the machine has
PACKAGES = ("digitlab", "jax", "jaxlib", "keras", "numpy")
# So many processes that die one after another are no accident.
MOST_DEATHS = 3


def search_at(
    place: Mapper,
    study: optuna.Study,
    recipe: Recipe,
    ranges: Mapping[str, Range],
    data: Dataset,
    *,
    trials: int,
    seconds: float | None = None,
    engine: str = "auto",
    on_trial: OnTrial | None = None,
    bundled: bool = False,
) -> None:
    """As `search`, each trial where `place` has room for it; `bundled` images are where digitlab is, and not sent.

    Raises:
        RunError: the processes die.
        KeyboardInterrupt: the trials under way are given up; the others stay.
    """
    from optuna.trial import TrialState

    counted = (TrialState.COMPLETE, TrialState.PRUNED)
    until = None if seconds is None else time.monotonic() + seconds
    asked: deque[tuple[Any, Recipe]] = deque()

    def pieces() -> Iterator[tuple[dict[str, Any], dict[int, float]]]:
        while until is None or time.monotonic() < until:
            found = study.get_trials(deepcopy=False)
            if sum(trial.state in counted for trial in found) + len(asked) >= trials:
                return
            trial = study.ask()
            one = suggest(trial, recipe, ranges)
            trial.set_user_attr("recipe", one.to_dict())
            asked.append((trial, one))
            yield one.to_dict(), medians([t.intermediate_values for t in found if t.state == TrialState.COMPLETE])

    sent = None
    if not bundled:  # the test images stay here
        sent = dataclasses.replace(data, test=Split(data.test.images[:0], data.test.labels[:0]))
    work = Work(
        _Data,
        (sent, len(data.validation), engine),
        _train,
        seconds=SECONDS,
        memory=MEMORY,
        ahead=1,
        packages=PACKAGES,
    )
    deaths = 0
    try:
        for answer in place.map(work, pieces()):
            trial, _ = asked.popleft()
            if isinstance(answer, Exception):
                study.tell(trial, state=TrialState.FAIL)
                deaths += 1
                if deaths >= MOST_DEATHS:
                    raise RunError(f"{deaths} trials one after another: a process {answer}. Has it too little memory?")
                continue
            deaths = 0
            _tell(study, trial, json.loads(answer))
            tell_of(study, trial.number, on_trial)
    finally:
        for trial, _ in asked:
            study.tell(trial, state=TrialState.FAIL)


def _tell(study: optuna.Study, trial: Any, found: Mapping[str, Any]) -> None:
    from optuna.trial import TrialState

    for epoch, accuracy in enumerate(found["accuracies"], 1):
        trial.report(accuracy, epoch)
    if found["accuracy"] is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, found["accuracy"])


def medians(complete: list[Mapping[int, float]]) -> dict[int, float]:
    """What Optuna's median pruner compares with: epoch -> median accuracy of the complete trials; empty with too few.

    Example:
        >>> medians([{1: 0.8, 2: 0.9}] * 3 + [{1: 0.6, 2: 0.7}] * 2)
        {1: 0.8, 2: 0.9}
    """
    if len(complete) < STARTUP:
        return {}
    epochs = sorted({epoch for values in complete for epoch in values})
    return {epoch: float(np.median([v[epoch] for v in complete if epoch in v])) for epoch in epochs}


class _Data:
    """What trials are trained on; the bundled images are loaded when the first one comes."""

    def __init__(self, data: Dataset | None, validation: int, engine: str) -> None:
        self.data, self.validation, self.engine = data, validation, engine
        bind_to_a_free_core()

    @functools.cached_property
    def images(self) -> Dataset:
        return self.data or load(validation=self.validation)


class _TooPoor(Exception):  # noqa: N818  (no error: the end of a trial)
    pass


def _train(data: _Data, fields: dict[str, Any], to_reach: dict[int, float]) -> bytes:
    """Train a trial: the accuracies after its epochs, and what it is judged by, None if it was stopped or diverged."""
    from digitlab.learning.models import build

    recipe = Recipe.from_dict(fields)
    accuracies: list[float] = []

    def on_epoch(epoch: int, accuracy: float) -> None:
        accuracies.append(accuracy)
        may_end = warmup(recipe.epochs) <= epoch < recipe.epochs
        if may_end and epoch in to_reach and max(accuracies) < to_reach[epoch]:
            raise _TooPoor

    judged = None
    try:
        model = build(recipe, len(data.images.class_names))
        judged = validation_accuracy(model, recipe, data.images, data.engine, on_epoch)
    except (_TooPoor, TrainingError):
        pass
    return json.dumps({"accuracies": accuracies, "accuracy": judged}).encode()
