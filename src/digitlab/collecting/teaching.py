"""Fine-tuning: a trained network learns own images without forgetting what it knew.

    own images --(split by sheet or writer)--> learned from: mixed with the parent's training images, varied at random
                                           --> held back: judged before and after, image by image

It begins at the parent's weights, with a thirty-second of the learning rate they were trained with; one image in
seven is an own one, so that the others hold the network where it was. Batch normalisation keeps the parent's
statistics.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.collecting.own_images import HeldBack, OwnImages, hold_back, read_own_images
from digitlab.data import Dataset, Split, load
from digitlab.errors import DataError, RunError
from digitlab.learning.recipe import RECIPES, Recipe
from digitlab.runs.events import Stopwatch, Watcher
from digitlab.runs.folder import FORMAT, Run, write_json
from digitlab.runs.gather import dataset_of
from digitlab.runs.register import open_run
from digitlab.runs.states import State
from digitlab.runs.training import train

if TYPE_CHECKING:
    from collections.abc import Callable

OLD_IMAGES = 6000  # of the parent's training images an epoch sees; they hold the network where it was
OWN_SHARE = 0.15  # of the images of an epoch
EPOCHS = 2
RATE = 1 / 32  # of the parent's learning rate
# How images are varied where the parent's recipe does not say.
AUGMENTATION = {"shift": 1.5, "rotate": 8.0, "scale": 0.1, "shear": 0.1, "elastic": 0.5, "thickness": 0.3}


@dataclass(frozen=True)
class Judged:
    """Correct answers before and after, image by image.

    Attributes:
        samples: how many images.
        before, after: how many were read correctly.
        gained, lost: how many only after, and only before.
        interval: 95 % interval of the difference after less before, in points of a hundred; None without images.
    """

    samples: int
    before: int
    after: int
    gained: int
    lost: int
    interval: tuple[float, float] | None

    @property
    def difference(self) -> float:
        """After less before, in points of a hundred."""
        return 100 * (self.after - self.before) / self.samples if self.samples else 0.0

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `too few to tell` where the interval holds both."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "too few to tell"
        return "better" if self.interval[0] > 0 else "worse"


@dataclass(frozen=True)
class Teaching:
    """What fine-tuning did.

    Attributes:
        parent: "reader", or the parent run's name.
        learned: own images learned from.
        held_back_by: "sheet", "writer", "image", or "" where none was held back.
        own: on the own images held back.
        old: on the parent's test images.
    """

    parent: str
    learned: int
    held_back_by: str
    own: Judged
    old: Judged

    def as_dict(self) -> dict[str, Any]:
        """Turn into what `teaching.json` keeps."""
        return {
            **dataclasses.asdict(self),
            **{
                name: {**dataclasses.asdict(part), "difference": part.difference, "verdict": part.verdict}
                for name, part in (("own", self.own), ("old", self.old))
            },
        }


@dataclass(frozen=True, eq=False)
class Parent:
    """A trained network to begin from.

    Attributes:
        name: "reader", or the run's name.
        make: gives the Keras model; each call another one.
        recipe: what it was trained by.
        data: what it was trained and is judged on.
        sha256: of its file.
    """

    name: str
    make: Callable[[], Any]
    recipe: Recipe
    data: Dataset
    sha256: str


def fine_tune(
    parent: str | Path,
    data: str | Path,
    *,
    held_back: float = 0.2,
    folder: str | Path | None = None,
    name: str | None = None,
    engine: str = "auto",
    watcher: Watcher | None = None,
    stopwatch: Stopwatch | None = None,
    **changes: Any,
) -> tuple[Run, Teaching]:
    """Teach a trained network own images; the result is a run like any other, and says which run it came from.

    Args:
        parent: "reader" for the network inside, or a finished run: path, name or ``latest``.
        data: Folder of own images, as `digitlab collect` makes it.
        held_back: Share of the own images to judge by rather than to learn from; 0 learns from all of them.
        folder: Where runs live.
        name: The new run's name; else made from "taught" and the time.
        engine: "auto", "compiled" or "fit".
        watcher: Told how far it is.
        stopwatch: One that is running already.
        **changes: Fields of the recipe, as in ``epochs=4``.

    Returns:
        The finished run, and what it learned.

    Raises:
        DigitlabError: no such run or folder, classes or images that do not fit; see its kinds.

    Example:
        >>> run, teaching = fine_tune("reader", "my-digits")  # doctest: +SKIP
        >>> teaching.own.before, teaching.own.after, teaching.own.verdict  # doctest: +SKIP
        (21, 24, 'too few to tell')
    """
    from digitlab.learning.predict import predict

    begin = parent_of(parent, folder)
    own = read_own_images(data, begin.data.class_names)
    parts = hold_back(own.kept, held_back)
    if not len(parts.learn):
        raise DataError(f"{data}: no image is left to learn from. Collect more, or lower --held-back")
    settings = recipe_for(begin, len(parts.learn), changes)
    judge_own = own.images[parts.judge]
    old = begin.make()
    before_own, before_old = (predict(old, images).argmax(1) for images in (judge_own, begin.data.test.images))
    run = train(
        settings,
        data=mixed(begin.data, own, parts, settings.seed),
        begin_with=begin.make,
        about=_about(begin, own, parts, data),
        engine=engine,
        folder=folder,
        name=name,
        watcher=watcher,
        stopwatch=stopwatch,
    )
    after_own = predict(run.model, judge_own).argmax(1)
    after_old = run.predictions["test_probabilities"].argmax(1)
    teaching = Teaching(
        parent=begin.name,
        learned=len(parts.learn),
        held_back_by=parts.by,
        own=judged(own.labels[parts.judge], before_own, after_own),
        old=judged(begin.data.test.labels, before_old, after_old),
    )
    write_json(run.path / "teaching.json", {"format": FORMAT, **teaching.as_dict()})
    return run, teaching


def parent_of(reference: str | Path, folder: str | Path | None = None) -> Parent:
    """Find the network to begin from.

    Raises:
        RunError: no such run, or not finished.
    """
    if str(reference) == "reader":
        from digitlab.learning.onnx_import import keras_from_onnx
        from digitlab.reading.reader import BUNDLED

        file = BUNDLED / "digits.onnx"
        recipe = dataclasses.replace(RECIPES["tiny"], network="reader")
        return Parent("reader", lambda: keras_from_onnx(file), recipe, load(), _sha256(file))
    run = open_run(reference, folder)
    if run.state != State.FINISHED:
        raise RunError(f"{run.path}: not finished (it is {run.state}). Finish it: digitlab train --resume {run.path}")

    def make() -> Any:
        # Not `run.model`, which is read once and kept.
        return with_fixed_statistics(Run(run.path).model)

    return Parent(run.name, make, run.recipe, dataset_of(run, None), _sha256(run.path / "model.keras"))


def with_fixed_statistics(model: Any) -> Any:
    """Fix batch normalisation: with a few own images in a batch its statistics would drift from what it learned."""
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.trainable = False
    return model


def recipe_for(parent: Parent, own: int, changes: dict[str, Any]) -> Recipe:
    """The parent's recipe, changed to fine-tuning."""
    recipe = parent.recipe
    augmented = any(getattr(recipe, field) for field in AUGMENTATION)
    values: dict[str, Any] = {
        "name": "taught",
        "description": f"{parent.name}, taught {own} own images",
        "epochs": EPOCHS,
        "peak_rate": recipe.peak_rate * RATE,
        "schedule": "one-cycle",
        "average": 0.99,
        **({} if augmented else AUGMENTATION),
    }
    return dataclasses.replace(recipe, **values | changes)


def mixed(data: Dataset, own: OwnImages, parts: HeldBack, seed: int) -> Dataset:
    """The parent's data with training images changed: some of its own, and the own images, each as often as needed.

    Validation and test images stay the parent's, so that the report says what was forgotten.
    """
    rng = np.random.default_rng([seed, 3])
    count = min(OLD_IMAGES, len(data.train))
    old = rng.choice(len(data.train), count, replace=False)
    times = max(1, round(OWN_SHARE / (1 - OWN_SHARE) * count / len(parts.learn)))
    images = np.concatenate([data.train.images[old], np.tile(own.images[parts.learn], (times, 1, 1))])
    labels = np.concatenate([data.train.labels[old], np.tile(own.labels[parts.learn], times)])
    changed = dataclasses.replace(data, train=Split(images, labels))
    # The run is judged on the parent's data, and loads them again to export or evaluate: it has their hash. What was
    # mixed in has one of its own, in run.json.
    vars(changed)["sha256"] = data.sha256
    return changed


def judged(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Judged:
    """Compare two sets of answers to the same images.

    Example:
        >>> judged(np.array([1, 2, 3]), np.array([1, 0, 0]), np.array([1, 2, 0])).verdict
        'too few to tell'
    """
    from digitlab.judging.compare import tango_interval

    correct_before, correct_after = before == labels, after == labels
    gained, lost = int((correct_after & ~correct_before).sum()), int((correct_before & ~correct_after).sum())
    interval = None
    if len(labels):
        low, high = tango_interval(gained, lost, len(labels))
        interval = (100 * low, 100 * high)
    return Judged(len(labels), int(correct_before.sum()), int(correct_after.sum()), gained, lost, interval)


def teaching_of(run: Run) -> dict[str, Any] | None:
    """What a run's `teaching.json` says; None for a run that was not fine-tuned.

    Raises:
        RunError: the file is damaged.
    """
    file = run.path / "teaching.json"
    if not file.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise RunError(f"{file}: damaged ({error}); teach the run again") from None
    return found


def _about(parent: Parent, own: OwnImages, parts: HeldBack, data: str | Path) -> dict[str, Any]:
    """What run.json says of where a taught run comes from."""
    return {
        "parent": {"name": parent.name, "sha256": parent.sha256},
        "own_images": {
            "folder": str(Path(data).resolve()),
            "sha256": own.sha256,
            "writers": sorted({kept.writer for kept in own.kept if kept.writer}),
            "learned": len(parts.learn),
            "held_back": len(parts.judge),
            "held_back_by": parts.by,
        },
    }


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror}); the run is incomplete, train it anew") from None
