"""What a run tells comes through a pipe as it was."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.runs.events import Epoch, Stopwatch, from_plain, to_plain
from digitlab.runs.states import Stage

NUMBERS = st.floats() | st.integers(0, 1000).map(float)


@given(st.integers(1, 999), st.integers(1, 999), st.dictionaries(st.text(), NUMBERS))
def test_an_epoch_comes_through(epoch: int, epochs: int, values: dict[str, float]) -> None:
    back = from_plain(json.loads(json.dumps(to_plain(Epoch(epoch, epochs, values)), allow_nan=False)))
    assert isinstance(back, Epoch) and (back.epoch, back.epochs, list(back.values)) == (epoch, epochs, list(values))
    for name, value in values.items():
        assert back.values[name] == value or (not math.isfinite(value) and math.isnan(back.values[name]))


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_comes_through(stage: Stage) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(stage)))) is stage


def test_a_stopwatch_counts_every_stage_it_hears_of() -> None:
    clock = Stopwatch(started=0.0)
    for stage in (Stage.DATA, Stage.BUILD, Stage.DATA):
        clock.stage(stage)
    seconds = clock.seconds()
    assert list(seconds) == ["start", "data", "build", "total"]
    assert seconds["total"] == pytest.approx(sum(seconds[name] for name in ("start", "data", "build")), abs=0.01)
