"""Images disturbed at random inside the compiled training step: papers, scraps of ink, covered places, blur, noise.

For the recipe `robust`. General disturbances, none of them one of MNIST-C's fifteen corruptions or an imitation of one,
since those are what the recipe is judged on; `benchmarks/RESULTS.md` lists them beside the figure. Pure JAX, from the
key alone, like `augment`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# What the functions below do, for the docs: the list is held against the code by a test.
OPERATIONS = {
    "_scraps": "scraps of other images' ink, 4 to 14 pixels wide, anywhere",
    "_tone": "gamma of the ink, 0.5 to 2, and few grey levels",
    "_paper": "ink of a contrast from 0.2, dark or bright, on paper with a gradient, a bump, a wave or a step",
    "_covered": "squares and tiles of one grey that cover a place",
    "_blurred": "Gaussian blur of up to 1.2 pixels, or sharpening",
    "_noisy": "Gaussian noise, added, multiplied with the image, or coarse",
}


def disturb(key: Any, images: Any, share: Any) -> Any:
    """Disturb a share of the images, each by several of `OPERATIONS`, drawn anew for every image.

    Args:
        key: A JAX random key.
        images: (n, 28, 28) float32, 0..255, ink bright on 0.
        share: Of the images that are disturbed, 0..1; the others stay as they are.

    Returns:
        (n, 28, 28) float32, 0..255.

    Example:
        >>> import jax
        >>> blank = np.zeros((1, 28, 28), np.float32)
        >>> float(jax.jit(disturb)(jax.random.key(0), blank, 0.0).max())
        0.0
    """
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(key, len(OPERATIONS) + 1)
    changed = images / 255
    for one, function in zip(keys[1:], (_scraps, _tone, _paper, _covered, _blurred, _noisy), strict=True):
        changed = function(one, changed)
    chosen = jax.random.uniform(keys[0], (len(images), 1, 1)) < share
    return jnp.where(chosen, 255 * jnp.clip(changed, 0, 1), images)


def _draws(key: Any, kinds: int, count: int) -> Any:
    """(kinds, n, 1, 1) uniform numbers 0..1."""
    import jax

    return jax.random.uniform(key, (kinds, count, 1, 1))


def _places(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (1, h, 1) and columns (1, 1, w)."""
    place = np.arange(size, dtype=np.float32)
    return place[None, :, None], place[None, None, :]


def _rectangle(draws: Any, size: int, least: float, most: float) -> Any:
    """A mask (n, h, w) of a rectangle with sides from least to most pixels, anywhere; draws (4, n, 1, 1)."""
    import jax.numpy as jnp

    y, x = _places(size)
    tall, wide = least + (most - least) * draws[0], least + (most - least) * draws[1]
    return (jnp.abs(y - size * draws[2]) < tall / 2) & (jnp.abs(x - size * draws[3]) < wide / 2)


def _scraps(key: Any, images: Any) -> Any:
    """Up to two pieces of the ink of other images of the batch, each in a third of the images."""
    import jax.numpy as jnp

    draws = _draws(key, 14, len(images))
    for number in (0, 1):
        d = draws[7 * number : 7 * number + 7]
        other = jnp.roll(images, (number + 1, 9 * number + 5, 11 - 4 * number), (0, 1, 2))
        mask = _rectangle(d, images.shape[1], 4, 14) & (d[4] < 0.35)
        images = jnp.maximum(images, jnp.where(mask, (0.4 + 0.6 * d[5]) * other, 0))
    return images


def _tone(key: Any, images: Any) -> Any:
    """Half get a gamma, a quarter few levels."""
    import jax.numpy as jnp

    d = _draws(key, 4, len(images))
    power = jnp.where(d[0] < 0.5, 2 ** (2 * d[1] - 1), 1)
    images = jnp.maximum(images, 1e-6) ** power
    levels = 1 + jnp.floor(4 * d[2])
    return jnp.where(d[3] < 0.25, jnp.round(images * levels) / levels, images)


def _paper(key: Any, images: Any) -> Any:
    """Lay the ink, of some contrast and polarity, on some paper."""
    import jax.numpy as jnp

    d = _draws(key, 20, len(images))
    size = images.shape[1]
    y, x = _places(size)
    u, v = (y - size / 2) / size, (x - size / 2) / size
    angle = 2 * np.pi * d[0]
    along = u * jnp.sin(angle) + v * jnp.cos(angle)
    gradient = (d[1] < 0.5) * 1.0 * d[2] * along
    reach = 0.15 + 0.4 * d[3]
    bump = jnp.exp(-((u - d[4] + 0.5) ** 2 + (v - d[5] + 0.5) ** 2) / (2 * reach**2))
    bump = (d[6] < 0.4) * 1.2 * (d[7] - 0.5) * bump
    turn = 2 * np.pi * d[8]
    across = u * jnp.sin(turn) + v * jnp.cos(turn)
    wave = (d[9] < 0.3) * 0.25 * d[10] * jnp.sin(2 * np.pi * (across * (1 + 8 * d[11]) + d[12]))
    slope = 2 * np.pi * d[13]
    step = (d[14] < 0.3) * 0.8 * (d[15] - 0.5) * (u * jnp.sin(slope) + v * jnp.cos(slope) > 0.8 * (d[16] - 0.5))
    contrast = jnp.where(d[17] < 0.7, 0.2 + 0.8 * d[17] / 0.7, 1)
    dark = d[18] < 0.3
    grey = (1 - contrast) * d[19]
    paper = jnp.where(dark, 1 - grey, grey) + gradient + bump + wave + step
    laid = paper + jnp.where(dark, -contrast, contrast) * images
    # Brought into 0..1 rather than clipped, so that there is ink to see.
    low = jnp.minimum(laid.min((1, 2), keepdims=True), 0)
    return (laid - low) / (jnp.maximum(laid.max((1, 2), keepdims=True), 1) - low)


def _covered(key: Any, images: Any) -> Any:
    """Up to two rectangles, each in a quarter of the images; in 15 % also an eighth of the 4 x 4 tiles."""
    import jax
    import jax.numpy as jnp

    key, tile_key = jax.random.split(key)
    count, size = images.shape[:2]
    d = _draws(key, 13, count)
    for number in (0, 1):
        some = d[6 * number : 6 * number + 6]
        mask = _rectangle(some, size, 2, 9) & (some[4] < 0.25)
        images = jnp.where(mask, some[5], images)
    tiles = jax.random.uniform(tile_key, (count, size // 4, size // 4)) < 0.125
    tiles = jnp.repeat(jnp.repeat(tiles, 4, 1), 4, 2) & (d[12] < 0.15)
    return jnp.where(tiles, d[5], images)


def _blurred(key: Any, images: Any) -> Any:
    """Half are drawn towards their blur, a sixth away from it."""
    import jax.numpy as jnp

    d = _draws(key, 2, len(images))
    place = np.arange(images.shape[1])
    bumps = np.exp(-0.5 * ((place[:, None] - place) / 1.2) ** 2)
    bumps = (bumps / bumps.sum(1, keepdims=True)).astype(np.float32)
    smooth = jnp.einsum("yk,nkl,xl->nyx", bumps, images, bumps)
    amount = jnp.where(d[0] < 0.5, d[1], jnp.where(d[0] > 5 / 6, -d[1], 0))
    return images + amount * (smooth - images)


def _noisy(key: Any, images: Any) -> Any:
    """Two in five get noise: one draw a pixel, added as it is or made coarse, or multiplied with the image."""
    import jax
    import jax.numpy as jnp

    key, noise_key = jax.random.split(key)
    d = _draws(key, 3, len(images))
    noise = jax.random.normal(noise_key, images.shape)
    coarse = noise.reshape(len(images), 14, 2, 14, 2)[:, :, :1, :, :1]
    coarse = jnp.broadcast_to(coarse, (len(images), 14, 2, 14, 2)).reshape(images.shape)
    size = 0.3 * d[1] ** 1.5
    added = jnp.where(d[0] < 0.2, size * noise, jnp.where(d[0] < 0.3, size * coarse, 0))
    factor = jnp.where((d[0] >= 0.3) & (d[0] < 0.4), 2 * size * noise, 0)
    return images + added + factor * images
