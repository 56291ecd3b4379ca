"""Pages as people fill them: lines of numbers, forms with boxes, tables, words, marks, and nothing at all.

A page is drawn as what the pen left and what was there before: `Sheet.pen` and `Sheet.print`, both (h, w) float32 of 0 to 1,
and the list of its signs with their boxes. Digits are about 28 pixels tall: the height at which the spotter looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from hands import AMBIGUOUS, DIGITS, LETTERS, SEPARATORS, SIGNS, Hand, Split, smooth
from PIL import Image, ImageDraw, ImageFont

OTHER = len(DIGITS) + len(SEPARATORS)  # the class of everything that is a sign but none of ours
CLASSES = DIGITS + SEPARATORS
# Points are drawn on a canvas this many times finer.
FINE = 2
KINDS = {
    "lines": 0.18, "field": 0.13, "comb": 0.1, "table": 0.11, "grid": 0.05, "words": 0.11, "form": 0.12, "single": 0.07,
    "column": 0.03, "nothing": 0.06, "touching": 0.04,
}  # fmt: skip


class Sign(NamedTuple):
    """A sign on a page.

    Attributes:
        name: its number in `CLASSES`, or OTHER.
        box: left, top, right, bottom, float pixels.
        text: the number of the text that it belongs to; -1 for none.
    """

    name: int
    box: tuple[float, float, float, float]
    text: int = -1


@dataclass
class Sheet:
    """A page being drawn.

    Attributes:
        shape: (height, width), pixels.
        tall: the usual height of a digit, pixels.
        pen: (h, w) float32, ink of the pen.
        print: (h, w) float32, lines, boxes, dirt: what is no sign.
        signs: every sign that is asked for.
        kind: which kind of page.
        cut: signs of which the border leaves so little that they are not asked for.
    """

    shape: tuple[int, int]
    tall: float
    pen: np.ndarray
    print: np.ndarray
    signs: list[Sign] = field(default_factory=list)
    kind: str = ""
    cut: list[Sign] = field(default_factory=list)


def _paste(layer: np.ndarray, image: np.ndarray, left: int, top: int) -> None:
    """Lay an image of ink over a layer at a place, where it is darker; what reaches over the border is cut."""
    h, w = image.shape
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + h, layer.shape[0]), min(left + w, layer.shape[1])
    if y0 < y1 and x0 < x1:
        np.maximum(layer[y0:y1, x0:x1], image[y0 - top : y1 - top, x0 - left : x1 - left], out=layer[y0:y1, x0:x1])


class Composer:
    """Draws pages of one split. Owns its generator.

    Args:
        split: whose digits and fonts.
        clouds: `centre_lines_of` it.
        seed: of everything drawn.
    """

    def __init__(self, split: Split, clouds: list[list[np.ndarray]], seed: int | tuple[int, ...]) -> None:
        self.split, self.clouds = split, clouds
        self.rng = np.random.default_rng(seed)

    def page(self, shape: tuple[int, int], kind: str | None = None) -> Sheet:
        """Draw a page of a kind, or of any."""
        rng = self.rng
        kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
        tall = float(np.clip(28 * np.exp(rng.normal(0, 0.25)), 14, 52))
        if kind == "single":
            tall *= float(rng.uniform(0.8, 1.6))
        # Pens from a hairline to a marker, as a share of the digit's height.
        pen = (
            float(np.exp(rng.uniform(np.log(0.022), np.log(0.16))))
            if rng.random() < 0.85
            else float(rng.uniform(0.12, 0.22))
        )
        blank = np.zeros(shape, np.float32)
        sheet = Sheet(shape, tall, blank, blank.copy(), kind=kind)
        self.hand = Hand(self.split, self.clouds, rng)
        self.radius = max(0.33, pen * tall / 2)
        self.points: list[np.ndarray] = []
        self.pasted: list[tuple[np.ndarray, int, int]] = []
        self.typed: list[tuple[np.ndarray, int, int]] = []
        self.text = self.texts = -1
        # A share of pages shows MNIST's own strokes, as thick and blotted as they are.
        self.raw = self.hand.source == "mnist" and rng.random() < 0.4
        self.shares = self._digit_shares()
        getattr(self, f"_{kind}")(sheet)
        if kind != "nothing" and rng.random() < 0.12:
            self._mark(sheet)
        sheet.pen = self._inked(shape)
        for image, left, top in self.typed:
            _paste(sheet.print, image, left, top)
        self._print_around(sheet)
        # What was pushed out of the picture is no sign any more; cut digits count while most of them is there.
        height, width = shape
        kept = []
        for sign in sheet.signs:
            left, top, right, bottom = sign.box
            seen = max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(bottom, height) - max(top, 0))
            if seen > 0.8 * max(right - left, 0.5) * max(bottom - top, 0.5):
                kept.append(sign._replace(box=(max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))))
            elif seen:
                sheet.cut.append(sign)
        sheet.signs = kept
        return sheet

    # --- pen -------------------------------------------------------------------------------------------------------

    def _inked(self, shape: tuple[int, int]) -> np.ndarray:
        height, width = shape
        rng = self.rng
        ink = np.zeros(shape, np.float32)
        if self.points:
            off = np.full((height * FINE, width * FINE), 255, np.uint8)
            at = np.rint(np.concatenate(self.points) * FINE).astype(int)
            inside = ((at >= 0) & (at < (width * FINE, height * FINE))).all(1)
            off[at[inside, 1], at[inside, 0]] = 0
            away = cv2.distanceTransform(off, cv2.DIST_L2, 5)
            radius: np.ndarray | float = self.radius * FINE
            if rng.random() < 0.5:  # pressure
                noise = cv2.resize(
                    rng.normal(0, 0.25, (height // 8, width // 8)).astype(np.float32), (width * FINE, height * FINE)
                )
                radius = radius * np.clip(1 + noise, 0.55, 1.6)
            ink = cv2.resize(
                np.clip(radius - away + 0.5, 0, 1).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
            )
        for image, left, top in self.pasted:
            _paste(ink, image, left, top)
        if rng.random() < 0.08:  # a pen that skips
            noise = cv2.resize(rng.random((height // 2, width // 2)).astype(np.float32), (width, height))
            ink = ink * (noise > rng.uniform(0.15, 0.35))
        return ink

    def _put(self, sheet: Sheet, character: str, x: float, y: float, tall: float, label: bool = True) -> float:
        """Draw a sign with its left edge at x and its top at y; return its right edge."""
        rng = self.rng
        if self.raw and character in DIGITS and character not in self.hand.own:
            of = np.flatnonzero(self.split.labels == int(character))
            image = self.split.images[of[rng.integers(len(of))]]
            rows, columns = np.nonzero(image.max(1) > 60)[0], np.nonzero(image.max(0) > 60)[0]
            cut = np.pad(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 2)
            scale = tall / max(len(rows), 0.5 * len(columns))
            size = max(2, round(cut.shape[1] * scale)), max(2, round(cut.shape[0] * scale))
            large = cv2.resize(cut, size, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
            level = rng.uniform(0.3, 0.6)
            large = np.clip((large - level) * 4 + 0.5, 0, 1)
            left, top = round(x - 2 * scale), round(y - 2 * scale)
            self.pasted.append((large, left, top))
            box = (left + 2 * scale, top + 2 * scale, left + size[0] - 2 * scale, top + size[1] - 2 * scale)
        else:
            cloud = self.hand.draw(character)
            if len(cloud) == 0:
                return x
            points = cloud * tall
            points[:, 0] += x - points[:, 0].min()
            points[:, 1] += y
            self.points.append(points)
            low, high = points.min(0) - self.radius, points.max(0) + self.radius
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        if label:
            number = CLASSES.find(character)
            sheet.signs.append(Sign(number if number >= 0 else OTHER, box, self.text))
        return box[2]

    def _write(self, sheet: Sheet, text: str, x: float, y: float, gap: float, slope: float = 0.0) -> float:
        """Write a text from x on with its digits' top at y; `gap` in digit heights; return where it ends."""
        rng = self.rng
        tall, start = sheet.tall, x
        self.texts += 1
        self.text = self.texts
        for character in text:
            if character == " ":
                x += tall * rng.uniform(0.5, 1.2)
                continue
            own = tall * float(np.exp(rng.normal(0, 0.07)))
            top = y + slope * (x - start) + tall - own + rng.normal(0, 0.03) * tall
            step = gap if character not in ".,:" else max(gap * 0.5, 0.02)
            right = self._put(sheet, character, x, top, own)
            x = right + tall * (step + abs(gap) * rng.normal(0, 0.25))
        self.text = -1
        return x

    # --- what is written -----------------------------------------------------------------------------------------

    def _digit_shares(self) -> np.ndarray:
        """How often each digit occurs on the page: (10,) float64. Practice rows and account numbers repeat a few."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.6:
            return np.full(10, 0.1)
        if kind < 0.82:
            share = rng.uniform(0.3, 0.95)
            shares = np.full(10, (1 - share) / 9)
            shares[rng.choice(10, p=[0.17, 0.25, 0.06, 0.07, 0.08, 0.07, 0.06, 0.12, 0.06, 0.06])] = share
            return shares
        return np.asarray(rng.dirichlet(np.full(10, 0.5)))

    def _digits(self, low: int, high: int) -> str:
        number = int(self.rng.integers(low, high + 1))
        return "".join(str(d) for d in self.rng.choice(10, number, p=self.shares))

    def _token(self) -> str:
        """A number, or what people write with numbers."""
        d, rng = self._digits, self.rng
        kind = rng.integers(14)
        if kind <= 4:
            return d(1, 8)
        if kind == 5:
            return f"{d(1, 4)}.{d(1, 2)}"
        if kind == 6:
            return f"{d(1, 4)},{d(1, 2)}"
        if kind == 7:
            return f"{d(1, 2)}/{d(1, 2)}/{d(2, 4)}" if rng.random() < 0.6 else f"{d(1, 2)}/{d(1, 2)}"
        if kind == 8:
            return f"{d(1, 2)}:{d(2, 2)}"
        if kind == 9:
            return f"-{d(1, 4)}" if rng.random() < 0.5 else f"{d(3, 4)}-{d(3, 4)}"
        if kind == 10:
            return f"{d(1, 3)}+{d(1, 3)}={d(1, 3)}" if rng.random() < 0.6 else f"+{d(1, 4)}"
        if kind == 11:
            return f"{d(1, 2)}.{d(1, 2)}.{d(2, 4)}" if rng.random() < 0.5 else f"{d(1, 2)}-{d(1, 2)}-{d(2, 4)}"
        if kind == 12:
            return f"{d(1, 3)},{d(3, 3)}.{d(2, 2)}" if rng.random() < 0.5 else f"{d(1, 3)}.{d(3, 3)},{d(2, 2)}"
        return f"{d(1, 2)}={d(1, 3)}" if rng.random() < 0.3 else f"{d(1, 3)}-{d(1, 3)}"

    def _gap(self) -> float:
        return float(self.rng.choice([-0.06, 0.05, 0.18, 0.45, 0.9, 1.4], p=[0.09, 0.2, 0.34, 0.2, 0.11, 0.06]))

    def _rows(self, sheet: Sheet, text: Callable[[], str], gap: float | None = None) -> None:
        rng = self.rng
        height, width = sheet.shape
        step = sheet.tall * rng.uniform(1.25, 2.4)
        y = rng.uniform(-0.2, 0.8) * sheet.tall
        slope = float(rng.normal(0, 0.03))
        gap = self._gap() if gap is None else gap
        left = rng.uniform(0.1, 1.5) * sheet.tall
        while y < height - 0.8 * sheet.tall:
            x = left if rng.random() < 0.8 else rng.uniform(0, 0.5 * width)
            while x < width - 0.6 * sheet.tall:
                x = self._write(sheet, text(), x, y + slope * x, gap, slope) + sheet.tall * rng.uniform(0.5, 2.0)
                if rng.random() < 0.35:
                    break
            y += step * rng.uniform(0.9, 1.1)
            if rng.random() < 0.1:
                break

    def _lines(self, sheet: Sheet) -> None:
        plain = self.rng.random() < 0.45
        self._rows(sheet, (lambda: self._digits(1, 11)) if plain else self._token)

    def _touching(self, sheet: Sheet) -> None:
        height, width = sheet.shape
        y = self.rng.uniform(0.1, 0.6) * sheet.tall
        while y < height - sheet.tall:
            self._write(
                sheet, self._digits(2, 10), self.rng.uniform(2, width / 3), y, float(self.rng.uniform(-0.14, 0.03))
            )
            y += sheet.tall * self.rng.uniform(1.3, 2)

    def _single(self, sheet: Sheet) -> None:
        kind = self.rng.random()
        text = self._digits(1, 2) if kind < 0.68 else str(self.rng.choice(list("/-+="))) + self._digits(1, 1)
        if kind > 0.8:  # a letter by itself, which no reader may take for a digit
            text = self._a_letter()
        if kind > 0.95:
            self._mark(sheet)
        else:
            self._anywhere(sheet, text)

    def _letter(self, sheet: Sheet) -> None:
        self._anywhere(sheet, self._a_letter())

    def _a_letter(self) -> str:
        return str(self.rng.choice([c for c in LETTERS if c in self.hand.signs and c not in AMBIGUOUS] or ["7"]))

    def _anywhere(self, sheet: Sheet, text: str) -> None:
        height, width = sheet.shape
        self._write(
            sheet,
            text,
            self.rng.uniform(5, max(6, width - 2.5 * sheet.tall)),
            self.rng.uniform(3, max(4, height - 1.2 * sheet.tall)),
            self._gap(),
        )

    def _column(self, sheet: Sheet) -> None:
        rng = self.rng
        height, width = sheet.shape
        for x in np.arange(rng.uniform(0.2, 2), width / sheet.tall, rng.uniform(2, 5)) * sheet.tall:
            y = rng.uniform(0.1, 1) * sheet.tall
            step = rng.uniform(1.2, 2)
            while y < height - 0.9 * sheet.tall:
                self._write(sheet, self._digits(1, 2), x + rng.normal(0, 0.1) * sheet.tall, y, 0.1)
                y += sheet.tall * step

    def _words(self, sheet: Sheet) -> None:
        """Words beside numbers; letters are signs, but none of ours."""
        rng = self.rng
        letters = [c for c in LETTERS if c in self.hand.signs] or list(LETTERS)

        def text() -> str:
            if rng.random() < 0.45:
                return self._token() if rng.random() < 0.5 else self._digits(1, 6)
            if rng.random() < 0.15:
                alone = [c for c in [*letters, *SIGNS] if c in self.hand.signs and c not in AMBIGUOUS]
                return str(rng.choice(alone)) if alone else ""
            return "".join(rng.choice(letters, int(rng.integers(3, 9))))

        # An o or an S far from its neighbours is anybody's guess: letters stand close.
        self._rows(sheet, text, float(rng.choice([-0.05, 0.05, 0.2])))

    def _field(self, sheet: Sheet) -> None:
        """A number in a printed box of which the scanner left more or less."""
        rng = self.rng
        height, width = sheet.shape
        y = rng.uniform(0.15, 0.7) * sheet.tall
        while y < height - sheet.tall:
            left = rng.uniform(0.2, 2.0) * sheet.tall
            end = self._write(
                sheet,
                self._digits(3, 11) if rng.random() < 0.75 else self._token(),
                left,
                y,
                float(rng.uniform(-0.05, 0.5)),
                float(rng.normal(0, 0.015)),
            )
            pad = sheet.tall * rng.uniform(-0.1, 0.45, 4)
            self._box(sheet, left - pad[0], y - pad[1], min(end + pad[2] * 2, width + 5), y + sheet.tall + pad[3])
            y += sheet.tall * rng.uniform(1.6, 2.4)

    def _comb(self, sheet: Sheet) -> None:
        """A digit a cell."""
        rng = self.rng
        height, width = sheet.shape
        cell = sheet.tall * rng.uniform(0.75, 1.6)
        y = rng.uniform(0.3, 0.8) * sheet.tall
        while y < height - sheet.tall:
            left = rng.uniform(0, 1.5) * sheet.tall
            number = int(rng.integers(3, 12))
            top, bottom = y - sheet.tall * rng.uniform(0.05, 0.4), y + sheet.tall * (1 + rng.uniform(0.05, 0.4))
            style = self._line_style()
            short, bars = rng.random() < 0.3, rng.random() < 0.3
            thick = float(rng.uniform(0.05, 0.3)) * sheet.tall if rng.random() < 0.35 else 0.0
            for i in range(number):
                x = left + i * cell
                if rng.random() < 0.9:
                    character = self._digits(1, 1) if rng.random() < 0.95 else str(rng.choice(list("-,./")))
                    self._put(
                        sheet,
                        character,
                        x + cell / 2 - sheet.tall * rng.uniform(0.15, 0.35),
                        y + rng.normal(0, 0.05) * sheet.tall,
                        sheet.tall * float(np.exp(rng.normal(0, 0.07))),
                    )
                if thick:
                    self._solid_bar(sheet, x, top, bottom, thick)
                else:
                    self._line(sheet, x, top + (0.5 * (bottom - top) if short else 0), x, bottom, style)
            self._line(sheet, left + number * cell, top, left + number * cell, bottom, style)
            if bars:
                y += sheet.tall * rng.uniform(1.7, 2.6)
                continue
            self._line(sheet, left, bottom, left + number * cell, bottom, style)
            if not short:
                self._line(sheet, left, top, left + number * cell, top, style)
            y += sheet.tall * rng.uniform(1.7, 2.6)

    def _solid_bar(self, sheet: Sheet, x: float, top: float, bottom: float, width: float) -> None:
        """A printed bar between two cells, as thick as a pen or thicker, ragged, with dots beside it."""
        rng = self.rng
        tall = bottom - top
        y0, y1 = top + tall * rng.uniform(-0.1, 0.35), bottom - tall * rng.uniform(-0.1, 0.35)
        half = width * rng.uniform(0.3, 0.6)
        corners = np.array([[x - half, y0], [x + half, y0], [x + half, y1], [x - half, y1]])
        layer = np.zeros(sheet.shape, np.float32)
        cv2.fillPoly(layer, [np.rint(corners + rng.normal(0, 0.4, (4, 2))).astype(np.int32)], 1.0)
        if rng.random() < 0.4:  # broken
            for _ in range(int(rng.integers(1, 4))):
                at, gap = rng.uniform(y0, y1), rng.uniform(0.03, 0.4) * tall
                layer[max(0, int(at)) : max(0, int(at + gap))] = 0
        for _ in range(int(rng.integers(0, 3))):
            at = (int(x + rng.normal(0, 0.3) * tall), int(rng.uniform(y0, y1)))
            cv2.circle(layer, at, int(rng.integers(0, 2)), 1.0, -1)
        np.maximum(sheet.print, layer * rng.uniform(0.6, 1), out=sheet.print)

    def _printed(self, sheet: Sheet, text: str, x: float, y: float, tall: float, font: str) -> float:
        """Print a text whose capitals are `tall` pixels, its digits' foot at y; return where it ends."""
        face = ImageFont.truetype(font, max(5, round(tall / 0.7 * 2)))  # at twice the size, for smooth edges
        height, width = sheet.shape
        dark = float(self.rng.uniform(0.5, 1))
        for character in text:
            step = face.getlength(character) / 2
            box = face.getbbox(character, anchor="ls")
            if character != " " and x + step < width and box[2] > box[0]:
                glyph = Image.new("L", (box[2] - box[0] + 4, box[3] - box[1] + 4))
                ImageDraw.Draw(glyph).text((2 - box[0], 2 - box[1]), character, fill=255, font=face, anchor="ls")
                small = np.asarray(
                    glyph.resize((max(1, glyph.width // 2), max(1, glyph.height // 2)), Image.Resampling.BOX)
                )
                left, top = round(x + box[0] / 2 - 1), round(y + box[1] / 2 - 1)
                self.typed.append((small.astype(np.float32) / 255 * dark, left, top))
                number = CLASSES.find(character)
                edges = (x + box[0] / 2, y + box[1] / 2, x + box[2] / 2, y + box[3] / 2)
                # Separators in print are a pixel or two: only what is large enough is asked for.
                if edges[3] - edges[1] >= 5 or (number >= 10 and tall >= 12):
                    sheet.signs.append(Sign(number if number >= 0 else OTHER, edges))
            x += step
        return x

    def _form(self, sheet: Sheet) -> None:
        """Printed words, now and then a printed number, and what a pen wrote behind or below them."""
        rng = self.rng
        height, width = sheet.shape
        letters = np.array(list("eeeeaaarrriiooottnnsslccuddpmhgbfywkvxzj"))
        font = self.split.printed[rng.integers(len(self.split.printed))]
        size = sheet.tall * float(rng.uniform(0.3, 1.0))
        y = sheet.tall * rng.uniform(0.9, 1.5)
        style = self._line_style()

        def word() -> str:
            if rng.random() < 0.12:
                return self._digits(1, 5)
            text = "".join(rng.choice(letters, int(rng.integers(2, 10))))
            return text.upper() if rng.random() < 0.2 else text.capitalize() if rng.random() < 0.4 else text

        while y < height:
            x = rng.uniform(0.05, 1) * sheet.tall
            words = " ".join(word() for _ in range(int(rng.integers(1, 4)))) + str(rng.choice([":", "", ".", " #"]))
            x = self._printed(sheet, words, x, y, size, font) + sheet.tall * rng.uniform(0.25, 1)
            if rng.random() < 0.75 and x < width - 1.5 * sheet.tall:
                start = x
                text = self._token() if rng.random() < 0.5 else self._digits(1, 8)
                x = self._write(sheet, text, x, y - sheet.tall * rng.uniform(0.85, 1.1), float(rng.uniform(0, 0.4)))
                if rng.random() < 0.5:
                    foot = y + sheet.tall * rng.uniform(0, 0.2)
                    self._line(sheet, start - 3, foot, x + sheet.tall, foot, style)
            y += sheet.tall * rng.uniform(1.4, 2.4)

    def _mark(self, sheet: Sheet) -> None:
        """A cross, a tick, a face, a heart, a star, an arrow, a ring: a sign of no class, somewhere on the page."""
        rng = self.rng
        height, width = sheet.shape
        size = sheet.tall * float(rng.uniform(0.7, 1.6))
        x, y = rng.uniform(0, max(1, width - size)), rng.uniform(0, max(1, height - size))
        for left, top, right, bottom in (sign.box for sign in sheet.signs):
            if left < x + size and right > x and top < y + size and bottom > y:
                return
        t = np.linspace(0, 2 * np.pi, 120)

        def j() -> float:
            return float(rng.normal(0, 0.05))

        kind = int(rng.integers(7))
        if kind == 0:
            strokes = [smooth([(j(), j()), (1 + j(), 1 + j())]), smooth([(1 + j(), j()), (j(), 1 + j())])]
        elif kind == 1:
            strokes = [smooth([(j(), 0.55 + j()), (0.35 + j(), 1.0), (1 + j(), j())], corner=True)]
        elif kind == 2:
            ring = np.stack([0.5 + 0.5 * np.cos(t), 0.5 + 0.5 * np.sin(t)], 1)
            smile = np.stack([0.5 + 0.28 * np.cos(t[20:40] - 0.6), 0.55 + 0.28 * np.sin(t[20:40] - 0.6)], 1)
            strokes = [ring, smile, np.array([[0.33, 0.35]]), np.array([[0.67, 0.35]])]
        elif kind == 3:
            strokes = [
                np.stack(
                    [
                        0.5 + 0.5 * np.sin(t) ** 3,
                        0.45 - (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 30,
                    ],
                    1,
                )
            ]
        elif kind == 4:
            angles = np.arange(6) * 4 * np.pi / 5 - np.pi / 2
            strokes = [
                smooth([(0.5 + 0.5 * np.cos(a) + j(), 0.5 + 0.5 * np.sin(a) + j()) for a in angles], corner=True)
            ]
        elif kind == 5:
            strokes = [
                smooth([(0, 0.5 + j()), (1.2, 0.5 + j())]),
                smooth([(0.85, 0.2 + j()), (1.2, 0.5), (0.85, 0.8 + j())], corner=True),
            ]
        else:  # a ring around nothing, larger than any 0 of the page
            size = sheet.tall * float(rng.uniform(1.7, 2.6))
            strokes = [np.stack([0.6 + 0.6 * np.cos(t), 0.5 + 0.5 * np.sin(t)], 1)]
        points = np.concatenate(strokes).astype(np.float32) * size + np.float32([x, y])
        # Dense enough for the pen at this size.
        self.points += [points, (points[1:] + points[:-1])[np.hypot(*np.diff(points, axis=0).T) < 3] / 2]
        low, high = points.min(0) - self.radius, points.max(0) + self.radius
        sheet.signs.append(Sign(OTHER, (float(low[0]), float(low[1]), float(high[0]), float(high[1]))))

    def _table(self, sheet: Sheet) -> None:
        rng = self.rng
        height, width = sheet.shape
        decimals = rng.random() < 0.2
        style, ruled = self._line_style(), rng.random() < 0.85
        step_x, step_y = sheet.tall * rng.uniform(1.6, 5), sheet.tall * rng.uniform(1.15, 2)
        left, top = rng.uniform(-0.5, 1, 2) * sheet.tall
        for y in np.arange(top, height, step_y):
            if ruled:
                self._line(sheet, left, y, width, y + rng.normal(0, 1), style)
            end = -np.inf
            for x in np.arange(left, width, step_x):
                # Where a wide hand has run into the next cell, that stays empty.
                if rng.random() < 0.85 and end < x + 0.2 * sheet.tall:
                    text = (
                        f"{self._digits(1, 1)}{rng.choice(list(',.'))}{self._digits(1, 1)}"
                        if decimals
                        else self._digits(1, max(1, int(step_x / sheet.tall / 0.75)))
                        if rng.random() < 0.8
                        else self._token()[: max(1, int(step_x / sheet.tall / 0.6))]
                    )
                    end = self._write(
                        sheet,
                        text,
                        x + rng.uniform(0.15, 0.5) * sheet.tall,
                        y + (step_y - sheet.tall) * rng.uniform(0.2, 0.8),
                        0.1,
                    )
        if ruled and rng.random() < 0.85:
            for x in np.arange(left, width, step_x):
                self._line(sheet, x, top, x + rng.normal(0, 1), height, style)

    def _grid(self, sheet: Sheet) -> None:
        """Digits in a fine grid of cells or on squared paper."""
        rng = self.rng
        height, width = sheet.shape
        style = self._line_style()
        step = sheet.tall * rng.uniform(0.45, 1.5)
        for x in np.arange(rng.uniform(0, step), width, step):
            self._line(sheet, x, 0, x, height, style)
        for y in np.arange(rng.uniform(0, step), height, step):
            self._line(sheet, 0, y, width, y, style)
        self._rows(sheet, lambda: self._digits(1, 8))

    def _nothing(self, sheet: Sheet) -> None:
        """Scribbles, textures, blots, edges: no sign in it, or a drawing, which is none of ours."""
        rng = self.rng
        height, width = sheet.shape
        kind = rng.integers(8)
        if kind == 6:  # a photograph of something else
            sheet.print = self._scene(sheet.shape)
        elif kind == 7:  # hairlines, scratches, blots
            for _ in range(int(rng.integers(1, 6))):
                ends = rng.uniform(-0.2, 1.2, 4) * (width, height, width, height)
                self._line(sheet, *ends, (float(rng.choice([0.5, 1])), float(rng.uniform(0.3, 1)), 0.0, 0.0))
            for _ in range(int(rng.choice([0, rng.integers(1, 6)]))):
                at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
                axes = (int(rng.uniform(2, 18)), int(rng.uniform(2, 18)))
                cv2.ellipse(sheet.print, at, axes, rng.uniform(0, 180), 0, 360, float(rng.uniform(0.4, 1)), -1)
        elif kind == 5:  # grain of wood, leaves: long or short strokes all over
            long, angle = float(rng.uniform(0.4, 8)) * sheet.tall, rng.uniform(0, np.pi)
            # Few and short ones, nobody could tell from a row of 1s.
            for _ in range(int(rng.integers(8 if long > 2 * sheet.tall else 40, 90))):
                a, turn = rng.uniform(0, 1, 2) * (width, height), angle + rng.normal(0, rng.uniform(0.02, 0.8))
                t = np.linspace(0, 1, max(3, int(long)))[:, None]
                bend = rng.normal(0, 0.06) * long * np.sin(3 * t)
                step = np.array([np.cos(turn), np.sin(turn)])
                self.points.append((a + t * long * step + bend * step[::-1]).astype(np.float32))
        elif kind == 0:
            for _ in range(int(rng.integers(1, 4))):
                self._scribble(sheet, rng.uniform(0, width), rng.uniform(0, height), sheet.tall * rng.uniform(0.6, 3))
        elif kind == 1:  # a texture
            noise = sum(
                cv2.resize(
                    rng.normal(0, 1, (max(1, height // s), max(1, width // (s * t)))).astype(np.float32),
                    (width, height),
                    interpolation=cv2.INTER_CUBIC,
                )
                for s, t in ((4, 3), (8, 5), (16, 1))
            )
            sheet.print = np.clip(noise * rng.uniform(0.1, 0.5) - rng.uniform(0, 0.4), 0, 1).astype(np.float32)
        elif kind == 2:  # large curves and edges
            for _ in range(int(rng.integers(2, 8))):
                a, b = rng.uniform(-0.3, 1.3, 2) * width, rng.uniform(-0.3, 1.3, 2) * height
                t = np.linspace(0, 1, 500)[:, None]
                mid = rng.uniform(0, 1, 2) * (width, height)
                self.points.append(
                    ((1 - t) ** 2 * (a[0], b[0]) + 2 * t * (1 - t) * mid + t**2 * (a[1], b[1])).astype(np.float32)
                )

    def _scene(self, shape: tuple[int, int]) -> np.ndarray:
        """Shaded shapes over each other, with edges, stripes and grain: what a camera sees where nothing is written."""
        rng = self.rng
        height, width = shape
        scene = cv2.resize(
            rng.uniform(0, 0.8, (3, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(int(rng.integers(0, 40))):
            layer = np.zeros(shape, np.uint8)
            size = float(np.exp(rng.uniform(np.log(4), np.log(height))))
            middle = rng.uniform(0, 1, 2) * (width, height)
            if rng.random() < 0.5:
                axes = (int(size * rng.uniform(0.2, 1)) + 1, int(size * rng.uniform(0.2, 1)) + 1)
                cv2.ellipse(layer, (int(middle[0]), int(middle[1])), axes, rng.uniform(0, 180), 0, 360, 1, -1)
            else:
                corners = middle + rng.normal(0, size, (int(rng.integers(3, 7)), 2))
                cv2.fillPoly(layer, [np.rint(corners).astype(np.int32)], 1)
            shade = cv2.resize(rng.uniform(0, 1, (2, 2)).astype(np.float32), (width, height))
            scene = np.where(layer > 0, rng.uniform(0, 1) * 0.7 + 0.3 * shade, scene)
        if rng.random() < 0.3:  # stripes, tiles, bricks
            angle, step = rng.uniform(0, np.pi), rng.uniform(4, 60)
            along = np.arange(width)[None] * np.cos(angle) + np.arange(height)[:, None] * np.sin(angle)
            across = np.arange(height)[:, None] * np.cos(angle) - np.arange(width)[None] * np.sin(angle)
            lines = along % step < rng.uniform(0.05, 0.5) * step
            if rng.random() < 0.5:
                row = across // (step * rng.uniform(0.3, 1))
                lines = (along + row * step / 2) % step < 0.1 * step
            scene = scene + rng.uniform(-0.4, 0.4) * lines
        for size in (2, 4, 8, 16):  # grass, gravel, cloth
            if rng.random() < 0.5:
                shape_of_it = (max(2, height // size), max(2, int(width / size / rng.uniform(0.3, 3))))
                noise = cv2.resize(rng.normal(0, 1, shape_of_it).astype(np.float32), (width, height))
                scene = scene + noise * rng.uniform(0, 0.15)
        return np.clip(scene, 0, 1).astype(np.float32)

    def _scribble(self, sheet: Sheet, x: float, y: float, size: float) -> None:
        """A flourish, a star, a crossing-out: one sign of no class."""
        rng = self.rng
        knots = rng.uniform(-0.5, 0.5, (int(rng.integers(4, 12)), 2)) * size + (x, y)
        points = smooth([tuple(k / 50) for k in knots]) * 50
        dense = np.concatenate([points + (points[1:2] - points[0:1]) * 0, (points[:-1] + points[1:]) / 2])
        self.points.append(dense.astype(np.float32))
        low, high = dense.min(0), dense.max(0)
        if (high - low).max() < 2.2 * sheet.tall:
            sheet.signs.append(Sign(OTHER, (float(low[0]), float(low[1]), float(high[0]), float(high[1]))))

    # --- what was printed ------------------------------------------------------------------------------------------

    def _line_style(self) -> tuple[float, float, float, float]:
        """Width in pixels, darkness, dash length (0 none), share that is missing."""
        rng = self.rng
        return (
            float(rng.choice([0.5, 1, 1.5, 2.5], p=[0.25, 0.4, 0.25, 0.1])),
            float(rng.choice([1.0, rng.uniform(0.2, 1)])),
            float(rng.choice([0, 1.5, 3, 7, 14], p=[0.6, 0.1, 0.12, 0.1, 0.08])),
            float(rng.choice([0, rng.uniform(0, 0.2), rng.uniform(0.3, 0.9)], p=[0.5, 0.25, 0.25])),
        )

    def _line(
        self, sheet: Sheet, x0: float, y0: float, x1: float, y1: float, style: tuple[float, float, float, float]
    ) -> None:
        rng = self.rng
        width, dark, dash, missing = style
        length = float(np.hypot(x1 - x0, y1 - y0))
        number = int(length * 2) + 1
        t = np.linspace(0, 1, number)
        on = np.ones(number, bool)
        if dash:
            on &= (t * length // dash) % 2 == 0
        if missing:
            noise = np.interp(t * length, np.arange(0, length + 12, 6), rng.random(len(np.arange(0, length + 12, 6))))
            on &= noise > missing
        layer = np.zeros(sheet.shape, np.uint8)
        xs, ys = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        inside = on & (xs >= 0) & (xs < sheet.shape[1]) & (ys >= 0) & (ys < sheet.shape[0])
        xs, ys = xs[inside].astype(int), ys[inside].astype(int)
        layer[ys, xs] = 255
        if width > 1:
            layer = cv2.dilate(layer, np.ones((round(width + 0.3), round(width + 0.3)), np.uint8))
        value = dark if width >= 1 else dark * 0.6
        np.maximum(sheet.print, layer.astype(np.float32) * (value / 255), out=sheet.print)

    def _box(self, sheet: Sheet, left: float, top: float, right: float, bottom: float) -> None:
        rng = self.rng
        style = self._line_style()
        sides = rng.random(4) < rng.uniform(0.4, 1)
        edges = [
            (left, top, right, top),
            (left, bottom, right, bottom),
            (left, top, left, bottom),
            (right, top, right, bottom),
        ]
        for on, edge in zip(sides, edges, strict=True):
            if on:
                self._line(sheet, *edge, style)

    def _print_around(self, sheet: Sheet) -> None:
        """Rulings, margins, edges, dirt."""
        rng = self.rng
        height, width = sheet.shape
        if rng.random() < 0.2 and sheet.kind not in ("table", "grid", "comb"):
            style, step = self._line_style(), sheet.tall * rng.uniform(0.9, 2.5)
            tilt = rng.normal(0, 2)
            for y in np.arange(rng.uniform(0, step), height, step):
                self._line(sheet, 0, y, width, y + tilt, style)
        if rng.random() < 0.12:
            x = rng.choice([rng.uniform(0, 8), width - rng.uniform(1, 8), rng.uniform(0, width)])
            self._line(
                sheet,
                x,
                rng.uniform(-height, height / 2),
                x + rng.normal(0, 2),
                rng.uniform(height / 2, 2 * height),
                self._line_style(),
            )
        if rng.random() < 0.1:
            y = rng.choice([rng.uniform(0, 5), height - rng.uniform(1, 5)])
            self._line(
                sheet,
                rng.uniform(-width, width / 2),
                y,
                rng.uniform(width / 2, 2 * width),
                y + rng.normal(0, 2),
                self._line_style(),
            )
        if rng.random() < 0.06:  # a thick bar, the edge of the sheet
            edge = np.zeros(sheet.shape, np.float32)
            points = np.array(
                [[-5, -5], [width + 5, -5], [width + 5, rng.uniform(-4, 14)], [-5, rng.uniform(-4, 14)]], np.int32
            )
            cv2.fillPoly(edge, [points], 1.0)
            for _ in range(int(rng.integers(4))):
                edge = np.rot90(edge) if edge.shape[0] == edge.shape[1] else edge[::-1]
            np.maximum(sheet.print, np.ascontiguousarray(edge) * rng.uniform(0.4, 1), out=sheet.print)
        if rng.random() < 0.25:  # specks
            for _ in range(int(rng.integers(1, 14))):
                x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.3, 0.045 * sheet.tall + 0.4)
                cv2.ellipse(
                    sheet.print,
                    (int(x), int(y)),
                    (max(0, round(r)), max(0, round(r * rng.uniform(0.5, 1.5)))),
                    0,
                    0,
                    360,
                    float(rng.uniform(0.3, 1)),
                    -1,
                )
        if rng.random() < 0.03:
            self.points = []
            self._scribble(sheet, rng.uniform(0, width), rng.uniform(0, height), sheet.tall * rng.uniform(0.8, 1.6))
            sheet.pen = np.maximum(sheet.pen, self._redrawn(sheet.shape))

    def _redrawn(self, shape: tuple[int, int]) -> np.ndarray:
        pasted, self.pasted = self.pasted, []
        ink = self._inked(shape)
        self.pasted = pasted
        return ink
