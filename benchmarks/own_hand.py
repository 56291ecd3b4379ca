"""How well a network learns a hand from one sheet: handwriting fonts as writers that it never saw.

    npm install $(sed 's|^|@fontsource/|' benchmarks/writers.txt)
    python benchmarks/own_hand.py --fonts node_modules/@fontsource

For each font: a sheet of 120 digits, each bent, turned and drawn with another pen, is taught to the Reader's network as
`digitlab train --from reader` does it, with 24 of them held back; then 400 other digits of the same hand and MNIST's
test images are named before and after, by the network alone, and the 400 also as pictures by the whole Reader. Writers
are the fonts that making/hands.txt keeps for tests, and others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import results
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
    """Print a row for each hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fonts", type=Path, required=True, help="folder of @fontsource packages")
    parser.add_argument("--writers", nargs="*", help="some of writers.txt; all if absent")
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    options = parser.parse_args()
    names = options.writers or (Path(__file__).parent / "writers.txt").read_text().split()
    head = ["hand", "wrong of 400, network alone", "taught", "read as pictures", "taught"]
    head += ["MNIST wrong of 10,000", "taught", "s", "processor s"]
    rows: list[list[str]] = []
    total = np.zeros(6, int)
    for number, name in enumerate(names):
        font = options.fonts / name / "files" / f"{name}-latin-400-normal.woff"
        rng = np.random.default_rng(number)
        sheet, others = digits(str(font), 12, rng), digits(str(font), 40, rng)
        counts, seconds, work = taught(name, sheet, others)
        total += counts
        rows.append([name, *(str(count) for count in counts), f"{seconds:.0f}", f"{work:.0f}"])
        print("  ".join(rows[-1]), flush=True)
    rows.append(["all", *(str(count) for count in total), "", ""])
    written_out = results.table(head, rows)
    print(written_out)
    if options.write:
        results.write_section("own-hand", "One sheet of a hand, taught", f"{written_out}\n\n{results.provenance()}")


def digits(font: str, each: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """So many of each digit as a hand would write them: (10 each, side, side) float32 of ink, 0 to 1, and labels."""
    labels = np.repeat(np.arange(10), each)
    face = ImageFont.truetype(font, SIZE)
    return np.stack([written(str(d), face, rng) for d in labels]).astype(np.float32), labels


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
    """Wrong before and after, of others by the network and as pictures, and of MNIST; seconds, and of the processor."""
    images = np.stack([normalise(ink) for ink in sheet[0]])
    with tempfile.TemporaryDirectory() as folder:
        mine = Collection(Path(folder) / "own")
        items = [
            Labelled(x, int(y), f"n{i:03d}", (0, 0, 1, 1))
            for i, (x, y) in enumerate(zip(images, sheet[1], strict=True))
        ]
        mine.add(items, writer="me", origin="sheet", source=name, digest="0" * 64)
        started, worked = time.perf_counter(), time.process_time()
        run, teaching = fine_tune("reader", mine.path, folder=folder)
        seconds, work = time.perf_counter() - started, time.process_time() - worked
        readers = Reader(), Reader(run.path)
        named = np.stack([normalise(ink) for ink in others[0]])
        alone = [int((reader.predict(named).argmax(1) != others[1]).sum()) for reader in readers]
        pictures = [
            sum(
                reader.read((255 * (1 - ink)).astype(np.uint8), keep_stages=False).digits_only != str(label)
                for ink, label in zip(*others, strict=True)
            )
            for reader in readers
        ]
    old = teaching.old
    return [*alone, *pictures, old.samples - old.before, old.samples - old.after], seconds, work


if __name__ == "__main__":
    main()
