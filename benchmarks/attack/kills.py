"""SIGKILL, ENOSPC and EIO at every file operation of `train` and `resume`, the network replaced by a few NumPy lines.

    nice python benchmarks/attack/kills.py [--count 1000] [--seconds 300] [--write]

Everything else is real: the run's folder, its locks, checkpoints, the order of it all. Half of the kills at an fsync
also cut the file, as a power cut would. After each fault the same name must go on, by `resume` or by starting again,
and end with the same model, predictions, numbers and history, byte for byte, and nothing left over. Forks: not on
Windows.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import errno
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.data import Dataset, Split
from digitlab.errors import DigitlabError
from digitlab.files import write_atomically
from digitlab.learning import engine, optimizer, predict
from digitlab.learning import models as learning_models
from digitlab.learning.state import TrainState
from digitlab.runs import training
from digitlab.showing.figures import process

KEPT = ("model.keras", "model.onnx", "predictions.npz", "history.csv", "metrics.json")


def data() -> Dataset:
    """A hundred random images."""
    chance = np.random.default_rng(0)

    def split(count: int) -> Split:
        images = chance.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        return Split(images, (np.arange(count) % 10).astype(np.uint8))

    return Dataset("d", "p", tuple("0123456789"), split(50), split(20), split(30), frozenset())


class Model:
    """What `train` asks of a Keras model."""

    trainable_variables = ()
    layers = ()
    weights = np.zeros(1000)

    class optimizer:  # noqa: N801
        """Keras'."""

        @staticmethod
        def build(_: Any) -> None:
            """Nothing to build."""

    def count_params(self) -> int:
        """Some."""
        return 1

    def compile(self, **_: Any) -> None:
        """Nothing to compile."""

    def save(self, path: Path) -> None:
        """As Keras, without a rename."""
        Path(path).write_bytes(self.weights.tobytes())


class NoDrawer:
    """Draws in this process, at once."""

    def __enter__(self) -> NoDrawer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def draw(self, folder: Path, _: Any) -> None:
        """Three files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in "abc":
            write_atomically(folder / f"{name}.png", b"x" * 5000)

    def wait(self) -> None:
        """Nothing to wait for."""


def _train(
    model: Any, recipe: Any, *_: Any, resume: TrainState | None, on_epoch: Callable[..., None], **__: Any
) -> Any:
    state = resume or TrainState(0, (np.zeros(1000),), 1, (np.zeros(1000),))
    for epoch in range(state.epoch, recipe.epochs):
        weights = state.weights[0] * 0.5 + np.random.default_rng(epoch).normal(size=1000)
        history = {name: [*values, float(epoch + 1)] for name, values in state.history.items()}
        state = TrainState(epoch + 1, (weights,), 1, (weights * 2,), history)
        on_epoch(state)
    model.weights = state.weights[0]
    return state


def _predict(model: Any, images: np.ndarray) -> np.ndarray:
    seed = int(abs(model.weights[0]) * 1e6)
    values = np.abs(np.random.default_rng(seed).normal(size=(len(images), 10))).astype(np.float32)
    return np.asarray(values / values.sum(1, keepdims=True), np.float32)


def replace_the_network() -> None:
    """Put the NumPy lines where the network was."""
    engine.train = _train  # type: ignore[assignment]
    predict.predict = _predict
    optimizer.make_loss = lambda _: None  # type: ignore[assignment]
    process.Drawer = NoDrawer  # type: ignore[assignment,misc]
    learning_models.describe_layers = lambda _: []  # type: ignore[assignment]
    learning_models.first_weights = lambda _: None  # type: ignore[assignment]
    patched: dict[str, Any] = {
        "_build": lambda *_: Model(),
        "export_model": lambda model, path, *_: write_atomically(path, model.weights.tobytes() + b"onnx"),
        "report_content": lambda run, *_: _Content(run),
        "figure_content": lambda *_: None,
        "write_report": lambda path, content: write_atomically(path, f"<html>{content.run.evaluation.accuracy}"),
    }
    for name, value in patched.items():
        setattr(training, name, value)
    training.dataclasses.replace = lambda content, **_: content  # type: ignore[attr-defined]


class _Content:
    def __init__(self, run: Any) -> None:
        self.run = run


def work(folder: Path, name: str, resume: bool, dataset: Dataset) -> None:
    """Train, or resume."""
    if resume:
        training.resume(folder / name, data=dataset)
    else:
        training.train("mlp", data=dataset, folder=folder, name=name, epochs=4)


def child(
    folder: Path, name: str, resume: bool, dataset: Dataset, at: int = 0, fault: int = 0, stays: bool = False
) -> tuple[int, str, int]:
    """Do it in a fork that is struck at its `at`-th file operation; exit code, message, operations."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writes)
        content = b""
        while part := os.read(reads, 4096):
            content += part
        os.close(reads)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        message, _, count = content.decode(errors="replace").rpartition("|")
        return code, message, int(count or 0)
    code, message, done = 2, "", 0
    chance = random.Random(at)

    def strike(descriptor: int | None = None) -> None:
        nonlocal done
        done += 1
        if not at or (done != at and not (stays and done > at)):
            return
        if fault:
            raise OSError(fault, os.strerror(fault))
        if descriptor is not None and chance.random() < 0.5:
            with contextlib.suppress(OSError):  # a folder
                os.ftruncate(descriptor, chance.randrange(max(1, os.fstat(descriptor).st_size)))
        os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename", "os.remove", "os.mkdir") or str(folder) not in str(arguments[0]):
            return
        writing = event != "open" or (
            isinstance(arguments[1], str) and any(letter in arguments[1] for letter in "wax+")
        )
        if writing and not (fault and event == "os.remove"):
            strike()

    real = os.fsync

    def fsync(descriptor: int) -> None:
        strike(descriptor)
        real(descriptor)

    try:
        os.fsync = fsync  # type: ignore[assignment]
        sys.addaudithook(hear)
        work(folder, name, resume, dataset)
        code = 0
    except DigitlabError as error:
        code, message = 1, f"{error}"[:300]
    except OSError as error:
        code, message = 4, f"{error!r}"[:300]
    except BaseException as error:
        code, message = 2, f"{error!r}"[:300]
    os.write(writes, f"{message}|{done}".encode())
    os._exit(code)


def kept(run: Path) -> dict[str, bytes]:
    """What must be equal."""
    return {name: (run / name).read_bytes() for name in KEPT}


def tree(run: Path) -> list[str]:
    """Every name in a run."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*"))


def trouble(folder: Path, number: int, kind: str, at: int, whole: Path, dataset: Dataset, chance: random.Random) -> str:
    """Strike one run, go on with it; what was not as it should be, "" if nothing."""
    name, fault = f"r{number}", {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}.get(kind, 0)
    run, wanted, operations = folder / name, kept(whole), at
    code, message, _ = child(folder, name, False, dataset, at, fault, stays=bool(fault) and chance.random() < 0.5)
    try:
        if kind == "SIGKILL" and code != -signal.SIGKILL:
            return f"not killed: {code} {message}"
        if fault and code == 2:
            return f"an exception that is no line: {message}"
        if fault and code == 0 and kept(run) != wanted:
            return "says finished and is not"
        for _ in range(chance.choice([0, 1, 2])):
            resume = (run / "run.json").exists()
            child(folder, name, resume, dataset, chance.randrange(1, max(2, operations)))
        code, message, _ = child(folder, name, (run / "run.json").exists(), dataset)
        if code == 1 and "finished already" in message:
            code = 0
        if code:
            return f"does not go on: {message}"
        if kept(run) != wanted:
            return "differs: " + ", ".join(name for name in KEPT if (run / name).read_bytes() != wanted[name])
        more = set(tree(run)) ^ set(tree(whole))
        return f"left over: {' '.join(sorted(more))[:100]}" if more else ""
    finally:
        shutil.rmtree(run, ignore_errors=True)


def main() -> None:
    """Strike at one operation after another; print and perhaps write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    replace_the_network()
    dataset, chance = data(), random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="digitlab-kills-"))
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    code, message, operations = child(folder, "whole", False, dataset)
    if code:
        raise SystemExit(f"without any fault: {message}")
    child(folder, "again", False, dataset)
    if kept(folder / "whole") != kept(folder / "again"):
        raise SystemExit("two runs without any fault differ")
    tried: collections.Counter[str] = collections.Counter()
    bad: collections.Counter[tuple[str, str]] = collections.Counter()
    end = time.monotonic() + options.seconds
    number = 0
    while number < options.count and time.monotonic() < end:
        kind = ("SIGKILL", "ENOSPC", "EIO")[number % 3]
        at = 37 * (number // 3) % operations + 1  # each operation once in so many, whatever number this is stopped at
        found = trouble(folder, number, kind, at, folder / "whole", dataset, chance)
        tried[kind] += 1
        if found:
            bad[kind, re.sub(r"r?\d{2,}", "N", found)] += 1
        number += 1
    shutil.rmtree(folder, ignore_errors=True)
    rows = [[kind, f"{tried[kind]:,}", str(sum(n for (one, _), n in bad.items() if one == kind))] for kind in tried]
    print(f"{operations} file operations in a run")
    for row in rows:
        print("  ".join(row))
    print(json.dumps([[*key, count] for key, count in bad.items()], indent=1))
    if options.write and not bad:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        import results

        table = results.table(["fault", "tried", "not as it should be"], rows)
        words = f"{operations} file operations in a run of four epochs; one fault each, in turn."
        body = f"{table}\n\n{words}\n\n{results.provenance()}"
        results.write_section("attack-kills", "Attack: killed, or the disk full, at every file operation", body)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
