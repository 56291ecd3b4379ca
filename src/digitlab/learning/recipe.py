"""Recipes: everything that decides what a training run learns, in one flat frozen dataclass.

A recipe names a network, how it is trained and the seed. `RECIPES` holds the named ones; `recipe("mlp", epochs=3)` is
one of them with a field changed. The command line makes an option of every field, so a new field needs nothing else.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from digitlab.errors import RecipeError

OPTIMIZERS = ("adam", "adamw", "nadam", "rmsprop", "sgd")
SCHEDULES = ("one-cycle", "constant")
LOSSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
OUTPUTS = ("softmax", "sigmoid")
ACTIVATIONS = ("relu", "gelu", "elu", "silu", "tanh", "sigmoid")


@dataclass(frozen=True)
class Interval:
    """The numbers that a setting may have; its text is what help, docs and errors say.

    Attributes:
        low: Lower end.
        high: Upper end; infinity for none.
        closed: Which ends belong to it: "both", "left" or "neither".

    Example:
        >>> 0 in Interval(0, 1, closed="left"), 1 in Interval(0, 1, closed="left")
        (True, False)
        >>> print(Interval(0, 1, closed="left"), Interval(1), Interval(0, closed="neither"), sep="; ")
        from 0 to below 1; of at least 1; above 0
    """

    low: float
    high: float = math.inf
    closed: Literal["both", "left", "neither"] = "both"

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.closed == "neither" else self.low <= value
        return above and (value <= self.high if self.closed == "both" else value < self.high)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.closed == 'neither' else 'of at least'} {self.low:g}"
        if self.closed == "neither":
            return f"above {self.low:g} and below {self.high:g}"
        return f"from {self.low:g} to {'' if self.closed == 'both' else 'below '}{self.high:g}"


SHARE = Interval(0, 1, closed="left")


def _setting(
    default: Any, help_text: str, *, choices: tuple[str, ...] = (), bounds: Interval | None = None, search: str = ""
) -> Any:
    """A field with its help text, choices or bounds, and the range that a search tries."""
    return field(default=default, metadata={"help": help_text, "choices": choices, "bounds": bounds, "search": search})


# Of hidden layers: 200 million take 2.4 GB with their moments. One too many is refused before it takes the memory.
MAX_WEIGHTS = 200_000_000


@dataclass(frozen=True)
class Recipe:
    """How one network is built and trained; the default values are the recipe `mlp`.

    Why flat and frozen: it is written into the run as it is, compared field by field, and never changes under a run.

    Raises:
        RecipeError: a field has the wrong type or lies outside its range; the message names the field.

    Example:
        >>> Recipe(epochs=3).hidden
        (128,)
        >>> Recipe(dropout=1.5)
        Traceback (most recent call last):
        digitlab.errors.RecipeError: dropout: got 1.5, expected a number from 0 to below 1
    """

    name: str = _setting("mlp", "Name of the recipe this one came from.")
    description: str = _setting("784-128-10, ReLU, softmax", "One line for people.")
    network: str = _setting("dense", "Architecture: a function in digitlab.learning.models.")
    hidden: tuple[int, ...] = _setting(
        (128,), "Units of each hidden layer, as in 256,128; empty for none.", search="32..512"
    )
    activation: str = _setting("relu", "Activation of the hidden layers.", choices=ACTIVATIONS)
    output: str = _setting("softmax", "Activation of the last layer.", choices=OUTPUTS)
    flat_input: bool = _setting(False, "The model takes rows of 784 pixels instead of 28 x 28 images.")
    dropout: float = _setting(0.0, "Share of hidden units silenced in a training step.", bounds=SHARE, search="0..0.5")
    batch_norm: bool = _setting(False, "Batch normalisation before each hidden activation.")
    loss: str = _setting("sparse_categorical_crossentropy", "Keras' name of the loss.", choices=LOSSES)
    label_smoothing: float = _setting(0.0, "Share of the label spread over all classes.", bounds=SHARE, search="0..0.2")
    optimizer: str = _setting("adam", "Keras' name of the optimizer.", choices=OPTIMIZERS)
    schedule: str = _setting(
        "one-cycle", "Learning rate: linear warm-up then cosine to 0, or constant.", choices=SCHEDULES
    )
    peak_rate: float = _setting(
        2e-3,
        "Learning rate after warm-up (or all along, if constant).",
        bounds=Interval(0, closed="neither"),
        search="3e-4..3e-2",
    )
    warmup: float = _setting(0.2, "Share of all steps that the learning rate takes to rise.", bounds=SHARE)
    weight_decay: float = _setting(
        0.0, "Decoupled weight decay per step, times the learning rate.", bounds=Interval(0), search="1e-4..0.1"
    )
    average: float = _setting(
        0.0,
        "Decay a step of the running mean of the weights that is judged and kept; 0: the last weights.",
        bounds=SHARE,
    )
    shift: float = _setting(
        0.0, "Augmentation: move an image by up to this many pixels.", bounds=Interval(0, 4), search="0..2"
    )
    rotate: float = _setting(
        0.0, "Augmentation: turn an image by up to this many degrees.", bounds=Interval(0, 20), search="0..12"
    )
    scale: float = _setting(
        0.0, "Augmentation: size height and width by up to this share.", bounds=Interval(0, 0.5), search="0..0.15"
    )
    shear: float = _setting(
        0.0,
        "Augmentation: slant an image by up to this share of its height.",
        bounds=Interval(0, 0.5),
        search="0..0.15",
    )
    elastic: float = _setting(
        0.0, "Augmentation: bend by a smooth field of this s.d. in pixels.", bounds=Interval(0, 4), search="0..0.7"
    )
    thickness: float = _setting(
        0.0,
        "Augmentation: thicken or thin strokes by up to this share of a pixel.",
        bounds=Interval(0, 1),
        search="0..0.4",
    )
    disturb: float = _setting(
        0.0,
        "Augmentation: share of the images that other papers, scraps of ink, covered places, blur and noise disturb.",
        bounds=Interval(0, 1),
        search="0..1",
    )
    epochs: int = _setting(10, "Passes over the training images.", bounds=Interval(1))
    patience: int = _setting(
        0,
        "Stop after so many epochs without a better validation accuracy and keep the best epoch's weights; 0: never.",
        bounds=Interval(0),
    )
    batch_size: int = _setting(32, "Images in a training step.", bounds=Interval(1), search="16..256")
    seed: int = _setting(
        0, "Seed of weights, order and dropout; the same seed gives the same weights.", bounds=Interval(0)
    )

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            _check(spec, getattr(self, spec.name))
        if self.label_smoothing and self.loss != "categorical_crossentropy":
            raise RecipeError(
                f"got {self.label_smoothing} with loss {self.loss}, which cannot smooth. "
                "Set loss to categorical_crossentropy as well",
                "label_smoothing",
            )

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values, in order."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in ((spec.name, getattr(self, spec.name)) for spec in dataclasses.fields(self))
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote; a field it does not know is an error, a missing one takes its default.

        Raises:
            RecipeError: an unknown field, or a value that does not fit its field.
        """
        unknown = sorted(set(values) - set(FIELDS))
        if unknown:
            raise RecipeError(
                f"recipe field {unknown[0]!r} is not known here{_suggest(unknown[0], FIELDS)}. "
                "Was it written by a newer digitlab?"
            )
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


def _check(spec: dataclasses.Field[Any], value: Any) -> None:
    """Raise a RecipeError that names the field, what came and what was expected."""
    choices, bounds = spec.metadata["choices"], spec.metadata["bounds"]
    if spec.type == "tuple[int, ...]":
        good = isinstance(value, tuple) and all(
            isinstance(u, int) and not isinstance(u, bool) and u >= 1 for u in value
        )
        expected = "whole numbers of at least 1, as in (256, 128)"
        if good and sum(u * v for u, v in zip((784, *value), (*value, 10), strict=True)) > MAX_WEIGHTS:
            good, expected = False, f"layers of at most {MAX_WEIGHTS:,} weights together"
    elif spec.type == "bool":
        good, expected = isinstance(value, bool), "True or False"
    elif spec.type == "str":
        good, expected = isinstance(value, str), "a text"
        if choices:
            good, expected = good and value in choices, "one of " + ", ".join(choices)
    else:
        whole = spec.type == "int"
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        good = good and math.isfinite(value) and (bounds is None or value in bounds)
        expected = f"a {'whole number' if whole else 'number'}" + (f" {bounds}" if bounds else "")
    if not good:
        raise RecipeError.of(spec.name, value, expected)


def _suggest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


FIELDS: dict[str, dataclasses.Field[Any]] = {spec.name: spec for spec in dataclasses.fields(Recipe)}

RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        Recipe(
            name="linear-sigmoid",
            description="784-10, sigmoid outputs",
            hidden=(),
            output="sigmoid",
            epochs=5,
        ),
        Recipe(name="linear", description="784-10, softmax", hidden=(), epochs=5),
        Recipe(
            name="mlp100-sigmoid",
            description="784-100-10, sigmoid outputs",
            hidden=(100,),
            output="sigmoid",
            epochs=5,
        ),
        Recipe(
            name="mlp-onehot",
            description="784-128-10, one-hot labels",
            flat_input=True,
            loss="categorical_crossentropy",
            epochs=5,
        ),
        Recipe(),
        Recipe(
            name="mlp-tuned",
            description="784-128-10, SiLU, dropout, weight decay",
            activation="silu",
            dropout=0.2,
            optimizer="adamw",
            weight_decay=0.1,
            epochs=30,
        ),
        Recipe(
            name="mlp2",
            description="784-512-256-10, dropout",
            hidden=(512, 256),
            dropout=0.2,
        ),
        Recipe(
            name="mlp-augmented",
            description="784-128-10 on images changed at random",
            optimizer="adamw",
            batch_size=128,
            epochs=120,
            average=0.99,
            shift=1.5,
            rotate=8.0,
            scale=0.1,
            shear=0.1,
            elastic=0.6,
        ),
        Recipe(
            name="tiny",
            description="five small convolutions; three seeds of it are the Reader",
            network="tiny",
            batch_norm=True,
            batch_size=32,
            epochs=20,
            peak_rate=5e-3,
            average=0.99,
            shift=1.5,
            rotate=8.0,
            scale=0.1,
            shear=0.1,
        ),
        Recipe(
            name="fast99",
            description="two convolutions, for speed",
            network="fast",
            batch_norm=True,
            batch_size=64,
            epochs=2,
            peak_rate=1e-2,
        ),
        Recipe(
            name="cnn",
            description="three convolutions, augmentation",
            network="cnn",
            batch_norm=True,
            dropout=0.3,
            optimizer="adamw",
            weight_decay=1e-2,
            batch_size=32,
            epochs=18,
            peak_rate=3e-3,
            average=0.99,
            shift=2.0,
            rotate=10.0,
            scale=0.15,
            shear=0.15,
            elastic=0.5,
            thickness=0.4,
        ),
        Recipe(
            name="best",
            description="five convolutions, augmentation, averaged weights",
            network="deep",
            batch_norm=True,
            dropout=0.4,
            optimizer="adamw",
            weight_decay=2e-2,
            batch_size=64,
            epochs=30,
            peak_rate=3e-3,
            average=0.99,
            shift=2.0,
            rotate=10.0,
            scale=0.12,
            shear=0.12,
            elastic=0.6,
        ),
        Recipe(
            name="robust",
            description="four convolutions on local contrast, for bad images",
            network="contrast",
            batch_norm=True,
            dropout=0.3,
            optimizer="adamw",
            weight_decay=2e-2,
            batch_size=64,
            epochs=16,
            peak_rate=3e-3,
            average=0.99,
            shift=3.0,
            rotate=16.0,
            scale=0.25,
            shear=0.25,
            elastic=0.6,
            thickness=0.4,
            disturb=0.6,
        ),
    )
}


def recipe(name: str | Recipe = "mlp", **changes: Any) -> Recipe:
    """A named recipe with fields changed.

    Args:
        name: A name in `RECIPES`, or a Recipe to start from.
        **changes: Fields of `Recipe` to set.

    Raises:
        RecipeError: no such recipe, no such field, or a value outside its range.

    Example:
        >>> recipe("mlp", epochs=3, hidden=(64,)).epochs
        3
        >>> recipe("mpl")
        Traceback (most recent call last):
        digitlab.errors.RecipeError: no recipe 'mpl' (did you mean 'mlp'?). `digitlab recipes` lists them
    """
    if isinstance(name, Recipe):
        base = name
    elif name in RECIPES:
        base = RECIPES[name]
    elif name == "ensemble":
        raise RecipeError("no recipe 'ensemble': the seeds of any recipe are one. Try: digitlab train best --seeds 5")
    else:
        raise RecipeError(f"no recipe {name!r}{_suggest(name, RECIPES)}. `digitlab recipes` lists them")
    for key in changes:
        if key not in FIELDS:
            raise RecipeError(f"no recipe field {key!r}{_suggest(key, FIELDS)}. Fields: {', '.join(FIELDS)}")
    return dataclasses.replace(base, **changes)
