"""Images as rows of a CSV file, as Kaggle's digit recogniser has them: `label,pixel0,…,pixel783`, or without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DataError

PIXELS = 784


def read_csv(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read a CSV file of images.

    Args:
        path: The file; its first row may name the columns. 784 columns are pixels, row by row, ink bright on 0; of 785
            the one named "label" is the label, the first where none is named.

    Returns:
        (n, 28, 28) uint8, and (n,) uint8 labels, None where there are none.

    Raises:
        DataError: no such file, no numbers, other columns, or numbers outside 0 to 255; the message names the line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "train.csv"
        >>> _ = file.write_text("7," + ",".join(["0"] * 784) + chr(10))
        >>> images, labels = read_csv(file)
        >>> images.shape, labels.tolist()
        ((1, 28, 28), [7])
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            head = lines.readline().strip().lower().split(",")
            named = any(not cell.strip(' "').replace(".", "", 1).isdigit() for cell in head)
            if not named:
                lines.seek(0)
            if len(head) not in (PIXELS, PIXELS + 1):
                raise DataError(
                    f"{path}: {len(head)} columns, expected 784 pixels, or label and 784 pixels, as in"
                    " label,pixel0,…,pixel783."
                )
            rest = lines.tell()
            if not lines.readline().strip():
                raise DataError(f"{path}: no images, expected a row for each.")
            lines.seek(rest)
            values = np.loadtxt(lines, delimiter=",", dtype=np.float32, ndmin=2, quotechar='"')
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected a CSV file of images.") from None
    except (ValueError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise DataError(f"{path}: no table of numbers ({reason}), expected label,pixel0,…,pixel783.") from None
    if values.shape[1] != len(head):
        raise DataError(f"{path}: rows of {values.shape[1]} columns, expected {len(head)}, as in the first row.")
    wrong = np.flatnonzero(~((values >= 0) & (values <= 255) & (values == np.round(values))).all(1))
    if len(wrong):
        raise DataError(
            f"{path}: line {wrong[0] + 1 + named} holds other than whole numbers 0 to 255, expected pixels as they are."
        )
    if len(head) == PIXELS:
        return values.astype(np.uint8).reshape(-1, 28, 28), None
    names = [cell.strip(' "') for cell in head]
    column = names.index("label") if named and "label" in names else 0
    labels = values[:, column]
    if labels.max() > 99:
        raise DataError(f"{path}: label {labels.max():g}, expected 0 to 9. Is the first column the label?")
    return np.delete(values, column, axis=1).astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)
