"""Numbers and findings in words that need no glossary."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from digitlab import in_words

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
NBSP = "\N{NO-BREAK SPACE}"  # keeps "98.2 %" on one line
# By hand: strftime would follow the machine's locale in a page that says lang="en".
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

if TYPE_CHECKING:
    from markupsafe import Markup

    from digitlab.judging.metrics import Evaluation
    from digitlab.showing.report_content import ReportContent


def percent(share: float, decimals: int = 1) -> str:
    """Write a share as a percentage; a dash where there is none.

    Example:
        >>> [percent(share, 2).replace(NBSP, " ") for share in (0.9818, 1)], percent(float("nan")) == DASH
        (['98.18 %', '100.00 %'], True)
    """
    return f"{100 * share:.{decimals}f}{NBSP}%" if math.isfinite(share) else DASH


def confident(share: float) -> str:
    """Write a confidence; never rounds up to 100 %.

    Example:
        >>> [confident(share).replace(NBSP, " ") for share in (0.51, 0.9962, 0.99999, 1.0)]
        ['51 %', '99.6 %', '> 99.9 %', '> 99.9 %']
    """
    if share > 0.999:
        return f">{NBSP}99.9{NBSP}%"
    return f"{math.floor(1000 * share) / 10:.1f}{NBSP}%" if share >= 0.99 else f"{100 * share:.0f}{NBSP}%"


def percents(ends: Sequence[float], decimals: int = 2) -> str:
    """Write both ends of a range of shares; the sign never stands alone on a line."""
    return in_words.percents(ends, decimals).replace(" %", f"{NBSP}%")


def interval(ends: Sequence[float], decimals: int = 2, of: str = "") -> str:
    """Write the 95 % interval of a share; the sign never stands alone on a line."""
    return in_words.interval(ends, decimals, of).replace(" %", f"{NBSP}%")


def number(value: object) -> str:
    """Write a value of a recipe or a machine: thousands apart, no long tails, lists joined.

    Example:
        >>> number(101770), number(0.002), number([128, 64]), number(True), number("adam")
        ('101,770', '0.002', '128, 64', 'yes', 'adam')
    """
    if value is None or value == () or value == []:
        return DASH
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(number(part) for part in value)
    return str(value)


def moment(created: str) -> str:
    """Write an ISO 8601 time for reading; what is not one stays as it is.

    Example:
        >>> moment("2025-11-02T09:05:00+00:00"), moment("yesterday")
        ('2 November 2025, 09:05 UTC', 'yesterday')
    """
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = f" {when.tzname()}" if when.tzinfo else ""
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}, {when:%H:%M}{zone}"


def sentence(text: str) -> str:
    """Write a description as a sentence.

    Example:
        >>> sentence("three convolutions"), sentence("784-10."), sentence("")
        ('Three convolutions.', '784-10.', '')
    """
    text = text.strip()
    return text[:1].upper() + text[1:] + ("." if text and text[-1] not in ".!?" else "")


def breakable(text: object) -> Markup:
    """Let a long name of a program break where a person would: after an underscore, before an inner capital.

    Args:
        text: Not yet escaped; it is escaped here.

    Returns:
        HTML with places to break.

    Example:
        >>> str(breakable("MaxPooling2D")), str(breakable("a_b<"))
        ('Max<wbr>Pooling2D', 'a_<wbr>b&lt;')
    """
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=_)(?=\w)|(?<=[a-z])(?=[A-Z])", str(text))
    return Markup("<wbr>").join(escape(part) for part in parts)


def calibrated(evaluation: Evaluation) -> str:
    """Say what temperature scaling did, without calling it an improvement where it was none.

    Args:
        evaluation: With a temperature.

    Returns:
        One sentence.
    """
    e = evaluation
    if e.temperature is None or e.calibrated_log_loss is None or e.calibrated_calibration_error is None:
        error = percent(e.calibration_error, 2)
        return f"The calibration error is {error}. Without validation images it was not calibrated."
    errors = f"{percent(e.calibration_error, 2)} to {percent(e.calibrated_calibration_error, 2)}"
    losses = f"{e.log_loss:.4f} to {e.calibrated_log_loss:.4f}"
    lead = f"A single number, the temperature {e.temperature:.2f}, fitted on validation images,"
    if e.calibrated_log_loss < 0.99 * e.log_loss:
        return f"{lead} brings the calibration error from {errors} and the log loss from {losses}."
    return (
        f"{lead} changes little here (calibration error {errors}, log loss {losses}): the network is about as sure as "
        f"it should be."
    )


def refused(evaluation: Evaluation, share: float) -> float:
    """Tell the error rate among the answered when the least certain `share` is refused.

    Args:
        evaluation: Holds the risk-coverage curve.
        share: Refused, 0 to below 1.

    Returns:
        Errors among the answered, 0 to 1.

    Example:
        >>> from digitlab.judging.metrics import evaluate
        >>> refused(evaluate([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]], [0, 0, 0, 0]), 0.25)
        0.0
    """
    return float(np.interp(1 - share, evaluation.coverage.coverage, evaluation.coverage.error_rate))


def findings(content: ReportContent) -> list[str]:
    """Say in a few sentences what the network gets wrong; each is true of these numbers or left out.

    Args:
        content: Of the report.

    Returns:
        Two to five plain sentences, not yet escaped.
    """
    e, names = content.evaluation, content.class_names
    errors = e.samples - e.correct
    said = []
    if not errors:
        return ["It read every test image as its label says. Harder images would be needed to find its limits."]
    top = e.confusions[0]
    said.append(
        f"Most often it reads {names[top.true]} as {names[top.predicted]}: {top.count:,} of the {top.support:,} "
        f"images of {names[top.true]}."
    )
    seen = np.flatnonzero(e.support)
    hardest, easiest = seen[np.argmin(e.recall[seen])], seen[np.argmax(e.recall[seen])]
    if hardest != easiest:
        said.append(
            f"The hardest class is {names[hardest]}, {percent(1 - e.recall[hardest])} of which it misreads; the "
            f"easiest is {names[easiest]}, {percent(1 - e.recall[easiest])}."
        )
    sure = content.probabilities.max(axis=1) >= 0.99
    if sure.any():
        wrong = int((sure & (content.probabilities.argmax(axis=1) != content.labels)).sum())
        said.append(
            f"It is at least 99 % sure of {percent(float(sure.mean()))} of the images, and wrong about "
            f"{wrong:,} of those {int(sure.sum()):,}."
        )
    if e.doubtful_mistakes:
        count, one = len(e.doubtful_mistakes), len(e.doubtful_mistakes) == 1
        said.append(
            f"{count:,} of its {errors:,} mistakes {'is' if one else 'are'} on {'an image' if one else 'images'} "
            f"whose official label people doubt (marked †); the official label counts all the same."
        )
    return said
