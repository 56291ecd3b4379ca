"""Epochs as one compiled JAX loop; on a CPU with convolutions as matrix products, in parts that stay in cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from digitlab.learning import augment
from digitlab.learning.batches import LabelledImages, epoch_permutation, padded_chunks, steps_per_epoch
from digitlab.learning.matmul_layers import is_samplewise, map_in_microbatches, part_size, with_matmul_layers
from digitlab.learning.optimizer import assign_variables, ema_weights, make_loss, make_optimizer
from digitlab.learning.recipe import Recipe
from digitlab.learning.state import TrainState

# A stretch is what the device does between two looks at the clock and the keyboard.
STRETCH_SECONDS = 0.2


class CompiledTrainer:
    """Epochs as a compiled JAX loop over Keras' pure `stateless_call` and `stateless_apply`.

    Pictures stay on the device as uint8 (47 MB for 60,000; as float32 it would be 188 MB); each step gathers its batch
    by index. A stretch is a `while` loop with a step number to stop at, so one compiled program serves every length and
    the stretches can be fitted to the clock: a fixed-length `lax.scan` would need one program for the odd last stretch.
    """

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        training: LabelledImages,
        validation: LabelledImages | None,
        resume: TrainState | None,
    ) -> None:
        import jax
        import jax.numpy as jnp

        self._model, self._recipe, self._count = model, recipe, len(training)
        # What computes: on a CPU the fast twin, whose variables stand in the same order.
        self._fast = with_matmul_layers(model)
        self._samplewise = self._fast is not model and is_samplewise(self._fast)
        self._steps = steps_per_epoch(len(training), recipe.batch_size)
        self._optimizer = make_optimizer(recipe, self._steps * recipe.epochs)
        self._optimizer.build(model.trainable_variables)
        self._iterations = [v is self._optimizer.iterations for v in self._optimizer.variables].index(True)
        if resume:
            variables = [*model.trainable_variables, *model.non_trainable_variables]
            assign_variables(variables, resume.weights, "weights")
            assign_variables(self._optimizer.variables, resume.optimizer, "optimizer variables")
        # Copies, because the compiled loop is given these buffers to overwrite while the model still holds its own.
        self._carry: Any = jax.tree.map(
            jnp.copy,
            (
                [v.value for v in model.trainable_variables],
                [v.value for v in model.non_trainable_variables],
                [v.value for v in self._optimizer.variables],
            ),
        )
        self._pictures = jax.device_put((training.images, np.asarray(training.labels, np.int32)))
        self._validation = validation if validation is not None and len(validation) else None
        self._loss = make_loss(recipe)
        # An argument of the compiled program, not a constant in it: so all seeds of a recipe share one program.
        self._key = jax.random.key(recipe.seed)
        self._stretch = jax.jit(self._run, donate_argnums=0, static_argnames="size")
        self._stretch_steps = max(1, self._steps // 20)  # a first guess; then by the clock
        self._judge = jax.jit(self._sums)

    def _targets(self, labels: Any, classes: int) -> Any:
        import jax

        if self._recipe.loss == "categorical_crossentropy":
            return jax.nn.one_hot(labels, classes)
        return labels

    def _step(self, carry: Any, key: Any, images: Any, labels: Any) -> tuple[Any, Any, Any]:
        """One training step: (carry, loss, number right)."""
        import jax
        import jax.numpy as jnp

        trainable, others, optimizer = carry
        if augment.active(self._recipe):
            step_key = jax.random.fold_in(key, optimizer[self._iterations])
            images = augment.apply(step_key, images, self._recipe)
        inputs = images.astype(jnp.float32).reshape(-1, *self._model.input_shape[1:])
        gradients, others, loss, right = self._gradients(trainable, others, inputs, labels)
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, trainable)
        return (trainable, others, optimizer), loss, right

    def _gradients(self, trainable: Any, others: Any, inputs: Any, labels: Any) -> tuple[Any, Any, Any, Any]:
        """Of one batch: gradients, the other variables afterwards, loss, number right.

        The twin of a convolutional model lays out many windows: of a batch of 128 they go through main memory, of
        parts of `part_size` pictures they stay in cache, which takes half the time. The mean of the parts' gradients is
        the batch's gradient, as the loss is a mean and each picture is treated by itself.
        """
        import jax
        import jax.numpy as jnp

        def objective(trainable: Any, others: Any, inputs: Any, labels: Any) -> Any:
            outputs, others, extra = self._fast.stateless_call(
                trainable, others, inputs, training=True, return_losses=True
            )
            loss = self._loss(self._targets(labels, outputs.shape[-1]), outputs)
            return loss + sum(extra, start=0.0), (others, (outputs.argmax(-1) == labels).sum())

        both = jax.value_and_grad(objective, has_aux=True)
        size = part_size(len(labels)) if self._samplewise else len(labels)
        parts = len(labels) // size
        if parts == 1:
            (loss, (others, right)), gradients = both(trainable, others, inputs, labels)
            return gradients, others, loss, right

        def body(i: Any, so_far: Any) -> Any:
            gradients, others, loss, right = so_far
            some = (jax.lax.dynamic_slice_in_dim(array, i * size, size) for array in (inputs, labels))
            (part_loss, (others, part_right)), found = both(trainable, others, *some)
            gradients = jax.tree.map(jnp.add, gradients, found)
            return gradients, others, loss + part_loss, right + part_right

        nothing = (jax.tree.map(jnp.zeros_like, trainable), others, jnp.float32(0), jnp.int32(0))
        gradients, others, loss, right = jax.lax.fori_loop(0, parts, body, nothing)
        return jax.tree.map(lambda g: g / parts, gradients), others, loss / parts, right

    def _run(
        self,
        carry: Any,
        sums: Any,
        key: Any,
        pictures: tuple[Any, Any],
        indices: Any,
        bounds: tuple[Any, Any],
        *,
        size: int,
    ) -> tuple[Any, Any]:
        """The steps within `bounds`, each on the next `size` of `indices`: (carry, sums of loss and number right).

        The sums go through as well, so that they are added up step by step in one order however the clock cut the
        epoch into stretches: the history is bit-equal from run to run, not only the weights.
        """
        import jax

        images, labels = pictures

        def body(i: Any, state: Any) -> Any:
            carry, (loss, right) = state
            chosen = jax.lax.dynamic_slice_in_dim(indices, i * size, size)
            carry, step_loss, step_right = self._step(carry, key, images[chosen], labels[chosen])
            return carry, (loss + size * step_loss, right + step_right)

        return jax.lax.fori_loop(*bounds, body, (carry, sums))  # type: ignore[no-any-return]

    def epoch(self, number: int, progress: Callable[[int, float, float], None]) -> dict[str, float]:
        """Train one epoch in stretches of about `STRETCH_SECONDS`; see `engine.Trainer`."""
        import jax

        size = min(self._recipe.batch_size, self._count)
        indices = jax.device_put(epoch_permutation(self._recipe.seed, number, self._count))
        whole, left = divmod(self._count, size)
        sums: Any = (np.float32(0), np.int32(0))
        step = 0

        def means(images: int) -> tuple[float, float]:
            return float(sums[0]) / images, int(sums[1]) / images

        while step < whole:
            stop = min(whole, step + self._stretch_steps)
            started = time.perf_counter()
            self._carry, sums = self._stretch(
                self._carry, sums, self._key, self._pictures, indices, (step, stop), size=size
            )
            so_far = means(stop * size)  # waits for the stretch to end
            self._pace(stop - step, time.perf_counter() - started, first=number == 0 and step == 0)
            step = stop
            progress(step * size, *so_far)
        if left:
            # The last step takes what is left, as Keras does: a second program, for a batch of its own size.
            tail = indices[whole * size :]
            self._carry, sums = self._stretch(self._carry, sums, self._key, self._pictures, tail, (0, 1), size=left)
            progress(self._count, *means(self._count))
        loss, accuracy = means(self._count)
        return {"loss": loss, "accuracy": accuracy, **self._validate()}

    def _pace(self, steps: int, seconds: float, *, first: bool) -> None:
        """Fit the length of the next stretch to the clock; the first one was mostly compilation."""
        if not first:
            self._stretch_steps = max(1, min(self._steps, int(steps * STRETCH_SECONDS / max(seconds, 1e-6))))

    def _sums(self, trainable: Any, others: Any, images: Any, labels: Any, valid: Any) -> tuple[Any, Any]:
        """Loss and number right, summed over the first `valid` pictures of a chunk."""
        import jax.numpy as jnp

        inputs = images.astype(jnp.float32).reshape(-1, *self._model.input_shape[1:])

        def forward(some: Any) -> Any:
            return self._fast.stateless_call(trainable, others, some, training=False)[0]

        outputs = forward(inputs) if self._fast is self._model else map_in_microbatches(forward, inputs)
        mask = jnp.arange(len(labels)) < valid
        losses = self._loss.call(self._targets(labels, outputs.shape[-1]), outputs)
        return jnp.where(mask, losses, 0).sum(), (mask & (outputs.argmax(-1) == labels)).sum()

    def _validate(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        loss, right = 0.0, 0
        kept, others = self._kept(), self._carry[1]
        for images, labels, valid in padded_chunks(self._validation.images, self._validation.labels):
            part_loss, part_right = self._judge(kept, others, images, labels, valid)
            loss, right = loss + float(part_loss), right + int(part_right)
        count = len(self._validation)
        return {"val_loss": loss / count, "val_accuracy": right / count}

    def _kept(self) -> Any:
        """Trainable values to judge and to keep."""
        trainable, _, optimizer = self._carry
        return ema_weights(self._optimizer, optimizer, self._model.trainable_variables, trainable)

    def state(self) -> tuple[tuple[np.ndarray, ...], int, tuple[np.ndarray, ...]]:
        """See `engine.Trainer`."""
        trainable, others, optimizer = ([np.asarray(a) for a in part] for part in self._carry)
        return (*trainable, *others), len(trainable), tuple(optimizer)

    def finish(self) -> None:
        """See `engine.Trainer`."""
        for variable, value in zip(self._model.trainable_variables, self._kept(), strict=True):
            variable.assign(value)
        for variable, value in zip(self._model.non_trainable_variables, self._carry[1], strict=True):
            variable.assign(value)
