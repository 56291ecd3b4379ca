"""`digitlab tune`: search for a better recipe, and judge it beside the one it began with."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitlab.cli.errors import fail
from digitlab.cli.scheduler import cluster_at
from digitlab.errors import RecipeError

if TYPE_CHECKING:
    from digitlab.searching.study import TrialResult
    from digitlab.searching.tuning import Tuned

EXAMPLES = (
    "Examples: [bold]digitlab tune mlp --trials 50 --time 10m[/]; "
    "[bold]digitlab tune mlp --search peak_rate=1e-4..1e-2 --fix hidden=128 --fix augmentation[/]; "
    "[bold]digitlab tune --study mlp-20260301-101500[/]"
)

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def tune(
    recipe: Annotated[str, typer.Argument(help="Recipe to begin with; `digitlab recipes` lists them.")] = "mlp",
    *,
    trials: Annotated[
        int, typer.Option(help="Trials of the whole study, those that were stopped early included.")
    ] = 50,
    time: Annotated[str | None, typer.Option(help="Begin no trial after this long, as in 90s, 10m or 2h.")] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(help="Range of a field, as in peak_rate=1e-4..1e-2 or optimizer=adam,sgd. Repeatable."),
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(help="Do not search a field: hidden=128 sets it, hidden keeps the recipe's. Repeatable."),
    ] = None,
    study: Annotated[str | None, typer.Option(help="Name of the study; one that is there goes on.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="postgresql://... for many machines. (default: a journal file)")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Trials at a time, each on its own core. (default: one per core)", show_default=False),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Train trials on a Dask cluster: tcp://HOST:8786.", show_default=False)
    ] = None,
    finalists: Annotated[
        int, typer.Option(help="Best trials trained with two further seeds before one is chosen; 0 for none.")
    ] = 5,
    seeds: Annotated[int, typer.Option(help="Seeds of both recipes, judged on test at the end; 0 judges nothing.")] = 3,
    data: Annotated[str | None, typer.Option(help="As for `digitlab train`.")] = None,
    validation: Annotated[int, typer.Option(help="Training images kept for validation.")] = 5000,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.", show_default=False)] = None,
    engine: Annotated[str, typer.Option(help="auto, compiled (JAX), or fit (Keras' own loop).")] = "auto",
    runs: Annotated[
        Path | None, typer.Option(help="Folder of the runs. (default: $DIGITLAB_RUNS or ./runs)", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Search for a better recipe on validation images; judge it once on test, beside the first one."""
    from digitlab import startup
    from digitlab.cli.group_command import say
    from digitlab.cli.progress import Lines
    from digitlab.runs.worker import Quiet
    from digitlab.searching.tuning import trials_at_once
    from digitlab.searching.tuning import tune as search_and_judge

    kept: list[Any] = []

    def on_trial(trial: TrialResult, best: TrialResult | None) -> None:
        kept.append(trial)
        if not quiet:
            print(trial_line(trial, best), file=sys.stderr, flush=True)

    def on_stage(stage: str) -> None:
        if stage == "search":
            if scheduler is None and trials_at_once(jobs, trials) == 1:
                startup.import_keras_quickly()
        elif stage == "finalists":
            if not quiet:
                print("training the best trials with two further seeds, on the validation images", file=sys.stderr)
        elif not quiet:
            print(f"training {seeds} seeds of both recipes; each is judged on the test images once", file=sys.stderr)

    try:
        with ExitStack() as stack:
            tuned = search_and_judge(
                recipe,
                trials=trials,
                seconds=_seconds(time),
                search_in=_pairs("search", search, needs_value=True),
                fix=_pairs("fix", fix, needs_value=False),
                study=study,
                storage=storage,
                finalists=finalists,
                seeds=seeds,
                data=data,
                validation=validation,
                engine=engine,
                folder=runs,
                jobs=jobs,
                place=stack.enter_context(cluster_at(scheduler)) if scheduler else None,
                on_trial=on_trial,
                on_stage=on_stage,
                on_event=None if quiet else say,
                watcher=Quiet if quiet else Lines,
                **({} if epochs is None else {"epochs": epochs}),
            )
    except RecipeError as error:
        own = error.field in (
            "trials",
            "finalists",
            "seeds",
            "jobs",
            "validation",
            "epochs",
            "engine",
        )  # others are given by --fix or --search
        fail(f"--{error}" if own else str(error), 2)
    except KeyboardInterrupt:
        how = f"by the same command with --study {study}" if study else "by the same command with --study and its name"
        fail(f"stopped; {len(kept)} trials of this call are kept. Go on {how}" if kept else "stopped", 130)
    print(json.dumps(summary(tuned)) if as_json else closing_words(tuned))


def _seconds(text: str | None) -> float | None:
    """Seconds from 90s, 10m or 2h."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match and float(match[1]):
        return float(match[1]) * _UNITS[match[2]]
    fail(f"--time: got {text!r}, expected a time as in 90s, 10m or 2h", 2)
    return None


def _pairs(option: str, texts: list[str] | None, *, needs_value: bool) -> dict[str, str]:
    """Field and value of each option."""
    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if needs_value and not (equals and value):
            fail(f"--{option}: got {text!r}, expected FIELD=RANGE, as in peak_rate=1e-4..1e-2", 2)
        found[name.strip().replace("-", "_")] = value.strip().replace(" ", "")
    return found


def trial_line(trial: TrialResult, best: TrialResult | None) -> str:
    """A trial as a line: what came out, the best so far, what was chosen."""
    result = f"{trial.state:<9}" if trial.accuracy is None else f"{100 * trial.accuracy:6.2f} % "
    end = f"stopped after epoch {trial.epochs}" if trial.state == "pruned" else f"{trial.seconds:.1f} s"
    leader = f"best {100 * (best.accuracy or 0):.2f} % (trial {best.number})" if best else "none complete yet"
    chosen = "  ".join(f"{name} {_short(value)}" for name, value in trial.parameters.items())
    return f"trial {trial.number:<4} {result} {end:<22} {leader}\n           {chosen}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def summary(tuned: Tuned) -> dict[str, Any]:
    """What `--json` prints."""
    states = [trial.state for trial in tuned.trials]
    compared = tuned.comparison
    return {
        "study": tuned.name,
        "folder": str(tuned.path),
        "trials": {state: states.count(state) for state in ("complete", "pruned", "failed", "running")},
        "best": None
        if tuned.best is None
        else {
            "trial": tuned.best.number,
            "validation_accuracy": tuned.best.accuracy,
            "further_seeds": list(tuned.further.get(tuned.best.number, ())),
            "recipe": tuned.best.recipe.to_dict(),
        },
        "importance": dict(tuned.importance),
        "judged": None
        if compared is None
        else {
            "groups": list(compared.names),
            "means": [spread.mean for spread in compared.spreads],
            "difference": compared.difference,
            "difference_interval": compared.difference_interval,
            "p_value": compared.p_value,
        },
    }


def closing_words(tuned: Tuned) -> str:
    """The result as a person reads it."""
    from digitlab.searching.tuning import changed

    states = [trial.state for trial in tuned.trials]
    lines = []
    if tuned.best is None:
        lines.append(f"{tuned.name}: no trial is complete yet; go on by the same command with --study {tuned.name}")
    else:
        lines.append(
            f"best   trial {tuned.best.number}, {100 * (tuned.best.accuracy or 0):.2f} % of the validation images "
            f"({states.count('complete')} trials complete, {states.count('pruned')} stopped early)"
        )
        again = tuned.further.get(tuned.best.number)
        if again:
            of = f"{len(again)} further seeds, the best of {len(tuned.further)} trials trained again"
            lines.append(f"       {100 * sum(again) / len(again):.2f} % with {of}")
        fields = changed(tuned.best.recipe, tuned.start)
        lines += [f"       {name:<16} {_short(value)}" for name, value in fields.items()]
    if tuned.comparison is not None:
        lines.append(f"test   {tuned.comparison.words}")
    elif tuned.others:
        lines.append(f"       {tuned.others} trials of others still run; the same command again judges the best")
    if tuned.best is not None:
        lines.append(f"recipe {tuned.path / 'best.json'}  (digitlab train --recipe takes it)")
    lines.append(f"page   {tuned.path / 'study.html'}  (open it in a browser)")
    return "\n".join(lines)
