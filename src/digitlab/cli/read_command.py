"""`digitlab read`: pictures in, digits out, one line a picture."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitlab.cli.errors import fail
from digitlab.files import write_atomically

if TYPE_CHECKING:
    from digitlab.reading.bulk import FileReading
    from digitlab.reading.reader import Reading

EXAMPLES = (
    "Examples: [bold]digitlab read photo.jpg 'scans/*.png'[/]; "
    "[bold]digitlab read form.jpg --annotate out.png --json[/]; [bold]digitlab read folder/ --csv > digits.csv[/]"
)


def read(
    pictures: Annotated[list[str], typer.Argument(help="Pictures, folders of pictures, or patterns.")],
    model: Annotated[
        str | None, typer.Option(help="A run, a group, or an .onnx file. (default: the network inside)")
    ] = None,
    single: Annotated[bool, typer.Option("--single", help="The whole picture is one digit: never split.")] = False,
    reject: Annotated[bool, typer.Option("--reject/--no-reject", help="Show ? for what is no digit.")] = True,
    annotate: Annotated[
        Path | None, typer.Option(help="Draw what was read: a .png file for one picture, a folder for many.")
    ] = None,
    stages: Annotated[
        Path | None, typer.Option(help="Show every step on the way: a .png file for one picture, a folder for many.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture and line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a digit.")] = False,
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs, for --model.", show_default=False)] = None,
) -> None:
    """Read handwritten digits in photos, scans and drawings."""
    if as_json and as_csv:
        fail("--json and --csv: choose one of them", 2)
    from digitlab.startup import import_ndimage_quickly

    import_ndimage_quickly()
    from digitlab.reading.bulk import ReadOptions, files_of, read_files

    files = files_of(pictures)
    if not files:
        fail(f"{', '.join(pictures)}: no pictures there; expected files such as photo.jpg", 1)
    with tempfile.TemporaryDirectory() as name:
        wanted = {"--annotate": annotate, "--stages": stages}
        folders = {option: _drawings(option, target, len(files), Path(name)) for option, target in wanted.items()}
        options = ReadOptions(model_of(model, runs), single, reject, folders["--annotate"], folders["--stages"])
        failed = _print_all(read_files(files, options), len(files), as_json, as_csv)
        for option, target in wanted.items():
            if target is not None and target.suffix:
                for drawing in (Path(name) / option).glob("*.png"):
                    write_atomically(target, drawing.read_bytes())
    if failed:
        raise typer.Exit(1)


def _print_all(results: Iterable[FileReading], count: int, as_json: bool, as_csv: bool) -> int:
    """Print each result as it comes; returns how many pictures could not be read."""
    from digitlab.reading.bulk import CSV_FIELDS

    writer = csv.DictWriter(sys.stdout, CSV_FIELDS, lineterminator="\n")
    if as_csv:
        writer.writeheader()
    failed = 0
    for number, result in enumerate(results, 1):
        if as_json:
            print(json.dumps(result.as_dict()))
        elif as_csv:
            writer.writerows(result.as_rows())
        elif result.reading:
            print(_line(result.file, result.reading))
        sys.stdout.flush()  # Ctrl-C keeps what was done
        if result.error:
            failed += 1
            if not as_json:
                print(f"digitlab: {result.error}", file=sys.stderr)
        if count > 20 and sys.stderr.isatty():
            print(f"\r{number:,} of {count:,}", end="" if number < count else "\n", file=sys.stderr, flush=True)
    return failed


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
    """The folder to draw into: the user's own, or a passing one for a single picture's file."""
    if target is None or not target.suffix:
        return target
    if pictures > 1:
        fail(f"{option}: {target} is one file, but {pictures} pictures are read; name a folder", 2)
    if target.suffix.lower() != ".png":
        fail(f"{option}: {target} ends in {target.suffix}, expected .png", 2)
    return folder / option


def _line(file: str, reading: Reading) -> str:
    """As in ``photo.jpg  1572 / 43890  least sure 98.1 %``."""
    if not reading.digits:
        return f"{file}  no digits"
    text = " / ".join(reading.lines)
    return f"{file}  {text}  ({100 * reading.confidence:.1f} % sure of the least sure digit)"
