"""TensorFlow at its best: 784-128-10 with Adam, a whole epoch in one `tf.function` compiled by XLA. Without digitlab.

    python tensorflow_epoch.py mnist.npz --epochs 4 --batch-size 32

Prints one JSON object: seconds of each epoch, test accuracy. Images lie in memory as float32; each step gathers its
batch by index, as digitlab does.
"""

import argparse
import json
import time

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--batch-size", type=int, default=32)
options = parser.parse_args()

import numpy as np
import tensorflow as tf

with np.load(options.data) as arrays:
    x_train, y_train = arrays["x_train"].reshape(-1, 784).astype("float32") / 255, arrays["y_train"].astype("int32")
    x_test, y_test = arrays["x_test"].reshape(-1, 784).astype("float32") / 255, arrays["y_test"]
images, labels, size = tf.constant(x_train), tf.constant(y_train), options.batch_size
steps = len(x_train) // size
generator = np.random.default_rng(0)


def glorot(rows, columns):
    """Keras' default initial weights."""
    limit = (6 / (rows + columns)) ** 0.5
    return tf.constant(generator.uniform(-limit, limit, (rows, columns)), tf.float32)


weights = [glorot(784, 128), tf.zeros(128), glorot(128, 10), tf.zeros(10)]
moments = [tf.zeros_like(w) for w in weights], [tf.zeros_like(w) for w in weights]


def forward(weights, x):
    """Logits."""
    return tf.nn.relu(x @ weights[0] + weights[1]) @ weights[2] + weights[3]


@tf.function(jit_compile=True)
def epoch(weights, first, second, done, images, labels, order):
    """All steps of an epoch; Adam as in Keras, with its default settings."""

    def step(i, weights, first, second, loss_sum):
        chosen = tf.slice(order, [i * size], [size])
        x, y = tf.gather(images, chosen), tf.gather(labels, chosen)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, forward(weights, x))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, weights)
        now = tf.cast(done + i + 1, tf.float32)
        rate = 1e-3 * tf.sqrt(1 - 0.999**now) / (1 - 0.9**now)
        first = [m + 0.1 * (g - m) for m, g in zip(first, gradients, strict=True)]
        second = [v + 0.001 * (g * g - v) for v, g in zip(second, gradients, strict=True)]
        moved = zip(weights, first, second, strict=True)
        weights = [w - rate * m / (tf.sqrt(v) + 1e-7) for w, m, v in moved]
        return i + 1, weights, first, second, loss_sum + loss

    state = (tf.constant(0), list(weights), list(first), list(second), tf.constant(0.0))
    return tf.while_loop(lambda i, *_: i < steps, step, state)


epochs, done = [], 0
for _ in range(options.epochs):
    started = time.perf_counter()
    order = tf.constant(generator.permutation(len(x_train)).astype("int32"))
    _, weights, first, second, loss_sum = epoch(weights, *moments, tf.constant(done), images, labels, order)
    float(loss_sum)  # waits for the end
    moments, done = (first, second), done + steps
    epochs.append(time.perf_counter() - started)
accuracy = float((forward(weights, tf.constant(x_test)).numpy().argmax(1) == y_test).mean())
print(json.dumps({"epochs": epochs, "accuracy": accuracy, "version": tf.__version__}))
