"""Draw the gallery of `docs/reading.md`: test digits read right and wrong, in scenes, non-digits, and every stage.

python benchmarks/reading_gallery.py docs/reading
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digitlab.reading.overlay import annotated, stages_picture
from digitlab.reading.reader import Reader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "making"))
from pages import mnist, non_digits, page_of  # type: ignore[import-not-found]
from scenes import SCENES, scene_of  # type: ignore[import-not-found]

TILE = (430, 300)


def main() -> None:
    """Read pages in the order of their seeds until each picture is full; nothing is picked by hand."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    reader = Reader()
    digits = mnist("test")
    right: list[Image.Image] = []
    wrong: list[Image.Image] = []
    for seed in range(3000, 3200):
        page = page_of(*digits, seed)
        reading = reader.read(page.image)
        tile = _tile(annotated(page.image, reading), page.lines, reading.lines)
        if reading.text == page.text and len(right) < 9:
            right.append(tile)
        elif reading.text != page.text and len(wrong) < 9:
            wrong.append(tile)
        if len(right) == len(wrong) == 9:
            break
    _grid(right, 3).save(out / "right.jpg", quality=82)
    _grid(wrong, 3).save(out / "wrong.jpg", quality=82)
    made = non_digits("test", np.random.default_rng(11))
    marks = []
    for _ in range(32):
        _, image = next(made)
        marks.append(annotated(image, reader.read(image)).resize((110, 110)))
    _grid(marks, 16).save(out / "non-digits.jpg", quality=82)
    scenes = []
    for kind in SCENES:
        page = scene_of(kind, *digits, 3000)
        reading = reader.read(page.image)
        scenes.append(_tile(annotated(page.image, reading), page.lines, reading.lines))
    _grid(scenes, 3).save(out / "scenes.jpg", quality=82)
    stages_picture(reader.read(page_of(*digits, 3008).image)).save(out / "stages.jpg", quality=82)


def _tile(image: Image.Image, truth: list[str], read: list[str]) -> Image.Image:
    tile = Image.new("RGB", TILE, "white")
    image.thumbnail((TILE[0] - 10, TILE[1] - 46))
    tile.paste(image, (5, 5))
    pen, font = ImageDraw.Draw(tile), ImageFont.load_default(12)
    same = truth == read
    for k, (name, lines) in enumerate([("read", read)] if same else [("true", truth), ("read", read)]):
        pen.text(
            (5, TILE[1] - 38 + 17 * k), f"{name}  {' '.join(lines)}", fill="black" if same else "darkred", font=font
        )
    return tile


def _grid(tiles: list[Image.Image], across: int) -> Image.Image:
    width, height = tiles[0].size
    sheet = Image.new("RGB", (across * width, -(-len(tiles) // across) * height), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % across * width, i // across * height))
    return sheet


if __name__ == "__main__":
    main()
