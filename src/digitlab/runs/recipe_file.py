"""A recipe as a file, for `digitlab train --recipe FILE`: JSON with every field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from digitlab.errors import RecipeError
from digitlab.learning.recipe import Recipe
from digitlab.runs.folder import write_json

FORMAT = 1


def save_recipe(recipe: Recipe, path: Path, **about: Any) -> None:
    """Write a recipe, whole or not at all.

    Args:
        recipe: The recipe.
        path: The file.
        **about: Further JSON values for people, such as where it comes from; reading passes them over.
    """
    write_json(path, {"format": FORMAT, "recipe": recipe.to_dict(), **about})


def load_recipe(path: str | Path) -> Recipe:
    """The recipe in a file that `save_recipe` wrote; the `run.json` of a run is one as well.

    Raises:
        RecipeError: no such file, not JSON, of another format, or with a field that is not known or out of range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_recipe(Recipe(epochs=3), Path(folder) / "best.json")
        ...     load_recipe(Path(folder) / "best.json").epochs
        3
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise RecipeError(
            f"{path}: could not be read ({error.strerror}); expected a file as `digitlab tune` writes"
        ) from None
    except ValueError as error:
        raise RecipeError(f"{path}: not JSON ({error}); expected a file as `digitlab tune` writes") from None
    if not isinstance(content, dict) or not isinstance(content.get("recipe"), dict):
        raise RecipeError(f'{path}: no recipe in it; expected {{"format": {FORMAT}, "recipe": {{...}}}}')
    if content.get("format") != FORMAT:
        raise RecipeError(
            f"{path}: format {content.get('format')!r}, expected {FORMAT}. Use the digitlab that wrote it"
        )
    try:
        return Recipe.from_dict(content["recipe"])
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
