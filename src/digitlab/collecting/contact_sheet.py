"""The contact sheet of a collection: one HTML page with every image, to look at and to throw bad ones out."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path

from digitlab.collecting.collection import Collection, Kept
from digitlab.files import write_atomically

FILE = "contact-sheet.html"
_TEMPLATE = Path(__file__).parent / "contact_sheet.html"


def write_contact_sheet(collection: Collection) -> Path:
    """Write the page into the collection's folder; it needs no server and no network.

    Args:
        collection: As it is now; the page shows what was there when it was written.

    Returns:
        The page's path.

    Raises:
        DataError: the folder cannot be read.
        DigitlabError: the page cannot be written.
    """
    images = collection.images()
    classes: dict[str, list[Kept]] = {}
    for image in images:
        classes.setdefault(image.label, []).append(image)
    doubtful = sum(image.doubtful for image in images)
    writers = sorted({image.writer or "unknown" for image in images})
    words = {
        "title": escape(collection.path.resolve().name),
        "count": f"{len(images):,} images by {escape(', '.join(writers)) or 'nobody'}",
        "doubtful": f"{doubtful} to look at first (framed)" if doubtful else "none stands out",
        "classes": "".join(_class(label, found) for label, found in classes.items()) or "<p>No images yet.</p>",
        "folder": json.dumps(str(collection.path)).replace("<", "\\u003c"),
    }
    page = _TEMPLATE.read_text("utf-8")
    for name, value in words.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    path = collection.path / FILE
    write_atomically(path, page)
    return path


def _class(label: str, images: list[Kept]) -> str:
    first = sorted(images, key=lambda image: not image.doubtful)
    return f"<h2>{escape(label)} <small>{len(images)}</small></h2><div class=row>{''.join(map(_image, first))}</div>"


def _image(image: Kept) -> str:
    name = f"{image.label}/{image.file.name}"
    packed = base64.b64encode(image.file.read_bytes()).decode()
    about = " · ".join(part for part in (image.writer, image.name, image.place) if part) or image.file.name
    state = " class=doubtful" if image.doubtful else ""
    return (
        f"<button{state} data-name='{escape(name, quote=True)}' title='{escape(about, quote=True)}' aria-pressed=false>"
        f"<img alt='{escape(image.label)}' src='data:image/png;base64,{packed}'></button>"
    )
