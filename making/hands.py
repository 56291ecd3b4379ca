"""Signs as pens draw them: centre lines of MNIST's digits, of handwriting fonts, and of strokes drawn by rule.

Every sign is a cloud of points along its strokes' centre line, (n, 2) float32 of x and y, measured in digit heights: the
top of a digit is at y = 0, its foot at y = 1, its left edge at x = 0. So one pen can draw a page in many hands, and one
hand with many pens.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent
BUNDLED = ROOT.parent / "src" / "digitlab" / "data" / "bundled"
CACHE = ROOT / "cache"
DIGITS = "0123456789"
SEPARATORS = "/-.,:+="
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Alone, nobody could tell these from digits, separators or lone strokes; in words they are letters.
AMBIGUOUS = set("oOlIiSsZzbBgqDGQzjcCvxrJAyhT")
SIGNS = "#%&?!$€*()[]@"


@dataclass(frozen=True)
class Split:
    """Which MNIST images and which fonts a split may use.

    Attributes:
        images: (n, 28, 28) uint8.
        labels: (n,) uint8.
        fonts: paths of handwriting fonts' files.
        printed: paths of the files of fonts for print.
    """

    images: np.ndarray
    labels: np.ndarray
    fonts: tuple[str, ...]
    printed: tuple[str, ...]


def _idx(name: str, offset: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress((BUNDLED / name).read_bytes()), np.uint8, offset=offset)


def fonts_in(folder: Path, part: str) -> tuple[str, ...]:
    """The font files of `hands.txt` for "train", "validation", "test" or "print-" and one of these; its lines say `name part`."""
    found = []
    for line in (ROOT / "hands.txt").read_text().splitlines():
        name, _, of = line.partition(" ")
        file = folder / name / "files" / f"{name}-latin-400-normal.woff"
        if of.strip() == part:
            if not file.is_file():
                raise SystemExit(f"{file}: no such font. Run the npm command at the head of spotter.py first.")
            found.append(str(file))
    return tuple(found)


def split_of(part: str, folder: Path) -> Split:
    """MNIST's training images less the validation ones, those, or the test images; and as many fonts of their own."""
    name = "t10k" if part == "test" else "train"
    images = _idx(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = _idx(f"{name}-labels-idx1-ubyte.gz", 8)
    if part != "test":
        rows = slice(-5000, None) if part == "validation" else slice(0, -5000)
        images, labels = images[rows], labels[rows]
    return Split(images, labels, fonts_in(folder, part), fonts_in(folder, f"print-{part}"))


def centre_line(ink: np.ndarray) -> np.ndarray:
    """(h, w) bool -> (n, 2) float32 of x, y in pixels along the strokes' middle."""
    from skimage.morphology import skeletonize

    rows, columns = np.nonzero(skeletonize(ink))
    return np.stack([columns, rows], 1).astype(np.float32)


def centre_lines_of(part: str, split: Split) -> list[list[np.ndarray]]:
    """Per digit, the clouds of its MNIST images; computed once and kept in cache/."""
    CACHE.mkdir(exist_ok=True)
    file = CACHE / f"centre-lines-{part}.npz"
    if not file.is_file():
        clouds = [_of_image(image) for image in split.images]
        unfinished = CACHE / f"{os.getpid()}-{file.name}"  # several processes may begin at once
        np.savez(
            unfinished,
            points=np.concatenate(clouds).astype(np.float16),
            ends=np.cumsum([len(cloud) for cloud in clouds]),
        )
        unfinished.replace(file)
    kept = np.load(file)
    clouds = np.split(kept["points"].astype(np.float32), kept["ends"][:-1])
    return [[clouds[i] for i in np.flatnonzero(split.labels == digit) if len(clouds[i]) > 8] for digit in range(10)]


def _of_image(image: np.ndarray) -> np.ndarray:
    large = np.asarray(Image.fromarray(image).resize((112, 112), Image.Resampling.BICUBIC))
    return to_heights(centre_line(large > 110))


def to_heights(points: np.ndarray) -> np.ndarray:
    """Scale a cloud so that it is one digit height tall and begins at (0, 0)."""
    if len(points) < 2:
        return points[:0]
    points = points - points.min(0)
    return np.asarray(points / max(float(points[:, 1].max()), 0.5 * float(points[:, 0].max()), 1e-3), np.float32)


@cache
def font_signs(file: str) -> dict[str, np.ndarray]:
    """Character -> cloud, for every digit, separator, letter and sign that the font has; y counted from its digits' top.

    Computed once and kept in cache/.
    """
    kept = CACHE / f"signs-{Path(file).stem}.npz"
    if not kept.is_file():
        CACHE.mkdir(exist_ok=True)
        signs = _signs_of(file)
        unfinished = CACHE / f"{os.getpid()}-{kept.name}"
        # Names of code points: file names inside an archive may not tell a from A.
        np.savez(unfinished, **{str(ord(character)): cloud.astype(np.float16) for character, cloud in signs.items()})
        unfinished.replace(kept)
    with np.load(kept) as archive:
        return {chr(int(name)): archive[name].astype(np.float32) for name in archive.files}


def _signs_of(file: str) -> dict[str, np.ndarray]:
    font = ImageFont.truetype(file, 110)
    drawn = {}
    missing = _bits(font, "\uffff")
    for character in DIGITS + SEPARATORS + LETTERS + SIGNS:
        bits = _bits(font, character)
        if bits.any() and not (bits.shape == missing.shape and (bits == missing).all()):
            drawn[character] = centre_line(bits)
    digits = [drawn[c] for c in DIGITS if c in drawn and len(drawn[c])]
    if len(digits) < 10:
        return {}
    top = float(np.median([d[:, 1].min() for d in digits]))
    tall = float(np.median([np.ptp(d[:, 1]) for d in digits]))
    signs = {}
    for character, points in drawn.items():
        if len(points):
            left = points[:, 0].min()
            cloud = np.stack([points[:, 0] - left, points[:, 1] - top], 1) / tall
            # Old-style figures hang and jump: digits are brought to one height.
            signs[character] = to_heights(points) if character in DIGITS else cloud.astype(np.float32)
    return signs


def _bits(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    canvas = Image.new("L", (420, 300))
    ImageDraw.Draw(canvas).text((120, 60), character, fill=255, font=font)
    return np.asarray(canvas) > 128


def smooth(control: list[tuple[float, float]], corner: bool = False) -> np.ndarray:
    """A Catmull-Rom curve (or straight lines) through control points, a point every 0.012 heights."""
    points = np.array(control, np.float32)
    if len(points) == 1:
        return points
    if corner or len(points) == 2:
        pieces = [points]
    else:
        ends = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
        t = np.linspace(0, 1, 12, endpoint=False, dtype=np.float32)[:, None]
        pieces = []
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
            pieces.append(
                0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3)
            )
        pieces.append(points[-1:])
    line = np.concatenate(pieces)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0, length[-1], max(2, int(length[-1] / 0.012)))
    return np.stack([np.interp(at, length, line[:, 0]), np.interp(at, length, line[:, 1])], 1).astype(np.float32)


@dataclass(frozen=True)
class Habits:
    """How one writer draws by rule: the choices that stay the same all over a page.

    Attributes:
        upstroke: length of the 1's upstroke in heights, 0 for a plain stroke.
        caret: that upstroke is nearly as long and as steep as the stem.
        foot: the 1 stands on a foot.
        crossed: the 7 has a bar.
        hook: how far the 7's head hangs down at its left, in heights, 0 for none.
        wave: how far the 7's head sinks between its ends, as an И, in heights, 0 for none.
        open_zero: the 0 does not close, at the upper right.
        open_eight: the 8's strokes do not meet at the top.
        four: "open", "closed" or "lightning".
        slashed: the 0 is struck through.
        curled: the 9's and 7's stems bend.
    """

    upstroke: float
    caret: bool
    foot: bool
    crossed: bool
    hook: float
    wave: float
    open_zero: bool
    open_eight: bool
    four: str
    slashed: bool
    curled: float


def habits(rng: np.random.Generator) -> Habits:
    """Draw a writer: who writes 1 with a long upstroke mostly crosses the 7."""
    european = rng.random() < 0.5
    caret = european and rng.random() < 0.3
    long = rng.uniform(0.6, 1.0) if caret else rng.uniform(0.18, 0.85)
    return Habits(
        upstroke=float(long) if european else float(rng.choice([0, rng.uniform(0.05, 0.25)])),
        caret=bool(caret),
        foot=bool(rng.random() < (0.15 if european else 0.2)),
        crossed=bool(rng.random() < (0.85 if european else 0.15)),
        hook=float(rng.choice([0, rng.uniform(0.12, 0.45)], p=[0.65, 0.35])),
        wave=float(rng.choice([0, rng.uniform(0.12, 0.5)], p=[0.82, 0.18])),
        open_zero=bool(rng.random() < 0.22),
        open_eight=bool(rng.random() < 0.35),
        four=str(rng.choice(["open", "closed", "lightning"], p=[0.45, 0.3, 0.25])),
        slashed=bool(rng.random() < 0.12),
        curled=float(rng.normal(0, 0.12)),
    )


def drawn(character: str, writer: Habits, rng: np.random.Generator) -> np.ndarray:
    """A digit or separator drawn by rule; (n, 2) float32 in digit heights."""

    def j(scale: float = 0.035) -> float:
        return float(rng.normal(0, scale))

    w = float(rng.uniform(0.42, 0.68))
    strokes: list[np.ndarray]
    if character == "0":
        turn = rng.uniform(0.64, 0.88) if writer.open_zero else rng.uniform(0.85, 1.08)
        t = np.linspace(0, 2 * np.pi * turn, 90) + rng.normal(0, 0.25)
        lean = j(0.05)
        strokes = [np.stack([w / 2 * (1 - np.sin(t)) + lean * np.cos(t), 0.5 - 0.5 * np.cos(t)], 1).astype(np.float32)]
        if writer.slashed:
            strokes.append(smooth([(w * 0.95 + j(), 0.08 + j()), (w * 0.05 + j(), 0.92 + j())]))
    elif character == "1":
        lean = j(0.08)
        if writer.upstroke:
            dx = writer.upstroke * (rng.uniform(0.2, 0.6) if writer.caret else rng.uniform(0.45, 0.9))
            up = [
                (lean - dx, writer.upstroke * rng.uniform(0.7, 1.1)),
                (lean - dx * 0.45, writer.upstroke * 0.4 + j(0.02)),
            ]
            strokes = [smooth([*up, (lean, 0.0)]), smooth([(lean, 0.0), (j(0.05), 1.0)])]
        else:
            strokes = [smooth([(lean, 0.0), (lean / 2 + j(0.015), 0.5), (0.0, 1.0)])]
        if writer.foot:
            strokes.append(smooth([(-rng.uniform(0.12, 0.32), 1 + j(0.02)), (rng.uniform(0.12, 0.32), 1 + j(0.02))]))
    elif character == "2":
        top = [(0.02 + j(), 0.22 + j()), (w * 0.3, 0.02 + j(0.02)), (w * 0.75 + j(), 0.06), (w * 0.88 + j(), 0.3 + j())]
        if rng.random() < 0.4:
            foot = [
                (w * 0.4, 0.72),
                (0.05 + j(), 0.97),
                (-0.02, 0.86 + j(0.02)),
                (w * 0.3, 0.84 + j()),
                (w * 0.6, 0.98),
                (w + 0.08 + j(), 0.9 + j()),
            ]
            strokes = [smooth(top + foot)]
        else:
            strokes = [smooth([*top, (w * 0.45 + j(), 0.68), (0.0, 1.0 + j(0.02))])]
            strokes.append(smooth([(0.0, 1.0), (w * 0.5, 0.97 + j(0.02)), (w + j(0.05), 0.98 + j())]))
    elif character == "3":
        low = [
            (w * 0.42 + j(), 0.46 + j()),
            (w * 0.9 + j(), 0.62 + j()),
            (w * 0.8 + j(), 0.92),
            (w * 0.35, 1.0),
            (0.0, 0.88 + j()),
        ]
        if rng.random() < 0.08:  # all corners, as lightning
            strokes = [
                smooth(
                    [
                        (0.02, 0.03 + j()),
                        (w * 0.9 + j(), j(0.02)),
                        (w * 0.3 + j(), 0.42 + j()),
                        (w * 0.9 + j(), 0.5 + j()),
                        (w * 0.1 + j(), 1.0),
                    ],
                    corner=True,
                )
            ]
        elif rng.random() < 0.3:
            strokes = [smooth([(0.02, 0.03 + j(0.02)), (w * 0.85 + j(), 0.0), (w * 0.4, 0.42 + j())], corner=True)]
            strokes.append(smooth(low))
        else:
            strokes = [
                smooth([(0.03 + j(), 0.14 + j()), (w * 0.45, 0.0), (w * 0.85 + j(), 0.16 + j()), (w * 0.7, 0.38), *low])
            ]
    elif character == "4":
        if writer.four == "lightning":
            strokes = [
                smooth(
                    [(w * 0.5 + j(), 0.0), (0.0 + j(0.02), 0.52 + j()), (w * 0.75, 0.5 + j()), (w * 0.45 + j(), 1.0)],
                    corner=True,
                )
            ]
        elif writer.four == "open":
            strokes = [
                smooth([(w * 0.25 + j(), 0.0), (0.0 + j(0.02), 0.56 + j()), (w * 1.05 + j(), 0.56 + j())], corner=True)
            ]
            strokes.append(smooth([(w * 0.75 + j(), 0.12 + j(0.1)), (w * 0.65 + j(), 1.0)]))
        else:
            strokes = [smooth([(w * 0.75 + j(), 0.0), (0.0, 0.64 + j()), (w * 1.1 + j(), 0.63 + j())], corner=True)]
            strokes.append(smooth([(w * 0.75 + j(0.02), 0.02), (w * 0.7 + j(), 1.0)]))
    elif character == "5":
        start = (0.08 + j(0.03), 0.04 + j(0.02))
        bowl = [
            (0.02 + j(0.02), 0.44 + j()),
            (w * 0.5, 0.38 + j()),
            (w * 0.92 + j(), 0.6 + j()),
            (w * 0.7, 0.94),
            (w * 0.25, 1.0),
            (-0.03 + j(), 0.88 + j()),
        ]
        strokes = [smooth([start, bowl[0]]), smooth(bowl)]
        gap = rng.choice([0.0, rng.uniform(0, 0.12)])
        strokes.append(
            smooth(
                [
                    (start[0] + gap, start[1] + j(0.03)),
                    (w * rng.choice([0.95, rng.uniform(1, 2)], p=[0.75, 0.25]) + gap + j(), j(0.06)),
                ]
            )
        )
        if rng.random() < 0.25:
            strokes = [smooth([(w * 0.9 + j(), 0.02), (w * 0.2, 0.02 + j(0.02)), *bowl])]
    elif character == "6":
        strokes = [
            smooth(
                [
                    (w * 0.75 + j(0.08), 0.0),
                    (w * 0.2 + j(), 0.3),
                    (0.0, 0.7 + j()),
                    (w * 0.3, 1.0),
                    (w * 0.85 + j(), 0.85 + j()),
                    (w * 0.75, 0.56 + j()),
                    (w * 0.35, 0.54 + j()),
                    (0.05 + (rng.uniform(0, 0.2) if writer.open_zero else 0.0), 0.76),
                ]
            )
        ]
    elif character == "7":
        if writer.hook or (writer.crossed and rng.random() < 0.4):
            w *= float(rng.uniform(0.55, 0.95))  # a narrow head
        bar = [(0.0, 0.06 + j(0.05)), (w * 0.5, 0.04 + j(0.03)), (w + j(), 0.0)]
        if writer.hook:
            hook = writer.hook * rng.uniform(0.75, 1.25)
            bar = [
                (j(0.04), hook),
                (0.03 + j(0.02), hook * 0.35),
                (w * 0.35, 0.03 + j(0.03)),
                (w * 0.7, 0.07 + j(0.03)),
                bar[-1],
            ]
        elif rng.random() < 0.4:
            bar.insert(0, (0.0 + j(0.01), 0.2 + j()))
        middle, foot = w * 0.62 + writer.curled, w * 0.42 + j(0.06)
        y, reach = (rng.uniform(0.34, 0.56) if writer.hook else 0.5 + j(0.06)), rng.uniform(0.18, 0.42)
        if writer.wave:
            w = float(rng.uniform(0.3, 0.62))
            deep = writer.wave * rng.uniform(0.75, 1.25)
            at = rng.uniform(0.35, 0.65) * w
            bar = [(at * rng.uniform(0.3, 0.6), rng.uniform(0, 0.3) * deep), (at, deep), (w, 0.0)]
            if rng.random() < 0.7:  # begun from below
                bar.insert(0, (0.0, bar[0][1] + rng.uniform(0.02, 0.25)))
            middle, foot = w * rng.uniform(0.45, 0.8), w * rng.uniform(-0.15, 0.7)
            y = min(max(y, deep + rng.uniform(0.06, 0.25)), 0.8)
        strokes = [
            smooth(bar, corner=not writer.hook or (writer.wave > 0 and rng.random() < 0.6)),
            smooth([(w, 0.0), (middle, 0.5), (foot, 1.0)]),
        ]
        if writer.crossed or writer.wave:
            stem = middle + (foot - middle) * (y - 0.5) * 2
            strokes.append(
                smooth(
                    [
                        (stem - reach * rng.uniform(0.6, 1.2), y + 0.03 + j()),
                        (stem + reach * rng.uniform(0.7, 1.2), y - 0.03 + j()),
                    ]
                )
            )
    elif character == "8":  # one stroke, beginning at the upper right
        s = w * 0.5
        end = [(s * 1.5 + j(), 0.26 + j()), (s * 1.55 + j(0.06), 0.1 + j())]
        if writer.open_eight:  # the way back passes the beginning, or stops before it
            end = [(s * 1.6 + j(), 0.2 + j()), (s * rng.uniform(1.7, 2.6), j(0.1))] if rng.random() < 0.7 else end[:1]
        begin = (s * (rng.uniform(1.2, 1.7) if writer.open_eight else 1.6) + j(), 0.12 + j())
        strokes = [
            smooth(
                [
                    begin,
                    (s, 0.0),
                    (s * 0.35 + j(), 0.2 + j()),
                    (s, 0.46),
                    (s * 1.75 + j(), 0.75 + j()),
                    (s, 1.0),
                    (s * 0.2 + j(), 0.78 + j()),
                    (s * 0.9, 0.5),
                    *end,
                ]
            )
        ]
    elif character == "9":
        ring = [
            (w * 0.85 + j(), 0.1 + j()),
            (w * 0.45, 0.0),
            (0.02, 0.22 + j()),
            (w * 0.3, 0.48 + j()),
            (w * 0.8, 0.34 + j()),
            (w * 0.88, 0.06),
        ]
        if writer.open_zero:
            ring = ring[:-1]
        stem = [(w * 0.88 + j(0.02), 0.08), (w * 0.8 + j(), 0.6), (w * 0.7 + writer.curled, 1.0)]
        if writer.curled > 0.08:
            stem = [stem[0], (w * 0.85, 0.7), (w * 0.5, 1.0), (0.05, 0.9 + j())]
        strokes = [smooth(ring), smooth(stem)]
    elif character == "/":
        strokes = [smooth([(rng.uniform(0.2, 0.6), -0.1 + j(0.08)), (j(0.02) + 0.2, 0.5), (0.0, 1.12 + j(0.08))])]
    elif character == "-":
        y = 0.55 + j(0.07)
        strokes = [smooth([(0.0, y), (rng.uniform(0.22, 0.6), y + j(0.04))])]
    elif character == ".":
        y = 0.97 + j(0.05)
        strokes = [smooth([(0.0, y), (rng.uniform(0.01, 0.06), y + j(0.02))])]
    elif character == ",":
        strokes = [smooth([(0.08, 0.9 + j()), (0.06 + j(0.02), 1.03), (-abs(j(0.08)), 1.2 + j(0.07))])]
    elif character == ":":
        x, top, low = j(0.02), 0.35 + j(0.06), 0.88 + j(0.05)
        strokes = [smooth([(0.0, top), (0.02, top + 0.01)]), smooth([(x, low), (x + 0.02, low + 0.01)])]
    elif character == "+":
        a = rng.uniform(0.4, 0.65)
        strokes = [
            smooth([(0.0, 0.55 + j()), (a, 0.53 + j())]),
            smooth([(a / 2 + j(), 0.55 - a / 2), (a / 2 + j(), 0.55 + a / 2)]),
        ]
    else:  # =
        a = rng.uniform(0.35, 0.6)
        y = 0.44 + j(0.04)
        strokes = [
            smooth([(0.0, y), (a, y + j(0.03))]),
            smooth([(j(0.03), y + 0.22), (a + j(0.03), y + 0.22 + j(0.03))]),
        ]
    cloud = np.concatenate(strokes)
    cloud[:, 0] -= cloud[:, 0].min()
    return to_heights(cloud) if character in DIGITS else cloud.astype(np.float32)


class Hand:
    """One writer for one page: where each sign comes from, and how it leans. Owns nothing but choices.

    Args:
        split: whose images and fonts.
        clouds: per digit, the centre lines of the split's images.
        rng: draws the choices.
    """

    def __init__(self, split: Split, clouds: list[list[np.ndarray]], rng: np.random.Generator) -> None:
        self.clouds, self.rng = clouds, rng
        self.habits = habits(rng)
        self.source = str(rng.choice(["mnist", "font", "rule", "mixed"], p=[0.36, 0.3, 0.12, 0.22]))
        self.signs = font_signs(split.fonts[rng.integers(len(split.fonts))])
        if not self.signs and self.source == "font":
            self.source = "mnist"
        # In a mixed hand each digit has one source, as habits are kept.
        self.of = {d: str(rng.choice(["mnist", "font", "rule"], p=[0.36, 0.3, 0.34])) for d in DIGITS}
        # Who writes 1 with a long upstroke or crosses the 7 does so all over the page, whatever the other digits are.
        self.own = {}
        if (self.habits.upstroke > 0.2 or self.habits.crossed) and rng.random() < 0.6:
            self.own = {"1": "rule", "7": "rule"}
        if rng.random() < 0.15:
            self.own["4"] = "rule"
        # The shapes that MNIST's writers hardly have.
        if self.habits.open_zero and rng.random() < 0.6:
            self.own["0"] = "rule"
        if self.habits.open_eight and rng.random() < 0.4:
            self.own["8"] = "rule"
        if (self.habits.hook and rng.random() < 0.5) or self.habits.wave:
            self.own["7"] = "rule"
        self.lean = float(rng.normal(0.05, 0.13)) if rng.random() < 0.7 else float(rng.uniform(0.1, 0.5))
        self.shaky = 0.035 if rng.random() < 0.75 else float(rng.uniform(0.035, 0.075))
        self.wide = float(np.exp(rng.normal(0, 0.13)))

    def draw(self, character: str) -> np.ndarray:
        """A sign in this hand, leaning and shaken; (n, 2) float32 in digit heights."""
        cloud = self._plain(character)
        rng = self.rng
        if character in DIGITS + LETTERS:
            turn, lean = rng.normal(0, 0.05), self.lean + rng.normal(0, 0.04)
            x, y = cloud[:, 0] * self.wide * np.exp(rng.normal(0, 0.06)), cloud[:, 1]
            # A slow wave through the sign: no two are alike.
            phase = rng.uniform(0, 6.28, 4)
            a = rng.uniform(0, self.shaky, 4)
            x = x + a[0] * np.sin(5 * y + phase[0]) + a[1] * np.sin(4 * x + phase[1])
            y = y + a[2] * np.sin(5 * x + phase[2]) + a[3] * np.sin(4 * y + phase[3])
            cloud = np.stack([x + turn * y + lean * (0.5 - y), y - turn * x], 1).astype(np.float32)
        return cloud

    def _plain(self, character: str) -> np.ndarray:
        rng = self.rng
        if character in DIGITS:
            source = self.own.get(character) or (self.of[character] if self.source == "mixed" else self.source)
            if source == "font" and character in self.signs:
                cloud = self.signs[character]
                if character == "7" and self.habits.crossed and rng.random() < 0.5:
                    cloud = np.concatenate([cloud, smooth([(0.15, 0.52), (0.8 * float(cloud[:, 0].max()), 0.48)])])
                return cloud
            if source == "rule":
                return drawn(character, self.habits, rng)
            of = self.clouds[int(character)]
            return of[rng.integers(len(of))]
        if character in SEPARATORS:
            if self.source == "font" and character in self.signs and rng.random() < 0.5:
                return self.signs[character]
            return drawn(character, self.habits, rng)
        return self.signs.get(character, np.zeros((0, 2), np.float32))
