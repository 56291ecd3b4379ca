"""Make pages of real MNIST digits with known truth: tinted, shaded, ruled, noisy, blurred, aslant, light or dark.

The reader's choices were made on pages of validation digits (the last 5,000 training images) and are judged on pages of
test digits; both come from here, and so do the non-digits.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

PENS = [(15, 15, 20), (40, 40, 45), (25, 35, 120), (30, 60, 170), (150, 25, 30), (20, 90, 50), (95, 95, 100)]
PAPERS = [(255, 255, 255), (250, 244, 228), (238, 238, 236), (252, 236, 236), (232, 240, 248), (214, 208, 198)]
RULES = [(170, 195, 225), (190, 190, 200), (225, 175, 180), (150, 180, 170)]

FONTS = (
    "DejaVuSans DejaVuSans-Bold DejaVuSansMono DejaVuSerif DejaVuSerif-Italic STIXGeneral STIXGeneralItalic "
    "cmr10 cmss10 cmtt10"
)

# The letters that the reader must refuse, and some that made-up non-digits may use to choose a threshold.
TEST_LETTERS = "ACEHKMNRUVWX"
OTHER_LETTERS = "FJLPTYadefhjrty"


def mnist(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Digits of "validation" or "test": (n, 28, 28) uint8 and (n,) labels."""
    stem = "t10k" if split == "test" else "train"
    folder = resources.files("digitlab.data") / "bundled"
    pixels = gzip.decompress((folder / f"{stem}-images-idx3-ubyte.gz").read_bytes())
    names = gzip.decompress((folder / f"{stem}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer(names, np.uint8, offset=8).astype(int)
    return (images, labels) if split == "test" else (images[-5000:], labels[-5000:])


@dataclass(frozen=True)
class Page:
    """A picture and what is written on it."""

    image: Image.Image
    lines: list[str]
    seed: int

    @property
    def text(self) -> str:
        """Lines joined by newlines."""
        return "\n".join(self.lines)


def page_of(images: np.ndarray, labels: np.ndarray, seed: int) -> Page:
    """Write 1 to 40 digits in 1 to 6 lines on a page drawn from `seed`."""
    rng = np.random.default_rng(seed)
    height = int(rng.integers(24, 90))
    count, rows = int(rng.integers(1, 41)), int(rng.integers(1, 7))
    rows = min(rows, count)
    per_row = np.diff(np.sort(np.concatenate([[0, count], rng.choice(np.arange(1, count), rows - 1, replace=False)])))
    pitch = height * rng.uniform(1.45, 2.2)
    gap = rng.uniform(0.12, 0.7)
    margin = height * rng.uniform(0.6, 1.6)
    lines, placed = [], []
    for row, number in enumerate(per_row):
        x, text = margin + height * rng.uniform(0, 1.0), ""
        for _ in range(number):
            pick = int(rng.integers(len(images)))
            digit = enlarged(images[pick], height * rng.uniform(0.88, 1.12))
            y = margin + row * pitch + height * (1 + rng.uniform(-0.06, 0.06)) - digit.shape[0]
            placed.append((int(x), int(y), digit))
            x += digit.shape[1] + height * gap * rng.uniform(0.8, 1.3)
            text += str(labels[pick])
        lines.append(text)
    right = max(x + digit.shape[1] for x, _, digit in placed)
    size = (int(right + margin), int(2 * margin + (rows - 1) * pitch + height * 1.1))
    coverage = np.zeros((size[1], size[0]), np.float32)
    for x, y, digit in placed:
        y, x = max(y, 0), max(x, 0)
        part = coverage[y : y + digit.shape[0], x : x + digit.shape[1]]
        np.maximum(part, digit[: part.shape[0], : part.shape[1]], out=part)
    return Page(_photograph(coverage, height, pitch, margin, rng), lines, seed)


def enlarged(image: np.ndarray, height: float) -> np.ndarray:
    """One MNIST digit, cut to its ink and smoothly enlarged to a height; float32 0..1."""
    rows, columns = np.nonzero(image.max(1))[0], np.nonzero(image.max(0))[0]
    cut = np.pad(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    factor = height / max(cut.shape)
    size = (max(1, round(cut.shape[1] * factor)), max(1, round(cut.shape[0] * factor)))
    return np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC), np.float32) / 255


def _photograph(
    coverage: np.ndarray, height: int, pitch: float, margin: float, rng: np.random.Generator
) -> Image.Image:
    """Pen, paper, rulings, light, lens and file format, all drawn at random."""
    rows, columns = coverage.shape
    paper = np.ones((rows, columns, 3), np.float32) * PAPERS[rng.integers(len(PAPERS))]
    style = rng.choice(["plain", "ruled", "squared"], p=[0.5, 0.3, 0.2])
    if style != "plain":
        colour = np.array(RULES[rng.integers(len(RULES))], np.float32)
        width = int(rng.integers(1, 1 + max(1, height // 24)))
        step = pitch if style == "ruled" else height * rng.uniform(0.5, 1.3)
        for y in np.arange(margin + height * 1.08 - 8 * step, rows, step):
            if y >= 0:
                paper[int(y) : int(y) + width] = colour
        if style == "squared":
            for x in np.arange(rng.uniform(0, step), columns, step):
                paper[:, int(x) : int(x) + width] = colour
    pen = np.array(PENS[rng.integers(len(PENS))], np.float32)
    alpha = (coverage * rng.uniform(0.75, 1.0))[..., None]
    photo = paper * (1 - alpha) + pen * alpha
    angle = rng.uniform(-10, 10) if rng.random() < 0.6 else 0.0
    if angle:
        fill = tuple(int(v) for v in np.median(photo[:3].reshape(-1, 3), axis=0))
        tilted = Image.fromarray(photo.round().astype(np.uint8))
        photo = np.asarray(tilted.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=fill), np.float32)
    rows, columns = photo.shape[:2]
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j].astype(np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    ramp = (x - 0.5) * np.cos(direction) + (y - 0.5) * np.sin(direction)
    light = 1 - rng.uniform(0, 0.35) * (ramp + 0.5) - rng.uniform(0, 0.3) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    photo = photo * light[..., None]
    photo = ndimage.gaussian_filter(photo, (s := rng.uniform(0, height / 45), s, 0))
    photo = photo + rng.normal(0, rng.uniform(0, 9), photo.shape)
    if rng.random() < 0.3:
        photo = 255 - photo
    image = Image.fromarray(photo.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(45, 96)))
        image = Image.open(io.BytesIO(file.getvalue()))
        image.load()
    return image


def single_of(image: np.ndarray, height: float, rng: np.random.Generator) -> Image.Image:
    """One digit of a given height anywhere on a clean page a little or a lot larger than itself."""
    digit = enlarged(image, height)
    rows, columns = (int(side + height * rng.uniform(0.4, 2.5)) for side in digit.shape)
    page = np.zeros((rows, columns), np.float32)
    top, left = (int(rng.integers(0, side - part + 1)) for side, part in zip(page.shape, digit.shape, strict=True))
    page[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    ink, paper = rng.uniform(0, 80), rng.uniform(190, 255)
    grey = paper + (ink - paper) * page
    if rng.random() < 0.5:
        grey = 255 - grey
    return Image.fromarray(np.clip(grey + rng.normal(0, 2, grey.shape), 0, 255).astype(np.uint8))


def non_digits(kind: str, rng: np.random.Generator) -> Iterator[tuple[str, Image.Image]]:
    """Yield name and picture without end: "test" has the letters to refuse, "made-up" only other shapes."""
    letters = TEST_LETTERS if kind == "test" else OTHER_LETTERS
    fonts = fonts_at_hand()
    marks = [_cross, _scribble, _smiley] if kind == "test" else [_scribble, _zigzag, _star]
    while True:
        if rng.random() < 0.7:
            letter, font = letters[rng.integers(len(letters))], fonts[rng.integers(len(fonts))]
            yield letter, _letter(letter, font, rng)
        else:
            mark = marks[rng.integers(len(marks))]
            image = Image.new("L", (160, 160), 255)
            mark(ImageDraw.Draw(image), rng)
            yield mark.__name__.strip("_"), image


def fonts_at_hand() -> list[str]:
    """The upright fonts that Matplotlib brings."""
    import matplotlib

    folder = resources.files(matplotlib) / "mpl-data" / "fonts" / "ttf"
    return [str(folder / f"{name}.ttf") for name in FONTS.split()]


def _letter(letter: str, font: str, rng: np.random.Generator) -> Image.Image:
    image = Image.new("L", (160, 160), 255)
    drawn = ImageFont.truetype(font, int(rng.integers(70, 120)))
    ImageDraw.Draw(image).text((80, 80), letter, fill=0, font=drawn, anchor="mm")
    return image.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=255)


def _cross(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    r, width = rng.uniform(30, 60), int(rng.integers(5, 12))
    turn = rng.uniform(-0.2, 0.2) + rng.choice([0, np.pi / 4])
    for angle in (turn, turn + np.pi / 2):
        dx, dy = r * np.cos(angle), r * np.sin(angle)
        draw.line((80 - dx, 80 - dy, 80 + dx, 80 + dy), fill=0, width=width)


def _scribble(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    knots = rng.uniform(20, 140, (int(rng.integers(8, 16)), 2))
    smooth = ndimage.gaussian_filter1d(np.repeat(knots, 12, axis=0), 5, axis=0, mode="nearest")
    draw.line([tuple(p) for p in smooth], fill=0, width=int(rng.integers(4, 9)), joint="curve")


def _zigzag(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    n = int(rng.integers(5, 9))
    points = [(20 + 120 * i / (n - 1), 80 + (-1) ** i * rng.uniform(20, 55)) for i in range(n)]
    draw.line(points, fill=0, width=int(rng.integers(4, 10)), joint="curve")


def _star(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    turn, width = rng.uniform(0, 1), int(rng.integers(4, 10))
    angles = turn + np.arange(6) * 4 * np.pi / 5
    draw.line(
        list(zip(80 + 55 * np.cos(angles), 80 + 55 * np.sin(angles), strict=True)), fill=0, width=width, joint="curve"
    )


def _smiley(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    r, width = rng.uniform(40, 65), int(rng.integers(4, 9))
    draw.ellipse((80 - r, 80 - r, 80 + r, 80 + r), outline=0, width=width)
    for side in (-1, 1):
        draw.ellipse((80 + side * r / 2.6 - 6, 80 - r / 3 - 6, 80 + side * r / 2.6 + 6, 80 - r / 3 + 6), fill=0)
    draw.arc((80 - r / 2, 80 - r / 2, 80 + r / 2, 80 + r / 2), 20, 160, fill=0, width=width)
