"""digitlab: train, judge, keep and use neural networks that read handwritten digits.

Importing it is instant: each name below loads what it needs when it is first used.

Example:
    >>> import digitlab
    >>> run = digitlab.train("mlp", epochs=10)  # doctest: +SKIP
    >>> run.evaluation.accuracy, run.evaluation.confusion, run.model  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from digitlab.version import __version__ as __version__

if TYPE_CHECKING:
    from digitlab.data import Dataset, Split, load
    from digitlab.errors import DataError, DigitlabError, ReadingError, RecipeError, RunError, TrainingError
    from digitlab.judging import Evaluation
    from digitlab.learning import RECIPES, Recipe, recipe
    from digitlab.reading.reader import Reader
    from digitlab.reading.results import Reading
    from digitlab.runs import Run, list_runs, open_run
    from digitlab.runs.cluster import Cluster
    from digitlab.runs.finished import compare, evaluate, evaluate_corrupted, export, report
    from digitlab.runs.finished import evaluate_corrupted as corrupted
    from digitlab.runs.group_training import train_group
    from digitlab.runs.groups import Group, open_group
    from digitlab.runs.groups import open_reference as open  # noqa: A004
    from digitlab.runs.training import resume, train
    from digitlab.searching.estimator import DigitClassifier

_HOMES = {
    "digitlab.data": ("Dataset", "Split", "load"),
    "digitlab.errors": ("DataError", "DigitlabError", "ReadingError", "RecipeError", "RunError", "TrainingError"),
    "digitlab.judging": ("Evaluation",),
    "digitlab.learning": ("RECIPES", "Recipe", "recipe"),
    "digitlab.reading.reader": ("Reader",),
    "digitlab.reading.results": ("Reading",),
    "digitlab.runs": ("Run", "list_runs", "open_run"),
    "digitlab.runs.cluster": ("Cluster",),
    "digitlab.runs.finished": ("compare", "evaluate", "evaluate_corrupted", "export", "report"),
    "digitlab.runs.group_training": ("train_group",),
    "digitlab.runs.groups": ("Group", "open_group"),
    "digitlab.runs.training": ("resume", "train"),
    "digitlab.searching.estimator": ("DigitClassifier",),
}
# Two that are called otherwise at home: `open` would hide the built-in there, `corrupted` is the name of old.
_ALIASES = {
    "open": ("digitlab.runs.groups", "open_reference"),
    "corrupted": ("digitlab.runs.finished", "evaluate_corrupted"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RECIPES",
    "Cluster",
    "DataError",
    "Dataset",
    "DigitClassifier",
    "DigitlabError",
    "Evaluation",
    "Group",
    "Reader",
    "Reading",
    "ReadingError",
    "Recipe",
    "RecipeError",
    "Run",
    "RunError",
    "Split",
    "TrainingError",
    "compare",
    "corrupted",
    "evaluate",
    "evaluate_corrupted",
    "export",
    "list_runs",
    "load",
    "open",
    "open_group",
    "open_run",
    "recipe",
    "report",
    "resume",
    "train",
    "train_group",
]


if not TYPE_CHECKING:  # a type checker sees the imports above, and so knows a wrong name from a right one

    def __getattr__(name: str) -> object:
        home, attribute = _ALIASES.get(name) or (_HOME_OF.get(name), name)
        if home is None:
            raise AttributeError(f"module 'digitlab' has no attribute {name!r}")
        value = getattr(importlib.import_module(home), attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
