"""Reading a `.npz` from anywhere: bounded in size, nothing unpickled, a false header allocates nothing."""

from __future__ import annotations

import io
import math
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def read_arrays(content: bytes, most: int) -> dict[str, np.ndarray]:
    """The arrays of a `.npz`.

    Args:
        content: of the file.
        most: bytes that all arrays together may take.

    Returns:
        The arrays by name.

    Raises:
        ValueError: damaged, too large, or something other than numbers in it; in a few printable words.

    Example:
        >>> import numpy as np
        >>> file = io.BytesIO()
        >>> np.savez(file, ink=np.arange(3))
        >>> read_arrays(file.getvalue(), 1000)["ink"].tolist()
        [0, 1, 2]
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > 10_000:
                raise ValueError(f"{len(members):,} arrays in it")
            total = sum(member.file_size for member in members)
            if total > most:
                raise ValueError(f"{total:,} bytes unpacked, at most {most:,} are read")
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except Exception as error:  # zipfile, zlib and NumPy say "damaged" in a dozen ways, some with raw bytes in them
        words = " ".join(ascii(str(error))[1:-1].split()) or type(error).__name__
        raise ValueError(words[:200]) from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    import numpy as np

    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, kind = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"array format {version}")
        size = math.prod(shape) * kind.itemsize
        if kind.hasobject or size < 0 or size > member.file_size:
            raise ValueError(f"an array of {kind} {shape} in {member.file_size:,} bytes")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
