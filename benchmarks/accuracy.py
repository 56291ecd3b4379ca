"""Test accuracy of the recipes over several seeds; the table of `digitlab recipes` and of RESULTS.md.

    uv run python benchmarks/accuracy.py --seeds 3 --write            # every recipe
    uv run python benchmarks/accuracy.py mlp mlp2 --seeds 10

Each run trains on 55,000 images with 5,000 kept for validation and reads the test images once, at its end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import results

from digitlab.data import Dataset, load
from digitlab.judging.compare import spread
from digitlab.learning import RECIPES, Recipe, recipe
from digitlab.learning.engine import Pictures, predict, train
from digitlab.learning.models import build
from digitlab.learning.results import measured
from digitlab.machine import machine, versions

ROWS = Path(__file__).parents[1] / "src" / "digitlab" / "learning" / "results.json"


def run(settings: Recipe, data: Dataset) -> dict[str, float]:
    """Train one seed; its validation and test accuracy, parameters and seconds of training."""
    model = build(settings)
    started = time.perf_counter()
    state = train(
        model,
        settings,
        Pictures(data.train.images, data.train.labels),
        Pictures(data.validation.images, data.validation.labels),
    )
    seconds = time.perf_counter() - started
    test = float((predict(model, data.test.images).argmax(1) == data.test.labels).mean())
    validation = state.history["val_accuracy"][-1]
    return {"test": test, "validation": validation, "seconds": seconds, "parameters": model.count_params()}


def readme_table(rows: list[dict[str, Any]]) -> str:
    """The short table of the README."""
    cells = [
        [
            f"`{row['recipe']}`",
            RECIPES[row["recipe"]].description,
            f"{row['parameters']:,}",
            str(RECIPES[row["recipe"]].epochs),
            f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f} %",
            f"{row['seconds']:.0f} s",
        ]
        for row in rows
    ]
    header = ["recipe", "network", "parameters", "epochs", "test accuracy", "training"]
    return (
        results.table(header, cells)
        + "\n\nMean and standard deviation over at least "
        + f"{min(row['seeds'] for row in rows)} seeds; training on {rows[0]['machine']}; "
        + "by `benchmarks/accuracy.py`."
    )


def main() -> None:
    """Measure, print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=[], help="names; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and the package's results.json")
    options = parser.parse_args()
    data = load()
    kept = {name: vars(row) for name, row in measured().items()}
    for name in options.recipes or RECIPES:
        runs = []
        for seed in range(options.seeds):
            runs.append(run(recipe(name, seed=seed), data))
            print(f"{name} seed {seed}: " + ", ".join(f"{k} {v:.5g}" for k, v in runs[-1].items()), flush=True)
        of_test = spread([r["test"] for r in runs])
        found = machine()
        kept[name] = {
            "recipe": name,
            "parameters": int(runs[0]["parameters"]),
            "seeds": options.seeds,
            "mean": of_test.mean,
            "std": of_test.std,
            "interval": of_test.interval,
            "validation": statistics.fmean(r["validation"] for r in runs),
            "seconds": statistics.median(r["seconds"] for r in runs),
            "machine": f"{found['processor']}, {found['cores']} cores",
            "versions": ", ".join(f"{k} {versions()[k]}" for k in ("keras", "jax")),
            "command": f"benchmarks/accuracy.py {name} --seeds {options.seeds}",
        }
    rows = [kept[name] for name in RECIPES if name in kept]
    body = results.table(
        [
            "recipe",
            "parameters",
            "epochs",
            "seeds",
            "test, mean ± s.d.",
            "95 % interval of the mean",
            "validation",
            "seconds a run",
        ],
        [
            [
                f"`{row['recipe']}`",
                f"{row['parameters']:,}",
                str(RECIPES[row["recipe"]].epochs),
                str(row["seeds"]),
                f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f} %",
                f"{100 * row['interval'][0]:.2f} to {100 * row['interval'][1]:.2f} %",
                f"{100 * row['validation']:.2f} %",
                f"{row['seconds']:.1f}",
            ]
            for row in rows
        ],
    )
    print("\n" + body)
    if options.write:
        ROWS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        results.write_section("accuracy", "Accuracy of the recipes", f"{body}\n\n{results.provenance()}")
        results.write_readme("recipes", readme_table(rows))


if __name__ == "__main__":
    main()
