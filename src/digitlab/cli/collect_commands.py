"""`digitlab sheet` and `digitlab collect`: own digits, from a printed sheet or a page whose text is known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitlab.cli.errors import fail
from digitlab.errors import DigitlabError

if TYPE_CHECKING:
    from digitlab.collecting import Collection
    from digitlab.collecting.gathering import Gathered

COLLECT_EXAMPLES = (
    "Examples: [bold]digitlab collect photo.jpg --out my-digits/ --writer anna[/]; "
    "[bold]digitlab collect page.jpg --text '0123456789/555' --out my-digits/[/]"
)


def sheet(
    out: Annotated[Path, typer.Option(help="The PDF to write.")] = Path("sheet.pdf"),
    paper: Annotated[str, typer.Option(help="a4 or letter.")] = "a4",
    writer: Annotated[str, typer.Option(help="A name to print on it.")] = "",
) -> None:
    """Write a sheet to print and fill with your own digits, for `digitlab collect`."""
    from digitlab.collecting import write_sheet

    path = write_sheet(out, paper=paper, writer=writer)
    print(f"{path}: print it, write a digit in each box, photograph the whole sheet, then:")
    print("digitlab collect photo.jpg --out my-digits/ --writer NAME")


def collect(
    photos: Annotated[list[str] | None, typer.Argument(help="Photos of filled sheets, or of one page.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of own digits, a sub-folder per class.")] = Path("my-digits"),
    writer: Annotated[str, typer.Option(help="Who wrote them.")] = "me",
    text: Annotated[
        str | None, typer.Option(help="What stands on the page, lines separated by /, where it is no sheet.")
    ] = None,
    prepare: Annotated[
        str | None,
        typer.Option(help="Photos are class folders of any images: photo (find the digit in each), or resize."),
    ] = None,
    remove: Annotated[
        Path | None, typer.Option(help="Delete the images that the contact sheet wrote into this file.")
    ] = None,
) -> None:
    """Cut your own digits out of photos of the sheet, into a folder that `digitlab train` can learn from."""
    from digitlab.collecting import Collection
    from digitlab.collecting.contact_sheet import write_contact_sheet

    collection = Collection(out)
    if not photos and remove is None:
        fail("no photos given; name some, as in: digitlab collect photo.jpg --writer anna", 2)
    if text is not None and len(photos or ()) != 1:
        fail(f"--text is the text of one page, but {len(photos or ())} photos are given", 2)
    if remove is not None:
        count = collection.remove(line for line in remove.read_text("utf-8").splitlines() if line.strip())
        print(f"{count} images removed from {out}")
    if prepare is not None:
        from digitlab.collecting.class_photos import collect_class_folders

        for folder in photos or []:
            added = collect_class_folders(folder, collection, prepare=prepare, writer=writer)
            print(f"{folder}: {added} images" if added else f"{folder}: collected before, nothing added")
        photos = []
    failed = _gather(photos or [], collection, writer, text)
    if out.is_dir():
        page = write_contact_sheet(collection)
        print(f"look at {page} and throw bad ones out, then: digitlab train --from reader --data {out}")
    if failed:
        raise typer.Exit(1)


def _gather(photos: list[str], collection: Collection, writer: str, text: str | None) -> int:
    """Collect photo after photo, a line each; returns how many could not be used."""
    from digitlab.collecting import collect_page, collect_sheet
    from digitlab.reading.reader import Reader

    reader, failed = Reader() if photos else None, 0
    for photo in photos:
        try:
            if text is None:
                gathered = collect_sheet(photo, collection, writer=writer, reader=reader)
            else:
                gathered = collect_page(photo, text, collection, writer=writer, reader=reader)
            print(f"{photo}: {_words(gathered)}", flush=True)
        except DigitlabError as error:
            failed += 1
            print(f"digitlab: {error}", file=sys.stderr)
    return failed


def _words(gathered: Gathered) -> str:
    """As in ``110 digits, 1 of them to look at; 6 boxes empty, 4 crossed out``."""
    if gathered.known:
        return "collected before, nothing added"
    words = f"{gathered.added} digits" + (f", {gathered.doubtful} of them to look at" if gathered.doubtful else "")
    passed = [
        f"{gathered.empty} boxes empty" if gathered.empty else "",
        f"{gathered.crossed_out} crossed out" if gathered.crossed_out else "",
        f"lines not used, with another number of signs: {' / '.join(gathered.unused)}" if gathered.unused else "",
    ]
    return "; ".join([words, *([", ".join(part for part in passed if part)] if any(passed) else [])])
