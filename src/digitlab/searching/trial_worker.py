"""A process that trains trials handed to it: it knows the images and what a trial has to reach, not the study."""

from __future__ import annotations

import functools
import json
from typing import Any

from digitlab.data import Dataset, load
from digitlab.errors import TrainingError
from digitlab.learning.recipe import Recipe
from digitlab.processes import bind_to_a_free_core
from digitlab.runs.events import Epoch
from digitlab.searching.study import validation_accuracy, warmup
from digitlab.startup import import_keras_quickly


class TrialData:
    """What trials are trained on; the bundled images are loaded when the first one comes."""

    def __init__(self, data: Dataset | None, validation: int, engine: str) -> None:
        self.data, self.validation, self.engine = data, validation, engine
        bind_to_a_free_core()
        import_keras_quickly()

    @functools.cached_property
    def images(self) -> Dataset:
        """Those sent, or those that lie with digitlab."""
        return self.data or load(validation=self.validation)


class _TooPoor(Exception):  # noqa: N818  (no error: the end of a trial)
    pass


def train_trial(data: TrialData, fields: dict[str, Any], to_reach: dict[int, float]) -> bytes:
    """Train a trial: the accuracies after its epochs, and what it is judged by, None if it was stopped or diverged."""
    from digitlab.learning.models import build

    recipe = Recipe.from_dict(fields)
    accuracies: list[float] = []

    def on_epoch(ended: Epoch) -> None:
        accuracies.append(ended.values["val_accuracy"])
        may_end = warmup(recipe.epochs) <= ended.epoch < recipe.epochs
        if may_end and ended.epoch in to_reach and max(accuracies) < to_reach[ended.epoch]:
            raise _TooPoor

    judged = None
    try:
        model = build(recipe, len(data.images.class_names))
        judged = validation_accuracy(model, recipe, data.images, data.engine, on_epoch)
    except (_TooPoor, TrainingError):
        pass
    return json.dumps({"accuracies": accuracies, "accuracy": judged}).encode()
