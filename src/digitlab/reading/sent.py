"""Files read somewhere else: their content goes there, what was read and drawn comes back."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from digitlab.errors import ReadingError
from digitlab.files import read_bytes, write_atomically
from digitlab.processes import Mapper, Work, plain_loads
from digitlab.reading.bulk import FileReading, ReadOptions, files_of, open_reader, read_one, reading_of
from digitlab.reading.reader import Reader, model_file

# Small images go together: a piece of work costs a cluster some milliseconds.
BATCH = 8
# A file larger than this is not sent.
MOST_BYTES = 500_000_000
PACKAGES = ("digitlab", "numpy", "onnxruntime", "pillow", "scipy")


@dataclass(frozen=True)
class Sent:
    """What comes back of one file.

    Attributes:
        result: What was read.
        annotate: The image with boxes drawn in, a PNG file; None unless asked for.
        stages: Images of every stage, a PNG file; None unless asked for.
    """

    result: FileReading
    annotate: bytes | None = None
    stages: bytes | None = None


def read_files_at(
    place: Mapper, names: Iterable[str | Path], options: ReadOptions | None = None
) -> Iterator[FileReading]:
    """As `read_files`, where `place` does its work: on a cluster, for instance.

    Args:
        place: A `digitlab.Cluster`.
        names: Files, folders or patterns on this machine.
        options: How to read; a model and folders for drawings are on this machine, `workers` is the place's matter.

    Yields:
        One result a file, in the order of the files.

    Raises:
        ReadingError: the model cannot be opened (before any file is read).

    Example:
        >>> from digitlab.runs.parallel import LocalProcesses
        >>> [result.error for result in read_files_at(LocalProcesses(1), ["no-such.png"])]
        ['no-such.png: no such file. Check the name.']
    """
    options = options or ReadOptions()
    files = files_of(names)
    model = None
    if options.model is not None:
        Reader(options.model, threads=1)  # says now what is wrong with it
        model = model_file(options.model).read_bytes()
    for folder in (options.annotate, options.stages):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    # Where it is read, these folders say no more than that there is to be a drawing.
    work = Work(
        open_reader_of,
        (replace(options, model=None), model),
        read_content,
        seconds=options.timeout,
        ahead=2,
        batch=BATCH,
        packages=PACKAGES,
    )
    for file, answer in zip(files, place.map(work, ((str(file), _content(file)) for file in files)), strict=True):
        sent = answer if isinstance(answer, Exception) else plain_loads(answer)
        if not isinstance(sent, Sent):
            yield reading_of(file, sent, options)
            continue
        for target, drawing in ((options.annotate, sent.annotate), (options.stages, sent.stages)):
            if target is not None and drawing is not None:
                write_atomically(target / f"{file.stem}.png", drawing)
        yield sent.result


def _content(file: Path) -> bytes | str:
    """What is sent of a file: its content, or why there is none."""
    try:
        return read_bytes(file, MOST_BYTES)
    except FileNotFoundError:
        return f"{file}: no such file. Check the name."
    except OSError as error:
        return f"{file}: {error.strerror or error}. Check the file."
    except ValueError as error:
        return f"{file}: {error}. Name an image."


def open_reader_of(options: ReadOptions, model: bytes | None) -> tuple[Reader, ReadOptions]:
    """As `open_reader`, with the network as the content of its file."""
    if model is None:
        return open_reader(options, 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(model)
        reader, _ = open_reader(replace(options, model=file), 1)
        return reader, options


def read_content(state: tuple[Reader, ReadOptions], name: str, content: bytes | str) -> bytes:
    """Read a file that was sent; a pickled `Sent`."""
    reader, options = state
    if isinstance(content, str):
        return pickle.dumps(Sent(FileReading(name, error=content)))
    with tempfile.TemporaryDirectory(prefix="digitlab-") as folder:
        here = Path(folder)
        file = here / Path(name).name  # its ending may say what it is
        try:
            file.write_bytes(content)
        except OSError as error:
            raise ReadingError(f"{here}: {error.strerror or error}. Has the worker's disk room?") from None
        annotate, stages = (
            here / what if wanted is not None else None
            for what, wanted in (("annotate", options.annotate), ("stages", options.stages))
        )
        for drawings in (annotate, stages):
            if drawings is not None:
                drawings.mkdir()
        result = read_one(reader, file, replace(options, annotate=annotate, stages=stages))
        reason = result.error.replace(str(file), name) if result.error else None
        result = replace(result, file=name, error=reason)
        sent = Sent(result, _drawn(annotate, file.stem), _drawn(stages, file.stem))
        return pickle.dumps(sent, pickle.HIGHEST_PROTOCOL)


def _drawn(folder: Path | None, stem: str) -> bytes | None:
    file = folder / f"{stem}.png" if folder is not None else None
    return file.read_bytes() if file is not None and file.is_file() else None
