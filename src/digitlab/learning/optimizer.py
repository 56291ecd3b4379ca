"""The recipe's optimizer and loss as Keras objects, and the averaged weights that the optimizer keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from digitlab.errors import RunError
from digitlab.learning.backend import import_keras
from digitlab.learning.batches import steps_per_epoch
from digitlab.learning.kinds import Loss, Optimizer, Schedule, Values, Variable
from digitlab.learning.recipe import Recipe
from digitlab.learning.schedule import one_cycle


def make_optimizer(recipe: Recipe, steps: int) -> Optimizer:
    """The recipe's Keras optimizer for a run of `steps` steps in all."""
    keras = import_keras()
    extra: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if recipe.optimizer == "sgd" else {}
    config = {"learning_rate": _learning_rate(recipe, steps), "weight_decay": recipe.weight_decay or None, **extra}
    if recipe.optimizer == "adamw":
        config["weight_decay"] = recipe.weight_decay
    if recipe.average:
        # The averages are among the optimizer's variables, so a checkpoint has them like everything else.
        config |= {"use_ema": True, "ema_momentum": recipe.average}
    return keras.optimizers.get({"class_name": recipe.optimizer, "config": config})


def _learning_rate(recipe: Recipe, steps: int) -> Schedule:
    """A Keras schedule, or the number that it is all along."""
    if recipe.schedule == "one-cycle":
        return one_cycle(recipe.peak_rate, int(recipe.warmup * steps), steps)
    return recipe.peak_rate


def learning_rates(recipe: Recipe, count: int) -> Callable[[int], float]:
    """The learning rate of an epoch's last step, by the epoch's number."""
    steps = steps_per_epoch(count, recipe.batch_size)
    rate = _learning_rate(recipe, steps * recipe.epochs)

    def at(number: int) -> float:
        last = (number + 1) * steps - 1
        return float(rate(last)) if callable(rate) else float(rate)

    return at


def left_by_decay(recipe: Recipe, count: int, number: int) -> float:
    """What weight decay by itself leaves of a weight in epoch `number`: 0..1, unless training diverges.

    Args:
        recipe: Uses weight_decay and the schedule; the decay is Keras', each step by its times the learning rate.
        count: Training images.
        number: Of the epoch, from 0.

    Example:
        >>> decaying = Recipe(peak_rate=0.1, schedule="constant", weight_decay=0.5, batch_size=8)
        >>> left_by_decay(decaying, count=16, number=0)
        0.9025
    """
    steps = steps_per_epoch(count, recipe.batch_size)
    rate = _learning_rate(recipe, steps * recipe.epochs)
    rates = np.asarray(rate(np.arange(number * steps, (number + 1) * steps)) if callable(rate) else [rate] * steps)
    with np.errstate(over="ignore", invalid="ignore"):  # of training that diverges
        return float(np.prod(1 - recipe.weight_decay * rates.astype(np.float64)))


def make_loss(recipe: Recipe) -> Loss:
    """The recipe's Keras loss; it takes probabilities (n, k) and integer labels, or one-hot ones if categorical."""
    keras = import_keras()
    if recipe.loss == "categorical_crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy()


def ema_weights(optimizer: Optimizer, state: Values, variables: list[Variable], values: Values) -> Values:
    """The trainable values that are judged and kept: the running mean over the steps where the recipe has one.

    Args:
        optimizer: As from `make_optimizer`, built.
        state: Values of its variables.
        variables: The model's trainable variables.
        values: Their values after the last step.
    """
    if not optimizer.use_ema:
        return values
    pairs = [*zip(optimizer.variables, state, strict=True), *zip(variables, values, strict=True)]
    with import_keras().StatelessScope(state_mapping=pairs) as scope:
        type(optimizer).finalize_variable_values(optimizer, variables)  # past what FitTrainer puts in its place
    return [scope.get_current_value(variable) for variable in variables]


def assign_variables(variables: list[Variable], values: tuple[np.ndarray, ...], what: str) -> None:
    """Assign saved arrays to Keras variables.

    Raises:
        RunError: count or shapes differ, so the state is not of this model.
    """
    shapes, saved = [tuple(v.shape) for v in variables], [v.shape for v in values]
    if shapes != saved:
        raise RunError(f"the checkpoint's {what} have shapes {saved}, the model's {shapes}: not of the same recipe")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
