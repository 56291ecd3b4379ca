"""`digitlab train`: an option for each field of the recipe, made from the fields themselves."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitlab import in_words
from digitlab.cli.errors import Options, fail
from digitlab.cli.group_command import train_group
from digitlab.cli.teach_command import teach
from digitlab.cli.termination import ends_on_sigterm, exit_code
from digitlab.errors import RecipeError
from digitlab.learning.recipe import FIELDS, RECIPES
from digitlab.learning.recipe import recipe as make_recipe

if TYPE_CHECKING:
    from digitlab.learning import Recipe
    from digitlab.runs import Run

EXAMPLES = (
    "Examples: [bold]digitlab train[/]; [bold]digitlab train mlp2 --epochs 20 --dropout 0.3[/]; "
    "[bold]digitlab train --from reader --data my-digits/[/]; "
    "[bold]digitlab train --model my_file.py:build[/]; [bold]digitlab train --resume latest[/]"
)

# Fields that are not settings of a person's: what the recipe is called, and what `--model` sets.
_FIXED = ("name", "description", "network")
_TYPES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "tuple[int, ...]": str}


def _train(
    recipe: Annotated[str, typer.Argument(help="Recipe; `digitlab recipes` lists them.")] = "mlp",
    *,
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", help="A recipe as a file, as `digitlab tune` leaves it.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder of IDX files, .npz, or folder with a sub-folder per class.")
    ] = None,
    validation: Annotated[
        int | None, typer.Option(help="Training images kept for validation. (default: 5000)", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="A Keras model of your own, as my_file.py:build.")] = None,
    engine: Annotated[str, typer.Option(help="auto, compiled (JAX), or fit (Keras' own loop).")] = "auto",
    from_: Annotated[
        str | None, typer.Option("--from", help="Teach a finished run your own images: the run, or reader.")
    ] = None,
    held_back: Annotated[float, typer.Option(help="With --from: share of your images to judge by.")] = 0.2,
    resume: Annotated[str | None, typer.Option(help="Resume a stopped run: its path, name, or latest.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run. (default: recipe and time)")] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of the runs. (default: $DIGITLAB_RUNS or ./runs)", show_default=False)
    ] = None,
    prepare: Annotated[
        str | None,
        typer.Option(help="--data is class folders of any images: photo (find the digit in each), or resize."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Train this many seeds, from --seed on, as a group.")] = 1,
    jobs: Annotated[int, typer.Option(help="Of several seeds, train so many at a time; never more than cores.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Train several seeds on a Dask cluster: tcp://HOST:8786.", show_default=False)
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Watch it learn on a page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
    **fields: Any,
) -> None:
    """Train a network, judge it on the test images, and keep everything in a run folder."""
    Options.verbose = Options.verbose or verbose
    changes = {key: value for key, value in fields.items() if value is not None}
    if recipe_file is not None and recipe != "mlp":
        fail(f"--recipe {recipe_file} and the recipe {recipe!r}: expected one of the two", 2)
    named = recipe != "mlp" or recipe_file is not None
    if resume is not None and (changes or data or name or validation is not None or named):
        fail("--resume trains a run exactly as it began, so it takes no recipe, data or name", 2)
    try:
        if "hidden" in changes:
            changes["hidden"] = _units(changes["hidden"])
        settings = make_recipe(recipe if recipe_file is None else _recipe_in(recipe_file), **changes)
    except RecipeError as error:
        fail(f"--{error.field.replace('_', '-')}: {error.text}" if error.field else str(error), 2)

    if prepare is not None:
        if data is None or not Path(data).is_dir():
            fail(f"--prepare {prepare} takes --data FOLDER with a sub-folder per class, such as photos/3/*.jpg", 2)
        data = _prepared(Path(str(data)), prepare)
    options: dict[str, Any] = {
        "data": data,
        "validation": 5000 if validation is None else validation,
        "model": model,
        "engine": engine,
        "folder": runs,
        "name": name,
    }
    if from_ is not None:
        if data is None or resume or model or seeds != 1 or validation is not None or recipe != "mlp":
            fail("--from takes --data FOLDER of your own images, and no recipe, model, seeds or --resume", 2)
        teach(from_, str(data), held_back, changes, options, quiet=quiet, as_json=as_json)
        return
    if seeds != 1:
        if open_page:
            fail("--open shows one run. Watch several with: digitlab serve", 2)
        if resume is not None:
            fail("--resume takes one run. Resume a group by its first command, with --name GROUP", 2)
        train_group(settings, seeds, jobs, options, scheduler=scheduler, quiet=quiet, as_json=as_json)
        return
    if scheduler is not None:
        fail("--scheduler trains several seeds: add --seeds N. One run is trained on this machine", 2)
    from digitlab import cli
    from digitlab.cli.open_page import in_browser
    from digitlab.cli.progress import Lines
    from digitlab.runs import training
    from digitlab.runs.events import Stopwatch
    from digitlab.runs.worker import Quiet

    watcher = Quiet() if quiet else Lines()
    stopwatch = Stopwatch(cli.STARTED)
    try:
        with ends_on_sigterm(lambda: _kept(watcher)), in_browser(watcher, runs, wanted=open_page) as told:
            if resume is not None:
                _same_cores(resume, runs)
                run = training.resume(resume, model=model, folder=runs, watcher=told, stopwatch=stopwatch)
            else:
                run = training.train(settings, watcher=told, stopwatch=stopwatch, **options)
    except KeyboardInterrupt as stop:
        fail(_kept(watcher), exit_code(stop))
    finally:
        if isinstance(watcher, Lines):
            watcher.close()
    print(json.dumps(summary(run)) if as_json else closing_words(run))


def _prepared(data: Path, prepare: str) -> str:
    """Class folders of images of any size as ones of 28 x 28, in a folder beside; what is there already stays."""
    from digitlab.collecting import Collection
    from digitlab.collecting.class_photos import collect_class_folders

    folder = data.resolve()
    made = folder.with_name(f"{folder.name}-28x28-{prepare}")
    added = collect_class_folders(folder, Collection(made), prepare=prepare)
    print(f"digitlab: {added:,} images of {data} brought to 28 x 28 in {made}", file=sys.stderr)
    return str(made)


def _recipe_in(file: Path) -> Recipe:
    from digitlab.runs.recipe_file import load_recipe

    return load_recipe(file)


def _same_cores(reference: str, folder: Path | None) -> None:
    """Resume on as many cores as the run began with, where this machine has more: its sums stay bit-equal."""
    from digitlab.machine import usable_cores
    from digitlab.runs import open_run

    began, here = int(open_run(reference, folder).info["machine"]["cores"]), usable_cores()
    if began < len(here) and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, here[:began])


def _units(text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    if not all(part.isdecimal() for part in parts):
        raise RecipeError.of("hidden", text, "whole numbers, as in 256,128")
    return tuple(int(part) for part in parts)


def _kept(watcher: Any) -> str:
    """What a person who stopped it wants to know."""
    run = getattr(watcher, "run", None)
    if run is None:
        return "stopped before training began"
    done, epochs = watcher.finished_epochs, run.recipe.epochs
    return f"stopped; {done} of {epochs} epochs are kept. Resume it with: digitlab train --resume {run.path}"


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
    training = in_words.duration(sum(run.history["seconds"]))
    classes = info["data"]["classes"]
    lines = [
        f"{100 * e.accuracy:.2f} % correct on {e.samples:,} test images "
        f"({in_words.interval(e.accuracy_interval)}), {e.samples - e.correct:,} mistakes"
    ]
    if e.confusions:
        often = (f"{classes[c.true]} read as {classes[c.predicted]} ({c.count})" for c in e.confusions[:3])
        lines.append("most often " + ", ".join(often))
    lines += [
        f"run     {run.path}",
        f"report  {run.path / 'report.html'}  (open it in a browser)",
        f"time    {in_words.duration(info['seconds']['total'])}, of which {training} training",
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
