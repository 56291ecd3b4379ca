"""Execute notebooks/tour.py, check what its text claims, and write it as notebooks/tour.ipynb, outputs kept.

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
# What the text claims of the results, checked on what the cells left; a learner who reads it must see it.
CLAIMS = """
assert before.max() < 0.5 and 0.96 < result.accuracy < 0.99
assert run.evaluation.accuracy > result.accuracy
assert cnn.evaluation.accuracy > dense.evaluation.accuracy and cnn.info["parameters"] < dense.info["parameters"]
assert augmented.evaluation.accuracy > dense.evaluation.accuracy and accuracy_when_moved(dense)[3] < 0.5
assert accuracy_when_moved(augmented)[3] > accuracy_when_moved(dense)[3] + 0.2 and rows.shape == (5, 10, 28, 28)
assert tries["dropout"].history["loss"][-1] > tries["plain"].history["loss"][-1]
assert judged.temperature > 1 and judged.calibrated_calibration_error < judged.calibration_error
assert [int(answer.argmax()) == 7 for answer in answers] == [False, False, False, True]
assert reading.lines == [truth[0], truth[1] + " ?", truth[2]]
assert sum(a != b for a, b in zip("".join(own.lines), "".join(reading.lines), strict=True)) <= 2
"""


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
    notebook.cells.append(new["code"](CLAIMS, id="claims"))
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            notebook, timeout=600, record_timing=False, resources={"metadata": {"path": folder}}
        ).execute()  # raises for a cell that fails, the claims too
    del notebook.cells[-1]
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
