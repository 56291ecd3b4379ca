"""Which sign stands where: a convolutional network over the whole page's ink, at the size at which it knows digits."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.machine import usable_cores
from digitlab.reading.components import page_contrast

# The classes of the network, in its order; the last, "?", is every sign that is none of them.
CHARACTERS = "0123456789/-.,:+=?"
# The height of a digit that it learnt from, pixels, and the cell of its answer.
TALL, STRIDE = 28.0, 4
# MNIST's digits are 20 pixels tall: so much enlarged, the spotter knows them best (0.7 % of 1,500 validation digits
# wrong at 1.4, 0.5 % at 1.6).
ALONE = 1.5
# Below this no middle of a sign is looked at.
LEAST_SCORE = 0.25
# Most pixels in one go; larger pages are cut into strips.
STRIP = 900_000
# Paler than this is no ink, and what lies further from ink than so many cells of 16 pixels is not looked at.
FAINT, AROUND = 0.1, 2


@dataclass(frozen=True)
class Spots:
    """What the network found on a page, n signs.

    Attributes:
        boxes: (n, 4) float32 of left, top, right, bottom, in pixels of the ink.
        scores: (n,) float32, how sure it is that a sign's middle is there, 0..1.
        probabilities: (n, 18) float32 over `CHARACTERS`; rows sum to 1.
        averaged: (n, 18) float32, what each network that looked at it says by itself, averaged; rows sum to 1.
        features: (n, k) float32, what the verifier sees in it; zeros where it was not asked.
    """

    boxes: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    averaged: np.ndarray
    features: np.ndarray

    @classmethod
    def seen_once(cls, boxes: np.ndarray, scores: np.ndarray, probabilities: np.ndarray) -> Spots:
        """Signs that one network has looked at."""
        return cls(boxes, scores, probabilities, probabilities, np.zeros((len(boxes), 0), np.float32))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def digit(self) -> np.ndarray:
        """(n,) bool, which are most likely digits."""
        return np.asarray(self.probabilities.argmax(1) < 10) if len(self) else np.zeros(0, bool)

    @property
    def separator(self) -> np.ndarray:
        """(n,) bool, which are most likely separators."""
        names = self.probabilities.argmax(1) if len(self) else np.zeros(0, int)
        return np.asarray((names >= 10) & (names < len(CHARACTERS) - 1))

    @property
    def quality(self) -> np.ndarray:
        """(n,) float32, how good a digit each is: its score times its likeliest digit's probability, 0..1."""
        return np.asarray(self.scores * self.probabilities[:, :10].max(1, initial=0))

    def with_more(self, others: Spots) -> Spots:
        """These and others."""
        width = max(self.features.shape[1], others.features.shape[1])
        features = [np.pad(of.features, ((0, 0), (0, width - of.features.shape[1]))) for of in (self, others)]
        return Spots(
            np.concatenate([self.boxes, others.boxes]),
            np.concatenate([self.scores, others.scores]),
            np.concatenate([self.probabilities, others.probabilities]),
            np.concatenate([self.averaged, others.averaged]),
            np.concatenate(features),
        )

    def take(self, rows: np.ndarray) -> Spots:
        """Those of these rows, in this order."""
        return Spots(*(getattr(self, field.name)[rows] for field in fields(self)))


def spots_of(session: Any, ink: np.ndarray, tall: float) -> Spots:
    """Find the signs of a page whose digits are about so tall.

    Args:
        session: ONNX Runtime's session of the spotter.
        ink: (h, w) float32, 0 paper to 1 black.
        tall: the height of a digit, pixels.

    Returns:
        The signs, overlapping ones dropped, in no particular order.
    """
    factor = TALL / tall
    height, width = max(16, round(ink.shape[0] * factor)), max(16, round(ink.shape[1] * factor))
    small = _resized(ink, (height, width))
    # As in training, 1 is the usual darkness at this size: shrunk, a hairline is paler than it was.
    small = np.clip(small / (page_contrast(small, 0.0) or 1.0), 0, 1)
    rows = max(160, STRIP // max(width, 1) // 16 * 16)
    overlap = 64
    parts = []
    for top in range(0, max(1, height - overlap), rows - overlap):
        strip = small[top : top + rows]
        found = nothing()
        for upper, lower in _inked(strip.T):
            for left, right in _inked(strip[upper:lower]):
                here = _decoded(_run(session, strip[upper:lower, left:right]))
                boxes = here.boxes + np.array([left, upper, left, upper], np.float32)
                found = found.with_more(replace(here, boxes=boxes))
        middle = (found.boxes[:, 1] + found.boxes[:, 3]) / 2
        # Of two strips that see the same place, the one that sees more around it answers.
        low = 0 if top == 0 else overlap / 2
        high = rows if top + rows >= height else rows - overlap / 2
        found = found.take(np.flatnonzero((middle >= low) & (middle < high)))
        boxes = found.boxes + np.array([0, top, 0, top], np.float32)
        parts.append(Spots.seen_once(boxes, found.scores, found.probabilities))
    if not parts:
        return nothing()
    names = ("boxes", "scores", "probabilities")
    spots = Spots.seen_once(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    spots = spots.take(_apart(spots))
    scale = np.array([ink.shape[1] / width, ink.shape[0] / height] * 2, np.float32)
    return Spots.seen_once(spots.boxes * scale, spots.scores, spots.probabilities)


def _inked(strip: np.ndarray) -> list[tuple[int, int]]:
    """The runs of columns that hold ink, with room around them; empty ones cost as much time as full ones."""
    blank = -strip.shape[1] % 16
    columns = np.pad(strip.max(0, initial=0), (0, blank)).reshape(-1, 16).max(1) >= FAINT
    inked = np.flatnonzero(columns)
    if not len(inked):
        return []
    breaks = np.flatnonzero(np.diff(inked) > 2 * AROUND + 1)
    firsts, lasts = inked[np.append(0, breaks + 1)], inked[np.append(breaks, -1)]
    return [
        (16 * max(0, first - AROUND), min(strip.shape[1], 16 * (last + 1 + AROUND)))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def signs_alone(session: Any, images: np.ndarray) -> np.ndarray:
    """Name signs that stand alone, already cut out and brought into MNIST's geometry.

    Args:
        session: ONNX Runtime's session of the spotter.
        images: (n, 28, 28) uint8, bright ink on 0.

    Returns:
        (n, 18) float32 over `CHARACTERS`; rows sum to 1; "?" where no sign is seen.
    """
    found = np.zeros((len(images), len(CHARACTERS)), np.float32)
    side, scale = 80, ALONE
    for start in range(0, len(images), 64):
        batch = images[start : start + 64].astype(np.float32) / 255
        inner = round(28 * scale)
        large = np.stack([_resized(image, (inner, inner)) for image in batch])
        edge = (side - inner) // 2
        padded = np.pad(large, ((0, 0), (edge, side - inner - edge), (edge, side - inner - edge)))
        out = session.run(None, {"ink": padded[:, None]})[0]
        for row, answer in enumerate(out, start):
            spots = _decoded(answer)
            if len(spots):
                best = int(spots.scores.argmax())
                found[row] = spots.probabilities[best]
            else:
                found[row, -1] = 1
    return found


def nothing() -> Spots:
    """No sign at all."""
    boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return Spots.seen_once(boxes, scores, np.zeros((0, len(CHARACTERS)), np.float32))


def _resized(ink: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    if ink.shape == shape:
        return ink
    image = Image.fromarray(np.ascontiguousarray(ink, np.float32))
    # A reducing filter that averages, so that a hairline gets paler and does not vanish.
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), dtype=np.float32)


def _run(session: Any, ink: np.ndarray) -> np.ndarray:
    """(23, rows, columns) of the network's raw answer."""
    height, width = ink.shape
    padded = np.pad(ink, ((16, 16 + -height % 16), (16, 16 + -width % 16)))
    out = session.run(None, {"ink": padded[None, None].astype(np.float32)})[0][0]
    edge = 16 // STRIDE
    return np.asarray(out[:, edge : edge + -(-height // STRIDE), edge : edge + -(-width // STRIDE)])


def _decoded(out: np.ndarray) -> Spots:
    from scipy import ndimage

    heat = 1 / (1 + np.exp(-out[0]))
    peaks = (heat >= ndimage.maximum_filter(heat, 3, mode="constant")) & (heat > LEAST_SCORE)
    rows, columns = np.nonzero(peaks)
    if len(rows) == 0:
        return nothing()
    number = len(CHARACTERS)
    logits = out[1 : 1 + number, rows, columns].T
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    dx, dy, width, height = out[1 + number :, rows, columns]
    x, y = (columns + 0.5 + dx) * STRIDE, (rows + 0.5 + dy) * STRIDE
    half_width, half_height = np.exp(width) * TALL / 2, np.exp(height) * TALL / 2
    boxes = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], 1)
    scores = heat[rows, columns].astype(np.float32)
    return Spots.seen_once(boxes.astype(np.float32), scores, probabilities.astype(np.float32))


def _apart(spots: Spots) -> np.ndarray:
    """The rows that stay where boxes lie over each other: the surest of them."""
    keep: list[int] = []
    boxes = spots.boxes
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0.1) * np.maximum(boxes[:, 3] - boxes[:, 1], 0.1)
    for row in np.argsort(-spots.scores, kind="stable"):
        if keep:
            others = np.array(keep)
            across = np.minimum(boxes[row, 2], boxes[others, 2]) - np.maximum(boxes[row, 0], boxes[others, 0])
            down = np.minimum(boxes[row, 3], boxes[others, 3]) - np.maximum(boxes[row, 1], boxes[others, 1])
            common = np.maximum(across, 0) * np.maximum(down, 0)
            union = area[row] + area[others] - common
            if ((common > 0.45 * union) | (common > 0.75 * np.minimum(area[row], area[others]))).any():
                continue
        keep.append(int(row))
    return np.array(keep, dtype=int)


def open_spotter(path: Path, *, threads: int | None = None) -> Any:
    """Open the network that comes with the package.

    Args:
        path: its ONNX file.
        threads: how many ONNX Runtime may use; None for one per core.

    Returns:
        ONNX Runtime's session.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(usable_cores())
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Its input has another size for every page: memory kept for the largest of them would never be given back.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
