"""Recipes: names, fields, ranges, and the round trip through a run's description."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.errors import RecipeError
from digitlab.learning import FIELDS, RECIPES, Recipe, recipe
from digitlab.learning.describe import rescales
from digitlab.learning.models import build


def test_named_recipes_are_themselves() -> None:
    assert {"linear-sigmoid", "linear", "mlp100-sigmoid", "mlp-onehot", "mlp", "mlp2"} <= set(RECIPES)
    for name, settings in RECIPES.items():
        assert settings.name == name
        assert recipe(name) is not None
    assert recipe() == Recipe() == RECIPES["mlp"]


@pytest.mark.parametrize(
    ("name", "parameters", "loss", "output"),
    [
        ("linear-sigmoid", 7_850, "sparse_categorical_crossentropy", "sigmoid"),
        ("linear", 7_850, "sparse_categorical_crossentropy", "softmax"),
        ("mlp100-sigmoid", 784 * 100 + 100 + 1010, "sparse_categorical_crossentropy", "sigmoid"),
        ("mlp-onehot", 101_770, "categorical_crossentropy", "softmax"),
        ("mlp", 101_770, "sparse_categorical_crossentropy", "softmax"),
        ("mlp2", 785 * 512 + 513 * 256 + 257 * 10, "sparse_categorical_crossentropy", "softmax"),
    ],
)
def test_networks_are_what_the_field_starts_from(name: str, parameters: int, loss: str, output: str) -> None:
    settings = RECIPES[name]
    model = build(settings)
    assert model.count_params() == parameters
    assert settings.loss == loss
    assert model.layers[-1].activation.__name__ == output
    assert rescales(model)
    assert model.input_shape == ((None, 784) if name == "mlp-onehot" else (None, 28, 28))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: got 0, expected a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs: got 1.5"),
        ({"epochs": True}, "epochs: got True"),
        ({"peak_rate": 0.0}, "peak_rate: got 0.0, expected a number above 0"),
        ({"peak_rate": float("nan")}, "peak_rate: got nan"),
        ({"peak_rate": float("inf")}, "peak_rate: got inf"),
        ({"dropout": 1.0}, "dropout: got 1.0, expected a number from 0 to below 1"),
        ({"hidden": (0,)}, "hidden: got"),
        ({"hidden": "128"}, "hidden: got '128'"),
        ({"optimizer": "magic"}, "optimizer: got 'magic', expected one of adam"),
        ({"batch_norm": 1}, "batch_norm: got 1, expected True or False"),
        ({"label_smoothing": 0.1}, "Set loss to categorical_crossentropy"),
        ({"epoch": 3}, "no recipe field 'epoch' .did you mean 'epochs'"),
    ],
)
def test_fields_out_of_range_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe("mlp", **changes)


def test_every_field_says_what_it_does() -> None:
    for name, spec in FIELDS.items():
        assert spec.metadata["help"].endswith("."), name


@given(
    epochs=st.integers(1, 10**6),
    hidden=st.lists(st.integers(1, 9999), max_size=4).map(tuple),
    rate=st.floats(1e-9, 1e3),
    dropout=st.floats(0, 1, exclude_max=True),
    norm=st.booleans(),
)
def test_round_trip_through_json(epochs: int, hidden: tuple[int, ...], rate: float, dropout: float, norm: bool) -> None:
    settings = recipe("mlp2", epochs=epochs, hidden=hidden, peak_rate=rate, dropout=dropout, batch_norm=norm)
    assert Recipe.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_unknown_field_in_a_file_is_refused_and_a_missing_one_has_its_default() -> None:
    with pytest.raises(RecipeError, match="'warp' is not known"):
        Recipe.from_dict({"warp": 9})
    assert Recipe.from_dict({"epochs": 3}) == dataclasses.replace(Recipe(), epochs=3)


def test_same_seed_same_weights_and_other_seed_others() -> None:
    first, again, other = (build(recipe("mlp", seed=s)).get_weights()[0] for s in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()


OWN = """
import keras
from neighbour import UNITS

def build():
    return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                             keras.layers.Dense(UNITS, activation="softmax")])

def logits():
    return keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10)])

def wide():
    return keras.Sequential([keras.Input((32, 32)), keras.layers.Flatten(), keras.layers.Dense(10)])

def few():
    return keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(3)])

def broken():
    return 1 / 0

def nothing():
    return None

number = 3
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("logits", "expected probabilities. End the model with activation='softmax'"),
        ("wide", r"takes input \(None, 32, 32\), expected \(None, 28, 28\)"),
        ("few", r"gives output \(None, 3\), expected \(None, 10\)"),
        ("broken", "ZeroDivisionError"),
        ("nothing", "returned NoneType, expected a keras.Model"),
        ("number", "has no function 'number'"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_own_models_that_do_not_fit_are_explained(tmp_path: Any, function: str, message: str) -> None:
    (tmp_path / "neighbour.py").write_text("UNITS = 10")
    (tmp_path / "mine.py").write_text(OWN)
    with pytest.raises(RecipeError, match=message):
        build(recipe("mlp", network=f"{tmp_path / 'mine.py'}:{function}"))
    assert build(recipe("mlp", network=f"{tmp_path / 'mine.py'}:build")).count_params() == 7850


def test_unknown_networks_and_missing_files(tmp_path: Any) -> None:
    with pytest.raises(RecipeError, match="expected one of dense"):
        build(recipe("mlp", network="magic"))
    with pytest.raises(RecipeError, match="no such file"):
        build(recipe("mlp", network=f"{tmp_path}/none.py:build"))
