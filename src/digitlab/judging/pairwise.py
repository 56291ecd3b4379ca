"""Which of several classifiers differ by more than chance, when all of them read the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.judging.verdict import CONFIDENCE


@dataclass(frozen=True, eq=False)
class Pairwise:
    """Every pair of r classifiers.

    Attributes:
        difference: (r, r) float, accuracy of the row's minus the column's, in percentage points.
        p_values: (r, r) float, McNemar's exact test; 1 on the diagonal.
        adjusted: (r, r) float, the same after Holm's correction for all pairs.
    """

    difference: NDArray[np.float64]
    p_values: NDArray[np.float64]
    adjusted: NDArray[np.float64]

    @property
    def differs(self) -> NDArray[np.bool_]:
        """(r, r) bool: more than chance, with at most 5 % risk of even one false alarm among all pairs."""
        return self.adjusted < 1 - CONFIDENCE


def compare_all(right: ArrayLike) -> Pairwise:
    """Compare every classifier with every other, image by image.

    Why a correction: of 40 equally good networks some of the 780 pairs look different by chance alone.

    Args:
        right: (r, n) bool, which of n images each of r classifiers reads right; r >= 1, n >= 1.

    Returns:
        Matrices of r rows and columns.

    Raises:
        ValueError: not such an array.

    Example:
        >>> right = np.ones((3, 100), bool)
        >>> right[2, :20] = False
        >>> compare_all(right).differs.astype(int)
        array([[0, 0, 1],
               [0, 0, 1],
               [1, 1, 0]])

    Reference:
        Q. McNemar, Psychometrika 12 (1947); S. Holm, A simple sequentially rejective multiple test procedure,
        Scandinavian Journal of Statistics 6 (1979).
    """
    from scipy.special import bdtr

    table = np.asarray(right)
    if table.ndim != 2 or table.dtype != np.bool_ or not table.size:
        raise ValueError(f"right: {table.dtype} {table.shape}, expected bool (classifiers, images), at least 1 of each")
    runs, images = table.shape
    numbers = table.astype(np.float64)  # exact up to 2 ** 53, and far quicker to multiply than integers
    both = numbers @ numbers.T
    only = np.diag(both)[:, None] - both  # only the row's reads right; its transpose: only the column's
    disagreements = only + only.T
    p_values = np.minimum(1.0, 2 * bdtr(np.minimum(only, only.T), disagreements.astype(np.int64), 0.5))
    adjusted = np.ones((runs, runs))
    pairs = np.triu_indices(runs, 1)
    adjusted[pairs] = holm(p_values[pairs])
    adjusted = np.minimum(adjusted, adjusted.T)
    return Pairwise(100 * (only - only.T) / images, p_values, adjusted)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for being many: the chance of even one false alarm stays below the level chosen.

    Args:
        p_values: (m,) float, 0 to 1.

    Returns:
        (m,) float, 0 to 1, each at least what it was.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2)
        array([0.03, 0.06, 0.06])

    Reference:
        S. Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted
