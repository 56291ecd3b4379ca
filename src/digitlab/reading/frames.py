"""Frames and labels of signs, drawn into a page: sure, doubtful and refused are told apart without colour too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

from digitlab.reading.results import ReadDigit

# As on the page in the browser: blue for what is sure, orange for the rest (Okabe and Ito's, told apart by every eye).
BLUE, ORANGE, WHITE = (0, 99, 156), (184, 74, 0), (255, 255, 255)
# Below this confidence a digit is drawn as doubtful.
SURE = 0.9
# Length of a dash and of the gap after it, in widths of the line; None for a solid line.
SOLID, DASHED, DOTTED = None, (4, 2.5), (1, 1.6)
# Letters as high as this part of their box, but never below so many pixels; smaller ones cannot be read.
LETTER, LEAST, MOST = 0.35, 11, 60

Box = tuple[float, float, float, float]


def style_of(digit: ReadDigit) -> tuple[tuple[int, int, int], tuple[float, float] | None]:
    """Colour and dashes of a sign's frame: solid where it is sure, dashed below 90 %, dotted where it was refused.

    Example:
        >>> import numpy as np
        >>> style_of(ReadDigit(3, 0.5, (0, 0, 9, 9), False, "", np.zeros((28, 28), np.uint8), 0)) == (ORANGE, DASHED)
        True
    """
    if digit.rejected:
        return ORANGE, DOTTED
    return (BLUE, SOLID) if digit.confidence >= SURE else (ORANGE, DASHED)


def draw_frames(sheet: Image.Image, digits: Sequence[ReadDigit], scale: float) -> None:
    """Draw the frame of every sign into a page, with its character on a tag that hangs on the frame.

    A tag stands above its frame where it covers no other frame, else inside its corner: a character between two rows
    could be either's.

    Args:
        sheet: RGB, changed.
        digits: of this page.
        scale: pixels of the image for one of the sheet, as boxes are in the image's.
    """
    width = max(2, round(max(sheet.size) / 600))
    pen = ImageDraw.Draw(sheet)
    frames = [_grown(digit.box, scale, 1.5 * width) for digit in digits]
    for digit, frame in zip(digits, frames, strict=True):
        colour, dashes = style_of(digit)
        pen.rectangle(frame, outline=WHITE, width=width)  # seen on any photo
        for side in _sides(frame):
            for part in _dashes(side, dashes, width):
                pen.line(part, fill=colour, width=width)
    taken = list(frames)
    for own, (digit, frame) in enumerate(zip(digits, frames, strict=True)):
        size, room = _tag(frame, len(digit.character), taken, own)
        taken.append(room)
        pen.rectangle(room, fill=style_of(digit)[0])
        middle = ((room[0] + room[2]) / 2, (room[1] + room[3]) / 2)
        pen.text(middle, digit.character, fill=WHITE, font=ImageFont.load_default(size), anchor="mm")


def _grown(box: tuple[int, int, int, int], scale: float, by: float) -> Box:
    left, top, right, bottom = (edge / scale for edge in box)
    return left - by, top - by, right + by, bottom + by


def _sides(frame: Box) -> list[tuple[float, float, float, float]]:
    left, top, right, bottom = frame
    return [
        (left, top, right, top),
        (right, top, right, bottom),
        (right, bottom, left, bottom),
        (left, bottom, left, top),
    ]


def _dashes(side: Box, dashes: tuple[float, float] | None, width: int) -> Iterator[Box]:
    """The pieces of a side that are drawn; it begins and ends with one."""
    x, y, to_x, to_y = side
    length = abs(to_x - x) + abs(to_y - y)  # sides are level or upright
    if dashes is None or length == 0:
        yield side
        return
    dash, gap = dashes[0] * width, dashes[1] * width
    count = max(1, round((length - dash) / (dash + gap)))
    step = (length - dash) / count
    for number in range(count + 1):
        start, end = number * step / length, (number * step + dash) / length
        yield x + start * (to_x - x), y + start * (to_y - y), x + end * (to_x - x), y + end * (to_y - y)


def _tag(frame: Box, letters: int, taken: Sequence[Box], own: int) -> tuple[int, Box]:
    """Height of the letters, and where their tag is."""
    most = int(min(MOST, max(LEAST, LETTER * (frame[3] - frame[1]))))
    for size in sorted({most, max(LEAST, 2 * most // 3), LEAST}, reverse=True):
        down, across = 1.15 * size, 0.66 * size * letters + 0.3 * size
        room = (frame[0], frame[1] - down, frame[0] + across, frame[1])
        if room[1] >= 0 and all(number == own or _apart(room, other) for number, other in enumerate(taken)):
            return size, room
    return LEAST, (frame[0], frame[1], frame[0] + 0.96 * LEAST * letters, frame[1] + 1.15 * LEAST)


def _apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
