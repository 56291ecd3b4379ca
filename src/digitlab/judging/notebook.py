"""How an evaluation shows itself in a notebook."""

from __future__ import annotations

from typing import Any

from digitlab import in_words
from digitlab.notebook import card


def evaluation_card(evaluation: Any) -> str:
    """Accuracy with its interval, losses, and the confusion matrix as a small table.

    Args:
        evaluation: a `digitlab.judging.metrics.Evaluation`.
    """
    rows = [
        ("accuracy", f"{100 * evaluation.accuracy:.2f} % ({in_words.interval(evaluation.accuracy_interval)})"),
        ("mistakes", f"{evaluation.samples - evaluation.correct:,} of {evaluation.samples:,}"),
        ("log loss", f"{evaluation.log_loss:.4f}"),
    ]
    matrix = evaluation.confusion
    return card("Evaluation", rows, _confusion(matrix) if len(matrix) <= 12 else "")


def _confusion(matrix: Any) -> str:
    most = max((int(count) for i, row in enumerate(matrix) for j, count in enumerate(row) if i != j), default=0) or 1
    head = "".join(f"<th>{i}</th>" for i in range(len(matrix)))
    lines = [f"<tr><th></th>{head}</tr>"]
    for i, row in enumerate(matrix):
        cells = ""
        for j, count in enumerate(row):
            ground = "rgba(0,99,156,.18)" if i == j else f"rgba(213,94,0,{0.75 * int(count) / most:.2f})"
            cells += f'<td style="background:{ground};text-align:center">{int(count) or ""}</td>'
        lines.append(f"<tr><th>{i}</th>{cells}</tr>")
    return f"<table><caption>row: what it is, column: what it reads</caption>{''.join(lines)}</table>"
