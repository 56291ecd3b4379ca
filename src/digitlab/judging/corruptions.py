"""Test images made worse on purpose: the fifteen kinds of MNIST-C by their published descriptions, and four more.

Our own implementation, not the published files: each kind has five strengths, all reproducible from a seed, and the
random draws of a kind (but for shot noise) are the same at every strength, so that a stronger one is more of the same
and never another accident. Vectorised over images: 10,000 images, all kinds and strengths, take 10 s of processor time.

Reference:
    N. Mu and J. Gilmer, MNIST-C: A Robustness Benchmark for Computer Vision (2019), arXiv:1906.02337.
"""

# ruff: noqa: ARG001  (every kind has the same signature; half of them need no chance)
from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DataError

Pictures = NDArray[np.float32]  # (n, h, w) from 0, paper, to 1, ink; what the functions below take and return
Change = Callable[[Pictures, Any, np.random.Generator], Pictures]

SIDES = 8  # directions for what has one; an image gets one of them by chance


@dataclass(frozen=True)
class Corruption:
    """One way to make images worse.

    Attributes:
        name: as in `CORRUPTIONS`.
        words: what it does, for people.
        function: (images, value, random numbers) -> images.
        strengths: its value at strength 1, 2, …; damage rises.
    """

    name: str
    words: str
    function: Change
    strengths: tuple[Any, ...]


def corrupt(images: NDArray[np.uint8], kind: str, strength: int, seed: int = 0) -> NDArray[np.uint8]:
    """Make images worse in one way.

    Args:
        images: (n, h, w) uint8, ink bright on 0.
        kind: a name in `CORRUPTIONS`.
        strength: 1, the mildest, to 5.
        seed: >= 0; the same seed gives the same images.

    Returns:
        (n, h, w) uint8, new.

    Raises:
        DataError: no such kind or strength.
        ValueError: images of another shape or type.

    Example:
        >>> page = np.zeros((1, 28, 28), np.uint8)
        >>> corrupt(page, "brightness", 1).max(), corrupt(page, "inverted", 5).min()
        (np.uint8(26), np.uint8(255))
    """
    if kind not in CORRUPTIONS:
        raise DataError(f"no corruption {kind!r}, expected one of {', '.join(CORRUPTIONS)}")
    chosen = CORRUPTIONS[kind]
    if not 1 <= strength <= len(chosen.strengths):
        raise DataError(f"{kind}: strength {strength}, expected 1 to {len(chosen.strengths)}")
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"images: {images.dtype} {images.shape}, expected uint8 (n, height, width)")
    if not len(images):
        return images.copy()
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])  # not hash(): that differs between processes
    pictures = images.astype(np.float32) / np.float32(255)
    worse = chosen.function(pictures, chosen.strengths[strength - 1], rng)
    return np.asarray(np.rint(np.clip(worse, 0, 1) * 255), np.uint8)


# ---- noise and light


def _shot_noise(x: Pictures, photons: float, rng: np.random.Generator) -> Pictures:
    out = x.copy()
    ink = x > 0  # the rest stays 0 under Poisson noise; drawing only these is five times as fast
    out[ink] = rng.poisson(x[ink] * photons) / photons
    return out


def _impulse_noise(x: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    draw = rng.random(x.shape, np.float32)
    return np.where(draw < share / 2, np.float32(1), np.where(draw > 1 - share / 2, np.float32(0), x))


def _brightness(x: Pictures, light: float, rng: np.random.Generator) -> Pictures:
    return x + np.float32(light)


def _inverted(x: Pictures, paper: float, rng: np.random.Generator) -> Pictures:
    return np.asarray((1 - x) * np.float32(paper), np.float32)


def _fog(x: Pictures, value: tuple[float, float], rng: np.random.Generator) -> Pictures:
    thickness, decay = value
    # The authors' clouds lose decay ** 2 of their height an octave; as a spectrum in two dimensions, one power more.
    fog = _field(1 + 2 * math.log2(decay), rng, size=256)
    return np.asarray((x + np.float32(thickness) * _windows(fog, x.shape, rng)) / np.float32(1 + thickness), np.float32)


def _spatter(x: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    drops = _windows(_field(0.0, rng, smooth=1.1), x.shape, rng)
    # The field is level from 0 to 1, so a threshold covers just its share; the soft rim is about a pixel wide.
    return np.asarray(np.maximum(x, np.clip((drops - (1 - np.float32(share))) * 14, 0, 0.9)), np.float32)


def _field(slope: float, rng: np.random.Generator, smooth: float = 0.0, size: int = 512) -> Pictures:
    """A tileable random landscape, each value from 0 to 1 equally frequent; amplitude falls as frequency ** -slope."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1.0
    shape = frequency**-slope * np.exp(-2 * (np.pi * smooth * frequency) ** 2)
    shape[0, 0] = 0.0
    wave = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * shape)
    ranks = np.empty(size * size, np.float32)
    ranks[np.argsort(wave, axis=None)] = np.linspace(0, 1, size * size, dtype=np.float32)
    return ranks.reshape(size, size)


def _windows(field: Pictures, shape: tuple[int, ...], rng: np.random.Generator) -> Pictures:
    """Cut a window from the field for each image, somewhere by chance."""
    n, height, width = shape
    size = len(field)
    top, left = rng.integers(0, size, (2, n))
    rows = (top[:, None] + np.arange(height)) % size
    columns = (left[:, None] + np.arange(width)) % size
    return np.asarray(field[rows[:, :, None], columns[:, None, :]], np.float32)


# ---- strokes


def _thick(x: Pictures, pixels: float, rng: np.random.Generator) -> Pictures:
    return _repeated(x, pixels, lambda y: _around(y, np.maximum, 0.0))


def _thin(x: Pictures, pixels: float, rng: np.random.Generator) -> Pictures:
    def pass_(y: Pictures) -> Pictures:
        eroded = _around(y, np.minimum, 1.0)
        # What opening loses are strokes already thin: they stay, so that no digit vanishes.
        return np.asarray(np.maximum(eroded, y - _around(eroded, np.maximum, 0.0)), np.float32)

    return _repeated(x, pixels, pass_)


def _repeated(x: Pictures, times: float, pass_: Callable[[Pictures], Pictures]) -> Pictures:
    """Do a pass so many times; the last may be a part of one."""
    whole = math.floor(times)
    for _ in range(whole):
        x = pass_(x)
    part = np.float32(times - whole)
    return x if part == 0 else (1 - part) * x + part * pass_(x)


def _around(x: Pictures, choose: Any, outside: float) -> Pictures:
    """Take the largest or smallest of each pixel and its four neighbours."""
    out = x.copy()
    choose(out[:, 1:], x[:, :-1], out=out[:, 1:])
    choose(out[:, :-1], x[:, 1:], out=out[:, :-1])
    choose(out[:, :, 1:], x[:, :, :-1], out=out[:, :, 1:])
    choose(out[:, :, :-1], x[:, :, 1:], out=out[:, :, :-1])
    return out


def _canny_edges(x: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    """J. Canny (1986): smooth, gradient, keep ridges of it, and of weak ones those joined to strong ones."""
    from scipy.ndimage import binary_propagation

    smooth = np.pad(_blur(x, 0.8, rng), ((0, 0), (2, 2), (2, 2)))
    dy = smooth[:, 2:] - smooth[:, :-2]
    dx = smooth[:, :, 2:] - smooth[:, :, :-2]
    dy = dy[:, :, :-2] + 2 * dy[:, :, 1:-1] + dy[:, :, 2:]
    dx = dx[:, :-2] + 2 * dx[:, 1:-1] + dx[:, 2:]
    steep = np.hypot(dx, dy)  # (n, h + 2, w + 2)
    inner = steep[:, 1:-1, 1:-1]
    sector = np.rint(np.arctan2(dy, dx)[:, 1:-1, 1:-1] * 4 / np.pi).astype(np.int8) % 4
    height, width = inner.shape[1:]
    ridge = np.zeros(inner.shape, bool)
    for number, (down, right) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = steep[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]
        behind = steep[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        ridge |= (sector == number) & (inner >= ahead) & (inner > behind)
    plane = np.zeros((3, 3, 3), bool)
    plane[1] = True  # neighbours within an image, never in the next one
    edges = binary_propagation(ridge & (inner > 1.2), structure=plane, mask=ridge & (inner > 0.5))
    return np.asarray((1 - np.float32(share)) * x + np.float32(share) * edges, np.float32)


# ---- blur


def _blur(x: Pictures, sigma: float, rng: np.random.Generator) -> Pictures:
    rows, columns = (_blur_matrix(size, sigma) for size in x.shape[1:])
    return np.asarray(rows @ x @ columns, np.float32)


def _blur_matrix(size: int, sigma: float) -> Pictures:
    place = np.arange(size)
    weights = np.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
    # Over an endless page, so that ink near the rim fades outwards as well.
    total = np.exp(-0.5 * (np.arange(-size, size + 1) / sigma) ** 2).sum()
    return np.asarray(weights / total, np.float32)


def _glass_blur(x: Pictures, reach: float, rng: np.random.Generator) -> Pictures:
    n, height, width = x.shape
    moves = rng.uniform(-1, 1, (2, n, height, width)) * reach
    rows = np.clip(np.rint(np.arange(height)[:, None] + moves[0]).astype(np.int32), 0, height - 1)
    columns = np.clip(np.rint(np.arange(width) + moves[1]).astype(np.int32), 0, width - 1)
    first = (np.arange(n, dtype=np.int32) * (height * width))[:, None, None]
    return _blur(x.ravel()[first + rows * width + columns], 0.45, rng)


def _motion_blur(x: Pictures, length: float, rng: np.random.Generator) -> Pictures:
    steps = np.linspace(-length / 2, length / 2, 2 * math.ceil(length) + 1)

    def along(side: int) -> Any:
        angle = math.pi * side / SIDES
        places = [(step * math.sin(angle), step * math.cos(angle)) for step in steps]
        return sum(_sampling(x.shape[1:], np.eye(2), place) for place in places) / len(places)

    return _by_side(x, along, rng)


# ---- geometry


def _rotated(x: Pictures, radians: float, rng: np.random.Generator) -> Pictures:
    def turn(side: int) -> Any:
        angle = radians * (1 if side % 2 else -1)
        c, s = math.cos(angle), math.sin(angle)
        return _sampling(x.shape[1:], np.array([[c, -s], [s, c]]))

    return _by_side(x, turn, rng)


def _sheared(x: Pictures, slope: float, rng: np.random.Generator) -> Pictures:
    return _by_side(x, lambda side: _sampling(x.shape[1:], np.array([[1, 0], [slope if side % 2 else -slope, 1]])), rng)


def _scaled(x: Pictures, factor: float, rng: np.random.Generator) -> Pictures:
    # A quarter of the images each; the mean of 2 x 2 places a pixel keeps thin strokes from falling between two.
    parts = [(dy, dx) for dy in (-0.25, 0.25) for dx in (-0.25, 0.25)]
    matrix = np.eye(2) / factor
    return _apply(x, sum(_sampling(x.shape[1:], matrix, (dy / factor, dx / factor)) for dy, dx in parts) / 4)


def _shifted(x: Pictures, pixels: int, rng: np.random.Generator) -> Pictures:
    """Shift towards one of eight sides, but never ink off the page."""
    n, height, width = x.shape
    angle = rng.integers(0, SIDES, n) * (2 * math.pi / SIDES)
    ink: NDArray[np.bool_] = np.greater(x, 0)
    moves = []
    for size, wanted, used in (
        (height, np.rint(np.sin(angle) * pixels), np.any(ink, axis=2)),
        (width, np.rint(np.cos(angle) * pixels), np.any(ink, axis=1)),
    ):
        before, after = np.argmax(used, axis=1), np.argmax(np.flip(used, axis=1), axis=1)
        move = np.clip(wanted.astype(np.int64), -before, after)
        moves.append(np.arange(size) - move[:, None])  # where each row or column comes from
    rows, columns = moves
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    found = x[np.arange(n)[:, None, None], (rows % height)[:, :, None], (columns % width)[:, None, :]]
    return np.asarray(found * inside, np.float32)


def _sampling(shape: tuple[int, ...], matrix: NDArray[Any], move: tuple[float, float] = (0.0, 0.0)) -> Any:
    """The sparse matrix that takes an image's pixels to those of its image under an affine map, bilinearly.

    `matrix` and `move` say, from the centre, where in the old image a pixel (y, x) of the new one looks.
    """
    from scipy.sparse import csr_matrix

    height, width = shape
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2) - centre
    places = grid @ np.asarray(matrix, float).T + centre + move
    low = np.floor(places).astype(np.int64)
    part = places - low
    rows, columns, weights = [], [], []
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = low[:, 0] + dy, low[:, 1] + dx
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            rows.append(np.flatnonzero(inside))
            columns.append((y * width + x)[inside])
            weights.append((np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1]))[inside])
    size = height * width
    triple = (np.concatenate(weights).astype(np.float32), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(triple, shape=(size, size))


def _apply(x: Pictures, sampling: Any) -> Pictures:
    return np.asarray((sampling @ x.reshape(len(x), -1).T).T, np.float32).reshape(x.shape)


def _by_side(x: Pictures, make: Callable[[int], Any], rng: np.random.Generator) -> Pictures:
    """Give each image one of `SIDES` maps by chance."""
    sides, out = rng.integers(0, SIDES, len(x)), np.empty_like(x)
    for side in np.unique(sides):
        here = sides == side
        out[here] = _apply(x[here], make(int(side)))
    return out


# ---- things in the way


def _stripe(x: Pictures, wide: int, rng: np.random.Generator) -> Pictures:
    n, _, width = x.shape
    centre = rng.uniform(0.3, 0.7, n) * width
    inside = np.abs(np.arange(width) + 0.5 - centre[:, None]) < wide / 2
    return np.where(inside[:, None, :], 1 - x, x)


def _dotted_line(x: Pictures, value: tuple[int, float], rng: np.random.Generator) -> Pictures:
    lines, gap = value
    return _scrawl(x, lines, lambda along: np.zeros_like(along), gap, rng)


def _zigzag(x: Pictures, value: tuple[int, float], rng: np.random.Generator) -> Pictures:
    lines, height = value
    teeth = 4
    return _scrawl(x, lines, lambda along: height * (np.abs((along * teeth) % 2 - 1) - 0.5), 0.5, rng)


def _scrawl(
    x: Pictures, lines: int, aside: Callable[[NDArray[Any]], NDArray[Any]], gap: float, rng: np.random.Generator
) -> Pictures:
    """Draw points every `gap` pixels on lines that cross the image at any angle, `aside` pixels off them."""
    n, height, width = x.shape
    draws = rng.random((3, 5, n))  # as many as any strength needs, so that the lines of a weaker one come first
    along = np.arange(0, 1, gap / width)
    out = np.zeros(n * height * width, np.float32)
    for line in range(lines):
        turn, offset, phase = draws[:, line, :, None]
        angle = math.pi * turn
        run = (along - 0.5 + phase * gap / width) * 1.2 * width
        off = aside(along) + (offset - 0.5) * 0.55 * height
        py = (height - 1) / 2 + run * np.sin(angle) + off * np.cos(angle)
        px = (width - 1) / 2 + run * np.cos(angle) - off * np.sin(angle)
        top, left = np.floor(py).astype(np.int64), np.floor(px).astype(np.int64)
        for dy in (0, 1):
            for dx in (0, 1):
                y, z = top + dy, left + dx
                weight = (1 - np.abs(py - y)) * (1 - np.abs(px - z)) * 1.6
                inside = (y >= 0) & (y < height) & (z >= 0) & (z < width)
                place = (np.arange(n)[:, None] * height + y) * width + z
                np.maximum.at(out, place[inside], np.minimum(weight[inside], 1).astype(np.float32))
    return np.maximum(x, out.reshape(x.shape))


CORRUPTIONS: dict[str, Corruption] = {
    one.name: one
    for one in (
        Corruption("shot noise", "few photons: the ink is grainy", _shot_noise, (60, 25, 12, 5, 3)),
        Corruption("impulse noise", "pixels black or white at random", _impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
        Corruption("blur", "out of focus", _blur, (0.6, 0.9, 1.2, 1.5, 1.8)),
        Corruption("glass blur", "through frosted glass", _glass_blur, (0.7, 1.0, 1.3, 1.6, 1.9)),
        Corruption("motion blur", "the camera moved", _motion_blur, (2, 3, 4, 5.5, 7)),
        Corruption("shift", "towards one of eight sides", _shifted, (1, 2, 3, 4, 6)),
        Corruption("rotation", "radians either way", _rotated, (0.2, 0.4, 0.6, 0.8, 1.0)),
        Corruption("shear", "slanted either way", _sheared, (0.2, 0.4, 0.6, 0.8, 1.0)),
        Corruption("scale", "shrunk to this part", _scaled, (0.9, 0.8, 0.7, 0.6, 0.5)),
        Corruption("thick", "strokes grown by pixels", _thick, (0.4, 0.8, 1.1, 1.4, 1.7)),
        Corruption("thin", "strokes worn by pixels", _thin, (0.3, 0.55, 0.8, 1.0, 1.4)),
        Corruption("brightness", "grey added everywhere", _brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
        Corruption("inverted", "dark ink on paper so bright", _inverted, (0.4, 0.55, 0.7, 0.85, 1.0)),
        Corruption("stripe", "an inverted band, pixels wide", _stripe, (2, 4, 6, 8, 11)),
        Corruption("fog", "clouds before the page", _fog, ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))),
        Corruption("spatter", "drops on the page", _spatter, (0.03, 0.06, 0.09, 0.12, 0.15)),
        Corruption(
            "dotted line", "lines of dots across it", _dotted_line, ((1, 4.0), (1, 2.5), (2, 3.0), (3, 3.0), (3, 2.0))
        ),
        Corruption("zigzag", "zigzag lines across it", _zigzag, ((1, 1.5), (1, 4.0), (1, 7.0), (2, 3.0), (2, 6.0))),
        Corruption("canny edges", "outlines instead of strokes", _canny_edges, (0.3, 0.5, 0.7, 0.85, 1.0)),
    )
}
