"""What a run shows: its data loaded again and checked, and the contents of figures, report and exported model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.data import Dataset, load
from digitlab.data.dataset import as_dataset
from digitlab.errors import DataError, RunError
from digitlab.files import remove_leftovers, write_atomically
from digitlab.learning.recipe import RECIPES
from digitlab.runs.folder import Run
from digitlab.runs.groups import Group

if TYPE_CHECKING:
    from digitlab.showing import ReportContent
    from digitlab.showing.figures import FigureContent


def dataset_of(subject: Run | Group, data: Dataset | None) -> Dataset:
    """The data a run or a group was trained and judged on, loaded again and checked."""
    run = subject.runs[0] if isinstance(subject, Group) else subject
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


def report_content(subject: Run | Group, dataset: Dataset, first_weights: np.ndarray | None) -> ReportContent:
    """What figures and report show, read from the folder of a run or of each run of a group."""
    from digitlab.showing import ReportContent

    runs = subject.runs if isinstance(subject, Group) else (subject,)
    infos = [run.info for run in runs]
    info = infos[-1]
    robustness = subject.robustness if isinstance(subject, Run) else None
    return ReportContent(
        name=subject.name,
        created=info["created"],
        recipe=info["recipe"] if isinstance(subject, Run) else {**info["recipe"], "seed": _listed(subject.seeds)},
        description=info["recipe"]["description"]
        + ("" if isinstance(subject, Run) else f", ensemble of {len(runs)} seeds"),
        data_name=dataset.name,
        data_sha256=dataset.sha256,
        data_counts=info["data"]["counts"],
        class_names=dataset.class_names,
        machine=info["machine"],
        versions=info["versions"],
        seconds={stage: sum(one["seconds"].get(stage, 0) for one in infos) for stage in info["seconds"]},
        history=_mean_history([run.history for run in runs]),
        evaluation=subject.evaluation,
        images=dataset.test.images,
        labels=dataset.test.labels,
        probabilities=subject.predictions["test_probabilities"],
        layers=info["layers"],
        first_weights=first_weights,
        model_file="model.keras" if isinstance(subject, Run) else "",
        seed=info["seed"] if isinstance(subject, Run) else _listed(subject.seeds),
        parameters=sum(one["parameters"] for one in infos),
        recipe_changes=_changes(info["recipe"]),
        corruptions=robustness.accuracies if robustness else None,
    )


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))


def _mean_history(histories: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """The mean over the runs epoch by epoch, as far as all of them went; of one run its own history."""
    if len(histories) == 1:
        return histories[0]
    return {
        name: np.mean([column[: len(short)] for column in columns], axis=0).tolist()
        for name in histories[0]
        for columns in [[history[name] for history in histories]]
        for short in [min(columns, key=len)]
    }


def _changes(fields: dict[str, Any]) -> dict[str, Any]:
    """The named recipe's value of each field that this run set otherwise."""
    named = RECIPES.get(fields["name"])
    if named is None:
        return {}
    return {key: value for key, value in named.to_dict().items() if key != "seed" and fields.get(key) != value}


def figure_content(run: Run, dataset: Dataset) -> FigureContent:
    """What the figures of a judged run show, small enough to be handed to another process."""
    return dataclasses.replace(
        early_content(dataset, run.history),
        images=dataset.test.images,
        labels=dataset.test.labels,
        probabilities=run.predictions["test_probabilities"],
        evaluation=run.evaluation,
    )


def early_content(dataset: Dataset, history: Mapping[str, Sequence[float]] | None = None) -> FigureContent:
    """What the figures of the data and, given a history, of training show, before the test images are looked at."""
    from digitlab.showing.figures import FigureContent

    few, none = slice(500), slice(0)  # the figure of samples draws from these
    return FigureContent(
        class_names=dataset.class_names,
        train_images=dataset.train.images[few],
        train_labels=dataset.train.labels[few],
        history=history or {},
        images=dataset.test.images[none],
        labels=dataset.test.labels[none],
        probabilities=np.empty((0, len(dataset.class_names)), np.float32),
        evaluation=None,
    )


def write_report(file: Path, content: ReportContent) -> None:
    """Fill the report's template and write it."""
    from digitlab.showing import render

    remove_leftovers(file.parent, file.name)
    write_atomically(file, render(content))


def write_card(subject: Run | Group) -> Path:
    """Write the model card of a judged run, or of a group beside the folders of its runs.

    Returns:
        ``README.md`` in the run's folder, or ``GROUP.md``.
    """
    from digitlab.showing.model_card import model_card

    if isinstance(subject, Group):
        file, first = subject.runs[0].path.parent / f"{subject.name}.md", subject.runs[0]
        seeds = [(int(run.info["seed"]), run.evaluation.accuracy) for run in subject.runs]
        onnx = all("onnx" not in run.info for run in subject.runs)
        card = model_card(subject.name, first.info, subject.evaluation, onnx=onnx, seeds=seeds, spread=subject.spread)
    else:
        file = subject.path / "README.md"
        card = model_card(subject.name, subject.info, subject.evaluation, onnx=(subject.path / "model.onnx").exists())
    remove_leftovers(file.parent, file.name)  # a group's lies in the folder of all runs, which nobody else tidies
    write_atomically(file, card)
    return file


def judged_data(subject: Run | Group, data: str | Path | Dataset | None) -> Dataset:
    """The data to judge a model on: its own, or other data of no more classes than it knows.

    Raises:
        DataError: the data cannot be read, or has more classes than the model.
    """
    if data is None:
        return dataset_of(subject, None)
    dataset = as_dataset(data, validation=0)
    classes = len(subject.class_names)
    if len(dataset.class_names) > classes:
        raise DataError(
            f"{dataset.source or dataset.name}: has {len(dataset.class_names)} classes, the model of {subject.name} "
            f"knows {classes}. Give data of the same classes"
        )
    return dataset
