"""Digits corrected on the page, kept in a folder of own digits if the server was started with one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from digitlab.errors import ServingError
from digitlab.serving.answers import images_in, plain_name
from digitlab.serving.bodies import json_body

MAX_BODY, MOST = 1_000_000, 100
WANTED = 'expected {"images": n x 28 x 28 numbers, "labels": n digits or null, "file": "name"}'


class Corrections:
    """Answers POST /corrections.

    Args:
        folder: of own digits, as `digitlab collect` makes it; None where nothing is kept.
        in_lane: does something on a thread, one at a time.
    """

    def __init__(self, folder: Path | None, in_lane: Callable[..., Any]) -> None:
        self.folder, self.in_lane = folder, in_lane

    def routes(self) -> list[Route]:
        """The address; there is none where nothing is kept."""
        return [] if self.folder is None else [Route("/corrections", self._keep, methods=["POST"])]

    async def _keep(self, request: Request) -> Response:
        """POST /corrections: 28 x 28 images and what they are; null takes an earlier correction back."""
        body = await json_body(request, MAX_BODY, "Send fewer images at a time")
        return JSONResponse(await self.in_lane(keep, self.folder, body))


def keep(folder: Path, body: bytes) -> dict[str, int]:
    """Add the images of a request to the folder.

    Returns:
        `added`: how many are new.

    Raises:
        ServingError: not such JSON.
        DataError: the folder cannot be written, or is full.
    """
    from digitlab.collecting import Collection
    from digitlab.collecting.corrections import Correction, keep_correction

    try:
        content = json.loads(body)
        labels, name = content.pop("labels"), content.pop("file", "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ServingError(f"body: not such JSON, {WANTED}") from None
    images = images_in(json.dumps(content).encode())
    if not isinstance(labels, list) or len(labels) != len(images) or len(labels) > MOST or not isinstance(name, str):
        raise ServingError(f"labels: not one for each of {len(images)} images, {MOST} at most; {WANTED}")
    # `True` would pass for 1.
    if not all(label is None or (type(label) is int and 0 <= label <= 9) for label in labels):
        raise ServingError(f"labels: got {str(labels)[:60]}, {WANTED}")
    collection, source = Collection(folder), plain_name(name) or "drawing.png"
    return {
        "added": sum(
            keep_correction(collection, Correction(image, label, source))
            for image, label in zip(images, labels, strict=True)
        )
    }
