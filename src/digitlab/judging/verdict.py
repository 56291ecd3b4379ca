"""Who leads, by how much, and how rarely chance does the same: the words of a comparison."""

from __future__ import annotations

import math

from digitlab import in_words

CONFIDENCE = 0.95


def p_words(value: float) -> str:
    """Write a p-value."""
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def ordered(
    difference: float, names: tuple[str, str], accuracies: tuple[float, ...], counts: tuple[int, ...]
) -> list[tuple[str, float, int]]:
    """Name, accuracy and count of both, the better first, so that its lead is never negative."""
    both = list(zip(names, accuracies, counts, strict=True))
    return both if difference >= 0 else both[::-1]


def lead_words(difference: float, interval: tuple[float, float] | None) -> str:
    """Write by how many points the better one leads, with the 95 % interval turned the same way."""
    said = f"{abs(difference):.2f} points"
    if interval is None:
        return said
    low, high = sorted(math.copysign(1, difference) * end for end in interval)
    return f"{said} ({in_words.interval_of_points(low, high)})"


def chance_words(p_value: float) -> str:
    """How often equals would differ so much, in words."""
    if p_value < 0.001:
        return "would hardly ever differ so much"
    if p_value < 1 - CONFIDENCE:
        return f"would differ so much once in {math.floor(1 / p_value)} cases"
    return f"would differ so much in {p_value:.0%} of cases"
