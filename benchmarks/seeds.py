"""Seeds side by side in one compiled program (`vmap` over seeds) beside the same seeds one after another.

    uv run python benchmarks/seeds.py --seeds 4 --steps 100

Both do the same training steps on the same images. Processor seconds of all cores are compared, the least of
`--repeats`, in turn: on a machine that does other work they are steadier than the clock. Above 1, `vmap` loses.
"""

from __future__ import annotations

import argparse
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import results

from digitlab.data import load
from digitlab.learning import recipe
from digitlab.learning.batches import LabelledImages, epoch_permutation
from digitlab.learning.compiled_engine import CompiledTrainer
from digitlab.learning.kinds import Sums
from digitlab.learning.models import build


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("recipes", nargs="*", default=["mlp", "fast99", "tiny"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    rows = [measured(name, options) for name in options.recipes]
    header = ["recipe", "one after another, CPU s", "vmap, CPU s", "vmap to one after another"]
    table = results.table(header, rows)
    print(table)
    if options.write:
        results.write_section("seeds", "Seeds in one compiled program", f"{results.provenance()}\n\n{table}")


def measured(name: str, options: argparse.Namespace) -> list[str]:
    """One row of the table."""
    train = load().train
    images = LabelledImages(train.images, train.labels)
    recipes = [recipe(name, seed=seed) for seed in range(options.seeds)]
    trainers: list[Any] = [CompiledTrainer(build(one), one, images, None, None) for one in recipes]
    orders = [jax.device_put(epoch_permutation(one.seed, 0, len(images))) for one in recipes]
    size = recipes[0].batch_size
    one = trainers[0]
    bounds = (0, options.steps)
    sums = Sums(np.float32(0), np.int32(0))
    run = functools.partial(one._program._run, size=size)
    alone = jax.jit(run)
    together = jax.jit(jax.vmap(run, in_axes=(0, None, 0, None, None, 0, None)))
    carries = jax.tree.map(lambda *parts: jnp.stack(parts), *(trainer._carry for trainer in trainers))
    keys, indices = jnp.stack([trainer._key for trainer in trainers]), jnp.stack(orders)

    def in_turn() -> None:
        for trainer, order in zip(trainers, orders, strict=True):
            finish(alone(trainer._carry, sums, trainer._key, one._numbers, one._pictures, order, bounds))

    def at_once() -> None:
        finish(together(carries, sums, keys, one._numbers, one._pictures, indices, bounds))

    best = {in_turn: float("inf"), at_once: float("inf")}
    for repeat in range(options.repeats + 1):
        for work in best:
            begun = time.process_time()
            work()
            if repeat:  # the first time it is compiled
                best[work] = min(best[work], time.process_time() - begun)
    first, second = best.values()
    row = [name, f"{first:.2f}", f"{second:.2f}", f"{second / first:.2f}"]
    print("  ".join(row), flush=True)
    return row


def finish(arrays: Any) -> None:
    """Wait until they are computed."""
    jax.tree.map(np.asarray, arrays)  # on a CPU no copy


if __name__ == "__main__":
    main()
