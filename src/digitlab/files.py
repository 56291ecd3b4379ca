"""Writing files so that nothing is ever half there."""

from __future__ import annotations

import os
from pathlib import Path

from digitlab.errors import DigitlabError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that, whenever the process or the machine dies, either the old or the new one is there.

    Args:
        path: The file; its folder must exist.
        content: Bytes, or text to be written as UTF-8.

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
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DigitlabError(
            f"{path}: could not be written ({error.strerror}); what was there is untouched. "
            "Make room or choose another folder"
        ) from error
