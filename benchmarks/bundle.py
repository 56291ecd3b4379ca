"""Put two trained networks into the package: the one that names digits, the one that knows what is none.

    npm install $(sed 's|^|@fontsource/|' benchmarks/hands.txt)
    python making/non_digits.py gate.npz --hands node_modules/@fontsource
    digitlab train tiny --seeds 3 --name digits
    digitlab export digits
    digitlab train cnn --data gate.npz --name gate --epochs 40 --batch-size 64 --peak-rate 0.004 --dropout 0.2
        --rotate 8 --scale 0.1 --shear 0.1 --thickness 0.2 --loss categorical_crossentropy --label-smoothing 0.02
    python benchmarks/bundle.py runs/digits runs/gate

Fits the temperature on the validation digits and chooses the thresholds below which something is no digit, or
doubtful, on validation digits; stores both, with recipe, seeds, data hash and scores, in the ONNX files and in
`digits.json` beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from digitlab.probabilities import tempered
from digitlab.reading.model import OnnxModel, open_model
from digitlab.reading.normalise import normalise
from digitlab.reading.reader import BUNDLED

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "making"))
from pages import mnist, non_digits  # type: ignore[import-not-found]

# Of the validation digits, raw or cut by the reader, this share may be refused.
LOSS = 0.001
# Below where this share lies, a sign is no evidence that its group is a number and no word.
DOUBT = 0.01
LARGEST = 1_000_000


def main() -> None:
    """Calibrate, choose, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("digits", type=Path, help="a finished run, or a group that was exported")
    parser.add_argument("gate", type=Path, help="a finished run")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    options = parser.parse_args()
    digits = open_model(_onnx_of(options.digits))
    with tempfile.TemporaryDirectory() as folder:
        gate = open_model(two_classes(_onnx_of(options.gate), Path(folder) / "gate.onnx"))
        bundle(digits, gate, options)


def bundle(digits: OnnxModel, gate: OnnxModel, options: argparse.Namespace) -> None:
    """Calibrate both, score, store."""
    images, labels = mnist("validation")
    test_images, test_labels = mnist("test")
    probabilities = digits.probabilities(images)
    temperature = fit_temperature(probabilities, labels)
    own = np.stack([normalise(image / 255) for image in images])
    threshold, doubt = (
        min(float(np.quantile(gate.probabilities(views)[:, 0], share)) for views in (images, own))
        for share in (LOSS, DOUBT)
    )
    made_up = some_non_digits("made-up", 1500, 1)
    test = digits.probabilities(test_images)
    scores = {
        "validation_accuracy": _share(probabilities.argmax(1) == labels),
        "test_accuracy": _share(test.argmax(1) == test_labels),
        "test_log_loss": round(log_loss(tempered(test, temperature), test_labels), 5),
        "validation_digits_refused": _share(gate.probabilities(images)[:, 0] < threshold),
        "test_digits_refused": _share(gate.probabilities(test_images)[:, 0] < threshold),
        "made_up_non_digits_refused": _share(gate.probabilities(made_up)[:, 0] < threshold),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "digits": {**recipe_of(options.digits), "temperature": round(temperature, 4)},
        "gate": {**recipe_of(options.gate), "threshold": round(threshold, 5), "doubt": round(doubt, 5)},
        "data": {"mnist_validation_sha256": hashlib.sha256(images.tobytes()).hexdigest()},
        "labels": "0 1 2 3 4 5 6 7 8 9",
        "input": "(n, 28, 28) raw 0..255, bright ink on 0",
        "scores": scores,
    }
    common = {name: _text(about[name]) for name in ("labels", "input", "scores", "data")}
    store(digits, options.out / "digits.onnx", {**common, **_texts(about["digits"])})
    store(gate, options.out / "gate.onnx", {**common, "labels": "digit, no digit", **_texts(about["gate"])})
    (options.out / "digits.json").write_text(json.dumps(about, indent=2) + "\n")
    size = sum(file.stat().st_size for file in options.out.glob("*.onnx"))
    print(json.dumps(about, indent=2))
    print(f"{size:,} bytes in {options.out}")
    if size > LARGEST:
        raise SystemExit(f"{size} bytes, at most {LARGEST} belong into the package. Train a smaller recipe.")


def two_classes(source: Path, target: Path) -> Path:
    """Cut the outputs of classes that the data do not have: a .npz always gives ten, "digit" and "no digit" are two."""
    proto = onnx.load(str(source))
    shape = proto.graph.output[0].type.tensor_type.shape
    classes = shape.dim[-1].dim_value
    last = {name for node in proto.graph.node[-4:] for name in node.input}
    for tensor in proto.graph.initializer:
        if tensor.name in last and tensor.dims and tensor.dims[-1] == classes:
            values = np.ascontiguousarray(onnx.numpy_helper.to_array(tensor)[..., :2])
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    shape.dim[-1].dim_value = 2
    onnx.checker.check_model(proto)
    onnx.save(proto, str(target))
    return target


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least log loss, by golden-section search over its logarithm."""
    low, high, ratio = np.log(0.1), np.log(10.0), (np.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(tempered(probabilities, np.exp(left)), labels) < log_loss(
            tempered(probabilities, np.exp(right)), labels
        ):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log of the right class's probability."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def some_non_digits(kind: str, number: int, seed: int) -> np.ndarray:
    """(number, 28, 28): pictures of non-digits in MNIST's geometry."""
    made = non_digits(kind, np.random.default_rng(seed))
    return np.stack([normalise(1 - np.asarray(next(made)[1], np.float32) / 255) for _ in range(number)])


def recipe_of(path: Path) -> dict[str, Any]:
    """What a finished run, or the runs of a group, say about where they come from."""
    files = sorted(path.parent.glob(f"{path.name}-seed*/run.json")) or [path / "run.json"]
    if not files[0].is_file():
        raise SystemExit(f"{path}: no finished run and no group of that name. Train it first")
    runs = [json.loads(file.read_text()) for file in files]
    # Not the data's path: it is a matter of the machine.
    data = {name: runs[0]["data"][name] for name in ("name", "sha256", "counts")}
    seeds = [run["seed"] for run in runs]
    seed = {"seed": seeds[0]} if len(seeds) == 1 else {"seeds_averaged": seeds}
    return {"recipe": runs[0]["recipe"], **seed, "data": data, "versions": runs[0]["versions"]}


def store(model: OnnxModel, path: Path, metadata: dict[str, str]) -> None:
    """Write a model with its metadata, whole or not at all."""
    proto = onnx.load(str(model.path))
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, metadata)
    unfinished = path.with_suffix(".part")
    onnx.save(proto, str(unfinished))
    unfinished.replace(path)


def _onnx_of(path: Path) -> Path:
    return path / "model.onnx" if path.is_dir() else path.with_name(f"{path.name}.onnx")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items()}


def _share(right: np.ndarray) -> float:
    return round(float(np.mean(right)), 5)


if __name__ == "__main__":
    main()
