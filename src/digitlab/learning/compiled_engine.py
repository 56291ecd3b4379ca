"""Epochs as one compiled JAX loop; on a CPU with convolutions as matrix products, in parts that stay in cache."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from digitlab.learning.batches import LabelledImages, epoch_permutation, padded_chunks, steps_per_epoch
from digitlab.learning.dark_pixels import LitPixels
from digitlab.learning.kinds import Carry, Model, Sums, Values
from digitlab.learning.optimizer import assign_variables, ema_weights, left_by_decay, make_loss, make_optimizer
from digitlab.learning.recipe import Recipe
from digitlab.learning.state import TrainState
from digitlab.learning.step import numbers, program

# A stretch is what the device does between two looks at the clock and the keyboard.
STRETCH_SECONDS = 0.2


class CompiledTrainer:
    """Epochs as a compiled JAX loop over Keras' pure `stateless_call` and `stateless_apply`.

    Images stay on the device as uint8 (47 MB for 60,000; as float32 it would be 188 MB); each step gathers its batch
    by index. A stretch is a `while` loop with a step number to stop at, so one compiled program serves every length and
    the stretches can be fitted to the clock: a fixed-length `lax.scan` would need one program for the odd last stretch.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        training: LabelledImages,
        validation: LabelledImages | None,
        resume: TrainState | None,
    ) -> None:
        import jax

        self._model, self._recipe, self._count = model, recipe, len(training)
        self._steps = steps_per_epoch(len(training), recipe.batch_size)
        self._optimizer = make_optimizer(recipe, self._steps * recipe.epochs)
        self._optimizer.build(model.trainable_variables)
        if resume:
            variables = [*model.trainable_variables, *model.non_trainable_variables]
            assign_variables(variables, resume.weights, "weights")
            assign_variables(self._optimizer.variables, resume.optimizer, "optimizer variables")
        carry = Carry(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            [v.value for v in self._optimizer.variables],
        )
        self._whole, self._lit = carry, LitPixels.of(model, recipe, training.images)
        trained, optimizer, images = model, self._optimizer, training.images
        if self._lit:
            smaller = make_optimizer(recipe, self._steps * recipe.epochs)
            smaller.build(self._lit.model.trainable_variables)
            if self._lit.holds_all_of(carry.optimizer, smaller):
                trained, optimizer, images = self._lit.model, smaller, self._lit.rows(images)
                carry = self._lit.without(carry, smaller)
            else:
                self._lit = None
        # Copies, as the compiled loop may overwrite what it is given; NumPy's, as JAX compiles a copy for each shape.
        self._carry = jax.tree.map(np.array, carry)
        weights = None if training.weights is None else np.asarray(training.weights, np.float32)
        self._pictures = jax.device_put((images, np.asarray(training.labels, np.int32), weights))
        self._validation = validation if validation is not None and len(validation) else None
        # Arguments of the compiled program, not constants in it: so all seeds of a recipe share one program, and all
        # recipes that differ in nothing but numbers.
        self._key = jax.random.key(recipe.seed)
        self._numbers = numbers(recipe, self._steps * recipe.epochs, model)
        # The step smooths the labels itself.
        loss = make_loss(dataclasses.replace(recipe, label_smoothing=0.0))
        self._program = program(trained, recipe, optimizer, loss)
        self._judge = program(model, recipe, self._optimizer, loss).judge
        self._stretch_steps = max(1, self._steps // 20)  # a first guess; then by the clock
        self._others_compiled: threading.Thread | None = None

    def epoch(self, number: int, progress: Callable[[int, float, float], None]) -> dict[str, float]:
        """Train one epoch in stretches of about `STRETCH_SECONDS`; see `engine.Trainer`."""
        import jax

        size = min(self._recipe.batch_size, self._count)
        indices = epoch_permutation(self._recipe.seed, number, self._count)
        whole, left = divmod(self._count, size)
        sums = Sums(np.float32(0), np.int32(0))
        step = 0
        if self._others_compiled is None:
            blank = jax.tree.map(np.zeros_like, self._carry)
            self._others_compiled = threading.Thread(target=self._compile_others, args=(blank, indices[-left:], left))
            self._others_compiled.start()

        def means(images: int) -> tuple[float, float]:
            return float(sums.loss) / images, int(sums.correct) / images

        while step < whole:
            stop = min(whole, step + self._stretch_steps)
            started = time.perf_counter()
            stretch = self._program.stretch
            self._carry, sums = self._steps_of(stretch, self._carry, sums, indices, (step, stop), size)
            so_far = means(stop * size)  # waits for the stretch to end
            self._pace(stop - step, time.perf_counter() - started, first=number == 0 and step == 0)
            step = stop
            progress(step * size, *so_far)
        self._others_compiled.join()
        if left:
            # The last step takes what is left, as Keras does: a second program, for a batch of its own size.
            last = self._program.last
            self._carry, sums = self._steps_of(last, self._carry, sums, indices[whole * size :], (0, 1), left)
            progress(self._count, *means(self._count))
        if self._lit and self._recipe.weight_decay:
            self._whole = self._lit.decayed(self._whole, left_by_decay(self._recipe, self._count, number))
        loss, accuracy = means(self._count)
        return {"loss": loss, "accuracy": accuracy, **self._validate()}

    def _compile_others(self, blank: Carry, tail: np.ndarray, left: int) -> None:
        """Compile what follows the first stretch beside it, on another core, by using it on nothing."""
        model, nothing = self._model, Sums(np.float32(0), np.int32(0))
        with contextlib.suppress(Exception):  # what fails here fails again where it is used, and is told there
            if left:
                self._steps_of(self._program.last, blank, nothing, tail, (0, 0), left)
            if self._validation is not None:
                values = [[v.value for v in of] for of in (model.trainable_variables, model.non_trainable_variables)]
                images, labels, _ = next(padded_chunks(self._validation.images, self._validation.labels))
                self._judge(*values, self._numbers.label_smoothing, images, labels, 0)

    def _steps_of(
        self, run: Any, carry: Carry, sums: Sums, indices: np.ndarray, bounds: tuple[int, int], size: int
    ) -> tuple[Carry, Sums]:
        made: tuple[Carry, Sums] = run(
            carry, sums, self._key, self._numbers, self._pictures, indices, bounds, size=size
        )
        return made

    def _pace(self, steps: int, seconds: float, *, first: bool) -> None:
        """Fit the length of the next stretch to the clock; the first one was mostly compilation."""
        if not first:
            self._stretch_steps = max(1, min(self._steps, int(steps * STRETCH_SECONDS / max(seconds, 1e-6))))

    def _validate(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        loss, right = 0.0, 0
        kept, others = self._kept(), self._carry.others
        for images, labels, valid in padded_chunks(self._validation.images, self._validation.labels):
            part_loss, part_right = self._judge(kept, others, self._numbers.label_smoothing, images, labels, valid)
            loss, right = loss + float(part_loss), right + int(part_right)
        count = len(self._validation)
        return {"val_loss": loss / count, "val_accuracy": right / count}

    def _complete(self) -> Carry:
        """The carry of the whole model."""
        return self._lit.within(self._carry, self._whole) if self._lit else self._carry

    def _kept(self) -> Values:
        """Trainable values to judge and to keep."""
        carry = self._complete()
        return ema_weights(self._optimizer, carry.optimizer, self._model.trainable_variables, carry.trainable)

    def state(self) -> tuple[tuple[np.ndarray, ...], int, tuple[np.ndarray, ...]]:
        """See `engine.Trainer`."""
        trainable, others, optimizer = ([np.asarray(a) for a in part] for part in self._complete())
        return (*trainable, *others), len(trainable), tuple(optimizer)

    def kept(self) -> tuple[np.ndarray, ...]:
        """See `engine.Trainer`."""
        return tuple(np.asarray(a) for a in (*self._kept(), *self._carry.others))

    def finish(self, weights: tuple[np.ndarray, ...]) -> None:
        """See `engine.Trainer`."""
        variables = [*self._model.trainable_variables, *self._model.non_trainable_variables]
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)
