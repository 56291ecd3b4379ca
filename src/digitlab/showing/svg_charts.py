"""Where every line, tick and point of a chart lies; the template only writes it down as SVG.

Computed here and not in the browser, so that the charts are there without JavaScript, in print and in a reader's
clipboard. Coordinates are those of the chart's own box, `WIDTH` x `height`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from digitlab.showing.wording import NBSP, percent

if TYPE_CHECKING:
    from digitlab.showing.report_content import ReportContent

WIDTH = 400
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 10, 34
MOST_MARKS = 40  # above that many points the marks would run together into a caterpillar


@dataclass(frozen=True)
class Line:
    """One series: what it is called, how it is drawn (a CSS class), and its numbers."""

    name: str
    kind: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Drawn:
    """A line in the chart's coordinates: an SVG path and the marks on it."""

    name: str
    kind: str
    path: str
    marks: list[tuple[float, float]]


@dataclass(frozen=True)
class Bar:
    """A bar in the chart's coordinates."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class Chart:
    """A chart ready to be written: `tips` holds, for every place along x, what a pointer there is told."""

    title: str
    xlabel: str
    summary: str
    height: int
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Drawn] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    tips: list[dict[str, object]] = field(default_factory=list)
    diagonal: bool = False
    width: int = WIDTH
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP

    @property
    def bottom(self) -> int:
        """Where the x axis lies."""
        return self.height - BOTTOM


def nice_ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Choose round numbers between two others, steps of 1, 2 or 5 times a power of ten.

    Args:
        low: Smaller end.
        high: Larger end; equal ends give one tick.
        count: About how many.
        whole: Only whole numbers (epochs).

    Returns:
        Ticks inside [low, high], rising.

    Example:
        >>> nice_ticks(0, 0.6), nice_ticks(1, 10, whole=True), nice_ticks(1, 1, whole=True)
        ([0.0, 0.2, 0.4, 0.6], [2.0, 4.0, 6.0, 8.0, 10.0], [1.0])
    """
    if high <= low:
        return [float(low)]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    if whole:
        step = float(max(1, round(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if first > last and not whole:  # the ends lie between two multiples, as 1 and 400,002 do with steps of 500,000
        return nice_ticks(low, high, 2 * count, whole)
    return [round(index * step, 12) for index in range(first, last + 1)]


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    xlabel: str,
    write: Callable[[float], str],
    write_x: Callable[[float], str] = "{:g}".format,
    write_tick: Callable[[float], str] | None = None,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    whole_x: bool = False,
    diagonal: bool = False,
    width: int = WIDTH,
    height: int = 250,
) -> Chart:
    """Lay out lines over a common x.

    Args:
        title: Of the chart.
        lines: At least one, each with at least one point.
        xlabel: What runs along the bottom.
        write: How a value on y is written.
        write_x: How a value on x is written.
        write_tick: How a tick on y is written; as a value if absent.
        x_range: Ends of x; the data's own if absent.
        y_range: Ends of y; from 0 or the data's own with a little room if absent.
        whole_x: Ticks at whole numbers only.
        diagonal: Draw the line from corner to corner.
        width: Of the box.
        height: Of the box.

    Returns:
        The chart.

    Example:
        >>> line = Line("training", "a", [1, 2], [0.5, 0.25])
        >>> chart = line_chart("Loss", [line], xlabel="epoch", write="{:.2f}".format)
        >>> chart.tips[1]["head"], chart.tips[1]["rows"]
        ('epoch 2', [['training', '0.25', 'a']])
    """
    xs = sorted({float(x) for line in lines for x in line.x})
    ys = [float(y) for line in lines for y in line.y if math.isfinite(y)] or [0.0]
    x0, x1 = x_range or (xs[0], xs[-1])
    y0, y1 = y_range or _room(min(ys), max(ys))
    if x1 <= x0:  # one epoch: a point in the middle
        x0, x1 = x0 - 1, x1 + 1
    foot = height - BOTTOM

    def px(x: float) -> float:
        return round(LEFT + (x - x0) / (x1 - x0) * (width - RIGHT - LEFT), 1)

    def py(y: float) -> float:
        return round(foot - (min(max(y, y0), y1) - y0) / (y1 - y0) * (foot - TOP), 1)

    drawn = []
    for line in lines:
        places = [(px(x), py(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in places) if places else ""
        drawn.append(Drawn(line.name, line.kind, path, places if len(places) <= MOST_MARKS else []))
    tips: list[dict[str, object]] = []
    for x in xs:
        rows = [
            [line.name, write(float(y)), line.kind]
            for line in lines
            for other, y in zip(line.x, line.y, strict=True)
            if other == x and math.isfinite(y)
        ]
        tips.append({"x": px(x), "head": f"{xlabel} {write_x(x)}", "rows": rows})
    last = "; ".join(f"{line.name} ends at {write(float(line.y[-1]))}" for line in lines)
    return Chart(
        title=title,
        xlabel=xlabel,
        summary=f"{title} by {xlabel}: {last}.",
        height=height,
        x_ticks=[
            (px(x), write_x(x))
            for x in nice_ticks(x0, x1, 10 if whole_x else 6, whole=whole_x)
            if xs[0] <= x <= xs[-1] or not whole_x
        ],
        y_ticks=[(py(y), (write_tick or write)(y)) for y in nice_ticks(y0, y1)],
        lines=drawn,
        tips=tips,
        diagonal=diagonal,
        width=width,
        right=width - RIGHT,
    )


def _room(low: float, high: float) -> tuple[float, float]:
    """Leave a little air above and below, and never a range of nothing."""
    span = max(high - low, abs(high) * 0.05, 1e-9)
    return low - 0.06 * span, high + 0.06 * span


def training_charts(content: ReportContent) -> list[Chart]:
    """Lay out loss, accuracy and learning rate by epoch; what the history lacks is left out."""
    history, charts = content.history, []
    epochs = [float(epoch) for epoch in history.get("epoch", ())]
    if not epochs:
        return []
    for column, title in (("loss", "Loss"), ("accuracy", "Accuracy")):
        lines = [
            Line(name, kind, epochs, list(history[prefix + column]))
            for prefix, name, kind in (("", "training", "a"), ("val_", "validation", "b"))
            if len(history.get(prefix + column, ())) == len(epochs)
        ]
        if not lines:
            continue
        top = max((y for line in lines for y in line.y if math.isfinite(y)), default=1.0)
        if column == "loss":
            charts.append(
                line_chart(title, lines, xlabel="epoch", write=_loss, y_range=(0, 1.06 * top or 1.0), whole_x=True)
            )
        else:
            charts.append(
                line_chart(title, lines, xlabel="epoch", write=_share(lines), write_tick=_short, whole_x=True)
            )
    rates = list(history.get("learning_rate", ()))
    if len(rates) == len(epochs) and max(rates) > 0:
        line = Line("learning rate", "c", epochs, rates)
        charts.append(
            line_chart(
                "Learning rate",
                [line],
                xlabel="epoch",
                write=lambda y: f"{y:.2g}" if y else "0",
                y_range=(0, 1.06 * max(rates)),
                whole_x=True,
            )
        )
    return charts


def _loss(value: float) -> str:
    return f"{value:.4f}" if 0 < value < 0.01 else f"{value:.3g}"


def _share(lines: Sequence[Line]) -> Callable[[float], str]:
    """Write percentages with as many decimals as the span of the data needs."""
    ys = [y for line in lines for y in line.y if math.isfinite(y)]
    decimals = 2 if max(ys, default=1) - min(ys, default=0) < 0.05 else 1
    return lambda y: percent(y, decimals)


def _short(share: float) -> str:
    """Write a percentage on a tick with no more decimals than it has."""
    return f"{100 * share:.4g}{NBSP}%"


def reliability_charts(content: ReportContent) -> list[Chart]:
    """Lay out the reliability diagram, and under it how many images each bin holds (on a logarithmic scale)."""
    e = content.evaluation
    found = [("before", "a", e.reliability)]
    if e.calibrated_reliability is not None:
        found.append(("after", "b", e.calibrated_reliability))
    lines, bars = [], []
    most = math.log10(max(10, int(max(bins.counts.max() for _, _, bins in found))) + 1)
    height = 96
    plot = WIDTH - RIGHT - LEFT
    tips: list[dict[str, object]] = []
    for side, (name, kind, bins) in enumerate(found):
        filled = bins.counts > 0
        centre = (bins.edges[1:] + bins.edges[:-1]) / 2
        lines.append(Line(name, kind, bins.confidence[filled].tolist(), bins.accuracy[filled].tolist()))
        width = plot / len(centre) / len(found) * 0.8
        for place, count in zip(centre, bins.counts, strict=True):
            tall = math.log10(int(count) + 1) / most * (height - BOTTOM - TOP)
            x = LEFT + place * plot + (side - len(found) / 2) * width
            bars.append(Bar(round(x, 1), round(height - BOTTOM - tall, 1), round(width, 1), round(tall, 1), kind))
    edges = e.reliability.edges
    for index in range(len(edges) - 1):
        rows = [
            [name, f"{percent(bins.accuracy[index])} of {int(bins.counts[index]):,} right", kind]
            for name, kind, bins in found
            if bins.counts[index]
        ] or [["no images", "", ""]]
        head = f"confidence {percent(edges[index], 0)} to {percent(edges[index + 1], 0)}"
        tips.append({"x": round(LEFT + (edges[index] + edges[index + 1]) / 2 * plot, 1), "head": head, "rows": rows})
    scale = [(round(LEFT + share * plot, 1), percent(share, 0)) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    diagram = line_chart(
        "Right, by confidence",
        lines,
        xlabel="confidence",
        write=percent,
        write_x=lambda x: percent(x, 0),
        write_tick=_short,
        x_range=(0, 1),
        y_range=(0, 1),
        diagonal=True,
        height=300,
    )
    diagram = replace(diagram, tips=tips)
    counts = Chart(
        title="Images, by confidence",
        xlabel="confidence",
        summary="Number of images by confidence, on a logarithmic scale.",
        height=height,
        x_ticks=scale,
        y_ticks=[
            (round(height - BOTTOM - math.log10(n + 1) / most * (height - BOTTOM - TOP), 1), f"{n:,}")
            for n in (10, 1000)
            if math.log10(n + 1) <= most
        ],
        bars=bars,
        tips=tips,
    )
    return [diagram, counts]


def coverage_chart(content: ReportContent) -> Chart:
    """Lay out the errors that are left when the least certain images are refused, as far as it is interesting."""
    curve = content.evaluation.coverage
    gone, errors = 1 - curve.coverage[::-1], curve.error_rate[::-1]
    enough = 0.05 * errors[0]
    limit = next((x for x in (0.05, 0.1, 0.2, 0.5) if np.interp(x, gone, errors) <= enough), 0.5)
    kept = gone <= limit + 1e-9
    line = Line("errors among the answered", "b", gone[kept].tolist(), errors[kept].tolist())
    return line_chart(
        "Errors, by share refused",
        [line],
        xlabel="refused",
        write=lambda y: percent(y, 2 if errors[0] < 0.05 else 1),
        write_x=lambda x: percent(x, 0 if abs(x * 100 - round(x * 100)) < 1e-6 else 2),
        write_tick=_short,
        x_range=(0, limit),
        y_range=(0, 1.06 * float(errors[kept].max()) or 0.01),
        height=300,
    )


def corruption_charts(content: ReportContent) -> list[tuple[str, float, Chart]]:
    """Lay out one small chart for each kind of corruption, on the same scale, with its mean accuracy."""
    charts = []
    for kind, values in (content.corruptions or {}).items():
        accuracies = [float(value) for value in values]
        strengths = [float(step) for step in range(len(accuracies) + 1)]
        line = Line(kind, "a", strengths, [content.evaluation.accuracy, *accuracies])
        chart = line_chart(
            kind,
            [line],
            xlabel="strength",
            write=percent,
            write_tick=_short,
            y_range=(0, 1),
            whole_x=True,
            width=240,
            height=170,
        )
        charts.append((kind, float(np.mean(accuracies)), chart))
    return charts
