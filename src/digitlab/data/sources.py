"""Where a data set comes from: the MNIST in the package, a folder of IDX files, a Keras `.npz`, folders of images.

Every way in ends in the same `Source`: training and test images as uint8 (n, 28, 28), labels 0 to k - 1, and one hash
that depends only on those, so the same data have the same hash whichever way they came. What does not fit is refused in
one line that names the file; nothing is resized, clipped or guessed, with two documented exceptions: EMNIST images
are turned the right way up, and class folders of dark ink on light paper are inverted (`class_folders.py`).
"""

from __future__ import annotations

import hashlib
import math
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data import class_folders, csv_images, idx
from digitlab.errors import DataError
from digitlab.files import printable

SIDE = 28  # pixels, of every image digitlab trains on
DIGITS = tuple("0123456789")  # class names where the source has none

BUNDLED = Path(__file__).parent / "bundled"
# SHA-256 of the four unpacked files of the original distribution (bundled/LICENSE.md), in the order of `Source.parts`.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# Test images (0-based) for which no majority of human reviewers chose the official label. The official label counts;
# wherever mistakes are shown these are flagged.
MNIST_DOUBTFUL = frozenset({947, 1621, 1901, 2462, 2597, 3558, 5937, 6651, 6783, 9729, 2654, 3520, 9679, 2130, 8527})

# train-images-idx3-ubyte.gz (MNIST, Fashion-MNIST, KMNIST), train-images.idx3-ubyte (as some archives unpack it),
# qmnist-test-labels-idx2-int.gz, emnist-digits-train-images-idx3-ubyte.gz
_IDX_NAME = re.compile(
    r"(?P<family>[a-z0-9_-]+-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]idx[123][-.](ubyte|int)(\.gz)?",
    re.IGNORECASE,
)
_NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it was found, before validation images are set aside.

    Example:
        >>> mnist = bundled()
        >>> mnist.train_images.shape, mnist.test_labels.shape
        ((60000, 28, 28), (10000,))
    """

    name: str  # "MNIST", or the name of the folder or file
    location: str  # "bundled", or the path as it was given
    class_names: tuple[str, ...]  # what label 0, 1, … mean
    train_images: NDArray[np.uint8]  # (n, 28, 28), ink bright on 0
    train_labels: NDArray[np.uint8]  # (n,), 0 to len(class_names) - 1
    test_images: NDArray[np.uint8]  # (m, 28, 28)
    test_labels: NDArray[np.uint8]  # (m,)
    sha256: str  # see `content_hash`
    doubtful: frozenset[int]  # test images (0-based) whose label people dispute


def content_hash(parts: tuple[str, str, str, str]) -> str:
    """Make one hash of a data set from the hashes of its four IDX files.

    The four are training images, training labels, test images, test labels, each the SHA-256 of the unpacked IDX file
    that holds it (`idx.sha256`), whatever the data came as. The hash is the SHA-256 of the four, one per line:

        sha256sum train-images train-labels t10k-images t10k-labels | cut -c1-64 | sha256sum

    Args:
        parts: Four times 64 hexadecimal digits.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> content_hash(tuple(MNIST_SHA256.values()))
        'ac89dbc26b7b0b5f68ff586bc0579a0c16e78b3436b0c71ccdd0169cbebf9ff7'
    """
    return hashlib.sha256("".join(f"{part}\n" for part in parts).encode()).hexdigest()


def find(source: str | Path | None) -> Source:
    """Read a data set from wherever it lies.

    Args:
        source: None for the MNIST in the package; else a folder of IDX files, a `.npz`, or a folder with one sub-folder
            per class (or with `train/` and `test/`, each with one sub-folder per class).

    Returns:
        The data set, checked.

    Raises:
        DataError: Nothing there, or nothing that fits; the message names the file.

    Example:
        >>> find(None).name
        'MNIST'
    """
    if source is None:
        return bundled()
    path = Path(source)
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder, expected a folder of IDX files, a .npz, or a folder with one sub-folder"
            " per class. Check the path."
        )
    if path.is_file():
        if _IDX_NAME.fullmatch(path.name):
            raise DataError(
                f"{path}: one IDX file, expected all four of a data set. Give the folder they lie in: {path.parent}"
            )
        return csv(path) if path.suffix.lower() == ".csv" else npz(path)
    try:
        entries = [entry for entry in path.iterdir() if not class_folders.is_clutter(entry)]
        files = [entry for entry in entries if entry.is_file()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected a folder of data.") from None
    if not entries:
        raise DataError(
            f"{path}: an empty folder, expected four IDX files or one sub-folder per class. Is this the right folder?"
        )
    if any(_IDX_NAME.fullmatch(file.name) for file in files):
        return idx_folder(path)
    if len(files) == len(entries):
        raise DataError(
            f"{path}: holds {files[0].name} and {len(files) - 1:,} other files, expected four IDX files"
            f" ({', '.join(MNIST_SHA256)}) or one sub-folder per class. Sort images into one folder per class."
        )
    return _class_folder(path)


def bundled(folder: Path = BUNDLED) -> Source:
    """Read the MNIST that ships with digitlab, checking the SHA-256 of all four files.

    0.1 to 0.2 s, most of it unpacking the training images; the other files go in a second thread meanwhile.

    Args:
        folder: Where the four packed files lie.

    Returns:
        60,000 training and 10,000 test images.

    Raises:
        DataError: A file is missing or is not, byte for byte, that of the original distribution.

    Example:
        >>> bundled().class_names
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')

    Reference:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition",
        Proceedings of the IEEE 86(11), 1998.
    """
    paths = [folder / f"{name}.gz" for name in MNIST_SHA256]
    try:
        arrays = _read_four(paths)
    except DataError as error:
        raise DataError(f"{error} (This file came with digitlab; reinstalling digitlab brings it back.)") from None
    for path, (_, found), wanted in zip(paths, arrays, MNIST_SHA256.values(), strict=True):
        if found != wanted:
            raise DataError(
                f"{path}: sha256 {found} unpacked, expected {wanted}. The file is damaged; reinstall digitlab."
            )
    return _assemble("MNIST", "bundled", DIGITS, arrays)


def idx_folder(path: Path) -> Source:
    """Read a folder of four IDX files, packed with gzip or not: MNIST, Fashion-MNIST, KMNIST, QMNIST, EMNIST digits.

    Names are `train-images-idx3-ubyte` and so on, with or without `.gz`, a dot for the second last dash, `test` for
    `t10k`, a prefix such as `qmnist-`. Where a file lies there packed and unpacked, the unpacked one is read. Of
    QMNIST's label matrix the first column, the class, is used. EMNIST's files hold every image with rows and columns
    exchanged, unlike all others; files with the prefix `emnist-` are transposed back on reading.

    Args:
        path: The folder.

    Returns:
        The data set; ten classes, named "0" to "9".

    Raises:
        DataError: A file missing, swapped, damaged, of another size, or with labels above 9.

    Example:
        >>> idx_folder(BUNDLED).sha256 == bundled().sha256
        True
    """
    files = _four_files(path)
    arrays = _read_four(files)
    if files[0].name.lower().startswith("emnist-"):
        for position in (0, 2):
            if arrays[position][0].ndim == 3:
                upright = np.ascontiguousarray(arrays[position][0].transpose(0, 2, 1))
                arrays[position] = (upright, idx.sha256(upright))
    names = [str(file) for file in files]
    _check(arrays[0][0], arrays[1][0], names[0], names[1])
    _check(arrays[2][0], arrays[3][0], names[2], names[3])
    return _assemble(path.resolve().name, str(path), DIGITS, arrays)


def npz(path: Path) -> Source:
    """Read a `.npz` as Keras keeps its data sets: x_train, y_train, x_test, y_test. Nothing in it is unpickled.

    Args:
        path: The file; images integer (n, 28, 28) or (n, 28, 28, 1) in 0..255, labels integer (n,) or (n, 1) in 0..9.

    Returns:
        The data set; ten classes, named "0" to "9".

    Raises:
        DataError: Not such a file, or arrays of another shape, type or range.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "tiny.npz"
        >>> x, y = np.zeros((3, 28, 28, 1), np.uint8), np.array([[0], [1], [2]])
        >>> np.savez_compressed(file, x_train=x, y_train=y, x_test=x, y_test=y)
        >>> npz(file).train_labels.tolist()
        [0, 1, 2]
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = {name.removesuffix(".npy") for name in archive.namelist()}
            missing = [name for name in _NPZ_NAMES if name not in present]
            if missing:
                found = printable(", ".join(sorted(present)))[:200] or "nothing"
                raise DataError(
                    f"{path}: holds {found}, expected {', '.join(_NPZ_NAMES)};"
                    f" {', '.join(missing)} missing. Save it with numpy.savez_compressed under these names."
                )
            raw = [_npz_member(archive, path, name) for name in _NPZ_NAMES]
    except DataError:
        raise
    except Exception as error:  # a damaged archive raises a dozen kinds from zipfile, zlib and NumPy's header parser
        reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
        raise DataError(
            f"{path}: no readable .npz ({reason}), expected a .npz with {', '.join(_NPZ_NAMES)}, or a folder of data."
        ) from None
    for offset in (0, 2):
        _check(raw[offset], raw[offset + 1], *(f"{path}: {name}" for name in _NPZ_NAMES[offset : offset + 2]))
    arrays = [array.astype(np.uint8) for array in raw]
    return _assemble(path.stem, str(path), DIGITS, [(array, idx.sha256(array)) for array in arrays])


def csv(path: Path) -> Source:
    """Read a CSV file of labelled images, as Kaggle's digit recogniser has them; a sixth become the test images.

    Args:
        path: The file; see `csv_images.read_csv`.

    Returns:
        The data set; ten classes, named "0" to "9".

    Raises:
        DataError: not such a file, no labels, labels above 9, or a class of fewer than 2 images.
    """
    images, labels = csv_images.read_csv(path)
    if labels is None:
        raise DataError(
            f"{path}: 784 columns and so no labels, expected label,pixel0,… to learn from."
            f" To have it read: digitlab predict RUN {path} --out submission.csv"
        )
    _check(images, labels, str(path), f"{path}: label")
    classes = [images[labels == label] for label in range(len(DIGITS))]
    small = next((label for label, found in enumerate(classes) if len(found) < 2), None)
    if small is not None:
        raise DataError(f"{path}: {len(classes[small])} images of {small}, expected at least 2 of each digit.")
    arrays = [part for split in class_folders.split_by_content(classes) for part in class_folders.interleaved(split)]
    return _assemble(path.stem, str(path), DIGITS, [(array, idx.sha256(array)) for array in arrays])


def _class_folder(path: Path) -> Source:
    pictures = class_folders.read(path, SIDE)
    arrays = [pictures.train_images, pictures.train_labels, pictures.test_images, pictures.test_labels]
    hashed = [(array, idx.sha256(array)) for array in arrays]
    return _assemble(path.resolve().name, str(path), pictures.class_names, hashed)


def _assemble(
    name: str, location: str, class_names: tuple[str, ...], arrays: list[tuple[NDArray[np.uint8], str]]
) -> Source:
    (train_images, a), (train_labels, b), (test_images, c), (test_labels, d) = arrays
    test_is_mnist = [c, d] == list(MNIST_SHA256.values())[2:]
    return Source(
        name=name,
        location=location,
        class_names=class_names,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        sha256=content_hash((a, b, c, d)),
        doubtful=MNIST_DOUBTFUL if test_is_mnist else frozenset(),
    )


def _read_four(files: list[Path]) -> list[tuple[NDArray[np.uint8], str]]:
    """Read and hash training images, training labels, test images, test labels; zlib and SHA-256 release the GIL."""

    def read(position: int) -> tuple[NDArray[np.uint8], str]:
        array = (idx.read_labels if position % 2 else idx.read_images)(files[position])
        return array, idx.sha256(array)

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(read, range(4)))


def _four_files(path: Path) -> list[Path]:
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for file in sorted(path.iterdir()):
        match = _IDX_NAME.fullmatch(file.name)
        if match and file.is_file():
            part = ("train" if match["split"].lower() == "train" else "test", match["kind"].lower())
            # Sorted, so that the unpacked file of a pair replaces nothing: it comes before its `.gz`.
            found.setdefault(part, {}).setdefault(file.name.lower().removesuffix(".gz"), file)
    parts = [("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels")]
    for part in parts:
        if len(found.get(part, {})) > 1:
            raise DataError(
                f"{path}: {' and '.join(file.name for file in found[part].values())}, expected one file of"
                f" {part[0]} {part[1]}. Give each data set its own folder."
            )
    missing = [part for part in parts if part not in found]
    if missing:
        usual = dict(zip(parts, MNIST_SHA256, strict=True))
        there = ", ".join(file.name for part in found.values() for file in part.values()) or "no IDX file"
        raise DataError(
            f"{path}: holds {there}; {' and '.join(usual[part] for part in missing)} (or with .gz) missing."
            " Put the file there under that name."
        )
    return [next(iter(found[part].values())) for part in parts]


def _npz_member(archive: zipfile.ZipFile, path: Path, name: str) -> NDArray[Any]:
    """Read one array after checking that its header and its size agree, so that a false header allocates nothing."""
    member = archive.getinfo(f"{name}.npy")
    wanted = "(n, 28, 28) of integers 0..255" if name.startswith("x") else "(n,) of integers 0..9"
    with archive.open(member) as file:
        shape, dtype = _npy_header(file)
    if dtype.kind not in "iu":
        hint = " Scale it back to 0..255 and save it as uint8." if dtype.kind == "f" else ""
        raise DataError(f"{path}: {name} has type {dtype}, expected {wanted}.{hint}")
    size = math.prod(shape) * dtype.itemsize
    possible = min(member.file_size, path.stat().st_size * idx.BEST_PACKING)
    if size > possible:
        raise DataError(f"{path}: {name} announces {size:,} bytes, expected at most {possible:,}. Is the file damaged?")
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    last = array.shape[-1:] == (1,)
    if last and array.ndim == (4 if name.startswith("x") else 2):
        array = array[..., 0]
    if array.ndim != (3 if name.startswith("x") else 1):
        raise DataError(f"{path}: {name} has shape {shape}, expected {wanted}. Reshape it before saving.")
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= 255:
        raise DataError(f"{path}: {name} holds {array.min()} to {array.max()}, expected {wanted}.")
    return array


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def _check(images: NDArray[Any], labels: NDArray[Any], images_name: str, labels_name: str) -> None:
    """Refuse images and labels that do not belong together or are not 28 x 28 images of ten classes."""
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"{images_name}: images of {' x '.join(map(str, images.shape[1:]))} pixels, expected {SIDE} x {SIDE}."
            " Resize them before training."
        )
    if len(images) != len(labels):
        raise DataError(
            f"{labels_name}: {len(labels):,} labels for the {len(images):,} images of {images_name}, expected as many."
            " Do the two belong together?"
        )
    if not len(images):
        raise DataError(f"{images_name}: no images, expected at least one.")
    if int(labels.max()) >= len(DIGITS):
        first = int(np.argmax(labels >= len(DIGITS)))
        raise DataError(
            f"{labels_name}: label {labels[first]} at position {first}, expected 0 to {len(DIGITS) - 1}."
            " Renumber the labels, or use one sub-folder per class."
        )
