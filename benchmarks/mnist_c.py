"""The fifteen corruptions of MNIST-C with the functions, severities and parameters that its authors published.

Written anew after the authors' `corruptions.py` (Apache 2.0), function by function, vectorised where that changes
nothing; random numbers are our own, so images differ from the published files as two drawings of them would. Used for
judging only: nothing in the package trains on these. Needs scikit-image, for Canny's edges.

Reference:
    N. Mu and J. Gilmer, MNIST-C: A Robustness Benchmark for Computer Vision (2019), arXiv:1906.02337;
    github.com/google-research/mnist-c.
"""

# ruff: noqa: ARG001  (every kind has the same signature; half of them need no chance)
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # (n, 28, 28) 0..1 to the same


def _shot_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 5: 3 photons."""
    return rng.poisson(x * 3) / 3


def _impulse_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 4: 17 % of the pixels, half of them white."""
    hit, white = rng.random(x.shape) < 0.17, rng.random(x.shape) < 0.5
    return np.where(hit, white, x)


def _glass_blur(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 1: sigma 0.7, neighbours swapped twice. The authors blur along columns only (`multichannel` of 2-D)."""
    x = np.asarray(255 * ndimage.gaussian_filter1d(x, 0.7, axis=1, mode="nearest"), np.uint8)
    every = np.arange(len(x))
    for _ in range(2):
        for h in range(27, 1, -1):
            for w in range(27, 1, -1):
                swapped = rng.random(len(x)) < 0.5
                dx, dy = rng.integers(-1, 1, (2, len(x)))
                there = every[swapped], h + dy[swapped], w + dx[swapped]
                x[swapped, h, w], x[there] = x[there], x[swapped, h, w]
    return np.asarray(ndimage.gaussian_filter1d(x / 255, 0.7, axis=1, mode="nearest"))


def _motion_blur(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 1: ImageMagick's motion blur with radius 10, sigma 3, -45 to 45 degrees: half a Gaussian, one side."""
    width, sigma = 2 * 10 + 1, 3.0
    weights = np.exp(-0.5 * (np.arange(width) / sigma) ** 2)
    weights /= weights.sum()
    angles = np.radians(rng.uniform(-45, 45, len(x)))
    every, rows, columns = np.arange(len(x))[:, None, None], np.arange(28)[:, None], np.arange(28)
    out = np.zeros(x.shape)
    for i, weight in enumerate(weights):
        right = np.ceil(i * np.cos(angles) - 0.5).astype(int)[:, None, None]
        down = np.ceil(i * np.sin(angles) - 0.5).astype(int)[:, None, None]
        out += weight * x[every, np.clip(rows + down, 0, 27), np.clip(columns + right, 0, 27)]
    return out


def _warped(x: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Each pixel (column, row) reads at matrix (n, 2, 2) times its place from the middle, bilinearly, 0 outside."""
    rows, columns = np.mgrid[:28, :28] - 13.5
    places = np.einsum("nij,jyx->niyx", matrices, np.stack([columns, rows])) + 13.5
    pairs = zip(x, places, strict=True)
    return np.stack([ndimage.map_coordinates(one, [p[1], p[0]], order=1, mode="grid-constant") for one, p in pairs])


def _either_way(size: float, count: int, rng: np.random.Generator) -> np.ndarray:
    return size * rng.choice([-1, 1], count)


def _shear(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 2: 0.4 radians, as scikit-image of 2019 understood it."""
    c = _either_way(0.4, len(x), rng)
    one, nothing = np.ones_like(c), np.zeros_like(c)
    return _warped(x, np.moveaxis(np.array([[one, -np.sin(c)], [nothing, np.cos(c)]]), -1, 0))


def _scale(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 3: to 0.7 of the size."""
    return _warped(x, np.broadcast_to(np.eye(2) / 0.7, (len(x), 2, 2)))


def _rotate(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 2: 0.4 radians."""
    c = _either_way(0.4, len(x), rng)
    return _warped(x, np.moveaxis(np.array([[np.cos(c), -np.sin(c)], [np.sin(c), np.cos(c)]]), -1, 0))


def _brightness(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 5: 0.5 added to HSV's value, which of grey is the grey."""
    return x + 0.5


def _translate(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 3: 3 pixels down or up and right or left."""
    moves = rng.choice([-3, 3], (len(x), 2))
    return np.stack([ndimage.shift(one, move, order=0) for one, move in zip(x, moves, strict=True)])


def _stripe(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All but the middle 14 columns inverted."""
    x = x.copy()
    x[:, :, :7], x[:, :, 21:] = 1 - x[:, :, :7], 1 - x[:, :, 21:]
    return x


def _plasma(rng: np.random.Generator, size: int = 256, decay: float = 1.4) -> np.ndarray:
    """A cloud by the diamond-square algorithm, (size, size) 0..1."""
    cloud, step, wibble = np.zeros((size, size)), size, 100.0

    def between(total: np.ndarray) -> np.ndarray:
        return total / 4 + wibble * rng.uniform(-wibble, wibble, total.shape)

    while step >= 2:
        half = step // 2
        corners = cloud[::step, ::step]
        around = corners + np.roll(corners, -1, 0)
        cloud[half::step, half::step] = between(around + np.roll(around, -1, 1))
        middle = cloud[half::step, half::step]
        cloud[::step, half::step] = between(middle + np.roll(middle, 1, 0) + corners + np.roll(corners, -1, 1))
        cloud[half::step, ::step] = between(middle + np.roll(middle, 1, 1) + corners + np.roll(corners, -1, 0))
        step, wibble = half, wibble / decay
    cloud -= cloud.min()
    return np.asarray(cloud / cloud.max())


def _fog(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 5: three times as much cloud as ink, then scaled back."""
    clouds = np.stack([_plasma(rng)[:28, :28] for _ in x])
    largest = x.max((1, 2), keepdims=True)
    return np.asarray((x + 3 * clouds) * largest / (largest + 3))


def _spatter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity 4: drops of mud, a quarter as bright as ink."""
    drops = ndimage.gaussian_filter(rng.normal(0.65, 0.3, x.shape), (0, 1, 1), mode="nearest")
    mud = ndimage.gaussian_filter((drops > 0.65).astype(float), (0, 1.5, 1.5), mode="nearest")
    mud[mud < 0.8] = 0
    return np.asarray(x * (1 - mud) + 63 / 255 * mud)


def _line(c0: float, r0: float, c1: float, r1: float) -> np.ndarray:
    """A soft line from column c0, row r0 to c1, r1: (28, 28) 0..1."""
    if c1 == c0:
        return np.zeros((28, 28))
    rows, columns = np.arange(28)[:, None], np.arange(28)
    away = np.abs(rows - ((r1 - r0) / (c1 - c0) * (columns - c0) + r0))
    line = np.clip(np.log(1 - np.clip(away, 0, 2.3 - 1e-10) / 2.3) + 1, 0, 1)
    line[:, : int(np.floor(c0))] = 0
    line[:, int(np.ceil(c1)) :] = 0
    return np.asarray(line)


def _dotted_line(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Across the image, two columns on, two off."""
    ends = rng.integers(0, 27, (len(x), 2))
    lines = np.stack([_line(0, float(r0), 27, float(r1)) for r0, r1 in ends])
    lines[:, :, np.arange(28) % 4 < 2] = 0
    return np.asarray(x + lines)


def _zigzag(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Across the image, teeth of 2 by 2 pixels."""
    out = x.copy()
    for image in out:
        c0, c1 = 2, 25
        r0 = int(rng.integers(0, 27))
        r1 = r0 + int(rng.integers(-5, 5))
        turn = np.arctan((r1 - r0) / (c1 - c0))
        length = (c1 - c0) / np.cos(turn)
        ends = [(0.0, 0.0)]
        for i in range(int((length - 2) // 4) + 1):
            ends.append(((2 * i + 1) * 2.0, (-1) ** i * 2.0))
        last = 4 * (length // 4)
        if length != last:
            ends.append((length, ends[-1][1] / (2 * (length - last))))
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        columns, rows = rotation @ np.array(ends).T + np.array([[c0], [r0]])
        for i in range(1, len(ends)):
            image += _line(columns[i - 1], rows[i - 1], columns[i], rows[i])
            np.clip(image, 0, 1, out=image)
    return out


def _canny_edges(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scikit-image's, as it comes."""
    from skimage import feature  # type: ignore[import-not-found, unused-ignore]

    return np.stack([feature.canny(one) for one in x]).astype(float)


FIFTEEN: dict[str, Change] = {
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "glass_blur": _glass_blur,
    "motion_blur": _motion_blur,
    "shear": _shear,
    "scale": _scale,
    "rotate": _rotate,
    "brightness": _brightness,
    "translate": _translate,
    "stripe": _stripe,
    "fog": _fog,
    "spatter": _spatter,
    "dotted_line": _dotted_line,
    "zigzag": _zigzag,
    "canny_edges": _canny_edges,
}


def corrupted(images: np.ndarray, kind: str, seed: int = 0) -> np.ndarray:
    """Images (n, 28, 28) uint8 with one corruption, the same for the same seed."""
    rng = np.random.default_rng([seed, list(FIFTEEN).index(kind)])
    return np.asarray(np.rint(255 * np.clip(FIFTEEN[kind](images / 255, rng), 0, 1)), np.uint8)
