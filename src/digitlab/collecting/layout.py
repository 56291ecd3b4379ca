"""Where everything stands on the printed sheet, in millimetres from the centre of its top left corner mark.

The same on every paper: the marks span 182 x 245 mm in the middle of an A4 or a Letter page, so that cutting a photo
needs to know nothing of the paper.
"""

from __future__ import annotations

ROWS, COLUMNS = 10, 12  # a row for each digit, 120 boxes
WIDTH, HEIGHT = 182.0, 245.0  # between the centres of the corner marks

# A corner mark is a black square with a white square in it; the one at the top left has a black dot in the middle.
MARK, HOLE, DOT = 8.0, 5.0, 2.4

# The corner marks, clockwise from the top left.
CORNERS = ((0.0, 0.0), (WIDTH, 0.0), (WIDTH, HEIGHT), (0.0, HEIGHT))

LEFT, TOP = 14.7, 10.0  # of the first box
BOX_WIDTH, BOX_HEIGHT = 12.6, 19.0
ACROSS, DOWN = 14.0, 22.7  # from one box to the next

PAPERS = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}


def box(row: int, column: int) -> tuple[float, float, float, float]:
    """Give left, top, right, bottom of a box, in millimetres.

    Example:
        >>> box(0, 0)
        (14.7, 10.0, 27.299999999999997, 29.0)
        >>> box(9, 11)[2] < WIDTH and box(9, 11)[3] < HEIGHT - MARK / 2
        True
    """
    left, top = LEFT + column * ACROSS, TOP + row * DOWN
    return left, top, left + BOX_WIDTH, top + BOX_HEIGHT
