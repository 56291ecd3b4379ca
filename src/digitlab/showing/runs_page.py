"""Many runs on one page: what is known of each as plain data in, a self-contained HTML page out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from digitlab.judging.compare import spread
from digitlab.judging.pairwise import compare_all
from digitlab.showing.html import fill
from digitlab.showing.svg_charts import BOTTOM, TOP, Chart, Line, line_chart, nice_ticks
from digitlab.showing.wording import NBSP, interval, number, percent, percents

MINUS = "\N{MINUS SIGN}"
COLOURS, DASHES = 7, 5  # as in runs.css: 35 kinds of line before one comes again
MOST_TIPS = 12  # runs named at a pointer
FULL_MATRIX = 12  # up to so many runs the differences stand in the cells


@dataclass(frozen=True, eq=False)
class RunRow:
    """One run in the table; every text may come from outside and is escaped.

    Attributes:
        name: of the run.
        recipe_name: as people know it.
        state: finished, training, interrupted, failed, stopped or damaged.
        created: ISO 8601.
        data_name: what it was trained and judged on.
        data_id: equal for runs judged on the same test images, and only for them.
        recipe: field -> value, with whatever else may tell runs apart.
        epochs: to be done.
        history: columns of e numbers; empty before the first epoch is done.
        parameters: learned numbers, where known.
        seconds: of the whole run, where known.
        right: (n,) bool, which test images it reads right; None before it is finished.
        interval: 95 % interval of the accuracy.
        log_loss: on the test images.
        robustness: mean accuracy on images made worse, where it was measured.
        link: address of its report, seen from the page.
        note: what is wrong with it, if something is.
        group: the group of seeds that it was trained in, if it was.
    """

    name: str
    recipe_name: str
    state: str
    created: str
    data_name: str
    data_id: str
    recipe: Mapping[str, object]
    epochs: int
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    parameters: int | None = None
    seconds: float | None = None
    right: npt.NDArray[np.bool_] | None = None
    interval: tuple[float, float] | None = None
    log_loss: float | None = None
    robustness: float | None = None
    link: str | None = None
    note: str = ""
    group: str = ""

    @property
    def accuracy(self) -> float | None:
        """Share of the test images read correctly."""
        return None if self.right is None else float(self.right.mean())

    @property
    def done(self) -> int:
        """Epochs done."""
        return len(self.history.get("epoch", ()))


def render_runs(rows: Sequence[RunRow], *, title: str = "Runs", home: str | None = None) -> str:
    """Write runs side by side as one HTML page that needs nothing but a browser.

    Runs judged on different test images stand in one table but are never compared.

    Args:
        rows: Of the table, in the order to be shown first.
        title: Such as the folder's name.
        home: Address of the page where one draws, where a server shows this one.

    Returns:
        The page; write it as UTF-8.

    Example:
        See `tests/test_runs_page.py`.
    """
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.data_id, []).append(index)
    return fill(
        "runs.html",
        styles=("style.css", "runs.css"),
        scripts=("runs.js", "charts.js"),
        title=title,
        home=home,
        rows=[(row, kind(index)) for index, row in enumerate(rows)],
        several=len(groups) > 1,
        robust=any(row.robustness is not None for row in rows),
        finished=sum(row.right is not None for row in rows),
        best=best(rows),
        sections=[section([(index, rows[index]) for index in group]) for group in groups.values()],
    )


def kind(index: int) -> str:
    """Name the line of a run: its colour, then its dashes.

    Example:
        >>> kind(0), kind(8)
        ('c0 d0 r0', 'c1 d1 r8')
    """
    return f"c{index % COLOURS} d{index // COLOURS % DASHES} r{index}"


def best(rows: Sequence[RunRow]) -> RunRow | None:
    """Find the most accurate run, where all that are finished were judged on the same images."""
    finished = [row for row in rows if row.accuracy is not None]
    if not finished or len({row.data_id for row in finished}) > 1:
        return None
    return max(finished, key=lambda row: row.accuracy or 0.0)


def section(members: Sequence[tuple[int, RunRow]]) -> dict[str, Any]:
    """Prepare what is shown of runs judged on the same test images."""
    judged = sorted(
        ((index, row) for index, row in members if row.right is not None),
        key=lambda one: (-(one[1].accuracy or 0.0), one[1].name),
    )
    first = members[0][1]
    return {
        "name": first.data_name,
        "id": first.data_id[:12],
        "key": f"data-{members[0][0]}",
        "runs": len(members),
        "images": 0 if not judged else len(judged[0][1].right if judged[0][1].right is not None else ()),
        "curves": curves(members),
        "drawn": [(row.name, kind(index), index) for index, row in members if _validation(row)],
        "without": [row.name for _, row in members if row.done and not _validation(row)],
        "splits": len({row.recipe.get("validation images") for _, row in members if _validation(row)}) > 1,
        "whiskers": whiskers(judged),
        "differences": differences(judged),
        "seeds": seeds([row for _, row in judged]),
        "fields": differing([row for _, row in members]),
        "members": [(row.name, kind(index), index) for index, row in members],
    }


def _validation(row: RunRow) -> list[tuple[float, float]]:
    """Epoch and validation accuracy, where there is one."""
    pairs = zip(row.history.get("epoch", ()), row.history.get("val_accuracy", ()), strict=False)
    return [(float(epoch), float(value)) for epoch, value in pairs if math.isfinite(value)]


def curves(members: Sequence[tuple[int, RunRow]]) -> Chart | None:
    """Overlay validation accuracies, on a scale of errors by powers of ten.

    On an even scale a first epoch of 80 % presses everything that matters, 97 to 99 %, into one line.
    """
    drawn = [(index, row.name, _validation(row)) for index, row in members]
    drawn = [one for one in drawn if one[2]]
    if not drawn:
        return None
    lines = [
        Line(name, kind(index), [epoch for epoch, _ in points], [_stretch(value) for _, value in points])
        for index, name, points in drawn
    ]
    ys = [y for line in lines for y in line.y]
    room = 0.06 * max(max(ys) - min(ys), 0.1)
    low, high = min(ys) - room, max(ys) + room
    chart = line_chart(
        "Validation accuracy, epoch by epoch",
        lines,
        xlabel="epoch",
        write=lambda y: percent(1 - 10**-y, 2),
        y_range=(low, high),
        whole_x=True,
        width=960,
        height=400,
    )
    foot = chart.height - BOTTOM
    ends = 1 - 10**-low, 1 - 10**-high
    round_ones = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999]
    inside = [share for share in round_ones if ends[0] <= share <= ends[1]]
    if len(inside) < 3:
        inside = nice_ticks(*ends, 4)
    ticks = [
        (round(foot - (_stretch(share) - low) / (high - low) * (foot - TOP), 1), f"{100 * share:.6g}{NBSP}%")
        for share in inside
    ]
    many = len(lines) > 8
    return replace(
        chart,
        y_ticks=ticks,
        lines=[replace(line, marks=[] if many else line.marks) for line in chart.lines],
        tips=[{**tip, "rows": _foremost(tip["rows"])} for tip in chart.tips],
    )


def _stretch(share: float) -> float:
    return -math.log10(max(1 - share, 1e-5))


def _foremost(rows: Any) -> list[list[str]]:
    """Name the best runs at an epoch; a list of forty would cover the chart."""
    ordered = sorted(rows, key=lambda row: (-float(row[1].rstrip(f"%{NBSP}")), row[0]))
    shown = [[row[0] if len(row[0]) <= 32 else row[0][:31] + "…", row[1], row[2]] for row in ordered[:MOST_TIPS]]
    return [*shown, [f"and {len(ordered) - MOST_TIPS} more", "", ""]] if len(ordered) > MOST_TIPS else shown


def whiskers(judged: Sequence[tuple[int, RunRow]]) -> dict[str, Any] | None:
    """Prepare accuracies with their intervals as dots and whiskers on a common scale, in per cent of its width."""
    if not judged:
        return None
    ends = [end for _, row in judged for end in row.interval or (row.accuracy or 0.0,) * 2]
    low, high = min(ends), max(ends)
    room = 0.04 * max(high - low, 1e-4)
    low, high = max(0.0, low - room), min(1.0, high + room)

    def place(share: float) -> float:
        return round(100 * (share - low) / (high - low), 2)

    shown = []
    for index, row in judged:
        accuracy = row.accuracy or 0.0
        left, right = row.interval or (accuracy, accuracy)
        shown.append(
            {
                "name": row.name,
                "kind": kind(index),
                "index": index,
                "left": place(left),
                "width": round(place(right) - place(left), 2),
                "dot": place(accuracy),
                "accuracy": percent(accuracy, 2),
                "words": f"{percent(accuracy, 2)}, {interval((left, right))}",
            }
        )
    ticks = [(place(share), f"{100 * share:.6g}{NBSP}%") for share in nice_ticks(low, high, 7)]
    return {"rows": shown, "ticks": ticks}


def differences(judged: Sequence[tuple[int, RunRow]]) -> dict[str, Any] | None:
    """Say which runs differ by more than chance, in words and as a matrix, the best run first."""
    if len(judged) < 2:
        return None
    rows = [row for _, row in judged]
    found = compare_all(np.stack([row.right for row in rows if row.right is not None]))
    differs = found.differs
    cells = []
    for i, row in enumerate(rows):
        line = []
        for j, other in enumerate(rows):
            points, sign = found.difference[i, j], 0 if not differs[i, j] else (1 if found.difference[i, j] > 0 else -1)
            verdict = "more than chance" if sign else "may be chance"
            line.append(
                {
                    "kind": "self" if i == j else ("even", "ahead", "behind")[sign],
                    "text": "" if i == j else _signed(points) if len(rows) <= FULL_MATRIX else f" +{MINUS}"[sign],
                    "label": f"{row.name} against {other.name}: {_signed(points)} points, "
                    f"p = {found.p_values[i, j]:.2g}, corrected {found.adjusted[i, j]:.2g}: {verdict}",
                }
            )
        cells.append(line)
    return {
        "names": [(row.name, kind(index), index) for index, row in judged],
        "cells": cells,
        "words": _verdicts([row.name for row in rows], differs),
        "full": len(rows) <= FULL_MATRIX,
        "pairs": len(rows) * (len(rows) - 1) // 2,
    }


def _signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", MINUS)


def _verdicts(names: Sequence[str], differs: npt.NDArray[np.bool_]) -> list[str]:
    """Say in a few sentences what the matrix shows; `names` from the most accurate down."""
    count, pairs = int(np.triu(differs).sum()), len(names) * (len(names) - 1) // 2
    if not count:
        return [
            f"None of the {pairs:,} pairs differs by more than chance." if pairs > 1 else "They may be equally good."
        ]
    said = [f"{count:,} of {pairs:,} {'pair differs' if pairs == 1 else 'pairs differ'} by more than chance."]
    shown = len(names) if len(names) <= 6 else 3
    for i in range(min(shown, len(names) - 1)):
        beaten = [names[j] for j in range(i + 1, len(names)) if differs[i, j]]
        equal = [names[j] for j in range(i + 1, len(names)) if not differs[i, j]]
        if not beaten:
            said.append(f"{names[i]} is not shown to be better than any run below it.")
        elif equal:
            said.append(
                f"{names[i]} is better than {_listed(beaten)}, but not shown to be better than {_listed(equal)}."
            )
        else:
            said.append(f"{names[i]} is better than {'all runs below it' if len(beaten) > 1 else beaten[0]}.")
    return said


def _listed(names: Sequence[str]) -> str:
    """Join names as one says them; more than four are counted.

    Example:
        >>> _listed(["a"]), _listed(["a", "b", "c"]), _listed(list("abcdef"))
        ('a', 'a, b and c', 'a, b, c and 3 more')
    """
    shown = [*names] if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def seeds(judged: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Gather runs that differ by nothing but their seed: mean and spread of each such group, the best first.

    The same seed trained again gives the same network, so it counts once, or the interval would be too narrow: the run
    that was trained in a group, else the newest.
    """
    groups: dict[str, dict[object, RunRow]] = {}
    for row in sorted(judged, key=lambda row: (bool(row.group), row.created)):
        key = repr(sorted((name, str(value)) for name, value in row.recipe.items() if name != "seed"))
        groups.setdefault(key, {})[row.recipe.get("seed")] = row
    found = []
    for by_seed in groups.values():
        rows = list(by_seed.values())
        if len(rows) < 2:
            continue
        accuracies = [row.accuracy for row in rows]
        s = spread([one for one in accuracies if one is not None])
        low, high = s.interval or (s.mean, s.mean)
        found.append(
            {
                "name": rows[0].recipe_name,
                "group": " ".join(dict.fromkeys(row.group for row in rows if row.group)),
                "runs": [row.name for row in sorted(rows, key=lambda row: str(row.recipe.get("seed")))],
                "count": s.n,
                "mean": s.mean,
                "std": s.std or 0.0,
                "low": low,
                "interval": percents((low, high)),
            }
        )
    return sorted(found, key=lambda group: -float(group["mean"]))


def differing(rows: Sequence[RunRow]) -> dict[str, Any] | None:
    """Find the fields of the recipes that are not the same in all runs."""
    fields = [name for name in dict.fromkeys(name for row in rows for name in row.recipe) if name != "description"]
    told = [name for name in fields if len({repr(row.recipe.get(name)) for row in rows}) > 1]
    if len(rows) < 2:
        return None
    table = []
    for row in rows:
        cells = []
        for name in told:
            value = row.recipe.get(name)
            others = [repr(other.recipe.get(name)) for other in rows]
            usual = max(others, key=others.count)
            # Where no value is that of most runs, as with seeds, none stands out.
            cells.append((number(value), 2 * others.count(usual) > len(others) and repr(value) != usual))
        table.append(cells)
    return {"names": [name.replace("_", " ") for name in told], "same": len(fields) - len(told), "rows": table}
