"""`digitlab predict`: images without labels in, a table of answers out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example: [bold]digitlab predict latest test.csv --out submission.csv[/]"


def predict(
    run: Annotated[str, typer.Argument(help="The run, its name, latest, or reader for the network inside.")],
    source: Annotated[Path, typer.Argument(help="CSV of pixels, .npz, or folder of images.")],
    out: Annotated[Path | None, typer.Option(help="The CSV to write. (default: stdout)", show_default=False)] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Add a column for each class.")] = False,
    prepare: Annotated[
        str, typer.Option(help="Of a folder's images: none (28 x 28), photo (find the digit), or resize.")
    ] = "none",
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default=False)] = None,
) -> None:
    """Name the class of each image of a file or folder, as ImageId,Label."""
    from digitlab.files import write_atomically
    from digitlab.runs.predicting import predict as of_run

    found = of_run(run, source, prepare=prepare, folder=runs)
    table = found.to_csv(probabilities=probabilities)
    if out is None:
        print(table, end="")
    else:
        write_atomically(out, table)
        print(f"{out}: {len(found.names):,} images")
