"""Groups of seeds: each a run of its own, gone on with after a stop, compared with an interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import without_figures

from digitlab import groups, runs, workflow
from digitlab.data import Dataset
from digitlab.errors import RecipeError, RunError
from digitlab.judging.compare import Comparison, GroupComparison
from digitlab.learning.state import TrainState


class StopAtSecond(workflow.Watcher):
    """Ctrl-C in the second seed."""

    def epoch(self, state: TrainState, epochs: int) -> None:
        StopAtSecond.epochs += 1
        if StopAtSecond.epochs == 3:
            raise KeyboardInterrupt

    epochs = 0


@pytest.fixture(scope="module")
def folder(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Group `a` (2 seeds, stopped once and gone on with), group `b` (2 seeds), both small."""
    path = tmp_path_factory.mktemp("groups")
    data = path / "small.npz"
    np.savez(
        data,
        x_train=small.train.images,
        y_train=small.train.labels,
        x_test=small.test.images,
        y_test=small.test.labels,
    )
    options = {"data": data, "validation": 100, "folder": path, "changes": {"epochs": 2}}
    with without_figures():
        with pytest.raises(KeyboardInterrupt):
            groups.train_group("linear", 2, name="a", watcher=StopAtSecond, **options)
        first = runs.Run(path / "a-seed0")
        assert first.state == "finished"
        before = first.info
        groups.train_group("linear", 2, name="a", **options)
        assert first.info == before  # the finished seed was not touched
        groups.train_group("mlp", 2, name="b", **options)
        with pytest.raises(RunError, match="another recipe"):
            groups.train_group("mlp", 2, name="a", **options)
    return path


def test_a_group_is_its_seeds(folder: Path) -> None:
    group = groups.open_group("a", folder)
    assert group is not None
    assert [run.info["seed"] for run in group.runs] == [0, 1]
    assert [run.state for run in group.runs] == ["finished", "finished"]
    np.testing.assert_allclose(group.correct.mean(1), group.accuracies)
    assert group.spread.mean == pytest.approx(np.mean(group.accuracies))
    assert group.spread.std == pytest.approx(np.std(group.accuracies, ddof=1))
    assert groups.open_group("nothing", folder) is None


def test_compare_takes_groups_and_runs(folder: Path) -> None:
    both = groups.compare("a", "b", folder=folder)
    assert isinstance(both, GroupComparison)
    assert both.difference == pytest.approx(
        100 * (groups.open_group("a", folder).accuracies.mean() - groups.open_group("b", folder).accuracies.mean())  # type: ignore[union-attr]
    )
    assert isinstance(groups.compare("a-seed0", "b-seed0", folder=folder), Comparison)
    mixed = groups.compare("a", "b-seed0", folder=folder)
    assert "one run of b-seed0" in mixed.words


def test_one_seed_is_no_group() -> None:
    with pytest.raises(RecipeError, match="expected at least 2"):
        groups.train_group("linear", 1)
