"""A network as one page to hand on: a run's, a group's or the Reader's own, drawn on and asked in any browser."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from digitlab.errors import ExportError
from digitlab.files import write_atomically
from digitlab.learning.export import export_model
from digitlab.reading.model import BUNDLED, open_model
from digitlab.runs.folder import Run
from digitlab.runs.gather import dataset_of
from digitlab.runs.groups import Group
from digitlab.showing.shared_page import render_shared
from digitlab.showing.wording import interval, percent

READER = "reader"


def share_reader(output: str | Path | None = None) -> Path:
    """Write the page of the networks that come with the package, those that name a digit.

    Args:
        output: The file; else ``reader.html`` in the current folder.

    Returns:
        Its path.

    Raises:
        ExportError: a file that does not end in .html.
    """
    path = _checked(Path(output) if output else Path("reader.html"))
    model = open_model(BUNDLED / "digits.onnx")
    accuracy = json.loads(model.metadata["scores"])["test_accuracy"]
    page = render_shared(
        (BUNDLED / "digits.onnx").read_bytes(),
        name="reader",
        class_names=tuple("0123456789"),
        temperature=model.number("temperature", 1.0),
        facts=(
            f"These are the networks with which digitlab's Reader names a digit; they read {percent(accuracy, 2)} of "
            "MNIST's test images correctly. The Reader itself also finds digits on a page and refuses what is none.",
        ),
    )
    write_atomically(path, page)
    return path


def share(subject: Run | Group, output: str | Path | None = None, data: Any = None) -> Path:
    """Write a run's or a group's page.

    Args:
        subject: Finished.
        output: The file; else ``page.html`` in the run's folder, ``GROUP.page.html`` beside a group's.
        data: The Dataset, if it was trained on one given as an object.

    Returns:
        Its path.

    Raises:
        ExportError: a file that does not end in .html, or a layer that cannot be written.
        RunError: not finished.
    """
    if isinstance(subject, Group):
        path, members = subject.runs[0].path.parent / f"{subject.name}.page.html", [run.model for run in subject.runs]
    else:
        path, members = subject.path / "page.html", []
    path = _checked(Path(output) if output else path)
    evaluation = subject.evaluation
    images = dataset_of(subject, data).test.images[:200]
    with tempfile.TemporaryDirectory() as folder:
        file = export_model(subject.model, Path(folder) / "model.onnx", images, subject.metadata, members)
        page = render_shared(
            file.read_bytes(),
            name=subject.name,
            class_names=subject.class_names,
            temperature=evaluation.temperature or 1.0,
            facts=(
                f"It reads {percent(evaluation.accuracy, 2)} of {evaluation.samples:,} test images correctly "
                f"({interval(evaluation.accuracy_interval)}). What is drawn here is drawn otherwise than "
                "those were, so it may be wrong more often.",
            ),
        )
    write_atomically(path, page)
    return path


def _checked(path: Path) -> Path:
    if path.suffix != ".html":
        raise ExportError(f"{path}: expected a file that ends in .html")
    return path
