"""A recipe and a data set in, a trained Keras model and its history out; never sees a path, a run or a metric.

Importing this package loads neither Keras nor JAX; its functions do when they are called.
"""

from digitlab.learning.recipe import FIELDS, RECIPES, Recipe, recipe

__all__ = ["FIELDS", "RECIPES", "Recipe", "recipe"]
