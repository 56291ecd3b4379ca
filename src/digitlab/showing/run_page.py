"""Fill the template: `ReportContent` in, one self-contained HTML page out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.showing import picture_sheets, svg_charts, wording
from digitlab.showing.html import fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from digitlab.showing.report_content import ReportContent

TOP_CONFUSIONS = 6
MOST_UNITS = 64  # of the first layer; more would be a wallpaper
# What makes training images harder to read than validation images, by field of the recipe.
HARDER = (
    *((field, "images changed at random") for field in ("shift", "rotate", "scale", "shear", "elastic", "thickness")),
    ("dropout", "units silenced by dropout"),
)
DENSE = 10  # up to so many classes each image carries all its probabilities, above that the ten largest


def render(content: ReportContent) -> str:
    """Write a run's report as one HTML page that needs nothing but a browser.

    No request leaves the page: images, style and script are inside, and its own Content-Security-Policy forbids the
    rest. Everything in `content` is escaped. The page keeps under 3 MB however many mistakes there are.

    Args:
        content: What to show.

    Returns:
        The page, UTF-8 text; write it with `encoding="utf-8"`.

    Example:
        See `tests/test_report.py`, which renders one and opens it in a browser.
    """
    from markupsafe import Markup

    chosen, sheet = picture_sheets.fitting(content)
    return fill(
        "page.html",
        styles=("style.css",),
        scripts=("script.js", "charts.js"),
        c=content,
        e=content.evaluation,
        # Only files of this package pass unescaped, and base64 made here.
        sheet_url=Markup(picture_sheets.data_url(sheet)),  # noqa: S704
        sheet_columns=picture_sheets.COLUMNS,
        sheet_rows=max(1, -(-len(chosen.shown) // picture_sheets.COLUMNS)),
        outcomes=picture_sheets.data_url(
            picture_sheets.outcome_map(content.probabilities.argmax(axis=1) == content.labels)
        ),
        payload=payload(content, chosen),
        tiles=tiles(content, chosen),
        chosen=chosen,
        findings=wording.findings(content),
        frequent=frequent(content, chosen),
        matrix=matrix(content),
        worst=worst(content),
        training=svg_charts.training_charts(content),
        calibration=wording.calibrated(content.evaluation),
        reliability=svg_charts.reliability_charts(content),
        coverage=svg_charts.coverage_chart(content),
        refusals=[(share, wording.refused(content.evaluation, share)) for share in (0.01, 0.02, 0.05)],
        robust=robust(content, chosen),
        layers=funnel(content.layers),
        weights=first_layer(content),
        stages=stages(content.seconds),
        harder=[said for field, said in HARDER if content.recipe.get(field)],
        decimals=2 if content.evaluation.samples >= 5000 else 1,
    )


def payload(content: ReportContent, chosen: picture_sheets.Selection) -> dict[str, Any]:
    """Gather what the script needs: columns of numbers, one entry for each image on the sheet.

    Args:
        content: Of the report.
        chosen: The images.

    Returns:
        Plain values for JSON. Probabilities are whole ten-thousandths; with more than ten classes only the ten largest,
        as class, probability, class, probability, …
    """
    shown = chosen.shown
    probabilities = content.probabilities[shown]
    scaled = np.rint(probabilities * 10_000).astype(int)
    dense = len(content.class_names) <= DENSE
    if dense:
        listed = scaled.tolist()
    else:
        top = np.argsort(-probabilities, axis=1, kind="stable")[:, :DENSE]
        pairs = np.stack([top, np.take_along_axis(scaled, top, axis=1)], axis=2)
        listed = pairs.reshape(len(shown), 2 * DENSE).tolist()
    place = {int(index): position for position, index in enumerate(shown)}
    return {
        "names": [str(name) for name in content.class_names],
        "confusion": content.evaluation.confusion.tolist(),
        "dense": dense,
        "columns": picture_sheets.COLUMNS,
        "mistakes": chosen.mistakes,
        "errors": content.evaluation.samples - content.evaluation.correct,
        "index": shown.tolist(),
        "label": content.labels[shown].tolist(),
        "read": probabilities.argmax(axis=1).tolist(),
        # In billionths: the order among those that all read "> 99.9 %" must not be lost.
        "sure": np.floor(probabilities.max(axis=1).astype(np.float64) * 1e9).astype(int).tolist(),
        "probabilities": listed,
        "doubtful": [place[index] for index in content.evaluation.doubtful if index in place],
        "least": list(chosen.least),
        "hardest": [place[int(index)] for index in chosen.hardest],
    }


def tiles(content: ReportContent, chosen: picture_sheets.Selection) -> dict[int, dict[str, Any]]:
    """Say for every image on the sheet where it lies and what it is, for the parts written without the script."""
    found = {}
    doubtful = set(content.evaluation.doubtful)
    for place, index in enumerate(chosen.shown.tolist()):
        row = content.probabilities[index]
        label, read = int(content.labels[index]), int(row.argmax())
        sure = wording.confident(float(row.max()))
        mark = "; people doubt the official label" if index in doubtful else ""
        found[index] = {
            "column": place % picture_sheets.COLUMNS,
            "row": place // picture_sheets.COLUMNS,
            "wrong": label != read,
            "sure": sure,
            "words": f"Test image {index}: {content.class_names[label]} read as {content.class_names[read]}, "
            f"{sure} sure{mark}",
        }
    return found


def frequent(content: ReportContent, chosen: picture_sheets.Selection) -> list[dict[str, Any]]:
    """Find the most frequent confusions, each with its most confident images."""
    labels = content.labels[chosen.shown[: chosen.mistakes]]
    read = content.probabilities[chosen.shown[: chosen.mistakes]].argmax(axis=1)
    found = []
    for one in content.evaluation.confusions[:TOP_CONFUSIONS]:
        places = np.flatnonzero((labels == one.true) & (read == one.predicted))[:8]
        found.append(
            {
                "true": content.class_names[one.true],
                "read": content.class_names[one.predicted],
                "count": one.count,
                "support": one.support,
                "pictures": chosen.shown[places].tolist(),
            }
        )
    return found


def matrix(content: ReportContent) -> list[list[dict[str, Any]]]:
    """Prepare the cells of the confusion matrix: count, share of the row, and depth of colour from 0 to 1.

    The colours belong to the mistakes, on a square-root scale, so that a single one can be seen beside a cell of a
    dozen; the diagonal has its own.
    """
    confusion = content.evaluation.confusion
    off = confusion[~np.eye(len(confusion), dtype=bool)]
    most = max(1, int(off.max(initial=0)))
    names, support = content.class_names, confusion.sum(axis=1)
    return [
        [
            {
                "count": int(count),
                "depth": round(math.sqrt(count / most), 3) if true != read else 0,
                "kind": "hit" if true == read else "miss" if count else "none",
                "label": f"{names[true]} read as {names[read]}: {int(count):,} of {int(support[true]):,}",
            }
            for read, count in enumerate(row)
        ]
        for true, row in enumerate(confusion)
    ]


def worst(content: ReportContent) -> list[str]:
    """Say for each class what its images are most often mistaken for."""
    said = []
    for true, row in enumerate(content.evaluation.confusion):
        others = row.copy()
        others[true] = 0
        read = int(others.argmax())
        said.append(
            f"{content.class_names[read]} ({int(others[read]):,}{wording.NBSP}{wording.TIMES})"
            if others[read]
            else wording.DASH
        )
    return said


def funnel(layers: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Prepare the image of the architecture: how wide each layer's output is, on a logarithmic scale."""
    sizes = [shape_size(layer.get("output_shape")) for layer in layers]
    widest = math.log(max([size for size in sizes if size] or [2]) + 1)
    drawn, before = [], None
    for layer, size in zip(layers, sizes, strict=True):
        width = round(100 * max(0.06, math.log((size or 1) + 1) / widest), 1)
        drawn.append(
            {
                "name": str(layer.get("name") or layer.get("type") or ""),
                "type": str(layer.get("type") or ""),
                "activation": str(layer.get("activation") or ""),
                "shape": shape_words(layer.get("output_shape")),
                "parameters": layer.get("parameters") or 0,
                "width": width,
                "above": before if before is not None else width,
            }
        )
        before = width
    return drawn


def shape_size(shape: object) -> int | None:
    """Count the values in a layer's output, without the batch.

    Example:
        >>> shape_size((None, 28, 28)), shape_size("?")
        (784, None)
    """
    if not isinstance(shape, tuple | list):
        return None
    return math.prod(int(part) for part in shape if part is not None)


def shape_words(shape: object) -> str:
    """Write a layer's output shape without the batch.

    Example:
        >>> shape_words([None, 28, 28]).replace(wording.TIMES, "x"), shape_words("(None, 10)")
        ('28 x 28', '(None, 10)')
    """
    if isinstance(shape, tuple | list):
        return f" {wording.TIMES} ".join(f"{part:,}" for part in shape if part is not None)
    return "" if shape is None else str(shape)


def robust(content: ReportContent, chosen: picture_sheets.Selection) -> dict[str, Any] | None:
    """Prepare the part on images made worse: for each kind its words, mean, chart, and one image suffering it."""
    from digitlab.judging.corruptions import CORRUPTIONS

    drawn = svg_charts.corruption_charts(content)
    if not drawn:
        return None
    # The same image throughout, so that the kinds can be compared: a typical one of a class in the middle.
    typical = next(int(index) for index in (*chosen.typical[len(chosen.typical) // 2], *chosen.shown, 0))
    kinds: list[dict[str, Any]] = [
        {
            "name": kind,
            "mean": mean,
            "chart": chart,
            "words": CORRUPTIONS[kind].words if kind in CORRUPTIONS else "",
            "strip": picture_sheets.data_url(picture_sheets.worse_strip(content.images[typical], kind, len(values)))
            if kind in CORRUPTIONS and len(values) <= len(CORRUPTIONS[kind].strengths)
            else "",
        }
        for (kind, mean, chart), values in zip(drawn, (content.corruptions or {}).values(), strict=True)
    ]
    by_mean = sorted(kinds, key=lambda one: one["mean"])
    return {
        "kinds": kinds,
        "mean": float(np.mean([mean for _, mean, _ in drawn])),
        "picture": typical,
        "label": content.class_names[int(content.labels[typical])],
        "worst": by_mean[: min(3, len(by_mean) - 1)],
        "best": by_mean[-1],
    }


def first_layer(content: ReportContent) -> dict[str, Any] | None:
    """Prepare the images of the first layer's weights, the units with the largest weights first."""
    weights = content.first_weights
    if weights is None or not weights.size:
        return None
    units = weights.shape[2]
    k = len(content.class_names)
    only_layer = units == k and sum(bool(layer.get("parameters")) for layer in content.layers) == 1
    order = np.arange(units)
    if units > MOST_UNITS:
        order = np.argsort(-np.square(weights).sum(axis=(0, 1)), kind="stable")[:MOST_UNITS]
    columns = min(16, len(order))
    whole = weights.shape[:2] == content.images.shape[1:]
    return {
        "whole": whole,
        # As many screen pixels for one weight: a small window of a convolution would else be a speck.
        "scale": 28 / max(weights.shape[:2]) if whole else max(1, round(24 / max(weights.shape[:2]))),
        "url": picture_sheets.data_url(picture_sheets.weight_sheet(weights, order, columns)),
        "columns": columns,
        "rows": -(-len(order) // columns),
        "height": weights.shape[0],
        "width": weights.shape[1],
        "units": units,
        "shown": [
            {
                "column": place % columns,
                "row": place // columns,
                "name": str(content.class_names[unit]) if only_layer else "",
                "words": f"Weights of {content.class_names[unit] if only_layer else f'unit {unit}'}",
            }
            for place, unit in enumerate(order.tolist())
        ],
    }


def stages(seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Prepare the stages of the run with their share of the total time."""
    total = float(seconds.get("total", 0)) or sum(seconds.values()) or 1.0
    return [
        {"name": name, "seconds": float(value), "share": round(100 * min(1.0, float(value) / total), 1)}
        for name, value in seconds.items()
        if name != "total"
    ]
