"""Every figure of a run, written as PNG and SVG.

A process beside the training loop calls `warm_up()` while there is nothing to draw yet, and `save_figures()` as soon as
there is: the samples while training runs, the curves when it ends, the rest when the test images have been judged.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from digitlab.files import write_atomically
from digitlab.showing.figures.mosaics import draw_mistakes, draw_predictions, draw_samples
from digitlab.showing.figures.plots import draw_confusion, draw_curves, draw_reliability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from digitlab.judging.metrics import Evaluation

FIGURES = (
    "sample-images",
    "training-curves",
    "confusion-matrix",
    "confusion-matrix-by-row",
    "sample-predictions",
    "misclassified",
    "reliability",
)
# What can be drawn before training, before the test images are judged, and only then.
OF_DATA, OF_TRAINING, OF_RESULT = FIGURES[:1], FIGURES[1:2], FIGURES[2:]
DPI = 150


@dataclass(frozen=True)
class FigureContent:
    """What the figures of one run show, as plain arrays; it can be pickled to another process.

    Args:
        class_names: k names.
        train_images: uint8 (m, h, w), a few hundred training images are enough.
        train_labels: integer (m,).
        history: Columns by epoch, see `draw_curves`.
        images: uint8 (n, h, w), the test images.
        labels: integer (n,).
        probabilities: float (n, k).
        evaluation: What `evaluate` said about them; None where only `OF_DATA` and `OF_TRAINING` are drawn.
    """

    class_names: Sequence[str]
    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.integer]
    history: Mapping[str, Sequence[float]]
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.integer]
    probabilities: npt.NDArray[np.floating]
    evaluation: Evaluation | None


def warm_up() -> None:
    """Import what drawing needs and find the fonts, so that the figures are quick when their turn comes.

    Importing Seaborn (with pandas and SciPy behind it) takes 1.5 to 2.5 s, more than all the drawing.

    Example:
        >>> warm_up()
    """
    import matplotlib.backends.backend_svg
    import matplotlib.font_manager
    import seaborn  # noqa: F401
    from PIL import PngImagePlugin  # noqa: F401

    for weight in ("normal", "bold"):
        matplotlib.font_manager.findfont(matplotlib.font_manager.FontProperties(weight=weight))


def draw_all(content: FigureContent, names: Sequence[str] = FIGURES) -> Iterator[tuple[str, Figure]]:
    """Draw the figures of a run one after the other.

    Args:
        content: What they show.
        names: Which, of `FIGURES`.

    Yields:
        Name and figure.
    """
    c, e = content, cast("Evaluation", content.evaluation)
    test = (c.images, c.labels, c.probabilities, c.class_names)
    draw: dict[str, Callable[[], Axes]] = {
        "sample-images": lambda: draw_samples(c.train_images, c.train_labels, c.class_names),
        "training-curves": lambda: draw_curves(c.history)[0],
        "confusion-matrix": lambda: draw_confusion(e.confusion, c.class_names, "count"),
        "confusion-matrix-by-row": lambda: draw_confusion(e.confusion, c.class_names, "row"),
        "sample-predictions": lambda: draw_predictions(*test),
        "misclassified": lambda: draw_mistakes(*test, mistakes=e.mistakes, doubtful=e.doubtful),
        "reliability": lambda: draw_reliability(e.reliability, e.calibrated_reliability)[0],
    }
    for name in names:
        yield name, _figure(draw[name]())


def _figure(ax: Axes) -> Figure:
    """Fetch the figure that `new_figure` made around some axes."""
    return cast("Figure", ax.figure)


def save_figures(folder: str | os.PathLike[str], content: FigureContent, names: Sequence[str] = FIGURES) -> list[Path]:
    """Write figures as PNG and SVG; the same content gives the same bytes.

    Args:
        folder: Made if it is not there. A file of the same name is replaced whole or not at all.
        content: What they show.
        names: Which, of `FIGURES`.

    Returns:
        The paths written, PNG before SVG, in the order of the names.

    Raises:
        DigitlabError: The folder cannot be written; files that were there are as they were.
    """
    import matplotlib

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in draw_all(content, names):
        # hashsalt: Matplotlib otherwise names clip paths and markers inside an SVG at random.
        with matplotlib.rc_context({"svg.hashsalt": "digitlab", "svg.fonttype": "path"}):
            # Settle the layout once instead of once a format: it takes longer than the drawing itself.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
                written.append(target / f"{name}.{suffix}")
                write_atomically(written[-1], buffer.getvalue())
    return written
