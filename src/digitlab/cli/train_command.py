"""`digitlab train`: an option for each field of the recipe, made from the fields themselves."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitlab.cli.errors import Options, fail
from digitlab.errors import RecipeError
from digitlab.learning.recipe import FIELDS, RECIPES
from digitlab.learning.recipe import recipe as make_recipe

if TYPE_CHECKING:
    from digitlab.learning import Recipe
    from digitlab.runs import Run

EXAMPLES = (
    "Examples: [bold]digitlab train[/]; [bold]digitlab train mlp2 --epochs 20 --dropout 0.3[/]; "
    "[bold]digitlab train --model my_file.py:build[/]; [bold]digitlab train --resume latest[/]"
)

# Fields that are not settings of a person's: what the recipe is called, and what `--model` sets.
_FIXED = ("name", "description", "network")
_TYPES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "tuple[int, ...]": str}


def _train(
    recipe: Annotated[str, typer.Argument(help="Recipe; `digitlab recipes` lists them.")] = "mlp",
    *,
    data: Annotated[
        str | None, typer.Option(help="Folder of IDX files, .npz, or folder with a sub-folder a class.")
    ] = None,
    validation: Annotated[
        int | None, typer.Option(help="Training images kept for validation. (default: 5000)", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="A Keras model of your own, as my_file.py:build.")] = None,
    engine: Annotated[str, typer.Option(help="auto, compiled (JAX), or fit (Keras' own loop).")] = "auto",
    resume: Annotated[str | None, typer.Option(help="Go on with a stopped run: its path, name, or latest.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run. (default: recipe and time)")] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of the runs. (default: $DIGITLAB_RUNS or ./runs)", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(help="Train this many seeds, from --seed on, as a group.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
    **fields: Any,
) -> None:
    """Train a network, judge it on the test images, and keep everything in a run folder."""
    Options.verbose = Options.verbose or verbose
    changes = {key: value for key, value in fields.items() if value is not None}
    if resume is not None and (changes or data or model or name or validation is not None or recipe != "mlp"):
        fail("--resume goes on with a run exactly as it began, so it takes no recipe, data, model or name", 2)
    try:
        if "hidden" in changes:
            changes["hidden"] = _units(changes["hidden"])
        settings = make_recipe(recipe, **changes)
    except RecipeError as error:
        fail(re.sub(r"^(\w+): ", lambda m: f"--{m[1].replace('_', '-')}: ", str(error)), 2)

    if seeds != 1:
        _train_group(settings, seeds, data, validation, model, engine, name, runs, as_json, quiet)
        return
    from digitlab import cli, workflow
    from digitlab.cli.progress import Lines, Quiet

    watcher = Quiet() if quiet else Lines()
    stopwatch = workflow.Stopwatch(cli.STARTED)
    try:
        if resume is not None:
            run = workflow.resume(resume, folder=runs, watcher=watcher, stopwatch=stopwatch)
        else:
            run = workflow.train(
                settings,
                data=data,
                validation=5000 if validation is None else validation,
                model=model,
                engine=engine,
                folder=runs,
                name=name,
                watcher=watcher,
                stopwatch=stopwatch,
            )
    except KeyboardInterrupt:
        _stopped(watcher)
    finally:
        if isinstance(watcher, Lines):
            watcher.close()
    print(json.dumps(summary(run)) if as_json else closing_words(run))


def _train_group(
    settings: Recipe,
    seeds: int,
    data: str | None,
    validation: int | None,
    model: str | None,
    engine: str,
    name: str | None,
    folder: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Several seeds, one after another: the first compiles, the others find its programs."""
    from digitlab import groups
    from digitlab.cli.progress import Lines, Quiet

    watchers: list[Quiet] = []

    def watcher() -> Quiet:
        watchers.append(Quiet() if quiet else Lines())
        return watchers[-1]

    try:
        group = groups.train_group(
            settings,
            seeds,
            name=name,
            folder=folder,
            watcher=watcher,
            data=data,
            validation=5000 if validation is None else validation,
            model=model,
            engine=engine,
        )
    except KeyboardInterrupt:
        run = getattr(watchers[-1], "run", None) if watchers else None
        called = run.info["group"] if run else name
        fail(f"stopped. Go on by the same command with --name {called}: finished seeds stay", 130)
    finally:
        for one in watchers:
            if isinstance(one, Lines):
                one.close()
    found = group.spread
    if as_json:
        print(
            json.dumps(
                {
                    "group": group.name,
                    "recipe": settings.name,
                    "seeds": [run.info["seed"] for run in group.runs],
                    "test_accuracies": group.accuracies.tolist(),
                    "mean": found.mean,
                    "std": found.std,
                    "interval": found.interval,
                    "runs": [str(run.path) for run in group.runs],
                }
            )
        )
        return
    low, high = found.interval or (found.mean, found.mean)
    print(
        f"{group.name}: {100 * found.mean:.2f} ± {100 * (found.std or 0):.2f} % right on the test images, mean and "
        f"standard deviation of {found.n} seeds (95 % interval of the mean {100 * low:.2f} to {100 * high:.2f} %)"
    )
    for run, accuracy in zip(group.runs, group.accuracies, strict=True):
        print(f"seed {run.info['seed']}  {100 * accuracy:.2f} %  {run.path}")


def _units(text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    if not all(part.isdecimal() for part in parts):
        raise RecipeError(f"hidden: got {text!r}, expected whole numbers, as in 256,128")
    return tuple(int(part) for part in parts)


def _stopped(watcher: Any) -> None:
    run = getattr(watcher, "run", None)
    if run is None:
        fail("stopped before training began", 130)
    else:
        done, epochs = watcher.finished_epochs, run.recipe.epochs
        fail(f"stopped; {done} of {epochs} epochs are kept. Go on with: digitlab train --resume {run.path}", 130)


def summary(run: Run) -> dict[str, Any]:
    """What `--json` prints."""
    info, evaluation = run.info, run.evaluation
    return {
        "run": str(run.path),
        "recipe": info["recipe"]["name"],
        "seed": info["seed"],
        "epochs": len(run.history["epoch"]),
        "parameters": info["parameters"],
        "test_accuracy": evaluation.accuracy,
        "test_accuracy_interval": list(evaluation.accuracy_interval),
        "test_loss": evaluation.log_loss,
        "epoch_seconds": [round(value, 4) for value in run.history["seconds"]],
        "seconds": info["seconds"],
    }


def closing_words(run: Run) -> str:
    """The result as a person reads it."""
    info, e = run.info, run.evaluation
    low, high = e.accuracy_interval
    classes = info["data"]["classes"]
    lines = [
        f"{100 * e.accuracy:.2f} % right on {e.samples:,} test images "
        f"(95 % interval {100 * low:.2f} to {100 * high:.2f} %), {e.samples - e.correct:,} mistakes"
    ]
    if e.confusions:
        often = (f"{classes[c.true]} read as {classes[c.predicted]} ({c.count})" for c in e.confusions[:3])
        lines.append("most often " + ", ".join(often))
    lines += [
        f"run     {run.path}",
        f"report  {run.path / 'report.html'}  (open it in a browser)",
        f"time    {info['seconds']['total']:.1f} s, of which {sum(run.history['seconds']):.1f} s training",
    ]
    return "\n".join(lines)


def _with_recipe_options(function: Any) -> Any:
    """Give a function an option for every field of the recipe, with the field's own help text."""
    signature = inspect.signature(function, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = []
    for field in dataclasses.fields(next(iter(RECIPES.values()))):
        if field.name in _FIXED:
            continue
        flag = f"--{field.name.replace('_', '-')}"
        kind = _TYPES[str(field.type)]
        text = FIELDS[field.name].metadata["help"]
        if field.metadata["choices"]:
            text += f" One of {', '.join(field.metadata['choices'])}."
        option = typer.Option(
            f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
            help=text,
            rich_help_panel="Recipe (each recipe has its own values)",
            show_default=False,
        )
        annotation: Any = Annotated[kind | None, option]
        options.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )

    def command(**kwargs: Any) -> None:
        function(**kwargs)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + options
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    command.__doc__ = function.__doc__
    command.__name__ = "train"
    return command


train = _with_recipe_options(_train)
