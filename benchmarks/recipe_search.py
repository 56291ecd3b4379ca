"""Validation accuracy of a recipe with other values, over seeds: what docs/log.md says of a recipe's search.

    uv run python benchmarks/recipe_search.py mlp --seeds 2 '{"epochs": 20}' '{"epochs": 20, "dropout": 0.2}'

Choices are made on the 5,000 validation images. Another 5,000 training images, drawn once by a seed of their own, are
kept away from every search: they are the second judge, which `benchmarks/accuracy.py --second` asks beside the test
images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time

import numpy as np

from digitlab.data import Dataset, Split, load
from digitlab.learning import Recipe, recipe
from digitlab.learning.batches import LabelledImages
from digitlab.learning.engine import train
from digitlab.learning.models import build

SECOND_SEED, SECOND = 20261127, 5000


def with_second_judge(data: Dataset) -> Dataset:
    """The data with the second judge's images as its test images, taken out of the training images."""
    rng = np.random.default_rng(SECOND_SEED)
    away = np.zeros(len(data.train), bool)
    away[rng.choice(len(data.train), SECOND, replace=False)] = True
    images, labels = data.train.images, data.train.labels
    return dataclasses.replace(
        data, train=Split(images[~away], labels[~away]), test=Split(images[away], labels[away]), doubtful=frozenset()
    )


def main() -> None:
    """A line for each set of values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("values", nargs="+", help="fields to set, as JSON")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    data = with_second_judge(load())
    images = [LabelledImages(part.images, part.labels) for part in (data.train, data.validation)]
    for values in options.values:
        accuracies, losses, start = [], [], time.perf_counter()
        for seed in range(options.first, options.first + options.seeds):
            settings = Recipe.from_dict({**recipe(options.recipe).to_dict(), **json.loads(values), "seed": seed})
            state = train(build(settings), settings, *images)
            accuracies.append(100 * state.history["val_accuracy"][-1])
            losses.append(state.history["val_loss"][-1])
        seconds = (time.perf_counter() - start) / options.seeds
        spread = statistics.stdev(accuracies) if options.seeds > 1 else float("nan")
        print(
            f"{options.recipe} {values}: {statistics.fmean(accuracies):.3f} ± {spread:.3f} % of the "
            f"validation images, log loss {statistics.fmean(losses):.4f}, {seconds:.0f} s a seed",
            flush=True,
        )


if __name__ == "__main__":
    main()
