"""SIGKILL, ENOSPC and EIO at every file operation of train, resume, a group, export, report and collect.

    nice python benchmarks/attack/kills.py [--count 1000] [--seconds 300] [--write]

The network is a few NumPy lines; everything else is real: the run's folder, its locks, checkpoints, the order of it
all. Half of the kills at an fsync also cut the file, as a power cut would. After each fault the run is resumed, or the
same command given again, and must end with the same files, byte for byte, and nothing left over; at once after the
fault each file that was there is whole, old or new. Forks: not on Windows. With TMPDIR on a file system in memory an
fsync costs nothing, and a thousand faults take minutes.
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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from workplace import workplace

from digitlab.collecting.collection import Collection, Labelled
from digitlab.data import Dataset, Split
from digitlab.errors import DigitlabError
from digitlab.files import write_atomically
from digitlab.learning import describe as learning_describe
from digitlab.learning import engine, optimizer, predict
from digitlab.learning.state import TrainState
from digitlab.processes.inside import end_with_parent
from digitlab.runs import finished, group_training, training
from digitlab.runs.folder import Run
from digitlab.showing import figures, model_card
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

    def draw(self, folder: Path, *_: Any) -> None:
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
    learning_describe.describe_layers = lambda _: []  # type: ignore[assignment]
    learning_describe.first_weights = lambda _: None  # type: ignore[assignment]
    patched: dict[str, Any] = {
        "_build": lambda *_: Model(),
        "export_model": lambda model, path, *_: write_atomically(path, model.weights.tobytes() + b"onnx"),
        "report_content": lambda run, *_: _Content(run),
        "early_content": lambda *_: None,
        "figure_content": lambda *_: None,
        "write_report": lambda path, content: write_atomically(path, f"<html>{content.run.evaluation.accuracy}"),
    }
    for name, value in patched.items():
        for module in (training, finished, group_training):
            if hasattr(module, name):
                setattr(module, name, value)
    model_card.model_card = lambda *_, **__: "# a card"
    figures.save_figures = _save_figures
    Run.model = property(lambda _: Model())  # type: ignore[assignment]
    training.dataclasses.replace = lambda content, **_: content  # type: ignore[attr-defined]


def _save_figures(folder: Any, content: Any, names: Any = ()) -> list[Path]:
    NoDrawer().draw(Path(folder), content, names)
    return []


class _Content:
    def __init__(self, run: Any) -> None:
        self.run = run


def work(folder: Path, name: str, resume: bool, dataset: Dataset) -> None:
    """Train, or resume."""
    if resume:
        training.resume(folder / name, data=dataset)
    else:
        training.train("mlp", data=dataset, folder=folder, name=name, epochs=4)


def group(folder: Path, dataset: Dataset) -> None:
    """Two seeds, one after the other; the same call goes on with what is there."""
    group_training.train_group("mlp", 2, data=dataset, folder=folder, name="g", epochs=2)


def export(folder: Path, dataset: Dataset) -> None:
    """The model file of a finished run, written anew."""
    finished.export(folder / "whole", "onnx", data=dataset)


def report(folder: Path, dataset: Dataset) -> None:
    """Figures, report and card of a finished run, written anew."""
    finished.report(folder / "whole", data=dataset)


def collect(folder: Path, dataset: Dataset) -> None:
    """Twenty images of one photo into a collection."""
    items = [Labelled(dataset.train.images[i], i % 10, f"r0c{i:02}", (0, 0, 9, 9)) for i in range(20)]
    Collection(folder / "own").add(items, writer="anna", origin="sheet", source="a.jpg", digest="ab12" * 16)


# Each is called again after a fault, and then must have done what it does without one.
JOBS: dict[str, Callable[[Path, Dataset], None]] = {
    "a group of two": group,
    "export": export,
    "report": report,
    "collect": collect,
}


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks, without what says when it was made."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (".lock", "run.json"):
            found[str(path.relative_to(folder))] = re.sub(rb'"added": "[^"]*"', b"", path.read_bytes())
    return found


def job_trouble(
    folder: Path, job: Callable[[Path, Dataset], None], kind: str, at: int, start: Path | None,
    wanted: dict[str, bytes], dataset: Dataset, chance: random.Random,
) -> str:  # fmt: skip
    """Strike one job, do it again; what was not as it should be, "" if nothing."""
    fault = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}.get(kind, 0)
    folder.mkdir()
    try:
        if start is not None:
            shutil.copytree(start, folder / start.name)
        before = everything(folder)
        code, message, _ = child(folder, lambda: job(folder, dataset), at, fault, bool(fault) and chance.random() < 0.5)
        if kind == "SIGKILL" and code != -signal.SIGKILL:
            return f"not killed: {code} {message}"
        if fault and code == 2:
            return f"an exception that is no line: {message}"
        after = everything(folder)
        harmed = [name for name in before if after.get(name) not in (before[name], wanted.get(name))]
        if harmed:
            return f"harmed: {' '.join(harmed)[:100]}"
        code, message, _ = child(folder, lambda: job(folder, dataset))
        if code:
            return f"does not go on: {message}"
        found = everything(folder)
        differ = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        return f"differs: {' '.join(differ)[:100]}" if differ else ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def child(
    folder: Path, do: Callable[[], None], at: int = 0, fault: int = 0, stays: bool = False
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
    end_with_parent()
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
        do()
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

    def again(resume: bool) -> Callable[[], None]:
        return lambda: work(folder, name, resume, dataset)

    code, message, _ = child(folder, again(False), at, fault, stays=bool(fault) and chance.random() < 0.5)
    try:
        if kind == "SIGKILL" and code != -signal.SIGKILL:
            return f"not killed: {code} {message}"
        if fault and code == 2:
            return f"an exception that is no line: {message}"
        if fault and code == 0 and kept(run) != wanted:
            return "says finished and is not"
        for _ in range(chance.choice([0, 1, 2])):
            resume = (run / "run.json").exists()
            child(folder, again(resume), chance.randrange(1, max(2, operations)))
        code, message, _ = child(folder, again((run / "run.json").exists()))
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


Tried = collections.Counter[tuple[str, str]]
Bad = collections.Counter[tuple[str, str, str]]


def campaign(
    folder: Path, dataset: Dataset, chance: random.Random, most: int, seconds: float
) -> tuple[int, dict[str, int], Tried, Bad]:
    """Strike at one operation after another: faults, operations of each job, faults of each kind, what went wrong."""
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    code, message, operations = child(folder, lambda: work(folder, "whole", False, dataset))
    if code:
        raise SystemExit(f"without any fault: {message}")
    work(folder, "again", False, dataset)  # in this process, so that no fork need import what it imported
    if kept(folder / "whole") != kept(folder / "again"):
        raise SystemExit("two runs without any fault differ")
    counts, wanted = {"train and resume": operations}, {}
    for what, job in JOBS.items():
        start, place = (folder / "whole" if what in ("export", "report") else None), folder / "model-of-it"
        place.mkdir()
        if start:
            shutil.copytree(start, place / start.name)
        code, message, counts[what] = child(place, lambda job=job, place=place: job(place, dataset))  # type: ignore[misc]
        if code:
            raise SystemExit(f"{what}, without any fault: {message}")
        wanted[what] = everything(place)
        shutil.rmtree(place)
    tried: Tried = collections.Counter()
    bad: Bad = collections.Counter()
    end = time.monotonic() + seconds
    number = 0
    while number < most and time.monotonic() < end:
        kind, what = (
            ("SIGKILL", "ENOSPC", "EIO")[number % 3],
            ["train and resume", *JOBS][number // 3 % (1 + len(JOBS))],
        )
        at = 37 * (number // 15) % counts[what] + 1  # each operation once in so many, whatever number this stops at
        if what in JOBS:
            start = folder / "whole" if what in ("export", "report") else None
            found = job_trouble(folder / f"r{number}", JOBS[what], kind, at, start, wanted[what], dataset, chance)
        else:
            found = trouble(folder, number, kind, at, folder / "whole", dataset, chance)
        tried[what, kind] += 1
        if found:
            bad[what, kind, re.sub(r"r?\d{2,}", "N", found)] += 1
        number += 1
    return number, counts, tried, bad


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
    with workplace() as folder:
        number, counts, tried, bad = campaign(folder, dataset, chance, options.count, options.seconds)
    kinds = ("SIGKILL", "ENOSPC", "EIO")
    rows = [
        [what, str(counts[what]), *(f"{tried[what, kind]:,}" for kind in kinds),
         str(sum(n for (one, _, __), n in bad.items() if one == what))]
        for what in counts
    ]  # fmt: skip
    for row in rows:
        print("  ".join(row))
    print(json.dumps([[*key, count] for key, count in bad.items()], indent=1))
    if options.write and not bad:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        import results

        table = results.table(["what", "file operations", *kinds, "not as it should be"], rows)
        words = f"{number:,} faults, at the operations in turn; 1,000 were wanted."
        words += f" The machine had other work: load {os.getloadavg()[0]:.1f}."
        body = f"{table}\n\n{words}\n\n{results.provenance()}"
        results.write_section("attack-kills", "Attack: killed, or the disk full, at every file operation", body)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
