"""What a search tries: a range for each field, from the recipe's own fields or as a user writes it.

`low..high` is a range: on a logarithmic scale where the upper end is at least ten times the lower, and in powers of two
for whole numbers, so that few shapes are compiled. `a,b,c` is a choice. `hidden=low..high` searches the width of all
hidden layers, and with it how many there are, 1 to 3. `augmentation` is one strength, 0 to 1, for all six kinds of
change together: each goes from 0 to the upper end of its own field's range.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from digitlab.errors import RecipeError
from digitlab.learning.augment import STRENGTHS
from digitlab.learning.recipe import FIELDS, Recipe
from digitlab.learning.recipe import recipe as make_recipe

# What is searched unless the user says otherwise, in this order.
SEARCHED = ("peak_rate", "hidden", "dropout", "batch_size", "weight_decay", "label_smoothing", "augmentation")
MOST_LAYERS = 3


class Trial(Protocol):
    """What is used of an `optuna.Trial`."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number between two others."""
        ...

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number between two others, both included."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""
        ...


@dataclass(frozen=True)
class Range:
    """The values of one field that a search tries: between `low` and `high`, or one of `choices`."""

    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    @property
    def logarithmic(self) -> bool:
        """Whether steps are factors."""
        return self.low > 0 and self.high / self.low >= 10

    def __str__(self) -> str:
        return ",".join(map(_written, self.choices)) if self.choices else f"{self.low:g}..{self.high:g}"


def _written(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def parse(name: str, text: str) -> Range:
    """The range of a field from its text.

    Raises:
        RecipeError: not a range, or its ends lie outside what the field allows.

    Example:
        >>> parse("peak_rate", "1e-4..1e-2"), parse("optimizer", "adam,sgd").choices
        (Range(low=0.0001, high=0.01, choices=()), ('adam', 'sgd'))
    """
    if name != "augmentation" and (name not in FIELDS or name in ("name", "description", "network", "seed")):
        if name not in FIELDS:
            make_recipe("mlp", **{name: None})  # says what is near it
        raise RecipeError(f"{name}: not a field that can be searched; expected one of {', '.join(SEARCHED)} or another")
    low, dots, high = text.partition("..")
    if not dots:
        if name == "augmentation":
            raise RecipeError(f"augmentation: got {text!r}, expected a range within 0..1")
        return Range(choices=tuple(value_of(name, part) for part in text.split(",")))
    try:
        found = Range(float(low), float(high))
    except ValueError:
        raise RecipeError(f"{name}: got {text!r}, expected a range as in 1e-4..1e-2, or values as in 32,64") from None
    if not (math.isfinite(found.low) and math.isfinite(found.high)) or found.low >= found.high:
        raise RecipeError(f"{name}: got {text!r}, expected a lower end below an upper one")
    if name == "augmentation":
        if found.low < 0 or found.high > 1:
            raise RecipeError(f"augmentation: got {text!r}, expected a range within 0..1")
    elif str(FIELDS[name].type) not in ("int", "float", "tuple[int, ...]"):
        raise RecipeError(f"{name}: got {text!r}, expected values with commas between them")
    else:
        for end in (found.low, found.high):
            _with(make_recipe("mlp"), name, end if str(FIELDS[name].type) == "float" else int(end))
    return found


def value_of(name: str, text: str) -> Any:
    """A field's value from its text; hidden layers as 256x128.

    Raises:
        RecipeError: it does not fit the field.
    """
    if name not in FIELDS:
        make_recipe("mlp", **{name: None})
    kind = str(FIELDS[name].type)
    try:
        if kind == "tuple[int, ...]":
            value: Any = tuple(int(part) for part in text.split("x")) if text else ()
        elif kind == "bool":
            value = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        else:
            value = {"int": int, "float": float, "str": str}[kind](text)
    except (ValueError, KeyError):
        raise RecipeError(f"{name}: got {text!r}, expected {'a number' if kind != 'bool' else 'yes or no'}") from None
    _with(make_recipe("mlp"), name, value)
    return value


def space(recipe: Recipe, search: Mapping[str, str], fixed: Mapping[str, str]) -> tuple[Recipe, dict[str, Range]]:
    """The recipe to start from, with what is fixed, and the ranges searched.

    Args:
        recipe: Named by the user.
        search: Text of ranges by field, in place of the field's own or besides.
        fixed: Text of values by field that is not searched; an empty text fixes a field at the recipe's own value.

    Raises:
        RecipeError: a range or value that does not fit, a field both searched and fixed, or nothing left to search.
    """
    both = sorted(set(search) & set(fixed))
    if both:
        raise RecipeError(f"{both[0]}: both searched and fixed. Leave out one of the two")
    for name, text in fixed.items():
        if name == "augmentation":
            if text:
                recipe = _strengths(recipe, _share(text))
        elif text:
            recipe = _with(recipe, name, value_of(name, text))
        elif name not in FIELDS:
            make_recipe("mlp", **{name: None})
    names = [*SEARCHED, *(name for name in search if name not in SEARCHED)]
    skipped = {*fixed}
    if recipe.network != "dense":
        skipped.add("hidden")
    if any(name in STRENGTHS for name in search):
        skipped.add("augmentation")  # whoever searches one kind of change has the others as the recipe says
    ranges = {}
    for name in names:
        if name not in skipped or name in search:
            own = "0..1" if name == "augmentation" else FIELDS[name].metadata["search"] if name in FIELDS else ""
            ranges[name] = parse(name, search.get(name) or own)
    if not ranges:
        raise RecipeError("nothing is left to search: every field is fixed")
    if "label_smoothing" in ranges:
        recipe = dataclasses.replace(recipe, loss="categorical_crossentropy")
    return recipe, ranges


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise RecipeError(f"augmentation: got {text!r}, expected a number from 0 to 1")
    return share


def suggest(trial: Trial, recipe: Recipe, ranges: Mapping[str, Range]) -> Recipe:
    """The recipe of a trial."""
    for name, tried in ranges.items():
        whole = name in FIELDS and str(FIELDS[name].type) != "float"
        if tried.choices:
            written = [_written(choice) for choice in tried.choices]
            value: Any = tried.choices[written.index(trial.suggest_categorical(name, written))]
        elif name == "hidden":
            width = 2 ** trial.suggest_int("log2 width", *_powers(tried))
            value = (width,) * trial.suggest_int("layers", 1, MOST_LAYERS)
        elif whole and tried.logarithmic:
            value = 2 ** trial.suggest_int(f"log2 {name}", *_powers(tried))
        elif whole:
            value = trial.suggest_int(name, int(tried.low), int(tried.high))
        else:
            value = trial.suggest_float(name, tried.low, tried.high, log=tried.logarithmic)
        recipe = _strengths(recipe, value) if name == "augmentation" else _with(recipe, name, value)
    return recipe


def parameters_of(recipe: Recipe, ranges: Mapping[str, Range]) -> dict[str, Any]:
    """What `suggest` would have been given for this recipe, as near as the ranges allow: a search begins with it."""
    given: dict[str, Any] = {}
    for name, tried in ranges.items():
        if name == "augmentation":
            ends = [_end(kind) for kind in STRENGTHS]
            shares = [getattr(recipe, kind) / end for kind, end in zip(STRENGTHS, ends, strict=True)]
            given[name] = min(max(sum(shares) / len(shares), tried.low), tried.high)
            continue
        value = getattr(recipe, name)
        if tried.choices:
            if value in tried.choices:
                given[name] = _written(value)
        elif name == "hidden":
            low, high = _powers(tried)
            given["log2 width"] = min(max(round(math.log2(value[0])), low), high) if value else low
            given["layers"] = min(max(len(value), 1), MOST_LAYERS)
        elif str(FIELDS[name].type) == "int" and tried.logarithmic:
            low, high = _powers(tried)
            given[f"log2 {name}"] = min(max(round(math.log2(max(value, 1))), low), high)
        else:
            given[name] = min(max(value, type(value)(tried.low)), type(value)(tried.high))
    return given


def _powers(tried: Range) -> tuple[int, int]:
    """The exponents of 2 inside a range."""
    low, high = math.ceil(math.log2(max(tried.low, 1))), math.floor(math.log2(tried.high))
    if low > high:
        raise RecipeError(f"range {tried}: no power of two in it")
    return low, high


def _end(kind: str) -> float:
    return float(FIELDS[kind].metadata["search"].partition("..")[2])


def _strengths(recipe: Recipe, share: float) -> Recipe:
    changes: dict[str, Any] = {kind: share * _end(kind) for kind in STRENGTHS}
    return dataclasses.replace(recipe, **changes)


def _with(recipe: Recipe, name: str, value: Any) -> Recipe:
    """The recipe with one field set; with smoothed labels also the loss that can smooth."""
    if name == "hidden" and isinstance(value, int):
        value = (value,)
    changes = {name: value}
    if name == "label_smoothing" and value:
        changes["loss"] = "categorical_crossentropy"
    return make_recipe(recipe, **changes)
