"""Read many files with all cores: in order, in bounded memory, an error for one file never stopping the rest."""

from __future__ import annotations

import glob
import pickle
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitlab.errors import ProcessError, ReadingError
from digitlab.machine import usable_cores
from digitlab.processes import SECONDS, Work, Worker, can_fork, map_in_processes, plain_loads
from digitlab.reading.reader import Reader
from digitlab.reading.results import Reading
from digitlab.reading.spreadsheet import digit_rows, error_row
from digitlab.reading.tables import Table, tables_of

ENDINGS = "png jpg jpeg jpe webp tif tiff bmp gif ppm pgm pbm jp2 j2k heic heif hif avif pdf"
SUFFIXES = frozenset(f".{ending}" for ending in ENDINGS.split(" "))
# Starting a second process costs as much as reading this many images.
WORTH_A_POOL = 8
# Files handed to each worker ahead of its turn: enough to keep it busy, few enough to bound the memory.
AHEAD = 4


@dataclass(frozen=True)
class ReadOptions:
    """How `read_files` reads.

    Attributes:
        model: as `Reader` takes it.
        single: every image is one digit.
        reject: False to name a digit for everything that is found.
        annotate: a folder for the images with boxes drawn in, `<name>.png`; None for none.
        stages: a folder for images of every stage, `<name>.png`; None for none.
        workers: processes; None for one per core where there are many files.
        timeout: seconds that one image may take.
        tables: also find the rows and columns of each page.
        crops: also cut out the doubtful numbers.
    """

    model: str | Path | None = None
    single: bool = False
    reject: bool = True
    annotate: Path | None = None
    stages: Path | None = None
    workers: int | None = None
    timeout: float = SECONDS
    tables: bool = False
    crops: bool = False


@dataclass(frozen=True)
class FileReading:
    """What came of one file: a reading without its stages, tables and crops if asked for, or one line why not."""

    file: str
    reading: Reading | None = None
    error: str | None = None
    tables: tuple[Table, ...] = ()
    crops: tuple[bytes, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Turn into the one object that `digitlab read --json` prints for it."""
        if self.reading is None:
            return {"file": self.file, "error": self.error}
        return {**self.reading.as_dict(), "file": self.file}

    def as_rows(self) -> list[dict[str, Any]]:
        """Turn into the rows that `digitlab read --csv` prints: one a sign, or one with the error."""
        if self.reading is None:
            return [error_row(self.file, self.error or "")]
        return digit_rows(self.file, self.reading)


def files_of(names: Iterable[str | Path]) -> list[Path]:
    """Expand folders and patterns into files.

    Args:
        names: files, folders (every image in them, by its ending, not deeper) or patterns with `*`, `?`, `[`.

    Returns:
        Files, in the order named, those of a folder or pattern sorted, each once. A name that is none of these stays,
        so that reading it says what is wrong.

    Example:
        >>> files_of(["no-such.png"])
        [PosixPath('no-such.png')]
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        elif not path.exists() and glob.has_magic(str(name)):
            matches = glob.glob(str(name), recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
            files = sorted(Path(match) for match in matches if Path(match).is_file())
            files = files or [path]
        else:
            files = [path]
        found.update(dict.fromkeys(files))
    return list(found)


def read_files(names: Iterable[str | Path], options: ReadOptions | None = None) -> Iterator[FileReading]:
    """Read files one after another, or side by side where there are many, in processes of their own.

    Results come in the order of the files, each as soon as it and all before it are done; only a few files a worker are
    under way at any time. An image that takes longer than `timeout`, takes too much memory or crashes its decoder
    costs one line. Closing the iterator, or Ctrl-C, ends the processes; what was yielded stays.

    Args:
        names: files, folders or patterns, as `files_of` takes them.
        options: how to read.

    Yields:
        One result a file.

    Raises:
        ReadingError: the model cannot be opened (before any file is read).

    Example:
        >>> [result.error for result in read_files(["no-such.png"])]
        ['no-such.png: no such file. Check the name.']
    """
    options = options or ReadOptions()
    files = files_of(names)
    for folder in (options.annotate, options.stages):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    workers = options.workers or (len(usable_cores()) if len(files) >= WORTH_A_POOL else 1)
    if workers == 1:
        yield from _read_in_turn(files, options)
    else:
        yield from _read_side_by_side(files, options, min(workers, max(1, len(files))))


def _read_in_turn(files: list[Path], options: ReadOptions) -> Iterator[FileReading]:
    # A copy of this process, where that is possible: a single image then costs 10 ms more than without a process.
    with Worker(open_reader, (options, None), fork=can_fork()) as worker:
        worker.start()
        for file in files:
            try:
                answer = worker.ask(read_in_worker, file, seconds=options.timeout)
                yield plain_loads(answer)
            except ProcessError as error:
                yield _not_read(file, error, options)


def _read_side_by_side(files: list[Path], options: ReadOptions, workers: int) -> Iterator[FileReading]:
    work = Work(open_reader, (options, 1), read_in_worker, seconds=options.timeout, ahead=AHEAD)
    answers = map_in_processes(work, ((file,) for file in files), workers)
    for file, answer in zip(files, answers, strict=True):
        yield reading_of(file, answer, options)


def reading_of(file: Path, answer: bytes | ProcessError, options: ReadOptions) -> FileReading:
    """What a process answered of a file, or why it did not."""
    return _not_read(file, answer, options) if isinstance(answer, ProcessError) else plain_loads(answer)


def _not_read(file: Path, error: ProcessError, options: ReadOptions) -> FileReading:
    return FileReading(str(file), error=not_read(str(file), error, options.timeout))


def not_read(name: str, error: ProcessError, seconds: float) -> str:
    """The line for an image whose process had to be ended, or died.

    Example:
        >>> not_read("a.png", ProcessError("took too long", timed_out=True), 30)
        'a.png: not read within 30 s. Make it smaller, or allow more with --timeout.'
    """
    if error.timed_out:
        return f"{name}: not read within {seconds:g} s. Make it smaller, or allow more with --timeout."
    return f"{name}: {error}. Is it damaged or far too large? Save it anew as a PNG."


def open_reader(options: ReadOptions, threads: int | None) -> tuple[Reader, ReadOptions]:
    """What a process needs before it reads: the Reader, opened; and how to read."""
    import scipy.ndimage  # noqa: F401  (now, so that the first image's time is its own)

    return Reader(options.model, threads=threads, reject=options.reject), options


def read_in_worker(state: tuple[Reader, ReadOptions], file: Path) -> bytes:
    """Read a file in such a process; a pickled `FileReading`."""
    reader, options = state
    return pickle.dumps(read_one(reader, file, options), pickle.HIGHEST_PROTOCOL)


def read_one(reader: Reader, file: Path, options: ReadOptions) -> FileReading:
    """Read a file, with drawings, tables and crops as the options say; whatever is wrong with it is one line."""
    start = time.perf_counter()
    try:
        keep_stages = options.tables or options.stages is not None
        reading = reader.read(file, single=options.single, keep_stages=keep_stages)
        tables = tables_of(reading) if options.tables else ()
        if options.annotate is not None or options.stages is not None:
            from digitlab.reading.overlay import annotated, stages_picture

            if options.annotate is not None:
                annotated(file, reading).save(options.annotate / f"{file.stem}.png")
            if options.stages is not None:
                stages_picture(reading).save(options.stages / f"{file.stem}.png")
        cut: tuple[bytes, ...] = ()
        if options.crops:
            from digitlab.reading.crops import crops

            cut = crops(file, reading)
    except ReadingError as error:
        return FileReading(str(file), error=str(error))
    except OSError as error:
        return FileReading(str(file), error=f"{file}: {error.strerror or error}. Is the disk full?")
    except MemoryError:
        return FileReading(str(file), error=f"{file}: not enough memory after {time.perf_counter() - start:.0f} s.")
    return FileReading(str(file), reading.without_stages(), tables=tables, crops=cut)
