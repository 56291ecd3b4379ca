"""A search on one page: what was tried, what it found, what mattered, and what the test images say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from digitlab.showing.html import fill
from digitlab.showing.svg_charts import Chart, Drawn, Line, line_chart

if TYPE_CHECKING:
    from digitlab.judging.compare import Spread

# Of a chart of parallel axes, in its own coordinates.
WIDTH, HEIGHT, SIDE, TOP, BOTTOM = 900, 320, 60, 34, 286


@dataclass(frozen=True)
class StudyTrial:
    """One trial, as plain values.

    Attributes:
        number: In the order they were begun.
        state: complete, pruned, failed or running.
        accuracy: On the validation images, 0 to 1; None if it never got that far.
        epochs: Done.
        seconds: It took.
        changes: Fields in which its recipe differs from the first one.
        parameters: What was chosen for it.
    """

    number: int
    state: str
    accuracy: float | None
    epochs: int
    seconds: float
    changes: Mapping[str, Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class StudyContent:
    """What the page shows.

    Attributes:
        name: Of the study.
        recipe: Name of the recipe it began with.
        ranges: What was searched, as text.
        trials: By number.
        best: Number of the best complete one; None without any.
        importance: Share of the spread in accuracy that each parameter explains.
        judged: Name and spread of test accuracies of the first recipe's seeds and the best one's; empty if not judged.
        words: Their difference, in words.
        further: By number of a trial, its validation accuracies with further seeds; empty if none was trained again.
    """

    name: str
    recipe: str
    ranges: Mapping[str, str]
    trials: Sequence[StudyTrial]
    best: int | None
    importance: Mapping[str, float] = field(default_factory=dict)
    judged: Sequence[tuple[str, Spread]] = ()
    words: str = ""
    further: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Axis:
    """One of several parallel axes: where it stands, its name, and what is written at its ends."""

    x: float
    name: str
    low: str
    high: str


def render_study(content: StudyContent) -> str:
    """Write a search as one HTML page that needs nothing but a browser.

    Args:
        content: What it shows.

    Returns:
        The page; write it as UTF-8.

    Example:
        >>> page = render_study(StudyContent("mine", "mlp", {"dropout": "0..0.5"}, (), None))
        >>> "No trial is complete yet" in page
        True
    """
    ranked = sorted(content.trials, key=lambda t: (t.state != "complete", -(t.accuracy or 0.0), t.number))
    axes, lines = parallel_axes(content)
    return fill(
        "study.html",
        styles=("style.css", "runs.css", "study.css"),
        scripts=("runs.js", "charts.js"),
        c=content,
        further=[(number, sum(values) / len(values)) for number, values in content.further.items()],
        best=next((trial for trial in content.trials if trial.number == content.best), None),
        ranked=ranked,
        counts={state: sum(t.state == state for t in content.trials) for state in ("complete", "pruned", "failed")},
        history=history_chart(content),
        axes=axes,
        lines=lines,
        importance=[
            (name.removeprefix("log2 "), share)
            for name, share in sorted(content.importance.items(), key=lambda item: -item[1])
        ],
        axis_foot=BOTTOM,
        axis_top=TOP,
    )


def history_chart(content: StudyContent) -> Chart | None:
    """Accuracy of each complete trial by its number, and the best up to it; None without any."""
    complete = [trial for trial in content.trials if trial.state == "complete" and trial.accuracy is not None]
    if not complete:
        return None
    numbers, values = [t.number for t in complete], [float(t.accuracy or 0.0) for t in complete]
    leading = [max(values[: i + 1]) for i in range(len(values))]
    # The worst trials of a search are far below; the axis is for those that matter.
    low = sorted(values)[len(values) // 4]
    room = max(1e-3, (max(values) - low) * 0.2)

    def percent(value: float) -> str:
        return f"{100 * value:.2f} %"

    chart = line_chart(
        "Validation accuracy",
        [Line("best so far", "a", numbers, leading), Line("trial", "b", numbers, values)],
        xlabel="trial",
        write=percent,
        write_tick=lambda value: f"{100 * value:.1f} %",
        y_range=(max(0.0, low - room), min(1.0, max(values) + room)),
        whole_x=True,
        width=WIDTH,
    )
    dots = chart.lines[1]
    places = [(float(x), float(y)) for x, y in (place.split(",") for place in dots.path[1:].split("L"))]
    # Trials follow on each other by chance: marks without a line between them.
    lines = [chart.lines[0], Drawn(dots.name, dots.kind, "", places)]
    return Chart(**{**vars(chart), "lines": lines})


def parallel_axes(content: StudyContent) -> tuple[list[Axis], list[tuple[str, str, str]]]:
    """A vertical axis for each parameter and one for the accuracy, each trial a line through them.

    Returns:
        The axes from left to right, and of each complete trial the path, the CSS class (a quarter of the accuracies
        each, q0 the lowest; "best") and what a pointer there is told. Empty with fewer than two complete trials.
    """
    complete = [trial for trial in content.trials if trial.state == "complete" and trial.accuracy is not None]
    names = [
        name for name in (complete[0].parameters if complete else ()) if all(name in t.parameters for t in complete)
    ]
    if len(complete) < 2 or not names:
        return [], []
    columns = [[trial.parameters[name] for trial in complete] for name in names]
    columns.append([trial.accuracy for trial in complete])
    names = [*names, "accuracy"]
    axes, places = [], []
    for index, (name, values) in enumerate(zip(names, columns, strict=True)):
        x = SIDE + index * (WIDTH - 2 * SIDE) / (len(names) - 1)
        share, low, high = _scaled(name, values)
        axes.append(Axis(round(x, 1), name.removeprefix("log2 "), low, high))
        places.append([(x, BOTTOM - part * (BOTTOM - TOP)) for part in share])
    order = sorted(range(len(complete)), key=lambda i: complete[i].accuracy or 0.0)
    lines = []
    for rank, i in enumerate(order):  # the best one last, on top of the others
        kind = "best" if complete[i].number == content.best else f"q{4 * rank // len(order)}"
        path = "M" + "L".join(f"{column[i][0]:.1f},{column[i][1]:.1f}" for column in places)
        lines.append((path, kind, f"trial {complete[i].number}: {100 * (complete[i].accuracy or 0.0):.2f} %"))
    return axes, sorted(lines, key=lambda line: line[1] == "best")


def _scaled(name: str, values: Sequence[Any]) -> tuple[list[float], str, str]:
    """Each value's place along its axis, 0 to 1, and what stands at the ends."""
    if any(isinstance(value, str) for value in values):
        kinds = sorted(set(values))
        step = 1 / max(1, len(kinds) - 1)
        return [kinds.index(value) * step for value in values], kinds[0], kinds[-1]
    low, high = min(values), max(values)
    if name == "accuracy":
        # The worst trials would press all others together at the top.
        low = sorted(values)[len(values) // 4]
    powers = name.startswith("log2 ")

    def write(value: float) -> str:
        return f"{value:.2%}" if name == "accuracy" else f"{2**value if powers else value:.3g}"

    logarithmic = low > 0 and high / low >= 10
    ends = (math.log(low), math.log(high)) if logarithmic else (low, high)

    def share(value: float) -> float:
        at = math.log(value) if logarithmic else value
        return min(1.0, max(0.0, (at - ends[0]) / (ends[1] - ends[0]))) if ends[1] > ends[0] else 0.5

    return [share(value) for value in values], write(low), write(high)
