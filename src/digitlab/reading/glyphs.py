"""From an image to its signs: a 28 x 28 image each, in reading order, with every stage kept for people to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.reading.arrows import arrows
from digitlab.reading.brackets import without_brackets
from digitlab.reading.clearing import clear, uncleared
from digitlab.reading.components import Blob, union
from digitlab.reading.cutting import cut_out
from digitlab.reading.ink import page_ink
from digitlab.reading.margins import Margins, with_even_margins
from digitlab.reading.normalise import ink_inside, normalise
from digitlab.reading.order import lines_of
from digitlab.reading.picture import Picture
from digitlab.reading.plausible import all_ruling, believed, leaning_ones, showing_through, ticks
from digitlab.reading.sizes import share_held, spots_at_their_size
from digitlab.reading.spotter import CHARACTERS, Spots, nothing
from digitlab.reading.verifier import verified

if TYPE_CHECKING:
    from digitlab.reading.model import OnnxModel

# How likely a lone upright stroke is meant as a 1, and how many of them a page may show.
LONE, MOST_LONE = 0.9, 3
# A page shows writing if its signs hold the first share of its dark ink and one of them is at all like a digit (the
# only one, or one of more, which asks for more), or a sign for sure, such as a letter. By the networks before today's,
# of 352 real images with digits all but two of the 19 whose best digit was worse than `WRITTEN` held 0.96 and more.
# A page that lies turned shows no good digit, and perhaps no sign at all: where its signs, or else its pieces of
# writing, hold the last share, they are asked how it lies; a sign alone cannot tell, and may be less sure to be one: of
# 34 letters, crosses and scribbles by themselves 25 score `SIGN` and more, 32 `SIGN_ALONE`; of 282 photographs four.
HELD, ANY, FAIR, SIGN, SIGN_ALONE, ASKED = 0.93, 0.1, 0.5, 0.75, 0.55, 0.5
# Where there is more on the page, its best digit must be good; else it is grain, wood, a landscape. One or two in a
# picture full of other ink must be very good. From the first number of digits on, a good one may be chance, in leaves
# or windows: half of them must be good, or one very good; from the second number on, in a pattern of circles, that is
# chance as well. Of real pages with three digits and more the middle one is at least 0.8, of photographs and textures
# that were read as numbers 0.2 to 0.68.
WRITTEN, VERY_GOOD, TYPICAL = 0.7, 0.8, 0.6
SEVERAL, HUNDREDS = 3, 100
# Below this score, after the second look, no sign is there.
THERE = 0.2
# A piece of writing is as tall as a digit within these shares of a digit's usual height.
AS_TALL = 0.6, 1.6
# Within these it is looked at again where no sign was seen.
MISSED = 0.45, 1.6
# Pieces are asked if they are so many, and this share of them is as tall as the others: of grain and photographs
# at most 0.74 where there are hundreds of them, else at most 0.71, most below 0.6; of real digits turned, most above.
# Of signs that are no writing as they lie, the surest so many are asked.
FEWEST, MOST, ALIKE = 3, 150, 0.6
# A digit that is only seen without the rulings must be this good; where most marks are pale, the look without them
# counts if it shows this share of the good digits: pencil on a dark grid is as pale as the grid.
PLAIN, AS_MANY = 0.6, 0.7


@dataclass(frozen=True)
class Glyph:
    """One sign cut out of an image.

    Attributes:
        image: (28, 28) uint8, MNIST's geometry.
        box: left, top, right, bottom in the image's own pixels, after EXIF rotation.
        line: number of its line on the page, from 0.
        probabilities: (18,) float32 over `spotter.CHARACTERS`, as the spotter sees the sign among its neighbours; None
            where it was not asked.
        averaged: (18,) float32, what the networks of pages say of it, each by itself, averaged.
        features: (k,) float32, what the verifier sees in it.
        score: how sure the spotter is that a sign stands there, 0..1.
    """

    image: np.ndarray
    box: tuple[int, int, int, int]
    line: int
    probabilities: np.ndarray | None = None
    averaged: np.ndarray | None = None
    features: np.ndarray | None = None
    score: float = 1.0


@dataclass(frozen=True)
class Stages:
    """What each step made of a page, in working pixels.

    Attributes:
        grey: (h, w) uint8, colour removed; dark ink on light paper, inverted if `inverted`.
        paper: (h, w) uint8, the page as if unwritten.
        ink: (h, w) uint8, how dark the ink is, 255 black.
        mask: (h, w) bool, what passed the first threshold, rulings out.
        rulings: (h, w) bool, ruled lines, circles and frames that were taken out.
        blobs: boxes (left, top, right, bottom) of what the spotter saw as signs, also those that were left out.
        inverted: the ink was lighter than the paper.
        scale: original pixels per working pixel.
        written: its signs, read as they lie, are writing; else they only say how the page may be turned.
        tall: the usual length of its signs, working pixels, or of its pieces where it shows no sign; 0 without any.
    """

    grey: np.ndarray
    paper: np.ndarray
    ink: np.ndarray
    mask: np.ndarray
    rulings: np.ndarray
    blobs: list[tuple[int, int, int, int]] = field(default_factory=list)
    inverted: bool = False
    scale: float = 1.0
    written: bool = True
    tall: float = 0.0


def find_glyphs(
    picture: Picture, *, spotter: Any = None, verifier: OnnxModel | None = None, single: bool = False
) -> tuple[list[Glyph], Stages]:
    """Find the signs of a page and bring each into MNIST's geometry.

    Args:
        picture: the page.
        spotter: ONNX Runtime's session of the spotter; only `single` does without.
        verifier: what looks again at each sign that the spotter found; None for no second look.
        single: the whole image is one digit: every piece of it is joined, and the spotter is not asked.

    Returns:
        The glyphs in reading order (none on an empty page), and the stages.
    """
    # 1 the pixels, their empty margins brought to one width
    pixels, margins = with_even_margins(picture.pixels)
    # 2 and 3 the paper, and the ink without it
    page = page_ink(pixels)
    # 4 the mask, ruled lines taken out
    cleared = uncleared(page) if single else clear(page)
    page, mask, pieces, tall = cleared.page, cleared.mask, cleared.pieces, cleared.tall
    # 5 the signs: where the spotter sees them, and whose ink is whose
    seen = nothing()
    blobs: list[Blob] = []
    written = True
    if single:
        blobs = [_all_of(pieces)] if pieces else []
        spots = _as_ones(blobs) if blobs and _is_stroke(blobs[0], mask.shape) else seen
    else:
        seen = spots_at_their_size(page, tall, spotter)
        if cleared.mostly_pale:
            bare = spots_at_their_size(cleared.bare, tall, spotter)
            seen = bare if _plain(bare) >= AS_MANY * _plain(seen) else seen
        missed = _missed(pieces, seen, tall)
        if seen.quality.max(initial=0) >= PLAIN and missed:
            low = float(np.median([piece.height for piece in missed]))
            seen = _with_missed(seen, spots_at_their_size(cleared.bare, low, spotter))
        if verifier:
            seen = verified(verifier, page.ink, seen)
        there = seen.take(np.flatnonzero(seen.scores >= THERE))
        no_writing = all_ruling(there, mask, cleared.rulings) | ticks(there, cleared.rulings)
        no_writing |= arrows(there, page.ink > 0.3 * page.contrast)
        there = leaning_ones(there.take(np.flatnonzero(~no_writing)))
        held = share_held(there, page)
        written = _is_written(there, held)
        spots = believed(there) if written or held >= ASKED else nothing()
        strokes = _missed_strokes(pieces, spots, mask.shape)
        written = written or bool(strokes)
        if not written and _like_writing(pieces):
            unnamed = _unnamed(pieces)
            spots = unnamed if share_held(unnamed, page) >= ASKED else spots
        if not written:
            spots = spots.take(np.argsort(-spots.scores, kind="stable")[:MOST])
        blobs = cut_out(mask, page.ink, spots.boxes) if len(spots) else []
        kept = np.flatnonzero(~showing_through(blobs, spots)) if blobs else np.arange(len(spots))
        blobs, spots = without_brackets([blobs[i] for i in kept], spots.take(kept))
        blobs, spots = blobs + strokes, spots.with_more(_as_ones(strokes))
    # 6 each in MNIST's geometry, in reading order
    images = [normalise(ink_inside(page.ink, blob)) for blob in blobs]
    boxes = np.array([_box(blob, picture, margins) for blob in blobs]).reshape(-1, 4)
    glyphs = [
        Glyph(
            images[i],
            tuple(int(edge) for edge in boxes[i]),  # type: ignore[arg-type]
            number,
            spots.probabilities[i] if len(spots) else None,
            spots.averaged[i] if len(spots) else None,
            spots.features[i] if len(spots) else None,
            float(spots.scores[i]) if len(spots) else 1.0,
        )
        for number, line in enumerate(lines_of(_on_lines(boxes, spots)))
        for i in line
    ]
    stages = Stages(
        grey=margins.put_back(np.clip(page.grey, 0, 255).astype(np.uint8)),
        paper=margins.put_back(np.clip(page.paper, 0, 255).astype(np.uint8)),
        ink=margins.put_back((255 * page.ink).astype(np.uint8)),
        mask=margins.put_back(mask),
        rulings=margins.put_back(cleared.rulings),
        blobs=[_placed(piece, margins) for piece in pieces]
        if single
        else [_moved(box, margins) for box in np.rint(seen.boxes).astype(int).tolist()],
        inverted=page.inverted,
        scale=picture.scale,
        written=written,
        tall=_long(seen.boxes) or _long(np.array([(p.left, p.top, p.right, p.bottom) for p in pieces]).reshape(-1, 4)),
    )
    return glyphs, stages


def _long(boxes: np.ndarray) -> float:
    """The usual length of boxes (n, 4), whichever way they lie; 0 for none."""
    return float(np.median((boxes[:, 2:] - boxes[:, :2]).max(1))) if len(boxes) else 0.0


def _is_written(spots: Spots, held: float) -> bool:
    """Whether what was seen on a page is writing, of which its signs hold so much of the dark ink."""
    digits = spots.quality[spots.digit]
    best = digits.max(initial=0)
    if held >= HELD and len(digits) < HUNDREDS:
        like_a_digit, a_sign = (ANY, SIGN_ALONE) if len(spots) == 1 else (FAIR, SIGN)
        sure = spots.scores[~spots.separator].max(initial=0)
        return bool(spots.quality.max(initial=0) >= like_a_digit or sure >= a_sign)
    if len(digits) >= SEVERAL:
        by_one = best >= VERY_GOOD and len(digits) < HUNDREDS
        return bool(best >= WRITTEN and (by_one or np.median(digits) >= TYPICAL))
    return bool(best >= (WRITTEN if held >= ASKED else VERY_GOOD))


def _plain(spots: Spots) -> int:
    """How many good digits there are."""
    return int((spots.quality >= PLAIN).sum())


def _missed(pieces: list[Blob], spots: Spots, tall: float) -> list[Blob]:
    """Pieces about as tall as a digit, in none of the signs' boxes."""
    low, high = MISSED
    tall_ones = [piece for piece in pieces if low * tall < piece.height < high * tall]
    return [piece for piece in tall_ones if not _covered(piece, spots.boxes)]


def _like_writing(pieces: list[Blob]) -> bool:
    """Whether pieces are as many and as alike in height as signs on a page; grain's are more, and of every height."""
    if not FEWEST <= len(pieces) <= MOST:
        return False
    heights = np.array([piece.height for piece in pieces])
    low, high = np.array(AS_TALL) * np.median(heights)
    return bool(((heights > low) & (heights < high)).mean() >= ALIKE)


def _with_missed(seen: Spots, again: Spots) -> Spots:
    """What was seen, and of what was seen without the rulings the plain digits where nothing was."""
    middles = (again.boxes[:, :2] + again.boxes[:, 2:]) / 2
    inside = (middles[:, None] >= seen.boxes[None, :, :2]) & (middles[:, None] <= seen.boxes[None, :, 2:])
    new = (again.quality >= PLAIN) & ~inside.all(2).any(1)
    return seen.with_more(again.take(np.flatnonzero(new)))


def _missed_strokes(pieces: list[Blob], spots: Spots, shape: tuple[int, ...]) -> list[Blob]:
    """Upright strokes as tall as the digits, on a page with nothing else, are 1s; else one may be a line's remain."""
    rest = [piece for piece in pieces if not _covered(piece, spots.boxes)]
    if not 1 <= len(rest) <= MOST_LONE or not all(_is_stroke(piece, shape) for piece in rest):
        return []
    heights = np.array([piece.height for piece in rest])
    digits = spots.boxes[spots.digit]
    tall = float(np.median(digits[:, 3] - digits[:, 1])) if len(digits) else float(heights.max())
    return rest if ((heights > 0.65 * tall) & (heights < 1.4 * tall)).all() else []


def _covered(piece: Blob, boxes: np.ndarray) -> bool:
    """Whether a piece's middle lies in some box."""
    x, y = piece.left + piece.width / 2, piece.top + piece.height / 2
    return bool(((boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])).any())


def _is_stroke(piece: Blob, shape: tuple[int, ...]) -> bool:
    """Upright, thin, and whole: it may nearly fill the image's height, but stands clear of its sides."""
    whole = (
        min(piece.top, shape[0] - piece.bottom) > 0 and min(piece.left, shape[1] - piece.right) > 0.05 * piece.height
    )
    return whole and piece.height > 2.5 * piece.width and piece.area > 0.25 * piece.mask.size


def _as_ones(strokes: list[Blob]) -> Spots:
    """Pieces as signs that are very likely 1s."""
    return _as_signs(strokes, LONE)


def _unnamed(pieces: list[Blob]) -> Spots:
    """Pieces as signs that are none of ours."""
    return _as_signs(pieces, 0.0)


def _as_signs(pieces: list[Blob], one: float) -> Spots:
    probabilities = np.zeros((len(pieces), len(CHARACTERS)), np.float32)
    probabilities[:, 1], probabilities[:, -1] = one, 1 - one
    boxes = np.array([[s.left, s.top, s.right, s.bottom] for s in pieces], np.float32).reshape(-1, 4)
    return Spots.seen_once(boxes, np.ones(len(pieces), np.float32), probabilities)


def _on_lines(boxes: np.ndarray, spots: Spots) -> np.ndarray:
    """Boxes as tall as a digit, for separators too: a point lies on the line, a dash in its middle."""
    boxes = boxes.astype(float)
    if not len(spots) or not spots.digit.any():
        return boxes
    tall = float(np.median((boxes[:, 3] - boxes[:, 1])[spots.digit]))
    for i in np.flatnonzero(spots.separator):
        character = CHARACTERS[int(spots.probabilities[i].argmax())]
        middle = (boxes[i, 1] + boxes[i, 3]) / 2
        if character == ".":
            middle = boxes[i, 3] - tall / 2
        elif character == ",":
            middle = boxes[i, 1] - 0.4 * tall
        boxes[i, 1], boxes[i, 3] = middle - tall / 2, middle + tall / 2
    return boxes


def _all_of(pieces: list[Blob]) -> Blob:
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = union(whole, piece)
    return whole


def _moved(box: list[int], margins: Margins) -> tuple[int, int, int, int]:
    """A box of the page with even margins, in working pixels of the whole page."""
    left, top, right, bottom = box
    return left + margins.left, top + margins.top, right + margins.left, bottom + margins.top


def _placed(blob: Blob, margins: Margins) -> tuple[int, int, int, int]:
    return _moved([blob.left, blob.top, blob.right, blob.bottom], margins)


def _box(blob: Blob, picture: Picture, margins: Margins) -> tuple[int, int, int, int]:
    width, height = picture.size
    left, top, right, bottom = (edge * picture.scale for edge in _placed(blob, margins))
    return (
        max(0, int(np.floor(left))),
        max(0, int(np.floor(top))),
        min(width, int(np.ceil(right))),
        min(height, int(np.ceil(bottom))),
    )
