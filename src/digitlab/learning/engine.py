"""The training loop: whole stretches of an epoch compiled on JAX, or Keras' own `fit`; both give the same history.

`train` is the one door. Behind it stand two trainers with the same three methods (`epoch`, `state`, `finish`):
`CompiledTrainer` in `compiled_engine.py`, and `FitTrainer` in `fit_engine.py`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from digitlab.errors import RecipeError, RunError
from digitlab.learning.backend import import_keras, on_jax, seeded
from digitlab.learning.recipe import Recipe
from digitlab.learning.schedule import one_cycle
from digitlab.learning.state import HISTORY, TrainState

ENGINES = ("auto", "compiled", "fit")

# A stretch is what the device does between two looks at the clock and the keyboard.
STRETCH_SECONDS = 0.2


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a trainer learns from.

    Attributes:
        images: (n, 28, 28) uint8 with ink bright on 0; or rows of numbers (n, features), for a model that takes those.
        labels: (n,) integers 0..classes-1.
        weights: (n,) how much each image counts in the loss, of mean 1; None: all the same.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


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


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch sees the training images: a permutation of 0..count-1, (count,) int32.

    Drawn from seed and epoch number alone, so that a resumed run repeats it without having to keep a generator.

    Example:
        >>> order(0, 3, 5).tolist() == order(0, 3, 5).tolist() != order(0, 4, 5).tolist()
        True
    """
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Steps of an epoch; the last one takes what is left, as in Keras."""
    return -(-count // batch_size)


def make_optimizer(recipe: Recipe, steps: int) -> Any:
    """The recipe's Keras optimizer for a run of `steps` steps in all."""
    keras = import_keras()
    rate: Any = recipe.peak_rate
    if recipe.schedule == "one-cycle":
        rate = one_cycle(recipe.peak_rate, int(recipe.warmup * steps), steps)
    extra: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if recipe.optimizer == "sgd" else {}
    config = {"learning_rate": rate, "weight_decay": recipe.weight_decay or None, **extra}
    if recipe.optimizer == "adamw":
        config["weight_decay"] = recipe.weight_decay
    if recipe.average:
        # The averages are among the optimizer's variables, so a checkpoint has them like everything else.
        config |= {"use_ema": True, "ema_momentum": recipe.average}
    return keras.optimizers.get({"class_name": recipe.optimizer, "config": config})


def make_loss(recipe: Recipe) -> Any:
    """The recipe's Keras loss; it takes probabilities (n, k) and integer labels, or one-hot ones if categorical."""
    keras = import_keras()
    if recipe.loss == "categorical_crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy()


def check_engine(engine: str) -> None:
    """Raise a RecipeError unless it is one of `ENGINES`."""
    if engine not in ENGINES:
        raise RecipeError(f"engine: got {engine!r}, expected one of {', '.join(ENGINES)}")


def train(
    model: Any,
    recipe: Recipe,
    training: Pictures,
    validation: Pictures | None = None,
    *,
    engine: str = "auto",
    resume: TrainState | None = None,
    on_epoch: Callable[[TrainState], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainState:
    """Train a Keras model by a recipe, epoch by epoch, from the start or from a state.

    Args:
        model: A built keras.Model from 0..255 pictures to (n, classes) probabilities; its weights are trained in place.
        recipe: Uses loss, label_smoothing, optimizer, schedule, rates, epochs, batch_size, seed.
        training: Pictures to learn from.
        validation: Pictures to measure each epoch on; never learned from.
        engine: "compiled" (JAX only), "fit" (any backend), or "auto": compiled where Keras runs on JAX.
        resume: Go on from here; must come from the same model and recipe.
        on_epoch: Called with the state after each epoch: the moment to keep it.
        on_progress: Called several times a second within an epoch.

    Returns:
        The state after the last epoch, with the whole history.

    Raises:
        RecipeError: engine "compiled" on another backend, an unknown engine, or patience without validation images.
        RunError: the state does not fit the model.
        FloatingPointError: the loss became NaN or infinite; the state before that epoch was kept by `on_epoch`.

    Example:
        >>> from digitlab.learning import recipe
        >>> from digitlab.learning.models import build
        >>> few = Pictures(np.zeros((64, 28, 28), np.uint8), np.arange(64) % 10)
        >>> changed = recipe("linear", epochs=2)
        >>> train(build(changed), changed, few).epoch
        2
    """
    check_engine(engine)
    if engine == "compiled" and not on_jax():
        raise RecipeError(
            f"engine: 'compiled' needs Keras on JAX, but it runs on {import_keras().backend.backend()}. "
            "Use --engine fit, or unset KERAS_BACKEND"
        )
    if recipe.patience and (validation is None or not len(validation)):
        raise RecipeError(f"patience: got {recipe.patience} without validation images to be patient about. Set it to 0")
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
    schedule = _learning_rate(recipe, len(training))
    for number in range(state.epoch, recipe.epochs):
        if out_of_patience(state.history, recipe.patience):
            break
        started = time.perf_counter()

        def progress(images: int, loss: float, accuracy: float, number: int = number) -> None:
            if on_progress:
                on_progress(Progress(number, recipe.epochs, images, len(training), loss, accuracy))

        row = trainer.epoch(number, progress)
        if not np.isfinite(row["loss"]):
            raise FloatingPointError(
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


def _learning_rate(recipe: Recipe, count: int) -> Callable[[int], float]:
    """The learning rate of an epoch's last step, by the epoch's number."""
    steps = steps_per_epoch(count, recipe.batch_size)
    rate = make_optimizer(recipe, steps * recipe.epochs)._learning_rate

    def at(number: int) -> float:
        last = (number + 1) * steps - 1
        return float(rate(last)) if callable(rate) else float(rate)

    return at


def averaged(optimizer: Any, state: list[Any], variables: list[Any], values: list[Any]) -> list[Any]:
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


def restore(variables: list[Any], values: tuple[np.ndarray, ...], what: str) -> None:
    """Assign saved arrays to Keras variables.

    Raises:
        RunError: count or shapes differ, so the state is not of this model.
    """
    shapes, saved = [tuple(v.shape) for v in variables], [v.shape for v in values]
    if shapes != saved:
        raise RunError(f"the checkpoint's {what} have shapes {saved}, the model's {shapes}: not of the same recipe")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def chunks(images: np.ndarray, labels: np.ndarray | None = None, size: int = 1000) -> Any:
    """Cut pictures into equal chunks, the last one padded with blanks, so that one compiled program serves them all.

    Yields:
        (images, labels, number of valid ones) a chunk.
    """
    for start in range(0, len(images), size):
        part = images[start : start + size]
        some = np.zeros(len(part), np.int32) if labels is None else np.asarray(labels[start : start + size], np.int32)
        missing = min(size, len(images)) - len(part) if len(images) < size else size - len(part)
        yield (
            np.pad(part, ((0, missing), *((0, 0) for _ in part.shape[1:]))),
            np.pad(some, (0, missing)),
            len(part),
        )


def predict(model: Any, images: np.ndarray) -> np.ndarray:
    """Class probabilities of a Keras model, on whatever backend it runs.

    Sigmoid outputs are divided by their sum, which is what the loss does with them on JAX, so that they are judged as
    the probabilities they were trained to be.

    Args:
        model: A keras.Model that takes 0..255 pictures.
        images: (n, 28, 28) uint8.

    Returns:
        (n, classes) float32, each row summing to 1.
    """
    return predictor(model)(images)


def predictor(model: Any, weights: Sequence[np.ndarray] | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """What `predict` does, for many sets of images: the network is compiled once and not for each of them.

    Args:
        model: A keras.Model that takes 0..255 pictures; its weights as they are now.
        weights: To take the place of the model's own, trainable ones first; the model is left as it is.

    Returns:
        A function of (n, 28, 28) uint8, or of rows (n, features) for a model that takes those, that returns
        (n, classes) float32, each row summing to 1.
    """
    call = _forward(model, weights)

    def probabilities(images: np.ndarray) -> np.ndarray:
        if not len(images):
            return np.zeros((0, model.output_shape[-1]), np.float32)
        # Fewer images than a chunk are filled up to a power of two, so that not every number of them compiles anew.
        size = min(1000, 1 << (len(images) - 1).bit_length())
        rows = [np.asarray(call(part))[:valid] for part, _, valid in chunks(images, size=size)]
        outputs = np.concatenate(rows).astype(np.float32)
        # A sigmoid network may put 0 on everything; it then knows nothing, which is 1/k each.
        total = outputs.sum(1, keepdims=True, dtype=np.float64)
        return np.where(total > 0, outputs / np.where(total > 0, total, 1), 1 / outputs.shape[1]).astype(np.float32)

    return probabilities


def _forward(model: Any, weights: Sequence[np.ndarray] | None = None) -> Callable[[np.ndarray], Any]:
    """The model's forward pass, compiled where it runs on JAX: once for all models of the same layers."""
    if not on_jax():
        keras = import_keras()
        shape = model.input_shape[1:]
        if weights is not None:
            for v, value in zip((*model.trainable_variables, *model.non_trainable_variables), weights, strict=True):
                v.assign(value)
        return lambda part: keras.ops.convert_to_numpy(
            model(part.reshape(-1, *shape).astype(np.float32), training=False)
        )
    from digitlab.learning.step import forward

    values = weights or [v.value for v in (*model.trainable_variables, *model.non_trainable_variables)]
    count = len(model.trainable_variables)
    return functools.partial(forward(model), values[:count], values[count:])
