"""Divide the paper out: from coloured pixels to ink between 0 and 1, whatever the light and whichever is darker."""

from __future__ import annotations

import numpy as np

# The paper is estimated on an image of about this many pixels on its long side: strokes average out, shadows stay.
SMALL_SIDE = 224
# Paper darker than this counts as if it were this light: dividing by less would make ink of the grain.
DARKEST = 80
# A page is flat if this share of it has the grey of its rim, and no more than that share of it is lighter where ink is
# darker, by more than so many greys.
FLAT, STRAY, BESIDE = 0.5, 0.001, 8.0


def separating_grey(pixels: np.ndarray) -> np.ndarray:
    """Turn colour into the grey that tells ink from paper best.

    The usual luminance nearly hides red ink from a red margin and yellow from white. Here the three channels are
    weighted by the main direction in which small details differ from their surroundings: black ink weighs all three
    alike, red ink the green and blue ones.

    Args:
        pixels: (h, w, 3) or (h, w) uint8.

    Returns:
        (h, w) float32, 0..255.

    Example:
        >>> page = np.full((64, 64, 3), 255, np.uint8)
        >>> page[20:40, 30:33] = (255, 0, 0)
        >>> int(separating_grey(page)[30, 31])   # luminance would give 76
        0
    """
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    from scipy import ndimage

    step = max(1, int(np.sqrt(pixels.shape[0] * pixels.shape[1] / 150_000)))
    sample = _shrink(pixels.astype(np.float32) if step == 1 else pixels, step)
    window = max(5, min(sample.shape[:2]) // 6)
    detail = sample - np.stack([ndimage.uniform_filter(sample[..., c], window, mode="nearest") for c in range(3)], -1)
    strength = np.abs(detail).sum(-1)
    strong = detail[strength >= np.quantile(strength, 0.97)]
    weights = np.array([0.299, 0.587, 0.114])
    if len(strong) and strength.max() > 12:
        _, vectors = np.linalg.eigh(strong.T.astype(np.float64) @ strong)
        main = vectors[:, -1] * np.sign(vectors[:, -1].sum() or 1.0)
        main = np.maximum(main, 0)
        if main.sum() > 0.1:
            weights = main / main.sum()
    return np.asarray(pixels @ weights.astype(np.float32), dtype=np.float32)


def flat_paper(grey: np.ndarray) -> float | None:
    """Find the one grey that is the paper of a drawing, a screenshot, a cleaned scan.

    Args:
        grey: (h, w) float32, 0..255.

    Returns:
        Its grey; None where the rim is not all of it, less than half of the page is, or ink lies on both sides of it.

    Example:
        >>> page = np.full((64, 64), 255, np.float32)
        >>> page[20:40, 30:33] = 0
        >>> flat_paper(page), flat_paper(255 - page), flat_paper(page + np.arange(64, dtype=np.float32))
        (255.0, 0.0, None)
    """
    level = float(grey[0, 0])
    if not all((rim == level).all() for rim in (grey[0], grey[-1], grey[:, 0], grey[:, -1])):
        return None
    away = grey - level
    if np.mean(np.abs(away) <= 1) < FLAT:
        return None
    both = min(np.mean(away > BESIDE), np.mean(away < -BESIDE))
    return level if both <= STRAY else None


def ink_is_dark(grey: np.ndarray) -> bool:
    """Decide from the paper, not from the mean, whether the ink is darker.

    Paper is what most of any neighbourhood shows, its median. Whatever departs from it votes with the square of how far
    it departs, in neighbourhoods of three sizes: a sheet on a black table is still dark ink on light paper, a fat white
    digit on black is not.

    Args:
        grey: (h, w) float32, 0..255.

    Returns:
        True for dark ink.

    Example:
        >>> page = np.full((64, 64), 255, np.float32)
        >>> page[20:40, 30:33] = 0
        >>> ink_is_dark(page), ink_is_dark(255 - page)
        (True, False)
    """
    from scipy import ndimage

    fine = small_copy(grey, 512)
    vote = 0.0
    # A median costs its window's area: the wider the window, the smaller the copy (35 ms against 3).
    for part, side in ((0.15, 64), (0.35, 40), (0.7, 28)):
        small = small_copy(grey, side)
        paper = ndimage.median_filter(small, max(3, int(part * min(small.shape)) | 1), mode="nearest")
        away = fine - resized(paper, fine.shape)
        vote += float((away * np.abs(away)).sum())
    return vote <= 0


def paper_of(grey: np.ndarray) -> np.ndarray:
    """Estimate the empty paper under dark ink: a shrunken copy with everything narrow filled in.

    A closing follows a shadow's edge and a lamp's gradient exactly, where a blur or a polynomial would smear them.

    Args:
        grey: (h, w) float32, 0..255, dark ink.

    Returns:
        (h, w) float32, what the page would look like unwritten.

    Example:
        >>> page = np.full((64, 64), 200, np.float32)
        >>> page[20:40, 30:33] = 0
        >>> int(paper_of(page)[30, 31])
        200
    """
    from scipy import ndimage

    small = small_copy(grey, SMALL_SIDE)
    # Wider than the fattest stroke (a quarter of the short side), or a thick pen would count as paper...
    widest = max(5, int(0.28 * min(small.shape)) | 1)
    filled = _filled(small, widest)
    ink = ink_of(small, filled)
    strong = ink > 0.5 * np.quantile(ink, 0.995)
    # ...but no wider than it takes to fill what is really dark: a shadow just a little larger then stays paper.
    for size in (5, 9, 15, 23, 35):
        if 2 * size > widest:
            break
        finer = _filled(small, size)
        if (finer - small)[strong].sum() > 0.92 * (filled - small)[strong].sum():
            filled = _filled(small, 2 * size + 1)
            break
    # A closing rides on the noise's crests; what most of the page lies below it by is that ride.
    filled = filled - np.quantile(filled - small, 0.3)
    filled = ndimage.gaussian_filter(filled, 1.0, mode="nearest")
    return resized(filled, grey.shape)


def _filled(small: np.ndarray, size: int) -> np.ndarray:
    """Fill in every dark thing narrower than `size` pixels; beyond the image the paper goes on."""
    from scipy import ndimage

    padded = np.pad(small, size, mode="edge")
    return np.asarray(ndimage.grey_closing(padded, (size, size))[size:-size, size:-size])


def ink_of(grey: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Say how much of the paper's light the ink takes away.

    Args:
        grey: (h, w) float32, dark ink.
        paper: (h, w) float32 of the same size.

    Returns:
        (h, w) float32, 0 (paper) to 1 (black).

    Example:
        >>> ink_of(np.full((2, 2), 50, np.float32), np.full((2, 2), 200, np.float32))[0, 0]
        np.float32(0.75)
    """
    return np.asarray(np.clip((paper - grey) / np.maximum(paper, DARKEST), 0, 1), dtype=np.float32)


def levelled(ink: np.ndarray) -> np.ndarray:
    """Take off what a whole neighbourhood has in common: paper a little darker than was estimated.

    Args:
        ink: (h, w) float32, 0..1.

    Returns:
        (h, w) float32, at most 0.1 lower.

    Example:
        >>> float(levelled(np.full((64, 64), 0.05, np.float32)).max())
        0.0
    """
    from scipy import ndimage

    small = small_copy(ink, 64)
    # Not more than a tenth: inside a very fat stroke the whole neighbourhood is ink.
    common = ndimage.percentile_filter(small, 30, max(3, min(small.shape) // 6 | 1), mode="nearest").clip(0, 0.1)
    common = resized(ndimage.gaussian_filter(common, 1.5, mode="nearest"), ink.shape)
    return np.asarray(np.clip(ink - common, 0, 1), dtype=np.float32)


def noise_of(ink: np.ndarray) -> float:
    """Measure the grain of the paper: a robust standard deviation of the finest detail.

    Args:
        ink: (h, w) float32.

    Returns:
        The standard deviation of the noise, in ink units.

    Reference:
        J. Immerkær, Fast noise variance estimation, CVIU 64 (1996); the median instead of the mean.

    Example:
        >>> noise_of(np.zeros((32, 32), np.float32))
        0.0
    """
    step = max(1, int(np.sqrt(ink.size / 400_000)))
    rows = ink[: ink.shape[0] // step * step]
    part = rows[: max(3, len(rows) // step)] if step > 1 else rows
    detail = (
        part[:-2, :-2] + part[2:, :-2] + part[:-2, 2:] + part[2:, 2:] + 4 * part[1:-1, 1:-1]
        - 2 * (part[:-2, 1:-1] + part[2:, 1:-1] + part[1:-1, :-2] + part[1:-1, 2:])
    )  # fmt: skip
    return float(np.median(np.abs(detail)) / 0.6745 / 6) if detail.size else 0.0


def _shrink(pixels: np.ndarray, step: int) -> np.ndarray:
    """Average step x step blocks of (h, w) or (h, w, c)."""
    if step <= 1:
        return pixels
    height, width = pixels.shape[0] // step * step, pixels.shape[1] // step * step
    cut = pixels[:height, :width]
    shape = (height // step, step, width // step, step, *cut.shape[2:])
    return np.asarray(cut.reshape(shape).mean((1, 3), dtype=np.float32))


def small_copy(grey: np.ndarray, side: int) -> np.ndarray:
    """Shrink so that the long side is at most `side`, each pixel the mean of those it covers."""
    from PIL import Image

    factor = max(grey.shape) / side
    if factor <= 1:
        return grey
    size = (max(4, round(grey.shape[1] / factor)), max(4, round(grey.shape[0] / factor)))
    image = Image.fromarray(grey)
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float32)


def resized(grey: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Enlarge bilinearly to (h, w)."""
    from PIL import Image

    if grey.shape == shape:
        return grey
    image = Image.fromarray(np.ascontiguousarray(grey))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), dtype=np.float32)
