"""Processes killed for real: a run stopped at any moment goes on bit-equal, and nothing is lost."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.command import WITHOUT_FIGURES, environment, in_process, without_figures

from digitlab.data import Dataset, Split
from digitlab.errors import RunError
from digitlab.learning import recipe
from digitlab.learning.predict import predict
from digitlab.learning.state import TrainState
from digitlab.runs import Run, recipe_file, training
from digitlab.runs.events import Watcher

EPOCHS = 12
# Dropout and batch normalisation carry state of their own, which must come back as well.
OPTIONS = [
    "mlp",
    "--epochs",
    str(EPOCHS),
    "--dropout",
    "0.3",
    "--batch-norm",
    "--batch-size",
    "8",
    "--validation",
    "100",
]


@pytest.fixture(scope="module")
def data(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(
        file,
        x_train=small.train.images,
        y_train=small.train.labels,
        x_test=small.test.images,
        y_test=small.test.labels,
    )
    return file


def start(
    *arguments: str, folder: Path, cache: Path, before: tuple[str, ...] = (), figures: bool = False
) -> subprocess.Popen[str]:
    called = ("-m", "digitlab") if figures else ("-c", WITHOUT_FIGURES)
    own = environment(DIGITLAB_RUNS=str(folder), JAX_COMPILATION_CACHE_DIR=str(cache), NO_COLOR="1")
    command = [*before, sys.executable, *called, "train", *arguments]
    return subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_epochs(process: subprocess.Popen[str], run: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        file = run / "history.csv"
        if file.exists() and len(file.read_text().splitlines()) > count:
            return
        time.sleep(0.002)
    raise AssertionError(f"no {count} epochs: {process.communicate()}")


def result(run: Path) -> tuple[list[bytes], list[str], bytes]:
    """Weights, history without its seconds, and predictions."""
    weights = [array.tobytes() for array in Run(run).model.get_weights()]
    history = [line.rpartition(",")[0] for line in (run / "history.csv").read_text().splitlines()]
    return weights, history, Run(run).predictions["test_probabilities"].tobytes()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(data: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupted; it fills the cache of compiled programs as well."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(*OPTIONS, "--data", str(data), "--name", "whole", "--json", folder=folder, cache=cache)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert summary["epochs"] == EPOCHS
    return folder / "whole"


@pytest.mark.slow
def test_killed_three_times_it_ends_bit_equal(data: Path, whole: Path, cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "victim"
    process = start(*OPTIONS, "--data", str(data), "--name", "victim", folder=tmp_path, cache=cache)
    for epochs in (1, 5, EPOCHS):  # early, in the middle, and while it judges or draws
        wait_for_epochs(process, run, epochs)
        number = signal.SIGTERM if epochs == 5 else signal.SIGKILL
        process.send_signal(number)
        err = process.communicate()[1]
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
            assert Run(run).state == "stopped"
        else:
            assert process.returncode == 143
            assert f"digitlab train --resume {run}" in err.splitlines()[-1]
            assert Run(run).state in ("interrupted", "stopped")
        process = start("--resume", "victim", "--json", folder=tmp_path, cache=cache, figures=epochs == 5)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert json.loads(out)["epochs"] == EPOCHS
    assert result(run) == result(whole)
    assert not (run / "checkpoint.npz").exists()
    assert [p.name for p in run.rglob(".*.tmp*")] == []


def _children_seconds() -> float:
    """Processor seconds of all processes that this one has started and waited for."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _processor_seconds(pid: int) -> float | None:
    """Processor seconds of a process and of those it has waited for, up to now; None where `/proc` does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(
    data: Path, whole: Path, cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "victim"
    before = _children_seconds()
    process = start(*OPTIONS, "--data", str(data), "--name", "victim", folder=tmp_path, cache=cache)
    wait_for_epochs(process, run, 2)
    asked = _processor_seconds(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    # Processor time, which a busy machine does not stretch: what it does after the signal.
    assert asked is None or _children_seconds() - before - asked < 5
    assert process.returncode == 130
    assert out == ""
    assert f"digitlab train --resume {run}" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert Run(run).state == "interrupted"
    process = start("--resume", str(run), "--quiet", folder=tmp_path, cache=cache)
    assert process.communicate(timeout=180)[1] == ""
    assert process.returncode == 0
    assert result(run) == result(whole)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_old_files_stay(data: Path, cache: Path, tmp_path: Path) -> None:
    # The kernel refuses to let any file grow beyond 200 kB (400 blocks).
    limited = ("sh", "-c", 'ulimit -f 400 && exec "$@"', "sh")
    process = start(*OPTIONS, "--data", str(data), "--name", "victim", folder=tmp_path, cache=cache, before=limited)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert err.splitlines()[-1].startswith("digitlab: ")
    assert "could not be written" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert Run(tmp_path / "victim").state == "failed"
    assert not list((tmp_path / "victim").glob("*.npz"))


class StopAfter(Watcher):
    """Ctrl-C, in this process, after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def epoch(self, state: TrainState, epochs: int) -> None:
        if state.epoch == self.epochs:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _no_figures() -> Iterator[None]:
    """In this process."""
    with without_figures():
        yield


@pytest.fixture
def stopped(data: Path, tmp_path: Path) -> Run:
    with pytest.raises(KeyboardInterrupt):
        training.train("linear", data=data, validation=100, folder=tmp_path, name="victim", watcher=StopAfter(2))
    return Run(tmp_path / "victim")


def test_a_damaged_checkpoint_is_refused_and_kept(stopped: Run) -> None:
    file = stopped.path / "checkpoint.npz"
    damaged = file.read_bytes()[:-500]
    file.write_bytes(damaged)
    history = (stopped.path / "history.csv").read_bytes()
    with pytest.raises(RunError, match="damaged checkpoint"):
        training.resume(stopped.path)
    assert file.read_bytes() == damaged
    assert (stopped.path / "history.csv").read_bytes() == history
    assert stopped.state == "interrupted"


def test_changed_data_is_refused(stopped: Run, data: Path) -> None:
    source = Path(stopped.info["data"]["source"])
    good = source.read_bytes()
    with np.load(io.BytesIO(good)) as arrays:
        changed = {name: arrays[name].copy() for name in arrays.files}
    changed["x_train"][0, 0, 0] ^= 1
    try:
        np.savez(source, **changed)
        with pytest.raises(RunError, match="is not what it was trained on"):
            training.resume(stopped.path)
    finally:
        source.write_bytes(good)
    assert training.resume(stopped.path).state == "finished"
    with pytest.raises(RunError, match="finished already"):
        training.resume(stopped.path)


def test_a_changed_model_file_is_refused(data: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    code = """
import keras

def build():
    return keras.Sequential([keras.Input((28, 28)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                             keras.layers.Dense(10, activation="softmax")])
"""
    own.write_text(code)
    with pytest.raises(KeyboardInterrupt):
        training.train(
            model=f"{own}:build", data=data, validation=100, folder=tmp_path, name="victim", watcher=StopAfter(1)
        )
    own.write_text(code + "# another\n")
    with pytest.raises(RunError, match="changed since it began"):
        training.resume("victim", folder=tmp_path)
    own.write_text(code)
    assert training.resume("victim", folder=tmp_path).info["recipe"]["name"] == "own"


def test_only_trained_it_never_sees_the_test_images_and_is_judged_later(small: Dataset, tmp_path: Path) -> None:
    blind = dataclasses.replace(small, test=Split(small.test.images[:0], small.test.labels[:0]))
    run = training.train("linear", data=blind, epochs=1, judge=False, folder=tmp_path, name="blind")
    assert run.state == "trained" and not (run.path / "figures").exists()
    assert {p.name for p in run.path.iterdir()} == {"run.json", "history.csv", "checkpoint.npz", "model.keras", ".lock"}

    run = training.train("linear", data=small, epochs=1, judge=False, folder=tmp_path, name="later")
    with pytest.raises(RunError, match="it is trained"):
        _ = run.evaluation
    probabilities = predict(run.model, small.test.images)
    judged = training.resume(run.path, data=small)
    assert judged.state == "finished"
    np.testing.assert_array_equal(judged.predictions["test_probabilities"], probabilities)


def test_a_recipe_from_a_file_is_trained(data: Path, tmp_path: Path) -> None:
    recipe_file.save_recipe(recipe("linear", epochs=1, peak_rate=0.003), tmp_path / "best.json")
    options = ["--data", str(data), "--runs", str(tmp_path), "--name", "again", "--quiet", "--validation", "100"]
    done = in_process("train", "--recipe", "best.json", "--seed", "4", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Run(tmp_path / "again").recipe == recipe("linear", epochs=1, peak_rate=0.003, seed=4)
    (tmp_path / "best.json").write_text("{}")
    done = in_process("train", "--recipe", "best.json", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("digitlab: best.json: no recipe in it; expected")
