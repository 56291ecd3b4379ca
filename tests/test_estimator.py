"""DigitClassifier: scikit-learn's own checks of an estimator, and what its users do with one."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from digitlab.data import Dataset
from digitlab.errors import DataError, RecipeError
from digitlab.searching.estimator import DigitClassifier

# One batch, so that samples of all numbers are one compiled program.
SMALL = DigitClassifier(hidden=(8,), epochs=60, peak_rate=0.05, batch_size=256)


# The checks use some twenty shapes of data; without a hidden layer each compiles in two thirds of the time.
@pytest.mark.slow
@parametrize_with_checks([DigitClassifier("linear", epochs=60, peak_rate=0.05, batch_size=256)])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def digits(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:count], y[:count]


@pytest.mark.slow
def test_pipeline_grid_search_and_cross_validation() -> None:
    X, y = digits(500)
    model = DigitClassifier(hidden=(16,), epochs=15, batch_size=32)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model), {"digitclassifier__peak_rate": [1e-6, 0.01]}, cv=2, error_score="raise"
    ).fit(X, y)
    assert search.best_params_ == {"digitclassifier__peak_rate": 0.01}
    assert search.best_score_ > 0.7  # scikit-learn's own MLPClassifier: 0.82
    model.set_params(peak_rate=0.01)
    assert cross_val_score(model, X, y, cv=2, error_score="raise").min() > 0.7
    calibrated = CalibratedClassifierCV(model, cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1, rtol=1e-5)


@pytest.mark.slow
def test_labels_of_any_kind_and_pixels_of_any_range() -> None:
    X, y = digits(300)
    names = np.array([f"digit {label}" for label in y])
    first = clone(SMALL).fit(X, y)
    assert (clone(SMALL).fit(X / 16, names).predict(X / 16) == names).mean() == first.score(X, y)
    assert first.scale_ == 16
    np.testing.assert_allclose(first.model_.predict(X * (255 / 16), verbose=0), first.predict_proba(X), atol=1e-6)


@pytest.mark.slow
def test_images_for_a_convolutional_network(small: Dataset) -> None:
    images, labels = small.train.images[:128], small.train.labels[:128]
    model = DigitClassifier("fast99", epochs=6, batch_size=64, batch_norm=False).fit(images, labels)
    assert model.n_features_in_ == 784 and model.scale_ == 255
    assert model.score(images, labels) > 0.5
    assert (model.predict(images.reshape(-1, 784).astype(float)) == model.predict(images)).all()


def test_early_stopping_keeps_the_best_epoch() -> None:
    X, y = digits(300)
    model = DigitClassifier(hidden=(), epochs=50, patience=2, peak_rate=0.1, validation_fraction=0.3).fit(X, y)
    accuracies = model.history_["val_accuracy"]
    assert len(accuracies) == model.n_iter_ < 50
    assert max(accuracies) == max(accuracies[:-2])


@pytest.mark.slow
def test_warm_start_goes_on_from_the_last_weights() -> None:
    X, y = digits(200)
    model = clone(SMALL).set_params(epochs=5, warm_start=True, peak_rate=0.002).fit(X, y)
    before, first = model.history_["loss"][-1], model.history_["loss"][0]
    assert model.fit(X, y).history_["loss"][0] < before < first
    with pytest.raises(ValueError, match="the recipe has changed"):
        model.set_params(hidden=(9,)).fit(X, y)


def test_what_is_pickled_is_data_and_a_copy_is_the_same() -> None:
    X, y = digits(100)
    model = clone(SMALL).fit(X, y)
    stored = pickle.dumps(model)
    assert {type(value).__module__.partition(".")[0] for value in vars(model).values()} <= {
        "builtins",
        "numpy",
        "digitlab",
    }
    assert (pickle.loads(stored).predict_proba(X) == model.predict_proba(X)).all()
    assert (copy.deepcopy(model).predict_proba(X) == model.predict_proba(X)).all()
    assert b"keras" not in stored and b"jax" not in stored


def test_random_state_decides_the_weights() -> None:
    X, y = digits(100)

    def proba(**fields: Any) -> np.ndarray:
        return clone(SMALL).set_params(**fields).fit(X, y).predict_proba(X)

    assert (proba(random_state=3) == proba(random_state=3)).all()
    assert (proba(random_state=3) != proba(random_state=4)).any()
    assert (proba(seed=1) != proba(seed=2)).any()


def test_mistakes_are_said() -> None:
    X, y = digits(50)
    with pytest.raises(RecipeError, match=r"no recipe field 'epohs' \(did you mean 'epochs'"):
        DigitClassifier(epohs=3)
    with pytest.raises(TypeError, match="'flat_input'"):
        DigitClassifier(flat_input=True)
    with pytest.raises(RecipeError, match="dropout: got 2"):
        DigitClassifier(dropout=2).fit(X, y)
    with pytest.raises(DataError, match="64 features, but the network 'fast' needs images"):
        DigitClassifier("fast99").fit(X, y)
    with pytest.raises(DataError, match="augmentation needs images"):
        DigitClassifier(shift=1.0).fit(X, y)


def test_without_scikit_learn_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['sklearn'] = None\nimport digitlab\ndigitlab.DigitClassifier"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith("Install it with: pip install 'digitlab[sklearn]'")


@pytest.mark.slow
def test_threads_share_compiled_programs() -> None:
    X, y = digits(100)
    model = clone(SMALL).set_params(hidden=(5,), dropout=0.1)  # layers that no other test has compiled
    with joblib.parallel_config("threading", n_jobs=4):
        together = cross_val_score(model, X, y, cv=4, error_score="raise")
    np.testing.assert_array_equal(together, cross_val_score(model, X, y, cv=4, error_score="raise"))


@pytest.mark.slow
def test_a_grid_is_searched_by_processes() -> None:
    X, y = digits(100)
    search = GridSearchCV(SMALL, {"batch_size": [16, 50]}, cv=2, error_score="raise")
    alone = search.fit(X, y).cv_results_["mean_test_score"]
    with joblib.parallel_config("loky", n_jobs=2):
        together = clone(search).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_allclose(together.cv_results_["mean_test_score"], alone)
    assert together.predict(X[:5]).shape == (5,)
