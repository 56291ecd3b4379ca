"""Numbers as people leave them: circled, framed, in brackets, on punched, folded and thin paper, on slips on a desk.

Nothing was trained on these scenes: the pages that networks learn from come from `compose.py`. Digits are MNIST's, so
that what is measured is what a scene costs: `plain` is the same without one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pages import PENS, Page, enlarged
from PIL import Image, ImageDraw
from scipy import ndimage

PAPER = (245, 244, 239)
RED = (190, 30, 40)


class Scene:
    """A sheet of paper that is being written on.

    Attributes:
        rng: where everything comes from.
        sheet: (h, w, 3) float32, 0..255.
        lines: what was written, line by line.
        pen: the colour of the writing.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, seed: int, size: tuple[int, int] = (560, 720)) -> None:
        self.images, self.labels, self.rng = images, labels, np.random.default_rng(seed)
        self.pen = PENS[self.rng.integers(len(PENS))]
        self.lines: list[str] = []
        self.blank(size)

    def blank(self, size: tuple[int, int], colour: tuple[int, int, int] = PAPER) -> None:
        """A new sheet, lit from one side."""
        y, x = np.mgrid[: size[0], : size[1]] / max(size)
        turn = self.rng.uniform(0, 2 * np.pi)
        light = 20 * (np.cos(turn) * x + np.sin(turn) * y)
        grain = self.rng.normal(0, 2, size)
        self.sheet = (np.array(colour) + (light + grain)[..., None]).astype(np.float32)

    def number(self, low: int = 2, high: int = 5) -> str:
        """So many digits."""
        return "".join(str(digit) for digit in self.rng.integers(0, 10, self.rng.integers(low, high + 1)))

    def ink(self, text: str, tall: int) -> np.ndarray:
        """Digits by one or more hands side by side, `(` and `)` as bows, a blank as such: (2 tall, w) float32."""
        parts = [np.zeros((2 * tall, 2), np.float32)]
        for character in text:
            part = np.zeros((2 * tall, int(self.rng.uniform(0.1, 0.25) * tall) + 1), np.float32)
            if character in "()":
                part = self._bow(character, tall)
            elif character == " ":
                part = np.zeros((2 * tall, int(0.8 * tall)), np.float32)
            else:
                pick = self.rng.choice(np.flatnonzero(self.labels == int(character)))
                digit = enlarged(self.images[pick], tall * self.rng.uniform(0.9, 1.1))
                part = np.pad(part, [(0, 0), (digit.shape[1], 0)])
                low = int(1.5 * tall) + int(self.rng.integers(-2, 3))
                part[low - digit.shape[0] : low, : digit.shape[1]] = digit
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def _bow(self, character: str, tall: int) -> np.ndarray:
        high, deep = tall * self.rng.uniform(1.0, 1.4), tall * self.rng.uniform(0.15, 0.3)
        turns = np.linspace(-1.2, 1.2, 40)
        x = deep * (1 - np.cos(turns)) / (1 - np.cos(1.2))
        x = x if character == "(" else deep - x
        points = np.column_stack([x + 0.15 * tall, tall + high / 2 * np.sin(turns) / np.sin(1.2)])
        return self.stroke(points, max(2, tall // 12), (2 * tall, int(deep + 0.4 * tall)))

    @staticmethod
    def stroke(points: np.ndarray, wide: int, shape: tuple[int, ...]) -> np.ndarray:
        """A line along points (n, 2) of x and y: (h, w) float32, 0..1."""
        image = Image.new("L", (3 * shape[1], 3 * shape[0]))
        ImageDraw.Draw(image).line([(3 * x, 3 * y) for x, y in points], fill=255, width=3 * wide, joint="curve")
        return np.asarray(image.resize(shape[1::-1], Image.Resampling.BOX), np.float32) / 255

    def paint(self, ink: np.ndarray, x: float, y: float, colour: tuple[int, int, int], strength: float = 0.9) -> None:
        """Put ink on the sheet, its upper left corner at x and y."""
        part = self.sheet[int(y) : int(y) + ink.shape[0], int(x) : int(x) + ink.shape[1]]
        alpha = strength * ink[: part.shape[0], : part.shape[1], None]
        part[:] = part * (1 - alpha) + np.array(colour) * alpha

    def write(self, text: str, x: float, y: float, tall: int) -> tuple[float, float, float, float]:
        """Write a line: its box, digits from top to bottom."""
        ink = self.ink(text, tall)
        self.paint(ink, x, y - tall / 2, self.pen, self.rng.uniform(0.8, 0.95))
        return x, y, x + ink.shape[1], y + tall

    def rows(self, count: int = 4, tall: int = 46, left: float = 80) -> None:
        """Numbers one below the other."""
        for row in range(count):
            self.lines.append(self.number())
            self.write(self.lines[-1], left + self.rng.integers(-5, 6), 60 + 2.3 * tall * row, tall)

    def line(self, points: np.ndarray, wide: int, colour: tuple[int, int, int]) -> None:
        """Draw a line of the pen on the sheet."""
        self.paint(self.stroke(points, wide, self.sheet.shape[:2]), 0, 0, colour)

    def lay(self, ground: np.ndarray, degrees: float, x: float = 0.5, y: float = 0.5) -> np.ndarray:
        """Lay the sheet on a ground (h, w, 3), its middle at these shares of it, turned, with a shadow."""
        canvas = Image.new("RGBA", ground.shape[1::-1])
        paper = Image.fromarray(self.sheet.clip(0, 255).astype(np.uint8)).convert("RGBA")
        paper = paper.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
        canvas.paste(paper, (int(x * ground.shape[1] - paper.width / 2), int(y * ground.shape[0] - paper.height / 2)))
        over = np.asarray(canvas, np.float32)
        alpha = over[..., 3:] / 255
        shadow = np.roll(ndimage.gaussian_filter(alpha, (8, 8, 0)), (5, 5), (0, 1))
        return ground * (1 - 0.35 * shadow) * (1 - alpha) + over[..., :3] * alpha

    def ground(self, size: tuple[int, int]) -> np.ndarray:
        """A desk, bricks or cloth, of many greys: (h, w, 3) float32."""
        colour = np.array([(120, 85, 55), (140, 75, 60), (90, 95, 110), (110, 120, 80)][self.rng.integers(4)])
        kind = self.rng.integers(3)
        sigma = [(1.5, 40), (3, 3), (12, 12)][kind]
        grain = ndimage.gaussian_filter(self.rng.normal(0, 1, size), sigma)
        ground = colour * (1 + 0.28 * grain / grain.std())[..., None]
        if kind == 1:
            y, x = np.mgrid[: size[0], : size[1]]
            ground[(y % 30 < 3) | ((x + 30 * (y // 30 % 2)) % 60 < 3)] = (185, 180, 170)
        return np.asarray(ground.clip(20, 235), np.float32)

    def page(self, seed: int) -> Page:
        """The image, a little out of focus."""
        seen = ndimage.gaussian_filter(self.sheet, (0.6, 0.6, 0))
        return Page(Image.fromarray(seen.clip(0, 255).astype(np.uint8)), self.lines, seed)


SCENES: dict[str, Callable[[Scene], None]] = {}


def scene_of(kind: str, images: np.ndarray, labels: np.ndarray, seed: int) -> Page:
    """Draw a page of one of `SCENES`."""
    scene = Scene(images, labels, seed)
    SCENES[kind](scene)
    return scene.page(seed)


def _is_scene(draw: Callable[[Scene], None]) -> Callable[[Scene], None]:
    SCENES[draw.__name__.strip("_").replace("_", " ")] = draw
    return draw


@_is_scene
def _plain(scene: Scene) -> None:
    scene.rows()


def _in_circles(scene: Scene, draw: Callable[[float, float, float, float], np.ndarray], share: float) -> None:
    colour = RED if scene.rng.random() < 0.5 else scene.pen
    for row in range(3):
        texts = [scene.number(1, 2) for _ in range(4)]
        scene.lines.append(" ".join(texts))
        for column, text in enumerate(texts):
            x, y = 95 + 165 * column, 90 + 160 * row
            ink = scene.ink(text, 42)
            scene.paint(ink, x - ink.shape[1] / 2, y - 42, scene.pen)
            if scene.rng.random() < share:
                wide, high = scene.rng.uniform(0.75, 1.2) * max(ink.shape[1], 42) / 2 + 20, scene.rng.uniform(40, 58)
                scene.line(draw(x, y, wide, high), int(scene.rng.integers(2, 5)), colour)


@_is_scene
def _circled(scene: Scene) -> None:
    turns = np.linspace(0, 2 * np.pi, 90)
    _in_circles(scene, lambda x, y, a, b: np.column_stack([x + a * np.cos(turns), y + b * np.sin(turns)]), 1.0)


@_is_scene
def _circled_by_hand(scene: Scene) -> None:
    def ring(x: float, y: float, a: float, b: float) -> np.ndarray:
        start = scene.rng.uniform(-2.5, -0.5)
        turns = np.linspace(start, start + 2 * np.pi + scene.rng.uniform(-0.45, 0.9), 90)
        wobble = 1 + np.cumsum(scene.rng.normal(0, 0.004, 90)) + np.linspace(0, scene.rng.uniform(-0.12, 0.12), 90)
        return np.column_stack([x + a * wobble * np.cos(turns), y + b * wobble * np.sin(turns)])

    _in_circles(scene, ring, 0.6)


@_is_scene
def _framed(scene: Scene) -> None:
    for row in range(2):
        scene.lines.append(scene.number(2, 4))
        left, top, right, bottom = scene.write(scene.lines[-1], 120, 60 + 230 * row, 64)
        left, top, right, bottom = left - 25, top - 25, right + 15, bottom + 22
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        corners = corners + scene.rng.uniform(-8, 8, (4, 2))
        scene.line(np.concatenate([corners, corners[:2]]), 3, RED if scene.rng.random() < 0.5 else scene.pen)


@_is_scene
def _brackets(scene: Scene) -> None:
    for row in range(4):
        scene.lines.append(scene.number(1, 4))
        scene.write(f"({scene.lines[-1]})", 80, 60 + 115 * row, 46)


@_is_scene
def _ordinals(scene: Scene) -> None:
    for row in range(4):
        number = scene.number(2, 4)
        scene.lines.append(f"{row + 1} {number}")
        scene.write(f"{row + 1}) {number}", 80, 60 + 115 * row, 46)


@_is_scene
def _shows_through(scene: Scene) -> None:
    scene.rows()
    for row in range(4):
        ink = ndimage.gaussian_filter(scene.ink(scene.number(4, 6), 46), 1.2)[:, ::-1]
        scene.paint(ink, 380, 40 + 106 * row, (150, 150, 165), scene.rng.uniform(0.2, 0.4))


@_is_scene
def _folded(scene: Scene) -> None:
    scene.rows()
    for axis in (0, 1):
        away = np.arange(scene.sheet.shape[axis]) - scene.rng.integers(150, 400)
        dark = 0.25 * np.exp(-((away / 40.0) ** 2)) * (away > 0) + 0.35 * np.exp(-((away / 2.0) ** 2))
        scene.sheet *= (1 - dark)[:, None, None] if axis == 0 else (1 - dark)[None, :, None]


@_is_scene
def _squared_aslant(scene: Scene) -> None:
    turned, step = np.radians(scene.rng.uniform(-12, 12)), scene.rng.uniform(18, 36)
    y, x = np.mgrid[: scene.sheet.shape[0], : scene.sheet.shape[1]]
    across, down = np.cos(turned) * x + np.sin(turned) * y, np.cos(turned) * y - np.sin(turned) * x
    away = np.minimum(*(np.abs(along % step - step / 2) for along in (across, down)))
    scene.paint((1.3 - away).clip(0, 1).astype(np.float32), 0, 0, (120, 160, 210), scene.rng.uniform(0.3, 0.6))
    scene.rows(tall=40)


@_is_scene
def _punched(scene: Scene) -> None:
    scene.blank((640, 480))
    scene.sheet[70::36] = scene.sheet[70::36] * 0.4 + 0.6 * np.array((150, 180, 225))
    scene.sheet[:, 60:62] = (225, 120, 120)
    y, x = np.mgrid[:640, :480]
    for middle in range(20, 640, 28):
        scene.sheet[(y - middle) ** 2 + (x - 20) ** 2 < 49] = (60, 60, 60)
    scene.rows(7, 28, left=90)
    scene.sheet = scene.lay(scene.ground((800, 620)), scene.rng.uniform(-6, 6))


@_is_scene
def _on_a_desk(scene: Scene) -> None:
    scene.blank((560, 480))
    scene.rows(4, 42, left=70)
    scene.sheet = scene.lay(scene.ground((800, 800)), scene.rng.uniform(-20, 20))


@_is_scene
def _slips(scene: Scene) -> None:
    ground = scene.ground((600, 800))
    for row, y in enumerate((0.27, 0.73)):
        scene.blank((150, 330))
        scene.lines.append(scene.number(3, 4))
        scene.write(scene.lines[-1], 60, 45, 56)
        ground = scene.lay(ground, scene.rng.uniform(-5, 5), scene.rng.uniform(0.3, 0.7), y)
        scene.pen = PENS[(row + 1) % len(PENS)]
    scene.sheet = ground


def _tiles(scene: Scene, draw: Callable[[np.ndarray, int], np.ndarray], count: tuple[int, int] = (4, 5)) -> None:
    """A plotted figure of single digits, as of a data set."""
    side = int(scene.rng.choice([48, 64, 96]))
    gap = int(side * scene.rng.uniform(0.15, 0.5))
    step = side + gap
    scene.sheet = np.full((count[0] * step + gap, count[1] * step + gap, 3), 255, np.float32)
    for row in range(count[0]):
        scene.lines.append(scene.number(count[1], count[1]))
        for column, character in enumerate(scene.lines[-1]):
            digit = scene.images[scene.rng.choice(np.flatnonzero(scene.labels == int(character)))]
            top, left = gap + row * step, gap + column * step
            scene.sheet[top : top + side, left : left + side] = draw(digit, side)


@_is_scene
def _plotted(scene: Scene) -> None:
    # White on black, or in the colours of Matplotlib's viridis, from its dark end to its light one.
    low, high = [((0, 0, 0), (255, 255, 255)), ((68, 1, 84), (253, 231, 37))][scene.rng.integers(2)]

    def tile(digit: np.ndarray, side: int) -> np.ndarray:
        share = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.NEAREST), np.float32) / 255
        return np.array(low) + share[..., None] * (np.array(high) - np.array(low))

    _tiles(scene, tile)


@_is_scene
def _eight_by_eight(scene: Scene) -> None:
    def tile(digit: np.ndarray, side: int) -> np.ndarray:
        # As the 8 x 8 digits of scikit-learn are: blocks of the digit's own box.
        rows, columns = (np.flatnonzero(digit.max(axis) > 60) for axis in (1, 0))
        own = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        small = own.resize((max(2, round(8 * own.width / own.height)), 8), Image.Resampling.BOX)
        canvas = Image.new("L", (10, 10))
        canvas.paste(small.crop((0, 0, min(8, small.width), 8)), ((10 - min(8, small.width)) // 2, 1))
        share = np.asarray(canvas.resize((side, side), Image.Resampling.NEAREST), np.float32)
        return np.repeat(255 - share[..., None], 3, axis=2)

    _tiles(scene, tile)


@_is_scene
def _number_line(scene: Scene) -> None:
    scene.blank((280, 1000))
    scene.line(np.array([(40, 90), (960, 90)]), 4, PENS[0])
    for mark in range(11):
        x = 60 + 88 * mark
        scene.line(np.array([(x, 70), (x, 110)]), 4, PENS[0])
        ink = scene.ink(str(mark), 40)
        scene.paint(ink, x - ink.shape[1] / 2, 115, scene.pen)
    scene.lines.append(" ".join(str(mark) for mark in range(11)))


@_is_scene
def _coffee_ring(scene: Scene) -> None:
    scene.rows(5, 44)
    y, x = np.mgrid[: scene.sheet.shape[0], : scene.sheet.shape[1]]
    middle = scene.rng.uniform(150, 420), scene.rng.uniform(180, 420)
    off, reach = np.hypot(y - middle[0], x - middle[1]), scene.rng.uniform(110, 190)
    stain = scene.rng.uniform(0.35, 0.6) * np.exp(-(((off - reach) / 5) ** 2)) + 0.06 * (off < reach)
    scene.paint(stain.astype(np.float32), 0, 0, (120, 80, 40), 1.0)


@_is_scene
def _on_its_side(scene: Scene) -> None:
    scene.rows(int(scene.rng.integers(1, 4)))
    scene.sheet = np.rot90(scene.sheet, int(scene.rng.choice([1, 3]))).copy()


@_is_scene
def _slip_aslant(scene: Scene) -> None:
    scene.blank((150, 330))
    scene.lines.append(scene.number(4, 4))
    scene.write(scene.lines[-1], 60, 45, 56)
    turned = scene.rng.choice([-1, 1]) * scene.rng.uniform(15, 60)
    scene.sheet = scene.lay(scene.ground((600, 800)), float(turned))


@_is_scene
def _arrows(scene: Scene) -> None:
    for row in range(4):
        first, second, y = scene.number(2, 3), scene.number(2, 3), 60 + 115 * row
        scene.lines.append(f"{first} {second}")
        left = scene.write(first, 70, y, 46)[2] + 45
        right = left + scene.rng.uniform(110, 190)
        scene.write(second, right + 60, y, 46)
        middle, end, wing = y + 23 + scene.rng.normal(0, 3), y + 23 + scene.rng.normal(0, 3), scene.rng.uniform(13, 20)
        scene.line(np.array([(left, middle), (right, end)]), 4, scene.pen)
        head = [(right - 1.3 * wing, end - wing), (right, end), (right - 1.3 * wing, end + wing)]
        scene.line(np.array(head), 4, scene.pen)


@_is_scene
def _note_among_things(scene: Scene) -> None:
    colours = ((250, 238, 150), (205, 222, 240), (200, 165, 120), (246, 245, 240))
    scene.blank((420, 560), colours[scene.rng.integers(len(colours))])
    scene.rows(3, 42, left=60)
    ground = Image.fromarray(scene.ground((700, 860)).astype(np.uint8))
    draw = ImageDraw.Draw(ground)
    for _ in range(12):
        x, y, size = scene.rng.uniform(0, 860), scene.rng.uniform(0, 700), scene.rng.uniform(20, 110)
        colour = tuple(int(value) for value in scene.rng.integers(0, 256, 3))
        if scene.rng.random() < 0.5:
            draw.ellipse((x, y, x + size, y + size), fill=colour)
        else:
            draw.polygon([(x, y), (x + 3 * size, y + size), (x + 3 * size - 10, y + 1.2 * size)], fill=colour)
    scene.sheet = scene.lay(np.asarray(ground, np.float32), scene.rng.uniform(-12, 12))
    shadow = Image.new("L", (860, 700))
    x = scene.rng.uniform(100, 600)
    ImageDraw.Draw(shadow).polygon([(x, 700), (x + 60, 260), (x + 190, 240), (x + 280, 700)], fill=255)
    scene.sheet *= 1 - 0.35 * ndimage.gaussian_filter(np.asarray(shadow, np.float32) / 255, 7)[..., None]


@_is_scene
def _board(scene: Scene) -> None:
    scene.blank((420, 600), (45, 70, 60) if scene.rng.random() < 0.5 else (40, 42, 48))
    wiped = ndimage.gaussian_filter(scene.rng.normal(0, 1, scene.sheet.shape[:2]), (8, 30))
    scene.sheet += (5 * wiped / wiped.std())[..., None]
    scene.pen = (232, 232, 225)
    scene.rows(3, 50, left=70)
    scene.sheet = scene.lay(scene.ground((700, 860)), scene.rng.uniform(-8, 8))
