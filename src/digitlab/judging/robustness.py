"""How well a network reads images made worse, as a result that a run keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Robustness:
    """How well a network reads images that were made worse.

    Attributes:
        untouched: accuracy on the images as they are, 0 to 1.
        accuracies: kind -> accuracy by rising strength, 0 to 1.
        samples: images behind each accuracy.
        seed: of the random numbers.
    """

    untouched: float
    accuracies: Mapping[str, list[float]]
    samples: int
    seed: int = 0

    @property
    def mean(self) -> float:
        """Mean over kinds of each one's mean over strengths: the one number."""
        return float(np.mean([np.mean(values) for values in self.accuracies.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "samples": self.samples,
            "seed": self.seed,
            "untouched": self.untouched,
            "mean": self.mean,
            "accuracies": {kind: list(values) for kind, values in self.accuracies.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Robustness:
        """Read what `to_dict` wrote.

        Raises:
            KeyError: something is missing.
            ValueError: an accuracy is none.
        """
        accuracies = {str(kind): [float(one) for one in row] for kind, row in dict(values["accuracies"]).items()}
        if not accuracies or not all(row and all(0 <= one <= 1 for one in row) for row in accuracies.values()):
            raise ValueError("accuracies: expected for each kind a list of numbers from 0 to 1")
        return cls(float(values["untouched"]), accuracies, int(values["samples"]), int(values["seed"]))
