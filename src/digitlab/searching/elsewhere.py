"""Trials that are trained somewhere else; the study stays here, and no trial needs Optuna or an answer on its way.

A trial takes along the accuracies that it has to reach to be worth going on: after each epoch, the median of the trials
that were complete when it was handed out. Trials are told to the study in the order in which they were asked for, so
that a search does not depend on which machine was fastest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.data import Dataset, Split
from digitlab.errors import RunError
from digitlab.learning.recipe import Recipe
from digitlab.processes import Mapper, Work
from digitlab.searching.ranges import Range, suggest
from digitlab.searching.study import HEARTBEAT, STARTUP, OnTrial, tell_of
from digitlab.searching.trial_worker import TrialData, train_trial

if TYPE_CHECKING:
    import optuna

SECONDS = 24 * 3600.0
MEMORY = 1 << 40  # no more than the machine has
PACKAGES = ("digitlab", "jax", "jaxlib", "keras", "numpy")
# Seconds between two signs of life to the server; the first comes with the trial.
BEAT = HEARTBEAT / 3
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
    import optuna
    from optuna.trial import TrialState

    counted = (TrialState.COMPLETE, TrialState.PRUNED)
    until = None if seconds is None else time.monotonic() + seconds
    asked: deque[Any] = deque()

    def pieces() -> Iterator[tuple[dict[str, Any], dict[int, float]]]:
        while until is None or time.monotonic() < until:
            optuna.storages.fail_stale_trials(study)
            found = study.get_trials(deepcopy=False)
            if sum(trial.state in counted for trial in found) + len(asked) >= trials:
                return
            trial = _ask(study)
            one = suggest(trial, recipe, ranges)
            trial.set_user_attr("recipe", one.to_dict())
            asked.append(trial)
            _say_alive(study, [trial])
            yield one.to_dict(), medians([t.intermediate_values for t in found if t.state == TrialState.COMPLETE])

    work = work_on(data, engine, bundled=bundled)
    deaths = 0
    try:
        for answer in _while_alive(study, asked, place.map(work, pieces())):
            trial = asked.popleft()
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
        for trial in asked:
            study.tell(trial, state=TrialState.FAIL)


def work_on(data: Dataset, engine: str, *, bundled: bool) -> Work:
    """Training recipes on these images; `bundled` ones are where digitlab is, and not sent."""
    sent = None
    if not bundled:  # the test images stay here
        sent = dataclasses.replace(data, test=Split(data.test.images[:0], data.test.labels[:0]))
    return Work(
        TrialData,
        (sent, len(data.validation), engine),
        train_trial,
        seconds=SECONDS,
        memory=MEMORY,
        ahead=1,
        packages=PACKAGES,
    )


def _ask(study: optuna.Study) -> optuna.trial.Trial:
    with warnings.catch_warnings():
        # Where others may take over from this process, Optuna warns that it will not say alone that it lives.
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        return study.ask()


def _while_alive(study: optuna.Study, asked: deque[Any], answers: Iterator[Any]) -> Iterator[Any]:
    """The answers; while they are waited for, the server that keeps the study hears that the trials go on."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with contextlib.suppress(Exception):  # the server is away: who asks it next says so
                _say_alive(study, list(asked))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield from answers
    finally:
        ended.set()
        thread.join()


def _say_alive(study: optuna.Study, trials: list[Any]) -> None:
    """What `study.optimize` says of its own trials; a journal does not ask for it, as nobody takes over from it."""
    storage: Any = study._storage
    if getattr(storage, "get_heartbeat_interval", lambda: None)() is not None:
        for trial in trials:
            storage.record_heartbeat(trial._trial_id)


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
