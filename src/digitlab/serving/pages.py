"""The page where one draws: its template filled, with a policy that lets it talk to this server and to nobody else."""

from __future__ import annotations

import base64
import functools
import hashlib
import re

from digitlab.showing.html import fill

SCRIPTS = (
    "numbers.js",
    "checklist.js",
    "sheet.js",
    "labels.js",
    "answer.js",
    "photos.js",
    "zoom.js",
    "export.js",
    "draw.js",
)


@functools.cache
def drawing_page(model: str, accuracy: float | None) -> tuple[str, str]:
    """Fill the page.

    Args:
        model: name of what reads.
        accuracy: on its test images, 0..1, where known.

    Returns:
        The page, and its Content-Security-Policy.

    Example:
        >>> page, policy = drawing_page("digits", 0.99)
        >>> "connect-src 'self'" in policy
        True
    """
    page = fill(
        "draw.html",
        package="digitlab.serving",
        styles=("style.css", "checklist.css", "draw.css"),
        scripts=SCRIPTS,
        model=model,
        accuracy=accuracy,
    )
    hashes = {kind: _hash(re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)[-1]) for kind in ("style", "script")}
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data: blob:; style-src '{hashes['style']}'; "
        f"script-src '{hashes['script']}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
