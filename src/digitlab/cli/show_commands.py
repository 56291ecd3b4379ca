"""`digitlab recipes` and `digitlab data`: what there is to train, and what to train it on."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitlab import in_words
from digitlab.cli.errors import fail
from digitlab.errors import RecipeError
from digitlab.files import write_atomically

if TYPE_CHECKING:
    from digitlab.data import Dataset
    from digitlab.data.overview import Overview


def recipes(
    name: Annotated[str | None, typer.Argument(help="Show every field of one recipe.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes: network, parameters, and what each achieves."""
    from digitlab.learning.recipe import FIELDS, RECIPES, recipe
    from digitlab.learning.results import measured

    results = measured()
    if name is not None:
        try:
            chosen = recipe(name)
        except RecipeError as error:
            fail(str(error), 2)
        values = chosen.to_dict()
        if as_json:
            print(json.dumps({**values, "measured": results.get(name)}))
            return
        width = max(map(len, FIELDS))
        for key, value in values.items():
            shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
            print(f"{key:<{width}}  {shown}")
        if name in results:
            print(f"\n{results[name].words()}")
        return
    if as_json:
        print(json.dumps([{**r.to_dict(), "measured": results.get(r.name)} for r in RECIPES.values()], default=vars))
        return
    from rich.console import Console

    console = Console(highlight=False)
    say = functools.partial(console.print, soft_wrap=True)
    say(
        f"{'recipe':<15} {'parameters':>10}  {'test accuracy':>14} {'seeds':>6}  {'averaged':>8}  {'training':>8}",
        style="dim",
    )
    for r in RECIPES.values():
        row = results.get(r.name)
        line = f"[bold]{r.name:<15}[/] "
        if row:
            line += f"{row.parameters:>10,}  {row.short():>14} {row.seeds:>6}  {100 * row.ensemble:>6.2f} %  "
            line += f"{in_words.duration(row.seconds):>12}"
        else:
            line += f"{'':>10}  {'not measured':>14} {'':>6}  {'':>8}  {'':>8}"
        # Beside the numbers where it fits, else below them: a wrapped cell is hard to read.
        words = f"{r.description}, {r.epochs} epochs"
        say(f"{line}  {words}" if console.width >= 130 else f"{line}\n  [dim]{words}[/]")
    say()
    if results:
        first = next(iter(results.values()))
        console.print(
            "test accuracy: mean ± standard deviation over the seeds, test images read once per run; averaged: of the "
            f"seeds' mean probabilities; training: one seed, {first.machine}; by benchmarks/accuracy.py",
            style="dim",
        )


def data(
    source: Annotated[str | None, typer.Option("--data", help="As in `digitlab train --data`.")] = None,
    validation: Annotated[int, typer.Option(help="Training images kept for validation.")] = 5000,
    png: Annotated[Path | None, typer.Option(help="Write the sample grid as an image.")] = None,
    augmented: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="Show images before and after a recipe's augmentation.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the data: counts a class, pixel statistics, sample images."""
    from digitlab.data import load, overview

    dataset = load(source, validation=validation)
    if augmented is not None:
        _show_augmented(dataset, augmented, png)
        return
    facts = overview.describe(dataset)
    if png is not None:
        indices = overview.sample_indices(dataset.train.labels, per_class=10)
        picture = overview.grid_image(
            dataset.train.images[indices], dataset.train.labels[indices], class_names=dataset.class_names
        )
        encoded = io.BytesIO()
        picture.save(encoded, "png")
        write_atomically(png, encoded.getvalue())
    if as_json:
        print(json.dumps(facts.to_dict() | ({"png": str(png)} if png else {})))
        return
    _print_overview(dataset, facts)
    if png is not None:
        print(f"\nsample grid written to {png}")


def _show_augmented(dataset: Dataset, name: str, png: Path | None) -> None:
    """One digit a class as it is and, beside it, as a training step may see it."""
    from digitlab.data import overview
    from digitlab.learning import recipe
    from digitlab.learning.augment import active, examples

    try:
        settings = recipe(name)
    except RecipeError as error:
        fail(str(error), 2)
    if not active(settings):
        fail(f"recipe {name} changes no images; try --augmented cnn", 2)
    chosen = overview.sample_indices(dataset.train.labels, per_class=1)
    rows = examples(dataset.train.images[chosen], settings, columns=4)
    print(f"recipe {name}: each row one image as it is, then as training sees it\n")
    for row in rows:
        for line in overview.terminal_grid(row, columns=5):
            print(line)
    if png is not None:
        encoded = io.BytesIO()
        overview.grid_image(rows.reshape(-1, *rows.shape[2:]), columns=5).save(encoded, "png")
        write_atomically(png, encoded.getvalue())
        print(f"\nwritten to {png}")


def _print_overview(dataset: Dataset, facts: Overview) -> None:
    from digitlab.data import overview

    print(f"{facts.name}, {'shipped with digitlab' if facts.source == 'bundled' else facts.source}")
    print(f"sha256 {facts.sha256}\n")
    width = max(5, *(len(name) for name in facts.class_names))
    print(f"{'class':<{width}}   train  validation    test")
    rows = zip(facts.class_names, facts.train, facts.validation, facts.test, strict=True)
    for name, *counts in [*rows, ("all", sum(facts.train), sum(facts.validation), sum(facts.test))]:
        print(f"{name:<{width}}  {counts[0]:6,}  {counts[1]:10,}  {counts[2]:6,}")
    print(
        f"\npixels (0 paper, 1 ink): mean {facts.pixel_mean:.4f}, standard deviation {facts.pixel_std:.4f}, "
        f"{100 * facts.ink_share:.1f} % above 0"
    )
    if facts.blank:
        print(f"{facts.blank:,} training images are blank")
    if facts.test_seen:
        print(
            f"{facts.test_seen:,} test images also lie among the training images: the test is easier than it should be"
        )
    if facts.doubtful:
        print(f"{len(facts.doubtful)} test labels are doubtful: most human reviewers disagree with them")
    print()
    few = overview.sample_indices(dataset.train.labels, per_class=1)[:20]
    for line in overview.terminal_grid(dataset.train.images[few]):
        print(line)
