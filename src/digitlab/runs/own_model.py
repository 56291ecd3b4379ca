"""A user's own Keras model: what a run says of it, and how a change is noticed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digitlab.errors import RecipeError
from digitlab.learning.recipe import Recipe


def own_recipe(recipe: Recipe, model: str | Callable[[], Any] | None) -> Recipe:
    """The recipe with a user's own model in place of its network."""
    if model is None:
        return recipe
    if isinstance(model, str) and ".py:" not in model:
        raise RecipeError.of("model", model, "a file and a function in it, as in my_file.py:build")
    if not isinstance(model, str) and not hasattr(model, "__qualname__"):
        raise RecipeError(
            f"model: got a {type(model).__name__}, expected my_file.py:build or the function that builds the model, "
            "as in model=build: each run begins with fresh weights"
        )
    described = model if isinstance(model, str) else f"{model.__module__}.{model.__qualname__}"
    return dataclasses.replace(recipe, name="own", network=described, description=f"own model {described}")


def own_model(network: str) -> dict[str, str] | None:
    """Path and hash of a user's own model file, to notice a change before resuming."""
    if ".py:" not in network:
        return None
    path = Path(network.rpartition(":")[0])
    if not path.is_file():
        raise RecipeError(f"{path}: no such file; expected a Python file, as in my_file.py:build")
    return {"file": str(path.resolve()), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
