"""Times and intervals as people read them: said one way in terminal, report, notebook and tables."""

from __future__ import annotations

from collections.abc import Sequence


def duration(seconds: float) -> str:
    """A time as a person would say it: two digits, or two units.

    Example:
        >>> duration(0.25), duration(7.31), duration(42.3), duration(95), duration(3700)
        ('0.25 s', '7.3 s', '42 s', '1 min 35 s', '1 h 1 min')
    """
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def percents(ends: Sequence[float], decimals: int = 2) -> str:
    """Both ends of a range of shares as percentages; above 100 % there is none, whatever a t interval says.

    Example:
        >>> percents((0.9771, 0.9826)), percents((0.99, 1.002), decimals=1)
        ('97.71 to 98.26 %', '99.0 to 100.0 %')
    """
    low, high = (100 * min(1.0, max(0.0, end)) for end in ends)
    return f"{low:.{decimals}f} to {high:.{decimals}f} %"


def interval(ends: Sequence[float], decimals: int = 2, of: str = "") -> str:
    """The 95 % interval of what is written before it, a share.

    Args:
        ends: lower and upper, 0 to 1.
        decimals: of the percentages.
        of: what it is an interval of, where that is not what is written before it.

    Example:
        >>> interval((0.9771, 0.9826))
        '95 % interval 97.71 to 98.26 %'
        >>> interval((0.97, 0.98), of="the mean")
        '95 % interval of the mean 97.00 to 98.00 %'
    """
    return f"95 % interval {f'of {of} ' if of else ''}{percents(ends, decimals)}"


def interval_of_points(low: float, high: float) -> str:
    """The 95 % interval of a difference, in percentage points.

    Example:
        >>> interval_of_points(-0.12, 0.4), interval_of_points(0.031, 0.4)
        ('95 % interval -0.12 to 0.40', '95 % interval 0.031 to 0.400')
    """
    return f"95 % interval {points(low, high)}"


def points(low: float, high: float) -> str:
    """Both ends of a range of percentage points.

    Example:
        >>> points(-0.12, 0.4)
        '-0.12 to 0.40'
    """
    # Two digits are one image of 10,000; a third where an end would read as 0.00.
    digits = 2 if min(abs(low), abs(high)) >= 0.05 else 3
    return f"{low:.{digits}f} to {high:.{digits}f}"
