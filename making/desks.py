"""Desks, walls and cloths with sheets on them, as a camera sees them, and which part of the image is sheet.

Grounds, sheets and what stands on them are drawn by rule: wood, cloth, stone, tiles, grain, things that lie about; white,
coloured and dark sheets, one to three of them, turned, photographed aslant, cut by the image's edge, curled. A third of the
images show one sheet and no ground. No photograph is among them.
"""

from __future__ import annotations

import cv2
import numpy as np

# The long and the short side of what is drawn, pixels, and how much of it is kept: so many the network sees.
SIZE, SHORT = 160, (100, 120, 160)
KEPT = 0.8


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float]) -> np.ndarray:
    """(h, w) float32, smooth noise of mean 0 and deviation 1 whose patches are so many pixels high and wide."""
    small = rng.normal(0, 1, (max(2, int(shape[0] / cells[0]) + 2), max(2, int(shape[1] / cells[1]) + 2)))
    large = cv2.resize(small.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray((large - large.mean()) / max(float(large.std()), 1e-3))


def _colour(rng: np.random.Generator, low: float, high: float, saturation: float) -> np.ndarray:
    """(3,) float32, of a brightness between the two."""
    hue = rng.normal(0, saturation, 3)
    return np.asarray(np.clip(rng.uniform(low, high) + hue - hue.mean(), 0, 255), np.float32)


def ground(rng: np.random.Generator, shape: tuple[int, int], bare: bool) -> np.ndarray:
    """(h, w, 3) float32: what sheets lie on; a bare one is not smooth."""
    kinds = ["wood", "planks", "cloth", "stone", "tiles", "stripes", "mess", *([] if bare else ["flat", "grain"])]
    kind = rng.choice(kinds)
    height, width = shape
    base, other = _colour(rng, 10, 240, 30), _colour(rng, 10, 240, 30)
    share = np.zeros(shape, np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    if kind == "wood" or kind == "planks":
        rings = across / rng.uniform(1.5, 9) + rng.uniform(0.3, 3) * _noise(rng, shape, (25, 60))
        share = 0.5 + 0.3 * np.sin(rings) + 0.15 * _noise(rng, shape, (1, rng.uniform(6, 30)))
        if kind == "planks":
            wide = rng.uniform(14, 50)
            share += 0.35 * np.sin(1e3 * np.floor(across / wide)) - 1.5 * (across % wide < rng.uniform(0.7, 2))
    elif kind == "cloth":
        period = rng.uniform(2, 16)
        share = 0.5 + 0.25 * (np.sin(along * 6.28 / period) + np.sin(across * 6.28 / period)) * rng.uniform(0.4, 1.5)
    elif kind == "stone":
        for cells in (2, 5, 13, 40):
            share += rng.uniform(0, 0.25) * _noise(rng, shape, (cells, cells))
        if rng.random() < 0.4:
            share = 0.7 * np.abs(share) ** rng.uniform(0.4, 1)
    elif kind == "tiles":
        period = rng.uniform(8, 50)
        rows = np.floor(across / period)
        joint = ((along + (rows % 2) * period * rng.choice([0, 0.5])) % (period * rng.choice([1, 2]))) < 1.5
        share = 0.3 * np.sin(1e3 * rows + 37 * np.floor(along / period)) * rng.choice([0, 1])
        share = share + (joint | (across % period < 1.5)) + 0.1 * _noise(rng, shape, (3, 3))
    elif kind == "grain":
        share = rng.uniform(0.1, 0.5) * _noise(rng, shape, (1, 1)) + 0.2 * _noise(rng, shape, (4, 4))
    elif kind == "stripes":
        share = (np.sin(along / rng.uniform(1, 12)) > rng.uniform(-0.6, 0.6)).astype(np.float32)
    contrast = rng.uniform(0.4 if bare else 0.1, 1)
    out = base + (contrast * share)[..., None] * (other - base)
    if kind == "mess" or rng.random() < 0.3:
        for _ in range(int(rng.integers(2, 25 if kind == "mess" else 6))):
            _thing(rng, out)
    return np.asarray(np.clip(out, 0, 255), np.float32)


def _thing(rng: np.random.Generator, image: np.ndarray) -> None:
    """A pen, a cup, a key, a cable, a patch that lies about."""
    height, width = image.shape[:2]
    colour = tuple(float(v) for v in _colour(rng, 5, 230, 45))
    x, y, size = rng.uniform(0, width), rng.uniform(0, height), float(np.exp(rng.uniform(np.log(4), np.log(60))))
    kind = rng.integers(5)
    if kind == 0:
        cv2.ellipse(
            image, (int(x), int(y)), (int(size), int(size * rng.uniform(0.4, 1))), rng.uniform(0, 180), 0, 360, colour,
            int(rng.choice([-1, 1, 3])), cv2.LINE_AA,
        )  # fmt: skip
    elif kind == 1:
        box = cv2.boxPoints(((x, y), (size * rng.uniform(1, 8), size * 0.5), rng.uniform(0, 180)))
        cv2.fillPoly(image, [box.astype(np.int32)], colour, cv2.LINE_AA)
    elif kind == 2:
        points = np.array([x, y]) + np.cumsum(rng.normal(0, size / 4, (12, 2)), axis=0)
        cv2.polylines(image, [points.astype(np.int32)], False, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    elif kind == 3:  # a keyboard, a calculator, a box of pills
        step = max(5, int(size / 4))
        for row in range(int(rng.integers(2, 6))):
            for column in range(int(rng.integers(3, 12))):
                left, top = int(x + column * step), int(y + row * step)
                cv2.rectangle(image, (left, top), (left + step - 2, top + step - 2), colour, -1)
    else:
        points = np.array([(x, y)]) + rng.normal(0, size, (int(rng.integers(3, 7)), 2))
        cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA)


def written(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) float32: a sheet, seen straight, with what stands on it."""
    height, width = shape
    dark = rng.random() < 0.2
    pale = rng.random() < 0.6
    base = _colour(rng, 12, 90, 15) if dark else (_colour(rng, 215, 255, 4) if pale else _colour(rng, 130, 240, 28))
    image = np.tile(base, (height, width, 1)).astype(np.float32)
    if rng.random() < (0.6 if dark else 0.1):  # a board wiped with a sponge, recycled paper
        image = (
            image
            + rng.uniform(1, 8) * _noise(rng, (height, width), (rng.uniform(1, 12), rng.uniform(1, 40)))[..., None]
        )
    ink = _colour(rng, 170, 255, 20) if dark else _colour(rng, 10, 110, 35)
    tall = float(np.exp(rng.uniform(np.log(3), np.log(30))))
    pitch = tall * rng.uniform(1.2, 2.2)
    faint = 0.5 * base + 0.5 * _colour(rng, 60, 220, 40)

    def line(a: tuple[float, float], b: tuple[float, float], colour: np.ndarray, wide: int = 1) -> None:
        cv2.line(image, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), tuple(map(float, colour)), wide, cv2.LINE_AA)

    ruling = rng.choice(["none", "ruled", "squared", "table", "boxes"], p=[0.45, 0.2, 0.15, 0.12, 0.08])
    if ruling in ("ruled", "squared"):
        step = max(3.0, pitch if ruling == "ruled" else tall * rng.uniform(0.5, 1.1))
        for y in np.arange(rng.uniform(0, step), height, step):
            line((0, y), (width, y), faint)
        for x in np.arange(rng.uniform(0, step), width, step) if ruling == "squared" else ():
            line((x, 0), (x, height), faint)
    if ruling in ("table", "boxes"):
        step_x, step_y = tall * rng.uniform(1.2, 4), tall * rng.uniform(1.3, 2)
        gap = 0 if ruling == "table" else rng.uniform(1, 6)
        left, top, frame = rng.uniform(2, 20), rng.uniform(2, 20), int(rng.integers(1, 3))
        for y in np.arange(top, height - step_y, step_y + gap):
            for x in np.arange(left, width - step_x, step_x + gap * (rng.random() < 0.5)):
                box = (int(x), int(y)), (int(x + step_x), int(y + step_y))
                cv2.rectangle(image, *box, tuple(map(float, faint if rng.random() < 0.3 else ink)), frame, cv2.LINE_AA)
    if rng.random() < 0.12:  # a marked band, a header bar, a field
        left, top = rng.uniform(0, width * 0.6), rng.uniform(0, height * 0.8)
        right, bottom = left + rng.uniform(0.2, 1) * width, top + rng.uniform(0.05, 0.25) * height
        image[int(top) : int(bottom), int(left) : int(right)] = _colour(rng, 60, 255, 50)
    if rng.random() < 0.15:  # a margin
        line((width * 0.1, 0), (width * 0.1, height), _colour(rng, 80, 200, 60))
    y = rng.uniform(0.2, 3) * pitch
    rows = rng.integers(0, 14)
    while rows and y < height - tall and rng.random() < 0.95:
        x = rng.uniform(0, 0.3) * width
        end = x + rng.uniform(0.05, 0.9) * width
        printed = rng.random() < 0.15
        while x < min(end, width - tall):
            if rng.random() < 0.15:
                x += tall
                continue
            high = tall * (0.5 if printed else rng.uniform(0.7, 1.2))
            points = np.stack([x + rng.uniform(0, 0.65, 5) * high, y + rng.uniform(0, 1, 5) * high], 1)
            wide = max(1, int(tall * rng.uniform(0.05, 0.16)))
            cv2.polylines(image, [points.astype(np.int32)], False, tuple(map(float, ink)), wide, cv2.LINE_AA)
            x += high * rng.uniform(0.75, 1.1)
        y += pitch
        rows -= 1
    if rng.random() < 0.2:  # a circle, a frame, an underline by hand
        centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        axes = int(tall * rng.uniform(0.8, 4)), int(tall * rng.uniform(0.6, 3))
        cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, tuple(map(float, ink)), 1, cv2.LINE_AA)
    if rng.random() < 0.12:  # a fold
        k = int(rng.uniform(0.2, 0.8) * height)
        image[k:] *= rng.uniform(0.85, 1.05)
        image[k - 1 : k + 1] *= rng.uniform(0.7, 1)
    if rng.random() < 0.1:  # a stain
        centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        blot = image.copy()
        radius = int(rng.uniform(4, 40))
        cv2.circle(blot, centre, radius, tuple(map(float, image[0, 0] * rng.uniform(0.5, 0.95))), 2, cv2.LINE_AA)
        image = blot
    return np.clip(image, 0, 255)


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image (h, w, 3) uint8, and (h, w) uint8 of what is sheet, 255."""
    short = int(rng.choice(SHORT))
    shape = (SIZE, short) if rng.random() < 0.4 else (short, SIZE)
    height, width = shape
    what = rng.choice(["whole", "sheets", "nothing"], p=[0.36, 0.54, 0.1])
    if what == "whole":
        image = written(rng, shape)
        mask = np.full(shape, 1.0, np.float32)
        if rng.random() < 0.25:  # hardly any ground, as at a scan's edge
            edge, side = int(rng.integers(1, 12)), int(rng.integers(4))
            image, mask = np.rot90(image, side).copy(), np.rot90(mask, side).copy()
            image[:edge], mask[:edge] = _colour(rng, 0, 255, 20), 0
            image, mask = np.rot90(image, -side).copy(), np.rot90(mask, -side).copy()
    else:
        image, mask = ground(rng, shape, bare=what == "nothing"), np.zeros(shape, np.float32)
        # A bare smooth ground would be no other than a blank sheet.
        for _ in range(int(rng.choice([1, 2, 3], p=[0.8, 0.13, 0.07])) if what == "sheets" else 0):
            image, mask = _laid(rng, image, mask)
        if what == "sheets" and not mask.any():
            return scene(rng)
    size = round(KEPT * width), round(KEPT * height)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(_lit(rng, image), size, interpolation=cv2.INTER_AREA), (255 * mask).astype(np.uint8)


def _laid(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sheet more on the ground, where it covers no other."""
    height, width = mask.shape
    area = float(np.exp(rng.uniform(np.log(0.06), np.log(0.9)))) if rng.random() < 0.5 else rng.uniform(0.3, 0.9)
    aspect = float(np.exp(rng.normal(np.log(width / height), 0.35)))
    wide, high = np.sqrt(area * height * width * aspect), np.sqrt(area * height * width / aspect)
    turn = float(rng.choice([rng.normal(0, 4), rng.uniform(-45, 45)], p=[0.7, 0.3])) * np.pi / 180
    corners = np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)]) / 2
    corners += rng.normal(0, rng.choice([0.005, 0.04]), (4, 2)) * (wide, high)
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners += np.array([width, height]) / 2 + rng.normal(0, 0.18 * (1.3 - area), 2) * (width, height)
    page = written(rng, (max(16, int(high)), max(16, int(wide))))
    tall, broad = page.shape[:2]
    flat = np.array([(0, 0), (broad, 0), (broad, tall), (0, tall)], np.float32)
    matrix = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    whole = np.ones((tall, broad), np.float32)
    if rng.random() < 0.08:  # torn, or with a corner folded over
        for x in range(broad):
            whole[: int(3 + 2 * np.sin(x * rng.uniform(0.1, 0.6))), x] = 0
    if rng.random() < 0.08:
        cut = int(0.2 * min(tall, broad))
        whole[:cut, :cut] = np.fliplr(np.tri(cut, dtype=np.float32)) < 0.5
    four = 4  # drawn larger first, so that edges are as soft as a camera's
    grow = np.diag([four, four, 1.0])
    shape = (four * width, four * height)
    piece = cv2.warpPerspective(whole, grow @ matrix, shape, flags=cv2.INTER_LINEAR)
    looks = cv2.warpPerspective(page, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.15:  # curled
        y, x = np.mgrid[: shape[1], : shape[0]].astype(np.float32)
        bend = rng.uniform(2, 8) * four * np.sin(x / shape[0] * rng.uniform(2, 6) + rng.uniform(0, 6))
        piece = cv2.remap(piece, x, y + bend.astype(np.float32), cv2.INTER_LINEAR)
        looks = cv2.remap(
            looks, x[::four, ::four] / four, (y + bend)[::four, ::four].astype(np.float32) / four, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    here = cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA)
    if here.mean() < 0.04 or (here * mask).sum() > 0.01 * here.sum():
        return image, mask
    # A sheet of the ground's own grey cannot be found.
    edge = (cv2.dilate(here, np.ones((7, 7))) > 0.5) & (here < 0.5)
    inside = (here > 0.5) & (cv2.erode(here, np.ones((7, 7))) < 0.5)
    if not edge.any() or not inside.any() or np.abs(image[edge].mean(0) - looks[inside].mean(0)).max() < 14:
        return image, mask
    shift = rng.normal(0, 3, 2)
    shade = cv2.GaussianBlur(np.roll(here, np.round(shift).astype(int), (0, 1)), (0, 0), rng.uniform(0.7, 5))
    image = image * (1 - rng.uniform(0, 0.6) * shade[..., None])
    return image * (1 - here[..., None]) + looks * here[..., None], np.maximum(mask, here)


def _lit(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: the image under a lamp, as a camera stores it."""
    shape = image.shape[:2]
    image = image * np.exp(rng.uniform(0, 0.25) * _noise(rng, shape, (90, 90)))[..., None]
    if rng.random() < 0.2:  # a shadow with an edge
        y, x = np.mgrid[: shape[0], : shape[1]]
        angle = rng.uniform(0, 6.28)
        side = (x - rng.uniform(0, shape[1])) * np.cos(angle) + (y - rng.uniform(0, shape[0])) * np.sin(angle)
        image = image * (1 - rng.uniform(0.1, 0.6) / (1 + np.exp(-side / rng.uniform(0.5, 8))))[..., None]
    if rng.random() < 0.2:  # that of a hand, of a phone
        dark = np.zeros(shape, np.float32)
        middle = rng.uniform(0, 1, 2) * shape[::-1]
        points = middle + rng.normal(0, 0.35, (int(rng.integers(3, 7)), 2)) * shape[::-1]
        cv2.fillPoly(dark, [cv2.convexHull(points.astype(np.int32))], 1.0)
        image = image * (1 - rng.uniform(0.15, 0.6) * cv2.GaussianBlur(dark, (0, 0), rng.uniform(0.4, 4)))[..., None]
    image = image * rng.uniform(0.4, 1.15) * (1 + rng.normal(0, 0.04, 3)) + rng.uniform(0, 20)
    if rng.random() < 0.3:
        image = np.repeat(image.mean(2, keepdims=True), 3, axis=2)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.2, 1.2))
    return np.clip(image + rng.normal(0, rng.choice([0.5, 3, 8]), image.shape), 0, 255).astype(np.uint8)
