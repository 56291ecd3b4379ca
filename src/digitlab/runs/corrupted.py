"""A network judged on many sets of images made worse: in this process, or set by set somewhere else."""

from __future__ import annotations

import functools
import json
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import RunError
from digitlab.machine import usable_cores
from digitlab.processes import Mapper, Work, bind_to_a_free_core
from digitlab.runs.folder import Run
from digitlab.runs.groups import Group

# The network is compiled once in each process; a set of 10,000 images takes a second or two.
SECONDS = 3600.0
MEMORY = 1 << 40  # no more than the machine has
PACKAGES = ("digitlab", "jax", "jaxlib", "keras", "numpy", "scipy")

# A kind of corruption and its strength, from 1; None for the images as they are.
ImageSet = tuple[str, int] | None


def judge_corrupted(
    read: Callable[[np.ndarray], np.ndarray], images: np.ndarray, labels: np.ndarray, sets: Sequence[tuple[str, int]]
) -> Iterator[float]:
    """Accuracies of the images as they are, then of each set, judged in this process.

    Args:
        read: Images (n, 28, 28) uint8 to probabilities (n, k).
        images: (n, 28, 28) uint8.
        labels: (n,) uint8.
        sets: Kinds in `digitlab.judging.corruptions.CORRUPTIONS`, each with a strength from 1.
    """
    from digitlab.judging.corruptions import corrupt

    yield _accuracy(read, images, labels)
    workers = len(usable_cores())
    with ThreadPoolExecutor(workers) as pool:
        # Only a few sets ahead: all 95 at once would be 750 MB.
        waiting = deque(pool.submit(corrupt, images, *one) for one in sets[: workers + 1])
        try:
            for number in range(len(sets)):
                worse = waiting.popleft().result()
                if number + 1 + workers < len(sets):
                    waiting.append(pool.submit(corrupt, images, *sets[number + 1 + workers]))
                yield _accuracy(read, worse, labels)
        finally:
            for future in waiting:
                future.cancel()


def judge_corrupted_at(
    place: Mapper, subject: Run | Group, images: np.ndarray, labels: np.ndarray, sets: Sequence[tuple[str, int]]
) -> Iterator[float]:
    """As `judge_corrupted`, each set where `place` has room for it.

    Raises:
        RunError: a process died or was ended.
    """
    runs = subject.runs if isinstance(subject, Group) else (subject,)
    models = tuple((run.path / "model.keras").read_bytes() for run in runs)
    work = Work(
        _Judge, (models, images, labels), _judge_set, seconds=SECONDS, memory=MEMORY, ahead=2, packages=PACKAGES
    )
    for answer in place.map(work, ((one,) for one in (None, *sets))):
        if isinstance(answer, Exception):
            raise RunError(f"{subject.name}: a process that judged it {answer}. Has the machine too little memory?")
        yield float(json.loads(answer))


def _accuracy(read: Callable[[np.ndarray], np.ndarray], images: np.ndarray, labels: np.ndarray) -> float:
    return float((read(images).argmax(axis=1) == labels).mean())


class _Judge:
    """The networks as their files' content, opened when the first set comes: that takes longer than a start may."""

    def __init__(self, models: tuple[bytes, ...], images: np.ndarray, labels: np.ndarray) -> None:
        self.models, self.images, self.labels = models, images, labels
        bind_to_a_free_core()

    @functools.cached_property
    def read(self) -> Callable[[np.ndarray], np.ndarray]:
        """As `digitlab.runs.finished` has it for a run or a group."""
        from digitlab.learning.predict import predictor

        with tempfile.TemporaryDirectory() as folder:
            members = [predictor(_opened(Path(folder) / f"{i}.keras", model)) for i, model in enumerate(self.models)]
        return lambda images: np.asarray(np.mean([member(images) for member in members], axis=0, dtype=np.float32))


def _opened(file: Path, content: bytes) -> Any:
    from digitlab.learning.backend import import_keras

    file.write_bytes(content)
    return import_keras().models.load_model(file, compile=False)


def _judge_set(judge: _Judge, one: ImageSet) -> bytes:
    from digitlab.judging.corruptions import corrupt

    images = judge.images if one is None else corrupt(judge.images, *one)
    return json.dumps(_accuracy(judge.read, images, judge.labels)).encode()
