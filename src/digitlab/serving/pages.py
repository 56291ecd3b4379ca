"""The page where one draws: its template filled, with a policy that lets it talk to this server and to nobody else."""

from __future__ import annotations

import base64
import functools
import hashlib
import re

from digitlab.showing.html import fill

SCRIPTS = (
    "numbers.js",
    "checklist.js",
    "sheet.js",
    "labels.js",
    "answer.js",
    "models.js",
    "photos.js",
    "zoom.js",
    "export.js",
    "draw.js",
    "corrections.js",
)


@functools.cache
def drawing_page(model: str, accuracy: float | None, collect: str = "") -> tuple[str, str]:
    """Fill the page.

    Args:
        model: name of what reads.
        accuracy: on its test images, 0..1, where known.
        collect: name of the folder that keeps corrected digits; "" where none does.

    Returns:
        The page, and its Content-Security-Policy.

    Example:
        >>> page, policy = drawing_page("digits", 0.99)
        >>> "connect-src 'self'" in policy
        True
    """
    page = fill(
        "draw.html",
        package="digitlab.serving",
        styles=("style.css", "drawing.css", "checklist.css", "draw.css"),
        scripts=SCRIPTS,
        model=model,
        accuracy=accuracy,
        collect=collect,
    )
    return page, _policy(page)


TRAINING_SCRIPTS = ("numbers.js", "curves.js", "train.js")


def training_page(control: bool, *, home: bool = True) -> tuple[str, str]:
    """Fill the page where one starts a run and sees it learn.

    Args:
        control: whoever asks may start and stop.
        home: there are other pages beside it.

    Returns:
        The page, and its Content-Security-Policy.

    Example:
        >>> "Start" in training_page(True)[0]
        True
    """
    from digitlab.learning.recipe import RECIPES

    recipes = [
        {
            "name": recipe.name,
            "description": recipe.description,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "peak_rate": recipe.peak_rate,
            "hidden": list(recipe.hidden),
            "dropout": recipe.dropout,
            "seed": recipe.seed,
        }
        for recipe in RECIPES.values()
    ]
    page = fill(
        "train.html",
        package="digitlab.serving",
        styles=("style.css", "train.css"),
        scripts=TRAINING_SCRIPTS,
        recipes=recipes,
        control=control,
        home=home,
    )
    return page, _policy(page)


def _policy(page: str) -> str:
    """Talk to this server and to nobody else."""
    hashes = {kind: _hash(re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)[-1]) for kind in ("style", "script")}
    return (
        f"default-src 'none'; connect-src 'self'; img-src data: blob:; style-src '{hashes['style']}'; "
        f"script-src '{hashes['script']}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
