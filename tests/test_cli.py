"""The command line as people and programs meet it: output, exit codes, one-line errors."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from helpers.command import digitlab, environment, in_process, without_figures

from digitlab.data import Dataset
from digitlab.learning import FIELDS, RECIPES
from digitlab.runs import Run


@pytest.fixture(scope="module")
def home(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set and, in runs/, two finished runs of it."""
    folder = tmp_path_factory.mktemp("home")
    np.savez(
        folder / "small.npz",
        x_train=small.train.images,
        y_train=small.train.labels,
        x_test=small.test.images,
        y_test=small.test.labels,
    )
    from digitlab.runs import training

    with without_figures():
        for name in ("linear", "mlp"):
            training.train(name, data=folder / "small.npz", validation=200, folder=folder / "runs", name=name, epochs=3)
    return folder


def test_train_json_is_one_object_on_stdout(home: Path) -> None:
    options = [
        "--data",
        "small.npz",
        "--validation",
        "200",
        "--epochs",
        "2",
        "--hidden",
        "16, 8",
        "--json",
        "--seed",
        "3",
    ]
    done = digitlab("train", "mlp", *options, "--name", "from-cli", cwd=home)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert list(result) == [
        "run",
        "recipe",
        "seed",
        "epochs",
        "parameters",
        "test_accuracy",
        "test_accuracy_interval",
        "test_loss",
        "epoch_seconds",
        "seconds",
    ]
    assert (result["recipe"], result["seed"], result["epochs"]) == ("mlp", 3, 2)
    assert result["parameters"] == 785 * 16 + 17 * 8 + 9 * 10
    assert len(result["epoch_seconds"]) == 2
    low, high = result["test_accuracy_interval"]
    assert low < result["test_accuracy"] < high
    assert result["seconds"]["total"] >= result["seconds"]["train"] > 0
    run = home / result["run"]
    expected = {"run.json", "history.csv", "metrics.json", "predictions.npz", "model.keras", "model.onnx"}
    expected |= {"report.html", "README.md", "figures"}
    assert expected <= {p.name for p in run.iterdir()}
    figures = {p.name for p in (run / "figures").iterdir()}
    assert {f"{name}.{kind}" for name in ("training-curves", "confusion-matrix") for kind in ("png", "svg")} <= figures
    assert "Warning" not in done.stderr
    # Plain lines on stderr, one per epoch, without control characters: it is no terminal.
    epochs = [line for line in done.stderr.splitlines() if line.startswith("epoch")]
    assert len(epochs) == 2
    assert "val_accuracy" in epochs[0]
    assert "\x1b" not in done.stderr
    # The numbers are those of the run.
    assert Run(run).evaluation.accuracy == result["test_accuracy"]
    probabilities, labels = (Run(run).predictions[f"test_{k}"] for k in ("probabilities", "labels"))
    assert (probabilities.argmax(1) == labels).mean() == pytest.approx(result["test_accuracy"])


def test_train_for_people_and_quiet(home: Path) -> None:
    done = in_process("train", "linear", "--data", "small.npz", "--validation", "0", "--epochs", "1", "-q", cwd=home)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "% correct on 300 test images (95 % interval" in done.stdout
    assert "report.html" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "mlp9"], 2, "no recipe 'mlp9'"),
        (["train", "--epochs", "0"], 2, "--epochs: got 0, expected a whole number of at least 1"),
        (["train", "--epochs", "many"], 2, "Invalid value for '--epochs'"),
        (["train", "--hidden", "12,x"], 2, "--hidden: got '12,x'"),
        (["train", "--peak-rate", "-1"], 2, "--peak-rate: got -1.0"),
        (["train", "--nonsense"], 2, "No such option"),
        (["train", "--resume", "x", "--epochs", "3"], 2, "--resume trains a run exactly as it began"),
        (["train", "--resume", "nowhere"], 1, "nowhere: no such run"),
        (["train", "--data", "nowhere"], 1, "nowhere"),
        (["train", "--data", "small.npz", "--validation", "2000"], 1, "Try --validation"),
        (["train", "--data", "small.npz", "--validation", "9", "--name", "mlp"], 1, "already there"),
        (["train", "--data", "small.npz", "--validation", "9", "--name", "../x"], 1, "expected letters"),
        (["train", "--model", "nofile.py:build"], 1, "nofile.py: no such file"),
        (["train", "--model", "nofile"], 1, "nofile"),
        (["train", "--data", "small.npz", "--validation", "9", "--engine", "warp"], 1, "expected one of auto"),
        (["runs", "nowhere"], 1, "no such run"),
        (["compare", "mlp", "nowhere"], 1, "no such run"),
        (["evaluate", "nowhere"], 1, "no such run"),
        (["report", "nowhere"], 1, "no such run"),
        (["export", "mlp", "--format", "pb"], 1, "expected one of onnx, keras, h5"),
        (["export", "mlp", "--output", "x.pb"], 1, "expected a file that ends in .onnx"),
        (["recipes", "nothing"], 2, "no recipe 'nothing'"),
        (["data", "--data", "small.npz", "--validation", "-1"], 1, "-1"),
        (["fly"], 2, "No such command"),
    ],
)
def test_errors_are_one_clear_line(home: Path, arguments: list[str], code: int, message: str) -> None:
    before = {p.name for p in (home / "runs").iterdir()}
    done = in_process(*arguments, cwd=home)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())
    if done.stderr.startswith("digitlab:"):
        assert done.stderr.count("\n") == 1
    assert {p.name for p in (home / "runs").iterdir()} == before  # a mistake leaves no litter


def test_verbose_shows_where_it_came_from(home: Path) -> None:
    done = digitlab("--verbose", "runs", "nowhere", cwd=home)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("digitlab: nowhere: no such run")


def test_a_backend_that_is_not_there(home: Path) -> None:
    done = digitlab("train", "--data", "small.npz", "--validation", "9", cwd=home, KERAS_BACKEND="nosuch")
    assert done.returncode == 1
    assert "Keras backend 'nosuch'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_runs_compare_evaluate_report(home: Path) -> None:
    listed = json.loads(in_process("runs", "--json", cwd=home).stdout)
    assert {"linear", "mlp"} <= {row["name"] for row in listed}
    table = in_process("runs", cwd=home).stdout
    assert "linear" in table
    assert "finished" in table

    shown = in_process("runs", "mlp", cwd=home).stdout
    evaluation = Run(home / "runs" / "mlp").evaluation
    assert f"{100 * evaluation.accuracy:.2f} %" in shown

    compared = in_process("compare", "linear", "mlp", cwd=home)
    assert compared.returncode == 0, compared.stderr
    assert "linear" in compared.stdout
    assert "mlp" in compared.stdout

    judged = in_process("evaluate", "mlp", "--json", cwd=home)
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout)["accuracy"] == evaluation.accuracy

    exported = in_process("export", "mlp", "--format", "h5", "--output", "mine.h5", cwd=home)
    assert exported.returncode == 0, exported.stderr
    assert (home / "mine.h5").stat().st_size > 400_000
    assert (home / "runs" / "mlp" / "model.onnx").is_file()

    page = home / "runs" / "mlp" / "report.html"
    first = page.read_bytes()
    page.unlink()
    again = in_process("report", "mlp", cwd=home)
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip().endswith("report.html")
    assert len(list((page.parent / "figures").iterdir())) == 14
    assert len(page.read_bytes()) == pytest.approx(len(first), rel=0.01)


def test_evaluate_on_other_data(home: Path, small: Dataset) -> None:
    """Test images shown upside down: the same network must do worse, and the run's folder stays as it is."""
    np.savez(
        home / "upside-down.npz",
        x_train=small.train.images,
        y_train=small.train.labels,
        x_test=small.test.images[:, ::-1],
        y_test=small.test.labels,
    )
    before = {p.name: p.stat().st_mtime_ns for p in (home / "runs" / "mlp").iterdir()}
    done = in_process("evaluate", "mlp", "--data", "upside-down.npz", "--json", cwd=home)
    assert json.loads(done.stdout)["accuracy"] < Run(home / "runs" / "mlp").evaluation.accuracy
    assert {p.name: p.stat().st_mtime_ns for p in (home / "runs" / "mlp").iterdir()} == before


@pytest.mark.slow
def test_data_and_recipes(home: Path) -> None:
    facts: dict[str, Any] = json.loads(in_process("data", "--json", "--png", "grid.png", cwd=home).stdout)
    assert facts["images"] == {"train": 55000, "validation": 5000, "test": 10000}
    from PIL import Image

    with Image.open(home / "grid.png") as picture:
        assert picture.width > 500
    shown = in_process("data", cwd=home).stdout
    assert "1,135" in shown  # ones among the test images
    assert "▄" in shown

    changed = in_process("data", "--augmented", "cnn", "--png", "changed.png", cwd=home)
    assert changed.returncode == 0, changed.stderr
    assert "▄" in changed.stdout
    with Image.open(home / "changed.png") as picture:
        assert picture.height > picture.width  # ten rows of five
    assert in_process("data", "--augmented", "mlp", cwd=home).returncode == 2

    names = [row["name"] for row in json.loads(in_process("recipes", "--json", cwd=home).stdout)]
    assert names == list(RECIPES)
    one = in_process("recipes", "mlp2", cwd=home).stdout
    for field in FIELDS:
        assert field in one


def test_every_field_is_an_option_with_help(home: Path) -> None:
    text = in_process("train", "--help", cwd=home, columns=200).stdout
    for name in FIELDS:
        if name not in ("name", "description", "network"):
            assert f"--{name.replace('_', '-')}" in text
    assert "Examples" in text


def test_help_is_quick(home: Path) -> None:
    """0.3 s on a machine of one's own (measured by benchmarks/command.py); here only that it has not grown tenfold.

    Seconds of processor: those on the clock say more of who else is at work.
    """

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    best = 9.0
    for _ in range(3):
        before = spent()
        assert digitlab("--help", cwd=home).returncode == 0
        best = min(best, spent() - before)
    assert best < 2


def test_version_and_completion(home: Path) -> None:
    from importlib.metadata import version

    assert digitlab("--version", cwd=home).stdout == f"digitlab {version('digitlab')}\n"
    script = Path(sys.executable).with_name("digitlab")
    asked = {"_DIGITLAB_COMPLETE": "complete_bash", "COMP_WORDS": "digitlab tra", "COMP_CWORD": "1"}
    shown = subprocess.run([script], capture_output=True, text=True, env=environment(**asked))
    assert shown.stdout.split() == ["train"]


@pytest.mark.slow
def test_saved_model_opens_in_plain_keras_without_digitlab(home: Path) -> None:
    """In a process that cannot import digitlab: load, no warning, evaluate; raw pixels in, probabilities out."""
    code = """
import sys, warnings, json
warnings.simplefilter("error")
warnings.filterwarnings("ignore", message="__array__ implementation")
sys.modules["digitlab"] = None
import keras, numpy as np
model = keras.saving.load_model("runs/mlp/model.keras")
with np.load("small.npz") as data:
    x, y = data["x_test"], data["y_test"]
loss, accuracy = model.evaluate(x, y, verbose=0)
print(json.dumps([loss, accuracy, model.predict(x[:2], verbose=0).tolist()]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr
    loss, accuracy, rows = json.loads(done.stdout)
    run = Run(home / "runs" / "mlp")
    assert accuracy == pytest.approx(run.evaluation.accuracy, abs=1e-6)
    assert loss == pytest.approx(run.evaluation.log_loss, rel=1e-3)
    np.testing.assert_allclose(rows, run.predictions["test_probabilities"][:2], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_from_python(home: Path, small: Dataset, tmp_path: Path) -> None:
    """A Dataset made in Python, a model made in Python: the same run folder."""
    import keras

    import digitlab as package

    def build() -> Any:
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(2, 5, strides=3, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )

    with without_figures():
        run = package.train("linear", data=small, model=build, epochs=1, folder=tmp_path)
    assert run.evaluation.confusion.sum() == 300
    assert run.model.count_params() == run.info["parameters"]
    assert run.info["recipe"]["name"] == "own"
    assert run.state == "finished"
    with pytest.raises(package.RunError, match="Dataset made in Python"):
        package.report(run.path)
    with mock.patch("digitlab.showing.figures.save_figures"):
        assert package.report(run.path, data=small).is_file()
