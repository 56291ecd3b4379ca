"""Several seeds of one recipe as a group: each judged by itself, and all together as an ensemble.

A group is no folder of its own: its runs carry the group's name in `run.json` and are called ``GROUP-seed0`` and so on.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.errors import RunError
from digitlab.learning.recipe import Recipe
from digitlab.runs.folder import Run, metadata
from digitlab.runs.register import Reference, list_runs, open_run
from digitlab.runs.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from digitlab.judging import Evaluation
    from digitlab.judging.compare import Spread


@dataclass(frozen=True)
class Group:
    """Finished runs that differ only by their seed, and the ensemble they make: the mean of their probabilities.

    No member is chosen or weighted, so that the test images decide nothing. A Group can be given wherever a Run can:
    `evaluation`, `predictions`, `model` and `metadata` are the ensemble's.

    Attributes:
        name: The group's name.
        runs: By seed, at least one.

    Example:
        >>> group = open_group("five")  # doctest: +SKIP
        >>> group.spread.mean, group.evaluation.accuracy  # doctest: +SKIP
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def accuracies(self) -> np.ndarray:
        """(seeds,) test accuracy of each run."""
        return np.array([run.evaluation.accuracy for run in self.runs])

    @property
    def correct(self) -> np.ndarray:
        """(seeds, n) bool: which run reads which test image correctly."""
        rows = [(run.predictions["test_probabilities"], run.predictions["test_labels"]) for run in self.runs]
        return np.stack([probabilities.argmax(1) == labels for probabilities, labels in rows])

    @property
    def spread(self) -> Spread:
        """Mean, sample standard deviation and 95 % t interval of the test accuracy."""
        from digitlab.judging.compare import spread

        return spread(self.accuracies)

    @property
    def recipe(self) -> Recipe:
        """The recipe of its runs, with the first one's seed."""
        return self.runs[0].recipe

    @property
    def class_names(self) -> tuple[str, ...]:
        """What label 0, 1, … mean."""
        return self.runs[0].class_names

    @functools.cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """As `Run.predictions`: the mean of the runs' probabilities (n, k) float32, and the labels (n,)."""
        arrays = [run.predictions for run in self.runs]
        means = {
            name: np.mean([a[name] for a in arrays], axis=0) for name in arrays[0] if name.endswith("_probabilities")
        }
        return {**arrays[0], **means}

    @functools.cached_property
    def evaluation(self) -> Evaluation:
        """The ensemble on the test images, like one network; its temperature is fitted on the validation images."""
        from digitlab.judging import evaluate

        arrays = self.predictions
        labels = arrays["validation_labels"]
        return evaluate(
            arrays["test_probabilities"],
            arrays["test_labels"],
            validation=(arrays["validation_probabilities"], labels) if len(labels) else None,
        )

    @property
    def ensemble(self) -> Evaluation:
        """The same as `evaluation`."""
        return self.evaluation

    @functools.cached_property
    def model(self) -> Any:
        """One Keras model that averages the probabilities of the runs' models."""
        from digitlab.learning.models import average

        # Of models opened anew: one that is a layer of another has tensors of two graphs, which ONNX writing would mix
        # up.
        return average([Run(run.path).model for run in self.runs])

    @property
    def metadata(self) -> dict[str, str]:
        """What an exported file says of itself; see `Run.metadata`."""
        return metadata(self.runs[0].info, self.evaluation) | {"seed": f"mean of {', '.join(map(str, self.seeds))}"}

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [int(run.info["seed"]) for run in self.runs]


def open_group(name: str, folder: str | Path | None = None) -> Group | None:
    """The group of that name with its finished runs; None if no run belongs to it."""
    runs = [run for run in list_runs(folder) if run.info.get("group") == name and run.state == State.FINISHED]
    return Group(name, tuple(sorted(runs, key=lambda run: int(run.info["seed"])))) if runs else None


def open_reference(reference: Reference | Group, folder: str | Path | None = None) -> Run | Group:
    """The run at a path or of that name, or the group of that name; ``latest`` is the newest run.

    Public as `digitlab.open`. Both have `evaluation`, `predictions`, `model`, `recipe` and `metadata`, and both can be
    evaluated, compared, exported and reported.

    Raises:
        RunError: neither a run nor a group with a finished run.

    Example:
        >>> open_reference("five").evaluation.accuracy  # doctest: +SKIP
        0.9971
    """
    if isinstance(reference, Group):
        return reference
    try:
        return open_run(reference, folder)
    except RunError:
        group = open_group(reference, folder) if isinstance(reference, str) else None
        if group is None:
            raise
        return group
