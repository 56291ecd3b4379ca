"""The training loop: whole stretches of an epoch compiled on JAX, or Keras' own `fit`; both give the same history.

`train` is the one door. Behind it stand two trainers with the same three methods (`epoch`, `state`, `finish`):
`CompiledTrainer` in `compiled_engine.py`, and `FitTrainer` in `fit_engine.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from digitlab.errors import RecipeError, RunError, TrainingError
from digitlab.learning.backend import import_keras, on_jax, seeded
from digitlab.learning.batches import LabelledImages
from digitlab.learning.kinds import Model
from digitlab.learning.optimizer import learning_rates
from digitlab.learning.recipe import Recipe
from digitlab.learning.state import HISTORY, TrainState

ENGINES = ("auto", "compiled", "fit")


@dataclass(frozen=True)
class Progress:
    """Where training is within an epoch: images seen, loss and accuracy so far in this epoch."""

    epoch: int
    epochs: int
    images: int
    of: int
    loss: float
    accuracy: float


class Trainer(Protocol):
    """What `train` needs of an engine."""

    def epoch(self, number: int, progress: Callable[[int, float, float], None]) -> dict[str, float]:
        """Train epoch `number` (from 0); returns loss, accuracy and, with validation, val_loss and val_accuracy."""
        ...

    def state(self) -> tuple[tuple[np.ndarray, ...], int, tuple[np.ndarray, ...]]:
        """Weights, how many of them are trainable, and the optimizer's variables, as they are now."""
        ...

    def kept(self) -> tuple[np.ndarray, ...]:
        """The model's variables as they are judged and kept, trainable ones first; averaged if the recipe says so."""
        ...

    def finish(self, weights: tuple[np.ndarray, ...]) -> None:
        """Put these weights, as from `kept`, into the Keras model."""
        ...


def check_engine(engine: str) -> None:
    """Raise a RecipeError unless it is one of `ENGINES`."""
    if engine not in ENGINES:
        raise RecipeError.of("engine", engine, f"one of {', '.join(ENGINES)}")


def train(
    model: Model,
    recipe: Recipe,
    training: LabelledImages,
    validation: LabelledImages | None = None,
    *,
    engine: str = "auto",
    resume: TrainState | None = None,
    on_epoch: Callable[[TrainState], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainState:
    """Train a Keras model by a recipe, epoch by epoch, from the start or from a state.

    Args:
        model: A built keras.Model from 0..255 images to (n, classes) probabilities; its weights are trained in place.
        recipe: Uses loss, label_smoothing, optimizer, schedule, rates, epochs, batch_size, seed.
        training: Images to learn from.
        validation: Images to measure each epoch on; never learned from.
        engine: "compiled" (JAX only), "fit" (any backend), or "auto": compiled where Keras runs on JAX.
        resume: Where to resume; must come from the same model and recipe.
        on_epoch: Called with the state after each epoch: the moment to keep it.
        on_progress: Called several times a second within an epoch.

    Returns:
        The state after the last epoch, with the whole history.

    Raises:
        RecipeError: engine "compiled" on another backend, an unknown engine, or patience without validation images.
        RunError: the state does not fit the model.
        TrainingError: the loss became NaN or infinite; the state before that epoch was kept by `on_epoch`.

    Example:
        >>> from digitlab.learning import recipe
        >>> from digitlab.learning.models import build
        >>> few = LabelledImages(np.zeros((64, 28, 28), np.uint8), np.arange(64) % 10)
        >>> changed = recipe("linear", epochs=2)
        >>> train(build(changed), changed, few).epoch
        2
    """
    check_engine(engine)
    if engine == "compiled" and not on_jax():
        raise RecipeError(
            f"'compiled' needs Keras on JAX, but it runs on {import_keras().backend.backend()}. "
            "Use --engine fit, or unset KERAS_BACKEND",
            "engine",
        )
    if recipe.patience and (validation is None or not len(validation)):
        raise RecipeError(
            f"got {recipe.patience} without validation images to be patient about. Set it to 0", "patience"
        )
    make: Any
    if engine == "compiled" or (engine == "auto" and on_jax()):
        from digitlab.learning.compiled_engine import CompiledTrainer as make  # noqa: N813
    else:
        from digitlab.learning.fit_engine import FitTrainer as make  # noqa: N813
    with seeded(recipe.seed):
        trainer: Trainer = make(model, recipe, training, validation, resume)
    state = resume or TrainState(0, *trainer.state())
    if state.epoch > recipe.epochs:
        raise RunError(f"the run has {state.epoch} finished epochs, the recipe only {recipe.epochs}")
    schedule = learning_rates(recipe, len(training))
    for number in range(state.epoch, recipe.epochs):
        if out_of_patience(state.history, recipe.patience):
            break
        started = time.perf_counter()

        def progress(images: int, loss: float, accuracy: float, number: int = number) -> None:
            if on_progress:
                on_progress(Progress(number, recipe.epochs, images, len(training), loss, accuracy))

        row = trainer.epoch(number, progress)
        if not np.isfinite(row["loss"]):
            raise TrainingError(
                f"the training loss became {row['loss']} in epoch {number + 1}; "
                f"lower --peak-rate (it is {recipe.peak_rate:g})"
            )
        row |= {"epoch": number + 1, "learning_rate": schedule(number), "seconds": time.perf_counter() - started}
        history = {name: [*state.history[name], row.get(name, float("nan"))] for name in HISTORY}
        improved = recipe.patience and best_epoch(history) == number
        state = TrainState(number + 1, *trainer.state(), history, trainer.kept() if improved else state.best)
        if on_epoch:
            on_epoch(state)
    trainer.finish(state.best or trainer.kept())
    return state


def best_epoch(history: Mapping[str, Sequence[float]]) -> int:
    """The epoch, from 0, with the best validation accuracy; of equal ones the one with the lower loss, then the first.

    Example:
        >>> best_epoch({"val_accuracy": [0.9, 0.95, 0.95], "val_loss": [0.3, 0.2, 0.1]})
        2
    """
    pairs = list(zip(history["val_accuracy"], (-loss for loss in history["val_loss"]), strict=True))
    return max(range(len(pairs)), key=pairs.__getitem__)


def out_of_patience(history: Mapping[str, Sequence[float]], patience: int) -> bool:
    """Whether the last `patience` epochs brought nothing better on validation; never, where patience is 0.

    Example:
        >>> out_of_patience({"val_accuracy": [0.9, 0.8, 0.8], "val_loss": [0.3, 0.4, 0.4]}, patience=2)
        True
    """
    done = len(history["val_accuracy"])
    return bool(patience and done) and done - 1 - best_epoch(history) >= patience
