"""The Typer application: the commands' names and help, and the options that hold for all of them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from digitlab.cli import (
    collect_commands,
    predict_command,
    read_command,
    runs_commands,
    serve_command,
    show_commands,
    train_command,
    tune_command,
)
from digitlab.cli.errors import Options, one_line_errors

app = typer.Typer(
    name="digitlab",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, judge, keep and use neural networks that read handwritten digits.",
    epilog="Begin with: [bold]digitlab train[/]",
)


def _version(wanted: bool) -> None:
    if wanted:
        from digitlab.version import __version__

        print(f"digitlab {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001  (its callback does the work)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    Options.verbose = Options.verbose or verbose


def _add(function: object, name: str, epilog: str) -> None:
    app.command(name, epilog=epilog)(one_line_errors(function))  # type: ignore[arg-type]


_add(train_command.train, "train", train_command.EXAMPLES)
_add(tune_command.tune, "tune", tune_command.EXAMPLES)
_add(read_command.read, "read", read_command.EXAMPLES)
_add(serve_command.serve, "serve", serve_command.EXAMPLES)
_add(predict_command.predict, "predict", predict_command.EXAMPLES)
_add(collect_commands.sheet, "sheet", "Example: [bold]digitlab sheet --out sheet.pdf --paper letter[/]")
_add(collect_commands.collect, "collect", collect_commands.COLLECT_EXAMPLES)
_add(show_commands.recipes, "recipes", "Example: [bold]digitlab recipes mlp2[/]")
_add(show_commands.data, "data", "Example: [bold]digitlab data --png digits.png[/]")
_add(runs_commands.runs, "runs", "Example: [bold]digitlab runs latest[/]")
_add(runs_commands.compare, "compare", "Example: [bold]digitlab compare my-run other-run[/]")
_add(runs_commands.evaluate, "evaluate", "Example: [bold]digitlab evaluate latest --data my-digits/[/]")
_add(runs_commands.export, "export", "Example: [bold]digitlab export latest --format onnx[/]")
_add(runs_commands.report, "report", "Example: [bold]digitlab report latest[/]")


def main() -> None:
    """Run the command; never a traceback, whatever moment Ctrl-C comes at."""
    try:
        app()
    except KeyboardInterrupt:
        print("digitlab: stopped", file=sys.stderr)
        sys.exit(130)
