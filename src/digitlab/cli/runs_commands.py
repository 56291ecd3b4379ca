"""`digitlab runs`, `compare`, `evaluate` and `report`: what to do with runs that are there."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitlab import in_words
from digitlab.cli.errors import fail
from digitlab.cli.scheduler import cluster_at
from digitlab.files import printable

if TYPE_CHECKING:
    from rich.console import Console

    from digitlab.judging import Evaluation
    from digitlab.judging.robustness import Robustness
    from digitlab.runs import Run

_Runs = Annotated[
    Path | None,
    typer.Option("--runs", help="Folder of the runs. (default: $DIGITLAB_RUNS or ./runs)", show_default=False),
]
_RUN_OR_GROUP = "A run: its path, name, or latest; or a group: its ensemble."
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def runs(
    run: Annotated[str | None, typer.Argument(help="Show one run: its path, name, or latest.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write all runs side by side as a page: table, curves, differences.")
    ] = None,
    folder: _Runs = None,
    as_json: _Json = False,
) -> None:
    """List the runs, or show one."""
    if html is not None:
        if run is not None or as_json:
            fail("--html writes a page of all runs, so it takes neither a run nor --json", 2)
        from digitlab.runs.overview import write_dashboard

        print(write_dashboard(html, folder=folder))
        return
    from digitlab.runs import damaged_runs, list_runs, open_run, runs_folder

    if run is not None:
        chosen = open_run(run, folder)
        if as_json:
            print(json.dumps(_row(chosen) | {"info": chosen.info}))
        else:
            _show(chosen)
        return
    rows = [_row(r) for r in list_runs(folder)]
    rows += [_damaged_row(path, why) for path, why in damaged_runs(folder).items()]
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        print(f"no runs in {runs_folder(folder)} yet; make one with: digitlab train")
        return
    print_table(rows)
    for row in rows:
        if row["damage"]:
            print(f"digitlab: {printable(row['path'])}: {row['damage']}", file=sys.stderr)


# Heading, rank and alignment of each column of the list of runs; the highest rank is dropped first.
COLUMNS = (
    ("run", 0, "<"),
    ("recipe", 5, "<"),
    ("state", 2, "<"),
    ("epochs", 4, ">"),
    ("parameters", 6, ">"),
    ("accuracy", 1, ">"),
    ("time", 3, ">"),
)


def print_table(rows: list[dict[str, Any]], console: Console | None = None) -> None:
    """List runs in a table that fits the terminal; a name is never cut."""
    from rich.console import Console

    from digitlab.cli.width import GAP, columns_of, fitting_columns

    console = console or Console(highlight=False)
    table = [[heading for heading, _, _ in COLUMNS]]
    for row in rows:
        accuracy = row["test_accuracy"]
        table.append(
            [
                printable(row["name"]),
                row["recipe"] or "",
                row["state"],
                f"{row['epochs_done']}/{row['epochs']}" if row["epochs"] else "",
                f"{row['parameters']:,}" if row["parameters"] else "",
                f"{100 * accuracy:.2f} %" if accuracy is not None else "",
                in_words.duration(row["seconds"]) if row["seconds"] else "",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    shown = fitting_columns(widths, [rank for _, rank, _ in COLUMNS], columns_of(console))
    for number, cells in enumerate(table):
        line = GAP.join(f"{cells[i]:{COLUMNS[i][2]}{widths[i]}}" for i in shown).rstrip()
        console.print(line, style="bold" if number == 0 else None, markup=False, soft_wrap=True)
    dropped = [COLUMNS[i][0] for i in range(len(COLUMNS)) if i not in shown]
    if dropped:
        words = "In a wider window, and with --json, also: " + ", ".join(dropped)
        console.print(words, style="dim")


def _row(run: Run) -> dict[str, Any]:
    from digitlab.errors import RunError
    from digitlab.runs.states import State

    info, damage = run.info, run.damage
    state = State.DAMAGED if damage else run.state
    try:
        done = len(run.history.get("epoch", []))
    except RunError:
        done = 0
    return {
        "name": run.name,
        "path": str(run.path),
        "recipe": info["recipe"]["name"],
        "seed": info["seed"],
        "state": state,
        "created": info["created"],
        "epochs_done": done,
        "epochs": info["recipe"]["epochs"],
        "parameters": info["parameters"],
        "test_accuracy": run.evaluation.accuracy if state == State.FINISHED else None,
        "seconds": info.get("seconds", {}).get("total"),
        "damage": damage or None,
    }


def _damaged_row(path: Path, why: str) -> dict[str, Any]:
    """A run whose run.json cannot be used."""
    from digitlab.runs.states import State

    unknown = ("recipe", "seed", "created", "epochs_done", "epochs", "parameters", "test_accuracy", "seconds")
    return {"name": path.name, "path": str(path), "state": State.DAMAGED, "damage": why, **dict.fromkeys(unknown)}


def _show(run: Run) -> None:
    from digitlab.runs.states import State

    info = run.info
    recipe = info["recipe"]
    print(f"{printable(run.name)}: {recipe.get('description', recipe['name'])}, {run.state}")
    print(f"created   {info['created']}")
    print(f"recipe    {recipe['name']}, seed {info['seed']}, {recipe['epochs']} epochs")
    counts = info["data"]["counts"]
    print(f"data      {info['data']['name']}: " + ", ".join(f"{n:,} {part}" for part, n in counts.items()))
    if run.state != State.FINISHED:
        print(f"resume    digitlab train --resume {run.path}")
        return
    print()
    _print_evaluation(run.evaluation, info["data"]["classes"])
    print(f"\nreport    {run.path / 'report.html'}")


def _print_evaluation(e: Evaluation, classes: Sequence[str]) -> None:
    print(f"accuracy           {100 * e.accuracy:.2f} %  ({in_words.interval(e.accuracy_interval)})")
    print(f"mistakes           {e.samples - e.correct:,} of {e.samples:,}")
    print(f"log loss           {e.log_loss:.4f}" + _after(e.calibrated_log_loss))
    print(f"Brier score        {e.brier_score:.4f}" + _after(e.calibrated_brier_score))
    print(f"calibration error  {e.calibration_error:.4f}" + _after(e.calibrated_calibration_error))
    if e.temperature is not None:
        print(f"temperature        {e.temperature:.3f}, fitted on validation")
    print()
    width = max(5, *(len(name) for name in classes))
    print(f"{'class':<{width}}  precision  recall      F1   images")
    for i, name in enumerate(classes):
        print(f"{name:<{width}}  {e.precision[i]:9.4f}  {e.recall[i]:6.4f}  {e.f1[i]:6.4f}  {e.support[i]:7,}")
    if e.confusions:
        often = (f"{classes[c.true]} read as {classes[c.predicted]} ({c.count})" for c in e.confusions[:5])
        print("\nmost often " + ", ".join(often))
    if e.doubtful_mistakes:
        print(f"{len(e.doubtful_mistakes)} of the mistakes are on test labels that human reviewers doubt")


def _after(value: float | None) -> str:
    return "" if value is None else f"  ({value:.4f} after temperature scaling)"


def compare(
    first: Annotated[str, typer.Argument(help="A run (its path, name, or latest) or a group.")],
    second: Annotated[str, typer.Argument(help="Another run or group.")],
    folder: _Runs = None,
    as_json: _Json = False,
) -> None:
    """Say by how much two runs, or groups of seeds, differ, and whether that is more than chance."""
    from digitlab.judging.compare import Comparison
    from digitlab.runs.finished import compare as compare_subjects

    found = compare_subjects(first, second, folder=folder)
    if not as_json:
        print(found.words)
        return
    facts: dict[str, Any] = {
        "names": list(found.names),
        "difference_points": found.difference,
        "difference_interval": found.difference_interval,
        "p_value": found.p_value,
        "words": found.words,
    }
    if isinstance(found, Comparison):
        only = dict(zip(found.names, found.counts, strict=True))
        facts |= {"accuracies": list(found.accuracies), "images": found.samples, "read_right_by_one_only": only}
    else:
        facts |= {"accuracies": [one.mean for one in found.spreads], "seeds": [one.n for one in found.spreads]}
        facts["general_interval"] = found.general_interval
    print(json.dumps(facts))


def evaluate(
    run: Annotated[str, typer.Argument(help=_RUN_OR_GROUP)],
    data: Annotated[str | None, typer.Option(help="Other data than the run's own.")] = None,
    corrupted: Annotated[
        bool,
        typer.Option("--corrupted", help="On the images made worse: noise, blur, fog, shift…; for the report too."),
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(help="With --corrupted: judge on a Dask cluster, tcp://HOST:8786.", show_default=False),
    ] = None,
    folder: _Runs = None,
    as_json: _Json = False,
) -> None:
    """Judge a run's model on its test images, or on other data."""
    if scheduler is not None and not corrupted:
        fail("--scheduler judges many sets of images: add --corrupted. One set is judged on this machine", 2)
    from digitlab.startup import import_keras_quickly

    import_keras_quickly()
    from digitlab.runs import finished
    from digitlab.runs.groups import open_reference

    subject = open_reference(run, folder)
    if corrupted:
        from digitlab.cli.progress import counting

        with ExitStack() as stack:
            place = stack.enter_context(cluster_at(scheduler)) if scheduler else None
            progress = stack.enter_context(counting("sets of images judged"))
            robustness = finished.evaluate_corrupted(subject, data=data, progress=progress, place=place)
        if as_json:
            print(json.dumps(robustness.to_dict()))
        else:
            _print_robustness(robustness)
        return
    evaluation = finished.evaluate(subject, data=data)
    if as_json:
        print(json.dumps(evaluation.to_dict()))
    else:
        _print_evaluation(evaluation, subject.class_names)


def export(
    run: Annotated[
        str, typer.Argument(help="A run (its path, name, or latest) or a group; with --format page also reader.")
    ],
    kind: Annotated[
        str, typer.Option("--format", help="onnx, keras or h5; or page: one HTML file to draw on, for anybody.")
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(help="The file. (default: model.FORMAT in the run; page.html, reader.html)", show_default=False),
    ] = None,
    folder: _Runs = None,
) -> None:
    """Write a run's model for other programs, checked against the model first; a group as the mean of its runs."""
    from digitlab.startup import import_keras_quickly

    import_keras_quickly()
    from digitlab.runs import finished

    print(finished.export(run, kind, output=output, folder=folder))


def _print_robustness(robustness: Robustness) -> None:
    width = max(map(len, robustness.accuracies))
    most = max(map(len, robustness.accuracies.values()))
    print(f"{'accuracy, %':<{width}}" + "".join(f"{f'strength {i + 1}':>12}" for i in range(most)) + "    mean")
    for kind, values in robustness.accuracies.items():
        cells = "".join(f"{100 * value:12.2f}" for value in values).ljust(12 * most)
        print(f"{kind:<{width}}{cells}  {100 * sum(values) / len(values):6.2f}")
    print(
        f"\nmean over all kinds {100 * robustness.mean:.2f} %, untouched {100 * robustness.untouched:.2f} %, "
        f"{robustness.samples:,} images each"
    )


def report(
    run: Annotated[str, typer.Argument(help=_RUN_OR_GROUP)],
    folder: _Runs = None,
) -> None:
    """Draw a run's figures and write its report anew."""
    from digitlab.startup import import_keras_quickly

    import_keras_quickly()
    from digitlab.runs import finished

    print(finished.report(run, folder=folder))
