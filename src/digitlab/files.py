"""Writing files so that nothing is ever half there; reading them bounded; their names as they can be shown."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from digitlab.errors import DigitlabError

# Control characters could make a terminal do things, others turn the direction of writing; lone surrogates cannot be
# printed at all.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    r"""Text from elsewhere, a file's name for instance, on one line and without anything that a terminal would obey.

    Example:
        >>> printable("a\x1b[31m.png")
        'a?[31m.png'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def read_bytes(file: Path, most: int) -> bytes:
    """The content of an ordinary file of bounded size.

    Raises:
        FileNotFoundError: not there.
        ValueError: a folder, a pipe or a device, or too large.
        OSError: it cannot be read.
    """
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("no ordinary file")
    if found.st_size > most:
        raise ValueError(f"{found.st_size:,} bytes, expected at most {most:,}")
    with file.open("rb") as opened:
        # Not `most`: so much would be allocated first, which a capped process may not have.
        content = opened.read(min(most, os.fstat(opened.fileno()).st_size) + 1)
    if len(content) > most:
        raise ValueError(f"more than {most:,} bytes")
    return content


def write_atomically(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Write a file so that, whenever the process or the machine dies, either the old or the new one is there.

    Args:
        path: The file; its folder must exist.
        content: Bytes, or text to be written as UTF-8.
        durable: Wait until the disk has it; False for what is stale in a moment.

    Raises:
        DigitlabError: the disk is full or the folder cannot be written; the old file is untouched.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "a.txt", "ink")
        ...     (Path(folder) / "a.txt").read_text()
        'ink'
    """
    # The process id keeps two processes from writing through the same temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            _keep_name(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DigitlabError(
            f"{path}: could not be written ({error.strerror}); what was there is untouched. "
            "Make room or choose another folder"
        ) from error


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Take away what `write_atomically` left in a folder where its process was killed in the middle.

    Args:
        folder: Where the files are.
        name: Of which file; all where left out.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, ".a.txt.999999999.tmp").write_text("in")  # no such process
        ...     remove_leftovers(Path(folder))
        ...     list(Path(folder).iterdir())
        []
    """
    for file in folder.glob(f".{name}.*.tmp"):
        writer = file.name.split(".")[-2]
        if writer.isdigit() and not _lives(int(writer)):
            with contextlib.suppress(OSError):
                file.unlink()


def _lives(process: int) -> bool:
    if os.name == "nt":  # where signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _keep_name(folder: Path) -> None:
    """Have the disk keep a new name as well as the content: else a power cut may bring back the old file."""
    if os.name == "nt":  # where a folder cannot be opened, and the name is kept with the file
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:  # a file system that cannot; the file is whole in any case
        pass
    finally:
        os.close(descriptor)
