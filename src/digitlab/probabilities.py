"""What a network's outputs mean: rows brought to a sum of 1, and softened or sharpened by a temperature."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The smallest normal float32. Below it a float32 softmax underflows: XLA flushes the rest to 0, and log 0 is -inf. Only
# what the format lost is lifted (to 87.3 nats), so a true label at 1e-30 still costs more than one at 1e-7.
# scikit-learn and Keras clip at about 1e-7 for float32, where both cost 16 nats: the worst mistakes would look alike.
SMALLEST = float(np.finfo(np.float32).tiny)


def normalised(outputs: ArrayLike) -> NDArray[np.float32]:
    """Divide each row by its sum: sigmoid outputs become probabilities, softmax outputs stay what they are.

    Args:
        outputs: (n, k) float, none below 0.

    Returns:
        (n, k) float32, rows sum to 1; 1/k each in a row of zeros, where the network knows nothing.

    Example:
        >>> normalised([[0.2, 0.6], [0.0, 0.0]]).tolist()
        [[0.25, 0.75], [0.5, 0.5]]
    """
    values = np.asarray(outputs, np.float64)
    total = values.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, values / np.where(total > 0, total, 1), 1 / max(1, values.shape[1]))
    return shares.astype(np.float32)


def tempered(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Soften (T > 1) or sharpen (T < 1) probabilities; the order within a row stays.

    Args:
        probabilities: (n, k) float, rows sum to 1.
        temperature: T > 0; 1 changes nothing.

    Returns:
        softmax(log p / T), (n, k) float64, rows sum to 1.

    Reference:
        C. Guo and others, On calibration of modern neural networks, ICML 2017.

    Example:
        >>> tempered([[0.9, 0.1]], 2.0).round(2)
        array([[0.75, 0.25]])
    """
    return softmax(np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST)) / temperature)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponentials of each row, divided by their sum; (n, k)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
