"""The compiled engine against Keras' own `fit`, and the laws that make a run repeatable."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitlab.data import Dataset
from digitlab.errors import RecipeError, RunError, TrainingError
from digitlab.learning import Recipe, compiled_engine, engine, optimizer, recipe, step
from digitlab.learning.batches import LabelledImages, epoch_permutation
from digitlab.learning.engine import train
from digitlab.learning.models import build
from digitlab.learning.predict import predict
from digitlab.learning.schedule import one_cycle
from digitlab.learning.state import TrainState, load, to_bytes

DROPOUT_AND_NORM = recipe("mlp", hidden=(32, 16), dropout=0.3, batch_norm=True, epochs=2, batch_size=50)
SMOOTHED = recipe("mlp-onehot", hidden=(24,), label_smoothing=0.1, epochs=2, batch_size=64, optimizer="adamw")
AVERAGED = recipe("mlp", hidden=(16,), average=0.9, optimizer="adamw", epochs=2, batch_size=50, elastic=0.5, rotate=9.0)
EVERYTHING = recipe(
    "mlp", loss="categorical_crossentropy", label_smoothing=0.1, optimizer="adamw", dropout=0.2, average=0.9, epochs=4,
    batch_size=48, thickness=0.3, elastic=0.5, shear=0.1,
)  # fmt: skip
RECIPES = [
    pytest.param(recipe("mlp", epochs=2, batch_size=32), id="mlp"),
    pytest.param(recipe("linear-sigmoid", epochs=2, batch_size=100), id="sigmoid"),
    pytest.param(DROPOUT_AND_NORM, id="dropout and batch normalisation", marks=pytest.mark.slow),
    pytest.param(SMOOTHED, id="one-hot, smoothed, AdamW", marks=pytest.mark.slow),
    pytest.param(recipe("linear", epochs=2, optimizer="sgd", batch_size=5000), id="one batch, SGD"),
]


def pictures(small: Dataset) -> tuple[LabelledImages, LabelledImages]:
    return (
        LabelledImages(small.train.images, small.train.labels),
        LabelledImages(small.validation.images, small.validation.labels),
    )


def bits(state: TrainState) -> list[bytes]:
    return [a.tobytes() for a in (*state.weights, *state.optimizer)]


def without_seconds(state: TrainState) -> dict[str, list[float]]:
    return {name: values for name, values in state.history.items() if name != "seconds"}


@pytest.mark.parametrize("settings", RECIPES)
def test_compiled_engine_equals_plain_keras_fit(settings: Recipe, small: Dataset) -> None:
    """Plain `model.fit` on arrays laid out in the same order; nothing of the engine but `order` and the optimizer."""
    training, validation = pictures(small)
    compiled = build(settings)
    state = train(compiled, settings, training, validation, engine="compiled")

    plain = build(settings)
    steps = -(-len(training) // settings.batch_size) * settings.epochs
    plain.compile(optimizer.make_optimizer(settings, steps), optimizer.make_loss(settings), metrics=["accuracy"])
    one_hot = settings.loss == "categorical_crossentropy"

    def arrays(some: LabelledImages, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = some.images[indices].reshape(-1, *plain.input_shape[1:]).astype("float32")
        y = some.labels[indices].astype("int32")
        return x, np.eye(10, dtype="float32")[y] if one_hot else y

    logs: dict[str, list[float]] = {}
    for epoch in range(settings.epochs):
        x, y = arrays(training, epoch_permutation(settings.seed, epoch, len(training)))
        history = plain.fit(
            x,
            y,
            batch_size=settings.batch_size,
            shuffle=False,
            verbose=0,
            initial_epoch=epoch,
            epochs=epoch + 1,
            validation_data=arrays(validation, np.arange(len(validation))),
        ).history
        for name, values in history.items():
            logs.setdefault(name, []).extend(values)

    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(state.history[name], logs[name], rtol=2e-4, atol=1e-6, err_msg=name)
    for ours, theirs in zip(compiled.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [RECIPES[0], RECIPES[2], RECIPES[3], AVERAGED])
def test_fit_engine_gives_the_same_history(settings: Recipe, small: Dataset) -> None:
    histories, weights, kept = [], [], []
    for name in ("compiled", "fit"):
        model = build(settings)
        state = train(model, settings, *pictures(small), engine=name)
        kept.append(model.get_weights())
        histories.append(state.history)
        weights.append(state.weights)
    assert list(histories[0]) == list(histories[1])
    for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=2e-4, atol=1e-6, err_msg=name)
    for ours, theirs in [*zip(*weights, strict=True), *zip(*kept, strict=True)]:
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=5e-5)


def test_averaged_weights_are_the_mean_over_the_steps(small: Dataset) -> None:
    """One step an epoch, so that each state holds the weights after a step: the mean computed here in NumPy."""
    settings = recipe("linear", epochs=5, batch_size=2000, average=0.7)
    model, seen = build(settings), []
    train(model, settings, *pictures(small), on_epoch=lambda state: seen.append(state.weights[0]))
    mean = seen[0]
    for weights in seen[1:]:
        mean = 0.7 * mean + 0.3 * weights
    np.testing.assert_allclose(model.get_weights()[0], mean, rtol=1e-5, atol=1e-7)
    assert np.abs(mean - seen[-1]).max() > 1e-4


@pytest.mark.slow
def test_validation_judges_the_averaged_weights(small: Dataset) -> None:
    settings = recipe(AVERAGED, epochs=1)
    training, validation = pictures(small)
    for name in ("compiled", "fit"):
        model = build(settings)
        state = train(model, settings, training, validation, engine=name)
        right = (predict(model, validation.images).argmax(1) == validation.labels).mean()
        assert state.history["val_accuracy"][-1] == pytest.approx(right)


@pytest.mark.slow
def test_convolutions_with_everything_resume_bit_equal(small: Dataset) -> None:
    import keras
    from keras import layers

    some = LabelledImages(small.train.images[:120], small.train.labels[:120])
    states: list[TrainState] = []

    def make() -> keras.Model:
        return keras.Sequential([
            layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Reshape((28, 28, 1)), layers.Conv2D(4, 3, 2),
            layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.2),
            layers.Dense(10, "softmax"),
        ])  # fmt: skip

    models = [build(EVERYTHING, maker=make), build(EVERYTHING, maker=make)]
    whole = train(models[0], EVERYTHING, some, some, on_epoch=states.append)
    resumed = train(models[1], EVERYTHING, some, some, resume=states[1])
    assert bits(whole) == bits(resumed)
    assert without_seconds(whole) == without_seconds(resumed)
    assert [w.tobytes() for w in models[0].get_weights()] == [w.tobytes() for w in models[1].get_weights()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compiled", "fit"])
def test_same_seed_is_bit_equal_and_another_is_not(name: str, small: Dataset) -> None:
    settings = recipe(DROPOUT_AND_NORM, epochs=1)
    first, again, other = (
        train(build(s), s, *pictures(small), engine=name) for s in (settings, settings, recipe(settings, seed=1))
    )
    assert bits(first) == bits(again)
    assert without_seconds(first) == without_seconds(again)
    assert bits(first) != bits(other)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compiled", "fit"])
def test_two_epochs_and_two_more_are_bit_equal_to_four(name: str, small: Dataset) -> None:
    settings = recipe(DROPOUT_AND_NORM, epochs=4)
    whole = train(build(settings), settings, *pictures(small), engine=name)

    kept: list[bytes] = []
    train(build(settings), settings, *pictures(small), engine=name, on_epoch=lambda state: kept.append(to_bytes(state)))
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile() as file:
        file.write(kept[1])
        file.flush()
        from pathlib import Path

        half = load(Path(file.name))
    assert half.epoch == 2
    resumed = train(build(settings), settings, *pictures(small), engine=name, resume=half)
    assert bits(whole) == bits(resumed)
    assert without_seconds(whole) == without_seconds(resumed)


@pytest.mark.slow
@pytest.mark.parametrize("warmup", [0, 20])
def test_one_cycle_is_keras_cosine_decay(warmup: int) -> None:
    import keras

    ours = one_cycle(0.3, warmup, 100)
    theirs = keras.optimizers.schedules.CosineDecay(
        0.003 if warmup else 0.3, 100 - warmup, warmup_target=0.3 if warmup else None, warmup_steps=warmup
    )
    for number in range(101):
        assert float(ours(number)) == pytest.approx(float(theirs(number)), rel=1e-5, abs=1e-7)


@pytest.mark.slow
def test_length_of_stretches_does_not_change_the_result(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe("mlp", epochs=1, dropout=0.2)
    states = []
    for seconds in (0.0, 100.0):  # stretches of one step, and as long as the epoch
        monkeypatch.setattr(compiled_engine, "STRETCH_SECONDS", seconds)
        states.append(train(build(settings), settings, *pictures(small), engine="compiled"))
    assert bits(states[0]) == bits(states[1])
    assert without_seconds(states[0]) == without_seconds(states[1])


def test_training_leaves_global_random_state_alone(small: Dataset) -> None:
    import random

    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    settings = recipe("linear", epochs=1)
    train(build(settings), settings, *pictures(small))
    assert (random.random(), np.random.random()) == expected


def test_it_learns(small: Dataset) -> None:
    settings = recipe("mlp", epochs=10)
    model = build(settings)
    train(model, settings, pictures(small)[0])
    right = (predict(model, small.test.images).argmax(1) == small.test.labels).mean()
    assert right > 0.8  # scikit-learn's logistic regression on the same 1,003 images gets 0.83


def test_progress_moves_within_an_epoch(small: Dataset) -> None:
    settings = recipe("mlp", epochs=2)
    seen: list[engine.Progress] = []
    train(build(settings), settings, pictures(small)[0], on_progress=seen.append)
    assert [p.epoch for p in seen] == sorted(p.epoch for p in seen)
    assert seen[-1].images == 1003
    assert seen[-1].of == 1003
    assert len(seen) > 4


def test_no_validation_images_give_nan(small: Dataset) -> None:
    settings = recipe("linear", epochs=1)
    state = train(build(settings), settings, pictures(small)[0])
    assert np.isnan(state.history["val_loss"]).all()


def test_order_is_a_new_permutation_each_epoch() -> None:
    for epoch in range(3):
        assert sorted(epoch_permutation(7, epoch, 1003)) == list(range(1003))
    assert epoch_permutation(7, 0, 50).tolist() != epoch_permutation(7, 1, 50).tolist()


def test_predict_is_the_models_own_answer(small: Dataset) -> None:
    model = build(recipe("mlp"))
    images = small.train.images  # 1,003: one whole chunk and three pictures
    np.testing.assert_allclose(predict(model, images), model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)


def test_sigmoid_outputs_are_judged_as_shares(small: Dataset) -> None:
    model = build(recipe("linear-sigmoid"))
    outputs = model.predict(small.test.images, verbose=0)
    np.testing.assert_allclose(
        predict(model, small.test.images), outputs / outputs.sum(1, keepdims=True), rtol=1e-4, atol=1e-6
    )


def test_keras_divides_sigmoid_outputs_by_their_sum_under_this_loss() -> None:
    """What the docs say of JAX: the loss of sigmoid outputs is that of their shares, not of the logits' softmax."""
    import keras

    logits = np.array([[2.0, -1.0, 0.5]], "float32")
    shares = 1 / (1 + np.exp(-logits))
    shares /= shares.sum()
    loss = keras.losses.SparseCategoricalCrossentropy()(np.array([0]), keras.ops.sigmoid(logits))
    assert float(loss) == pytest.approx(-np.log(shares[0, 0]), rel=1e-5)
    softmax = np.exp(logits) / np.exp(logits).sum()
    assert float(loss) != pytest.approx(-np.log(softmax[0, 0]), rel=1e-2)


def test_diverging_training_says_so(small: Dataset) -> None:
    settings = recipe("mlp", optimizer="sgd", peak_rate=1e30, epochs=1, schedule="constant", activation="elu")
    with pytest.raises(TrainingError, match="lower --peak-rate"):
        train(build(settings), settings, pictures(small)[0])


def test_unknown_engine_and_wrong_state_are_refused(small: Dataset) -> None:
    settings = recipe("linear", epochs=1)
    with pytest.raises(RecipeError, match="expected one of auto, compiled, fit"):
        train(build(settings), settings, pictures(small)[0], engine="turbo")
    other = train(build(settings), settings, pictures(small)[0])
    wider = recipe("mlp", epochs=2)
    with pytest.raises(RunError, match="not of the same recipe"):
        train(build(wider), wider, pictures(small)[0], resume=other)


@pytest.mark.slow
def test_recipes_that_differ_in_numbers_and_seed_are_one_compiled_program(small: Dataset) -> None:
    """What a search changes from trial to trial compiles nothing; that it has its effect is held against `fit`."""
    import jax

    numbers = {"shift": 1.0, "dropout": 0.2, "average": 0.9, "weight_decay": 1e-2, "label_smoothing": 0.1}
    loss = "categorical_crossentropy"
    first = recipe("mlp", hidden=(12,), batch_size=20, epochs=1, optimizer="adamw", loss=loss, **numbers)
    changed = {name: value / 2 for name, value in numbers.items()}
    others = [recipe(first, seed=1, epochs=2, warmup=0.0, peak_rate=0.01), recipe(first, **changed)]
    train(build(first), first, *pictures(small), engine="compiled")
    models = [build(settings) for settings in others]
    compiled: list[str] = []

    def listen(event: str, *_: object, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        states = [train(m, s, *pictures(small), engine="compiled") for m, s in zip(models, others, strict=True)]
        assert not compiled
        linear = recipe("linear", epochs=1, batch_size=70)
        train(build(linear), linear, *pictures(small), engine="compiled")
        assert compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    plain = train(build(others[1]), others[1], *pictures(small), engine="fit")
    np.testing.assert_allclose(states[1].history["loss"], plain.history["loss"], rtol=1e-4)
    np.testing.assert_allclose(states[1].history["val_loss"], plain.history["val_loss"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compiled", "fit"])
def test_whole_weights_are_images_repeated(name: str, small: Dataset) -> None:
    """One batch an epoch, so that the order plays no part."""
    settings = recipe("mlp", hidden=(8,), epochs=3, batch_size=500)
    images, labels = small.train.images[:100], small.train.labels[:100]
    times = np.random.default_rng(0).integers(0, 4, 100)
    weighted = LabelledImages(images, labels, times / times.mean())
    models = [build(settings), build(settings)]
    train(models[0], settings, weighted, engine=name)
    train(models[1], settings, LabelledImages(images.repeat(times, 0), labels.repeat(times)), engine=name)
    for ours, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compiled", "fit"])
def test_patience_keeps_the_best_epoch_and_resumes_bit_equal(name: str, small: Dataset) -> None:
    settings = recipe("linear", epochs=30, patience=2, peak_rate=0.3, schedule="constant", batch_size=500, average=0.5)
    training, validation = pictures(small)
    states: list[TrainState] = []
    model, resumed = build(settings), build(settings)
    state = train(model, settings, training, validation, engine=name, on_epoch=states.append)
    accuracies = state.history["val_accuracy"]
    best = int(np.argmax(accuracies))
    assert best < state.epoch - 1 < settings.epochs - 1
    assert state.epoch - 1 - engine.best_epoch(state.history) == settings.patience
    right = (predict(model, validation.images).argmax(1) == validation.labels).mean()
    assert right == pytest.approx(max(accuracies))

    kept = [load_bytes(state) for state in (states[-2], states[-1])]
    again = train(resumed, settings, training, validation, engine=name, resume=kept[0])
    assert bits(again) == bits(state)
    assert [w.tobytes() for w in resumed.get_weights()] == [w.tobytes() for w in model.get_weights()]
    assert train(resumed, settings, training, validation, engine=name, resume=kept[1]).epoch == state.epoch


def load_bytes(state: TrainState) -> TrainState:
    """The state as it comes back from its file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.npz"
        file.write_bytes(to_bytes(state))
        return load(file)


def test_patience_needs_validation_images(small: Dataset) -> None:
    settings = recipe("linear", patience=2)
    with pytest.raises(RecipeError, match="patience: got 2 without validation images"):
        train(build(settings), settings, pictures(small)[0])


def test_one_cycle_is_made_again_from_its_config() -> None:
    schedule = one_cycle(0.5, 10, 110)
    again = type(schedule).from_config(schedule.get_config())
    assert [float(again(step)) for step in (0, 10, 60)] == [float(schedule(step)) for step in (0, 10, 60)]


@pytest.mark.slow
def test_the_gradient_of_a_batch_is_the_mean_of_its_parts(small: Dataset) -> None:
    """By plain SGD, which a sum of the parts' gradients would drive 4 times as far; Adam does not mind."""
    settings = recipe("fast99", batch_norm=False, optimizer="sgd", peak_rate=0.02, batch_size=64, epochs=1)
    settings = recipe(settings, schedule="constant")
    some = LabelledImages(small.train.images[:128], small.train.labels[:128])
    states = [train(build(settings), settings, some, engine=name) for name in ("compiled", "fit")]
    for ours, theirs in zip(states[0].weights, states[1].weights, strict=True):
        if ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.slow
def test_programs_compiled_beside_the_first_stretch_change_nothing_and_are_those_used(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,003 images leave a last batch of its own size, and there are validation images: two programs more."""
    settings = recipe("mlp", hidden=(19,), epochs=2, dropout=0.2)
    data = pictures(small)
    traced: list[str] = []
    for name in ("_run", "_sums"):
        method = getattr(step.Program, name)

        def counted(*arguments: Any, name: str = name, method: Any = method, **options: Any) -> Any:
            traced.append(name)
            return method(*arguments, **options)

        monkeypatch.setattr(step.Program, name, counted)
    beside = train(build(settings), settings, *data)
    assert sorted(traced) == ["_run", "_run", "_sums"]
    monkeypatch.setattr(compiled_engine.CompiledTrainer, "_compile_others", lambda *_: None)
    alone = train(build(settings), settings, *data)
    for one, same in zip(beside.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(one, same)
    assert beside.history["val_loss"] == alone.history["val_loss"]
