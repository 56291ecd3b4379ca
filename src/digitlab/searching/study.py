"""A search for a better recipe: where its trials are kept, who may join it, and how a trial is trained.

Optuna chooses and keeps; a trial is one recipe trained and judged on validation images alone. It draws nothing, writes
no run and never sees a test image.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.data import Dataset
from digitlab.errors import DigitlabError, RunError, TrainingError
from digitlab.learning.recipe import Recipe
from digitlab.runs.events import Epoch
from digitlab.searching.ranges import Range, parameters_of, suggest

if TYPE_CHECKING:
    import optuna

# A machine that trains a trial says so this often; silent for the second time, its trial is given up.
HEARTBEAT = 30
GRACE = 120


# Trials that have to be complete before any is pruned.
STARTUP = 5


def warmup(epochs: int) -> int:
    """The first epoch after which a trial may be pruned."""
    return max(1, epochs // 5)


@dataclass(frozen=True)
class TrialResult:
    """One trial of a search.

    Attributes:
        number: From 0, in the order they were begun.
        state: "complete", "pruned", "failed" or "running".
        recipe: What was trained.
        accuracy: On the validation images; of a pruned one after its last epoch; None if it never got that far.
        epochs: Done.
        seconds: It took.
        parameters: What was chosen for it, as Optuna keeps it.
    """

    number: int
    state: str
    recipe: Recipe
    accuracy: float | None
    epochs: int
    seconds: float
    parameters: Mapping[str, Any]


# Called after each trial with it and the best one so far.
OnTrial = Callable[[TrialResult, TrialResult | None], None]


@contextlib.contextmanager
def opened(
    name: str, folder: Path, storage: str | None, recipe: Recipe, ranges: Mapping[str, Range], data_sha256: str
) -> Iterator[optuna.Study]:
    """The study of that name: made, joined, or resumed.

    Args:
        name: Of the study.
        folder: Its folder on this machine; the journal lies there, unless `storage` says otherwise.
        storage: None for the journal, or ``postgresql://...`` for any number of machines.
        recipe: The one the search starts from.
        ranges: What is searched.
        data_sha256: Of the data it is trained on.

    Raises:
        RunError: another recipe, other ranges or other data than the study was begun with; no such server.
        DigitlabError: Optuna is not installed, or a storage that cannot serve several processes.
    """
    optuna = _import_optuna()
    terms = {
        "recipe": recipe.to_dict(),
        "ranges": {field: str(tried) for field, tried in ranges.items()},
        "data": data_sha256,
    }
    with _storage(optuna, name, folder, storage) as (kept, stale, alone), _no_experimental_warnings(optuna):
        try:
            study = optuna.create_study(
                storage=kept,
                # Of several processes each draws its own numbers, or all that begin together would try the same.
                sampler=optuna.samplers.TPESampler(seed=recipe.seed if alone else None, multivariate=True),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=warmup(recipe.epochs)),
                study_name=name,
                direction="maximize",
                load_if_exists=True,
            )
            if study.get_trials(deepcopy=False):
                study.sampler.reseed_rng()  # one that goes on would repeat its first draws
            if "terms" not in study.user_attrs:
                study.set_user_attr("terms", terms)
                # The search begins with the recipe it is to better, as near as the ranges allow.
                study.enqueue_trial(parameters_of(recipe, ranges), skip_if_exists=True)
        finally:
            stale.close()
        _check_terms(name, study.user_attrs["terms"], terms)
        yield study


def _check_terms(name: str, began: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for what, words in (("recipe", "another recipe"), ("ranges", "other ranges"), ("data", "other data")):
        if began[what] != now[what]:
            detail = ""
            if what != "data":
                fields = [f for f in {**began[what], **now[what]} if began[what].get(f) != now[what].get(f)]
                detail = f" ({fields[0]}: {began[what].get(fields[0])}, now {now[what].get(fields[0])})"
            raise RunError(f"study {name}: was begun with {words}{detail}. Give the same, or choose another --study")


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise DigitlabError(f"tune needs Optuna ({error}). Install it with: pip install 'digitlab[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextlib.contextmanager
def _storage(
    optuna: Any, name: str, folder: Path, storage: str | None
) -> Iterator[tuple[Any, contextlib.ExitStack, bool]]:
    """Where the trials are kept, what is to be closed as soon as the study is there, whether this process is alone."""
    begin = contextlib.ExitStack()
    if storage is None:
        from optuna.storages.journal import JournalFileBackend

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder}: could not be made ({error.strerror}). Choose another --runs folder") from error
        kept = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        with (folder / ".lock").open("a") as lock:
            alone = _join(lock.fileno(), lambda: _give_up_running(optuna, kept, name))
            yield kept, begin, alone
        return
    if not storage.startswith(("postgresql://", "postgresql+psycopg://")):
        kind = storage.partition(":")[0]
        why = " SQLite fails when several processes begin at once." if kind == "sqlite" else ""
        raise DigitlabError(
            f"storage: got {kind}://..., expected postgresql://.{why} Leave --storage out for a journal file"
        )
    url = storage.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        import sqlalchemy

        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)  # closed is closed: the lock is gone
        connection = begin.enter_context(engine.connect())
        # Who comes first makes tables and study; the others wait. The server lets go of it however this process ends.
        key = int.from_bytes(hashlib.sha256(b"digitlab tune").digest()[:6], "big")
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({key})"))
        with _no_experimental_warnings(optuna):
            kept = optuna.storages.RDBStorage(
                url,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                engine_kwargs={"pool_pre_ping": True},
            )
    except ImportError as error:
        raise DigitlabError(
            f"--storage needs psycopg ({error}). Install it with: pip install 'digitlab[tune]'"
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        begin.close()
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        # Not the address: a password may stand in it.
        raise RunError(
            f"storage: no answer from the PostgreSQL server ({reason}). Is it running, and the name right?"
        ) from None
    with begin:
        try:
            yield kept, begin, False
        finally:
            kept.remove_session()
            kept.engine.dispose()


def _join(descriptor: int, when_alone: Callable[[], None]) -> bool:
    """Hold a study for this process beside others; whether there were none, whose chance it is to tidy up first."""
    if os.name == "nt":  # no lock there that several hold
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while the first one tidies up
        return False
    when_alone()
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return True


@contextlib.contextmanager
def _no_experimental_warnings(optuna: Any) -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _give_up_running(optuna: Any, storage: Any, name: str) -> None:
    """Mark trials as failed that a killed process left running; only while no other process has the study."""
    with contextlib.suppress(KeyError):
        study_id = storage.get_study_id_from_name(name)
        for trial in storage.get_all_trials(study_id, states=(optuna.trial.TrialState.RUNNING,)):
            storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)


def search(
    study: optuna.Study,
    recipe: Recipe,
    ranges: Mapping[str, Range],
    data: Dataset,
    *,
    trials: int,
    seconds: float | None = None,
    engine: str = "auto",
    on_trial: OnTrial | None = None,
) -> None:
    """Try recipes until the study has so many trials, or the time is over; a trial that has begun is finished.

    Args:
        study: As from `opened`.
        recipe: The one the search starts from.
        ranges: What is searched.
        data: Its test images are not looked at.
        trials: Of the whole study, complete or pruned, whoever trained them.
        seconds: Of this call.
        engine: As for `digitlab.train`.
        on_trial: Called after each trial of this process.

    Raises:
        KeyboardInterrupt: the trial that ran is given up; the others stay.
    """
    optuna = _import_optuna()
    counted = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

    def objective(trial: Any) -> float:
        from digitlab.learning.models import build

        one = suggest(trial, recipe, ranges)
        trial.set_user_attr("recipe", one.to_dict())
        return train_trial(trial, build(one, len(data.class_names)), one, data, engine)

    with _no_experimental_warnings(optuna):
        if sum(trial.state in counted for trial in study.get_trials(deepcopy=False)) >= trials:
            return
        study.optimize(
            objective,
            timeout=seconds,
            callbacks=[
                lambda _, trial: tell_of(study, trial.number, on_trial),
                optuna.study.MaxTrialsCallback(trials, states=counted),
            ],
        )


def tell_of(study: optuna.Study, number: int, on_trial: OnTrial | None) -> None:
    """Call `on_trial`, if there is one, with a trial that has just ended and the best so far."""
    if on_trial:
        done = results(study)
        on_trial(next(result for result in done if result.number == number), best(done))


def train_trial(trial: optuna.Trial, model: Any, recipe: Recipe, data: Dataset, engine: str) -> float:
    """Train a recipe, telling the study after each epoch; returns the validation accuracy.

    Raises:
        optuna.TrialPruned: it is worse than the others were, or its loss became infinite.
    """
    import optuna

    def on_epoch(ended: Epoch) -> None:
        trial.report(ended.values["val_accuracy"], ended.epoch)
        if ended.epoch < recipe.epochs and trial.should_prune():
            raise optuna.TrialPruned(f"after epoch {ended.epoch}")

    try:
        return validation_accuracy(model, recipe, data, engine, on_epoch)
    except TrainingError as error:  # it diverged: poor as well, and the search goes on
        raise optuna.TrialPruned(str(error)) from None


def validation_accuracy(
    model: Any, recipe: Recipe, data: Dataset, engine: str, on_epoch: Callable[[Epoch], None]
) -> float:
    """Train a recipe and return what a search judges it by; `on_epoch` is told of each epoch.

    Raises:
        TrainingError: its loss became infinite.
    """
    from digitlab.learning.batches import LabelledImages
    from digitlab.learning.engine import train

    images = (LabelledImages(split.images, split.labels) for split in (data.train, data.validation))
    state = train(
        model,
        recipe,
        *images,
        engine=engine,
        on_epoch=lambda state: on_epoch(Epoch.of(state, recipe.epochs)),
    )
    accuracies = state.history["val_accuracy"]
    return max(accuracies) if recipe.patience else accuracies[-1]


def results(study: optuna.Study) -> list[TrialResult]:
    """The trials of a study that have a recipe, by number."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        if "recipe" not in trial.user_attrs:  # waiting, or killed before it was told what to do
            continue
        reported = trial.intermediate_values
        last = max(reported) if reported else 0
        state = {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running"}.get(trial.state.name, "failed")
        accuracy = trial.value if state == "complete" else reported.get(last)
        found.append(
            TrialResult(
                trial.number,
                state,
                Recipe.from_dict(trial.user_attrs["recipe"]),
                accuracy,
                last,
                trial.duration.total_seconds() if trial.duration else 0.0,
                dict(trial.params),
            )
        )
    return found


def best(found: list[TrialResult]) -> TrialResult | None:
    """The complete trial with the highest validation accuracy, the first of equal ones; None without any."""
    complete = [result for result in found if result.state == "complete" and result.accuracy is not None]
    return max(complete, key=lambda result: (result.accuracy or 0.0, -result.number)) if complete else None


def data_sha256(data: Dataset) -> str:
    """Of the images and labels a search is trained and judged on; the test images are not among them."""
    digest = hashlib.sha256()
    for split in (data.train, data.validation):
        digest.update(split.images.tobytes() + split.labels.tobytes())
    return digest.hexdigest()
