"""Pixels that are 0 in all training images, left out of training: they add nothing, and cost as much as the others.

Of MNIST's 784 pixels 67 never see ink. Their weights in a dense first layer have a gradient of exactly 0 at every
step, so that an optimizer moves them by nothing but its weight decay; without their columns an epoch computes the same
weights in less time (`benchmarks/epoch.py`), but for the order in which sums are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from digitlab.learning import augment
from digitlab.learning.backend import import_keras
from digitlab.learning.initial_weights import without_weights
from digitlab.learning.kinds import Carry, Model, Optimizer, Values, Variable
from digitlab.learning.recipe import Recipe

if TYPE_CHECKING:
    import jax

# Columns that are kept are rounded up to a multiple of this, so that matrix products end on whole vectors.
VECTOR = 16
# Optimizers that leave a variable alone whose gradient has always been 0, but for weight decay.
STILL = ("adam", "adamw", "sgd", "rmsprop")


class LitPixels:
    """A dense model without the inputs that training never lights, and what leads to and from it.

    Attributes:
        model: The smaller model; its values are never read.
        columns: (k,) which of the flattened inputs it takes.

    Example:
        >>> import numpy as np
        >>> from digitlab.learning import recipe
        >>> from digitlab.learning.models import build
        >>> images = np.zeros((2, 28, 28), np.uint8)
        >>> images[:, 10:18, 10:18] = 255
        >>> lit = LitPixels.of(build(recipe("linear")), recipe("linear"), images)
        >>> lit.rows(images).shape, [tuple(v.shape) for v in lit.model.trainable_variables]
        ((2, 64), [(64, 10), (10,)])
    """

    def __init__(self, model: Model, columns: np.ndarray) -> None:
        keras = import_keras()
        kept = [layer for layer in model.layers if not isinstance(layer, keras.layers.Flatten)]
        copies = [without_weights(layer) for layer in kept]
        self.model = keras.Sequential([keras.layers.Input((len(columns),)), *copies])
        self.columns = columns

    @classmethod
    def of(cls, model: Model, recipe: Recipe, images: np.ndarray) -> LitPixels | None:
        """What this training can leave out; None where that is nothing, or would change what is learned.

        Args:
            model: Built; its first layer with weights must be dense, with nothing before it but a factor.
            recipe: Nothing may average the weights, or move ink to where none was.
            images: (n, …) uint8, all that will be learned from.
        """
        if recipe.average or augment.active(recipe) or recipe.optimizer not in STILL:
            return None
        if images.dtype != np.uint8 or not _scales_into_dense(model):
            return None
        lit = np.atleast_1d(images.reshape(len(images), -1).any(axis=0))
        count = min(-(-max(1, int(lit.sum())) // VECTOR) * VECTOR, lit.size)
        if count == lit.size:
            return None
        lit[np.flatnonzero(~lit)[: count - int(lit.sum())]] = True
        return cls(model, np.flatnonzero(lit))

    def rows(self, images: np.ndarray) -> np.ndarray:
        """(n, 28, 28) or (n, features) images to the (n, k) inputs of the smaller model."""
        return np.ascontiguousarray(images.reshape(len(images), -1)[:, self.columns])

    def without(self, carry: Carry, optimizer: Optimizer) -> Carry:
        """Of the whole model's variables and its optimizer's, what the smaller one has.

        Args:
            carry: Of the whole model.
            optimizer: Built for the smaller one.
        """
        smaller = (self.model.trainable_variables, self.model.non_trainable_variables, optimizer.variables)

        def part(values: Values, variables: Sequence[Variable]) -> Values:
            pairs = zip(values, variables, strict=True)
            return [value if value.shape == v.shape else np.asarray(value)[self.columns] for value, v in pairs]

        return Carry(*map(part, carry, smaller))

    def within(self, carry: Carry, whole: Carry) -> Carry:
        """The reverse: `whole`, with what the smaller one has of it in its place."""

        def placed(value: np.ndarray | jax.Array, before: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
            if value.shape == before.shape:
                return value
            complete = np.array(before)
            complete[self.columns] = value
            return complete

        def part(values: Values, befores: Values) -> Values:
            return [placed(value, before) for value, before in zip(values, befores, strict=True)]

        return Carry(*map(part, carry, whole))

    def decayed(self, whole: Carry, left: float) -> Carry:
        """The whole model's variables after some steps, as far as they are left out.

        Args:
            whole: Before them.
            left: What weight decay leaves of a weight in these steps, 0..1.
        """
        pairs = zip(whole.trainable, self.model.trainable_variables, strict=True)
        with np.errstate(over="ignore"):  # of training that diverges
            single = np.float32(left)
        return whole._replace(trainable=[value if value.shape == v.shape else value * single for value, v in pairs])

    def holds_all_of(self, values: Values, optimizer: Optimizer) -> bool:
        """Whether the whole model's optimizer has nothing in store for the weights that are left out.

        It is so in a run from its start to its end; not where it goes on from one on other images.

        Args:
            values: Of its variables.
            optimizer: Built for the smaller model.
        """
        pairs = zip(values, optimizer.variables, strict=True)
        larger = [np.asarray(value) for value, variable in pairs if value.shape != variable.shape]
        return not any(np.delete(value, self.columns, axis=0).any() for value in larger)


def _scales_into_dense(model: Model) -> bool:
    """Whether the model is a stack whose first weights are a plain dense layer's, with inputs of 0 still 0 there."""
    keras = import_keras()
    layers = keras.layers
    if type(model) is not keras.Sequential:
        return False
    for layer in model.layers:
        if type(layer) is layers.Dense:
            return layer.kernel_regularizer is None and layer.kernel_constraint is None and layer.trainable
        still_zero = type(layer) is layers.Rescaling and np.ndim(layer.scale) == 0 and layer.offset == 0
        if not (still_zero or type(layer) is layers.Flatten):
            return False
    return False
