"""`digitlab recipes` and `digitlab data`: what there is to train, and what to train it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from digitlab.cli.errors import fail
from digitlab.errors import RecipeError


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
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("recipe", style="bold", no_wrap=True)
    table.add_column("network")
    for column in ("epochs", "parameters", "test accuracy", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in RECIPES.values():
        row = results.get(r.name)
        cells = (f"{row.parameters:,}", row.short(), f"{row.seconds:.1f}") if row else ("", "not measured yet", "")
        table.add_row(r.name, r.description, str(r.epochs), *cells)
    console = Console(highlight=False)
    console.print(table)
    if results:
        first = next(iter(results.values()))
        console.print(
            f"test accuracy: mean ± standard deviation over {first.seeds} seeds, test images read once a run; "
            f"seconds: training, median; {first.machine}; by benchmarks/accuracy.py",
            style="dim",
        )


def data(
    source: Annotated[str | None, typer.Option("--data", help="As in `digitlab train --data`.")] = None,
    validation: Annotated[int, typer.Option(help="Training images kept for validation.")] = 5000,
    png: Annotated[Path | None, typer.Option(help="Write the sample grid as a picture.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the data: counts a class, pixel statistics, sample pictures."""
    from digitlab.data import load, overview

    dataset = load(source, validation=validation)
    facts = overview.describe(dataset)
    if png is not None:
        overview.write_grid(dataset, png)
    if as_json:
        print(json.dumps(facts.to_dict()))
        return
    _print_overview(dataset, facts)
    if png is not None:
        print(f"\nsample grid written to {png}")


def _print_overview(dataset: Any, facts: Any) -> None:
    from rich.console import Console

    from digitlab.data import overview

    console = Console(highlight=False)
    for line in overview.lines(dataset, facts, width=min(console.width, 100)):
        console.print(line, markup=False, soft_wrap=True)
