"""Make the verifier: the network that looks once more at what the spotter found, at its own size, with what surrounds it.

    python making/spotter.py draw train 15000 pages/ --fonts node_modules/@fontsource
    python making/spotter.py draw validation 1000 pages/ --fonts node_modules/@fontsource
    python making/verifier.py find pages/ found/
    python making/verifier.py train found/ --epochs 4
    python making/verifier.py export runs/verifier verifier.onnx
    python making/verifier.py train further-found/ --epochs 2 --rate 6e-4 --start verifier.onnx --name further
    python making/verifier.py export runs/further src/digitlab/reading/bundled/verifier.onnx --before verifier.onnx --share 0.3

Its images are what the bundled spotter finds on drawn pages, right and wrong: the digits, other signs, and lines and scraps
that are no sign. digitlab's own engine trains it. What the test images of its run are, are the validation pages.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from half import halve

from digitlab.reading.ink import page_ink
from digitlab.reading.reader import BUNDLED
from digitlab.reading.spotter import TALL, open_spotter, spots_of
from digitlab.reading.verifier import NOTHING, OTHER, surroundings

# At most so many finds are trained on; 1,000 pages give about 20,000.
MOST = 320_000
# What is found is a sign if they have this share of their area in common, or this where their middles agree.
COMMON, COMMON_NEAR = 0.35, 0.15
# How far off the size of a page's digits is in use: the standard deviation of its logarithm.
OFF = 0.08


def find(folder: Path, out: Path) -> None:
    """Write, for each shard of pages, `images` (n, 28, 28) uint8 and `labels` (n,) uint8."""
    out.mkdir(parents=True, exist_ok=True)
    todo = [(file, out / file.name) for file in sorted(folder.glob("*.npz")) if not (out / file.name).exists()]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for line in pool.map(_find_in, todo):
            print(line, flush=True)


def _find_in(task: tuple[Path, Path]) -> str:
    file, out = task
    shard = np.load(file)
    spotter = open_spotter(BUNDLED / "spotter.onnx", threads=1)
    rng = np.random.default_rng([len(file.stem), *(int(part) for part in file.stem.split("-")[1:])])
    images, labels = [], []
    for ink, signs in zip(shard["ink"], shard["signs"], strict=True):
        signs = signs[signs[:, 0] >= 0]
        page = page_ink(255 - ink)
        digits = signs[signs[:, 0] < 10]
        tall = float(np.median(digits[:, 4] - digits[:, 2])) if len(digits) else TALL
        spots = spots_of(spotter, page.ink, tall * float(np.exp(rng.normal(0, OFF))))
        if page.contrast and len(spots):
            images.append(surroundings(page.ink, spots.boxes))
            labels.append(named(spots.boxes, signs))
    partial = out.with_suffix(".tmp.npz")
    names = np.concatenate(labels)
    np.savez_compressed(partial, images=np.concatenate(images), labels=names)
    partial.replace(out)
    return f"{out} {len(names)}, of these no sign {(names == NOTHING).sum()}"


def named(boxes: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Say what stands in each box.

    Args:
        boxes: (n, 4) float of left, top, right, bottom.
        signs: (m, 5) of class and box, as they were drawn.

    Returns:
        (n,) uint8: a digit, `OTHER` or `NOTHING`.
    """
    names = np.full(len(boxes), NOTHING, np.uint8)
    if not len(signs):
        return names
    low = np.maximum(boxes[:, None, :2], signs[None, :, 1:3])
    high = np.minimum(boxes[:, None, 2:], signs[None, :, 3:])
    common = np.clip(high - low, 0, None).prod(2)
    area, own = ((part[:, -2:] - part[:, -4:-2]).prod(1) for part in (boxes, signs))
    share = common / np.maximum(area[:, None] + own[None] - common, 1e-6)
    best = share.argmax(1)
    off = np.abs(boxes[:, :2] + boxes[:, 2:] - signs[best, 1:3] - signs[best, 3:]) / 2
    near = (off < 6).all(1)
    there = (share.max(1) > COMMON) | (near & (share.max(1) > COMMON_NEAR))
    names[there] = np.minimum(signs[best[there], 0], OTHER)
    return names


def network() -> Any:
    """Five convolutions as in the recipe `best`, three quarters as wide: 175,428 parameters."""
    import keras
    from keras import layers

    def convolution(filters: int, **options: Any) -> list[Any]:
        stack = [layers.Conv2D(filters, 3, use_bias=False, kernel_initializer="he_normal", **options)]
        return [*stack, layers.BatchNormalization(), layers.Activation("relu")]

    return keras.Sequential(
        [
            layers.Input((28, 28), name="pixels"),
            layers.Rescaling(1 / 255),
            layers.Reshape((28, 28, 1)),
            *convolution(24),
            layers.MaxPooling2D(),
            *convolution(48),
            *convolution(48),
            layers.MaxPooling2D(),
            *convolution(96, padding="same"),
            *convolution(96, padding="same"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(NOTHING + 1, activation="softmax"),
        ]
    )


def train(folder: Path, epochs: int, seed: int, rate: float, start: Path | None, name: str) -> None:
    """Train it as a run of that name, from fresh weights or from those of an exported network."""
    import digitlab
    from digitlab.learning.onnx_import import keras_from_onnx

    def begun() -> Any:
        return keras_from_onnx(start) if start else network()

    def of(part: str) -> tuple[np.ndarray, np.ndarray]:
        shards = [np.load(file) for file in sorted(folder.glob(f"{part}-*.npz")) if ".tmp" not in file.name]
        images, labels = (np.concatenate([shard[name] for shard in shards]) for name in ("images", "labels"))
        order = np.random.default_rng(seed).permutation(len(images))[:MOST]
        return images[order], labels[order]

    run = digitlab.train(
        "cnn",
        data=(of("train"), of("validation")),
        model=begun,
        begin_with=begun if start else None,
        name=name,
        seed=seed,
        batch_size=64,
        epochs=epochs,
        peak_rate=rate,
        average=0.995,
        shift=1.0,
        rotate=6.0,
        scale=0.08,
        shear=0.1,
        elastic=0.0,
        thickness=0.0,
    )
    print(run.path)


def export(run: Path, out: Path, before: Path | None, share: float) -> None:
    """Write a run's network with its weights in half precision, or its mean with the one that its training began with."""
    import onnx
    from onnx import helper

    from digitlab.learning.backend import import_keras
    from digitlab.learning.export import onnx_bytes
    from digitlab.learning.onnx_import import keras_from_onnx

    model = import_keras().saving.load_model(run / "model.keras")
    if before:
        pairs = zip(keras_from_onnx(before).get_weights(), model.get_weights(), strict=True)
        model.set_weights([(1 - share) * old + share * new for old, new in pairs])
    proto = onnx.load_from_string(onnx_bytes([model], {}))
    # What the last layer decides by, as a second output: signs that look alike are told by it (`reading/alike.py`).
    last = next(node for node in reversed(proto.graph.node) if node.op_type in ("Gemm", "MatMul"))
    proto.graph.output.append(helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, ["n", None]))
    info = json.loads((run / "run.json").read_text())
    data = {name: info["data"][name] for name in ("sha256", "counts")}
    labels = "0 1 2 3 4 5 6 7 8 9 other nothing"
    about = {"recipe": json.dumps(info["recipe"]), "data": json.dumps(data), "labels": labels}
    helper.set_model_props(proto, about)
    onnx.save(proto, str(out))
    halve(out)


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("find")
    step.add_argument("pages", type=Path)
    step.add_argument("out", type=Path)
    step = steps.add_parser("train")
    step.add_argument("found", type=Path)
    step.add_argument("--epochs", type=int, default=8)
    step.add_argument("--seed", type=int, default=0)
    step.add_argument("--rate", type=float, default=3e-3)
    step.add_argument("--start", type=Path, help="an exported network to go on from, at a lower rate")
    step.add_argument("--name", default="verifier")
    step = steps.add_parser("export")
    step.add_argument("run", type=Path)
    step.add_argument("out", type=Path)
    step.add_argument(
        "--before", type=Path, help="the exported network that the run began with: write the mean of both"
    )
    step.add_argument("--share", type=float, default=0.5, help="of the run in that mean, 0 to 1")
    options = parser.parse_args()
    if options.step == "find":
        find(options.pages, options.out)
    elif options.step == "train":
        train(options.found, options.epochs, options.seed, options.rate, options.start, options.name)
    else:
        export(options.run, options.out, options.before, options.share)


if __name__ == "__main__":
    main()
