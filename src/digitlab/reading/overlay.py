"""Images about a reading: the page with what was read drawn in, and every stage on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digitlab.reading.frames import ORANGE, draw_frames, style_of
from digitlab.reading.glyphs import Stages
from digitlab.reading.picture import open_pages
from digitlab.reading.results import Reading

PANEL, RIM = 520, (200, 200, 200)


def annotated(source: str | Path | np.ndarray | Image.Image, reading: Reading) -> Image.Image:
    """Draw each sign's frame with what was read into the image, in the colours and lines of the page.

    A solid blue frame is sure, a dashed orange one below 90 %, a dotted one was refused.

    Args:
        source: the image that was read.
        reading: what was read in it.

    Returns:
        An RGB image, the pages of a TIFF one below the other; a page of over three megapixels shrunk as it was for
        reading.

    Example:
        >>> page = np.full((60, 80), 255, np.uint8)
        >>> annotated(page, Reading((), 0.0)).size
        (160, 120)
    """
    sheets = []
    for number, picture in enumerate(open_pages(source)):
        sheet = Image.fromarray(picture.pixels).convert("RGB")
        draw_frames(sheet, [digit for digit in reading.digits if digit.page == number], picture.scale)
        sheets.append(sheet)
    return _stacked(sheets)


def stages_picture(reading: Reading) -> Image.Image:
    """Show what each step made of the image, to see why something was misread.

    Args:
        reading: with its stages.

    Returns:
        An RGB image: grey with the pieces found, paper, ink, mask (rulings in blue), and below the glyphs as the
        network saw them with what it read.

    Example:
        >>> stages_picture(Reading((), 0.0)).mode
        'RGB'
    """
    sheets = [_stages_of_page(stages, reading, number) for number, stages in enumerate(reading.stages)]
    return _stacked(sheets or [Image.new("RGB", (PANEL, 40), "white")])


def _stages_of_page(stages: Stages, reading: Reading, number: int) -> Image.Image:
    grey = Image.fromarray(stages.grey).convert("RGB")
    draw = ImageDraw.Draw(grey)
    width = max(1, grey.width // 300)
    for box in stages.blobs:
        draw.rectangle(box, outline=ORANGE, width=width)
    mask = np.repeat((255 * ~stages.mask).astype(np.uint8)[..., None], 3, axis=2)
    mask[stages.rulings] = (90, 140, 255)
    titles = [
        "1 grey" + (", inverted" if stages.inverted else "") + "; pieces",
        "2 paper",
        "3 ink (paper divided out)",
        "4 mask; rulings in blue",
    ]
    panels = [grey, Image.fromarray(stages.paper), Image.fromarray(255 - stages.ink), Image.fromarray(mask)]
    scale = min(PANEL / max(grey.size), 4)
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    digits = [digit for digit in reading.digits if digit.page == number]
    across = max(1, (2 * PANEL) // 64)
    rows = -(-len(digits) // across)
    font = ImageFont.load_default(15)
    sheet = Image.new("RGB", (2 * PANEL + 30, 2 * (size[1] + 30) + 30 + rows * 84 + 10), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        x, y = 10 + (i % 2) * (PANEL + 10), (i // 2) * (size[1] + 30)
        pen.text((x, y + 6), title, fill="black", font=font)
        sheet.paste(panel.convert("RGB").resize(size), (x, y + 28))
        pen.rectangle((x - 1, y + 27, x + size[0], y + 28 + size[1]), outline=RIM)  # white paper ends somewhere
    top = 2 * (size[1] + 30) + 6
    pen.text((10, top), "5 glyphs, as the network sees them", fill="black", font=font)
    for i, digit in enumerate(digits):
        x, y = 10 + (i % across) * 64, top + 24 + (i // across) * 84
        sheet.paste(Image.fromarray(digit.glyph).resize((56, 56), Image.Resampling.NEAREST), (x, y))
        # Never "100 %": rounded down.
        label = "?" if digit.rejected else f"{digit.character}, {min(99, int(100 * digit.confidence))} %"
        pen.text((x, y + 57), label, fill=style_of(digit)[0], font=font)
    return sheet


def _stacked(sheets: list[Image.Image]) -> Image.Image:
    if len(sheets) == 1:
        return sheets[0]
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), "white")
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole
