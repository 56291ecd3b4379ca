"""digitlab: train, judge, keep and use neural networks that read handwritten digits.

Importing it is instant: each name below loads what it needs when it is first used.

Example:
    >>> import digitlab
    >>> run = digitlab.train("mlp", epochs=10)  # doctest: +SKIP
    >>> run.evaluation.accuracy, run.evaluation.confusion, run.model  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from digitlab.data import Dataset, Split, load
    from digitlab.errors import DataError, DigitlabError, ReadingError, RecipeError, RunError
    from digitlab.judging import Evaluation
    from digitlab.learning import RECIPES, Recipe, recipe
    from digitlab.reading.reader import Reader
    from digitlab.reading.results import Reading
    from digitlab.runs import Run, list_runs, open_run
    from digitlab.runs.finished import corrupted, evaluate, report
    from digitlab.runs.groups import Group, compare, open_group, train_group
    from digitlab.runs.training import resume, train
    from digitlab.searching.estimator import DigitClassifier

_HOMES = {
    "digitlab.data": ("Dataset", "Split", "load"),
    "digitlab.errors": ("DataError", "DigitlabError", "ReadingError", "RecipeError", "RunError"),
    "digitlab.runs.groups": ("Group", "compare", "open_group", "train_group"),
    "digitlab.judging": ("Evaluation",),
    "digitlab.learning": ("RECIPES", "Recipe", "recipe"),
    "digitlab.reading.reader": ("Reader",),
    "digitlab.reading.results": ("Reading",),
    "digitlab.runs": ("Run", "list_runs", "open_run"),
    "digitlab.runs.finished": ("corrupted", "evaluate", "report"),
    "digitlab.runs.training": ("resume", "train"),
    "digitlab.searching.estimator": ("DigitClassifier",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RECIPES",
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
    "compare",
    "corrupted",
    "evaluate",
    "list_runs",
    "load",
    "open_group",
    "open_run",
    "recipe",
    "report",
    "resume",
    "train",
    "train_group",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'digitlab' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
