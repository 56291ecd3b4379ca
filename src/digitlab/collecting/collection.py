"""A folder of own digits: a sub-folder per class, and of every source a record of what it gave and where from.

    my-digits/3/anna-1f3a9c02-r3c07.png     28 x 28, ink bright on 0: `digitlab train --data my-digits/` reads it
    my-digits/.sources/1f3a9c02….json       one file a photo or correction: writer, name, hash, place of each image
    my-digits/contact-sheet.html            every image to look at, with a way to throw bad ones out

An image that somebody deletes stays deleted: its source is known, and is not cut again. Each source has a record of
its own, so that two processes that add at once lose nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import DataError
from digitlab.files import remove_leftovers, write_atomically

FORMAT = 1
SOURCES = ".sources"


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image on its way into a collection.

    Attributes:
        image: (28, 28) uint8, ink bright on 0.
        label: the class: a digit, or its name.
        place: where in its source it stands, such as r3c07; unique in its source, part of the file's name.
        box: left, top, right, bottom in the source's own pixels.
        doubtful: worth a look: the reader takes it for something else, or it may be crossed out.
    """

    image: np.ndarray
    label: int | str
    place: str
    box: tuple[int, int, int, int]
    doubtful: bool = False


@dataclass(frozen=True)
class Kept:
    """One image of a collection, with where it came from; fields as in its source's record.

    Attributes:
        file: the image's path.
        label: the class, from its folder: an image moved by hand has the class it was moved to.
        writer: who wrote it; "" where nothing is known of it.
        source: the hash of the photo or correction it came from; "" where nothing is known of it.
        name: the photo's name.
        place: where in its source it stands.
        doubtful: worth a look.
    """

    file: Path
    label: str
    writer: str = ""
    source: str = ""
    name: str = ""
    place: str = ""
    doubtful: bool = False


@dataclass(frozen=True)
class Collection:
    """A folder of own digits, read when asked.

    Attributes:
        path: The folder; made when the first image is added.

    Example:
        >>> import tempfile
        >>> mine = Collection(Path(tempfile.mkdtemp()) / "my-digits")
        >>> one = Labelled(np.full((28, 28), 9, np.uint8), 3, "r3c00", (0, 0, 9, 9))
        >>> mine.add([one], writer="anna", origin="sheet", source="a.jpg", digest="ab12" * 16)
        1
        >>> [(kept.label, kept.writer, kept.file.name) for kept in mine.images()]
        [('3', 'anna', 'anna-ab12ab12-r3c00.png')]
        >>> mine.knows("ab12" * 16)
        True
    """

    path: Path

    @staticmethod
    def check_writer(writer: str) -> None:
        """Raise a DataError unless this can be part of a file's name."""
        if not re.fullmatch(r"[^\W_][\w .-]{0,39}", writer) or writer.endswith((" ", ".")):
            raise DataError(
                f"writer: got {writer!r}, expected a name of letters, digits, '-', '_' and blanks, as in anna"
            )

    def knows(self, digest: str) -> bool:
        """Whether something with this SHA-256 was added before."""
        return self._record(digest).exists()

    def add(
        self,
        items: Iterable[Labelled],
        *,
        writer: str,
        origin: str,
        source: str,
        digest: str,
        about: Mapping[str, Any] | None = None,
    ) -> int:
        """Add the images of one source, whole or not at all.

        Args:
            items: The images.
            writer: Who wrote them.
            origin: "sheet", "page" or "correction".
            source: The name of the photo.
            digest: SHA-256 of the photo or correction; a source that is known adds nothing.
            about: More to keep in the source's record.

        Returns:
            How many images are new.

        Raises:
            DataError: a writer's name that cannot be part of a file's name.
            DigitlabError: the folder cannot be written.
        """
        self.check_writer(writer)
        if self.knows(digest):
            return 0
        records = []
        for place in self.path.glob("*"):
            remove_leftovers(place)
        for item in items:
            # The same writer's image of the same source and place has the same name: written twice, it is there once.
            name = f"{writer.replace(' ', '-')}-{digest[:8]}-{item.place}.png"
            folder = self.path / str(item.label)
            _make(folder)
            write_atomically(folder / name, png_of(item.image))
            records.append(
                {
                    "file": f"{item.label}/{name}",
                    "place": item.place,
                    "box": list(item.box),
                    "doubtful": item.doubtful,
                    "sha256": hashlib.sha256(item.image.tobytes()).hexdigest(),
                }
            )
        record = {
            "format": FORMAT,
            "source": source,
            "sha256": digest,
            "origin": origin,
            "writer": writer,
            "added": datetime.datetime.now(datetime.UTC).astimezone().isoformat("T", "seconds"),
            **(about or {}),
            "images": records,
        }
        # The record last: a process killed before it leaves images that the next try writes again, one for one.
        _make(self.path / SOURCES)
        write_atomically(self._record(digest), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        return len(records)

    def images(self) -> list[Kept]:
        """Every image that is there now, class by class; those that were put there by hand have no writer.

        Raises:
            DataError: the folder cannot be read.
        """
        known: dict[str, Kept] = {}
        for record in self.sources():
            for entry in record["images"]:
                name = Path(entry["file"]).name
                known[name] = Kept(
                    self.path / entry["file"],
                    Path(entry["file"]).parent.name,
                    record["writer"],
                    record["sha256"],
                    record["source"],
                    entry["place"],
                    bool(entry["doubtful"]),
                )
        found = []
        for file in _files_of(self.path):
            entry = known.get(file.name)
            label = file.parent.name
            found.append(Kept(file, label, *_rest(entry, label)))
        return found

    def sources(self) -> list[dict[str, Any]]:
        """The records of all sources, oldest first; damaged ones are passed over."""
        records = []
        for file in sorted((self.path / SOURCES).glob("*.json")):
            try:
                record = json.loads(file.read_text("utf-8"))
                # What a person may have mended by hand: only the keys that are used are asked for.
                if record["format"] == FORMAT and isinstance(record["images"], list):
                    records.append(record)
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return sorted(records, key=lambda record: str(record.get("added", "")))

    def source(self, digest: str) -> dict[str, Any] | None:
        """The record of what has this SHA-256; None where there is none, or a damaged one."""
        try:
            record = json.loads(self._record(digest).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and isinstance(record.get("images"), list) else None

    def count_sources(self) -> int:
        """How many photos and corrections were added so far."""
        return sum(1 for _ in (self.path / SOURCES).glob("*.json"))

    def forget(self, digest: str) -> None:
        """Delete a source's images and its record, as if it had never been added."""
        record = self.source(digest)
        self.remove(entry["file"] for entry in (record or {"images": []})["images"])
        self._record(digest).unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> int:
        """Delete images by their names, such as ``3/anna-1f3a9c02-r3c07.png``; returns how many were there.

        A class folder that is empty then goes too: it would count as a class without images.

        Raises:
            DataError: a name that leads out of the folder.
        """
        count = 0
        for name in names:
            if not re.fullmatch(r"[^/\\]+/[^/\\]+\.png", name) or ".." in Path(name).parts:
                raise DataError(
                    f"{name}: not an image of {self.path}, expected a line such as 3/anna-1f3a9c02-r3c07.png"
                )
            file = self.path / name
            if file.is_file():
                file.unlink()
                count += 1
                with contextlib.suppress(OSError):  # not empty
                    file.parent.rmdir()
        return count

    def _record(self, digest: str) -> Path:
        return self.path / SOURCES / f"{digest[:16]}.json"


def _rest(entry: Kept | None, label: str) -> tuple[Any, ...]:
    """What is known of an image beside its file and class; moved to another class by hand, it is in no doubt."""
    if entry is None:
        return ()
    return entry.writer, entry.source, entry.name, entry.place, entry.doubtful and entry.label == label


def _files_of(path: Path) -> list[Path]:
    from digitlab.data.class_folders import is_clutter, natural_key

    try:
        folders = [folder for folder in path.iterdir() if folder.is_dir() and not is_clutter(folder)]
        folders.sort(key=lambda folder: natural_key(folder.name))
        return [file for folder in folders for file in sorted(folder.iterdir()) if not is_clutter(file)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected a folder of own digits.") from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}). Choose another --out folder.") from None


def png_of(image: np.ndarray) -> bytes:
    """Pack a (h, w) uint8 image as PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", optimize=True)
    return out.getvalue()
