"""The same recipe through Keras' own `fit`: for backends other than JAX, and to check the compiled engine against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from digitlab.learning import augment
from digitlab.learning.backend import import_keras
from digitlab.learning.batches import LabelledImages, epoch_permutation, steps_per_epoch
from digitlab.learning.kinds import Model
from digitlab.learning.optimizer import assign_variables, ema_weights, make_loss, make_optimizer
from digitlab.learning.recipe import Recipe
from digitlab.learning.state import TrainState


class FitTrainer:
    """Epochs through `model.fit`, one call per epoch, on batches in the engine's own order; see `engine.Trainer`."""

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        training: LabelledImages,
        validation: LabelledImages | None,
        resume: TrainState | None,
    ) -> None:
        steps = steps_per_epoch(len(training), recipe.batch_size)
        optimizer = make_optimizer(recipe, steps * recipe.epochs)
        optimizer.build(model.trainable_variables)
        self._model, self._recipe, self._training, self._validation = model, recipe, training, validation
        self._augment: Any = None
        self._variables = [*model.trainable_variables, *model.non_trainable_variables]
        if resume:
            assign_variables(self._variables, resume.weights, "weights")
            assign_variables(optimizer.variables, resume.optimizer, "optimizer variables")
        # Keras puts the averages into the model at the end of each `fit`, here an epoch; `finish` does it once.
        optimizer.finalize_variable_values = lambda _: None
        model.compile(optimizer=optimizer, loss=make_loss(recipe), metrics=["accuracy"])

    def _inputs(self, images: np.ndarray) -> np.ndarray:
        inputs: np.ndarray = images.reshape(-1, *self._model.input_shape[1:]).astype(np.float32)
        return inputs

    def _targets(self, labels: np.ndarray) -> np.ndarray:
        if self._recipe.loss == "categorical_crossentropy":
            one_hot: np.ndarray = np.eye(self._model.output_shape[-1], dtype=np.float32)[labels]
            return one_hot
        return np.asarray(labels, np.int32)

    def _changed(self, images: np.ndarray, step: int) -> np.ndarray:
        """The images of a step as it learns from them: augmented with the very draws of the compiled engine."""
        if not augment.active(self._recipe):
            return images
        import jax

        if self._augment is None:
            recipe = self._recipe
            self._augment = jax.jit(lambda step, some: augment.apply(augment.step_key(recipe.seed, step), some, recipe))
        changed: np.ndarray = np.asarray(self._augment(step, images))
        return changed

    def _kept(self) -> list[np.ndarray]:
        """Trainable values to judge and to keep."""
        optimizer, variables = self._model.optimizer, self._model.trainable_variables
        state, values = [v.value for v in optimizer.variables], [v.value for v in variables]
        return [
            np.asarray(import_keras().ops.convert_to_numpy(v)) for v in ema_weights(optimizer, state, variables, values)
        ]

    def _swap(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Put values into the model; returns the ones they replace."""
        variables = self._model.trainable_variables
        before = [np.array(import_keras().ops.convert_to_numpy(v.value)) for v in variables]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return before

    def epoch(self, number: int, progress: Callable[[int, float, float], None]) -> dict[str, float]:
        """See `engine.Trainer`."""
        keras = import_keras()
        images, labels, size = self._training.images, self._training.labels, self._recipe.batch_size
        indices = epoch_permutation(self._recipe.seed, number, len(images))
        weights = self._training.weights
        inputs, targets, changed = self._inputs, self._targets, self._changed
        first = number * steps_per_epoch(len(images), size)

        class Batches(keras.utils.PyDataset):  # type: ignore[misc, name-defined]
            def __len__(self) -> int:
                return steps_per_epoch(len(images), size)

            def __getitem__(self, i: int) -> tuple[np.ndarray, ...]:
                chosen = indices[i * size : (i + 1) * size]
                batch = inputs(changed(images[chosen], first + i)), targets(labels[chosen])
                return batch if weights is None else (*batch, weights[chosen])

        class Report(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
            def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
                if logs and batch % max(1, steps_per_epoch(len(images), size) // 20) == 0:
                    progress(min((batch + 1) * size, len(images)), float(logs["loss"]), float(logs["accuracy"]))

        logs = self._model.fit(
            Batches(), initial_epoch=number, epochs=number + 1, shuffle=False, verbose=0, callbacks=[Report()]
        ).history
        row = {"loss": float(logs["loss"][0]), "accuracy": float(logs["accuracy"][0])}
        if self._validation is not None and len(self._validation):
            values = self._swap(self._kept())
            judged = self._model.evaluate(
                inputs(self._validation.images),
                targets(self._validation.labels),
                batch_size=1000,
                verbose=0,
                return_dict=True,
            )
            self._swap(values)
            row |= {"val_loss": float(judged["loss"]), "val_accuracy": float(judged["accuracy"])}
        return row

    def state(self) -> tuple[tuple[np.ndarray, ...], int, tuple[np.ndarray, ...]]:
        """See `engine.Trainer`."""
        numpy = import_keras().ops.convert_to_numpy
        weights = tuple(np.asarray(numpy(v.value)) for v in self._variables)
        optimizer = tuple(np.asarray(numpy(v.value)) for v in self._model.optimizer.variables)
        return weights, len(self._model.trainable_variables), optimizer

    def kept(self) -> tuple[np.ndarray, ...]:
        """See `engine.Trainer`."""
        numpy = import_keras().ops.convert_to_numpy
        others = [np.array(numpy(v.value)) for v in self._model.non_trainable_variables]
        return (*self._kept(), *others)

    def finish(self, weights: tuple[np.ndarray, ...]) -> None:
        """See `engine.Trainer`."""
        for variable, value in zip(self._variables, weights, strict=True):
            variable.assign(value)
