"""Test accuracy of the recipes over several seeds; the table of `digitlab recipes` and of RESULTS.md.

    uv run python benchmarks/accuracy.py --seeds 5 --write            # every recipe
    uv run python benchmarks/accuracy.py fast99 --seeds 10 --write
    uv run python benchmarks/accuracy.py mlp tiny --seeds 5 --second --write

Each run trains on 55,000 images with 5,000 kept for validation and reads the test images once, at its end. Every seed
is kept in `benchmarks/kept` when it is done, so that a stopped benchmark is resumed where it was; a seed is trained
anew when its recipe or the engine's code has changed. Beside the mean stands the ensemble: the seeds' probabilities
averaged, none left out.

With `--second`, another 5,000 images judge, on which these runs do not train: training images, drawn once by a seed of
their own, which `recipe_search.py` keeps away from every search. Earlier searches trained on them as well; none was
judged by them.

Training time is told as it is without other work on the machine: the quickest epoch times the number of epochs, since
other work can only add time; compiling apart, as JAX itself reports it.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import results
from recipe_search import with_second_judge

from digitlab import in_words, learning
from digitlab.data import Dataset, load
from digitlab.judging import evaluate
from digitlab.judging.compare import spread
from digitlab.learning import RECIPES, Recipe, recipe
from digitlab.learning.batches import LabelledImages
from digitlab.learning.engine import train
from digitlab.learning.models import build
from digitlab.learning.predict import predict
from digitlab.learning.results import measured
from digitlab.machine import machine, versions

ROWS = Path(__file__).parents[1] / "src" / "digitlab" / "learning" / "results.json"
KEPT = Path(__file__).parent / "kept"

# Seconds that JAX spent tracing and compiling, one entry an event.
COMPILING: list[float] = []


def listen() -> None:
    """Count JAX's compile time, so that it can be told apart from training."""
    import jax

    def heard(event: str, duration_secs: float, **_: str | int) -> None:
        if event.startswith("/jax/core/compile/"):
            COMPILING.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(heard)


@functools.cache
def engine_hash() -> str:
    """Hash of the code that trains, so that a kept seed counts only for the engine that trained it."""
    files = sorted(Path(learning.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def run(settings: Recipe, data: Dataset) -> dict[str, Any]:
    """One seed, trained or as kept: numbers, and `probabilities` (10,000, 10) of the test images."""
    fields = {key: value for key, value in settings.to_dict().items() if key != "description"}
    name = hashlib.sha256(json.dumps([fields, data.sha256, engine_hash()]).encode()).hexdigest()[:12]
    file = KEPT / f"{settings.name}-seed{settings.seed}-{name}.npz"
    if file.exists():
        with np.load(file) as kept:
            return {**json.loads(str(kept["numbers"])), "probabilities": kept["probabilities"]}
    model = build(settings)
    before = sum(COMPILING)
    state = train(
        model,
        settings,
        LabelledImages(data.train.images, data.train.labels),
        LabelledImages(data.validation.images, data.validation.labels),
    )
    compiling = sum(COMPILING) - before
    # Of several epochs the first holds the compiling as well.
    epochs = state.history["seconds"][1:] or [state.history["seconds"][0] - compiling]
    probabilities = predict(model, data.test.images)
    numbers = {
        "test": float((probabilities.argmax(1) == data.test.labels).mean()),
        "validation": state.history["val_accuracy"][-1],
        "seconds": min(epochs) * settings.epochs,
        "compiling": compiling,
        "parameters": model.count_params(),
    }
    KEPT.mkdir(exist_ok=True)
    np.savez(file, numbers=json.dumps(numbers), probabilities=probabilities)
    return {**numbers, "probabilities": probabilities}


def summed_up(name: str, runs: list[dict[str, Any]], data: Dataset) -> dict[str, Any]:
    """One recipe's row of results.json."""
    of_test, found = spread([r["test"] for r in runs]), machine()
    together = evaluate(np.mean([r["probabilities"] for r in runs], axis=0), data.test.labels)
    return {
        "recipe": name,
        "parameters": int(runs[0]["parameters"]),
        "seeds": len(runs),
        "mean": of_test.mean,
        "std": of_test.std,
        "interval": of_test.interval,
        "ensemble": together.accuracy,
        "ensemble_interval": together.accuracy_interval,
        "validation": statistics.fmean(r["validation"] for r in runs),
        "seconds": min(r["seconds"] for r in runs),
        "compiling": max(r["compiling"] for r in runs),
        "machine": f"{found['processor']}, {found['cores']} cores",
        "versions": ", ".join(f"{k} {versions()[k]}" for k in ("keras", "jax")),
        "command": f"benchmarks/accuracy.py {name} --seeds {len(runs)}",
    }


def readme_table(rows: list[dict[str, Any]]) -> str:
    """The short table of the README."""
    cells = [
        [
            f"`{row['recipe']}`",
            RECIPES[row["recipe"]].description,
            f"{row['parameters']:,}",
            str(row["seeds"]),
            f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f} %",
            f"{100 * row['ensemble']:.2f} %",
            in_words.duration(row["seconds"]),
        ]
        for row in rows
    ]
    header = ["recipe", "network", "parameters", "seeds", "test accuracy", "seeds averaged", "training"]
    return (
        results.table(header, cells)
        + "\n\nTest accuracy: mean and standard deviation over the seeds; then that of their averaged probabilities. "
        + f"Training: one seed on {rows[0]['machine']}. By `benchmarks/accuracy.py`."
    )


def second(options: argparse.Namespace, rows: list[dict[str, Any]], first: dict[str, dict[str, Any]]) -> None:
    """Print what the second judge says beside what the test images say, and with --write keep it."""
    header = ["recipe", "seeds", "second judge, mean ± s.d.", "95 % interval of the mean", "seeds averaged"]
    cells = [
        [
            f"`{row['recipe']}`",
            str(row["seeds"]),
            f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f} %",
            in_words.percents(row["interval"]),
            f"{100 * row['ensemble']:.2f} %",
            f"{100 * first[row['recipe']]['mean']:.2f} %" if row["recipe"] in first else "-",
        ]
        for row in rows
    ]
    body = results.table([*header, "test images, trained on all 55,000"], cells)
    print("\n" + body)
    if options.write:
        title = "A second judge: 5,000 training images kept away from every search"
        results.write_section("second-judge", title, f"{body}\n\nTrained on 50,000 images. {results.provenance()}")


def main() -> None:
    """Measure, print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=[], help="names; default: all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--second", action="store_true", help="judge on the second judge's images instead")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and the package's results.json")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds: got {options.seeds}, expected at least 2, for a mean with a spread")
    listen()
    data = with_second_judge(load()) if options.second else load()
    kept = {name: vars(row) for name, row in measured().items()}
    first = dict(kept)
    for name in options.recipes or RECIPES:
        runs = []
        for seed in range(options.seeds):
            runs.append(run(recipe(name, seed=seed), data))
            numbers = ", ".join(f"{k} {v:.5g}" for k, v in runs[-1].items() if k != "probabilities")
            print(f"{name} seed {seed}: {numbers}", flush=True)
        kept[name] = summed_up(name, runs, data)
    if options.second:
        second(options, [kept[name] for name in options.recipes or RECIPES], first)
        return
    rows = [kept[name] for name in RECIPES if name in kept]
    body = results.table(
        [
            "recipe",
            "parameters",
            "epochs",
            "seeds",
            "test, mean ± s.d.",
            "95 % interval of the mean",
            "seeds averaged",
            "validation",
            "epochs x the quickest one",
            "compiling",
        ],
        [
            [
                f"`{row['recipe']}`",
                f"{row['parameters']:,}",
                str(RECIPES[row["recipe"]].epochs),
                str(row["seeds"]),
                f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f} %",
                in_words.percents(row["interval"]),
                f"{100 * row['ensemble']:.2f} %",
                f"{100 * row['validation']:.2f} %",
                in_words.duration(row["seconds"]),
                in_words.duration(row["compiling"]),
            ]
            for row in rows
        ],
    )
    print("\n" + body)
    if options.write:
        ROWS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        each = "The whole command, from its start to the report, is timed for `mlp` in the table above this one. "
        each += "Each row by `python benchmarks/accuracy.py RECIPE --seeds SEEDS --write`, the last of them:"
        results.write_section("accuracy", "Accuracy of the recipes", f"{body}\n\n{each} {results.provenance()}")
        results.write_readme("recipes", readme_table(rows))


if __name__ == "__main__":
    main()
