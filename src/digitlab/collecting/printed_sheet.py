"""The sheet to print and write on: a vector PDF with pale boxes, corner marks and a digit before each row."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from digitlab.collecting import layout
from digitlab.errors import DataError
from digitlab.files import write_atomically

# Pale enough to be told from any pen and pencil, dark enough to be seen in the photo: a sixth of the paper's light.
PALE = "#cfd8e0"
_POINTS = 72 / 25.4  # of a millimetre
ADVICE = (
    "Write the digit on the left once in each box of its row, as you always write it, with a dark pen. "
    "Gone wrong? Cross the box out."
)


def write_sheet(path: str | Path, *, paper: str = "a4", writer: str = "") -> Path:
    """Write the sheet as a one-page PDF, to be printed at any size: cutting goes by the corner marks.

    Args:
        path: The file; ends in .pdf.
        paper: "a4" or "letter".
        writer: Printed beside "Writer"; empty for a line to write the name on.

    Returns:
        The path.

    Raises:
        DataError: another ending or paper.

    Example:
        >>> import tempfile
        >>> write_sheet(f"{tempfile.mkdtemp()}/sheet.pdf").read_bytes()[:5]
        b'%PDF-'
    """
    path = Path(path)
    if path.suffix.lower() != ".pdf":
        raise DataError(f"{path}: ends in {path.suffix!r}, expected .pdf, as in sheet.pdf")
    if paper not in layout.PAPERS:
        raise DataError(f"paper: got {paper!r}, expected one of {', '.join(layout.PAPERS)}")
    write_atomically(path, _pdf(paper, writer))
    return path


def sheet_figure(paper: str, writer: str = "") -> Any:
    """Draw the sheet as a Matplotlib figure of the paper's size.

    Args:
        paper: A key of `layout.PAPERS`.
        writer: As in `write_sheet`.

    Returns:
        A matplotlib Figure without a canvas of its own.
    """
    from matplotlib.figure import Figure

    width, height = layout.PAPERS[paper]
    figure = Figure(figsize=(width / 25.4, height / 25.4))
    axes = figure.add_axes((0, 0, 1, 1))
    # Millimetres from the top left corner mark, y downwards, as in `layout`.
    left, top = (width - layout.WIDTH) / 2, (height - layout.HEIGHT) / 2
    axes.set_xlim(-left, width - left)
    axes.set_ylim(height - top, -top)
    axes.axis("off")
    _draw(axes, writer)
    return figure


def _pdf(paper: str, writer: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    figure, out = sheet_figure(paper, writer), io.BytesIO()
    # Fonts as outlines of their own letters (Type 42): text stays text, and prints the same everywhere.
    with mpl.rc_context({"pdf.fonttype": 42}):
        # No date in it: the same sheet is the same file.
        canvas: Any = FigureCanvasPdf(figure)
        canvas.print_pdf(out, metadata={"Title": "digitlab sheet", "CreationDate": None})
    return out.getvalue()


def _draw(axes: Any, writer: str) -> None:
    from matplotlib.patches import Rectangle

    def square(x: float, y: float, side: float, colour: str) -> None:
        axes.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, facecolor=colour, linewidth=0))

    for number, (x, y) in enumerate(layout.CORNERS):
        square(x, y, layout.MARK, "black")
        square(x, y, layout.HOLE, "white")
        if number == 0:
            square(x, y, layout.DOT, "black")
    middle = layout.WIDTH / 2
    text = {"ha": "center", "va": "center", "color": "#555555", "family": "DejaVu Sans"}
    first, second = ADVICE.split(". ", 1)
    axes.text(middle, -2.2, first + ".", fontsize=6.9, **text)
    axes.text(middle, 1.8, second, fontsize=6.9, **text)
    axes.text(middle, layout.HEIGHT, f"Writer: {writer or '_' * 30}     digitlab sheet", fontsize=7.5, **text)
    for row in range(layout.ROWS):
        _, top, _, bottom = layout.box(row, 0)
        axes.text(6.0, (top + bottom) / 2, str(row), fontsize=26, **text | {"color": "#888888"})
        for column in range(layout.COLUMNS):
            x, y, right, below = layout.box(row, column)
            outline = Rectangle((x, y), right - x, below - y, fill=False, edgecolor=PALE, linewidth=0.35 * _POINTS)
            axes.add_patch(outline)
