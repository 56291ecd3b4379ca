"""DigitClassifier: a recipe as a scikit-learn estimator.

What a fitted one keeps is arrays and a recipe, no Keras object: it pickles and is copied as data, and opening it again
runs nothing but `build` and the setting of weights. The only module that imports scikit-learn.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from digitlab.errors import DataError, DigitlabError
from digitlab.learning.recipe import FIELDS, Recipe
from digitlab.learning.recipe import recipe as make_recipe

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise DigitlabError(
        f"DigitClassifier needs scikit-learn ({error}). Install it with: pip install 'digitlab[sklearn]'"
    ) from error

PIXELS = 28 * 28
# Below so many samples a step takes no less time, so that batches of few samples are filled up to this.
_SMALL = 256
# Fields of a recipe that are no settings of an estimator: what it is called, and what the data decides.
_FIXED = ("name", "description", "flat_input")
SETTINGS = tuple(name for name in FIELDS if name not in _FIXED)


class DigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A recipe of digitlab as a scikit-learn classifier.

    Any number of features for dense networks; 28 x 28 pixels, as (n, 784) or (n, 28, 28), for convolutional ones and
    for augmentation. Features that are never negative are taken for pixels and divided by the largest value seen in
    training, so that pixels of 0..1, 0..16 and 0..255 are the same to the network; features below 0 are taken as they
    are. Features that are no pixels are best standardised first, by scikit-learn's `StandardScaler` in a pipeline.

    Args:
        recipe: A name in `digitlab.RECIPES`, or a Recipe.
        validation_fraction: Share of the samples held out for early stopping, where `patience` is above 0; stratified.
        warm_start: Begin `fit` from the weights of the last one instead of new ones.
        random_state: As in scikit-learn; None uses the recipe's `seed`.
        **fields: Fields of the recipe to set, as in ``epochs=3``; None leaves the recipe's own.

    Attributes:
        classes_: (classes,) the labels, sorted.
        n_features_in_: Number of features seen in `fit`; 784 for images.
        recipe_: The Recipe trained.
        history_: A list per column, as of a run: loss, accuracy, val_loss, ... one value per epoch.
        n_iter_: Epochs trained.
        scale_: What the features are divided by.
        weights_: The network's arrays, trainable ones first.

    Raises:
        RecipeError: an unknown recipe or field, or a value outside its range; when `fit` is called, as scikit-learn
            asks.
        DataError: the network needs 784 features.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> model = DigitClassifier(hidden=(32,), epochs=20).fit(X[:500], y[:500])
        >>> bool(model.score(X[500:], y[500:]) > 0.8)
        True
    """

    classes_: np.ndarray
    recipe_: Recipe
    weights_: list[np.ndarray]
    scale_: float
    history_: dict[str, list[float]]
    n_iter_: int

    def __init__(
        self,
        recipe: str | Recipe = "mlp",
        *,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: Any = None,
        **fields: Any,
    ) -> None:
        self.recipe = recipe
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        unknown = next((name for name in fields if name not in SETTINGS), None)
        if unknown:
            make_recipe("mlp", **{unknown: fields[unknown]})  # says what is near it
            raise TypeError(f"DigitClassifier has no parameter {unknown!r}: the data decides it")
        for name in SETTINGS:
            setattr(self, name, fields.get(name))

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DigitClassifier:
        """Train on samples.

        Args:
            X: (n, features) or (n, 28, 28), numbers.
            y: (n,) labels of any kind.
            sample_weight: (n,) at least 0; how much each sample counts. None: all the same.

        Returns:
            The estimator itself.
        """
        X, y = validate_data(self, _flat(X), y, dtype=(np.float32, np.float64, np.uint8), order="C")
        check_classification_targets(y)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            if not weights.any():
                raise ValueError("sample_weight: all are zero, expected some above 0")
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        recipe = self._chosen(X.shape[1])
        again = self.warm_start and hasattr(self, "weights_")
        classes = np.unique(y)
        if again and not np.array_equal(classes, self.classes_):
            raise ValueError(f"warm_start: y has the classes {classes}, those of the last fit were {self.classes_}")
        if again and recipe.to_dict() | {"epochs": 0, "seed": 0} != self.recipe_.to_dict() | {"epochs": 0, "seed": 0}:
            raise ValueError("warm_start: the recipe has changed since the last fit. Set warm_start to False")
        if len(classes) < 2:
            raise ValueError(f"y: got 1 class, {classes[0]!r}; expected at least 2 classes")
        self.classes_, self.recipe_ = classes, recipe
        if not again:
            self.scale_ = float(X.max() or 1) if X.min() >= 0 else 1.0
        labels = np.searchsorted(self.classes_, y)
        self._train(self._pixels(X), labels, weights, self.weights_ if again else None)
        return self

    def _chosen(self, features: int) -> Recipe:
        """The recipe with the estimator's fields, for so many features."""
        changes = {name: getattr(self, name) for name in SETTINGS if getattr(self, name) is not None}
        if isinstance(changes.get("hidden"), list):
            changes["hidden"] = tuple(changes["hidden"])
        recipe = make_recipe(self.recipe, **changes)
        if self.random_state is not None:
            recipe = make_recipe(recipe, seed=int(check_random_state(self.random_state).randint(2**31 - 1)))
        from digitlab.learning import augment

        if features != PIXELS and (recipe.network != "dense" or augment.active(recipe)):
            what = f"the network {recipe.network!r}" if recipe.network != "dense" else "augmentation"
            raise DataError(f"X: {features} features, but {what} needs images, as (n, 784) or (n, 28, 28)")
        return recipe

    def _train(self, X: np.ndarray, labels: np.ndarray, weights: Any, start: Any) -> None:
        from digitlab.learning.batches import LabelledImages
        from digitlab.learning.engine import train
        from digitlab.learning.models import build

        recipe, validation = self.recipe_, None
        if recipe.patience:
            from sklearn.model_selection import train_test_split

            rows, held = train_test_split(
                np.arange(len(X)), test_size=self.validation_fraction, stratify=labels, random_state=recipe.seed
            )
            validation = LabelledImages(X[held], labels[held])
            X, labels = X[rows], labels[rows]
            weights = None if weights is None else weights[rows]
        training, size = _whole_batches(*_distinct(X, labels, weights), recipe.batch_size)
        model = build(recipe, len(self.classes_), features=self.n_features_in_)
        if start is not None:
            assign_variables(model, start)
        state = train(model, make_recipe(recipe, batch_size=size), training, validation)
        self.weights_ = [np.array(v) for v in (*model.trainable_variables, *model.non_trainable_variables)]
        self.history_ = {name: list(values) for name, values in state.history.items()}
        self.n_iter_ = state.epoch

    def _pixels(self, X: np.ndarray) -> np.ndarray:
        """The features as the network takes them, 0..255: (n, features) or, where they may be images, (n, 28, 28)."""
        if not (X.dtype == np.uint8 and self.scale_ == 255):
            X = np.multiply(X, 255 / self.scale_, dtype=np.float32)
        return X.reshape(-1, 28, 28) if X.shape[1] == PIXELS else X

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `classes_`.

        Args:
            X: (n, features) or (n, 28, 28), as in `fit`.

        Returns:
            (n, classes) float32, each row summing to 1.
        """
        check_is_fitted(self)
        X = validate_data(self, _flat(X), dtype=(np.float32, np.float64, np.uint8), order="C", reset=False)
        from digitlab.learning.predict import predictor

        model = _network(make_recipe(self.recipe_, seed=0), len(self.classes_), self.n_features_in_)
        return predictor(model, self.weights_)(self._pixels(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of each sample: (n,) of the kind of `y`."""
        check_is_fitted(self)
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(1)]
        return labels

    @property
    def model_(self) -> Any:
        """The trained Keras model, made anew at each access; it takes features times ``255 / scale_``."""
        check_is_fitted(self)
        from digitlab.learning.models import build

        model = build(self.recipe_, len(self.classes_), features=self.n_features_in_)
        assign_variables(model, self.weights_)
        return model

    def __sklearn_tags__(self) -> Any:
        """Images may come as (n, 28, 28)."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _flat(X: Any) -> Any:
    """Images (n, 28, 28) as rows of 784; anything else as it is, for scikit-learn to check."""
    return X.reshape(len(X), PIXELS) if getattr(X, "shape", ())[1:] == (28, 28) else X


def _distinct(X: np.ndarray, labels: np.ndarray, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each different sample once, with the sum of its weights, in an order that its content alone decides.

    So a sample of weight 2 is two samples and of weight 0 none, to the last bit, and the order in which samples are
    given plays no part. 60,000 images take 0.2 s.
    """
    weights = np.ones(len(X)) if weights is None else weights
    digests = [
        hashlib.blake2b(row.tobytes() + int(label).to_bytes(4, "little"), digest_size=16).digest()
        for row, label in zip(X, labels, strict=True)
    ]
    _, first, inverse = np.unique(np.array(digests, "V16"), return_index=True, return_inverse=True)
    return X[first], labels[first], np.bincount(inverse, weights)


def _whole_batches(X: np.ndarray, labels: np.ndarray, weights: np.ndarray, batch_size: int) -> tuple[Any, int]:
    """The samples filled up to whole batches by copies that count nothing, and the size of a batch.

    One program then serves sets of all sizes, where the odd last batch would compile another.
    """
    from digitlab.learning.batches import LabelledImages

    count = len(X)
    size = min(batch_size, max(_SMALL, 1 << (count - 1).bit_length()))
    rows = np.arange(-(-count // size) * size)
    counted = np.where(rows < count, weights[rows % count], 0)
    return LabelledImages(X[rows % count], labels[rows % count], counted / counted.mean()), size


@functools.lru_cache(maxsize=32)
def _network(recipe: Recipe, classes: int, features: int) -> Any:
    """The Keras model whose layers compute; its own weights are never read."""
    from digitlab.learning.models import build

    return build(recipe, classes, features=features)


def assign_variables(model: Any, weights: Sequence[np.ndarray]) -> None:
    """Set the model's variables, trainable ones first."""
    for variable, value in zip((*model.trainable_variables, *model.non_trainable_variables), weights, strict=True):
        variable.assign(value)


def _signature() -> inspect.Signature:
    """The constructor's own parameters, then each field of a recipe: scikit-learn reads them to copy an estimator."""
    own = [p for p in inspect.signature(DigitClassifier.__init__).parameters.values() if p.kind is not p.VAR_KEYWORD]
    fields = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=FIELDS[name].type)
        for name in SETTINGS
    ]
    return inspect.Signature([*own, *fields])


DigitClassifier.__init__.__signature__ = _signature()  # type: ignore[attr-defined]
