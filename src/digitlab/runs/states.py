"""How far a run came, and what training one goes through."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """How far a run came; all but the last two stand in its `run.json`."""

    TRAINING = "training"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    TRAINED = "trained"  # and not judged: it was asked for no more
    FINISHED = "finished"
    STOPPED = "stopped"  # says "training", but nobody holds its lock: it was killed
    DAMAGED = "damaged"  # a file of it cannot be read


# What `state` in run.json can say.
STATES = (State.TRAINING, State.INTERRUPTED, State.FAILED, State.TRAINED, State.FINISHED)


class Stage(StrEnum):
    """What `train` does one after the other; the keys of a run's seconds, after "start"."""

    START = "start"
    DATA = "data"
    BUILD = "build"
    TRAIN = "train"
    JUDGE = "judge"
    SAVE = "save"
    DRAW = "draw"
