"""Paper, ink and colours shared by the figures: one look, no global Matplotlib state.

Everything is set on the artists themselves and not through `rcParams`, so a figure drawn inside somebody's notebook
does not change how the notebook's own plots look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by people with any of the common kinds of colour blindness, and in grey print.
BLUE = "#0072B2"  # right, training, before
VERMILLION = "#C44E00"  # wrong, validation, after; darkened from #D55E00 so that small text on white has contrast 4.9
GREEN = "#00795A"  # a doubtful label; darkened from #009E73 for the same reason
INK = "#1D2126"
FAINT = "#6B7078"  # secondary text: contrast 5 on white
RULE = "#D9DBDF"
PAPER = "#FFFFFF"


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure that belongs to nobody.

    `pyplot.figure` would register it in a global list and choose a window system; a `Figure` with its own canvas is
    drawn the same in a thread, a worker process or a notebook.

    Args:
        width: In inches, above 0.
        height: In inches, above 0.

    Returns:
        A figure with a constrained layout and an Agg canvas.

    Example:
        >>> new_figure(4, 3).get_size_inches().tolist()
        [4.0, 3.0]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(width, height), layout=layout, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def dress(ax: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "") -> Axes:
    """Give a chart the house look: no box, faint rules behind the data, one left-aligned title.

    Args:
        ax: The axes to dress.
        title: Said above the chart, left.
        xlabel: What runs along the bottom, with its unit.
        ylabel: What runs up the side, with its unit.

    Returns:
        The same axes.

    Example:
        >>> dress(new_figure(4, 3).add_subplot(), title="Loss").get_title(loc="left")
        'Loss'
    """
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(RULE)
    ax.set_facecolor(PAPER)
    ax.grid(visible=True, color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(colors=FAINT, length=0, labelsize=9)
    ax.set_xlabel(xlabel, color=FAINT, fontsize=10)
    ax.set_ylabel(ylabel, color=FAINT, fontsize=10)
    headline(ax, title)
    return ax


def headline(ax: Axes, title: str) -> None:
    """Write the title of a figure above its left edge; a class name in it is never read as mathematics."""
    if title:
        ax.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold", pad=10, parse_math=False)
