"""How well, and how fast, pictures are read.

    python benchmarks/reading.py DIR          # any folder with a labels.tsv: file, digits (lines by '/'), multi 0 or 1
    python benchmarks/reading.py              # pages and digits made from MNIST's test images, non-digits, speed
    python benchmarks/reading.py --only pages --split validation   # what choices are made on
    python benchmarks/reading.py [DIR] --write                     # into RESULTS.md as well

Accuracy of single digits: the whole text must be that digit (`--single` is not given to the reader). Pages: edit
distance between the digits read and the true ones, separators, `?` and line breaks left out, as a share of the true
digits; and the same with each `?` counted as a digit too many.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import results
from PIL import Image

from digitlab.reading.bulk import ReadOptions, read_files
from digitlab.reading.reader import Reader
from digitlab.reading.results import Reading
from digitlab.reading.tables import tables_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "making"))
from aslant import from_the_side, table_of  # type: ignore[import-not-found]
from pages import (  # type: ignore[import-not-found]
    TEST_LETTERS,
    mnist,
    non_digits,
    page_of,
    single_of,
)
from scenes import SCENES, scene_of  # type: ignore[import-not-found]

SURE = 0.9
# Degrees from below and from the side.
ASLANT = ((0, 0), (25, 0), (0, 25), (15, 20), (0, 40))
HEIGHTS = (10, 14, 20, 28, 40, 80, 150, 250, 400)


def main() -> None:
    """Print one line a score; with --json one object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--only", choices=["pages", "singles", "non-digits", "aslant", "scenes", "speed"])
    parser.add_argument("--number", type=int, default=200, help="pages; single digits a height; non-digits; tables")
    parser.add_argument("--verbose", action="store_true", help="name what was misread")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write each score into its section of RESULTS.md")
    options = parser.parse_args()
    scores: dict[str, Any] = {}
    if options.folder:
        scores = {"folder": score_folder(options.folder, options.model, options.verbose)}
    else:
        with _pool(options) as pool:
            parts = {
                "pages": score_pages,
                "singles": score_singles,
                "non-digits": score_non_digits,
                "aslant": score_aslant,
                "scenes": score_scenes,
            }
            for name, score in parts.items():
                if options.only in (None, name):
                    scores[name] = score(pool, options)
        if options.only in (None, "speed"):
            scores["speed"] = score_speed(options.model)
    print(json.dumps(scores, indent=None if options.json else 2, ensure_ascii=False))
    if options.write:
        for name, found in scores.items():
            write(name, found, options.split)


ABOUT_FOLDER = (
    "DIR is a folder of photos, scans and drawings that is not in the repository. Rules for finding digits were made "
    "while looking at it, so the figures say how well the Reader fits it, not what it does on other photos. The first "
    "edit distance leaves out every refused sign, the second counts each as a mistake, also where a word or a drawing "
    "was rightly refused, the third each but those of groups without a digit, as `--skip-words` leaves them out. One "
    "page, a table of words with 33 digits, holds most of the difference."
)
TITLES = {
    "folder": "Reading: real photos, scans and drawings",
    "pages": "Reading: pages made from digits",
    "singles": "Reading: one digit on a page, by its height in pixels",
    "non-digits": "Reading: letters, crosses, scribbles, smileys",
    "aslant": "Reading: tables on a sheet photographed aslant",
    "scenes": "Reading: circles, brackets, holes, folds, slips on a desk",
    "speed": "Reading: speed",
}


def write(name: str, scores: dict[str, Any], split: str) -> None:
    """One section of RESULTS.md: a row a figure, those of a group indented by its name."""
    rows = []
    for key, value in scores.items():
        if isinstance(value, dict):
            rows += [[f"{key.replace('_', ' ')}: {inner}", _figure(key, number)] for inner, number in value.items()]
        else:
            rows.append([key.replace("_", " "), _figure(key, value)])
    of = "" if name in ("folder", "speed") else f" ({split} images)"
    provenance = results.provenance()
    if name == "folder":
        provenance = f"{ABOUT_FOLDER}\n\n{provenance.replace('reading.py', 'reading.py DIR')}"
    results.write_section(
        f"reading-{name}", TITLES[name] + of, f"{results.table(['figure', 'value'], rows)}\n\n{provenance}"
    )


def _figure(key: str, value: float) -> str:
    counts = ("seconds", "glyphs", "megabytes", "cores", "each")
    if isinstance(value, int) or key.startswith(counts) or key.endswith(("seconds", "megabytes")):
        return f"{value:,}"
    return f"{100 * value:.2f} %"


def score_folder(folder: Path, model: Path | None, verbose: bool) -> dict[str, Any]:
    """Read every picture that labels.tsv names."""
    with (folder / "labels.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    count: Counter[str] = Counter()
    sources: dict[str, Counter[str]] = defaultdict(Counter)
    said: list[tuple[float, bool]] = []
    results = read_files([folder / row["file"] for row in rows], ReadOptions(model=model))
    for row, result in zip(rows, results, strict=True):
        reading = result.reading or Reading()
        text, wanted = reading.digits_only, row["digits"].replace("/", "\n")
        digits, truth = (value.replace("\n", "") for value in (text, wanted))
        if row["multi"] == "0":
            count.update(singles=1, right=text == wanted, refused="?" in text)
        else:
            without_words = reading.without_words().digits_only.replace("\n", "")
            found = Counter(
                pages=1,
                digits=len(truth),
                wrong=edit_distance(digits.replace("?", ""), truth),
                strict=edit_distance(digits, truth),
                wordless=edit_distance(without_words, truth),
                whole=digits == truth,
                lines=text.count("\n") == wanted.count("\n"),
            )
            count.update(found)
            sources[row.get("source", "").split(" ")[0]].update(found)
        signs = [sign for sign in reading.digits if not sign.rejected and not sign.separator]
        for sign, right in zip(signs, matched([sign.character for sign in signs], truth), strict=True):
            said.append((sign.confidence, right))
        if verbose and text != wanted:
            print(
                f"{row['file']}: {row['digits']} read as {text.replace(chr(10), '/') or result.error}", file=sys.stderr
            )
    means = [of["strict"] / of["digits"] for of in sources.values() if of["digits"]]
    return {
        "single_digits": count["singles"],
        "single_accuracy": _rounded(count["right"], count["singles"]),
        "single_with_refusals": count["refused"],
        "pages": count["pages"],
        "page_digits": count["digits"],
        "pages_wholly_right": count["whole"],
        "page_edit_distance": _rounded(count["wrong"], count["digits"]),
        "page_edit_distance_counting_refusals": _rounded(count["strict"], count["digits"]),
        "page_edit_distance_counting_refusals_but_not_words": _rounded(count["wordless"], count["digits"]),
        "page_edit_distance_counting_refusals_mean_over_sources": _rounded(sum(means), len(means)),
        "pages_with_right_line_count": count["lines"],
        **honesty(said),
    }


def honesty(said: list[tuple[float, bool]]) -> dict[str, Any]:
    """How often what was said of digits is so: wrong though sure, wrong among the surest, correct by confidence.

    Args:
        said: confidence of each digit that was read, and whether it is the one that was written.
    """
    said = sorted(said, key=lambda one: -one[0])
    sure = [right for confidence, right in said if confidence >= SURE]
    surest = [right for _, right in said[: round(0.9 * len(said))]]
    figures: dict[str, Any] = {
        "wrong_among_digits_at_least_90_percent_sure": _rounded(len(sure) - sum(sure), len(sure)),
        "wrong_among_the_surest_90_percent": _rounded(len(surest) - sum(surest), len(surest)),
        "correct_of_what_is_said": {},
    }
    for low, high in pairwise((0, 0.5, 0.7, 0.9, 0.97, 1.01)):
        within = [(confidence, right) for confidence, right in said if low <= confidence < high]
        if within:
            mean, right = np.mean(within, axis=0)
            words = f"{100 * low:.0f} to {min(100, 100 * high):.0f} %"
            words = f"{words}, {100 * mean:.1f} on the average, of {len(within):,} digits"
            figures["correct_of_what_is_said"][words] = _rounded(right, 1)
    return figures


_here: dict[str, Any] = {}


def _start(model: Path | None, split: str) -> None:
    _here["reader"] = Reader(model, threads=1)
    _here["digits"] = mnist(split)


def _pool(options: argparse.Namespace) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("spawn"), initializer=_start, initargs=(options.model, options.split)
    )


def _read_page(seed: int) -> tuple[str, str, int]:
    page = page_of(*_here["digits"], seed)
    return page.text, _here["reader"].read(page.image).digits_only, seed


def score_pages(pool: ProcessPoolExecutor, options: argparse.Namespace) -> dict[str, Any]:
    """Generated pages of 1 to 40 digits."""
    distance = strict = length = lines = whole = 0
    for truth, text, seed in pool.map(_read_page, range(options.number), chunksize=4):
        digits, wanted = (value.replace("\n", "") for value in (text, truth))
        distance += edit_distance(digits.replace("?", ""), wanted)
        strict += edit_distance(digits, wanted)
        length += len(wanted)
        lines += text.count("\n") == truth.count("\n")
        whole += text == truth
        if options.verbose and text != truth:
            print(f"page {seed}: {truth.split()} read as {text.split()}", file=sys.stderr)
    return {
        "pages": options.number,
        "digits": length,
        "right": 1 - _rounded(distance, length),
        "right_counting_refusals": 1 - _rounded(strict, length),
        "right_number_of_lines": _rounded(lines, options.number),
        "wholly_right_pages": _rounded(whole, options.number),
    }


def _read_single(task: tuple[int, int]) -> bool:
    height, index = task
    images, labels = _here["digits"]
    rng = np.random.default_rng((height, index))
    picked = int(rng.integers(len(images)))
    return bool(_here["reader"].read(single_of(images[picked], height, rng)).text == str(labels[picked]))


def score_singles(pool: ProcessPoolExecutor, options: argparse.Namespace) -> dict[str, Any]:
    """One digit anywhere on a page, by its height in pixels."""
    tasks = [(height, index) for height in HEIGHTS for index in range(5 * options.number)]
    right = list(pool.map(_read_single, tasks, chunksize=50))
    by_height = {
        height: _rounded(sum(ok for (h, _), ok in zip(tasks, right, strict=True) if h == height), 5 * options.number)
        for height in HEIGHTS
    }
    large = [ok for (height, _), ok in zip(tasks, right, strict=True) if height >= 20]
    return {"each": 5 * options.number, "right_at_20_to_400": _rounded(sum(large), len(large)), "by_height": by_height}


def _refused(task: tuple[str, Image.Image]) -> tuple[str, bool]:
    reading = _here["reader"].read(task[1])
    # A sign in several pieces is refused when no piece passes for a digit.
    return task[0], all(digit.rejected for digit in reading.digits)


def score_non_digits(pool: ProcessPoolExecutor, options: argparse.Namespace) -> dict[str, Any]:
    """Letters, crosses, scribbles, smileys: the share marked `?`; and what that costs in real digits."""
    made = non_digits("test", np.random.default_rng(7))
    tasks = [next(made) for _ in range(5 * options.number)]
    results = list(pool.map(_refused, tasks, chunksize=25))
    names = [*TEST_LETTERS, "cross", "scribble", "smiley"]
    reader = Reader(options.model)
    images, labels = mnist("test")
    probabilities, likeness = reader.predict(images), reader.likeness(images)
    refused = (likeness < reader.least_likeness) | (probabilities.max(1) < reader.least_confidence)
    right = probabilities.argmax(1) == labels
    shares = {name: [r for n, r in results if n == name] for name in names}
    return {
        "number": len(results),
        "refused": _rounded(sum(r for _, r in results), len(results)),
        "by_kind": {name: _rounded(sum(part), len(part)) for name, part in shares.items() if part},
        "test_digits_refused": _rounded(int(refused.sum()), len(images)),
        "test_accuracy": _rounded(int(right.sum()), len(images)),
        "test_accuracy_of_the_accepted": _rounded(int((right & ~refused).sum()), int((~refused).sum())),
    }


def _cells(task: tuple[int, tuple[int, int], bool]) -> tuple[int, int, bool]:
    """Of one photographed table: cells read correctly at their place, cells, and whether it was straightened."""
    seed, (tilt, pan), ruled = task
    rng = np.random.default_rng(seed)
    sheet, cells = table_of(*_here["digits"], rng, ruled)
    reading = _here["reader"].read(from_the_side(sheet, tilt, pan, rng))
    rows = tables_of(reading)[0].rows if reading.digits else ()
    correct = sum(
        read == wanted for pair in zip(rows, cells, strict=False) for read, wanted in zip(*pair, strict=False)
    )
    return correct, len(cells) * len(cells[0]), reading.straightened[0]


def score_aslant(pool: ProcessPoolExecutor, options: argparse.Namespace) -> dict[str, Any]:
    """Tables on a sheet photographed from below and from the side: cells whose text and place are correct."""
    scores: dict[str, Any] = {"tables_of_each": options.number}
    for ruled in (True, False):
        for way in ASLANT:
            tasks = [(seed, way, ruled) for seed in range(options.number)]
            found = list(pool.map(_cells, tasks, chunksize=4))
            name = f"{'ruled' if ruled else 'plain'}, {way[0]} degrees from below, {way[1]} from the side"
            correct, cells, straight = (sum(column) for column in zip(*found, strict=True))
            scores[name] = {"cells": _rounded(correct, cells), "straightened": _rounded(straight, options.number)}
    return scores


def _scene(task: tuple[str, int]) -> tuple[int, int, bool]:
    """Of one scene: edit distance, a refused sign counting as one, digits, and whether all of it is right."""
    page = scene_of(task[0], *_here["digits"], task[1])
    wanted = "".join(page.lines).replace(" ", "")
    signs = [sign for sign in _here["reader"].read(page.image).digits if not sign.separator]
    wrong = edit_distance("".join(sign.character for sign in signs), wanted)
    return wrong, len(wanted), wrong == 0


def score_scenes(pool: ProcessPoolExecutor, options: argparse.Namespace) -> dict[str, Any]:
    """Digits wrong, missed, invented or refused among those written, kind by kind; separators left out."""
    scores: dict[str, Any] = {"pages_of_each": options.number}
    for kind in SCENES:
        found = list(pool.map(_scene, [(kind, seed) for seed in range(options.number)], chunksize=4))
        wrong, digits, whole = (sum(column) for column in zip(*found, strict=True))
        scores[kind] = {"wrong": _rounded(wrong, digits), "pages wholly right": _rounded(whole, options.number)}
    return scores


def score_speed(model: Path | None) -> dict[str, Any]:
    """Cold start (median of 15), glyphs a second, a 12-megapixel page (medians of five)."""
    # First, and more often: a start is short, and a machine shared with others is slower for seconds at a time.
    colds = [_cold_start(model) for _ in range(15)]
    reader = Reader(model)
    images = mnist("test")[0]
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        reader.predict(images)
        rates.append(len(images) / (time.perf_counter() - start))
    page = large_page()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        reader.read(page)
        seconds.append(time.perf_counter() - start)
    return {
        "glyphs_per_second": round(statistics.median(rates)),
        "twelve_megapixel_seconds": round(statistics.median(seconds), 3),
        "cold_start_seconds": round(statistics.median(cold[0] for cold in colds), 3),
        "cold_start_megabytes": round(statistics.median(cold[1] for cold in colds)),
        "cores": os.cpu_count(),
    }


def large_page() -> Path:
    """A 4000 x 3000 JPEG of 60 digits on shaded, grainy paper, in a temporary file."""
    import tempfile

    images, _ = mnist("test")
    rng = np.random.default_rng(0)
    page = np.full((3000, 4000), 225.0, np.float32)
    for row in range(6):
        for column in range(10):
            digit = Image.fromarray(images[rng.integers(len(images))]).resize((250, 250), Image.Resampling.BICUBIC)
            page[200 + 450 * row : 450 + 450 * row, 150 + 370 * column : 400 + 370 * column] -= (
                np.asarray(digit, np.float32) * 0.75
            )
    shaded = page * np.linspace(1, 0.7, 4000, dtype=np.float32) + rng.normal(0, 4, page.shape)
    file = Path(tempfile.mkdtemp()) / "page.jpg"
    Image.fromarray(shaded.clip(0, 255).astype(np.uint8)).convert("RGB").save(file, quality=88)
    return file


def _cold_start(model: Path | None) -> tuple[float, float]:
    """Seconds and peak megabytes of `digitlab read one.png` in a fresh process."""
    import tempfile

    file = Path(tempfile.mkdtemp()) / "one.png"
    single_of(mnist("test")[0][0], 100, np.random.default_rng(0)).save(file)
    command = [str(Path(sys.executable).with_name("digitlab")), "read", str(file)]
    command += ["--model", str(model)] if model else []
    # A child's peak memory begins with that of the process it was forked from, so a small one stands between.
    code = (
        "import os, resource, sys, time; start = time.perf_counter(); "
        "status = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:]); seconds = time.perf_counter() - start; "
        "print(status, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code, *command], capture_output=True, text=True, check=True)
    status, seconds, megabytes = (float(word) for word in done.stdout.split()[-3:])
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status:.0f}: {done.stderr}")
    return seconds, megabytes


def matched(read: Sequence[str], truth: str) -> list[bool]:
    """Which of the signs read stand in the truth as well, by a shortest edit."""
    table = np.zeros((len(read) + 1, len(truth) + 1), int)
    table[:, 0], table[0] = np.arange(len(read) + 1), np.arange(len(truth) + 1)
    for i, got in enumerate(read, 1):
        for j, wanted in enumerate(truth, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (got != wanted))
    right = [False] * len(read)
    i, j = len(read), len(truth)
    while i and j:
        if table[i, j] == table[i - 1, j - 1] + (read[i - 1] != truth[j - 1]):
            i, j = i - 1, j - 1
            right[i] = read[i] == truth[j]
        elif table[i, j] == table[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return right


def edit_distance(read: str, truth: str) -> int:
    """Levenshtein: insertions, deletions and substitutions."""
    row = list(range(len(truth) + 1))
    for i, got in enumerate(read, 1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(truth, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (got != wanted))
    return row[-1]


def _rounded(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


if __name__ == "__main__":
    main()
