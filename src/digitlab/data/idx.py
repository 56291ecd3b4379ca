"""Strict reading and writing of IDX files, the format in which MNIST and its relatives are kept.

An IDX file is a magic number (two zero bytes, the type of a value, the number of axes), the length of each axis as a
big-endian 32-bit integer, then the values. Nothing in it says how long the file is, so the reader checks: the magic
number, each axis, and that exactly as many bytes follow as the axes announce. A file packed with gzip is recognised by
its first two bytes, never by its name, because people rename and browsers unpack.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DataError, DigitlabError
from digitlab.files import read_bytes, write_atomically

IMAGES_MAGIC = 0x00000803  # unsigned bytes, three axes: image, row, column
LABELS_MAGIC = 0x00000801  # unsigned bytes, one axis
MATRIX_MAGIC = 0x00000C02  # 32-bit integers, two axes: QMNIST's labels, whose first column is the class

_GZIP_MAGIC = b"\x1f\x8b"
_KINDS = {IMAGES_MAGIC: "images", LABELS_MAGIC: "labels", MATRIX_MAGIC: "labels"}
_AXES = {IMAGES_MAGIC: 3, LABELS_MAGIC: 1, MATRIX_MAGIC: 2}
# Deflate cannot pack better than 1032 : 1, so a packed file announcing more than this many times its own size lies, and
# can be refused before a byte is allocated for it.
BEST_PACKING = 1032
# Ten times the largest data set of its kind (EMNIST, 640 MB).
MAX_BYTES = 8 << 30
_PIECE = 1 << 20  # 1 MiB unpacked at a time: memory follows what is really in the file
_LONGEST_SIDE = 65_535  # pixels; no data set comes near, and products of such sides stay far from overflow


def read_images(path: str | Path) -> NDArray[np.uint8]:
    """Read the images of an IDX file, packed with gzip or not.

    Args:
        path: A file with magic number 0x00000803.

    Returns:
        uint8 (n, rows, columns), values 0..255, as they lie in the file.

    Raises:
        DataError: The file cannot be read, is no IDX file of images, or is not exactly as long as it announces.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write(folder / "two.idx", np.zeros((2, 28, 28), np.uint8))
        >>> read_images(folder / "two.idx").shape
        (2, 28, 28)

    Reference:
        Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits": the IDX file format.
    """
    return decode_images(_read_bytes(path), str(path))


def read_labels(path: str | Path) -> NDArray[np.uint8]:
    """Read the labels of an IDX file, packed with gzip or not.

    QMNIST writes eight 32-bit integers an image (class, NIST series, writer, …); its first column is returned.

    Args:
        path: A file with magic number 0x00000801, or 0x00000C02 as QMNIST has it.

    Returns:
        uint8 (n,), values 0..255, as they lie in the file.

    Raises:
        DataError: The file cannot be read, is no IDX file of labels, or is not exactly as long as it announces.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write(folder / "labels.gz", np.array([7, 2, 1], np.uint8))
        >>> read_labels(folder / "labels.gz").tolist()
        [7, 2, 1]
    """
    return decode_labels(_read_bytes(path), str(path))


def decode_images(content: bytes, name: str) -> NDArray[np.uint8]:
    """Take the images out of a whole IDX file in memory; see `read_images`.

    Args:
        content: The file's bytes, packed with gzip or not.
        name: What to call the file in an error.

    Returns:
        uint8 (n, rows, columns).

    Raises:
        DataError: As `read_images`.

    Example:
        >>> decode_images(encode(np.full((1, 2, 2), 9, np.uint8)), "tiny").tolist()
        [[[9, 9], [9, 9]]]
    """
    _, shape, values = _decode(content, name, "images")
    return values.reshape(shape)


def decode_labels(content: bytes, name: str) -> NDArray[np.uint8]:
    """Take the labels out of a whole IDX file in memory; see `read_labels`.

    Args:
        content: The file's bytes, packed with gzip or not.
        name: What to call the file in an error.

    Returns:
        uint8 (n,).

    Raises:
        DataError: As `read_labels`.

    Example:
        >>> decode_labels(encode(np.array([5, 0], np.uint8)), "tiny").tolist()
        [5, 0]
    """
    magic, shape, values = _decode(content, name, "labels")
    if magic == LABELS_MAGIC:
        return values
    classes = values.view(">i4").reshape(shape)[:, 0]
    if classes.size and not 0 <= int(classes.min()) <= int(classes.max()) <= 255:
        raise DataError(
            f"{name}: classes {classes.min()} to {classes.max()} in the first column of the label matrix, expected"
            " 0 to 255. Is this a QMNIST label file?"
        )
    return classes.astype(np.uint8)


def encode(array: NDArray[np.uint8]) -> bytes:
    """Turn images or labels into the bytes of an unpacked IDX file.

    Args:
        array: uint8 (n, rows, columns) for images or uint8 (n,) for labels.

    Returns:
        The whole file, header first.

    Raises:
        DataError: Another type of value or number of axes.

    Example:
        >>> encode(np.array([7], np.uint8)).hex(" ")
        '00 00 08 01 00 00 00 01 07'
    """
    return header(array) + array.tobytes()


def header(array: NDArray[np.uint8]) -> bytes:
    """Give the first bytes of the IDX file that would hold `array`: magic number and axes.

    Args:
        array: uint8 (n, rows, columns) or uint8 (n,).

    Returns:
        16 or 8 bytes.

    Raises:
        DataError: Another type of value, number of axes, or a side without pixels.

    Example:
        >>> header(np.zeros((2, 28, 28), np.uint8)).hex(" ", 4)
        '00000803 00000002 0000001c 0000001c'
    """
    if array.dtype != np.uint8 or array.ndim not in (1, 3):
        raise DataError(
            f"array of {array.dtype} {array.shape}, expected uint8 (n, rows, columns) for images or (n,) for labels."
            " Convert it before writing IDX."
        )
    if not all(1 <= side <= _LONGEST_SIDE for side in array.shape[1:]):
        raise DataError(f"images of shape {array.shape[1:]}, expected sides of 1 to {_LONGEST_SIDE} pixels.")
    magic = IMAGES_MAGIC if array.ndim == 3 else LABELS_MAGIC
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape)


def write(path: str | Path, array: NDArray[np.uint8]) -> None:
    """Write images or labels as an IDX file; packed with gzip if the name ends in `.gz`.

    The file appears whole or not at all. A packed file carries no name and no time, so the same array always gives the
    same bytes.

    Args:
        path: Where to write; an existing file is replaced.
        array: uint8 (n, rows, columns) or uint8 (n,).

    Raises:
        DataError: The array does not fit the format, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "labels"
        >>> write(target, np.array([3, 1, 4], np.uint8))
        >>> target.stat().st_size
        11
    """
    path = Path(path)
    content = encode(array)
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    try:
        write_atomically(path, content)
    except DigitlabError as error:
        raise DataError(str(error)) from None


def sha256(array: NDArray[np.uint8]) -> str:
    """Hash the unpacked IDX file that holds `array`, without making the file.

    So `sha256sum` of a file and this of what `read_images` gave are equal, and one data set has one hash whether it
    came as IDX, `.npz` or images. 47 MB take 25 ms where the processor has SHA instructions.

    Args:
        array: uint8 (n, rows, columns) or uint8 (n,).

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: As `header`.

    Example:
        >>> sha256(np.array([7], np.uint8)) == hashlib.sha256(encode(np.array([7], np.uint8))).hexdigest()
        True
    """
    digest = hashlib.sha256(header(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read_bytes(path: str | Path) -> bytes:
    try:
        return read_bytes(Path(path), MAX_BYTES)
    except ValueError as error:
        raise DataError(f"{path}: {error}, expected an IDX file.") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected an IDX file. Check the path.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected an IDX file.") from None


def _decode(content: bytes, name: str, kind: str) -> tuple[int, tuple[int, ...], NDArray[np.uint8]]:
    """Check the whole file; give its magic number, its axes, and its values as one run of bytes."""
    packed = content.startswith(_GZIP_MAGIC)
    with _unpacking(name), gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content) as stream:
        magic, shape = _read_header(stream, name, kind)
        expected = math.prod(shape) * (4 if magic == MATRIX_MAGIC else 1)
        announced = f"{' x '.join(map(str, shape))} {'pixels' if kind == 'images' else kind}"
        possible = len(content) * BEST_PACKING if packed else len(content) - stream.tell()
        if expected > possible:
            came = f"a gzip file of {len(content):,} bytes" if packed else f"{possible:,} bytes after the header"
            raise DataError(f"{name}: {came}, expected {expected:,} bytes for {announced}. Is the file cut off?")
        if packed:
            values = np.empty(expected, np.uint8)
            filled = _fill(values, stream)
            if filled < expected:
                raise DataError(
                    f"{name}: {filled:,} bytes after the header, expected {expected:,} bytes for {announced}."
                    " Is the file cut off?"
                )
        else:
            values = np.frombuffer(content, np.uint8, expected, offset=stream.tell())
            stream.seek(expected, os.SEEK_CUR)
        if stream.read(1):
            raise DataError(
                f"{name}: more bytes than the header announces, expected {expected:,} for {announced}."
                " Is the file damaged?"
            )
    return magic, shape, values


def _fill(values: NDArray[np.uint8], stream: gzip.GzipFile | io.BytesIO) -> int:
    """Read into an array until it is full or the stream ends; memory follows what is really in the file."""
    filled = 0
    while filled < len(values):
        piece = stream.read(min(_PIECE, len(values) - filled))
        if not piece:
            break
        values[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return filled


@contextlib.contextmanager
def _unpacking(name: str) -> Iterator[None]:
    """What the gzip module says of a damaged file, as a DataError."""
    try:
        yield
    except EOFError:
        raise DataError(f"{name}: gzip data end too early, expected a whole IDX file. Is the file cut off?") from None
    except (OSError, zlib.error) as error:
        reason = str(error).rpartition(": ")[2]
        raise DataError(
            f"{name}: damaged gzip data ({reason}), expected a whole IDX file. Fetch the file again."
        ) from None


def _read_header(stream: gzip.GzipFile | io.BytesIO, name: str, kind: str) -> tuple[int, tuple[int, ...]]:
    start = stream.read(4)
    wanted = IMAGES_MAGIC if kind == "images" else LABELS_MAGIC
    if len(start) < 4:
        raise DataError(f"{name}: {len(start)} bytes, expected an IDX file of {kind}. Is the file empty or cut off?")
    (magic,) = struct.unpack_from(">I", start)
    found = _KINDS.get(magic)
    if found is None:
        raise DataError(
            f"{name}: magic number 0x{magic:08x}, expected 0x{wanted:08x} ({kind})."
            " Is this an IDX file of unsigned bytes?"
        )
    if found != kind:
        raise DataError(
            f"{name}: magic number 0x{magic:08x} ({found}), expected 0x{wanted:08x} ({kind})."
            " Are the two files swapped?"
        )
    axes = _AXES[magic]
    start += stream.read(4 * axes)
    if len(start) < 4 + 4 * axes:
        raise DataError(f"{name}: {len(start)} bytes, expected a header of {4 + 4 * axes}. Is the file cut off?")
    shape = struct.unpack_from(f">{axes}I", start, 4)
    if not all(1 <= side <= _LONGEST_SIDE for side in shape[1:]):
        sides = " x ".join(map(str, shape[1:]))
        raise DataError(f"{name}: axes of {sides}, expected sides of 1 to {_LONGEST_SIDE}. Is the file damaged?")
    return magic, shape
