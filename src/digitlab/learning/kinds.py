"""Names for what Keras and JAX hand about; Keras has no types of its own, so its names say what is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jax
    import numpy as np

Keras: TypeAlias = Any  # the module
Model: TypeAlias = Any  # keras.Model, built
Layer: TypeAlias = Any  # keras.layers.Layer
Optimizer: TypeAlias = Any  # keras.optimizers.Optimizer
Loss: TypeAlias = Any  # keras.losses.Loss
Schedule: TypeAlias = Any  # keras.optimizers.schedules.LearningRateSchedule, or a number
Variable: TypeAlias = Any  # keras.Variable
Values: TypeAlias = "Sequence[jax.Array | np.ndarray]"  # of variables, in their order
# A plain one, or a traced one inside a compiled program.
Number: TypeAlias = "float | np.floating | np.integer | jax.Array"


class Carry(NamedTuple):
    """What one training step hands to the next.

    Attributes:
        trainable: Values of the model's trainable variables.
        others: Of its other variables: statistics of batch normalisation, states of random generators.
        optimizer: Of the optimizer's variables.
    """

    trainable: Values
    others: Values
    optimizer: Values


class Sums(NamedTuple):
    """What the steps of an epoch add up, in one order however the clock cuts the epoch.

    Attributes:
        loss: float32, times images.
        correct: int32, images.
    """

    loss: Number
    correct: Number
