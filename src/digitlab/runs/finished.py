"""What can be done with a finished run: judge it again, on other or worse pictures, export it, redraw its report."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digitlab.data import Dataset
from digitlab.errors import DataError, ExportError
from digitlab.learning.export import FORMATS, export_model
from digitlab.machine import machine
from digitlab.runs.folder import FORMAT, open_run, write_json
from digitlab.runs.gather import (
    dataset_of,
    figure_content,
    first_weights,
    judged_data,
    onnx_metadata,
    report_content,
    write_report,
)

if TYPE_CHECKING:
    from digitlab.judging import Evaluation
    from digitlab.judging.robustness import Robustness


def report(reference: str | Path, *, data: Dataset | None = None, folder: str | Path | None = None) -> Path:
    """Draw the figures and write the report of a finished run anew; returns the report's path.

    Raises:
        RunError: no such run, not finished, or its data changed.
    """
    from digitlab.showing.figures import save_figures

    run = open_run(reference, folder)
    dataset = dataset_of(run, data)
    content = report_content(run, dataset, first_weights(run.model))
    save_figures(run.path / "figures", figure_content(dataset, content))
    write_report(run, content)
    return run.path / "report.html"


def evaluate(
    reference: str | Path,
    *,
    data: str | Path | Dataset | None = None,
    folder: str | Path | None = None,
) -> Evaluation:
    """Judge a run's model on the test pictures of its own or of other data; the run's folder is left as it is.

    The temperature is the one fitted on the run's own validation images, never on the data judged here.

    Raises:
        RunError: no such run, or it has no model yet.
        DataError: the data cannot be read, or has more classes than the model.
    """
    from digitlab.judging import evaluate as judge
    from digitlab.learning.predict import predict

    run = open_run(reference, folder)
    kept = run.predictions
    dataset = judged_data(run, data)
    validation = (kept["validation_probabilities"], kept["validation_labels"])
    return judge(
        predict(run.model, dataset.test.images),
        dataset.test.labels,
        validation=validation if len(validation[1]) else None,
        doubtful=dataset.doubtful,
    )


def corrupted(
    reference: str | Path,
    *,
    data: str | Path | Dataset | None = None,
    folder: str | Path | None = None,
    kinds: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Robustness:
    """Judge a run's model on its test pictures made worse in many ways; the run keeps it, for its report.

    Worker threads make the pictures, one a core, while the model reads those already made.

    Args:
        reference: The run's path or name, or ``latest``.
        data: Other data than the run's own; then nothing is kept.
        folder: Where runs live.
        kinds: Names in `digitlab.judging.corruptions.CORRUPTIONS`; all of them if absent, fewer are not kept.
        progress: Told how many of how many sets of pictures are judged.

    Returns:
        ``.accuracies``: kind -> accuracy by rising strength; ``.mean``; ``.untouched``.

    Raises:
        RunError: no such run, or it has no model yet.
        DataError: the data cannot be read, has no test pictures or more classes than the model; or no such kind.
    """
    from digitlab.judging.corruptions import CORRUPTIONS, corrupt
    from digitlab.judging.robustness import Robustness
    from digitlab.learning.predict import predictor

    chosen = list(CORRUPTIONS if kinds is None else kinds)
    unknown = [kind for kind in chosen if kind not in CORRUPTIONS]
    if unknown or not chosen:
        raise DataError(f"no corruption {unknown[0] if unknown else ''!r}, expected some of {', '.join(CORRUPTIONS)}")
    run = open_run(reference, folder)
    test = judged_data(run, data).test
    if not len(test):
        raise DataError(f"{data or run.path}: no test pictures. Give data that has some")
    read = predictor(run.model)

    def accuracy(images: np.ndarray) -> float:
        return float((read(images).argmax(axis=1) == test.labels).mean())

    untouched = accuracy(test.images)
    jobs = [(kind, strength + 1) for kind in chosen for strength in range(len(CORRUPTIONS[kind].strengths))]
    accuracies: dict[str, list[float]] = {kind: [] for kind in chosen}
    workers = int(machine()["cores"])
    with ThreadPoolExecutor(workers) as pool:
        # Only a few sets ahead: all 95 at once would be 750 MB.
        waiting = deque(pool.submit(corrupt, test.images, *job) for job in jobs[: workers + 1])
        try:
            for done, (kind, _) in enumerate(jobs, 1):
                images = waiting.popleft().result()
                if done + workers < len(jobs):
                    waiting.append(pool.submit(corrupt, test.images, *jobs[done + workers]))
                accuracies[kind].append(accuracy(images))
                if progress:
                    progress(done, len(jobs))
        finally:
            for future in waiting:
                future.cancel()
    robustness = Robustness(untouched, accuracies, len(test))
    if data is None and kinds is None:
        write_json(run.path / "corruptions.json", {"format": FORMAT, "test": robustness.to_dict()})
    return robustness


def export(
    reference: str | Path,
    kind: str = "onnx",
    *,
    output: str | Path | None = None,
    data: Dataset | None = None,
    folder: str | Path | None = None,
) -> Path:
    """Write a run's model for other programs, checked against the model on real pictures first.

    Args:
        reference: The run.
        kind: "onnx", "keras" or "h5".
        output: The file; else ``model.KIND`` in the run's folder.
        data: The Dataset, if the run was given one as an object.
        folder: Where runs live.

    Returns:
        The file's path.

    Raises:
        RunError: no such run, or not finished.
        ExportError: an unknown format, a layer that cannot be written, or answers that differ.
    """
    if kind not in FORMATS:
        raise ExportError(f"format: got {kind!r}, expected one of {', '.join(FORMATS)}")
    run = open_run(reference, folder)
    images = dataset_of(run, data).test.images[:200]
    path = Path(output) if output else run.path / f"model.{kind}"
    if path.suffix != f".{kind}":
        raise ExportError(f"{path}: expected a file that ends in .{kind}")
    return export_model(run.model, path, images, onnx_metadata(run, run.evaluation))
