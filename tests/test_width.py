"""What the terminal shows fits its width: a training run's lines, the live bar and the list of runs."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from digitlab.cli.progress import Lines
from digitlab.cli.runs_commands import print_table
from digitlab.cli.width import epoch_line, fitted
from digitlab.learning import RECIPES
from digitlab.learning.engine import Progress
from digitlab.runs.events import Epoch

ROW = {
    "loss": 0.2134,
    "accuracy": 0.97341,
    "val_loss": 0.1811,
    "val_accuracy": 1.0,
    "learning_rate": 2e-3,
    "seconds": 101.23,
}
# What each width still shows beside the epoch.
SHOWN = {
    40: {"val_accuracy"},
    80: {"val_accuracy", "accuracy", "images/s"},
    100: {"val_accuracy", "accuracy", "images/s", "loss", "val_loss"},
    None: {"val_accuracy", "accuracy", "images/s", "loss", "val_loss", "rate"},
}


@pytest.mark.parametrize("width", [40, 80, 100, None])
def test_an_epoch_fits(width: int | None) -> None:
    line = epoch_line(Epoch(100, 100, ROW), images=55_000, width=width)
    assert width is None or len(line) <= width
    words = set(re.findall(r"[a-z_]+(?:/s)?", line)) - {"epoch", "s", "e"}
    # At 100 columns the widest numbers leave no room for the losses.
    assert words == (SHOWN[80] if width == 100 else SHOWN[width])
    assert "101.23 s" in line or width == 40


@given(st.lists(st.tuples(st.text("ab", min_size=1), st.integers(0, 5))), st.integers(0, 60))
def test_only_the_least_important_goes(parts: list[tuple[str, int]], width: int) -> None:
    candidates = ["  ".join(text for text, rank in parts if rank <= most) for most in range(5, -1, -1)]
    expected = next((line for line in candidates if len(line) <= width), candidates[-1])
    assert fitted(parts, width) == expected


def console(width: int) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=True, width=width, highlight=False, _environ={}), file


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_whole_run_fits(width: int, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitlab.cli.progress._rescales", lambda _: True)
    shown, file = console(width)
    lines = Lines(shown)
    model = SimpleNamespace(count_params=lambda: 101_770)
    run: Any = SimpleNamespace(recipe=RECIPES["mlp"])
    lines.started(run, small, model, None)
    for images in (100, 900, 1000):
        lines.progress(Progress(11, 20, images, 1000, 0.1234, 0.9876))
        lines._bar.refresh()
    history = {name: np.array([value]) for name, value in ROW.items()}
    lines.epoch(SimpleNamespace(epoch=12, history=history), 20)  # type: ignore[arg-type]
    lines.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert max(map(len, re.split(r"[\r\n]", plain))) <= width
    bar = [line for line in re.split(r"[\r\n]", plain) if "left" in line]
    assert bar and all("12/20" in line for line in bar)
    assert ("images/s" in bar[-1]) == (width >= 80)


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"mlp-20261124-171501-seed{seed}",
            "recipe": "mlp",
            "state": "finished",
            "epochs_done": 20,
            "epochs": 20,
            "parameters": 101_770,
            "test_accuracy": 0.98311,
            "seconds": 12.3,
        }
        for seed in range(count)
    ]


@pytest.mark.parametrize(("width", "columns"), [(20, 1), (40, 2), (64, 5), (82, 7)])
def test_runs_are_told_apart_at_any_width(width: int, columns: int) -> None:
    shown, file = console(width)
    print_table(rows(3), shown)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == [row["name"] for row in rows(3)]
    assert width < 30 or max(map(len, lines)) <= width
    assert len(re.split(r"\s{2,}", lines[1])) == columns
    assert ("also:" in " ".join(lines[4:])) == (columns < 7)


def test_a_pipe_gets_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # as the tests themselves may be started
    file = io.StringIO()
    print_table([{**rows(1)[0], "name": "x" * 90}], Console(file=file, _environ={}))
    assert "x" * 90 in file.getvalue() and "101,770" in file.getvalue()
