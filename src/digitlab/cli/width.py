"""Lines and tables that fit the terminal: what matters least is dropped first, and nothing is cut in the middle."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from digitlab.runs.events import Epoch

GAP = "  "
# Below this, even the word "epoch" takes the room of a number.
NARROW = 56


def columns_of(console: Console) -> int | None:
    """How many characters fit on a line; None where nothing limits them, as in a file or a pipe.

    Rich takes 80 for a pipe, which would cut the names that another program reads.
    """
    return console.width if console.is_terminal or os.environ.get("COLUMNS", "").isdigit() else None


def fitted(parts: Sequence[tuple[str, int]], width: int | None) -> str:
    """Join parts of a line, without those that matter least where all do not fit.

    Args:
        parts: text and rank of each, in the order shown; the highest rank goes first, equal ranks go together, rank 0
            always stays.
        width: characters; None for no limit.

    Returns:
        The line.

    Example:
        >>> parts = [("epoch 1/9", 0), ("loss 0.12", 2), ("accuracy 97 %", 1)]
        >>> fitted(parts, None), fitted(parts, 30), fitted(parts, 10)
        ('epoch 1/9  loss 0.12  accuracy 97 %', 'epoch 1/9  accuracy 97 %', 'epoch 1/9')
    """
    parts = [part for part in parts if part[0]]
    while True:
        line = GAP.join(text for text, _ in parts)
        worst = max((rank for _, rank in parts), default=0)
        if width is None or len(line) <= width or worst == 0:
            return line
        parts = [part for part in parts if part[1] < worst]


def fitting_columns(widths: Sequence[int], ranks: Sequence[int], width: int | None) -> list[int]:
    """Which columns of a table fit beside each other, two spaces apart; the highest rank goes first.

    Example:
        >>> fitting_columns([10, 8, 6], [0, 2, 1], 20)
        [0, 2]
    """
    shown = list(range(len(widths)))
    while width is not None and sum(widths[i] + len(GAP) for i in shown) - len(GAP) > width:
        worst = max(shown, key=lambda i: ranks[i])
        if ranks[worst] == 0:
            break
        shown.remove(worst)
    return shown


def epoch_line(ended: Epoch, *, images: int = 0, before: str = "", width: int | None = None) -> str:
    """One line of what an epoch brought, at least 40 characters wide.

    Args:
        ended: the epoch; val_loss and val_accuracy may be missing or NaN.
        images: a pass has, for images a second; 0 leaves them out.
        before: what stands in front, such as a seed.
        width: characters; None for no limit.

    Returns:
        The line: the rate is dropped first, then the losses, then images a second; what validation says stays longest.

    Example:
        >>> from digitlab.runs.events import Epoch
        >>> row = {"loss": 0.21, "accuracy": 0.93, "val_loss": 0.19, "val_accuracy": 0.95, "seconds": 2.0}
        >>> epoch_line(Epoch(1, 9, row), images=50_000, width=80)
        'epoch 1/9  accuracy  93.00 %  val_accuracy  95.00 %  2.00 s  25,000 images/s'
        >>> epoch_line(Epoch(1, 9, row), width=40)
        '1/9  val_accuracy  95.00 %  2.00 s'
    """
    row = ended.values
    place = f"{ended.epoch:>{len(str(ended.epochs))}}/{ended.epochs}"
    seconds, rate, accuracy = row["seconds"], row.get("learning_rate"), row.get("accuracy")
    judged = all(math.isfinite(row.get(name, math.nan)) for name in ("val_loss", "val_accuracy"))
    parts = [
        (before, 0),
        (place if width is not None and width < NARROW else f"epoch {place}", 0),
        (f"loss {row['loss']:.4f}", 5),
        ("" if accuracy is None else f"accuracy {100 * accuracy:6.2f} %", 2 if judged else 0),
        (f"val_loss {row['val_loss']:.4f}" if judged else "", 5),
        (f"val_accuracy {100 * row['val_accuracy']:6.2f} %" if judged else "", 0),
        ("" if rate is None else f"rate {rate:.1e}", 6),
        (f"{seconds:.2f} s", 1),
        (speed(images, seconds), 4),
    ]
    return fitted(parts, width)


def speed(images: int, seconds: float) -> str:
    """Images a second, "" where it is not known.

    Example:
        >>> speed(50_000, 2.0), speed(0, 2.0)
        ('25,000 images/s', '')
    """
    return f"{images / seconds:,.0f} images/s" if images and seconds > 0 else ""


def left(seconds: float) -> str:
    """Time left, as a clock shows it.

    Example:
        >>> left(7.4), left(95), left(3700)
        ('0:07 left', '1:35 left', '1:01:40 left')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
