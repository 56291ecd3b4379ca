"""What the files of a run must look like: every key's kind, bounds and sizes, checked before anything uses them.

A run may come from anywhere. Whatever stands in its files, reading them either gives values of these kinds or raises
one line that says where the first wrong one is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from digitlab.files import UNPRINTABLE, read_bytes
from digitlab.runs.states import STATES

# Raises ValueError for a value that is wrong, with where it is.
Check = Callable[[Any, str], None]

# Bytes that a file of a run may have; a run of a million test images stays below them.
MAX_JSON, MAX_CSV, MAX_ARRAYS = 64 << 20, 16 << 20, 1 << 30


def text(most: int = 1000, *, least: int = 0) -> Check:
    """Text of bounded length without control characters."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str):
            raise ValueError(f"{where}: {_shown(value)}, expected text")
        if not least <= len(value) <= most:
            raise ValueError(f"{where}: {len(value)} letters, expected {least} to {most}")
        if UNPRINTABLE.search(value):
            raise ValueError(f"{where}: {ascii(value)[:60]}, expected text without control characters")

    return check


def one_of(*choices: str) -> Check:
    """One of some words."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{where}: {_shown(value)}, expected one of {', '.join(choices)}")

    return check


def whole(low: int, high: int = 10**12) -> Check:
    """A whole number within bounds."""

    def check(value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{where}: {_shown(value)}, expected a whole number from {low:,} to {high:,}")

    return check


def number(low: float = -1e30, high: float = 1e30) -> Check:
    """A finite number within bounds."""

    def check(value: Any, where: str) -> None:
        # Before `isfinite`, which cannot take a whole number of 400 digits.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{where}: {_shown(value)}, expected a number from {low:g} to {high:g}")

    return check


def maybe(check: Check) -> Check:
    """Null, or what a check wants."""
    return lambda value, where: None if value is None else check(value, where)


def each(check: Check, most: int, *, least: int = 0) -> Check:
    """A list of bounded length, each entry checked."""

    def checked(value: Any, where: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            size = f"{len(value)} entries" if isinstance(value, list) else _shown(value)
            raise ValueError(f"{where}: {size}, expected a list of {least} to {most:,}")
        for index, entry in enumerate(value):
            check(entry, f"{where}[{index}]")

    return checked


def table(check: Check, most: int) -> Check:
    """An object with any keys, as many as `most`."""
    name = text(100, least=1)

    def checked(value: Any, where: str) -> None:
        _an_object(value, where)
        if len(value) > most:
            raise ValueError(f"{where}: {len(value):,} keys, expected at most {most}")
        for key, entry in value.items():
            name(key, f"{where}: a key")
            check(entry, f"{where}.{key}")

    return checked


def keys(needed: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these keys; others are passed over, so that a newer digitlab may add some."""
    known = {**needed, **(optional or {})}

    def checked(value: Any, where: str) -> None:
        _an_object(value, where)
        for key in needed:
            if key not in value:
                raise ValueError(f"{_join(where, key)}: not there")
        for key, entry in value.items():
            if key in known:
                known[key](entry, _join(where, key))
            else:
                any_text(key, f"{where}: a key")

    return checked


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _an_object(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'the file'}: {_shown(value)}, expected an object")


def _shown(value: Any) -> str:
    """A wrong value in a few printable letters."""
    if isinstance(value, dict | list):
        return f"a{'n object' if isinstance(value, dict) else ' list'} of {len(value):,}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    return UNPRINTABLE.sub("?", str(ascii(value) if isinstance(value, str) else value))[:40]


any_text = text(1000)
_share = number(0, 1)
_seconds = number(0, 1e10)
_counts = whole(0, 10**9)
_name = text(100, least=1)

RECIPE = keys({"name": _name, "epochs": whole(1, 100_000)}, {"description": any_text, "network": text(4096)})

RUN = keys(
    {
        "format": whole(1),
        "state": one_of(*STATES),
        "created": text(100),
        "recipe": RECIPE,
        "seed": whole(0, 2**64),
        "engine": one_of("auto", "compiled", "fit"),
        "data": keys(
            {
                "name": text(300),
                "source": maybe(text(4096)),
                "sha256": text(64, least=64),
                "test_sha256": text(64, least=64),
                "classes": each(text(100), 1000, least=2),
                "counts": keys(dict.fromkeys(("train", "validation", "test"), _counts)),
            }
        ),
        "own_model": maybe(keys({"file": text(4096, least=1), "sha256": text(64, least=64)})),
        "parameters": whole(0, 10**13),
        "layers": each(
            keys(
                {"name": text(300), "type": text(300), "parameters": whole(0, 10**13)},
                {"output_shape": each(maybe(whole(0, 10**9)), 20), "activation": maybe(text(300))},
            ),
            10_000,
        ),
        "versions": table(text(100), 100),
        "machine": keys({"system": text(200), "processor": text(300), "cores": whole(1, 100_000)}),
    },
    {
        "name": text(200),
        "group": maybe(text(100)),
        "onnx": text(2000),
        "seconds": table(_seconds, 50),
    },
)

_RELIABILITY = keys(
    {name: each(maybe(number(0, 1e12)), 1001) for name in ("edges", "counts", "confidence", "accuracy")}
)
_BY_CLASS = each(maybe(_share), 1000)
_INDICES = each(whole(0, 10**9), 10**7)

METRICS = keys(
    {
        "format": whole(1, 1),
        "test": keys(
            {
                "samples": whole(1, 10**9),
                "correct": _counts,
                "accuracy": _share,
                "accuracy_interval": each(_share, 2, least=2),
                "log_loss": number(0, 1e6),
                "brier_score": number(0, 2),
                "calibration_error": _share,
                "temperature": maybe(number(1e-6, 1e6)),
                "calibrated_log_loss": maybe(number(0, 1e6)),
                "calibrated_brier_score": maybe(number(0, 2)),
                "calibrated_calibration_error": maybe(_share),
                "confusion": each(each(_counts, 1000), 1000),
                "precision": _BY_CLASS,
                "recall": _BY_CLASS,
                "f1": _BY_CLASS,
                "support": each(_counts, 1000),
                "confusions": each(keys(dict.fromkeys(("true", "predicted", "count", "support"), _counts)), 10**6),
                "mistakes": _INDICES,
                "doubtful": _INDICES,
                "doubtful_mistakes": _INDICES,
                "reliability": _RELIABILITY,
                "calibrated_reliability": maybe(_RELIABILITY),
                "coverage": keys({"coverage": each(_share, 10_000), "error_rate": each(_share, 10_000)}),
            }
        ),
    }
)


def metrics(values: Any, where: str) -> None:
    """As `METRICS`, and what must be as many as there are classes or images is."""
    METRICS(values, where)
    test = values["test"]
    classes, samples = len(test["support"]), test["samples"]
    for name in ("confusion", "precision", "recall", "f1"):
        if len(test[name]) != classes:
            raise ValueError(f"test.{name}: {len(test[name])} entries, expected {classes}, one per class")
    if any(len(row) != classes for row in test["confusion"]) or sum(test["support"]) != samples:
        raise ValueError(f"test.confusion, test.support: expected {classes} x {classes} counts of {samples:,} images")
    for name in ("mistakes", "doubtful", "doubtful_mistakes"):
        if any(index >= samples for index in test[name]):
            raise ValueError(f"test.{name}: an index beyond {samples:,}")
    if any(row["true"] >= classes or row["predicted"] >= classes for row in test["confusions"]):
        raise ValueError(f"test.confusions: a class beyond {classes}")
    for name in ("reliability", "calibrated_reliability"):
        bins = test[name]
        if bins and {len(bins["edges"]) - 1} != {len(bins[part]) for part in ("counts", "confidence", "accuracy")}:
            raise ValueError(f"test.{name}: parts of different length")
    if len(test["coverage"]["coverage"]) != len(test["coverage"]["error_rate"]):
        raise ValueError("test.coverage: parts of different length")


CORRUPTIONS = keys(
    {
        "format": whole(1, 1),
        "test": keys(
            {
                "samples": whole(1, 10**9),
                "seed": whole(0, 2**64),
                "untouched": _share,
                "accuracies": table(each(_share, 100, least=1), 1000),
            }
        ),
    }
)


def read_json(file: Path, check: Check) -> Any:
    """The content of a JSON file, checked.

    Raises:
        FileNotFoundError: not there.
        ValueError: what is wrong with it, in a few words.
        OSError: it cannot be read.
    """
    content = read_bytes(file, MAX_JSON)
    try:
        values = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg}, line {error.lineno}") from None
    check(values, "")
    return values


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} in it, expected numbers")


def read_history(file: Path) -> dict[str, list[float]]:
    """The columns of a `history.csv`.

    Raises:
        FileNotFoundError: not there.
        ValueError: what is wrong with it.
        OSError: it cannot be read.
    """
    import csv

    content = read_bytes(file, MAX_CSV)
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    try:
        header, *rows = csv.reader(lines, strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from None
    except ValueError:
        raise ValueError("empty") from None
    wanted = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
    if tuple(header[: len(wanted)]) != wanted:
        raise ValueError(f"columns {_shown(', '.join(header))}, expected {', '.join(wanted)}")
    for index, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise ValueError(f"row {index} has {len(row)} cells, expected {len(header)}")
    columns: dict[str, list[float]] = {}
    for name, cells in zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True):
        columns[name] = [_cell(cell, name, index) for index, cell in enumerate(cells, 1)]
    if columns["epoch"] != [float(index) for index in range(1, len(rows) + 1)]:
        raise ValueError("epochs are not counted 1, 2, 3 …")
    return columns


def _cell(cell: str, name: str, row: int) -> float:
    try:
        value = float(cell) if cell else math.nan
    except ValueError:
        value = math.inf
    # Long training rows of losses beyond a float are written as inf by nobody: training stops at the first.
    if math.isinf(value) or (math.isnan(value) and cell.strip()):
        raise ValueError(f"row {row}, {name}: {_shown(cell)}, expected a number")
    return value


def check_predictions(arrays: Mapping[str, Any]) -> None:
    """Check names, types and shapes of the arrays of a `predictions.npz`.

    Raises:
        ValueError: what is wrong.
    """
    import numpy as np

    for part in ("test", "validation"):
        names = (f"{part}_probabilities", f"{part}_labels")
        for name in names:
            if name not in arrays:
                raise ValueError(f"{name}: not there")
        probabilities, labels = (arrays[name] for name in names)
        if probabilities.dtype != np.float32 or probabilities.ndim != 2 or probabilities.shape[1] < 2:
            raise ValueError(f"{names[0]}: {probabilities.dtype} {probabilities.shape}, expected float32 (n, classes)")
        if labels.dtype.kind not in "iu" or labels.shape != probabilities.shape[:1]:
            raise ValueError(f"{names[1]}: {labels.dtype} {labels.shape}, expected integers ({len(probabilities)},)")
        if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= probabilities.shape[1]):
            raise ValueError(f"{names[1]}: up to {labels.max()}, expected below {probabilities.shape[1]}")
        if not np.isfinite(probabilities).all() or np.abs(probabilities.sum(1) - 1).max(initial=0) > 1e-3:
            raise ValueError(f"{names[0]}: rows that are no probabilities")
    if not len(arrays["test_labels"]):
        raise ValueError("test_labels: none")
    if arrays["test_probabilities"].shape[1] != arrays["validation_probabilities"].shape[1]:
        raise ValueError("validation_probabilities: other classes than the test's")
