"""The one place that imports Keras, so that its backend is JAX unless the user said otherwise."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Iterator

from digitlab.errors import DigitlabError
from digitlab.learning.kinds import Keras

_seeding = threading.RLock()


def import_keras() -> Keras:
    """Import Keras on the user's backend: `KERAS_BACKEND` if set, else JAX.

    Why not Keras' own default: `~/.keras/keras.json`, which Keras writes by itself on first import, names TensorFlow.
    A Keras that the user imported before keeps the backend it has.

    Raises:
        DigitlabError: the backend is not installed; the message says how to install it.
    """
    os.environ.setdefault("KERAS_BACKEND", "jax")
    # TensorFlow greets on stderr with a page of hardware notes before Python can ask it not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import keras
    except (ImportError, ValueError) as error:  # not installed, or no backend of that name
        if getattr(error, "name", None) == "keras":
            raise DigitlabError(
                "Keras is not installed: digitlab-light only reads. Install the whole with: pip install digitlab"
            ) from error
        name = os.environ["KERAS_BACKEND"]
        extra = "'digitlab[tensorflow]'" if name == "tensorflow" else name
        raise DigitlabError(
            f"Keras backend {name!r} could not be imported ({error}). "
            f"Unset KERAS_BACKEND to use JAX, or install it, as in: pip install {extra}"
        ) from error
    return keras


def on_jax() -> bool:
    """Whether Keras computes with JAX, so that the compiled engine can run."""
    return bool(import_keras().backend.backend() == "jax")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make Keras' random draws (initial weights, dropout seeds) repeatable inside the block.

    Keras takes the seeds it is not given from Python's and NumPy's global generators; both are put back afterwards, so
    that a caller's own random numbers are not disturbed.
    """
    import numpy as np

    keras = import_keras()
    _seeding.acquire()  # the generators are the process's: another thread's draws would mix with these
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002  (the state Keras draws from)
    try:
        if on_jax():
            # What `set_random_seed` does, without its import of TensorFlow wherever that is installed (10 s).
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
        else:
            keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        _seeding.release()
