"""What a run's network says of images without labels: a CSV or .npz of arrays, a folder of image files."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitlab.data.arrays import images_from
from digitlab.data.class_folders import is_clutter, natural_key, read_image
from digitlab.data.csv_images import read_csv
from digitlab.errors import DataError
from digitlab.runs.register import open_run

PREPARATIONS = ("none", "photo", "resize")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says of images.

    Attributes:
        names: what each image is called: its file's name, or its number from 1.
        class_names: what the network tells apart.
        probabilities: (n, classes) float32, calibrated; rows sum to 1.
    """

    names: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: np.ndarray

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image."""
        return [self.class_names[i] for i in self.probabilities.argmax(1)]

    def to_csv(self, *, probabilities: bool = False) -> str:
        """Write as Kaggle's digit recogniser wants it, ``ImageId,Label``; probabilities on request.

        Example:
            >>> found = Predictions(("1",), ("0", "1"), np.array([[0.25, 0.75]]))
            >>> found.to_csv(probabilities=True).splitlines()
            ['ImageId,Label,p0,p1', '1,1,0.25,0.75']
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["ImageId", "Label", *([f"p{name}" for name in self.class_names] if probabilities else [])])
        for name, label, row in zip(self.names, self.labels, self.probabilities, strict=True):
            writer.writerow([name, label, *([f"{value:.6g}" for value in row] if probabilities else [])])
        return out.getvalue()


def predict(
    reference: str | Path, source: str | Path, *, prepare: str = "none", folder: str | Path | None = None
) -> Predictions:
    """Let a run's network name the class of each image; any classes, not only digits.

    Args:
        reference: The run: path, name or ``latest``; or ``reader`` for the network inside.
        source: A CSV of pixels (``pixel0,…``; a label column is passed over), a .npz with one array of images (or
            ``x_test``), or a folder of image files.
        prepare: Of a folder's images: "none" for 28 x 28 ones, bright on dark; "photo" to find the one digit in each,
            as reading does; "resize" to shrink each as it is.
        folder: Where runs live.

    Returns:
        Names, classes and probabilities.

    Raises:
        RunError: no such run.
        ReadingError: it has no model.onnx.
        DataError: no images, or images of another kind.
    """
    from digitlab.probabilities import tempered
    from digitlab.reading.model import open_model

    if prepare not in PREPARATIONS:
        raise DataError(f"--prepare: got {prepare!r}, expected one of {', '.join(PREPARATIONS)}")
    if str(reference) == "reader":
        from digitlab.reading.reader import BUNDLED

        file, classes = BUNDLED / "digits.onnx", tuple("0123456789")
    else:
        run = open_run(reference, folder)
        file, classes = run.path / "model.onnx", tuple(run.info["data"]["classes"])
    names, images = _images(Path(source), prepare)
    model = open_model(file)
    found = tempered(model.probabilities(images), model.number("temperature", 1.0)).astype(np.float32)
    return Predictions(names, classes[: found.shape[1]], found)


def _images(path: Path, prepare: str) -> tuple[tuple[str, ...], np.ndarray]:
    if path.is_dir():
        files = sorted(
            (f for f in path.iterdir() if f.is_file() and not is_clutter(f)), key=lambda f: natural_key(f.name)
        )
        if not files:
            raise DataError(f"{path}: no files, expected images. Is this the right folder?")
        return tuple(file.name for file in files), np.stack([prepared(file, prepare) for file in files])
    if path.suffix.lower() == ".csv":
        images = read_csv(path)[0]
    elif path.suffix.lower() == ".npz" and path.is_file():
        images = images_from(_array_of(path), str(path))
    else:
        raise DataError(f"{path}: no such file or not of this kind, expected a .csv, a .npz or a folder of images.")
    return tuple(str(number) for number in range(1, len(images) + 1)), images


def _array_of(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = arrays.files
            name = "x_test" if "x_test" in names else names[0] if len(names) == 1 else ""
            if name:
                return np.asarray(arrays[name])
    except Exception as error:  # NumPy and zipfile have a dozen ways to say "damaged"
        raise DataError(f"{path}: no readable .npz ({type(error).__name__}), expected one with x_test.") from None
    raise DataError(f"{path}: holds {', '.join(names)}, expected x_test, or one array of images.")


def prepared(file: Path, prepare: str) -> np.ndarray:
    """Read one image file as (28, 28) uint8, ink bright on 0.

    Args:
        file: The image.
        prepare: As for `predict`.

    Raises:
        DataError: an image of another size and no preparation, or nothing to be found in it.
        ReadingError: no image, or damaged.
    """
    if prepare == "none":
        return read_image(file, 28)
    from digitlab.reading.picture import open_pages

    page = next(open_pages(file))
    if prepare == "photo":
        from digitlab.reading.glyphs import find_glyphs

        glyphs, _ = find_glyphs(page, single=True)
        if not glyphs:
            raise DataError(f"{file}: nothing is written there, expected one digit. Remove the file.")
        return glyphs[0].image
    from PIL import Image

    grey = Image.fromarray(page.pixels).convert("L")
    side = max(grey.size)
    border = np.concatenate([np.asarray(grey)[0], np.asarray(grey)[-1]])
    square = Image.new("L", (side, side), int(np.median(border)))
    square.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
    small = np.asarray(square.resize((28, 28), Image.Resampling.BOX), np.uint8)
    return 255 - small if np.median(border) > 127 else small
