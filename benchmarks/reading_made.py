"""How well drawn pages are read, kind by kind, and whether pages without writing stay empty.

    pip install -r making/requirements.txt scikit-learn
    npm install $(cut -d' ' -f1 making/hands.txt | sed 's|^|@fontsource/|')
    python benchmarks/reading_made.py --fonts node_modules/@fontsource [--write]

The pages come from `making/compose.py`: MNIST's test images, fonts that training never saw, strokes drawn by rule. The
whole Reader reads them. A sign is correct if a sign of the same name is read whose middle lies in its box; a text with
separators is correct if each of its signs is. Invented are digits that stand on no sign.

Pages without writing: blank ones with shadow, grain, creases and compression; drawn textures, wood and curves; and
photographs that scikit-image, scikit-learn and Matplotlib bring (landscape, flower, cup, cat, faces); and with
`--photographs DIR` every picture of a folder that shows no writing. Beside them letters of the same fonts, one alone on
each page (none that looks like a digit): it may be `?` or nothing, but no digit.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import results
from PIL import Image

from digitlab.reading.bulk import files_of
from digitlab.reading.reader import Reader
from digitlab.reading.results import ReadDigit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "making"))

SHAPE = (288, 480)
NOTHING = ("blank", "drawn", "photograph", "letter")
# Letters for each page of another kind: they are small, and a share of them is asked for.
LETTERS = 25


def main() -> None:
    """Print a line for each kind of page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--part", choices=["test", "validation"], default="test")
    parser.add_argument("--number", type=int, default=60, help="pages of each kind")
    parser.add_argument("--photographs", type=Path, help="a folder of pictures without writing, all of them read")
    parser.add_argument("--write", action="store_true", help="write the tables into RESULTS.md as well")
    options = parser.parse_args()
    from compose import KINDS  # type: ignore[import-not-found]

    with ProcessPoolExecutor(
        os.cpu_count(), get_context("spawn"), initializer=_start, initargs=(options.part, options.fonts)
    ) as pool:
        tasks = [(kind, seed) for kind in KINDS if kind != "nothing" for seed in range(options.number)]
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for (kind, _), found in zip(tasks, pool.map(_read_page, tasks, chunksize=4), strict=True):
            counts[kind].update(found)
            counts["all"].update(found)
        written = [_row(kind, count) for kind, count in counts.items()]
        head = [
            "pages of",
            "signs",
            "signs correct",
            "digits correct",
            "texts with separators correct",
            "digits invented",
        ]
        print(results.table(head, written), flush=True)
        empty: list[tuple[str, int | Path]] = [
            (kind, seed) for kind in NOTHING for seed in range(options.number * (LETTERS if kind == "letter" else 1))
        ]
        if options.photographs:
            empty += [(f"pictures of {options.photographs.name}", file) for file in files_of([options.photographs])]
        outcomes: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
        for (kind, _), outcome in zip(empty, pool.map(_read_nothing, empty, chunksize=4), strict=True):
            if outcome:
                outcomes[kind].append(outcome)
    rows = [
        [
            kind,
            str(len(of)),
            *(f"{100 * np.mean([o[i] for o in of]):.1f} %" for i in (0, 1)),
            f"{max(o[2] for o in of):.2f}",
        ]
        for kind, of in outcomes.items()
    ]
    head_nothing = ["pages without digits", "pages", "empty text", "no digit", "slowest, processor seconds"]
    nothing = results.table(head_nothing, rows)
    print(nothing)
    if options.write:
        title = f"Reading: drawn pages of {options.part} digits, kind by kind"
        results.write_section(
            "reading-made", title, f"{results.table(head, written)}\n\n{nothing}\n\n{results.provenance()}"
        )


def _row(kind: str, count: Counter[str]) -> list[str]:
    def share(part: str, of: str) -> str:
        return f"{100 * count[part] / count[of]:.1f} %" if count[of] else "-"

    return [
        kind,
        f"{count['signs']:,}",
        share("right", "signs"),
        share("digits right", "digits"),
        f"{share('texts right', 'texts')} of {count['texts']}",
        share("invented", "digits"),
    ]


_here: dict[str, Any] = {}


def _start(part: str, fonts: Path) -> None:
    from hands import centre_lines_of, split_of  # type: ignore[import-not-found]

    split = split_of(part, fonts)
    _here.update(part=part, split=split, clouds=centre_lines_of(part, split), reader=Reader(threads=1))


def _composer(kind: str, seed: int) -> Any:
    from compose import Composer

    number = {"validation": 1, "test": 2}[_here["part"]]
    return Composer(_here["split"], _here["clouds"], (number, 77, seed, *kind.encode()))


def _read_page(task: tuple[str, int]) -> Counter[str]:
    """Draw a page, read it, and count."""
    from photograph import photographed  # type: ignore[import-not-found]

    kind, seed = task
    composer = _composer(kind, seed)
    sheet = composer.page(SHAPE, kind)
    reading = _here["reader"].read(photographed(sheet, composer.rng), keep_stages=False)
    return counted(sheet, reading.digits)


def counted(sheet: Any, found: tuple[ReadDigit, ...]) -> Counter[str]:
    """Compare what was read with what was written."""
    from compose import CLASSES, OTHER

    count: Counter[str] = Counter()
    free = list(found)
    texts: dict[int, list[tuple[bool, int]]] = defaultdict(list)
    for sign in sheet.signs:
        if sign.name == OTHER:
            continue
        at = [i for i, one in enumerate(free) if _inside(one.box, sign.box)]
        best = min(at, key=lambda i: np.abs(np.subtract(free[i].box, sign.box)).sum(), default=None)
        right = best is not None and free[best].character == CLASSES[sign.name]
        if best is not None:
            del free[best]
        count["signs"] += 1
        count["right"] += right
        count["digits"] += sign.name < 10
        count["digits right"] += right and sign.name < 10
        texts[sign.text].append((right, sign.name))
    broken = {-1, *(sign.text for sign in sheet.cut)}
    for text, signs in texts.items():
        if text not in broken and any(name >= 10 for _, name in signs) and any(name < 10 for _, name in signs):
            count["texts"] += 1
            count["texts right"] += all(right for right, _ in signs)
    anything = [sign.box for sign in (*sheet.signs, *sheet.cut)]
    for one in free:
        if not one.rejected and not one.separator:
            count["invented"] += not any(_inside(one.box, box) or _inside(box, one.box) for box in anything)
    return count


def _inside(box: tuple[float, ...], of: tuple[float, ...]) -> bool:
    """Whether a box's middle lies in another, or beside it by less than 3 pixels."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return of[0] - 3 <= x <= of[2] + 3 and of[1] - 3 <= y <= of[3] + 3


def _read_nothing(task: tuple[str, int | Path]) -> tuple[bool, bool, float] | None:
    """Whether the text of a page without digits is empty, whether it holds no digit, and how long it took."""
    kind, which = task
    if isinstance(which, Path):
        pixels: np.ndarray | Path | None = which
    else:
        pixels = {"blank": _blank, "drawn": _drawn, "photograph": _photograph, "letter": _letter}[kind](which)
    if pixels is None:
        return None
    start = time.process_time()
    reading = _here["reader"].read(pixels, keep_stages=False)
    seconds = time.process_time() - start
    return not reading.text, all(sign.rejected or sign.separator for sign in reading.digits), seconds


def _letter(seed: int) -> np.ndarray | None:
    """One letter on a page, or None where it lies outside, or the font has none."""
    from compose import OTHER
    from photograph import photographed

    composer = _composer("letter", seed)
    sheet = composer.page((200, 320), "letter")
    one = [sign.name for sign in sheet.signs] == [OTHER]
    return np.asarray(photographed(sheet, composer.rng)) if one else None


def _blank(seed: int) -> np.ndarray:
    """An unwritten sheet, 700 x 500 pixels to 1600 x 1200."""
    from compose import Sheet
    from photograph import photographed

    rng = np.random.default_rng((3, seed))
    shape = (int(rng.integers(500, 1200)), int(rng.integers(500, 1600)))
    sheet = Sheet(shape, 28.0, np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    return np.asarray(photographed(sheet, rng))


def _drawn(seed: int) -> np.ndarray | None:
    from photograph import photographed

    composer = _composer("nothing", seed)
    sheet = composer.page(SHAPE, "nothing")
    return None if sheet.signs else np.asarray(photographed(sheet, composer.rng))


def _photograph(seed: int) -> np.ndarray | None:
    from matplotlib import cbook
    from skimage import data  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from sklearn.datasets import load_sample_images

    pictures = [
        *load_sample_images().images,
        Image.open(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))),
    ]
    names = (
        "astronaut brick camera cat coffee coins grass gravel hubble_deep_field immunohistochemistry moon retina rocket"
    )
    pictures += [getattr(data, name)() for name in names.split()]
    return np.asarray(pictures[seed], np.uint8) if seed < len(pictures) else None


if __name__ == "__main__":
    main()
