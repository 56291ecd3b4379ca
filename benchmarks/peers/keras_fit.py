"""The plain Keras script that people write: 784-128-10 or the examples' convnet, Adam, `fit`. Runs without digitlab.

    KERAS_BACKEND=tensorflow python keras_fit.py mnist.npz --epochs 4 --batch-size 32 [--whole FOLDER] [--tuned]

Prints one JSON object: seconds of each epoch, test accuracy. With --whole it also evaluates, draws the confusion matrix
with Seaborn and saves the model, as the usual script does. With --tuned, Keras compiles the step by XLA and takes 50
steps between two looks at the callbacks (`jit_compile=True, steps_per_execution=50`).
"""

import argparse
import json
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--network", choices=["dense", "convnet"], default="dense")
parser.add_argument("--images", type=int, default=60_000, help="train on the first so many")
parser.add_argument("--whole", type=Path)
parser.add_argument("--tuned", action="store_true")
options = parser.parse_args()

import keras
import numpy as np

with np.load(options.data) as arrays:
    x_train, y_train = arrays["x_train"][: options.images], arrays["y_train"][: options.images]
    x_test, y_test = arrays["x_test"], arrays["y_test"]
x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255

if options.network == "dense":
    layers = [
        keras.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
    ]
else:  # https://keras.io/examples/vision/mnist_convnet/
    x_train, x_test = x_train[..., None], x_test[..., None]
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
    ]
model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
model.compile(
    optimizer="adam",
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
    **({"jit_compile": True, "steps_per_execution": 50} if options.tuned else {}),
)


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    seconds: list[float] = []  # noqa: RUF012

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        """Start the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        """Stop it."""
        self.seconds.append(time.perf_counter() - self.started)


model.fit(x_train, y_train, batch_size=options.batch_size, epochs=options.epochs, verbose=0, callbacks=[Clock()])
_, accuracy = model.evaluate(x_test, y_test, verbose=0)
if options.whole:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    import seaborn

    predicted = model.predict(x_test, verbose=0).argmax(axis=1)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (y_test, predicted), 1)
    plt.figure(figsize=(10, 7))
    seaborn.heatmap(confusion, annot=True, fmt="d")
    plt.xlabel("Predicted")
    plt.ylabel("Truth")
    plt.savefig(options.whole / "confusion.png")
    model.save(options.whole / "model.keras")
print(json.dumps({"epochs": Clock.seconds, "accuracy": accuracy, "version": keras.__version__}))
