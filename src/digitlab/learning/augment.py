"""Images moved, turned, sized, slanted, bent and thickened at random, inside the compiled training step.

Pure JAX, a new change for every image and step, drawn from seed and step number alone: a resumed run repeats it
exactly and no state has to be kept. No flips, and rotation within 20 degrees: a 6 must not become a 9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.learning.disturb import disturb
from digitlab.learning.kinds import Number
from digitlab.learning.recipe import Recipe

if TYPE_CHECKING:
    import jax

# Knots of the elastic field along one side; 7 over 28 pixels bend a stroke without breaking it (Simard's sigma 4).
_KNOTS = 7


# The fields that say how far an image's strokes are changed; a search can set them together as `augmentation`.
STRENGTHS = ("shift", "rotate", "scale", "shear", "elastic", "thickness")
# All fields of augmentation, in the order in which a compiled program takes them.
KINDS = (*STRENGTHS, "disturb")


def active(recipe: Recipe) -> bool:
    """Whether the recipe changes images at all.

    Example:
        >>> active(Recipe()), active(Recipe(shift=2.0))
        (False, True)
    """
    return any(getattr(recipe, name) for name in KINDS)


def step_key(seed: int, step: Number) -> jax.Array:
    """The random key of a training step, from the recipe's seed and the number of the step in the whole run."""
    import jax

    return jax.random.fold_in(jax.random.key(seed), step)


def apply(
    key: jax.Array, images: np.ndarray | jax.Array, recipe: Recipe, strengths: np.ndarray | jax.Array | None = None
) -> jax.Array:
    """Change each image at random, as far as the recipe's fields allow.

    Strokes are thickened or thinned first, while the image is sharp; then one bilinear interpolation does the
    shift, rotation, scale, shear and elastic bending together, so that the image is blurred only once.

    Args:
        key: A JAX random key, as from `step_key`.
        images: (n, 28, 28), 0..255, ink bright on 0.
        recipe: Uses shift (pixels), rotate (degrees), scale, shear (shares), elastic (pixels), thickness (share); those
            that are 0 are left out.
        strengths: (7,) in the order of `KINDS`, in place of the recipe's, so that recipes of the same kinds of
            change share one compiled program.

    Returns:
        (n, 28, 28) float32, 0..255; the same numbers as given where the recipe changes nothing.

    Example:
        >>> import jax
        >>> page = np.zeros((1, 28, 28), np.uint8)
        >>> float(apply(jax.random.key(0), page, Recipe(shift=2.0)).max())
        0.0

    Reference:
        Simard, Steinkraus, Platt: Best practices for convolutional neural networks applied to visual document
        analysis. ICDAR 2003.
    """
    import jax
    import jax.numpy as jnp

    images = jnp.asarray(images).astype(jnp.float32)
    if not active(recipe):
        return images
    values = [getattr(recipe, name) for name in KINDS] if strengths is None else strengths
    if recipe.disturb:
        moved = _moved(key, images, recipe, values)
        return disturb(jax.random.fold_in(key, len(STRENGTHS)), moved, values[-1])
    return _moved(key, images, recipe, values)


def _moved(key: jax.Array, images: jax.Array, recipe: Recipe, values: Any) -> jax.Array:
    """All changes but `disturb`; arguments as of `apply`."""
    import jax
    import jax.numpy as jnp

    stroke_key, affine_key, elastic_key = jax.random.split(key, 3)
    count, height, width = images.shape
    shift, rotate, scale, shear, elastic, thickness, _ = values
    if recipe.thickness:
        images = _thickened(images, jax.random.uniform(stroke_key, (count,), minval=-1, maxval=1) * thickness)
    if not any((recipe.shift, recipe.rotate, recipe.scale, recipe.shear, recipe.elastic)):
        return images
    draws = jax.random.uniform(affine_key, (6, count), minval=-1, maxval=1)
    down, across = (shift * draws[i, :, None, None] for i in (0, 1))
    angle = np.pi / 180 * rotate * draws[2, :, None, None]
    # Height and width are sized each for itself, as hands do: a narrow 0, a wide 2.
    taller, wider = (1 + scale * draws[i, :, None, None] for i in (3, 4))
    slant = shear * draws[5, :, None, None]
    # From each pixel of the result back to where it comes from, about the middle of the image.
    y = (jnp.arange(height) - (height - 1) / 2)[None, :, None]
    x = (jnp.arange(width) - (width - 1) / 2)[None, None, :]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    rows = (cos * y - sin * x) / taller + (height - 1) / 2 - down
    columns = (sin * y + cos * x + slant * y) / wider + (width - 1) / 2 - across
    if recipe.elastic:
        field = elastic * _smooth_field(elastic_key, count, height, width)
        rows, columns = rows + field[0], columns + field[1]
    return _sampled(images, rows, columns)


def _thickened(images: jax.Array, amounts: jax.Array) -> jax.Array:
    """Each image drawn towards its dilation (amount above 0) or its erosion (below 0) by one pixel; amounts (n,)."""
    import jax.numpy as jnp

    around = jnp.pad(images, ((0, 0), (1, 1), (1, 1)))
    crossing = [around[:, 1 + i : 29 + i, 1 + j : 29 + j] for i, j in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))]
    thick, thin = crossing[0], crossing[0]
    for neighbour in crossing[1:]:
        thick, thin = jnp.maximum(thick, neighbour), jnp.minimum(thin, neighbour)
    share = amounts[:, None, None]
    return images + jnp.where(share > 0, share * (thick - images), share * (images - thin))


def _smooth_field(key: jax.Array, count: int, height: int, width: int) -> jax.Array:
    """Smooth random displacements down and across, (2, n, height, width), of standard deviation 1.

    Normal numbers on a coarse grid, spread by Gaussian bumps in two small matrix products: 98 random numbers an image
    instead of Simard's 1,568 and no convolution, with the same smoothness.
    """
    import jax
    import jax.numpy as jnp

    def bumps(size: int) -> np.ndarray:
        knots = np.linspace(0, size - 1, _KNOTS)
        spread = np.exp(-0.5 * ((np.arange(size)[:, None] - knots) / (size / _KNOTS)) ** 2)
        bump: np.ndarray = spread / np.sqrt((spread**2).sum(1, keepdims=True))  # rows of length 1: variance 1
        return bump.astype(np.float32)

    knots = jax.random.normal(key, (2, count, _KNOTS, _KNOTS))
    return jnp.einsum("yk,dnkl,xl->dnyx", bumps(height), knots, bumps(width))


def _sampled(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Images read at fractional places (n, h, w) by bilinear interpolation, 0 outside."""
    import jax.numpy as jnp

    count, height, width = images.shape
    # A blank frame of one pixel on top and left, two below and right; whatever lies outside is clipped into it.
    framed = jnp.pad(images, ((0, 0), (1, 2), (1, 2))).reshape(count, -1)
    rows, columns = jnp.clip(rows, -1, height) + 1, jnp.clip(columns, -1, width) + 1
    top, left = jnp.floor(rows), jnp.floor(columns)
    below, right = rows - top, columns - left
    corner = (top.astype(jnp.int32) * (width + 3) + left.astype(jnp.int32)).reshape(count, -1)

    def at(offset: int) -> jax.Array:
        found = jnp.take_along_axis(framed, corner + offset, axis=1, mode="promise_in_bounds")
        return found.reshape(count, height, width)

    upper = at(0) * (1 - right) + at(1) * right
    lower = at(width + 3) * (1 - right) + at(width + 4) * right
    return upper * (1 - below) + lower * below


def examples(images: np.ndarray, recipe: Recipe, columns: int = 7, seed: int | None = None) -> np.ndarray:
    """Images before and after, for looking at: each row one image, as it is and then changed at random.

    Args:
        images: (n, 28, 28) uint8.
        recipe: See `apply`.
        columns: Changed versions an image.
        seed: Instead of the recipe's own.

    Returns:
        (n, 1 + columns, 28, 28) uint8, the original first in each row.

    Example:
        >>> examples(np.zeros((3, 28, 28), np.uint8), Recipe(shift=1.0)).shape
        (3, 8, 28, 28)
    """
    start = recipe.seed if seed is None else seed
    changed = [np.asarray(apply(step_key(start, i), images, recipe)) for i in range(columns)]
    rounded = [np.clip(np.rint(c), 0, 255).astype(np.uint8) for c in changed]
    return np.stack([images, *rounded], axis=1)
