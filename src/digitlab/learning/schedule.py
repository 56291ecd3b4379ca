"""The one-cycle learning rate, without a branch: inside a compiled loop a branch costs more than the arithmetic."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.learning.backend import import_keras
from digitlab.learning.kinds import Number, Schedule

if TYPE_CHECKING:
    import jax

_PLAIN = (int, float, np.number, np.ndarray)


def one_cycle(peak: Number, warmup: Number, steps: Number) -> Schedule:
    """A Keras schedule: linear from peak / 100 to peak, then a cosine down to 0 at the last step.

    Keras' `CosineDecay(warmup_target=…)` gives the same numbers, but through `lax.cond`: on two cores an epoch of
    784-128-10 at batch 32 took 0.19 s with it, 0.155 s with this one, 0.155 s with a constant rate.

    Args:
        peak: Learning rate after warm-up; like the others a number, or a traced value inside a compiled program.
        warmup: Steps of warm-up, 0 for none.
        steps: Steps in all.

    Returns:
        A keras LearningRateSchedule.

    Example:
        >>> rate = one_cycle(0.5, warmup=10, steps=110)
        >>> [round(float(rate(step)), 3) for step in (0, 10, 60, 110)]
        [0.005, 0.5, 0.25, 0.0]

    Reference:
        L. N. Smith and N. Topin, "Super-convergence", 2018 (arXiv:1708.07120), here with a cosine on the way down.
    """
    return _one_cycle_class()(peak, warmup, steps)


@functools.cache
def _one_cycle_class() -> type:
    """The schedule's class; made once, when Keras is there."""
    keras = import_keras()

    class OneCycle(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc, name-defined]
        def __init__(self, peak: Number, warmup: Number, steps: Number) -> None:
            self.peak, self.warmup, self.steps = peak, warmup, steps

        def __call__(self, step: Any) -> jax.Array | np.ndarray:
            peak, warmup, steps = self.peak, self.warmup, self.steps
            # Outside a compiled program by NumPy: JAX would compile each of these operations by itself.
            plain = all(isinstance(number, _PLAIN) for number in (step, peak, warmup, steps))
            ops: Any = np if plain else keras.ops
            step = np.asarray(step, np.float32) if plain else ops.cast(step, "float32")
            down = 0.5 * (1 + ops.cos(math.pi * ops.clip((step - warmup) / ops.maximum(1.0, steps - warmup), 0.0, 1.0)))
            up = 0.01 + 0.99 * step / ops.maximum(1.0, warmup)  # without warm-up no step is below it
            return peak * ops.where(step < warmup, up, down)

        def get_config(self) -> dict[str, Any]:
            return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}

    return OneCycle
