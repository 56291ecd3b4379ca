"""How results show themselves in a notebook: a heading, a few rows, a small image; plain HTML without scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def card(title: str, rows: Sequence[tuple[str, str]], picture: str = "") -> str:
    """A heading, rows of two cells, and an image that is HTML already.

    Example:
        >>> card("a < b", [("accuracy", "98 %")])
        '<div><b>a &lt; b</b><table><tr><th style="text-align:left">accuracy</th><td>98 %</td></tr></table></div>'
    """
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows
    )
    return f"<div><b>{escape(title)}</b>{f'<table>{cells}</table>' if cells else ''}{picture}</div>"


def image(pixels: np.ndarray, words: str, *, height: int) -> str:
    """Pixels as an image that lies in the page.

    Args:
        pixels: (h, w) uint8.
        words: for whoever does not see it.
        height: shown, in pixels of the screen.

    Example:
        >>> import numpy as np
        >>> image(np.zeros((2, 2), np.uint8), "nothing", height=20)[:32]
        '<img style="height:20px;image-re'
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    address = base64.b64encode(file.getvalue()).decode("ascii")
    style = f"height:{height}px;image-rendering:pixelated"
    return f'<img style="{style}" alt="{escape(words, quote=True)}" src="data:image/png;base64,{address}">'


def curve(values: Sequence[float], words: str) -> str:
    """A line over the epochs, as SVG; "" for fewer than two values.

    Example:
        >>> curve([0.9], ""), curve([0.9, 0.95], "it rises")[:4]
        ('', '<svg')
    """
    known = [value for value in values if value - value == 0]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    points = " ".join(
        f"{4 + 192 * i / (len(known) - 1):.1f},{46 - 42 * (value - low) / ((high - low) or 1):.1f}"
        for i, value in enumerate(known)
    )
    line = f'<polyline points="{points}" fill="none" stroke="#00639c" stroke-width="2"/>'
    return f'<svg width="200" height="50" role="img" aria-label="{escape(words, quote=True)}">{line}</svg>'
