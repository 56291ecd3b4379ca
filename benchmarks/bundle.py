"""Put the network that names digits into the package; `making/` has what makes the two that find and check signs.

    digitlab train tiny --seeds 3 --name digits
    digitlab export digits
    python benchmarks/bundle.py runs/digits

Fits the temperature on the validation digits; stores the network with recipe, seeds, data hash and scores in the ONNX
file and in `digits.json` beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from digitlab.probabilities import tempered
from digitlab.reading.model import OnnxModel, open_model
from digitlab.reading.reader import BUNDLED

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "making"))
from pages import mnist  # type: ignore[import-not-found]

LARGEST = 4_000_000


def main() -> None:
    """Calibrate, choose, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("digits", type=Path, help="a finished run, or a group that was exported")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    options = parser.parse_args()
    bundle(open_model(_onnx_of(options.digits)), options)


def bundle(digits: OnnxModel, options: argparse.Namespace) -> None:
    """Calibrate, score, store."""
    images, labels = mnist("validation")
    test_images, test_labels = mnist("test")
    probabilities = digits.probabilities(images)
    temperature = fit_temperature(probabilities, labels)
    test = digits.probabilities(test_images)
    scores = {
        "validation_accuracy": _share(probabilities.argmax(1) == labels),
        "test_accuracy": _share(test.argmax(1) == test_labels),
        "test_log_loss": round(log_loss(tempered(test, temperature), test_labels), 5),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "digits": {**recipe_of(options.digits), "temperature": round(temperature, 4)},
        "data": {"mnist_validation_sha256": hashlib.sha256(images.tobytes()).hexdigest()},
        "labels": "0 1 2 3 4 5 6 7 8 9",
        "input": "(n, 28, 28) raw 0..255, bright ink on 0",
        "scores": scores,
    }
    common = {name: _text(about[name]) for name in ("labels", "input", "scores", "data")}
    store(digits, options.out / "digits.onnx", {**common, **_texts(about["digits"])})
    (options.out / "digits.json").write_text(json.dumps(about, indent=2) + "\n")
    size = sum(file.stat().st_size for file in options.out.glob("*.onnx"))
    print(json.dumps(about, indent=2))
    print(f"{size:,} bytes in {options.out}")
    if size > LARGEST:
        raise SystemExit(f"{size} bytes, at most {LARGEST} belong into the package. Train a smaller recipe.")


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
