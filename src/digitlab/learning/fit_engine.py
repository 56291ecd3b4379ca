"""The same recipe through Keras' own `fit`: for backends other than JAX, and to check the compiled engine against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from digitlab.learning.backend import import_keras
from digitlab.learning.engine import Pictures, make_loss, make_optimizer, order, restore, steps_per_epoch
from digitlab.learning.recipe import Recipe
from digitlab.learning.state import TrainState


class FitTrainer:
    """Epochs through `model.fit`, one call an epoch, on batches in the engine's own order; see `engine.Trainer`."""

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        training: Pictures,
        validation: Pictures | None,
        resume: TrainState | None,
    ) -> None:
        steps = steps_per_epoch(len(training), recipe.batch_size)
        optimizer = make_optimizer(recipe, steps * recipe.epochs)
        optimizer.build(model.trainable_variables)
        self._model, self._recipe, self._training, self._validation = model, recipe, training, validation
        self._variables = [*model.trainable_variables, *model.non_trainable_variables]
        if resume:
            restore(self._variables, resume.weights, "weights")
            restore(optimizer.variables, resume.optimizer, "optimizer variables")
        model.compile(optimizer=optimizer, loss=make_loss(recipe), metrics=["accuracy"])

    def _inputs(self, images: np.ndarray) -> np.ndarray:
        inputs: np.ndarray = images.reshape(-1, *self._model.input_shape[1:]).astype(np.float32)
        return inputs

    def _targets(self, labels: np.ndarray) -> np.ndarray:
        if self._recipe.loss == "categorical_crossentropy":
            one_hot: np.ndarray = np.eye(self._model.output_shape[-1], dtype=np.float32)[labels]
            return one_hot
        return np.asarray(labels, np.int32)

    def epoch(self, number: int, progress: Callable[[int, float, float], None]) -> dict[str, float]:
        """See `engine.Trainer`."""
        keras = import_keras()
        images, labels, size = self._training.images, self._training.labels, self._recipe.batch_size
        indices = order(self._recipe.seed, number, len(images))
        inputs, targets = self._inputs, self._targets

        class Batches(keras.utils.PyDataset):  # type: ignore[misc, name-defined]
            def __len__(self) -> int:
                return steps_per_epoch(len(images), size)

            def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
                chosen = indices[i * size : (i + 1) * size]
                return inputs(images[chosen]), targets(labels[chosen])

        class Report(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
            def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
                if logs and batch % max(1, steps_per_epoch(len(images), size) // 20) == 0:
                    progress(min((batch + 1) * size, len(images)), float(logs["loss"]), float(logs["accuracy"]))

        logs = self._model.fit(
            Batches(), initial_epoch=number, epochs=number + 1, shuffle=False, verbose=0, callbacks=[Report()]
        ).history
        row = {"loss": float(logs["loss"][0]), "accuracy": float(logs["accuracy"][0])}
        if self._validation is not None and len(self._validation):
            judged = self._model.evaluate(
                inputs(self._validation.images),
                targets(self._validation.labels),
                batch_size=1000,
                verbose=0,
                return_dict=True,
            )
            row |= {"val_loss": float(judged["loss"]), "val_accuracy": float(judged["accuracy"])}
        return row

    def state(self) -> tuple[tuple[np.ndarray, ...], int, tuple[np.ndarray, ...]]:
        """See `engine.Trainer`."""
        numpy = import_keras().ops.convert_to_numpy
        weights = tuple(np.asarray(numpy(v.value)) for v in self._variables)
        optimizer = tuple(np.asarray(numpy(v.value)) for v in self._model.optimizer.variables)
        return weights, len(self._model.trainable_variables), optimizer

    def finish(self) -> None:
        """`fit` trained the model itself; nothing is left to do."""
