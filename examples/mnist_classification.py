"""Handwritten digits from images to a saved model: look, train, judge, see the mistakes, save and load.

Run it with: python examples/mnist_classification.py --epochs 5 --folder digits
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported

import keras
import numpy as np

import digitlab
from digitlab.judging import evaluate
from digitlab.showing.figures import draw_confusion, draw_curves, draw_mistakes, draw_predictions, draw_samples

options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("--epochs", type=int, default=5, help="passes over the training images")
options.add_argument("--folder", type=Path, default=Path("digits"), help="where images and model go")
options = options.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)

# Load and look: 28 x 28 pixels from 0 (paper) to 255 (ink), and the digit each image shows.
mnist = digitlab.load()
train, validation, test, names = mnist.train, mnist.validation, mnist.test, mnist.class_names
print(f"{len(train):,} training, {len(validation):,} validation and {len(test):,} test images")
draw_samples(train.images[:500], train.labels[:500], names).figure.savefig(options.folder / "samples.png")

# Build: 784 pixels, 128 hidden units, 10 probabilities. The model divides by 255 itself, so nobody can forget it.
layers = keras.layers
preparation = [layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten()]
model = keras.Sequential([*preparation, layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.summary()

# Train. The validation images show how it goes; the test images wait.
kept_apart = (validation.images, validation.labels)
fitted = model.fit(train.images, train.labels, epochs=options.epochs, validation_data=kept_apart, verbose=2)
draw_curves({"epoch": [e + 1 for e in fitted.epoch], **fitted.history})[0].figure.savefig(options.folder / "curves.png")

# Judge, once, on images that it has never seen.
probabilities = model.predict(test.images, verbose=0)
result = evaluate(probabilities, test.labels, doubtful=mnist.doubtful)
low, high = result.accuracy_interval
print(f"test accuracy {result.accuracy:.2%} (95 % interval {low:.2%} to {high:.2%}), {len(result.mistakes)} mistakes")
print("most often", "; ".join(map(str, result.confusions[:3])))
judged = (test.images, test.labels, probabilities, names)
draw_confusion(result.confusion, names).figure.savefig(options.folder / "confusion.png")
draw_predictions(*judged).figure.savefig(options.folder / "predictions.png")
draw_mistakes(*judged, doubtful=mnist.doubtful).figure.savefig(options.folder / "mistakes.png")

# Save, load, and read an image with the loaded model: raw pixels in, probabilities out.
model.save(options.folder / "model.keras")
loaded = keras.models.load_model(options.folder / "model.keras")
assert np.allclose(loaded.predict(test.images[:100], verbose=0), probabilities[:100], atol=1e-6)
print(f"the first test image is a {loaded.predict(test.images[:1], verbose=0).argmax()}; all in {options.folder}/")
