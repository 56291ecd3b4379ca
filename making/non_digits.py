"""Make the data set that teaches the reader to say "not a digit", as one .npz for `digitlab train --data`.

    npm install $(sed 's|^|@fontsource/|' benchmarks/hands.txt)
    python making/non_digits.py gate.npz --hands node_modules/@fontsource

Class 0 is digits: MNIST training images, also after the reader's own normalisation with another pen and slant, and the
fonts' digits. Class 1 is what else a page may hold: letters and signs of many scripts, bits of words, drawn marks
(scribbles, zigzags, stars, squares, blots, arrows, ticks, what is left of a ruled line), strokes put together at
random, digits that touch, pieces of digits and letters. The fonts are those that Matplotlib brings and
those of `hands.txt`, drawn after handwriting (free fonts, fetched by the first command). Letters, strokes and pieces
that come as near to a training digit as other digits do are left out.

The letters A C E H K M N R U V W X, crosses and smileys are left out, in every script and case that draws them alike:
the reader is judged on those (`benchmarks/reading.py`).
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pages import fonts_at_hand, mnist  # type: ignore[import-not-found]
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from digitlab.reading.normalise import normalise

# Not here either: what a hand writes as a digit (O I l S Z B b g q D G Q z s o i, Cyrillic 3-like and 4-like letters).
# Kinds of non-digits, and how often each is drawn.
KINDS = {"letter": 0.4, "word": 0.08, "mark": 0.18, "strokes": 0.18, "pair": 0.08, "piece": 0.08}
ANY = "abdefghijklmnopqrstuyzABDFGIJLOPQSTYZ"
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--hands", type=Path, help="folder of @fontsource packages, those of hands.txt")
    parser.add_argument("--each", type=int, default=30_000, help="digits for training, and as many non-digits")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    maker = NonDigits(fonts_at_hand(), hands_in(options.hands) if options.hands else [])
    arrays: dict[str, Any] = {}
    for name, digits, number in (("train", digits_of("train"), options.each), ("test", mnist("test")[0], 2000)):
        good = positives(digits, number, maker.printed + 2 * maker.written, rng)
        bad = maker.make(digits, number, rng)
        order = rng.permutation(len(good) + len(bad))
        arrays[f"x_{name}"] = np.concatenate([good, bad])[order]
        arrays[f"y_{name}"] = np.repeat(np.array([0, 1], np.uint8), [len(good), len(bad)])[order]
    np.savez_compressed(options.out, **arrays)
    print(f"{options.out}: {len(arrays['y_train']):,} pictures for training, half of them digits")


def hands_in(folder: Path) -> list[str]:
    """The font files of the packages that `hands.txt` names."""
    names = (Path(__file__).parent / "hands.txt").read_text().split()
    files = [folder / name / "files" / f"{name}-latin-400-normal.woff" for name in names]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise SystemExit(f"{missing[0]}: no such font. Run the npm command at the head of this script first.")
    return [str(file) for file in files]


def digits_of(split: str) -> np.ndarray:
    """Training digits without the validation ones, or those."""
    if split == "validation":
        return np.asarray(mnist("validation")[0])
    import gzip
    from importlib import resources

    file = resources.files("digitlab.data") / "bundled" / "train-images-idx3-ubyte.gz"
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)[:-5000]


def positives(digits: np.ndarray, number: int, fonts: list[str], rng: np.random.Generator) -> np.ndarray:
    """Digits as they are, as the reader would cut them from a page with another pen, and in other hands.

    MNIST's writers hardly know a 1 with a foot, a crossed 7 or a 9 that curls: a sixth comes from fonts.
    """
    written = digits_in(fonts, number // 6, rng)
    picked = digits[rng.choice(len(digits), number - len(written), replace=number > len(digits))]
    own = [image if rng.random() < 0.3 else normalise(_repen(image / 255, rng)) for image in picked]
    return np.concatenate([np.stack(own), written])


def digits_in(fonts: list[str], number: int, rng: np.random.Generator) -> np.ndarray:
    """So many digits drawn in fonts and bent; one crossed 7 in three."""
    glyphs = []
    for _ in range(number):
        digit = str(rng.integers(10))
        ink = _drawn_text(digit, fonts[rng.integers(len(fonts))], rng)
        if digit == "7" and rng.random() < 0.33:
            rows, columns = (np.nonzero(ink.max(axis) > 0.5)[0] for axis in (1, 0))
            middle, half = int(np.quantile(rows, 0.5)), len(rows) // 3
            stem = int(np.mean(np.nonzero(ink[middle] > 0.5)[0])) if ink[middle].max() > 0.5 else int(columns.mean())
            ink[middle - 3 : middle + 4, max(0, stem - half) : stem + half] = 1
        glyphs.append(normalise(_bent(ink, rng)))
    return np.stack(glyphs)


def _repen(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digit enlarged threefold, its pen made wider or finer, turned and sheared a little."""
    large = ndimage.zoom(np.pad(ink, 4), 3, order=1)
    turn, shear, stretch = rng.normal(0, 0.1), rng.normal(0, 0.12), np.exp(rng.normal(0, 0.08, 2))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn) + shear, np.cos(turn)]]) * stretch
    middle = np.array(large.shape) / 2
    large = ndimage.affine_transform(large, matrix, middle - matrix @ middle, order=1)
    blurred = ndimage.gaussian_filter(large, 1.5)
    return np.asarray(np.clip((blurred - rng.uniform(0.2, 0.6)) * 4 + 0.5, 0, 1))


class NonDigits:
    """Draws what is no digit; owns the alphabets of its fonts and what tells it what is too like a digit."""

    def __init__(self, printed: list[str], written: list[str]) -> None:
        self.letters = alphabet(printed)
        # Half of the letters and three quarters of the bits of words come from hands, where there are any.
        self.hands = [(letter, font) for font in written for letter in LATIN if _has(font, letter)]
        self.printed, self.written = printed, written
        drawn = digits_in(printed + 2 * written, 4000, np.random.default_rng(0))
        self.likeness = TooLikeADigit(np.concatenate([digits_of("train")[:20_000], drawn]), digits_of("validation"))

    def make(self, digits: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
        """Draw so many pictures; (number, 28, 28) uint8."""
        out: list[np.ndarray] = []
        while len(out) < number:
            drawn = [self._one(digits, rng) for _ in range(4000)]
            glyphs = np.stack([glyph for glyph, _ in drawn])
            # What is drawn as it comes may come out as a digit; a spiral or a word is none, however blurred.
            chance = np.isin([list(KINDS)[kind - 1] for _, kind in drawn], ["letter", "strokes", "piece"])
            keep = ~(chance & self.likeness(glyphs))
            # A lone upright stroke is a 1, whatever it was meant to be.
            keep &= np.count_nonzero(glyphs.max(1) > 100, axis=1) > 6
            out += list(glyphs[keep])
        return np.stack(out[:number])

    def _one(self, digits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        kind = int(rng.choice(len(KINDS), p=list(KINDS.values()))) + 1
        if kind == 1:
            letters = self.hands if self.hands and rng.random() < 0.5 else self.letters
            letter, font = letters[rng.integers(len(letters))]
            ink = _drawn_text(letter, font, rng)
        elif kind == 2:
            fonts = self.written if self.written and rng.random() < 0.75 else self.printed
            text = "".join(rng.choice(list(ANY), int(rng.integers(2, 5))))
            ink = _drawn_text(text, fonts[rng.integers(len(fonts))], rng)
        elif kind == 3:
            ink = _drawn_mark(rng)
        elif kind == 4:
            ink = _drawn_strokes(rng)
        elif kind == 5:
            ink = _pair(digits, rng)
        else:
            letter, font = self.letters[rng.integers(len(self.letters))]
            one = digits[rng.integers(len(digits))] / 255.0
            ink = _piece(_drawn_text(letter, font, rng) if rng.random() < 0.3 else ndimage.zoom(one, 4, order=1), rng)
        glyph = normalise(_bent(ink, rng))
        if rng.random() < 0.1 and kind != 5:
            # What was cut from a page has a neighbour's end or a speck in it now and then.
            glyph = np.maximum(glyph, np.roll(glyph, int(rng.integers(18, 24)), axis=1))
        return glyph, kind


class TooLikeADigit:
    """Tells which pictures lie as near to some training digit as two digits of the same kind lie to each other."""

    def __init__(self, digits: np.ndarray, held_back: np.ndarray, share: float = 0.8) -> None:
        self.known = self._features(digits)
        nearest = self._nearest(self._features(held_back))
        self.limit = float(np.quantile(nearest, 1 - share))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, 28, 28) uint8 -> (n,) bool."""
        return self._nearest(self._features(images)) > self.limit

    def _features(self, images: np.ndarray) -> np.ndarray:
        soft = ndimage.gaussian_filter(images.astype(np.float32), (0, 1.2, 1.2))
        flat = soft.reshape(len(soft), 14, 2, 14, 2).mean((2, 4)).reshape(len(soft), -1)
        return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))

    def _nearest(self, features: np.ndarray) -> np.ndarray:
        return np.concatenate([(part @ self.known.T).max(1) for part in np.array_split(features, 8)])


def alphabet(fonts: list[str]) -> list[tuple[str, str]]:
    """Every (letter, font file) that the font really has."""
    wanted = LATIN + GREEK + CYRILLIC + "".join(chr(code) for low, high in RANGES for code in range(low, high + 1))
    pairs = [(letter, font) for font in fonts for letter in wanted if letter not in LEFT_OUT and _has(font, letter)]
    # Latin is what people write beside digits: as often as all other scripts together.
    latin = [pair for pair in pairs if pair[0] in LATIN]
    near = [pair for pair in pairs if pair[0] in GREEK + CYRILLIC]
    others = len(pairs) - len(latin) - len(near)
    return pairs + near * (others // (2 * len(near))) + latin * (others // len(latin))


@cache
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


def _has(file: str, letter: str) -> bool:
    font = _font(file, 24)
    mask = font.getmask(letter)
    return bool(mask.getbbox()) and bytes(mask) != bytes(font.getmask("\uffff"))


def _drawn_text(text: str, font: str, rng: np.random.Generator) -> np.ndarray:
    wide = 110 + 40 * len(text)
    image = Image.new("L", (wide, 150))
    ImageDraw.Draw(image).text(
        (wide / 2, 75), text, fill=255, font=_font(font, 80 if len(text) == 1 else 60), anchor="mm"
    )
    return np.asarray(image.rotate(rng.normal(0, 8)), np.float32) / 255


def _drawn_strokes(rng: np.random.Generator) -> np.ndarray:
    """Two to five straight or bent strokes that mostly begin where another one ends: a letter of no alphabet."""
    image = Image.new("L", (150, 150))
    draw, width = ImageDraw.Draw(image), int(rng.integers(5, 13))
    wide, high = rng.uniform(30, 60), rng.uniform(45, 60)
    nodes = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, -0.3, 0.3, 1)]) * (wide, high) + 75
    nodes += rng.normal(0, 4, nodes.shape)
    at = int(rng.integers(len(nodes)))
    used = [at]
    for _ in range(int(rng.integers(2, 6))):
        start = at if rng.random() < 0.5 else int(rng.choice(used)) if rng.random() < 0.85 else int(rng.integers(12))
        at = int(rng.integers(12))
        a, b = nodes[start], nodes[at]
        bow = rng.normal(0, 0.5) * np.array([-(b - a)[1], (b - a)[0]]) if rng.random() < 0.45 else 0
        t = np.linspace(0, 1, 24)[:, None]
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * ((a + b) / 2 + bow) + t**2 * b
        draw.line([tuple(point) for point in curve], fill=255, width=width, joint="curve")
        used.append(at)
    return np.asarray(image, np.float32) / 255


def _piece(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a wrong cut or a ruling leaves: one side of a shape, or a shape with a band gone."""
    rows, columns = (np.nonzero(ink.max(axis) > 0.5)[0] for axis in (1, 0))
    if not len(rows):
        return ink
    cut = ink.copy()
    axis = int(rng.integers(2))
    low, high = ((rows if axis == 0 else columns)[[0, -1]]).tolist()
    at = int(low + (high - low) * rng.uniform(0.3, 0.7))
    part = slice(at, None) if rng.random() < 0.5 else slice(None, at)
    if rng.random() < 0.2:
        part = slice(at - int(0.12 * (high - low)) - 2, at + int(0.12 * (high - low)) + 2)
    cut[(part, slice(None)) if axis == 0 else (slice(None), part)] = 0
    return cut


def _drawn_mark(rng: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (150, 150))
    draw, width = ImageDraw.Draw(image), int(rng.integers(4, 14))
    kind = rng.integers(10)
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
    elif kind == 7:  # an arrow, a tick
        heading = rng.uniform(0, 2 * np.pi)
        tip = 75 + 50 * np.array([np.cos(heading), np.sin(heading)])
        draw.line([tuple(150 - tip), tuple(tip)], fill=255, width=width)
        for side in (-1, 1)[: int(rng.integers(1, 3))]:
            back = heading + np.pi + side * rng.uniform(0.4, 1.1)
            draw.line(
                [tuple(tip), tuple(tip + rng.uniform(20, 45) * np.array([np.cos(back), np.sin(back)]))], 255, width
            )
    elif kind == 8:  # what is left of ruled lines: crumbs along a line, a corner, a lying dash
        level, step = rng.uniform(60, 90), int(rng.integers(8, 30))
        for x in range(20, 130, step):
            draw.line((x, level, x + rng.uniform(0.2, 1.2) * step, level + rng.normal(0, 2)), fill=255, width=width)
        if rng.random() < 0.6:
            corner = rng.uniform(20, 130)
            draw.line((corner, level, corner, level + rng.choice([-1, 1]) * rng.uniform(10, 60)), fill=255, width=width)
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
    knots, strength = int(rng.integers(4, 7)), rng.uniform(0, 8)
    fields = rng.normal(0, 0.5, (2, knots, knots)).astype(np.float32)
    size = (ink.shape[1], ink.shape[0])
    shift = [np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BICUBIC)) for field in fields]
    at = [grid + strength * one for grid, one in zip(np.indices(ink.shape), shift, strict=True)]
    bent = ndimage.gaussian_filter(ndimage.map_coordinates(ink.astype(np.float32), at, order=1), 1.2)
    return np.asarray(np.clip((bent - rng.uniform(0.25, 0.55)) * 4 + 0.5, 0, 1))


if __name__ == "__main__":
    main()
