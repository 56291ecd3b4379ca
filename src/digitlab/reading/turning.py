"""A page that lies turned: found out from what was read in it, put right, and its boxes brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from digitlab.reading.picture import Picture

if TYPE_CHECKING:
    from digitlab.reading.glyphs import Stages
    from digitlab.reading.results import Box, ReadDigit

# (n, 28, 28) uint8 -> (n,) how digit-like, 0..1.
Judge = Callable[[np.ndarray], np.ndarray]
# A page in, its signs and stages out.
ReadPage = Callable[[Picture], "tuple[list[ReadDigit], Stages]"]
# (h, w) float32 ink and the height of a digit in -> how good its digits look on the average, and how many they are.
Glance = Callable[[np.ndarray, float], tuple[float, int]]

# Fewer signs than this say nothing: a lone 6 may be a 9. No more than this many are asked.
FEWEST, MOST = 3, 32
# On its side, two are enough; and turned, a page shows at least this much of what it shows as it lies.
PAIR, AS_MUCH = 2, 0.8
# Only a turn that shows digits this good on the average is read.
SEEN = 0.5
# More signs than this are asked each by itself only: on a pattern of circles every reading takes seconds.
CROWD = 100
# So many digits that are sure on the average say that a page lies well, whatever else is on it.
PLENTY = 5
# As digit-like as this, on the average, upright signs are not doubted.
FINE = 0.9
# Lines that climb or fall no more than this, degrees, are read as they are.
LEVEL = 9
# A turn is tried if its signs are this digit-like, and this much more than upright ones, on the average and in all...
LIKE, BETTER, SURPLUS = 0.6, 0.15, 1.5
# ...by 1.4 times that where it is upside down: a 0, an 8 and many a 1 and 5 look the same both ways...
OVER = 1.4
# ...or, where the lines slant, hardly less; and it stays if what is then read is surer by this much.
NOT_WORSE, SURER = 0.02, 0.1
# Surer than this on the average, a page has been read. A ruling is this share of the page's short side long.
UNREAD, LONG = 0.7, 0.5
# Two of them lie this far apart at least, in four hundredths of the page's long side, and each is darker than what lies
# so far above and below it by a factor: a photograph is dark everywhere, or on one side.
APART, BESIDE, DARKER = 8, 3, 3.0
# A form's field of no more pixels is read turned in vain in a few hundredths of a second.
SMALL = 60_000
# A sign that holds this much of the ink, with a fifth around it, is alone on its page.
ALONE = 0.95


def read_turned(
    picture: Picture, read: ReadPage, judge: Judge, glance: Glance
) -> tuple[list[ReadDigit], Stages, float]:
    """Read a page, and where it seems to lie turned, also turned.

    Args:
        picture: the page.
        read: reads a page.
        judge: says how digit-like signs are.
        glance: says how good the digits of a page look at first sight.

    Returns:
        The signs (boxes in the page's own pixels, `upright` ones on the page as it was turned), the stages of the page
        as it was read, and by how many degrees it was turned clockwise; 0.0 for hardly any page.
    """
    signs, stages = read(picture)
    degrees = turn_of(signs, judge)
    found: tuple[list[ReadDigit], Stages, np.ndarray] | None = None
    if not degrees and _may_be_ruled(signs, stages) and (degrees := -ruling_angle(stages.mask)):
        # Ruled lines are taken out where they are level; upright or aslant they hide the signs, or join them.
        found = _read_at(degrees, picture, read)
        if on_lines := turn_of(found[0], judge):
            degrees, found = (degrees + on_lines + 180) % 360 - 180, None
    as_it_lies = signs if stages.written else []
    if not degrees:
        return _quarter_turned(picture, read, glance, signs, stages)
    anew, seen, back = found or _read_at(degrees, picture, read)
    if seen.written and abs(skew := skew_of(np.array([sign.box for sign in anew]).reshape(-1, 4))) > LEVEL:
        # Only now are there enough signs to see that their lines slant.
        degrees = (degrees - skew + 180) % 360 - 180
        anew, seen, back = _read_at(degrees, picture, read)
    slanted = degrees % 90 > 1e-6
    # Turned, a page in which then nothing is found, or no writing, is no better read.
    anew = anew if seen.written else []
    surer = bool(anew) and _surety(anew) >= _surety(signs) + (0 if slanted else SURER)
    more = _surety(anew) > LIKE and _accepted(anew) >= max(2 * _accepted(signs), FEWEST)
    # Refused pieces may be many where the digits are two, and two say nothing.
    if len(anew) < FEWEST or not (surer or more):
        return as_it_lies, stages, 0.0
    return _brought_back(anew, back, picture), seen, degrees


def _quarter_turned(
    picture: Picture, read: ReadPage, glance: Glance, signs: list[ReadDigit], stages: Stages
) -> tuple[list[ReadDigit], Stages, float]:
    """Look at a page that is not read for sure also by quarter turns, and read it so if it then looks better.

    Words make no page unsure: among them so many sure digits are enough. To read it by
    each turn puts hardly more pages right and took up to 40 s (docs/log.md).
    """
    best = signs if stages.written else [], stages, 0.0
    first = _surety(signs)
    read_for_sure = first > FINE or (_accepted(signs) >= PLENTY and _total(signs) > FINE * _accepted(signs))
    unread = not stages.written and stages.mask.size < SMALL and stages.mask.any()
    if read_for_sure or not (PAIR <= len(signs) <= CROWD or unread) or not stages.tall:
        return best
    ink = stages.ink.astype(np.float32) / 255
    seen = {degrees: glance(np.rot90(ink, -degrees // 90), stages.tall) for degrees in (0, 90, -90, 180)}
    degrees = max((90, -90, 180), key=lambda turn: seen[turn][0] * (seen[turn][1] >= PAIR))
    if seen[degrees][0] < max(SEEN, seen[0][0]):
        return best
    anew, stages_anew, back = _read_at(degrees, picture, read)
    enough = _accepted(anew) >= (FEWEST if degrees == 180 else PAIR) and _total(anew) >= AS_MUCH * _total(signs)
    if stages_anew.written and enough and _surety(anew) > max(UNREAD, first + SURER):
        return _brought_back(anew, back, picture), stages_anew, float(degrees)
    return best


def _brought_back(signs: list[ReadDigit], back: np.ndarray, picture: Picture) -> list[ReadDigit]:
    return [replace(sign, upright=sign.box, box=box_back(sign.box, back, picture.size)) for sign in signs]


def _read_at(degrees: float, picture: Picture, read: ReadPage) -> tuple[list[ReadDigit], Stages, np.ndarray]:
    """What is read after a turn, and what brings a point back, as `turned` gives it."""
    page, back = turned(picture, degrees)
    return *read(page), back


def turn_of(signs: list[ReadDigit], judge: Judge) -> float:
    """Find by how many degrees clockwise a page should be turned to be read.

    The signs say it themselves: turned along with the page they must look like digits, and much more than as they are.
    Asked are the quarter turns, and where the signs stand on slanting lines, those from there.

    Args:
        signs: what was read, refused ones as well.
        judge: says how digit-like signs are.

    Returns:
        The degrees, -180 to 180; 0.0 where the page lies well or it cannot be told.

    Example:
        >>> turn_of([], lambda images: np.ones(len(images)))
        0.0
    """
    signs = [sign for sign in signs if not sign.separator]
    if len(signs) < FEWEST:
        return 0.0
    sizes = np.array([max(sign.box[2] - sign.box[0], sign.box[3] - sign.box[1]) for sign in signs])
    # Specks among the signs know nothing; of a full page an even share is asked.
    asked = np.flatnonzero(sizes >= 0.5 * np.median(sizes))
    asked = asked[:: 1 + len(asked) // MOST]
    glyphs = np.stack([signs[i].glyph for i in asked])
    skew = skew_of(np.array([sign.box for sign in signs]))
    slanting = abs(skew) > LEVEL
    if not slanting and _surety(signs) > FINE:
        return 0.0  # read for sure where they stand: asking each by itself took a sixth of a page's time
    as_it_is = judge(glyphs)
    if not slanting and as_it_is.mean() > FINE:
        return 0.0
    turns = sorted(
        {(quarter - skew * slanted + 180) % 360 - 180 for quarter in (0, 90, 180, 270) for slanted in {0, slanting}}
    )
    turns = [turn for turn in turns if turn]
    like = judge(np.concatenate([_turned_glyphs(glyphs, turn) for turn in turns])).reshape(len(turns), -1)
    best = int(np.argmax(like.mean(1)))
    gain = like[best] - as_it_is
    doubt = OVER if abs(turns[best]) == 180 else 1.0
    clearly = gain.mean() > doubt * BETTER and gain.sum() > doubt * SURPLUS
    along = slanting and abs(turns[best] % 90) > 1e-6 and gain.mean() > -NOT_WORSE
    return float(turns[best]) if like[best].mean() > LIKE and (clearly or along) else 0.0


def skew_of(boxes: np.ndarray) -> float:
    """Find the angle at which signs stand in rows.

    Args:
        boxes: (n, 4) left, top, right, bottom, pixels.

    Returns:
        Degrees by which the rows fall to the right, -45 to 45; 0.0 where no angle stands out.

    Example:
        >>> corners = np.array([(40 * i, 30 * i) for i in range(8)])
        >>> round(skew_of(np.hstack([corners, corners + 20])))
        37
    """
    boxes = np.asarray(boxes, float)
    if len(boxes) < FEWEST:
        return 0.0
    size = (boxes[:, 2:] - boxes[:, :2]).max(1)
    tall = float(np.median(size))
    boxes = boxes[size >= 0.5 * tall]
    boxes = boxes[:: 1 + len(boxes) // 400]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    across, down = (middle[None, :, axis] - middle[:, None, axis] for axis in (0, 1))
    near = np.triu(np.hypot(across, down) < 4 * tall, 1)
    across, down = across[near], down[near]
    angles = np.arange(-45, 46)
    sine, cosine = np.sin(np.radians(angles))[:, None], np.cos(np.radians(angles))[:, None]
    # Neighbours on one row, or, where the page lies on its side, on one column.
    votes = sum(
        np.exp(-np.square(off / (0.2 * tall))).sum(1)
        for off in (cosine * down - sine * across, cosine * across + sine * down)
    )
    best = int(np.argmax(votes))
    level = votes[np.abs(angles) <= LEVEL].max(initial=0)
    return float(angles[best]) if len(across) and votes[best] > 1.25 * level else 0.0


def ruling_angle(mask: np.ndarray) -> float:
    """Find the angle of long straight lines that are not level.

    Args:
        mask: (h, w) bool, what is darker than the paper, level rulings out.

    Returns:
        Degrees by which they fall to the right, -89 to 90; 0.0 where fewer than two are found, or they are level.

    Example:
        >>> page = np.zeros((200, 200), bool); page[:, 60:62] = page[:, 140:142] = True
        >>> ruling_angle(page)
        90.0
    """
    y, x = np.nonzero(mask)
    step, width = 1 + len(y) // 20_000, max(1.0, max(mask.shape) / 400)
    y, x = y[::step] / width, x[::step] / width
    long = LONG * min(mask.shape) / width / step
    best, found, thin = 0.0, 0.0, False
    for angle in range(-89, 91):
        level = np.cos(np.radians(angle)) * y - np.sin(np.radians(angle)) * x
        counts = np.bincount((level - level.min(initial=0)).astype(int)) if len(level) else np.zeros(1)
        # Neighbouring rows are one line: a thick stroke is no ruled page.
        rows = np.flatnonzero(counts > long)
        lines = counts[rows]
        if (np.diff(rows) > APART).any() and np.square(lines).sum() > best:
            best, found = float(np.square(lines).sum()), float(angle)
            around = np.pad(counts, BESIDE)
            beside = np.maximum(around[: -2 * BESIDE], around[2 * BESIDE :])[rows]
            thin = bool((np.diff(rows[lines > DARKER * beside]) > APART).any())
    if not thin:
        return 0.0
    if abs(found) >= 88:  # nearly upright: a quarter turn costs no pixel its sharpness
        return 90.0
    return found if abs(found) > LEVEL else 0.0


def turned(picture: Picture, degrees: float) -> tuple[Picture, np.ndarray]:
    """Turn a page clockwise; where it then shows no paper of its own, its paper goes on.

    Args:
        picture: the page.
        degrees: by how much.

    Returns:
        The turned page, and (3, 3) what brings a point of its own pixels back into the first page's.

    Example:
        >>> page, back = turned(Picture(np.zeros((20, 30), np.uint8), (30, 20), 1.0), 90)
        >>> page.size, ((back @ (0, 0, 1)).round() + 0.0).tolist()
        ((20, 30), [0.0, 20.0, 1.0])
    """
    from PIL import Image

    height, width = picture.pixels.shape[:2]
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = turn @ np.array([[0, width, 0, width], [0, 0, height, height]])
    low = corners.min(1)
    size = np.ceil((corners.max(1) - low).round(6)).astype(int)
    forward = np.eye(3)
    forward[:2, :2], forward[:2, 2] = turn, -low
    back = np.linalg.inv(forward)
    image = Image.fromarray(picture.pixels)
    place = tuple(back[:2].ravel())
    if degrees % 90:
        pixels = np.asarray(image.transform(tuple(size), Image.Transform.AFFINE, place, Image.Resampling.BICUBIC))
        own = Image.new("L", image.size, 255).transform(
            tuple(size), Image.Transform.AFFINE, place, Image.Resampling.NEAREST
        )
        pixels = np.where(_like(_inner(np.asarray(own) > 0), pixels), pixels, _paper_around(image, back, size))
    else:
        pixels = np.ascontiguousarray(np.rot90(picture.pixels, -round(degrees / 90) % 4))
    scale = picture.scale
    whole = np.diag([scale, scale, 1.0]) @ back @ np.diag([1 / scale, 1 / scale, 1.0])
    own_size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return Picture(pixels, own_size, scale), whole


def box_back(box: Box, back: np.ndarray, size: tuple[int, int]) -> Box:
    """Bring a box of a turned page back: the box around its four turned corners.

    Args:
        box: left, top, right, bottom on the turned page.
        back: (3, 3) as `turned` gives it.
        size: width and height of the first page.

    Returns:
        The box in the first page's pixels.

    Example:
        >>> back = turned(Picture(np.zeros((20, 30), np.uint8), (30, 20), 1.0), 90)[1]
        >>> box_back((0, 0, 5, 10), back, (30, 20))
        (0, 15, 10, 20)
    """
    left, top, right, bottom = box
    corners = back @ np.array([[left, right, left, right], [top, top, bottom, bottom], [1, 1, 1, 1]])
    points = (corners[:2] / corners[2]).round(3)
    low, high = np.floor(points.min(1)), np.ceil(points.max(1))
    width, height = size
    return (
        int(np.clip(low[0], 0, width)),
        int(np.clip(low[1], 0, height)),
        int(np.clip(high[0], 0, width)),
        int(np.clip(high[1], 0, height)),
    )


def _surety(signs: list[ReadDigit]) -> float:
    """How sure the signs are on the average; a refused one not at all."""
    return float(np.mean([0.0 if sign.rejected else sign.confidence for sign in signs])) if signs else 0.0


def _accepted(signs: list[ReadDigit]) -> int:
    return sum(not sign.rejected for sign in signs)


def _total(signs: list[ReadDigit]) -> float:
    return sum(sign.confidence for sign in signs if not sign.rejected)


def _may_be_ruled(signs: list[ReadDigit], stages: Stages) -> bool:
    """Whether looking for rulings is worth its 30 ms: little was read, or a piece is as long as a ruling.

    A digit that fills its image is no ruled page, however long its strokes are beside the image; and lines across
    digits that are read for sure are no reason to turn them.
    """
    if len(signs) >= FEWEST and _surety(signs) > FINE:
        return False
    if len(stages.blobs) == 1 and _accepted(signs):
        left, top, right, bottom = stages.blobs[0]
        y, x = (0.2 * side for side in (bottom - top, right - left))
        inside = stages.mask[max(0, int(top - y)) : int(bottom + y), max(0, int(left - x)) : int(right + x)]
        if inside.sum() > ALONE * stages.mask.sum():
            return False
    longest = max((max(right - left, bottom - top) for left, top, right, bottom in stages.blobs), default=0)
    return _surety(signs) < UNREAD or longest > LONG * min(stages.mask.shape)


def _turned_glyphs(glyphs: np.ndarray, degrees: float) -> np.ndarray:
    """(n, 28, 28) turned clockwise about pixel 14, MNIST's middle, and centred there again."""
    from scipy import ndimage

    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # of rows and columns
    matrix = np.linalg.inv(turn)
    middle = np.array([14.0, 14.0])
    return np.stack([ndimage.affine_transform(glyph, matrix, middle - matrix @ middle, order=1) for glyph in glyphs])


def _inner(own: np.ndarray) -> np.ndarray:
    """The page without its outermost pixels, which turning has mixed with nothing."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_erosion(own, np.ones((3, 3)), iterations=2))


def _like(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return mask if pixels.ndim == 2 else mask[..., None]


def _paper_around(image: object, back: np.ndarray, size: np.ndarray) -> np.ndarray:
    """What the page's rim looks like without writing, continued outwards: smooth, so that nothing is read in it."""
    from PIL import Image
    from scipy import ndimage

    assert isinstance(image, Image.Image)  # noqa: S101
    small = np.asarray(
        image.resize((max(2, min(32, image.width)), max(2, min(32, image.height))), Image.Resampling.BOX)
    )
    window = (7, 7, 1)[: small.ndim]
    small = ndimage.median_filter(small, window, mode="nearest")
    step = max(1, int(size.max()) // 256)
    x, y = np.meshgrid(np.arange(0, size[0], step) + step / 2, np.arange(0, size[1], step) + step / 2)
    point = back @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    column = (point[0] / image.width * small.shape[1]).clip(0, small.shape[1] - 1).astype(int)
    row = (point[1] / image.height * small.shape[0]).clip(0, small.shape[0] - 1).astype(int)
    around = small[row, column].reshape(*x.shape, *small.shape[2:])
    return np.asarray(Image.fromarray(around).resize((int(size[0]), int(size[1])), Image.Resampling.BILINEAR))
