"""A table's rows and columns, from where its signs stand and from its upright rulings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from digitlab.reading.results import ReadDigit, Reading, sign_text

# How far columns may lean, pixels across for each down: a page photographed aslant.
LEANS = np.linspace(-0.2, 0.2, 81)
# Of two stretches, the narrower one's share that must overlap for them to be one column.
OVERLAP = 0.3
# A ruling is believed that runs along this share of the table's height; closer together than this many digit heights
# they are squared paper, and as many signs as this may lie across one before they are not believed.
LONG, APART, CROSSED = 0.4, 1.2, 0.15


@dataclass(frozen=True)
class Table:
    """What stands in the cells of one page.

    Attributes:
        rows: the cells' text, each row as long as the others; "" for an empty or a refused cell.
        refused: row and column, from 0, of each cell with a refused sign, and what was read in it, as in `4?1`.
        page: the number of its page, from 0.
    """

    rows: tuple[tuple[str, ...], ...]
    refused: tuple[tuple[int, int, str], ...]
    page: int = 0


@dataclass
class _Group:
    """Signs of one row that stand closely, and their horizontal extent."""

    row: int
    signs: list[int]
    left: float
    right: float


def tables_of(reading: Reading) -> tuple[Table, ...]:
    """Find the rows and columns of every page that has something on it.

    Rows are the lines of the reading. Columns end at upright rulings where the page has them (the reading must still
    have its stages), else where in all rows hardly anything stands.

    Args:
        reading: as `Reader.read` gives it.

    Returns:
        A table a page.

    Example:
        >>> tables_of(Reading())
        ()
    """
    tables = []
    for page in sorted({digit.page for digit in reading.digits}):
        groups = [group for group in reading.groups if group[0].page == page]
        rulings = reading.stages[page] if page < len(reading.stages) else None
        signs = [sign for group in groups for sign in group]
        uprights = np.zeros((0, 2))
        if rulings is not None:
            uprights = upright_rulings(rulings.rulings, _boxes(signs), rulings.scale)
        tables.append(table_of(groups, uprights, page))
    return tuple(tables)


def table_of(groups: Sequence[Sequence[ReadDigit]], uprights: np.ndarray, page: int = 0) -> Table:
    """Put groups of signs into rows and columns.

    Args:
        groups: signs between blanks, in reading order, all of one page.
        uprights: (n, 2) x at the height of the table's middle and lean (x for each pixel down) of the upright rulings,
            from left to right; none for a table without.
        page: its number.

    Returns:
        The table.

    Example:
        >>> glyph = np.zeros((28, 28), np.uint8)
        >>> def sign(left, line):
        ...     return [ReadDigit(7, 0.9, (left, 40 * line, left + 20, 40 * line + 30), False, "", glyph, line)]
        >>> table_of([sign(0, 0), sign(90, 0), sign(92, 1)], np.zeros((0, 2))).rows
        (('7', '7'), ('', '7'))
    """
    signs = [sign for group in groups for sign in group]
    boxes = _boxes(signs)
    rows = {line: row for row, line in enumerate(dict.fromkeys(sign.line for sign in signs))}
    starts = np.cumsum([0, *(len(group) for group in groups)])
    members = [list(range(start, stop)) for start, stop in pairwise(starts)]
    columns = _by_rulings(boxes, uprights) if len(uprights) else None
    if columns is None:
        columns = _by_gaps(boxes, [rows[signs[group[0]].line] for group in members], members)
    cells: dict[tuple[int, int], list[str]] = {}
    for group in members:
        for column in dict.fromkeys(columns[i] for i in group):
            text = sign_text([signs[i] for i in group if columns[i] == column])
            cells.setdefault((rows[signs[group[0]].line], int(column)), []).append(text)
    width = int(max(columns, default=-1)) + 1
    texts = {place: " ".join(parts) for place, parts in cells.items()}
    refused = tuple((*place, text) for place, text in sorted(texts.items()) if "?" in text)
    table = tuple(
        tuple("" if "?" in (text := texts.get((row, column), "")) else text for column in range(width))
        for row in range(len(rows))
    )
    return Table(table, refused, page)


def upright_rulings(rulings: np.ndarray, boxes: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Find the upright lines among a page's rulings.

    Args:
        rulings: (h, w) bool, the ruled lines of the working page.
        boxes: (n, 4) the signs' boxes on the upright page, in its own pixels.
        scale: own pixels per working pixel.

    Returns:
        (n, 2) as `table_of` takes them.

    Example:
        >>> page = np.zeros((100, 200), bool); page[10:90, 100:102] = True; page[50] = True
        >>> [[round(x) for x in row] for row in upright_rulings(page, np.array([[20, 20, 30, 80]]))]
        [[101, 0]]
    """
    none = np.zeros((0, 2))
    if not len(boxes):
        return none
    boxes = boxes / scale
    top, bottom = max(0, int(boxes[:, 1].min())), int(np.ceil(boxes[:, 3].max()))
    y, x = np.nonzero(rulings[top:bottom])
    if not len(y) or bottom - top < 8:
        return none
    step = 1 + len(y) // 200_000  # a share of the pixels of long lines shows them as well
    y, x = y[::step], x[::step]
    middle = (bottom - top) / 2
    reach = int(np.ceil(abs(LEANS[0]) * middle)) + 1
    size = rulings.shape[1] + 2 * reach + 1
    # Upright lines fall on few columns under their own lean.
    counts = [np.bincount(np.round(x - lean * (y - middle)).astype(int) + reach, minlength=size) for lean in LEANS]
    best = int(np.argmax([np.square(count).sum() for count in counts]))
    # What all columns have in common are the lines across. A thin line may fall between two columns.
    count = (counts[best] - np.median(counts[best][reach:-reach])).clip(0)
    count = np.convolve(count, np.ones(3), "same")
    full = max(LONG * (bottom - top) / step, 3.0)
    runs = np.flatnonzero(np.diff(np.concatenate([[0], count >= full, [0]]))).reshape(-1, 2)
    found = [(start + stop - 1) / 2 - reach for start, stop in runs]
    return np.array([(scale * (x0 + 0.5), LEANS[best]) for x0 in found]).reshape(-1, 2)


def _boxes(signs: Sequence[ReadDigit]) -> np.ndarray:
    return np.array([sign.upright or sign.box for sign in signs], float).reshape(-1, 4)


def _by_rulings(boxes: np.ndarray, uprights: np.ndarray) -> np.ndarray | None:
    """The column of each sign, by the lines between; None where the lines are no table's."""
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    middle = (boxes[:, 1].min() + boxes[:, 3].max()) / 2
    # A double line is one; so is each edge of a thick one.
    lines = [uprights[0]]
    for line in uprights[1:]:
        if line[0] - lines[-1][0] > 0.5 * tall:
            lines.append(line)
    if len(lines) > 1 and np.median(np.diff([line[0] for line in lines])) < APART * tall:
        return None
    down = (boxes[:, 1] + boxes[:, 3]) / 2 - middle
    at = np.array([line[0] + line[1] * down for line in lines])  # (lines, signs)
    inner = boxes[:, 0] + np.array([[0.2], [0.8]]) * (boxes[:, 2] - boxes[:, 0])
    if ((at > inner[0]) & (at < inner[1])).any(0).mean() > CROSSED:
        return None
    column = (at < boxes[:, [0, 2]].mean(1)).sum(0)
    return np.asarray(column - column.min())


def _by_gaps(boxes: np.ndarray, rows: list[int], members: list[list[int]]) -> np.ndarray:
    """The column of each sign, by the empty stretches that all rows have in common."""
    left, right = _upright(boxes, members)
    groups = [
        _Group(row, signs, float(left[signs].min()), float(right[signs].max()))
        for row, signs in zip(rows, members, strict=True)
    ]
    by_row: dict[int, list[_Group]] = {}
    for group in groups:
        by_row.setdefault(group.row, []).append(group)
    groups = [part for group in groups for part in _parted(group, by_row, left, right)]
    columns = np.zeros(len(boxes), int)
    stretches: list[tuple[float, float, list[_Group]]] = []
    # Widest first: a column is as wide as its widest number.
    for group in sorted(groups, key=lambda group: group.left - group.right):
        touched = [s for s in stretches if _share(group.left, group.right, s[0], s[1]) > OVERLAP]
        stretches = [s for s in stretches if s not in touched]
        low, high = min([group.left, *(s[0] for s in touched)]), max([group.right, *(s[1] for s in touched)])
        stretches.append((low, high, [group, *(g for s in touched for g in s[2])]))
    for column, (_, _, inside) in enumerate(sorted(stretches, key=lambda s: s[0] + s[1])):
        for group in inside:
            columns[group.signs] = column
    return columns


def _upright(boxes: np.ndarray, members: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Left and right edges with the columns' lean taken out: the one under which they cover least of the width."""
    down = (boxes[:, 1] + boxes[:, 3]) / 2
    down = down - down.mean()
    best = (np.inf, boxes[:, 0], boxes[:, 2])
    for lean in sorted(LEANS, key=abs):
        left, right = boxes[:, 0] - lean * down, boxes[:, 2] - lean * down
        covered = _covered(np.array([(left[signs].min(), right[signs].max()) for signs in members]))
        if covered < 0.98 * best[0]:
            best = (covered, left, right)
    return best[1], best[2]


def _covered(stretches: np.ndarray) -> float:
    """How much of a line the stretches cover together."""
    stretches = stretches[np.argsort(stretches[:, 0])]
    reached = np.concatenate([[-np.inf], np.maximum.accumulate(stretches[:, 1])[:-1]])
    return float(np.maximum(stretches[:, 1] - np.maximum(stretches[:, 0], reached), 0).sum())


def _parted(group: _Group, by_row: dict[int, list[_Group]], left: np.ndarray, right: np.ndarray) -> list[_Group]:
    """Cut a group that stands where most other rows have two or more: a cell written up to its neighbour."""
    cuts: list[float] = []
    several = single = 0
    for row in by_row.keys() - {group.row}:
        inside = [g for g in by_row[row] if group.left < (g.left + g.right) / 2 < group.right]
        inside.sort(key=lambda g: g.left)
        inside = [g for g in inside if _share(g.left, g.right, group.left, group.right) > 0.6]
        several += len(inside) > 1
        single += len(inside) == 1 and _share(group.left, group.right, inside[0].left, inside[0].right) > 0.6
        cuts += [(a.right + b.left) / 2 for a, b in pairwise(inside)]
    if several <= single or len(group.signs) < 2:
        return [group]
    middles = np.array([(right[a] + left[b]) / 2 for a, b in pairwise(group.signs)])
    votes = np.bincount([int(np.argmin(np.abs(middles - cut))) + 1 for cut in cuts])
    parts = np.split(np.array(group.signs), np.flatnonzero(votes > 0.5 * several))
    return [
        _Group(group.row, part.tolist(), float(left[part].min()), float(right[part].max()))
        for part in parts
        if len(part)
    ]


def _share(left: float, right: float, low: float, high: float) -> float:
    """The overlap of two stretches as a share of the narrower one."""
    return (min(right, high) - max(left, low)) / max(min(right - left, high - low), 1e-9)
