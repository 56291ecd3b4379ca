"""How other readers do on the folder that `benchmarks/reading.py DIR` reads: digits only, each prepared as suits it.

    pip install rapidocr-onnxruntime ddddocr pytesseract      # and Debian's tesseract-ocr
    python benchmarks/peers/readers.py DIR [--write]

Each picture is given as it is, made dark on light, with a margin, and enlarged, and all of these together. Of these
preparations the one with the best score counts, chosen on the very pictures that are scored: a choice that favours the
peer, and that digitlab does not get. Where RapidOCR's detector finds nothing, the picture is taken
for one line. Only digits of an answer are compared; what digitlab refuses counts as missing. Rules of digitlab were
made while looking at this folder, so its row flatters it.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import results
from reading import edit_distance

Answer = Callable[[Image.Image, bool], str]


def main() -> None:
    """Print a row a reader."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(PEERS))
    parser.add_argument("--every", type=int, default=1, help="read every so many pictures only")
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md as well")
    options = parser.parse_args()
    with (options.folder / "labels.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[:: options.every]
    table = []
    for name in options.only:
        answer = PEERS[name]()
        start = time.process_time()
        ways = ["as it is"] if name == "digitlab" else list(PREPARATIONS)
        scores = {prepared: score(options.folder, rows, answer, prepared) for prepared in ways}
        seconds = (time.process_time() - start) / len(rows) / len(ways)
        single = max(scores, key=lambda prepared: scores[prepared]["single"])
        page = min(scores, key=lambda prepared: scores[prepared]["wrong"])
        table.append(
            [
                name,
                f"{100 * scores[single]['single']:.1f} % ({single})",
                f"{100 * scores[page]['wrong']:.1f} % ({page})",
                f"{scores[page]['whole']:.0f}",
                f"{seconds:.2f}",
            ]
        )
        print(table[-1], file=sys.stderr, flush=True)
    head = ["reader", "single digits correct", "wrong on pages", "pages wholly correct", "processor seconds each"]
    text = results.table(head, table)
    print(text)
    if options.write:
        about = (__doc__ or "").split("\n\n")[-1].strip().replace("\n", " ")
        provenance = results.provenance(f"{len(rows)} pictures").replace("readers.py", "readers.py DIR")
        results.write_section(
            "reading-peers", "Reading: other readers on the same folder", f"{text}\n\n{about}\n\n{provenance}"
        )


def score(folder: Path, rows: list[dict[str, str]], answer: Answer, prepared: str) -> dict[str, float]:
    """Share of single digits read, edit distance of pages by digits, pages wholly read."""
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        image = PREPARATIONS[prepared](Image.open(folder / row["file"]))
        alone = row["multi"] == "0"
        text = "".join(c for c in answer(image, alone) if c in "0123456789")
        truth = row["digits"].replace("/", "")
        if alone:
            sums["singles"] += 1
            sums["right"] += text == truth
        else:
            sums["digits"] += len(truth)
            sums["distance"] += edit_distance(text, truth)
            sums["whole"] += text == truth
    return {
        "single": sums["right"] / max(sums["singles"], 1),
        "wrong": sums["distance"] / max(sums["digits"], 1),
        "whole": sums["whole"],
    }


def _grey(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "P"):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("L")


def _dark_on_light(image: Image.Image) -> Image.Image:
    grey = _grey(image)
    return ImageOps.invert(grey) if np.median(np.asarray(grey)) < 128 else grey


def _with_margin(image: Image.Image) -> Image.Image:
    grey = _dark_on_light(image)
    return ImageOps.expand(grey, max(10, min(grey.size) // 3), int(np.median(np.asarray(grey))))


def _enlarged(image: Image.Image) -> Image.Image:
    grey = _dark_on_light(image)
    factor = max(1.0, 96 / min(grey.size))
    return grey.resize((round(grey.width * factor), round(grey.height * factor)), Image.Resampling.BICUBIC)


PREPARATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": _grey,
    "dark on light": _dark_on_light,
    "with a margin": _with_margin,
    "enlarged": _enlarged,
    "enlarged, with a margin": lambda image: _with_margin(_enlarged(image)),
}


def _rapid_ocr() -> Answer:
    from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-not-found]

    engine = RapidOCR()

    def answer(image: Image.Image, alone: bool) -> str:
        pixels = np.asarray(image.convert("RGB"))[..., ::-1]
        lines: Any = None if alone else engine(pixels)[0]
        if lines:
            return "".join(str(line[1]) for line in lines)
        return "".join(str(line[0]) for line in engine(pixels, use_det=False, use_cls=False)[0] or [])

    return answer


def _ddddocr() -> Answer:
    import io

    import ddddocr  # type: ignore[import-not-found]

    engine = ddddocr.DdddOcr(show_ad=False)

    def answer(image: Image.Image, _: bool) -> str:
        file = io.BytesIO()
        image.save(file, "PNG")
        return str(engine.classification(file.getvalue()))

    return answer


def _tesseract() -> Answer:
    import pytesseract  # type: ignore[import-not-found]

    def answer(image: Image.Image, alone: bool) -> str:
        # One sign; one line; scattered text. On pages the list of digits makes it miss nearly all.
        mode = 10 if alone else 7 if image.width > 3 * image.height else 11
        only = " -c tessedit_char_whitelist=0123456789" if alone else ""
        return str(pytesseract.image_to_string(image, config=f"--psm {mode}{only}"))

    return answer


def _digitlab() -> Answer:
    from digitlab.reading.reader import Reader

    reader = Reader()
    return lambda image, _: reader.read(image).digits_only


PEERS: dict[str, Callable[[], Answer]] = {
    "digitlab": _digitlab,
    "RapidOCR": _rapid_ocr,
    "ddddocr": _ddddocr,
    "Tesseract": _tesseract,
}

if __name__ == "__main__":
    main()
