"""How well a network learns a hand from one sheet: handwriting fonts as writers that it never saw.

    npm install $(sed 's|^|@fontsource/|' benchmarks/writers.txt)
    python benchmarks/own_hand.py --fonts node_modules/@fontsource

For each font: a sheet of 120 digits, each bent, turned and drawn with another pen, is taught to the Reader's network as
`digitlab train --from reader` does it, with 24 of them held back; then 400 other digits of the same hand and MNIST's
test images are read before and after.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from digitlab.collecting import Collection
from digitlab.collecting.collection import Labelled
from digitlab.collecting.teaching import fine_tune
from digitlab.reading.normalise import normalise
from digitlab.reading.reader import Reader

# Pixels: the font's size, and the page that one digit is drawn on.
SIZE, SIDE = 110, 260


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
    face = ImageFont.truetype(font, SIZE)
    return np.stack([normalise(written(str(d), face, rng)) for d in labels]), labels


def written(digit: str, face: ImageFont.FreeTypeFont, rng: np.random.Generator) -> np.ndarray:
    """A digit as the hand would write it this time: another pen, turned, slanted and bent a little; (h, w), 0 to 1."""
    page = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(page).text(
        (SIDE / 2, SIDE / 2), digit, 255, face, anchor="mm", stroke_width=int(rng.integers(0, 5)), stroke_fill=255
    )
    turn, slant = np.radians(rng.normal(0, 4)), rng.normal(0, 0.08)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn) + slant, np.cos(turn)]])
    middle = np.full((2, 1, 1), SIDE / 2)
    places = np.indices((SIDE, SIDE)) - middle
    bend = ndimage.gaussian_filter(rng.normal(0, 1, (2, SIDE, SIDE)), (0, 20, 20))
    bend *= 3.0 / bend.std()
    places = np.einsum("ij,jhw->ihw", matrix, places) + middle + bend
    return np.asarray(ndimage.map_coordinates(np.asarray(page, np.float32) / 255, places, order=1))


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
