"""What a judged run looks like, for the tests of figures and report: real test pictures, made-up probabilities."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from digitlab.judging.metrics import evaluate
from digitlab.showing import ReportContent

DIGITS = [str(digit) for digit in range(10)]
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    '"><b onclick=alert(3)>',
    "'`${alert(4)}",
    "&lt;x",
]
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]


@cache
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """All 10,000 test pictures and labels, straight from the files."""
    folder = files("digitlab.data") / "bundled"
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    return (
        np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def guesses(labels: np.ndarray, classes: int = 10, skill: float = 3.2, seed: int = 0) -> np.ndarray:
    """Probabilities of a reader that is right about as often as `skill` says: 0 is guessing, 3.2 about 96 %."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    powers = np.exp(2 * logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def history(epochs: int = 10, validation: bool = True) -> dict[str, list[float]]:
    """A plausible history of so many epochs."""
    step = np.arange(1, epochs + 1)
    columns = {"epoch": step, "loss": 0.4 / step, "accuracy": 1 - 0.1 / step}
    if validation:
        columns |= {"val_loss": 0.3 / step + 0.05, "val_accuracy": 1 - 0.07 / step}
    columns |= {"learning_rate": 0.002 * (1 - step / (epochs + 1)), "seconds": 0.25 + 0 * step}
    return {name: values.tolist() for name, values in columns.items()}


def make_content(count: int = 2000, *, calibrated: bool = True, skill: float = 3.2, **changes: Any) -> ReportContent:
    """A whole report's content about the first `count` test pictures; `changes` replace its fields."""
    images, labels = (values[:count] for values in pictures())
    images, labels = changes.pop("images", images), changes.pop("labels", labels)
    names = changes.pop("class_names", DIGITS)
    probabilities = changes.pop("probabilities", None)
    if probabilities is None:
        probabilities = guesses(labels, len(names), skill)
    # Two that are misread and two that are not, where there are so many.
    wrong = probabilities.argmax(axis=1) != labels
    doubtful = [*np.flatnonzero(wrong)[:2].tolist(), *np.flatnonzero(~wrong)[:2].tolist()]
    held_back = np.arange(500) % len(names)
    validation = (guesses(held_back, len(names), skill, seed=1), held_back) if calibrated else None
    fields: dict[str, Any] = {
        "name": "mlp-test",
        "created": "2025-11-21T03:12:44+00:00",
        "recipe": {"name": "mlp", "hidden": (128,), "epochs": 10, "peak_rate": 0.002},
        "recipe_changes": {"peak_rate": 0.001},
        "description": "One hidden layer.",
        "data_name": "MNIST",
        "data_sha256": "0123456789abcdef" * 4,
        "data_counts": {"train": 55_000, "validation": 5_000 if calibrated else 0, "test": len(labels)},
        "class_names": names,
        "machine": {"processor": "a processor", "cores": 2},
        "versions": {"keras": "3.15.1"},
        "seconds": {"training": 3.0, "judging": 0.5, "total": 4.0},
        "history": history(validation=calibrated),
        "evaluation": evaluate(probabilities, labels, validation=validation, doubtful=doubtful),
        "images": images,
        "labels": labels,
        "probabilities": probabilities,
        "layers": [
            {"name": "in", "type": "InputLayer", "output_shape": (None, 28, 28), "parameters": 0, "activation": None},
            {"name": "h", "type": "Dense", "output_shape": (None, 128), "parameters": 100_480, "activation": "relu"},
            {"name": "o", "type": "Dense", "output_shape": (None, 10), "parameters": 1_290, "activation": "softmax"},
        ],
        "model_file": "model.keras",
        "seed": 7,
        "parameters": 101_770,
        "first_weights": np.random.default_rng(2).normal(size=(28, 28, 80)).astype(np.float32),
    }
    return ReportContent(**(fields | changes))
