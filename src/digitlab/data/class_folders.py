"""A data set kept as images: one sub-folder per class, its name the class.

    mine/0/*.png  mine/1/*.png  …                   split here: of each class a sixth becomes the test images
    mine/train/0/*.png …  mine/test/0/*.png …       split as given

**Order.** Labels follow the folder names in natural order (2 before 10). Within a class images are ordered by the
SHA-256 of their pixels, then the classes are interleaved so that every stretch of the data set holds them in equal
shares. So the order, the test images and the validation images (the last of the training images) are stratified and
look random, but depend on nothing but the images: not on file names, the machine, or a seed.

**Polarity.** digitlab's images are bright ink on 0. If the median of all border pixels of the whole data set is
above 127 the background is light and every image is inverted. It is decided once for the data set, not an image at a
time: clothes and thick strokes reach the border, and an image turned by mistake is worse than none.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digitlab.data.image_files import eight_bit, opened_image, to_plain
from digitlab.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

FEWEST_CLASSES, MOST_CLASSES = 2, 100
TEST_SHARE = 6  # one image in six is a test image, as in MNIST
# Beside what systems leave: the page that `digitlab collect` writes into a folder of own digits.
_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini", "contact-sheet.html"}


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a folder of class folders holds: uint8 images (n, side, side), ink bright on 0, labels from 0."""

    class_names: tuple[str, ...]
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def is_clutter(path: Path) -> bool:
    """Say whether a file or folder is left by a system rather than put there by a person.

    Example:
        >>> is_clutter(Path(".DS_Store")), is_clutter(Path("Thumbs.db")), is_clutter(Path("7.png"))
        (True, True, False)
    """
    return path.name.startswith(".") or path.name.lower() in _CLUTTER


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Give the key that sorts names as people do, numbers by value.

    Example:
        >>> sorted(["10", "b", "2", "a"], key=natural_key)
        ['2', '10', 'a', 'b']
    """
    # [0-9], not \\d: int() refuses some characters that \\d takes for digits.
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part) for part in parts if part)


def read(path: Path, side: int = 28) -> Pictures:
    """Read a folder of class folders.

    Colour becomes grey by luminance; transparent images are laid on white, on black if hardly anything shown is dark;
    16-bit grey is brought to 8; EXIF rotation is applied. Of an animation the first image counts. Nothing is resized.

    Args:
        path: The folder; see the head of this module for its two layouts.
        side: Height and width every image must have, in pixels.

    Returns:
        Training and test images with the names of the classes.

    Raises:
        DataError: Fewer than 2 or more than 100 classes, an empty class, classes that differ between train and test, a
            image that cannot be read or has another size; the message names the file.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, shade in [("cross", 255), ("circle", 128)] * 2:
        ...     (folder / name).mkdir(exist_ok=True)
        ...     for n in range(2):
        ...         image = Image.new("L", (28, 28))
        ...         image.putpixel((14 + n, 14), shade)
        ...         image.save(folder / name / f"{n}.png")
        >>> images = read(folder)
        >>> images.class_names, images.train_labels.tolist(), images.test_labels.tolist()
        (('circle', 'cross'), [0, 1], [0, 1])
    """
    names = {entry.name.lower(): entry for entry in _listing(path) if entry.is_dir()}
    if "train" in names or "test" in names:
        if set(names) != {"train", "test"}:
            raise DataError(
                f"{path}: sub-folders {', '.join(sorted(names))}, expected train and test, or one sub-folder per class."
                " Move the others away; validation images are set aside from train."
            )
        class_names, train = _read_split(names["train"], side)
        test_names, test = _read_split(names["test"], side)
        if class_names != test_names:
            odd = ", ".join(sorted(set(class_names) ^ set(test_names), key=natural_key))
            raise DataError(
                f"{path}: class {odd} lies in only one of train and test, expected the same classes in both."
            )
    else:
        class_names, images = _read_split(path, side)
        for name, pictures in zip(class_names, images, strict=True):
            if len(pictures) < 2:
                raise DataError(
                    f"{path / name}: 1 image, expected at least 2 (one to train, one to test). Add some, or give"
                    " train and test folders."
                )
        train, test = split_by_content(images)
    if _is_light(train + test):
        train = [255 - pictures for pictures in train]
        test = [255 - pictures for pictures in test]
    return Pictures(class_names, *_interleave(train), *_interleave(test))


def split_by_content(
    classes: list[NDArray[np.uint8]],
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Set a sixth of each class aside as test images, by nothing but the images: at least one of two or more.

    Args:
        classes: For each class (n, 28, 28) uint8.

    Returns:
        Training and test images of each class.
    """
    ordered = [_by_content(images) for images in classes]
    cuts = [len(images) - max(1, len(images) // TEST_SHARE) for images in ordered]
    return (
        [images[:cut] for images, cut in zip(ordered, cuts, strict=True)],
        [images[cut:] for images, cut in zip(ordered, cuts, strict=True)],
    )


def interleaved(classes: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Join classes so that any stretch holds them in their shares; returns images and labels."""
    return _interleave(classes)


def _listing(path: Path) -> list[Path]:
    try:
        entries = [entry for entry in path.iterdir() if not is_clutter(entry)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected a folder.") from None
    return sorted(entries, key=lambda entry: (natural_key(entry.name), entry.name))


def _read_split(path: Path, side: int) -> tuple[tuple[str, ...], list[NDArray[np.uint8]]]:
    """Read one folder of class folders: their names, and uint8 (n, side, side) a class."""
    entries = _listing(path)
    for entry in entries:
        if not entry.is_dir():
            raise DataError(
                f"{entry}: a file beside the class folders, expected only folders. Move it into its class, or away."
            )
    if not FEWEST_CLASSES <= len(entries) <= MOST_CLASSES:
        raise DataError(
            f"{path}: {len(entries)} class folders, expected {FEWEST_CLASSES} to {MOST_CLASSES}, one per class."
        )
    files: list[Path] = []
    counts: list[int] = []
    for folder in entries:
        pictures = _listing(folder)
        if not pictures:
            raise DataError(f"{folder}: an empty class, expected at least one image. Add some or remove the folder.")
        files += pictures
        counts.append(len(pictures))
    # 0.14 s a thousand images. Threads were tried: 0.17 s on two cores, the work is Python's, not the decoder's.
    images = np.stack([read_image(file, side) for file in files])
    return tuple(entry.name for entry in entries), np.split(images, np.cumsum(counts)[:-1])


def read_image(path: Path, side: int) -> NDArray[np.uint8]:
    """Read one image as grey, (side, side) uint8, its ink as bright or dark as it is in the file.

    Raises:
        DataError: no image, damaged, or of another size.
    """
    if path.is_dir():
        raise DataError(f"{path}: a folder inside a class folder, expected an image. Put the images one level up.")
    with opened_image(path, str(path)) as picture:
        # Only the header has been read so far: an image of another size, a bomb too, is never unpacked.
        if picture.size != (side, side):
            raise DataError(
                f"{path}: {picture.width} x {picture.height} pixels, expected {side} x {side}. Resize the images first."
            )
        return _to_grey(picture, path)


def _to_grey(picture: Image.Image, path: Path) -> NDArray[np.uint8]:
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    values = np.asarray(picture) if picture.mode in ("I", "F") else None
    if values is not None and (picture.mode == "F" or values.min() < 0 or values.max() > 65_535):
        raise DataError(f"{path}: values of more than 16 bits, expected 0 to 255 or 0 to 65,535. Save it as PNG.")
    return np.asarray(to_plain(eight_bit(picture)).convert("L"), np.uint8)


def _is_light(classes: list[NDArray[np.uint8]]) -> bool:
    """Say whether the median of all border pixels is above 127."""
    counts = np.zeros(256, np.int64)
    for images in classes:
        for border in (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]):
            counts += np.bincount(border.ravel(), minlength=256)
    return bool(counts[128:].sum() > counts[:128].sum())


def _by_content(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    digests = [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]
    order = sorted(range(len(images)), key=digests.__getitem__)
    return images[order]


def _interleave(classes: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Join classes so that any stretch holds them in their shares: image i of n goes to place (i + 1/2) / n."""
    images = np.concatenate([_by_content(pictures) for pictures in classes])
    labels = np.repeat(np.arange(len(classes), dtype=np.uint8), [len(pictures) for pictures in classes])
    places = np.concatenate([(np.arange(len(pictures)) + 0.5) / len(pictures) for pictures in classes])
    order = np.argsort(places, kind="stable")
    return np.ascontiguousarray(images[order]), labels[order]
