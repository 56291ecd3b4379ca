"""Make the data set that teaches the reader to say "not a digit", as one .npz for `digitlab train --data`.

    python benchmarks/non_digits.py gate.npz

Class 0 is digits: MNIST training images, also after the reader's own normalisation. Class 1 is everything else a page
may hold: letters and signs of many scripts from the fonts Matplotlib brings, scribbles, zigzags, stars, squares, blots,
and two digits that touch. The letters A C E H K M N R U V W X, crosses and smileys are left out, in every script and
case that draws them alike: the reader is judged on those (`benchmarks/reading.py`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from digitlab.reading.normalise import normalise

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from pages import fonts_at_hand, mnist  # type: ignore[import-not-found]

# Not here either: what a hand writes as a digit (O I l S Z B b g q D G Q z s o i, Cyrillic 3-like and 4-like letters).
LATIN = "FJLPTYadefhjmnprty#&%$@*=?<>{}[]~^"
GREEK = "ΓΔΛΞΠΣΦΨΩαβγημξπρφψ"
CYRILLIC = "ДЖЙЛПФЦШЩЪЫЮЯдёжйлпфцшщъыюя"
RANGES = [
    (0x0531, 0x0556), (0x0561, 0x0586), (0x10D0, 0x10F0), (0x05D0, 0x05EA), (0x2190, 0x21AF), (0x2200, 0x22AF),
    (0x1401, 0x1480), (0x25A0, 0x25CA), (0x2701, 0x27B0), (0x16A0, 0x16F0), (0x2800, 0x2820),
]  # fmt: skip
# Crosses and what looks like a digit, a letter to be judged on, or a lone stroke.
LEFT_OUT = set("×✕✖✗✘✚✙✛✜✝✞✟∣∤∥∨∧∪∩⊂⊃∈∊∋∍∃∀∑∞Օօ∘∙⋅○●◦◯∆ʻᚷᚲᛖᛗᚺᚢᚱᚾᚹᛁᚽᛙ✠✢✣✤✥∕∖∗⊕⊗⊞⊠◎◉⊙⊚⊝∅ᐯᐱᐳᐸ")  # noqa: RUF001


def main() -> None:
    """Write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=30_000, help="pictures a class for training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    train, valid = digits_of("train"), digits_of("validation")
    test = mnist("test")[0]
    arrays: dict[str, Any] = {}
    for name, digits, number in (("train", train, options.each), ("val", valid, 2500), ("test", test, 2500)):
        good = positives(digits, number, rng)
        bad = negatives(digits, number, rng)
        order = rng.permutation(len(good) + len(bad))
        arrays[f"x_{name}"] = np.concatenate([good, bad])[order]
        arrays[f"y_{name}"] = np.concatenate([np.zeros(len(good)), np.ones(len(bad))]).astype(np.uint8)[order]
    np.savez_compressed(options.out, **arrays)
    print(f"{options.out}: " + ", ".join(f"{name} {len(array)}" for name, array in arrays.items() if name[0] == "x"))


def digits_of(split: str) -> np.ndarray:
    """Training digits without the validation ones, or those."""
    if split == "validation":
        return np.asarray(mnist("validation")[0])
    import gzip
    from importlib import resources

    file = resources.files("digitlab.data") / "bundled" / "train-images-idx3-ubyte.gz"
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)[:-5000]


def positives(digits: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Digits as they are, and as the reader would cut them from a page, enlarged and with another pen."""
    picked = digits[rng.choice(len(digits), number, replace=number > len(digits))]
    return np.stack([image if rng.random() < 0.3 else normalise(_repen(image / 255, rng)) for image in picked])


def _repen(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digit enlarged threefold, its pen made wider or finer, turned and sheared a little."""
    large = ndimage.zoom(np.pad(ink, 4), 3, order=1)
    turn, shear, stretch = rng.normal(0, 0.1), rng.normal(0, 0.12), np.exp(rng.normal(0, 0.08, 2))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn) + shear, np.cos(turn)]]) * stretch
    middle = np.array(large.shape) / 2
    large = ndimage.affine_transform(large, matrix, middle - matrix @ middle, order=1)
    blurred = ndimage.gaussian_filter(large, 1.5)
    return np.asarray(np.clip((blurred - rng.uniform(0.2, 0.6)) * 4 + 0.5, 0, 1))


def negatives(digits: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Letters and signs, drawn marks, pairs of digits."""
    letters = alphabet()
    out: list[np.ndarray] = []
    while len(out) < number:
        kind = rng.random()
        if kind < 0.62:
            letter, font = letters[rng.integers(len(letters))]
            ink = _drawn_letter(letter, font, rng)
        elif kind < 0.88:
            ink = _drawn_mark(rng)
        else:
            ink = _pair(digits, rng)
        ink = _bent(ink, rng)
        glyph = normalise(ink)
        # A lone upright stroke is a 1, whatever it was meant to be.
        if np.count_nonzero(glyph.max(0) > 100) > 6:
            out.append(glyph)
    return np.stack(out)


def alphabet() -> list[tuple[str, str]]:
    """Every (letter, font file) that the font really has."""
    fonts = fonts_at_hand()
    wanted = LATIN + GREEK + CYRILLIC + "".join(chr(code) for low, high in RANGES for code in range(low, high + 1))
    pairs = []
    for font in fonts:
        drawn = ImageFont.truetype(font, 24)
        missing = bytes(drawn.getmask("\uffff"))
        for letter in wanted:
            mask = drawn.getmask(letter)
            if letter not in LEFT_OUT and mask.getbbox() and bytes(mask) != missing:
                pairs.append((letter, font))
    # Latin is what people write beside digits: as often as all other scripts together.
    latin = [pair for pair in pairs if pair[0] in LATIN]
    near = [pair for pair in pairs if pair[0] in GREEK + CYRILLIC]
    others = len(pairs) - len(latin) - len(near)
    return pairs + near * (others // (2 * len(near))) + latin * (others // len(latin))


def _drawn_letter(letter: str, font: str, rng: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (150, 150))
    ImageDraw.Draw(image).text((75, 75), letter, fill=255, font=ImageFont.truetype(font, 80), anchor="mm")
    return np.asarray(image.rotate(rng.normal(0, 8)), np.float32) / 255


def _drawn_mark(rng: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (150, 150))
    draw, width = ImageDraw.Draw(image), int(rng.integers(4, 14))
    kind = rng.integers(7)
    if kind in (0, 1):  # a scribble: a smooth line through random points
        knots = rng.uniform(25, 125, (int(rng.integers(6, 18)), 2))
        path = ndimage.gaussian_filter1d(np.repeat(knots, 12, axis=0), rng.uniform(3, 7), axis=0, mode="nearest")
        draw.line([tuple(point) for point in path], fill=255, width=width, joint="curve")
    elif kind == 2:  # a zigzag
        n = int(rng.integers(4, 10))
        points = [(20 + 110 * i / (n - 1), 75 + (-1) ** i * rng.uniform(15, 55)) for i in range(n)]
        draw.line(points, fill=255, width=width, joint="curve")
    elif kind == 3:  # a star, a triangle, a square
        n, step = [(5, 2), (3, 1), (4, 1), (6, 1), (7, 3)][rng.integers(5)]
        turn = rng.uniform(0, 7) + np.arange(n + 1) * step * 2 * np.pi / n
        draw.line(list(zip(75 + 50 * np.cos(turn), 75 + 50 * np.sin(turn), strict=True)), fill=255, width=width)
    elif kind == 4:  # a few straight strokes
        for _ in range(int(rng.integers(3, 7))):
            draw.line([tuple(rng.uniform(25, 125, 2)) for _ in range(2)], fill=255, width=width)
    elif kind == 5:  # blots and bars
        for _ in range(int(rng.integers(1, 4))):
            (a, b), (c, d) = np.sort(rng.uniform(25, 125, (2, 2)), axis=1)
            shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
            shape((a, c, b + 10, d + 10), fill=255)
    else:  # hatching, a spiral
        if rng.random() < 0.5:
            turn = np.linspace(0, rng.uniform(4, 8) * np.pi, 200)
            draw.line(
                list(zip(75 + 2.4 * turn * np.cos(turn), 75 + 2.4 * turn * np.sin(turn), strict=True)),
                fill=255,
                width=width,
            )
        else:
            for x in range(25, 125, int(rng.integers(14, 25))):
                draw.line((x, 30, x + rng.uniform(-20, 20), 120), fill=255, width=width)
                draw.line((25, x, 125, x + rng.uniform(-20, 20)), fill=255, width=width)
    return np.asarray(image, np.float32) / 255


def _pair(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two digits that touch."""
    left, right = (ndimage.zoom(digits[rng.integers(len(digits))] / 255.0, 3, order=1) for _ in range(2))
    left, right = (part[:, np.nonzero(part.max(0) > 0.5)[0][[0, -1]][0] :] for part in (left, right))
    ends = np.nonzero(left.max(0) > 0.5)[0][-1]
    page = np.zeros((84, ends + right.shape[1] + 4))
    page[:, : left.shape[1]] = left[:, : page.shape[1]]
    start = max(0, ends - int(rng.integers(-1, 6)))
    page[:, start : start + right.shape[1]] = np.maximum(page[:, start : start + right.shape[1]], right)
    return page


def _bent(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a hand does to a printed shape: a slow wobble and a pen of another width."""
    smooth = rng.uniform(9, 15)
    shift = [ndimage.gaussian_filter(rng.normal(0, 1, ink.shape), smooth) for _ in range(2)]
    strength = rng.uniform(0, 8)
    at = [grid + strength * s / (np.abs(s).max() + 1e-9) for grid, s in zip(np.indices(ink.shape), shift, strict=True)]
    bent = ndimage.gaussian_filter(ndimage.map_coordinates(ink, at, order=1), 1.2)
    return np.asarray(np.clip((bent - rng.uniform(0.25, 0.55)) * 4 + 0.5, 0, 1))


if __name__ == "__main__":
    main()
