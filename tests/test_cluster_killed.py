"""A real Dask cluster: workers killed and late, Ctrl-C, a restarted scheduler; the numbers are those of one machine."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import in_process, without_figures
from helpers.dask_cluster import DaskProcesses, slow_echo

import digitlab
from digitlab.data import Dataset, Split
from digitlab.errors import ProcessError
from digitlab.learning.models import build
from digitlab.processes import Work
from digitlab.runs.cluster import Cluster
from digitlab.runs.events import Epoch, Event
from digitlab.runs.finished import evaluate_corrupted
from digitlab.runs.folder import Run
from digitlab.runs.group_training import train_group
from digitlab.runs.parcels import ARRIVING
from digitlab.searching.study import validation_accuracy
from digitlab.searching.trial_worker import TrialData, train_trial
from digitlab.searching.tuning import tune

# On the workers an epoch takes a fifth of a second and more: long enough to be killed in the middle.
EPOCHS = 30


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with DaskProcesses(tmp_path_factory.mktemp("dask")) as processes:
        processes.start_worker()
        processes.start_worker()
        yield processes


@pytest.mark.slow
def test_runs_survive_a_killed_worker_ctrl_c_and_another_cluster(
    dask: DaskProcesses, small: Dataset, tmp_path: Path
) -> None:
    data = tmp_path / "small.npz"
    np.savez(
        data,
        x_train=small.train.images,
        y_train=small.train.labels,
        x_test=small.test.images,
        y_test=small.test.labels,
    )
    options: dict[str, Any] = {"data": data, "validation": 100, "folder": tmp_path / "runs"}
    with without_figures():
        alone = train_group("linear", 2, name="alone", epochs=EPOCHS, **options)
    heard: dict[str, list[int]] = {"g-seed0": [], "g-seed1": []}
    killed, stopped = threading.Event(), threading.Event()

    def on_event(name: str, event: Event) -> None:
        if isinstance(event, Epoch):
            heard[name].append(event.epoch)
        if all(heard.values()) and not killed.is_set():
            killed.set()
            dask.kill_worker()
            dask.start_worker()  # comes late, and trains what the other one had begun
        begun_anew = [epochs for epochs in heard.values() if epochs.count(1) > 1]
        if not stopped.is_set() and any(epochs[-1] == 2 for epochs in begun_anew):
            stopped.set()
            os.kill(os.getpid(), signal.SIGINT)

    with Cluster(dask.address) as cluster, pytest.raises(KeyboardInterrupt):
        train_group("linear", 2, name="g", epochs=EPOCHS, place=cluster, on_event=on_event, **options)
    assert killed.is_set()
    runs = [Run(tmp_path / "runs" / name) for name in heard]
    assert {run.state for run in runs} <= {"interrupted", "finished"}
    assert any((run.path / "checkpoint.npz").exists() for run in runs)
    # The run that was begun anew was stopped in the middle; the other one may have come to its end meanwhile.
    kept = [run.checkpoint().epoch for run in runs if (run.path / "checkpoint.npz").exists()]
    assert any(2 <= epoch < EPOCHS for epoch in kept), kept

    command = ["train", "linear", "--epochs", str(EPOCHS), "--seeds", "2", "--name", "g", "--data", str(data)]
    command += ["--validation", "100", "--runs", str(tmp_path / "runs"), "--scheduler", dask.address]
    done = in_process(*command, "--quiet", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seeds"] == [0, 1]
    for run, own in zip(runs, alone.runs, strict=True):
        assert run.state == "finished" and run.info["data"] == own.info["data"]
        assert run.info["machine"]["cores"] == 1
        np.testing.assert_array_equal(run.predictions["test_probabilities"], own.predictions["test_probabilities"])
        assert run.history["loss"] == own.history["loss"]
        assert not (run.path / "checkpoint.npz").exists()
    assert not (tmp_path / "runs" / ARRIVING).exists()


@pytest.mark.slow
def test_worse_images_and_trials_are_judged_elsewhere_as_here(
    dask: DaskProcesses, small: Dataset, tmp_path: Path
) -> None:
    few = dataclasses.replace(small, train=Split(small.train.images[:400], small.train.labels[:400]))
    with without_figures():
        run = digitlab.train("linear", data=few, epochs=1, folder=tmp_path)
    there: list[tuple[int, int]] = []
    options: dict[str, Any] = {"data": few, "kinds": ["rotation"]}
    with Cluster(dask.address) as cluster:
        far = evaluate_corrupted(run, place=cluster, progress=lambda *done: there.append(done), **options)
        found = tune(
            "linear", trials=2, seeds=0, study="far", data=few, epochs=2, folder=tmp_path, place=cluster,
            fix={"batch_size": "200", "augmentation": "", "hidden": ""},
        )  # fmt: skip
    assert far.to_dict() == evaluate_corrupted(run, **options).to_dict()
    assert there[-1] == (len(there), len(there))
    assert [(trial.number, trial.state, trial.epochs) for trial in found.trials] == [
        (n, "complete", 2) for n in range(2)
    ]
    for trial in found.trials:
        alone = validation_accuracy(build(trial.recipe), trial.recipe, few, "auto", lambda *_: None)
        assert trial.accuracy == pytest.approx(alone)


def test_a_trial_too_poor_for_the_medians_it_took_along_ends_early(small: Dataset) -> None:
    data = TrialData.__new__(TrialData)  # unlike a worker's it binds this process to no core
    data.data, data.validation, data.engine = small, len(small.validation), "auto"
    fields = digitlab.recipe("linear", epochs=5).to_dict()
    poor = json.loads(train_trial(data, fields, {1: 1.0, 2: 1.0}))
    assert poor["accuracy"] is None and len(poor["accuracies"]) == 1  # a fifth of five epochs
    good = json.loads(train_trial(data, fields, {1: 0.0, 2: 0.0}))
    assert good["accuracy"] == good["accuracies"][-1] and len(good["accuracies"]) == 5


@pytest.mark.slow
def test_pieces_survive_a_restarted_scheduler(dask: DaskProcesses) -> None:
    """With it go its workers and everything it knew; what was answered is not asked again."""
    contents = [str(number).encode() for number in range(30)]
    contents[17] = b"dies"
    answers: list[bytes | ProcessError] = []
    with Cluster(dask.address) as cluster:
        for answer in cluster.map(Work(str, ("piece ",), slow_echo), ((content,) for content in contents)):
            answers.append(answer)
            if len(answers) == 3:
                dask.kill_all()
                dask.start_scheduler()
                dask.start_worker()
    died = answers.pop(17)
    assert isinstance(died, ProcessError) and "SIGABRT" in str(died)
    assert answers == [b"piece " + content for content in contents if content != b"dies"]
