"""Networks: one short function per architecture, each an ordinary Keras model that takes raw 0..255 images.

Another architecture is one function here, a row in `NETWORKS`, and a row in `RECIPES`; nothing else changes.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.errors import RecipeError
from digitlab.files import printable
from digitlab.learning.backend import import_keras, seeded
from digitlab.learning.initial_weights import drawn, with_keras_initializers
from digitlab.learning.input_layers import local_contrast
from digitlab.learning.kinds import Layer, Model
from digitlab.learning.recipe import Recipe

PIXELS = 28 * 28


def dense(recipe: Recipe, classes: int, features: int = PIXELS) -> Model:
    """Hidden layers of `recipe.hidden` units, each activation (dropout), then one output per class.

    With the default recipe: 784-128 ReLU-10 softmax, 101,770 parameters.

    Args:
        recipe: Uses hidden, activation, batch_norm, dropout, output, flat_input.
        classes: Number of outputs.
        features: Number of inputs, where they are no images: the model then takes rows, (n, features).

    Returns:
        A keras.Sequential: uint8 or float images 0..255, (n, 28, 28) or (n, 784), to (n, classes) float32.

    Example:
        >>> dense(Recipe(hidden=()), classes=10).count_params()
        7850
    """
    layers = import_keras().layers
    # The rescaling is the model's own first layer: whoever loads it gives images as they are, 0..255.
    flat = recipe.flat_input or features != PIXELS
    stack = [layers.Input((features,) if flat else (28, 28), name="pixels"), layers.Rescaling(1 / 255)]
    if not flat:
        stack.append(layers.Flatten())
    for units in recipe.hidden:
        if recipe.batch_norm:
            # The normalisation has its own shift, so the bias would do nothing.
            stack += [_dense(units, use_bias=False), layers.BatchNormalization()]
            stack.append(layers.Activation(recipe.activation))
        else:
            stack.append(_dense(units, activation=recipe.activation))
        if recipe.dropout:
            stack.append(layers.Dropout(recipe.dropout))
    stack.append(_dense(classes, activation=recipe.output))
    return import_keras().Sequential(stack)


def _dense(units: int, **options: Any) -> Layer:
    return import_keras().layers.Dense(units, kernel_initializer=drawn("glorot_uniform"), **options)


def _pixels(recipe: Recipe) -> list[Layer]:
    """The first layers of a convolutional network: 0..255 images (n, 28, 28) to (n, 28, 28, 1) in [0, 1]."""
    if recipe.flat_input:
        raise RecipeError(f"got True, but the network {recipe.network!r} needs images. Set it to False", "flat_input")
    layers = import_keras().layers
    return [layers.Input((28, 28), name="pixels"), layers.Rescaling(1 / 255), layers.Reshape((28, 28, 1))]


def _convolution(recipe: Recipe, filters: int, size: int = 3, **options: Any) -> list[Layer]:
    """A convolution and its activation, with batch normalisation between them if the recipe says so."""
    layers = import_keras().layers
    options["kernel_initializer"] = drawn("he_normal")
    if not recipe.batch_norm:
        return [layers.Conv2D(filters, size, activation=recipe.activation, **options)]
    return [
        layers.Conv2D(filters, size, use_bias=False, **options),
        layers.BatchNormalization(),
        layers.Activation(recipe.activation),
    ]


def _decide(recipe: Recipe, classes: int) -> list[Layer]:
    """The last layers: dropout, one output per class."""
    layers = import_keras().layers
    stack = [layers.Dropout(recipe.dropout)] if recipe.dropout else []
    return [*stack, _dense(classes, activation=recipe.output)]


def cnn(recipe: Recipe, classes: int) -> Model:
    """Three 3 x 3 convolutions of 32, 64 and 64 filters, pooling after the first two, dense; 61,514 weights and biases.

    With batch normalisation, which the recipe `cnn` has, 61,994 parameters. The first pooling comes early because the
    28 x 28 stage is where a CPU spends its memory traffic.

    Args:
        recipe: Uses activation, batch_norm, dropout, output.
        classes: Number of outputs.

    Example:
        >>> cnn(Recipe(network="cnn"), classes=10).count_params()
        61514
    """
    layers = import_keras().layers
    return import_keras().Sequential(
        [
            *_pixels(recipe),
            *_convolution(recipe, 32),
            layers.MaxPooling2D(),
            *_convolution(recipe, 64),
            layers.MaxPooling2D(),
            *_convolution(recipe, 64),
            layers.Flatten(),
            *_decide(recipe, classes),
        ]
    )


def tiny(recipe: Recipe, classes: int) -> Model:
    """Five small 3 x 3 convolutions, 9,074 parameters with batch normalisation.

    Args:
        recipe: Uses activation, batch_norm, dropout, output.
        classes: Number of outputs.

    Example:
        >>> tiny(Recipe(network="tiny", batch_norm=True), classes=10).count_params() <= 10_000
        True
    """
    layers = import_keras().layers
    return import_keras().Sequential(
        [
            *_pixels(recipe),
            *_convolution(recipe, 8),
            layers.MaxPooling2D(),
            *_convolution(recipe, 16),
            *_convolution(recipe, 16),
            layers.MaxPooling2D(),
            *_convolution(recipe, 16, padding="same"),
            *_convolution(recipe, 16),
            layers.Flatten(),
            *_decide(recipe, classes),
        ]
    )


def fast(recipe: Recipe, classes: int) -> Model:
    """One 4 x 4 convolution with stride 2, pooling, one 3 x 3, dense: 0.4 million multiplications an image.

    Args:
        recipe: Uses activation, batch_norm, dropout, output.
        classes: Number of outputs.

    Example:
        >>> fast(Recipe(network="fast", batch_norm=True), classes=10).count_params()
        29578
    """
    layers = import_keras().layers
    return import_keras().Sequential(
        [
            *_pixels(recipe),
            *_convolution(recipe, 32, 4, strides=2),
            layers.MaxPooling2D(),
            *_convolution(recipe, 64),
            layers.Flatten(),
            *_decide(recipe, classes),
        ]
    )


def deep(recipe: Recipe, classes: int) -> Model:
    """Five 3 x 3 convolutions of 32 to 128 filters in three stages, dense; the network of the recipe `best`.

    Pooling comes right after the first convolution: two convolutions at the full size would double the time.

    Args:
        recipe: Uses activation, batch_norm, dropout, output.
        classes: Number of outputs.

    Example:
        >>> deep(Recipe(network="deep", batch_norm=True), classes=10).count_params()
        298922
    """
    layers = import_keras().layers
    return import_keras().Sequential(
        [
            *_pixels(recipe),
            *_convolution(recipe, 32),
            layers.MaxPooling2D(),
            *_convolution(recipe, 64),
            *_convolution(recipe, 64),
            layers.MaxPooling2D(),
            *_convolution(recipe, 128, padding="same"),
            *_convolution(recipe, 128, padding="same"),
            layers.Flatten(),
            *_decide(recipe, classes),
        ]
    )


def contrast(recipe: Recipe, classes: int) -> Any:
    """Local contrast without parameters, then four convolutions of 32 to 128 filters; the network of `robust`.

    Args:
        recipe: Uses activation, batch_norm, dropout, output.
        classes: Number of outputs.

    Example:
        >>> contrast(Recipe(network="contrast", batch_norm=True), classes=10).count_params()
        214122
    """
    layers = import_keras().layers
    return import_keras().Sequential(
        [
            *_pixels(recipe),
            local_contrast((3, 5, 9), 0.1, calm=(5, 9)),
            *_convolution(recipe, 32),
            layers.MaxPooling2D(),
            *_convolution(recipe, 64),
            layers.MaxPooling2D(),
            *_convolution(recipe, 128, padding="same"),
            *_convolution(recipe, 96),
            layers.Flatten(),
            *_decide(recipe, classes),
        ]
    )


NETWORKS: dict[str, Callable[..., Model]] = {
    "dense": dense,
    "cnn": cnn,
    "tiny": tiny,
    "fast": fast,
    "deep": deep,
    "contrast": contrast,
}


def build(
    recipe: Recipe, classes: int = 10, maker: Callable[[], Model] | None = None, *, features: int = PIXELS
) -> Model:
    """The recipe's network with initial weights drawn from the recipe's seed.

    Args:
        recipe: Its `network` names a function in `NETWORKS`, or is a user's own as `FILE.py:FUNCTION`.
        classes: Number of classes, hence outputs.
        maker: A user's function that returns the model, instead of one the recipe names.
        features: Number of inputs; only a dense network can have other than 784.

    Returns:
        A built keras.Model.

    Raises:
        RecipeError: no such network, or a user's function that does not give a fitting model.
    """
    with seeded(recipe.seed):
        own = maker is not None or ".py:" in recipe.network
        if own:
            model = maker() if maker is not None else _from_file(recipe.network)
        elif recipe.network in NETWORKS:
            other = {} if features == PIXELS else {"features": features}
            model = with_keras_initializers(NETWORKS[recipe.network](recipe, classes, **other))
        else:
            raise RecipeError(
                f"network: got {recipe.network!r}, expected one of {', '.join(NETWORKS)} or FILE.py:FUNCTION"
            )
    if own:  # those above fit as they are made
        _check_fits(model, recipe.network, classes)
    return model


def average(models: Sequence[Model]) -> Model:
    """One model whose probabilities are the mean of the models'; stock Keras layers only, the weights shared.

    Args:
        models: Built, all from the same 28 x 28 images to the same classes; at least 2.

    Returns:
        A keras.Model from (n, 28, 28) images, 0..255, to (n, classes) probabilities.

    Raises:
        RecipeError: they have different classes.

    Example:
        >>> both = average([build(Recipe(seed=0)), build(Recipe(seed=1))])
        >>> both.count_params()
        203540
    """
    keras = import_keras()
    if len({model.output_shape for model in models}) > 1:
        raise RecipeError(f"models of different outputs {[model.output_shape for model in models]} have no mean")
    pictures = keras.Input((28, 28), name="pictures")
    outputs = []
    for number, model in enumerate(models):
        # Two layers of one model may not share a name, and the caller's models keep theirs.
        member = keras.Model(model.inputs, model.outputs, name=f"member_{number}")
        shape = model.input_shape[1:]
        inputs = pictures if shape == (28, 28) else keras.layers.Reshape(shape)(pictures)
        output = member(inputs)
        if isinstance(output, list):
            (output,) = output
        if getattr(model.layers[-1], "activation", None) is not keras.activations.softmax:
            # Sigmoid outputs, to probabilities: 1/k each where all are 0.
            output = (output + 1e-30) / keras.ops.sum(output + 1e-30, -1, keepdims=True)
        outputs.append(output)
    return keras.Model(pictures, keras.layers.Average()(outputs))


def _from_file(reference: str) -> Model:
    """Call the user's function, as in ``my_file.py:build``."""
    file, _, function = reference.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise RecipeError(f"{file}: no such file; expected a Python file, as in my_file.py:build")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # so that the file can import its neighbours, as a script can
    try:
        spec.loader.exec_module(module)
        maker = getattr(module, function, None)
        if not callable(maker):
            raise RecipeError(f"{file}: has no function {function!r}; expected one that returns a Keras model")
        return maker()
    except RecipeError:
        raise
    except (Exception, SystemExit) as error:  # a script may end itself; that must not end digitlab in silence
        words = printable(" ".join(str(error).split()))[:300]
        raise RecipeError(f"{reference}: failed with {type(error).__name__}: {words}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))


def _check_fits(model: Model, reference: str, classes: int) -> None:
    """Raise a RecipeError unless the model turns 28 x 28 images into one probability per class."""
    import math

    keras = import_keras()
    if not isinstance(model, keras.Model):
        raise RecipeError(f"{reference}: returned {type(model).__name__}, expected a keras.Model")
    if not model.built:
        model.build((None, 28, 28))
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or any(size is None for size in shape[1:]) or math.prod(shape[1:]) != PIXELS:
        raise RecipeError(
            f"{reference}: takes input {shape}, expected (None, 28, 28), (None, 28, 28, 1) or (None, 784)"
        )
    if model.output_shape != (None, classes):
        raise RecipeError(f"{reference}: gives output {model.output_shape}, expected (None, {classes}), one per class")
    probe = np.random.default_rng(0).integers(0, 256, (4, *shape[1:])).astype("float32")
    outputs = np.asarray(keras.ops.convert_to_numpy(model(probe, training=False)))
    if not np.isfinite(outputs).all() or outputs.min() < 0 or outputs.max() > 1 + 1e-5:
        raise RecipeError(
            f"{reference}: outputs lie between {outputs.min():.3g} and {outputs.max():.3g}, expected probabilities. "
            "End the model with activation='softmax'"
        )
