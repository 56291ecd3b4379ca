"""Groups of seeds: each a run of its own, resumed after a stop, compared with an interval."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import path_without_figures, without_figures

import digitlab
from digitlab import runs
from digitlab.cli.read_command import model_of
from digitlab.data import Dataset
from digitlab.errors import DigitlabError, RecipeError, RunError
from digitlab.judging.compare import Comparison, GroupComparison
from digitlab.learning.predict import predict
from digitlab.learning.state import TrainState
from digitlab.reading.model import open_model
from digitlab.reading.reader import Reader
from digitlab.runs import finished, groups
from digitlab.runs.events import Epoch, Event, Watcher
from digitlab.runs.group_training import train_group
from digitlab.runs.groups import Group
from digitlab.runs.states import Stage


class StopAtSecond(Watcher):
    """Ctrl-C in the second seed."""

    def epoch(self, state: TrainState, epochs: int) -> None:
        StopAtSecond.epochs += 1
        if StopAtSecond.epochs == 3:
            raise KeyboardInterrupt

    epochs = 0


@pytest.fixture(scope="module")
def folder(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Group `a` (2 seeds, stopped once and resumed), group `b` (2 seeds), both small."""
    path = tmp_path_factory.mktemp("groups")
    data = path / "small.npz"
    np.savez(
        data,
        x_train=small.train.images,
        y_train=small.train.labels,
        x_test=small.test.images,
        y_test=small.test.labels,
    )
    options = {"data": data, "validation": 100, "folder": path, "changes": {"epochs": 2}}
    StopAtSecond.epochs = 0  # a process that is handed this module's tests in two parts makes its folder twice
    with without_figures():
        with pytest.raises(KeyboardInterrupt):
            train_group("linear", 2, name="a", watcher=StopAtSecond, **options)
        first = runs.Run(path / "a-seed0")
        assert first.state == "finished"
        before = first.info
        train_group("linear", 2, name="a", **options)
        assert first.info == before  # the finished seed was not touched
        train_group("mlp", 2, name="b", **options)
        with pytest.raises(RunError, match="another recipe"):
            train_group("mlp", 2, name="a", **options)
    return path


@pytest.mark.slow
def test_a_group_is_its_seeds(folder: Path) -> None:
    group = groups.open_group("a", folder)
    assert group is not None
    assert [run.info["seed"] for run in group.runs] == [0, 1]
    assert [run.state for run in group.runs] == ["finished", "finished"]
    np.testing.assert_allclose(group.correct.mean(1), group.accuracies)
    assert group.spread.mean == pytest.approx(np.mean(group.accuracies))
    assert group.spread.std == pytest.approx(np.std(group.accuracies, ddof=1))
    assert groups.open_group("nothing", folder) is None


def test_an_ensemble_is_the_mean_of_probabilities(folder: Path) -> None:
    group = groups.open_group("a", folder)
    assert group is not None
    kept = [run.predictions for run in group.runs]
    mean = (kept[0]["test_probabilities"] + kept[1]["test_probabilities"]) / 2
    right = mean.argmax(1) == kept[0]["test_labels"]
    assert group.ensemble.accuracy == pytest.approx(right.mean())
    assert group.ensemble.temperature is not None  # fitted on validation
    file = finished.export("a", folder=folder)
    assert file == folder / "a.onnx"
    found = open_model(file).probabilities(np.zeros((2, 28, 28), np.uint8))
    assert found.shape == (2, 10)
    with pytest.raises(RunError, match="no such run"):
        finished.export("nothing", folder=folder)


@pytest.mark.slow
def test_seeds_side_by_side_are_those_one_after_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", path_without_figures(tmp_path))
    options = {"data": folder / "small.npz", "validation": 100, "folder": folder}
    heard: list[tuple[str, Event]] = []
    together = train_group(
        "linear",
        2,
        name="side",
        jobs=2,
        on_event=lambda name, event: heard.append((name, event)),
        changes={"epochs": 2},
        **options,
    )
    alone = groups.open_group("a", folder)
    assert alone is not None
    for one, other in zip(alone.runs, together.runs, strict=True):
        np.testing.assert_array_equal(one.predictions["test_probabilities"], other.predictions["test_probabilities"])
    for run in together.runs:
        told = [event for name, event in heard if name == run.name]
        stages = [event for event in told if isinstance(event, Stage)]
        assert stages == [Stage.DATA, Stage.BUILD, Stage.TRAIN, Stage.JUDGE, Stage.SAVE, Stage.DRAW]
        epochs = [event for event in told if isinstance(event, Epoch)]
        assert [(event.epoch, event.epochs) for event in epochs] == [(1, 2), (2, 2)]
        assert [dict(event.values) for event in epochs] == [
            {name: run.history[name][i] for name in run.history} for i in range(2)
        ]
    if hasattr(os, "sched_getaffinity"):
        shared = len(os.sched_getaffinity(0)) // min(2, len(os.sched_getaffinity(0)))
        assert [run.info["machine"]["cores"] for run in together.runs] == [shared, shared]
    with pytest.raises(RecipeError, match="jobs: got 0"):
        train_group("linear", 2, jobs=0)
    with pytest.raises(DigitlabError, match="cannot be handed to another process"):
        train_group("linear", 2, jobs=2, model=lambda: None, **options)


def test_an_error_of_one_side_by_side_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"x-seed\d: .*no such"):
        train_group("linear", 2, name="x", jobs=2, data=tmp_path / "nothing", folder=folder)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_one_that_began_them(folder: Path, signum: int, tmp_path: Path) -> None:
    options = ["linear", "--epochs", "4000", "--data", str(folder / "small.npz"), "--validation", "100"]
    options += ["--runs", str(tmp_path), "--seeds", "2", "--jobs", "2", "--name", "g"]
    command = [sys.executable, "-m", "digitlab", "train", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch" in line:
                break
        process.send_signal(signum)
        said = process.stderr.read()
        assert process.wait(60) == (130 if signum == signal.SIGINT else -signum)
    if signum == signal.SIGINT:
        assert re.search(r"digitlab: stopped. Resume it by the same command with --name g", said)
    deadline = time.monotonic() + 60
    while any(runs.is_locked(run.path) for run in runs.list_runs(tmp_path)):
        assert time.monotonic() < deadline, "a process outlived the one that began it"
        time.sleep(0.1)
    assert {run.state for run in runs.list_runs(tmp_path)} <= {"interrupted", "stopped"}


def test_compare_takes_groups_and_runs(folder: Path) -> None:
    both = finished.compare("a", "b", folder=folder)
    assert isinstance(both, GroupComparison)
    assert both.difference == pytest.approx(
        100 * (groups.open_group("a", folder).accuracies.mean() - groups.open_group("b", folder).accuracies.mean())  # type: ignore[union-attr]
    )
    assert isinstance(finished.compare("a-seed0", "b-seed0", folder=folder), Comparison)
    mixed = finished.compare("a", "b-seed0", folder=folder)
    assert "one run of b-seed0" in mixed.words


def test_one_seed_is_no_group() -> None:
    with pytest.raises(RecipeError, match="expected at least 2"):
        train_group("linear", 1)


def test_a_group_stands_wherever_a_run_does(folder: Path) -> None:
    group, run = (digitlab.open(name, folder) for name in ("a", "a-seed0"))
    assert isinstance(group, Group)
    assert isinstance(run, runs.Run)
    assert digitlab.open(group) is group
    data = run.info["data"]
    with np.load(folder / "small.npz") as arrays:
        images = arrays["x_test"]
    mean = np.mean([predict(member.model, images) for member in group.runs], axis=0)
    np.testing.assert_allclose(group.predictions["test_probabilities"], mean, atol=1e-6)
    np.testing.assert_allclose(predict(group.model, images), mean, atol=1e-6)
    assert digitlab.evaluate(group).accuracy == digitlab.evaluate("a", folder=folder).accuracy
    assert digitlab.evaluate(group).log_loss == pytest.approx(group.evaluation.log_loss, abs=1e-5)
    assert digitlab.evaluate(run).accuracy == pytest.approx(run.evaluation.accuracy)
    assert group.metadata | {"seed": "0", "test_accuracy": "", "temperature": ""} == run.metadata | {
        "test_accuracy": "",
        "temperature": "",
    }
    assert group.metadata["data_sha256"] == data["sha256"]
    file = digitlab.export(group, "keras", output=folder / "mean.keras")
    assert file.is_file()
    page = digitlab.report(group)
    assert page == folder / "a.html"
    assert "ensemble of 2 seeds" in page.read_text("utf-8")
    assert model_of("a", folder) == folder / "a.onnx"
    assert Reader(run).predict(images[:2]).shape == (2, 10)
    with pytest.raises(RunError, match="no such run"):
        digitlab.open("nothing", folder)


def test_fields_of_the_recipe_are_named_like_anywhere(folder: Path) -> None:
    """And a second call with the same fields finds the group finished."""
    options = {"data": folder / "small.npz", "validation": 100, "folder": folder}
    left = folder / ".a.md.999999999.tmp"  # of a process that was killed while it wrote the group's card
    left.write_text("# half a")
    again = train_group("linear", 2, name="a", epochs=2, **options)
    assert not left.exists() and (folder / "a.md").is_file()
    assert [run.name for run in again.runs] == ["a-seed0", "a-seed1"]
    with pytest.raises(RunError, match="another recipe"):
        train_group("linear", 2, name="a", epochs=3, **options)


def test_a_stopped_group_is_resumed_with_the_objects_it_was_given(small: Dataset, tmp_path: Path) -> None:
    StopAtSecond.epochs = 1
    options = {"data": small, "model": own_model, "folder": tmp_path, "epochs": 2}
    with without_figures():
        with pytest.raises(KeyboardInterrupt):
            train_group("linear", 2, name="own", watcher=StopAtSecond, **options)
        group = train_group("linear", 2, name="own", **options)
    assert [run.state for run in group.runs] == ["finished", "finished"]


def own_model() -> Any:
    from keras import Sequential, layers

    return Sequential(
        [layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10, "softmax")]
    )


def test_a_built_model_is_refused_in_one_line() -> None:
    with pytest.raises(RecipeError, match="model: got a Sequential, expected my_file.py:build or the function"):
        digitlab.train("linear", model=own_model())
