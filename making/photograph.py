"""A drawn page as a camera, a scanner or a screen shows it, and then as the reader's own first steps see it."""

from __future__ import annotations

import cv2
import numpy as np
from compose import Sheet

from digitlab.reading.ink import page_ink


def photographed(sheet: Sheet, rng: np.random.Generator) -> np.ndarray:
    """(h, w) uint8: dark ink on light paper, with shadow, blur, grain and compression as they come."""
    height, width = sheet.shape
    pen, printed = sheet.pen, sheet.print
    # Rows and stretches written with less pressure, or half erased.
    if rng.random() < 0.25:
        fade = cv2.resize(rng.uniform(0.35, 1, (3, 4)).astype(np.float32), (width, height))
        pen = pen * fade
    pencil = rng.random() < 0.12
    if pencil:  # on the paper's grain
        grain = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), rng.uniform(0.4, 0.9))
        grain = (grain - grain.mean()) / max(float(grain.std()), 1e-3)
        pen = pen * np.clip(rng.uniform(0.45, 0.9) + rng.uniform(0.1, 0.35) * grain, 0, 1)
    kind = rng.choice(["photo", "scan", "binary", "screen"], p=[0.5, 0.22, 0.18, 0.1])
    # A pencil is pale already; what is paler yet, or pale and compressed to nothing, nobody could read.
    palest = 0.3 if pencil else 0.12
    dark = float(np.exp(rng.uniform(np.log(palest), 0))) if kind == "photo" else float(rng.uniform(0.5, 1))
    ink = np.maximum(pen * dark, printed * float(rng.choice([dark, rng.uniform(0.15, 1) * dark])))
    if kind in ("photo", "scan"):
        blur = float(rng.choice([0, rng.uniform(0.3, 0.8), rng.uniform(0.8, 1.5)], p=[0.25, 0.5, 0.25]))
        if blur:
            ink = cv2.GaussianBlur(ink, (0, 0), blur)
    paper = np.full((height, width), 1.0, np.float32)
    if kind == "photo":
        light = cv2.resize(
            rng.uniform(0.55, 1, (2, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        paper = paper * np.clip(light, 0.3, 1)
        if rng.random() < 0.15:  # a shadow with an edge
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            a = rng.uniform(0, 6.28)
            side = (np.arange(width)[None] - x) * np.cos(a) + (np.arange(height)[:, None] - y) * np.sin(a)
            paper = paper * (1 - rng.uniform(0.1, 0.45) / (1 + np.exp(-side / rng.uniform(1, 12)))).astype(np.float32)
        if rng.random() < 0.1:  # crumpled
            noise = cv2.resize(
                rng.normal(0, 1, (max(2, height // 24), max(2, width // 24))).astype(np.float32),
                (width, height),
                interpolation=cv2.INTER_CUBIC,
            )
            paper = paper * np.clip(1 + 0.05 * noise, 0.7, 1.1)
    if rng.random() < 0.05:  # a marked band
        y = rng.uniform(0, height)
        paper[max(0, int(y)) : int(y + sheet.tall * rng.uniform(0.8, 1.8)), int(rng.uniform(0, width / 2)) :] *= (
            rng.uniform(0.6, 0.92)
        )
    grey = 255 * paper * (1 - ink)
    if kind == "binary":
        soft = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.3, 0.7))
        grey = np.where(soft > rng.uniform(0.25, 0.5) * max(float(soft.max()), 0.3), 0, 255).astype(np.float32)
    if kind in ("photo", "scan") and rng.random() < 0.6:
        grey = grey + rng.normal(0, rng.choice([1.5, 4, 8], p=[0.5, 0.35, 0.15]), grey.shape)
    grey = np.clip(grey, 0, 255)
    if rng.random() < 0.12:  # fewer pixels than it should have
        factor = rng.uniform(0.4, 0.8)
        small = cv2.resize(
            grey.astype(np.float32),
            (max(16, int(width * factor)), max(16, int(height * factor))),
            interpolation=cv2.INTER_AREA,
        )
        grey = np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255)
    pixels = grey.astype(np.uint8)
    if kind != "binary" and rng.random() < 0.5:
        _, packed = cv2.imencode(
            ".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30 if dark < 0.3 else 12, 95))]
        )
        pixels = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return np.asarray(pixels, np.uint8)


def seen(pixels: np.ndarray) -> np.ndarray:
    """(h, w) uint8, 0..255: the ink as the spotter gets it, by the reader's own steps."""
    return np.asarray(np.rint(255 * page_ink(pixels).full), np.uint8)
