"""The tour and the example script run, and the notebook people open is the one that is tested."""

from __future__ import annotations

import doctest
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import doc_pages as pages
from helpers.command import environment

ROOT = pages.ROOT
# The tour shows no picture from a run's folder, and those of its runs take as long as all the rest.
NO_FIGURES = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from helpers import command
import digitlab.showing.figures.process
digitlab.showing.figures.process.Drawer = command.NoDrawer
"""
# All 55,000 images and 75 epochs take three minutes of two cores; that the cells run needs neither.
SMALLER = """
import dataclasses
import os
os.environ["KERAS_BACKEND"] = "jax"
import digitlab
import keras

from digitlab import Split

whole = digitlab.load()

def first(count, split):
    return Split(split.images[:count], split.labels[:count])

few = dataclasses.replace(whole, train=first(1000, whole.train), validation=first(300, whole.validation),
                          test=first(500, whole.test), doubtful=frozenset(i for i in whole.doubtful if i < 500))
digitlab.load = lambda: few

def shorter(function):
    return lambda *arguments, **options: function(*arguments, **{**options, "epochs": min(1, options["epochs"])})

digitlab.train = shorter(digitlab.train)
keras.Model.fit = shorter(keras.Model.fit)
"""
WHAT_HOLDS_ON_LESS = """
assert before.max() < 0.5 and result.accuracy > 0.2
assert cnn.info["parameters"] < dense.info["parameters"]
assert rows.shape == (5, 10, 28, 28)
assert len(accuracy_when_moved(augmented)) == 5
assert len(answers) == 4
assert reading.lines == [truth[0], truth[1] + " ?", truth[2]]
assert len(own.lines) == 3
"""
NOTEBOOKS = ROOT / "notebooks"


def make() -> Any:
    spec = importlib.util.spec_from_file_location("notebooks_make", NOTEBOOKS / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notebook() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((NOTEBOOKS / "tour.ipynb").read_text("utf-8"))
    return loaded


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(MPLBACKEND="agg", XLA_FLAGS=os.environ["XLA_FLAGS"]),
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_notebook_and_script_are_the_same() -> None:
    source = make().read_cells((NOTEBOOKS / "tour.py").read_text("utf-8"))
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook()["cells"]]
    assert cells == [tuple(cell) for cell in source], "run: uv run --group notebook notebooks/make.py"


def test_cells_are_cut_as_documented() -> None:
    tried = doctest.testmod(make())
    assert tried.attempted and not tried.failed


def test_notebook_is_executed_small_and_clean() -> None:
    content = (NOTEBOOKS / "tour.ipynb").read_bytes()
    assert len(content) < 1.5e6
    code = [cell for cell in notebook()["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    pictures = [output for output in outputs if "image/png" in output.get("data", ())]
    assert len(pictures) >= 12, "the pictures are missing"


def test_every_step_says_what_to_notice_and_has_an_exercise() -> None:
    text = "\n".join(cell.source for cell in make().read_cells((NOTEBOOKS / "tour.py").read_text("utf-8")))
    steps = [step for step in text.split("\n## ")[1:] if step[0].isdigit()]
    assert len(steps) == 16
    for step in steps:
        assert "**What to notice.**" in step, step.partition("\n")[0]
        assert "**Exercise.**" in step, step.partition("\n")[0]


@pytest.mark.slow
def test_notebook_runs(tmp_path: Path) -> None:
    """Every code cell in order in one namespace, on fewer images and for fewer epochs.

    What the text claims of the results is checked on all of them when the notebook is executed: `CLAIMS` in make.py.
    """
    cells = [c.source for c in make().read_cells((NOTEBOOKS / "tour.py").read_text("utf-8")) if c.kind == "code"]
    (tmp_path / "tour.py").write_text("\n\n".join([NO_FIGURES, SMALLER, *cells, WHAT_HOLDS_ON_LESS]), "utf-8")
    printed = run("tour.py", cwd=tmp_path)
    assert printed.count("same answers: True") == 2
    assert len(list((tmp_path / "runs").iterdir())) == 7


def test_the_kept_notebook_shows_what_its_text_claims() -> None:
    """The figures in the outputs that people see, whoever executed it."""
    text = "".join(
        "".join(output["text"])
        for cell in notebook()["cells"]
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
        if output.get("name") == "stdout"
    )
    first, recipe = (
        float(share) for share in re.findall(r"^([\d.]+)% (?:right|correct), \d+ mistakes", text, re.MULTILINE)
    )
    assert 96 < first < recipe < 99
    shares = {
        name: float(share) for name, share in re.findall(r"^(dense|convolution) .* ([\d.]+)% ", text, re.MULTILINE)
    }
    assert shares["convolution"] > shares["dense"]
    [(without, changed)] = re.findall(r"as they are: ([\d.]+)% without, ([\d.]+)% with", text)
    assert float(changed) > float(without)
    assert text.count("same answers: True") == 2
    stages = re.findall(r"^(?:shrunk|and inverted|ink only|cut out, centred) +read as (\d)", text, re.MULTILINE)
    assert [digit == "7" for digit in stages] == [False, False, False, True]


@pytest.mark.slow
def test_example_runs(tmp_path: Path) -> None:
    script = ROOT / "examples" / "mnist_classification.py"
    assert len(script.read_text("utf-8").splitlines()) <= 60
    (tmp_path / "small.py").write_text(f"{SMALLER}\nimport runpy\nrunpy.run_path({str(script)!r}, run_name='__main__')")
    printed = run("small.py", "--epochs", "1", "--folder", "out", cwd=tmp_path)
    assert "the first test image is a 7" in printed
    left = {file.name for file in (tmp_path / "out").iterdir()}
    assert left == {"samples.png", "curves.png", "confusion.png", "predictions.png", "mistakes.png", "model.keras"}
