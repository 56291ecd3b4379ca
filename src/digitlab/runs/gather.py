"""What a run shows: its data loaded again and checked, and the contents of figures, report and exported model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.data import Dataset, load
from digitlab.errors import DataError, RunError
from digitlab.files import write_atomically
from digitlab.learning.recipe import RECIPES
from digitlab.runs.folder import Run

if TYPE_CHECKING:
    from digitlab.judging import Evaluation
    from digitlab.showing import ReportContent
    from digitlab.showing.figures import FigureContent


def dataset_of(run: Run, data: Dataset | None) -> Dataset:
    """The data a run was trained and judged on, loaded again and checked."""
    kept = run.info["data"]
    if data is None and kept["source"] is None:
        raise RunError(f"{run.path}: was trained on a Dataset made in Python; call this there with data=…")
    dataset = data or load(kept["source"] or None, validation=kept["counts"]["validation"])
    if dataset.sha256 != kept["sha256"]:
        raise RunError(
            f"{run.path}: the data in {kept['source'] or 'the package'} is not what it was trained on "
            f"(sha256 {dataset.sha256[:12]}…, was {kept['sha256'][:12]}…). Restore the data, or train anew"
        )
    return dataset


def onnx_metadata(run: Run, evaluation: Evaluation) -> dict[str, str]:
    """What the ONNX file says of itself; `temperature` is what the Reader calibrates with."""
    info = run.info
    return {
        "labels": " ".join(info["data"]["classes"]),
        "input": "uint8 (n, 28, 28), 0..255, ink bright on 0",
        "recipe": json.dumps(info["recipe"]),
        "seed": str(info["seed"]),
        "data_sha256": info["data"]["sha256"],
        "test_accuracy": f"{evaluation.accuracy:.6g}",
        "temperature": f"{evaluation.temperature or 1.0:.6g}",
        "digitlab": info["versions"]["digitlab"],
    }


def describe_layers(model: Any) -> list[dict[str, Any]]:
    """The architecture as plain values, for the report."""
    described = []
    for layer in model.layers:
        activation = getattr(getattr(layer, "activation", None), "__name__", None)
        described.append(
            {
                "name": layer.name,
                "type": type(layer).__name__,
                "output_shape": [None, *layer.output.shape[1:]],
                "parameters": int(layer.count_params()),
                "activation": None if activation == "linear" else activation,
            }
        )
    return described


def first_weights(model: Any) -> np.ndarray | None:
    """What the first layer looks for, as pictures; None where it does not look at the pixels themselves.

    Returns:
        (28, 28, units) of a dense layer, (height, width, filters) of a convolution.
    """
    for layer in model.layers:
        weights = layer.get_weights()
        if weights:
            first = weights[0]
            if first.ndim == 2 and first.shape[0] == 28 * 28:
                return np.asarray(first.reshape(28, 28, -1))
            # One channel in: with more, it does not look at the picture itself.
            return np.asarray(first[:, :, 0]) if first.ndim == 4 and first.shape[2] == 1 else None
    return None


def report_content(run: Run, dataset: Dataset, first_weights: np.ndarray | None) -> ReportContent:
    """What figures and report show, read from the run's folder."""
    from digitlab.showing import ReportContent

    info, predictions = run.info, run.predictions
    return ReportContent(
        name=run.name,
        created=info["created"],
        recipe=info["recipe"],
        description=info["recipe"]["description"],
        data_name=dataset.name,
        data_sha256=dataset.sha256,
        data_counts=info["data"]["counts"],
        class_names=dataset.class_names,
        machine=info["machine"],
        versions=info["versions"],
        seconds=info["seconds"],
        history=run.history,
        evaluation=run.evaluation,
        images=dataset.test.images,
        labels=dataset.test.labels,
        probabilities=predictions["test_probabilities"],
        layers=info["layers"],
        first_weights=first_weights,
        model_file="model.keras",
        seed=info["seed"],
        parameters=info["parameters"],
        recipe_changes=_changes(info["recipe"]),
        corruptions=robustness.accuracies if (robustness := run.robustness) else None,
    )


def _changes(fields: dict[str, Any]) -> dict[str, Any]:
    """The named recipe's value of each field that this run set otherwise."""
    named = RECIPES.get(fields["name"])
    if named is None:
        return {}
    return {key: value for key, value in named.to_dict().items() if key != "seed" and fields.get(key) != value}


def figure_content(dataset: Dataset, content: ReportContent) -> FigureContent:
    """What the figures show, small enough to be handed to another process."""
    from digitlab.showing.figures import FigureContent

    few = slice(500)  # the figure of samples draws from these
    return FigureContent(
        class_names=content.class_names,
        train_images=dataset.train.images[few],
        train_labels=dataset.train.labels[few],
        history=content.history,
        images=content.images,
        labels=content.labels,
        probabilities=content.probabilities,
        evaluation=content.evaluation,
    )


def write_report(run: Run, content: ReportContent) -> None:
    """Fill the report's template and put it into the run's folder."""
    from digitlab.showing import render

    write_atomically(run.path / "report.html", render(content))


def judged_data(run: Run, data: str | Path | Dataset | None) -> Dataset:
    """The data to judge a run's model on: its own, or other data of no more classes than it knows.

    Raises:
        DataError: the data cannot be read, or has more classes than the model.
    """
    if data is None:
        return dataset_of(run, None)
    dataset = data if isinstance(data, Dataset) else load(data, validation=0)
    classes = run.predictions["test_probabilities"].shape[1]
    if len(dataset.class_names) > classes:
        raise DataError(
            f"{dataset.source or dataset.name}: has {len(dataset.class_names)} classes, the model of {run.path} knows "
            f"{classes}. Give data of the same classes"
        )
    return dataset
