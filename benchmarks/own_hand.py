"""How well a network learns a hand from one sheet: handwriting fonts as writers that it never saw.

    npm install $(sed 's|^|@fontsource/|' benchmarks/writers.txt)
    python benchmarks/own_hand.py --fonts node_modules/@fontsource

For each font: a sheet of 120 digits, each bent, turned and drawn with another pen, is taught to the Reader's network as
`digitlab train --from reader` does it, with 24 of them held back; then 400 other digits of the same hand and MNIST's
test images are read before and after.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from digitlab.collecting import Collection
from digitlab.collecting.collection import Labelled
from digitlab.collecting.teaching import fine_tune
from digitlab.reading.normalise import normalise
from digitlab.reading.reader import Reader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "making"))
from non_digits import _bent, _drawn_text  # type: ignore[import-not-found]


def main() -> None:
    """Print a row a hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fonts", type=Path, required=True, help="folder of @fontsource packages")
    parser.add_argument("--writers", nargs="*", help="some of writers.txt; all if absent")
    options = parser.parse_args()
    names = options.writers or (Path(__file__).parent / "writers.txt").read_text().split()
    print("| hand | wrong of 400 before | after | MNIST wrong of 10,000 before | after | s | processor s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    total = np.zeros(4)
    for number, name in enumerate(names):
        font = options.fonts / name / "files" / f"{name}-latin-400-normal.woff"
        rng = np.random.default_rng(number)
        sheet, others = digits(str(font), 12, rng), digits(str(font), 40, rng)
        counts, seconds, work = taught(name, sheet, others)
        total += counts
        print(f"| {name} | {' | '.join(str(c) for c in counts)} | {seconds:.0f} | {work:.0f} |", flush=True)
    print(f"| all | {' | '.join(f'{c:.0f}' for c in total)} | | |")


def digits(font: str, each: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """So many of each digit as a hand would write them: (10 each, 28, 28) uint8, and labels."""
    labels = np.repeat(np.arange(10), each)
    return np.stack([normalise(_bent(_drawn_text(str(d), font, rng), rng)) for d in labels]), labels


def taught(
    name: str, sheet: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]
) -> tuple[list[int], float, float]:
    """Wrong before and after, of other digits and of MNIST; seconds on the clock and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        mine = Collection(Path(folder) / "own")
        items = [Labelled(x, int(y), f"n{i:03d}", (0, 0, 1, 1)) for i, (x, y) in enumerate(zip(*sheet, strict=True))]
        mine.add(items, writer="me", origin="sheet", source=name, digest="0" * 64)
        started, worked = time.perf_counter(), time.process_time()
        run, teaching = fine_tune("reader", mine.path, folder=folder)
        seconds, work = time.perf_counter() - started, time.process_time() - worked
        wrong = [int((r.predict(others[0]).argmax(1) != others[1]).sum()) for r in (Reader(), Reader(run.path))]
    old = teaching.old
    return [*wrong, old.samples - old.before, old.samples - old.after], seconds, work


if __name__ == "__main__":
    main()
