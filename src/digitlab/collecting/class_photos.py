"""Class folders of images of any size and colour, brought to 28 x 28 and into a collection."""

from __future__ import annotations

import hashlib
from pathlib import Path

from digitlab.collecting.collection import Collection, Labelled
from digitlab.data.class_folders import is_clutter, natural_key
from digitlab.errors import DataError
from digitlab.runs.predicting import PREPARATIONS, prepared


def collect_class_folders(path: str | Path, collection: Collection, *, prepare: str, writer: str = "me") -> int:
    """Bring a folder with one sub-folder per class into a collection; its images may be of any size and colour.

    Args:
        path: The folder, such as photos/0/*.jpg, photos/1/*.jpg; class names may be any.
        collection: Where the images go.
        prepare: "photo" to find the one digit in each image, as reading does; "resize" to shrink each as it is.
        writer: Who wrote them.

    Returns:
        How many were added; the same files again add nothing.

    Raises:
        DataError: no class folders, another preparation, or an image in which nothing is to be found.
        ReadingError: a file that is no image.
    """
    folder, choices = Path(path), PREPARATIONS[1:]
    if prepare not in choices:
        raise DataError(f"--prepare: got {prepare!r}, expected one of {', '.join(choices)}")
    classes = (
        [entry for entry in folder.iterdir() if entry.is_dir() and not is_clutter(entry)] if folder.is_dir() else []
    )
    if not classes:
        raise DataError(f"{folder}: no class folders, expected sub-folders such as 0, 1, … with images.")
    added = 0
    for entry in sorted(classes, key=lambda entry: natural_key(entry.name)):
        files = [file for file in entry.iterdir() if file.is_file() and not is_clutter(file)]
        files.sort(key=lambda file: natural_key(file.name))
        together = hashlib.sha256(f"{prepare} {entry.name} ".encode())
        for file in files:
            together.update(hashlib.sha256(file.read_bytes()).digest())
        if collection.knows(together.hexdigest()):
            continue
        items = [
            Labelled(prepared(file, prepare), entry.name, f"n{number:04d}", (0, 0, 0, 0))
            for number, file in enumerate(files)
        ]
        source = f"{folder.name}/{entry.name}"
        added += collection.add(
            items,
            writer=writer,
            origin="folder",
            source=source,
            digest=together.hexdigest(),
            about={"prepare": prepare},
        )
    return added
