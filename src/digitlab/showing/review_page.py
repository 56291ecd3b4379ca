"""One page to correct what was read in many images: it needs no server, and hands out the corrected table."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from digitlab.reading.results import Reading
from digitlab.showing.html import fill


def review_items(file: str, photo: int, reading: Reading, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """Say what the page shows of one image: its numbers in reading order, groups without a digit left out.

    Args:
        file: the image's name.
        photo: its place among all.
        reading: what was read.
        pictures: a JPEG for each of its numbers, or empty bytes.

    Returns:
        Plain values, for JSON.

    Example:
        >>> review_items("empty.png", 0, Reading(), [])
        []
    """
    kept = reading.without_words().numbers
    return [
        {
            **number.as_dict(),
            "file": file,
            "order": [photo, place],
            "crop": f"data:image/jpeg;base64,{base64.b64encode(cut).decode('ascii')}" if cut else "",
        }
        for place, (number, cut) in enumerate(zip(reading.numbers, pictures, strict=True))
        if number in kept
    ]


def render_review(items: Iterable[dict[str, Any]], errors: Sequence[str], *, files: int, model: str) -> str:
    """Write the page.

    Args:
        items: from `review_items`, of all images.
        errors: a line for each image that could not be read.
        files: how many images were read.
        model: the name of what read them.

    Returns:
        HTML that asks nobody for anything.

    Example:
        >>> "not an image" in render_review([], ["a.png: not an image"], files=1, model="digits")
        True
    """
    return fill(
        "review.html",
        styles=("style.css", "checklist.css", "review.css"),
        scripts=("numbers.js", "checklist.js", "review.js"),
        items=list(items),
        errors=list(errors),
        files=files,
        model=model,
    )
