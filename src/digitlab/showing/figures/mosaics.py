"""Figures made of images: samples, predictions and mistakes, each as one mosaic with a caption under every tile.

A grid of a hundred `imshow` axes takes Matplotlib more than a second; one mosaic with a hundred captions takes a tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from digitlab.showing.figures.canvas import BLUE, FAINT, GREEN, INK, VERMILLION, headline, new_figure
from digitlab.showing.mosaic import mosaic
from digitlab.showing.wording import confident

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    Images = npt.NDArray[np.uint8]
    Integers = npt.NDArray[np.integer]
    Floats = npt.NDArray[np.floating]

TILE_INCHES = 0.78
NAME_LENGTH = 11  # a longer class name would run into the next tile's caption


def short(name: str, length: int = NAME_LENGTH) -> str:
    """Cut a class name to fit under an image.

    Example:
        >>> short("Ankle boot"), short("T-shirt or top")
        ('Ankle boot', 'T-shirt or…')
    """
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def draw_pictures(
    images: Images,
    captions: Sequence[str],
    *,
    colours: Sequence[str] | None = None,
    columns: int = 10,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw images as dark ink on paper, a short caption under each.

    Args:
        images: uint8 (n, h, w), ink bright on 0; n may be 0.
        captions: n texts.
        colours: n colours of the captions; black if absent.
        columns: Images in a row.
        title: Said above them.
        ax: Where to draw; a new figure if absent.

    Returns:
        The axes: one image artist (none if n is 0) and n texts in the order of `images`.

    Example:
        >>> ax = draw_pictures(np.zeros((3, 28, 28), np.uint8), ["a", "b", "c"])
        >>> [text.get_text() for text in ax.texts]
        ['a', 'b', 'c']
    """
    gap, caption = 4, 9
    count = len(images)
    columns = max(1, min(columns, count))
    if ax is None:
        rows = max(1, -(-count // columns))
        ax = new_figure(max(columns, 4) * TILE_INCHES + 0.2, rows * TILE_INCHES * 1.3 + 0.6).add_subplot()
    headline(ax, title)
    ax.set_axis_off()
    if count:
        height, width = images.shape[1:]
        ax.imshow(mosaic(images, columns, gap, caption), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        for position, text in enumerate(captions):
            row, column = divmod(position, columns)
            ax.text(
                column * (width + gap) + width / 2 - 0.5,
                row * (height + gap + caption) + height + 1,
                text,
                color=colours[position] if colours is not None else INK,
                ha="center",
                va="top",
                fontsize=8.5,
                linespacing=1.1,
                parse_math=False,
            )
    return ax


def draw_samples(
    images: Images, labels: Integers, class_names: Sequence[str], per_class: int = 10, ax: Axes | None = None
) -> Axes:
    """Draw the first few images of every class, a class a row (of at most twenty classes, evenly chosen).

    Args:
        images: uint8 (n, h, w), ink bright on 0.
        labels: integer (n,), 0 to k - 1.
        class_names: k names.
        per_class: Images a class.
        ax: Where to draw; a new figure if absent.

    Returns:
        The axes, with a text for each image.

    Example:
        >>> ax = draw_samples(np.zeros((4, 28, 28), np.uint8), np.array([0, 1, 0, 1]), ["no", "yes"], per_class=2)
        >>> [text.get_text() for text in ax.texts]
        ['no', 'no', 'yes', 'yes']
    """
    present = np.unique(labels)
    if len(present) > 20:
        present = present[np.linspace(0, len(present) - 1, 20).astype(int)]
    chosen = [np.flatnonzero(labels == label)[:per_class] for label in present]
    # A class with too few images leaves the rest of its row empty instead of moving the others along.
    columns = max((len(rows) for rows in chosen), default=1)
    pictures = np.zeros((len(chosen) * columns, *images.shape[1:]), np.uint8)
    captions = [""] * len(pictures)
    for row, indices in enumerate(chosen):
        pictures[row * columns : row * columns + len(indices)] = images[indices]
        captions[row * columns : row * columns + len(indices)] = [short(class_names[present[row]])] * len(indices)
    return draw_pictures(
        pictures,
        captions,
        colours=[FAINT] * len(captions),
        columns=columns,
        title="Sample images, with labels",
        ax=ax,
    )


def draw_predictions(
    images: Images,
    labels: Integers,
    probabilities: Floats,
    class_names: Sequence[str],
    *,
    count: int = 40,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw a random sample of images with what was read, the true label, and how sure.

    Args:
        images: uint8 (n, h, w), ink bright on 0.
        labels: integer (n,), 0 to k - 1.
        probabilities: float (n, k).
        class_names: k names.
        count: Images to show.
        seed: Which sample; the same seed shows the same images, so that runs can be laid side by side.
        ax: Where to draw; a new figure if absent.

    Returns:
        The axes; captions of correct ones are blue, of wrong ones vermillion.

    Example:
        >>> ax = draw_predictions(np.zeros((1, 28, 28), np.uint8), np.array([1]), np.array([[0.8, 0.2]]), ["no", "yes"])
        >>> ax.texts[0].get_text().replace("\N{NO-BREAK SPACE}", " ")
        'no, true yes\n80 %'
    """
    chosen = np.sort(np.random.default_rng(seed).choice(len(images), min(count, len(images)), replace=False))
    read = probabilities[chosen].argmax(axis=1)
    captions = []
    for label, prediction, row in zip(labels[chosen], read, probabilities[chosen], strict=True):
        read_as, truth = short(class_names[prediction], 6), short(class_names[label], 6)
        captions.append(f"{read_as}, true {truth}\n{confident(row.max())}")
    colours = [BLUE if right else VERMILLION for right in read == labels[chosen]]
    title = "Sample predictions: read as, true label, how sure"
    return draw_pictures(images[chosen], captions, colours=colours, columns=10, title=title, ax=ax)


def draw_mistakes(
    images: Images,
    labels: Integers,
    probabilities: Floats,
    class_names: Sequence[str],
    *,
    mistakes: Integers | None = None,
    doubtful: Collection[int] = (),
    count: int = 50,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw the misclassified images, most confident first: true label, what was read instead, how sure.

    Args:
        images: uint8 (n, h, w), ink bright on 0.
        labels: integer (n,), 0 to k - 1.
        probabilities: float (n, k).
        class_names: k names.
        mistakes: integer (m,), indices in the order to show; worked out if absent.
        doubtful: Indices whose official label people do not agree with; their captions are green and marked †.
        count: Images to show at most; the title says how many there are in all.
        ax: Where to draw; a new figure if absent.

    Returns:
        The axes, with one text an image, or one sentence if there is no mistake.

    Example:
        >>> zeros = np.zeros((2, 28, 28), np.uint8)
        >>> probabilities = np.array([[0.1, 0.9], [0.1, 0.9]])
        >>> ax = draw_mistakes(zeros, np.array([0, 1]), probabilities, ["no", "yes"], doubtful=[0])
        >>> [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in ax.texts]
        ['no → yes\n90 % †']
    """
    read, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    if mistakes is None:
        wrong = np.flatnonzero(read != labels)
        mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")]
    shown = mistakes[:count]
    marked = [int(index) in set(doubtful) for index in shown]
    names = [short(name, 5) for name in class_names]
    captions = [
        f"{names[labels[i]]} → {names[read[i]]}\n{confident(confidence[i])}{' †' * mark}"
        for i, mark in zip(shown, marked, strict=True)
    ]
    title = f"Misclassified: true → read, how sure ({len(shown)} of {len(mistakes):,}, surest first)"
    if any(marked):
        title += "\n† people do not agree with the official label"
    if not len(mistakes):
        title = "Misclassified images"
    colours = [GREEN if mark else VERMILLION for mark in marked]
    ax = draw_pictures(images[shown], captions, colours=colours, columns=10, title=title, ax=ax)
    if not len(mistakes):
        message = f"None: all {len(labels):,} images were read as their label says."
        ax.text(0.0, 0.6, message, transform=ax.transAxes, color=INK, fontsize=11)
    return ax
