"""Read many files with all cores: in order, in bounded memory, an error for one file never stopping the rest."""

from __future__ import annotations

import glob
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from digitlab.errors import ReadingError
from digitlab.reading.reader import Reader
from digitlab.reading.results import Reading

ENDINGS = "png jpg jpeg jpe webp tif tiff bmp gif ppm pgm pbm heic heif avif"
SUFFIXES = frozenset(f".{ending}" for ending in ENDINGS.split(" "))
# Starting a second process costs as much as reading this many pictures.
WORTH_A_POOL = 8
# Files handed to each worker ahead of its turn: enough to keep it busy, few enough to bound the memory.
AHEAD = 4


@dataclass(frozen=True)
class ReadOptions:
    """How `read_files` reads.

    Attributes:
        model: as `Reader` takes it.
        single: every picture is one digit.
        reject: False to name a digit for everything that is found.
        annotate: a folder for the pictures with boxes drawn in, `<name>.png`; None for none.
        stages: a folder for pictures of every stage, `<name>.png`; None for none.
        workers: processes; None for one a core, 1 to stay in this one.
    """

    model: str | Path | None = None
    single: bool = False
    reject: bool = True
    annotate: Path | None = None
    stages: Path | None = None
    workers: int | None = None


@dataclass(frozen=True)
class FileReading:
    """What came of one file: a reading without its stages, or one line that says why not."""

    file: str
    reading: Reading | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Turn into the one object that `digitlab read --json` prints for it."""
        if self.reading is None:
            return {"file": self.file, "error": self.error}
        return {**self.reading.as_dict(), "file": self.file}

    def as_rows(self) -> list[dict[str, Any]]:
        """Turn into the rows that `digitlab read --csv` prints: one a digit, or one with the error."""
        if self.reading is None:
            return [{**dict.fromkeys(CSV_FIELDS, ""), "file": self.file, "error": self.error}]
        return [
            {
                "file": self.file,
                "page": digit.page,
                "line": digit.line,
                "digit": digit.character,
                "confidence": round(digit.confidence, 4),
                **dict(zip(("left", "top", "right", "bottom"), digit.box, strict=True)),
                "reason": digit.reason,
                "error": "",
            }
            for digit in self.reading.digits
        ]


CSV_FIELDS = ("file", "page", "line", "digit", "confidence", "left", "top", "right", "bottom", "reason", "error")


def files_of(names: Iterable[str | Path]) -> list[Path]:
    """Expand folders and patterns into files.

    Args:
        names: files, folders (every picture in them, by its ending, not deeper) or patterns with `*`, `?`, `[`.

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
    """Read files one after another, or side by side where there are many.

    Results come in the order of the files, each as soon as it and all before it are done; only a few files a worker are
    under way at any time. Closing the iterator, or Ctrl-C, ends the workers; what was yielded stays. In a script, call
    it under `if __name__ == "__main__":`, since the workers import the script.

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
    workers = options.workers or (os.cpu_count() or 1 if len(files) >= WORTH_A_POOL else 1)
    reader = Reader(options.model, reject=options.reject)
    if workers == 1:
        for file in files:
            yield _read_one(reader, file, options)
    else:
        del reader
        yield from _read_side_by_side(files, options, min(workers, max(1, len(files))))


def _read_side_by_side(files: list[Path], options: ReadOptions, workers: int) -> Iterator[FileReading]:
    waiting = deque(files)
    # A file that killed its worker (out of memory, say) is told apart by trying the suspects one at a time.
    while waiting:
        pool = _pool(options, workers)
        under_way: deque[tuple[Path, Future[FileReading]]] = deque()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < AHEAD * workers:
                    file = waiting.popleft()
                    under_way.append((file, pool.submit(_read_in_worker, file)))
                result = under_way[0][1].result()
                under_way.popleft()
                yield result
        except BrokenProcessPool:
            suspects = [file for file, _ in under_way]
            for file in suspects:
                yield _read_alone(file, options)
        finally:
            _end(pool)


def _read_alone(file: Path, options: ReadOptions) -> FileReading:
    pool = _pool(options, 1)
    try:
        return pool.submit(_read_in_worker, file).result()
    except BrokenProcessPool:
        return FileReading(str(file), error=f"{file}: reading it ended the process. Is it too large for the memory?")
    finally:
        _end(pool)


def _pool(options: ReadOptions, workers: int) -> ProcessPoolExecutor:
    # Not fork: ONNX Runtime's threads do not survive it.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(options,))


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop at once, also in the middle of a file."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)


_worker: dict[str, Any] = {}


def _start_worker(options: ReadOptions) -> None:
    # Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker["options"] = options
    _worker["reader"] = Reader(options.model, threads=1, reject=options.reject)


def _read_in_worker(file: Path) -> FileReading:
    return _read_one(_worker["reader"], file, _worker["options"])


def _read_one(reader: Reader, file: Path, options: ReadOptions) -> FileReading:
    start = time.perf_counter()
    try:
        reading = reader.read(file, single=options.single)
        if options.annotate is not None or options.stages is not None:
            from digitlab.reading.overlay import annotated, stages_picture

            if options.annotate is not None:
                annotated(file, reading).save(options.annotate / f"{file.stem}.png")
            if options.stages is not None:
                stages_picture(reading).save(options.stages / f"{file.stem}.png")
    except ReadingError as error:
        return FileReading(str(file), error=str(error))
    except OSError as error:
        return FileReading(str(file), error=f"{file}: {error.strerror or error}. Is the disk full?")
    except MemoryError:
        return FileReading(str(file), error=f"{file}: not enough memory after {time.perf_counter() - start:.0f} s.")
    return FileReading(str(file), reading.without_stages())
