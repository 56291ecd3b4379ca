"""`digitlab read`: images in, digits out, one line per image."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from digitlab.cli.errors import fail
from digitlab.cli.scheduler import cluster_at
from digitlab.files import printable, write_atomically

if TYPE_CHECKING:
    from digitlab.reading.bulk import FileReading
    from digitlab.reading.results import Reading

EXAMPLES = (
    "Examples: [bold]digitlab read photo.jpg 'scans/*.png'[/]; "
    "[bold]digitlab read form.jpg --annotate out.png --json[/]; "
    "[bold]digitlab read folder/ --numbers numbers.csv --review review.html[/]; "
    "[bold]digitlab read marks.jpg --table > marks.csv[/]"
)


@dataclass(frozen=True)
class _Output:
    """What is printed of each image: "text", "json", "csv" or "table"; and the opened file for its numbers."""

    form: str
    digits_only: bool
    skip_words: bool | None
    numbers: TextIO | None
    pictures: int


def read(
    pictures: Annotated[list[str], typer.Argument(metavar="IMAGES...", help="Images, folders of images, or patterns.")],
    model: Annotated[
        str | None, typer.Option(help="A run, a group, or an .onnx file. (default: the network inside)")
    ] = None,
    single: Annotated[bool, typer.Option("--single", help="The whole image is one digit: never split.")] = False,
    reject: Annotated[bool, typer.Option("--reject/--no-reject", help="Show ? for what is no digit.")] = True,
    digits_only: Annotated[
        bool, typer.Option("--digits-only", help="Leave out separators and blanks: 3.14 becomes 314.")
    ] = False,
    skip_words: Annotated[
        bool | None,
        typer.Option(
            "--skip-words/--keep-words", help="Leave out groups without a digit. (default: only from --numbers)"
        ),
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Draw what was read: a .png file for one image, a folder for many.")
    ] = None,
    stages: Annotated[
        Path | None, typer.Option(help="Show every step on the way: a .png file for one image, a folder for many.")
    ] = None,
    numbers: Annotated[
        Path | None, typer.Option(help="Write every number, its value and place to this .csv file.")
    ] = None,
    review: Annotated[
        Path | None, typer.Option(help="Write one .html page to correct the doubtful numbers in a browser.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an image and line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a sign.")] = False,
    as_table: Annotated[
        bool, typer.Option("--table", help="The rows and columns of a table, as CSV; refused cells stay empty.")
    ] = False,
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs, for --model.", show_default=False)] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one image may take.", min=0.1)] = 30.0,
    scheduler: Annotated[
        str | None, typer.Option(help="Read on a Dask cluster: tcp://HOST:8786.", show_default=False)
    ] = None,
) -> None:
    """Read handwritten digits in photos, scans and drawings."""
    forms = [form for form, chosen in (("json", as_json), ("csv", as_csv), ("table", as_table)) if chosen]
    if len(forms) > 1:
        fail(f"{' and '.join(f'--{form}' for form in forms)}: choose one of them", 2)
    from digitlab.startup import import_ndimage_quickly

    import_ndimage_quickly()
    from digitlab.reading.bulk import ReadOptions, files_of, read_files

    files = files_of(pictures)
    if not files:
        fail(f"{', '.join(pictures)}: no images there; expected files such as photo.jpg", 1)
    with tempfile.TemporaryDirectory() as name, _opened(numbers) as rows, ExitStack() as stack:
        wanted = {"--annotate": annotate, "--stages": stages}
        folders = {option: _drawings(option, target, len(files), Path(name)) for option, target in wanted.items()}
        options = ReadOptions(
            model_of(model, runs),
            single,
            reject,
            folders["--annotate"],
            folders["--stages"],
            timeout=timeout,
            tables=as_table,
            crops=review is not None,
        )
        output = _Output(forms[0] if forms else "text", digits_only, skip_words, rows, len(files))
        if scheduler is not None:
            from digitlab.reading.sent import read_files_at

            results = read_files_at(stack.enter_context(cluster_at(scheduler)), files, options)
        else:
            results = read_files(files, options)
        seen = _Review(review, options.model) if review is not None else None
        failed = _print_all(seen.kept(results) if seen else results, output)
        if seen:
            seen.write()
        for option, target in wanted.items():
            if target is not None and target.suffix:
                for drawing in (Path(name) / option).glob("*.png"):
                    write_atomically(target, drawing.read_bytes())
    if failed:
        raise typer.Exit(1)


class _Review:
    """What the page for corrections will show, gathered while the results go by."""

    def __init__(self, target: Path, model: str | Path | None) -> None:
        if target.suffix.lower() not in (".html", ".htm"):
            fail(f"--review: {target} ends in {target.suffix or 'nothing'}, expected .html", 2)
        self.target, self.model = target, "digits" if model is None else Path(model).resolve().name
        self.files = 0
        self.items: list[dict[str, Any]] = []
        self.errors: list[str] = []

    def kept(self, results: Iterable[FileReading]) -> Iterator[FileReading]:
        from digitlab.showing.review_page import review_items

        for result in results:
            if result.reading:
                self.items += review_items(result.file, self.files, result.reading, result.crops)
            else:
                self.errors.append(result.error or "")
            self.files += 1
            yield replace(result, crops=())

    def write(self) -> None:
        from digitlab.showing.review_page import render_review

        page = render_review(self.items, self.errors, files=self.files, model=self.model)
        write_atomically(self.target, page)
        print(f"digitlab: review {self.target} in a browser", file=sys.stderr)


def _opened(numbers: Path | None) -> AbstractContextManager[TextIO | None]:
    """The file for the numbers; written to as they come, so that Ctrl-C keeps what was done."""
    if numbers is None:
        return nullcontext()
    if numbers.suffix.lower() != ".csv":
        fail(f"--numbers: {numbers} ends in {numbers.suffix or 'nothing'}, expected .csv", 2)
    try:
        return numbers.open("w", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        fail(f"--numbers: {numbers}: {error.strerror}", 1)
    return nullcontext()


def _print_all(results: Iterable[FileReading], output: _Output) -> int:
    """Print each result as it comes; returns how many images could not be read."""
    from digitlab.reading.spreadsheet import DIGIT_FIELDS, NUMBER_FIELDS, number_rows

    rows = csv.DictWriter(sys.stdout, DIGIT_FIELDS, lineterminator="\n")
    numbers = csv.DictWriter(output.numbers, NUMBER_FIELDS, lineterminator="\n") if output.numbers else None
    if output.form == "csv":
        rows.writeheader()
    if numbers:
        numbers.writeheader()
    failed = 0
    for number, result in enumerate(results, 1):
        if numbers and output.numbers and result.reading:
            reading = result.reading if output.skip_words is False else result.reading.without_words()
            numbers.writerows(number_rows(result.file, reading))
            output.numbers.flush()
        if output.skip_words and result.reading:
            result = replace(result, reading=result.reading.without_words())
        if output.digits_only and result.reading:
            result = replace(result, reading=result.reading.without_separators())
        _print_one(result, output, rows)
        if result.error:
            failed += 1
            if output.form != "json":
                print(f"digitlab: {printable(result.error)}", file=sys.stderr)
        if output.pictures > 20 and sys.stderr.isatty():
            end = "" if number < output.pictures else "\n"
            print(f"\r{number:,} of {output.pictures:,}", end=end, file=sys.stderr, flush=True)
    return failed


def _print_one(result: FileReading, output: _Output, rows: csv.DictWriter[str]) -> None:
    if output.form == "json":
        print(json.dumps(result.as_dict()))
    elif output.form == "csv":
        rows.writerows(result.as_rows())
    elif output.form == "table":
        _print_tables(result, output.pictures > 1)
    elif result.reading:
        print(_line(printable(result.file), result.reading))
    sys.stdout.flush()  # Ctrl-C keeps what was done


def _print_tables(result: FileReading, named: bool) -> None:
    """The cells on stdout, after the file's name where there are several; what was refused on stderr."""
    from digitlab.reading.spreadsheet import safe_cell

    writer = csv.writer(sys.stdout, lineterminator="\n")
    for table in result.tables:
        for row in table.rows:
            writer.writerow([safe_cell(cell) for cell in ((result.file, *row) if named else row)])
        for row_number, column, text in table.refused:
            page = f" of page {table.page + 1}" if len(result.tables) > 1 else ""
            place = f"row {row_number + 1}, column {column + 1}{page}"
            print(f"digitlab: {printable(result.file)}: {place}: {text} refused, left empty", file=sys.stderr)


def model_of(model: str | None, runs: Path | None) -> str | Path | None:
    """What `Reader` takes: a run by its name as well as by its path, and a group as the file it is exported to."""
    if model is None or Path(model).suffix == ".onnx":
        return model
    from digitlab.runs.groups import Group, open_reference

    subject = open_reference(model, runs)
    if not isinstance(subject, Group):
        return subject.path
    file = subject.runs[0].path.parent / f"{subject.name}.onnx"
    newest = max((run.path / "model.keras").stat().st_mtime for run in subject.runs)
    if not file.is_file() or file.stat().st_mtime < newest:
        from digitlab.runs.finished import export
        from digitlab.startup import import_keras_quickly

        import_keras_quickly()
        export(subject, "onnx")
    return file


def _drawings(option: str, target: Path | None, pictures: int, folder: Path) -> Path | None:
    """The folder to draw into: the user's own, or a passing one for a single image's file."""
    if target is None or not target.suffix:
        return target
    if pictures > 1:
        fail(f"{option}: {target} is one file, but {pictures} images are read; name a folder", 2)
    if target.suffix.lower() != ".png":
        fail(f"{option}: {target} ends in {target.suffix}, expected .png", 2)
    return folder / option


def _line(file: str, reading: Reading) -> str:
    """As in ``photo.jpg  1572 / 43890  least certain 98.1 %``."""
    turned = "".join(f", turned by {degrees:.0f} degrees" for degrees in reading.turned[:1] if degrees)
    turned += ", straightened" if any(reading.straightened[:1]) else ""
    if not reading.digits:
        return f"{file}  no digits"
    text, sure = " / ".join(reading.lines), f"{min(99.9, 100 * reading.confidence):.1f} % sure"
    if reading.digits[0].name:  # of a network of other classes: one image, one name
        return f"{file}  {text}  ({sure})"
    return f"{file}  {text}  ({sure} of the least certain digit{turned})"
