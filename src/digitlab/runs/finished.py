"""What can be done with a finished run or a group: judge it again, on other or worse images, compare, export, redraw.

Wherever a function takes a `reference`, that is a run's path or name, ``latest``, a group's name, or a Run or Group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digitlab.data import Dataset
from digitlab.errors import DataError, ExportError, RunError
from digitlab.files import remove_leftovers
from digitlab.learning.export import FORMATS, export_model
from digitlab.processes import Mapper
from digitlab.runs.corrupted import judge_corrupted, judge_corrupted_at
from digitlab.runs.folder import FORMAT, Run, write_json
from digitlab.runs.gather import dataset_of, figure_content, judged_data, report_content, write_card, write_report
from digitlab.runs.groups import Group, open_reference
from digitlab.runs.register import Reference

if TYPE_CHECKING:
    from digitlab.judging import Evaluation
    from digitlab.judging.compare import Comparison, GroupComparison
    from digitlab.judging.robustness import Robustness

PAGE = "page"  # the format of `export` that is no model file


def report(reference: Reference | Group, *, data: Dataset | None = None, folder: str | Path | None = None) -> Path:
    """Draw the figures of a finished run and write report and model card anew; of a group, a report on the ensemble.

    Args:
        reference: The run or the group.
        data: The Dataset, if it was trained on one given as an object.
        folder: Where runs live.

    Returns:
        The report's path: ``report.html`` in the run's folder, ``GROUP.html`` beside the folders of a group's runs.

    Raises:
        RunError: no such run or group, not finished, or its data changed.
    """
    subject = open_reference(reference, folder)
    dataset = dataset_of(subject, data)
    if isinstance(subject, Group):
        file = subject.runs[0].path.parent / f"{subject.name}.html"
        write_report(file, report_content(subject, dataset, None))
        write_card(subject)
        return file
    from digitlab.learning.describe import first_weights
    from digitlab.showing.figures import save_figures

    for place in (subject.path, subject.path / "figures"):
        remove_leftovers(place)
    content = report_content(subject, dataset, first_weights(subject.model))
    save_figures(subject.path / "figures", figure_content(subject, dataset))
    write_report(subject.path / "report.html", content)
    write_card(subject)
    return subject.path / "report.html"


def evaluate(
    reference: Reference | Group,
    *,
    data: str | Path | Dataset | None = None,
    folder: str | Path | None = None,
) -> Evaluation:
    """Judge a run's or a group's model on the test images of its own or of other data; nothing is written.

    The temperature is the one fitted on the run's own validation images, never on the data judged here.

    Raises:
        RunError: no such run, or it has no model yet.
        DataError: the data cannot be read, or has more classes than the model.
    """
    from digitlab.judging import evaluate as judge

    subject = open_reference(reference, folder)
    arrays = subject.predictions
    dataset = judged_data(subject, data)
    validation = (arrays["validation_probabilities"], arrays["validation_labels"])
    return judge(
        _predictor(subject)(dataset.test.images),
        dataset.test.labels,
        validation=validation if len(validation[1]) else None,
        doubtful=dataset.doubtful,
    )


def _predictor(subject: Run | Group) -> Callable[[np.ndarray], np.ndarray]:
    """A function of images (n, 28, 28) uint8: a run's probabilities, (n, k) float32, or the mean of a group's."""
    from digitlab.learning.predict import predictor

    members = [predictor(run.model) for run in (subject.runs if isinstance(subject, Group) else [subject])]
    return lambda images: np.asarray(np.mean([member(images) for member in members], axis=0, dtype=np.float32))


def evaluate_corrupted(
    reference: Reference | Group,
    *,
    data: str | Path | Dataset | None = None,
    folder: str | Path | None = None,
    kinds: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    place: Mapper | None = None,
) -> Robustness:
    """Judge a model on its test images made worse in many ways; a run keeps the result, for its report.

    Here, threads make the images, one per core, while the model reads those already made. At a `place`, each set of
    images is a piece of its own; images and models travel once to each process there.

    Args:
        reference: The run or the group.
        data: Other data than the run's own; then nothing is kept.
        folder: Where runs live.
        kinds: Names in `digitlab.judging.corruptions.CORRUPTIONS`; all of them if absent, fewer are not kept.
        progress: Told how many of how many sets of images are judged.
        place: Where to do it: a `digitlab.Cluster`; None for here.

    Returns:
        ``.accuracies``: kind -> accuracy by rising strength; ``.mean``; ``.untouched``.

    Raises:
        RunError: no such run, or it has no model yet.
        DataError: the data cannot be read, has no test images or more classes than the model; or no such kind.
    """
    from digitlab.judging.corruptions import CORRUPTIONS
    from digitlab.judging.robustness import Robustness

    chosen = list(CORRUPTIONS if kinds is None else kinds)
    unknown = [kind for kind in chosen if kind not in CORRUPTIONS]
    if unknown or not chosen:
        raise DataError(f"no corruption {unknown[0] if unknown else ''!r}, expected some of {', '.join(CORRUPTIONS)}")
    subject = open_reference(reference, folder)
    test = judged_data(subject, data).test
    if not len(test):
        raise DataError(f"{data or subject.name}: no test images. Give data that has some")
    sets = [(kind, strength + 1) for kind in chosen for strength in range(len(CORRUPTIONS[kind].strengths))]
    if place is None:
        found = judge_corrupted(_predictor(subject), test.images, test.labels, sets)
    else:
        found = judge_corrupted_at(place, subject, test.images, test.labels, sets)
    accuracies: dict[str, list[float]] = {kind: [] for kind in chosen}
    untouched = next(found)
    for done, ((kind, _), accuracy) in enumerate(zip(sets, found, strict=True), 1):
        accuracies[kind].append(accuracy)
        if progress:
            progress(done, len(sets))
    robustness = Robustness(untouched, accuracies, len(test))
    if data is None and kinds is None and isinstance(subject, Run):
        write_json(subject.path / "corruptions.json", {"format": FORMAT, "test": robustness.to_dict()})
    return robustness


def export(
    reference: Reference | Group,
    kind: str = "onnx",
    *,
    output: str | Path | None = None,
    data: Dataset | None = None,
    folder: str | Path | None = None,
) -> Path:
    """Write a model for other programs, checked on real images first; of a group, one that averages its runs'.

    Args:
        reference: The run or the group; for a page also "reader", the networks that come with the package.
        kind: "onnx", "keras", "h5", or "page": one HTML file with the network and all it needs, to draw on.
        output: The file; else ``model.KIND`` in the run's folder, ``GROUP.KIND`` beside the folders of a group's runs;
            of a page ``page.html``, ``GROUP.page.html``, or ``reader.html`` in the current folder.
        data: The Dataset, if it was trained on one given as an object.
        folder: Where runs live.

    Returns:
        The file's path; the Reader and `digitlab read --model` take it, if it is ONNX.

    Raises:
        RunError: no such run or group, not finished, or a group of one run.
        ExportError: an unknown format, a layer that cannot be written, or answers that differ.

    Example:
        >>> export("latest", "onnx")  # doctest: +SKIP
        PosixPath('runs/mlp-20261124-101500/model.onnx')
    """
    if kind not in (*FORMATS, PAGE):
        raise ExportError(f"format: got {kind!r}, expected one of {', '.join((*FORMATS, PAGE))}")
    if kind == PAGE:
        from digitlab.runs.sharing import READER, share, share_reader

        return share_reader(output) if reference == READER else share(open_reference(reference, folder), output, data)
    subject = open_reference(reference, folder)
    if isinstance(subject, Group):
        if len(subject.runs) < 2:
            raise RunError(f"{subject.name}: no group of at least two finished runs. `digitlab runs` lists the runs")
        path, members = subject.runs[0].path.parent / f"{subject.name}.{kind}", [run.model for run in subject.runs]
    else:
        path, members = subject.path / f"model.{kind}", []
    path = Path(output) if output else path
    if path.suffix != f".{kind}":
        raise ExportError(f"{path}: expected a file that ends in .{kind}")
    images = dataset_of(subject, data).test.images[:200]
    remove_leftovers(path.parent, path.name)
    return export_model(subject.model, path, images, subject.metadata, members)


def compare(
    first: Reference | Group, second: Reference | Group, *, folder: str | Path | None = None
) -> Comparison | GroupComparison:
    """How much two runs, or two groups, differ on the same test images, and whether that is more than chance.

    A run beside a group is compared as a group of one.

    Raises:
        RunError: no such run or group, not finished, or judged on different test images.
    """
    from digitlab.judging.compare import compare_groups, compare_runs

    subjects = [open_reference(reference, folder) for reference in (first, second)]
    groups = [subject if isinstance(subject, Group) else Group(subject.name, (subject,)) for subject in subjects]
    names = (groups[0].name, groups[1].name)
    if len({run.info["data"]["test_sha256"] for group in groups for run in group.runs}) > 1:
        raise RunError(f"{names[0]} and {names[1]}: judged on different test images, so they cannot be compared")
    if any(isinstance(subject, Group) for subject in subjects):
        return compare_groups(groups[0].correct, groups[1].correct, names=names)
    left, right = (subject.predictions for subject in subjects)
    probabilities = (left["test_probabilities"], right["test_probabilities"])
    return compare_runs(left["test_labels"], *probabilities, names=names)
