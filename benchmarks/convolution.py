"""Seconds an epoch of the convnet of the Keras examples: digitlab, Keras on TensorFlow, PyTorch, in turn.

    uv run python benchmarks/convolution.py --peers PYTHON [--rounds 5] [--images 60000] [--write]

PYTHON is an interpreter that has benchmarks/peers/requirements.txt. Each round starts every contender anew, one
after the other, so that all meet the same machine; of all epochs but each start's first (it compiles) the quickest
counts, because other work on a machine can only add time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import results

from digitlab.data import load

HERE = Path(__file__).parent
OURS = "digitlab (JAX)"
BATCH = 128


def convnet() -> Any:
    """The convnet of https://keras.io/examples/vision/mnist_convnet/, taking 0..255 pictures."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            *(layers.Input((28, 28, 1)), layers.Rescaling(1 / 255)),
            *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")),
        ]
    )


def ours(data: Path, images: int, epochs: int) -> None:
    """What the subprocess for digitlab does; prints one JSON object as the peers do."""
    from digitlab.learning import recipe
    from digitlab.learning.batches import LabelledImages
    from digitlab.learning.engine import train
    from digitlab.learning.models import build
    from digitlab.learning.predict import predict

    with np.load(data) as arrays:
        training = LabelledImages(arrays["x_train"][:images], arrays["y_train"][:images])
        test = LabelledImages(arrays["x_test"], arrays["y_test"])
    settings = recipe("mlp", schedule="constant", peak_rate=1e-3, batch_size=BATCH, epochs=epochs)
    model = build(settings, maker=convnet)
    state = train(model, settings, training)
    accuracy = float((predict(model, test.images).argmax(1) == test.labels).mean())
    print(json.dumps({"epochs": state.history["seconds"], "accuracy": accuracy}))


def main() -> None:
    """Measure, print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="interpreter with the peers; without it digitlab alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="a start; the first is not counted")
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--write", action="store_true", help="write RESULTS.md")
    parser.add_argument("--only-ours", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_ours:
        ours(options.only_ours, options.images, options.epochs)
        return
    common = ["--epochs", str(options.epochs), "--images", str(options.images)]
    peer = [*common, "--batch-size", str(BATCH), "--network", "convnet"]
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        mnist = load(validation=0)
        np.savez(
            data,
            x_train=mnist.train.images,
            y_train=mnist.train.labels,
            x_test=mnist.test.images,
            y_test=mnist.test.labels,
        )
        contenders = {OURS: [sys.executable, __file__, "--only-ours", str(data), *common]}
        if options.peers:
            contenders["Keras fit (TensorFlow)"] = [
                options.peers,
                str(HERE / "peers" / "keras_fit.py"),
                str(data),
                *peer,
            ]
            contenders["PyTorch loop"] = [options.peers, str(HERE / "peers" / "torch_loop.py"), str(data), *peer]
        for round_number in range(options.rounds):
            for name, command in contenders.items():
                backend = "jax" if name == OURS else "tensorflow"
                environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {round_number + 1}, {name}: {found[name][-1]}", flush=True)
    scale = 60_000 / options.images
    seconds = {name: [scale * s for run in runs for s in run["epochs"][1:]] for name, runs in found.items()}
    best = {name: min(values) for name, values in seconds.items()}
    body = results.table(
        ["convnet 32-64, batch 128", "s an epoch, quickest", "median", "digitlab takes", "test accuracy"],
        [
            [
                name,
                f"{best[name]:.2f}",
                f"{statistics.median(seconds[name]):.2f}",
                f"{best[OURS] / best[name]:.2f} of it",
                f"{100 * statistics.fmean(run['accuracy'] for run in runs):.2f} %",
            ]
            for name, runs in found.items()
        ],
    )
    print("\n" + body)
    if options.write:
        results.write_section("convolution", "Convolutions on a CPU", f"{body}\n\n{results.provenance()}")


if __name__ == "__main__":
    main()
