"""Fourteen kinds of damage of our own, on validation images: what the recipe `robust` is chosen on.

    uv run python benchmarks/own_damage.py RUN_OR_MODEL [MORE]

None of them is one of MNIST-C's fifteen, on which the finished recipe is judged (`benchmarks/robust.py`), and few are
what `learning/disturb.py` trains on. All damage is drawn from the seed 0.
"""

# ruff: noqa: ARG001  (every kind has the same signature; half of them need no chance)
from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from digitlab.data import load

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # (28, 28) 0..1 to the same
Y, X = np.mgrid[:28, :28].astype(float)


def _faint(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x * 0.15 + rng.uniform(0, 0.85)


def _inverse(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 1 - x


def _vignette(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y0, x0 = rng.uniform(6, 21, 2)
    return np.asarray(np.clip(x + 0.8 * (1 - np.exp(-((Y - y0) ** 2 + (X - x0) ** 2) / 200)), 0, 1))


def _half_shade(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    side = (Y - 13.5) * np.sin(angle) + (X - 13.5) * np.cos(angle) > rng.uniform(-6, 6)
    return np.where(side, 0.3 * x + 0.5, x)


def _squared_paper(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size, (top, left) = int(rng.integers(5, 9)), rng.integers(0, 8, 2)
    return np.asarray(np.maximum(x, 0.6 * (((Y + top) % size < 1) | ((X + left) % size < 1))))


def _ring(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y0, x0 = rng.uniform(4, 23, 2)
    away = np.abs(np.hypot(Y - y0, X - x0) - rng.uniform(7, 12))
    return np.asarray(np.maximum(x, 0.8 * np.clip(1.6 - away, 0, 1)))


def _crossed(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, np.pi)
    away = np.abs((Y - 13.5) * np.cos(angle) - (X - 13.5) * np.sin(angle) - rng.uniform(-5, 5))
    return np.asarray(np.maximum(x, np.clip(1.5 - away, 0, 1)))


def _erased_rows(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x = x.copy()
    x[rng.random(28) < 0.25] = 0
    return x


def _gaussian_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(x + rng.normal(0, 0.38, x.shape), 0, 1)


def _pixelated(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    small = Image.fromarray(np.uint8(255 * x)).resize((11, 11), Image.Resampling.BOX)
    return np.asarray(small.resize((28, 28), Image.Resampling.NEAREST), float) / 255


def _jpeg(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(np.uint8(255 * x)).save(file, "JPEG", quality=4)
    return np.asarray(Image.open(file), float) / 255


def _defocus(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    disk = np.hypot(*np.mgrid[-3:4, -3:4]) <= 3.1
    return np.asarray(ndimage.convolve(x, disk / disk.sum(), mode="constant"))


def _worn(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cloth = ndimage.gaussian_filter(rng.normal(size=x.shape), 1.0)
    return np.asarray(x * (cloth > np.quantile(cloth, 0.35)))


def _perspective(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tilt = rng.uniform(-0.025, 0.025, 2)
    y, z = (Y - 13.5) * 1.1, (X - 13.5) * 1.1
    depth = 1 + tilt[0] * y + tilt[1] * z
    return np.asarray(ndimage.map_coordinates(x, [y / depth + 13.5, z / depth + 13.5], order=1))


DAMAGE: dict[str, tuple[str, Change]] = {
    "faint": ("15 % of the contrast, on any grey", _faint),
    "inverse": ("dark on bright", _inverse),
    "vignette": ("brighter away from a point", _vignette),
    "half shade": ("one side of a straight edge faint on grey", _half_shade),
    "squared paper": ("squares of 5 to 8 pixels", _squared_paper),
    "ring": ("the ring of a cup", _ring),
    "crossed": ("a straight line through it", _crossed),
    "erased rows": ("a quarter of the rows blank", _erased_rows),
    "Gaussian noise": ("of standard deviation 0.38", _gaussian_noise),
    "pixelated": ("11 x 11 pixels", _pixelated),
    "JPEG": ("of quality 4", _jpeg),
    "defocus": ("a disk of radius 3", _defocus),
    "worn": ("a third of the paper without ink, in flakes", _worn),
    "perspective": ("seen from a side", _perspective),
}


def damaged(images: np.ndarray, kind: str) -> np.ndarray:
    """Images (n, 28, 28) uint8 with one kind of damage."""
    rng, change = np.random.default_rng(0), DAMAGE[kind][1]
    changed = [change(image / 255, rng) for image in images]
    return np.asarray(np.rint(255 * np.clip(changed, 0, 1)), np.uint8)


def model_of(name: str) -> Any:
    """The Keras model of a run folder or of a `.keras` file."""
    import keras

    path = Path(name)
    return keras.saving.load_model(path / "model.keras" if path.is_dir() else path, compile=False)


def wrong(model: Any, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of wrong predictions, in percent."""
    from digitlab.learning.predict import predict

    return 100 * float((predict(model, images).argmax(1) != labels).mean())


def main() -> None:
    """Print a table: kinds down, models across."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="run folders or .keras files")
    options = parser.parse_args()
    from digitlab.learning.backend import import_keras

    import_keras()
    models = [model_of(name) for name in options.models]
    split = load().validation
    print("wrong, %: " + ", ".join(options.models))
    rows = []
    for kind in ("clean", *DAMAGE):
        images = split.images if kind == "clean" else damaged(split.images, kind)
        rows.append([wrong(model, images, split.labels) for model in models])
        print(f"{kind:15}" + "".join(f"{value:8.2f}" for value in rows[-1]), flush=True)
    print(f"{'mean of damage':15}" + "".join(f"{value:8.2f}" for value in np.mean(rows[1:], axis=0)))


if __name__ == "__main__":
    main()
