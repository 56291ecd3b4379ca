"""Results in a notebook: a short repr, and a small picture that needs no script."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from digitlab.judging import evaluate
from digitlab.notebook import card
from digitlab.reading.reader import Reader
from digitlab.runs.folder import Run
from digitlab.runs.notebook_progress import NotebookProgress, in_notebook


def test_an_evaluation_is_short_and_its_numbers_are_its_own() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500)
    probabilities = np.full((500, 10), 0.02)
    probabilities[np.arange(500), np.where(rng.random(500) < 0.9, labels, (labels + 1) % 10)] = 0.82
    evaluation = evaluate(probabilities, labels)
    right = int((probabilities.argmax(1) == labels).sum())
    assert f"{right} of 500 correct" in repr(evaluation) and len(repr(evaluation)) < 120
    html = evaluation._repr_html_()
    assert f"{500 - right} of 500" in html and "<script" not in html and len(html) < 17_000
    assert html.count("<td style") == 100


def test_a_reading_shows_its_glyphs() -> None:
    page = np.full((120, 200), 255, np.uint8)
    page[20:90, 95:103] = 0
    reading = Reader().read(page)
    assert repr(reading).startswith("Reading('1', 1 signs") and len(repr(reading)) < 80
    assert len(repr(reading.digits[0])) < 300
    assert "data:image/png" in reading._repr_html_() and "Reading: 1" in reading._repr_html_()
    assert "nothing" in Reader().read(np.full((50, 50), 255, np.uint8))._repr_html_()


def test_a_run_shows_itself(tmp_path: Any) -> None:
    shutil.copytree(Path(__file__).parent / "data" / "run-format-1", tmp_path / "r")
    info = json.loads((tmp_path / "r" / "run.json").read_text("utf-8"))
    info["recipe"]["description"] = "<b>"
    (tmp_path / "r" / "run.json").write_text(json.dumps({**info, "state": "failed", "seed": 3}), "utf-8")
    html = Run(tmp_path / "r")._repr_html_()
    assert "&lt;b&gt;, seed 3" in html and "failed" in html and "<polyline" in html


def test_progress_below_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_notebook()
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)
    fake: Any = SimpleNamespace(HTML=str, display=lambda *_, **__: handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=fake, get_ipython=lambda: None))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    progress = NotebookProgress()
    progress.started(SimpleNamespace(name="<r>"), None, SimpleNamespace(count_params=lambda: 1234), None)
    state: Any = SimpleNamespace(epoch=1, history={"val_accuracy": [0.912]})
    progress.epoch(state, 2)
    progress.stage("judge")
    assert "&lt;r&gt;: 1,234 parameters" in shown[0]
    assert 'value="0.5000"' in shown[1] and "91.20 %" in shown[1] and "judging" in shown[2]


def test_what_is_shown_is_escaped() -> None:
    assert "<i>" not in card("<i>", [("<i>", "<i>")])
