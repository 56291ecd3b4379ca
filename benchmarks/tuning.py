"""Trials a minute of `digitlab tune` beside the same search written with plain Keras and Optuna.

    uv run python benchmarks/tuning.py --judge --write

784-128-10 with its 101,770 parameters held fixed and no augmentation; learning rate, dropout, weight decay and label
smoothing are searched, at batch 32, on the same images, by the same sampler and pruner with the same seed. Each side
runs by itself from a cold start; what it takes to import Keras and to compile counts on both sides. digitlab trains a
trial on each core, as it does unless told otherwise; Keras and Optuna one after another, by all threads that JAX takes.
`--judge` has digitlab judge the best recipe over 3 seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import results

OURS = """
import json, sys, time
began = time.perf_counter()
from digitlab.searching.tuning import tune
trials, epochs, seeds, folder = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
fix = {"hidden": "128", "batch_size": "32", "augmentation": ""}
took = []
found = tune("mlp", trials=trials, epochs=epochs, seeds=seeds, fix=fix, study="benchmark", folder=folder,
             on_trial=lambda *_: took.append(time.perf_counter() - began))
best = found.judged and found.judged[1].accuracies.tolist()
print(json.dumps({"seconds": took[-1], "best": found.best.accuracy, "test": best,
                  "start": found.judged and found.judged[0].accuracies.tolist()}))
"""

PLAIN = """
import json, os, sys, time
began = time.perf_counter()
os.environ["KERAS_BACKEND"] = "jax"
import keras, optuna
from digitlab.data import load
data = load()
optuna.logging.set_verbosity(optuna.logging.ERROR)
trials, epochs = int(sys.argv[1]), int(sys.argv[2])
steps = -(-len(data.train) // 32) * epochs
eye = keras.ops.convert_to_numpy(keras.ops.eye(10))
x, y = data.train.images.astype("float32"), eye[data.train.labels]
held = data.validation.images.astype("float32"), eye[data.validation.labels]

def objective(trial):
    keras.utils.set_random_seed(0)
    rate = trial.suggest_float("peak_rate", 3e-4, 3e-2, log=True)
    dropout = trial.suggest_float("dropout", 0, 0.5)
    decay = trial.suggest_float("weight_decay", 1e-4, 0.1, log=True)
    smoothing = trial.suggest_float("label_smoothing", 0, 0.2)
    layers = keras.layers
    model = keras.Sequential([layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten(),
                              layers.Dense(128, "relu"), layers.Dropout(dropout), layers.Dense(10, "softmax")])
    schedule = keras.optimizers.schedules.CosineDecay(rate / 100, steps - steps // 5, warmup_target=rate,
                                                      warmup_steps=steps // 5)
    model.compile(keras.optimizers.Adam(schedule, weight_decay=decay),
                  keras.losses.CategoricalCrossentropy(label_smoothing=smoothing), metrics=["accuracy"])

    class Prune(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            trial.report(logs["val_accuracy"], epoch + 1)
            if epoch + 1 < epochs and trial.should_prune():
                raise optuna.TrialPruned

    fitted = model.fit(x, y, batch_size=32, epochs=epochs, validation_data=held, verbose=0, callbacks=[Prune()])
    return fitted.history["val_accuracy"][-1]

study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, multivariate=True),
                            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 5)))
study.enqueue_trial({"peak_rate": 2e-3, "dropout": 0.0, "weight_decay": 1e-4, "label_smoothing": 0.0})
study.optimize(objective, n_trials=trials)
print(json.dumps({"seconds": time.perf_counter() - began, "best": study.best_value}))
"""


def run(program: str, *arguments: object) -> dict[str, object]:
    """What a side prints at its end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = run(OURS, options.trials, options.epochs, 3 if options.judge else 0, Path(folder) / "runs")
    plain = run(PLAIN, options.trials, options.epochs)
    seconds = {"digitlab tune": float(str(ours["seconds"])), "Keras and Optuna": float(str(plain["seconds"]))}
    rows = [
        [name, f"{seconds[name]:.0f}", f"{60 * options.trials / seconds[name]:.1f}", f"{100 * float(str(best)):.2f} %"]
        for name, best in zip(seconds, (ours["best"], plain["best"]), strict=True)
    ]
    times = seconds["Keras and Optuna"] / seconds["digitlab tune"]
    lines = [
        results.table(["program", "seconds", "trials a minute", "best on validation"], rows),
        f"`digitlab tune` does {times:.1f} times as many trials a minute (at least 3 wanted).",
    ]
    if options.judge:
        found, start = (100 * np.array(ours[side]) for side in ("test", "start"))
        lines.append(
            f"On the test images, mean of 3 seeds: the best recipe {found.mean():.2f} % ({found.min():.2f} to "
            f"{found.max():.2f}), its start {start.mean():.2f} % ({start.min():.2f} to {start.max():.2f})."
        )
    words = "\n\n".join(lines)
    print(words)
    if options.write:
        heading = f"Tuning 784-128-10: {options.trials} trials of {options.epochs} epochs"
        results.write_section("tuning", heading, f"{words}\n\n{results.provenance()}")


if __name__ == "__main__":
    main()
