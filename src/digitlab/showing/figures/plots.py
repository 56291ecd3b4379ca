"""Figures made of numbers: training curves, the confusion matrix as a heat map, the reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from digitlab.showing.figures.canvas import BLUE, FAINT, INK, PAPER, RULE, VERMILLION, dress, headline, new_figure
from digitlab.showing.figures.mosaics import short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from digitlab.judging.calibration import Reliability

    Integers = npt.NDArray[np.integer]
    Floats = npt.NDArray[np.floating]


def draw_curves(history: Mapping[str, Sequence[float]], axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Draw loss and accuracy by epoch, on training and (where there is one) validation.

    Args:
        history: Columns of equal length: `epoch`, `loss`, `accuracy`, and, where they exist, `val_loss`,
            `val_accuracy`, `learning_rate`. A learning rate gets a third chart when `axes` leaves room for it.
        axes: Two or three axes to draw on; a new figure if absent.

    Returns:
        The axes drawn on; each line's label says which column it shows.

    Example:
        >>> axes = draw_curves({"epoch": [1, 2], "loss": [0.5, 0.2], "accuracy": [0.8, 0.9]})
        >>> [line.get_label() for ax in axes for line in ax.lines]
        ['training', 'training']
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    rate = history.get("learning_rate")
    if axes is None:
        panels = 3 if rate else 2
        axes = list(new_figure(4.2 * panels, 3.4).subplots(1, panels, squeeze=False)[0])
    epochs = history["epoch"]
    for ax, column, title in zip(axes, ("loss", "accuracy"), ("Loss", "Accuracy"), strict=False):
        dress(ax, title=title, xlabel="epoch")
        kinds = (("", "training", BLUE, "o"), ("val_", "validation", VERMILLION, "s"))
        for prefix, label, colour, marker in kinds:
            values = history.get(prefix + column)
            if values:
                ax.plot(
                    epochs, values, color=colour, marker=marker, markersize=4, linewidth=1.8, label=label, clip_on=False
                )
        ax.legend(frameon=False, fontsize=9, labelcolor=INK)
    axes[0].set_ylim(bottom=0)
    axes[1].yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    drawn = list(axes[:2])
    if rate and len(axes) > 2:
        dress(axes[2], title="Learning rate at the end of the epoch", xlabel="epoch")
        axes[2].plot(epochs, rate, color=FAINT, marker="o", markersize=4, linewidth=1.8, label="rate", clip_on=False)
        axes[2].set_ylim(bottom=0)
        drawn.append(axes[2])
    for ax in drawn:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        # One epoch is one point: without room around it Matplotlib would invent fractions of an epoch.
        ax.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    return drawn


def draw_confusion(
    confusion: Integers,
    class_names: Sequence[str],
    by: Literal["count", "row"] = "count",
    ax: Axes | None = None,
) -> Axes:
    """Draw the confusion matrix as a Seaborn heat map in which the mistakes can be seen.

    The diagonal holds a thousand images per class and the mistakes a handful, so one scale for both would leave every
    mistake white. Here the colours belong to the mistakes; the diagonal is written on a quiet ground.

    Args:
        confusion: integer (k, k), row the true class, column what was read.
        class_names: k names.
        by: `"count"` writes images, `"row"` writes per cent of the true class.
        ax: Where to draw; a new figure if absent.

    Returns:
        The axes: two heat maps, the diagonal first, with the written numbers as texts when k is at most 20.

    Example:
        >>> ax = draw_confusion(np.array([[5, 0], [2, 8]]), ["no", "yes"])
        >>> [text.get_text() for text in ax.texts]
        ['5', '8', '', '2']
    """
    import seaborn
    from matplotlib.colors import ListedColormap, PowerNorm

    k = len(confusion)
    support = confusion.sum(axis=1, keepdims=True)
    values = confusion / np.maximum(support, 1) * 100 if by == "row" else confusion
    diagonal = np.eye(k, dtype=bool)
    if ax is None:
        side = float(np.clip(0.62 * k, 4.5, 12))
        ax = new_figure(side + 1.6, side + 0.6).add_subplot()
    annotate = k <= 20
    write = "{:.1f}" if by == "row" else "{:.0f}"
    words = np.array([[write.format(value) if value else "" for value in row] for row in values])
    names = [short(name, 14) for name in class_names]
    top = float(max(values[~diagonal].max(initial=0), 1))
    shared = {"ax": ax, "fmt": "", "square": True, "linewidths": 1.2, "linecolor": PAPER}
    size = 10 if k <= 12 else 7
    seaborn.heatmap(
        values,
        mask=~diagonal,
        annot=words if annotate else None,
        annot_kws={"size": size, "weight": "bold", "color": "#00639C"},
        cmap=ListedColormap(["#E3EEF5"]),
        cbar=False,
        xticklabels=names,
        yticklabels=names,
        **shared,
    )
    seaborn.heatmap(
        values,
        mask=diagonal,
        annot=words if annotate else None,
        annot_kws={"size": size, "color": INK},
        cmap=seaborn.blend_palette(["#F7F4F1", "#F6BE97", "#D55E00", "#7A2E00"], as_cmap=True),
        # The square root lets a single mistake be told from none beside a cell of a dozen.
        norm=PowerNorm(0.5, vmin=0, vmax=top),
        cbar_kws={
            "label": "mistakes, % of the true class" if by == "row" else "mistakes, images",
            "shrink": 0.7,
            "aspect": 30,
            "pad": 0.02,
        },
        xticklabels=names,
        yticklabels=names,
        **shared,
    )
    _write_legibly(ax, values, skip=k if annotate else 0)
    long = max((len(name) for name in names), default=0) > 3
    ax.tick_params(axis="x", length=0, labelsize=10, labelcolor=INK, labelrotation=45 if long else 0)
    ax.tick_params(axis="y", length=0, labelsize=10, labelcolor=INK, labelrotation=0)
    if long:
        for label in ax.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_parse_math(False)
    bar: Any = ax.collections[-1].colorbar
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=FAINT, labelsize=9, length=0)
    bar.set_label(bar.ax.get_ylabel(), color=FAINT, fontsize=10)
    ax.set_xlabel("read as", color=FAINT, fontsize=10)
    ax.set_ylabel("true class", color=FAINT, fontsize=10)
    headline(ax, "Confusion matrix, % of each row" if by == "row" else "Confusion matrix, test images")
    return ax


def _write_legibly(ax: Axes, values: Floats | Integers, skip: int) -> None:
    """Write the numbers of the last heat map in black or white, whichever reads better on its ground.

    Seaborn turns to white too early for orange (contrast 2.7). At a relative luminance of 0.18 both have 4.6.
    """
    mesh = ax.collections[-1]
    for text in ax.texts[skip:]:
        column, row = (int(place) for place in text.get_position())
        channels = np.asarray(mesh.cmap(mesh.norm(values[row, column]))[:3])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        text.set_color("black" if linear @ [0.2126, 0.7152, 0.0722] > 0.18 else "white")


def draw_reliability(
    before: Reliability, after: Reliability | None = None, axes: Sequence[Axes] | None = None
) -> list[Axes]:
    """Draw how often a stated confidence turns out right, and how many images stand behind each point.

    Args:
        before: Bins of confidence as the network gives it.
        after: The same after calibration, where it was done.
        axes: Two axes, the diagram and the counts under it; a new figure if absent.

    Returns:
        The two axes.

    Reference:
        C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural networks", ICML 2017.

    Example:
        >>> from digitlab.judging.calibration import measure_reliability
        >>> diagram, counts = draw_reliability(measure_reliability([[0.9, 0.1]] * 4, [0, 0, 0, 1], bins=2))
        >>> diagram.lines[1].get_xydata().tolist()
        [[90.0, 75.0]]
    """
    from matplotlib.ticker import StrMethodFormatter

    if axes is None:
        figure = new_figure(5.6, 6.2)
        axes = list(figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3.2, 1]}))
    diagram, histogram = axes
    dress(diagram, title="Reliability: is it as often right as it is sure?", ylabel="right, %")
    dress(histogram, xlabel="confidence, %", ylabel="images")
    diagram.plot([0, 100], [0, 100], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="as sure as right")
    series = [("before calibration", before, BLUE, "o", -1)]
    if after is not None:
        series.append(("after calibration", after, VERMILLION, "s", 1))
    width = 100 * float(np.diff(before.edges).mean())
    for label, bins, colour, marker, side in series:
        filled = bins.counts > 0
        x, y = 100 * bins.confidence[filled], 100 * bins.accuracy[filled]
        diagram.plot(x, y, color=colour, marker=marker, markersize=5, linewidth=1.6, label=label, clip_on=False)
        centre = 50 * (bins.edges[1:] + bins.edges[:-1])
        shift = 0.21 * width * side if after is not None else 0.0
        histogram.bar(centre + shift, bins.counts, width=width * (0.42 if after is not None else 0.84), color=colour)
    diagram.set_xlim(0, 100)
    diagram.set_ylim(0, 100)
    diagram.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")
    # Nearly all images lie in the last bin; on a linear scale the others would be invisible.
    histogram.set_yscale("symlog", linthresh=1)
    histogram.set_ylim(0, max(10, int(np.max(before.counts))) * 2)
    histogram.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    histogram.yaxis.grid(visible=True, color=RULE, linewidth=0.6)
    return [diagram, histogram]
