"""Execute notebooks/tour.py and write it as notebooks/tour.ipynb, outputs kept.

Run it after every change of tour.py:

    uv run --group notebook notebooks/make.py

The source is in Jupytext's percent format, so Jupytext and most editors open it as a notebook as well.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Cell(NamedTuple):
    """One cell: "markdown" or "code", and its source without the comment signs."""

    kind: str
    source: str


def read_cells(text: str) -> list[Cell]:
    r"""Cut a percent-format script into its cells; the header before the first one is left out.

    Example:
        >>> read_cells("# ---\n# %% [markdown]\n# # Title\n\n# %%\n1 + 1\n")
        [Cell(kind='markdown', source='# Title'), Cell(kind='code', source='1 + 1')]
    """
    cells = []
    for part in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        mark, _, body = part.partition("\n")
        if mark.strip() == "[markdown]":
            cells.append(Cell("markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip()))
        else:
            cells.append(Cell("code", body.strip()))
    return cells


def main() -> None:
    """Execute every cell in a fresh kernel, in an empty folder, and write the notebook."""
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook()
    new = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    for number, cell in enumerate(read_cells((HERE / "tour.py").read_text("utf-8")), 1):
        # Counted names instead of random ones, so that a new run changes only what changed.
        notebook.cells.append(new[cell.kind](cell.source, id=f"cell-{number:02d}"))
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            notebook, timeout=600, record_timing=False, resources={"metadata": {"path": folder}}
        ).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                sys.exit(f"a cell wrote to stderr; mend it first:\n{cell.source}\n{output.text}")
    target = HERE / "tour.ipynb"
    nbformat.validate(notebook)
    target.write_text(nbformat.writes(notebook) + "\n", "utf-8")
    print(f"{target}: {len(notebook.cells)} cells, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
