"""What each recipe achieves, as `benchmarks/accuracy.py` measured it; nothing here is typed in by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from digitlab import in_words

_FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Measured:
    """One recipe's row: test accuracy over seeds, the test images read once per run.

    Attributes:
        recipe: Its name.
        parameters: Of the model, trainable or not.
        seeds: Number of runs.
        mean: Mean test accuracy, 0..1.
        std: Sample standard deviation over the seeds.
        interval: 95 % t interval of the mean.
        validation: Mean validation accuracy.
        ensemble: Test accuracy of the seeds' averaged probabilities, none left out.
        ensemble_interval: Its 95 % Wilson interval.
        seconds: Of training a seed with nothing else running: its epochs times the quickest one.
        compiling: Seconds that JAX compiles before, where nothing is compiled yet.
        machine: Processor and cores.
        versions: Of Keras and JAX.
        command: What was run.
    """

    recipe: str
    parameters: int
    seeds: int
    mean: float
    std: float
    interval: tuple[float, float]
    ensemble: float
    ensemble_interval: tuple[float, float]
    validation: float
    seconds: float
    compiling: float
    machine: str
    versions: str
    command: str

    def short(self) -> str:
        """As in "98.21 ± 0.05 %"."""
        return f"{100 * self.mean:.2f} ± {100 * self.std:.2f} %"

    def words(self) -> str:
        """One sentence with all of it."""
        return (
            f"measured: {self.short()} on test, mean and standard deviation of {self.seeds} seeds "
            f"({in_words.interval(self.interval, of='the mean')}), {self.parameters:,} parameters, "
            f"{in_words.duration(self.seconds)} of training on {self.machine}, compiling apart; the seeds averaged: "
            f"{100 * self.ensemble:.2f} %; by {self.command}"
        )


def measured() -> dict[str, Measured]:
    """The rows by recipe name; empty before the benchmark has run."""
    if not _FILE.exists():
        return {}
    rows = json.loads(_FILE.read_text("utf-8"))
    pairs = ("interval", "ensemble_interval")
    return {row["recipe"]: Measured(**row | {key: tuple(row[key]) for key in pairs}) for row in rows}
