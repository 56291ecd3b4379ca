"""Seconds an epoch of 784-128-10 at batch 32 on 60,000 images: digitlab beside its peers, in the same go.

    python -m venv benchmarks/.peers && benchmarks/.peers/bin/pip install -r benchmarks/peers/requirements.txt
    uv run python benchmarks/epoch.py --write

The programs take turns, `--rounds` times, each in a process of its own; the first epoch of a process (compilation) does
not count; the figure is the median over all the other epochs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import results

from digitlab.data import load

HERE = Path(__file__).parent
OURS = """
import json, sys
from digitlab.learning import recipe
from digitlab.learning.engine import train
from digitlab.learning.batches import LabelledImages
from digitlab.learning.models import build
from digitlab.data import load
data = load(validation=0)
settings = recipe("mlp", epochs=int(sys.argv[1]), batch_size=int(sys.argv[2]))
state = train(build(settings), settings, LabelledImages(data.train.images, data.train.labels), engine=sys.argv[3])
print(json.dumps({"epochs": state.history["seconds"]}))
"""


def peers(python: str, data: Path, *options: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Command and environment of each peer."""
    fit, loop = str(HERE / "peers" / "keras_fit.py"), str(HERE / "peers" / "torch_loop.py")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return {
        "Keras fit on TensorFlow": ([python, fit, str(data), *options], {"KERAS_BACKEND": "tensorflow", **quiet}),
        "Keras fit on JAX": ([python, fit, str(data), *options], {"KERAS_BACKEND": "jax", **quiet}),
        "PyTorch loop": ([python, loop, str(data), *options], {}),
    }


def tuned_peers(python: str, data: Path, *options: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The same peers as somebody writes them who knows what makes them quick."""
    folder, sizes = HERE / "peers", (str(data), *options)
    fit, loop = [python, str(folder / "keras_fit.py"), *sizes], [python, str(folder / "torch_loop.py"), *sizes]
    on_tensorflow = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {
        "Keras fit on TensorFlow, XLA, 50 steps an execution": ([*fit, "--tuned"], on_tensorflow),
        "Keras fit on JAX, 50 steps an execution": ([*fit, "--tuned"], {"KERAS_BACKEND": "jax"}),
        "TensorFlow, a whole epoch in one tf.function by XLA": (
            [python, str(folder / "tensorflow_epoch.py"), *sizes],
            on_tensorflow,
        ),
        "PyTorch loop, shuffled once, fused Adam": ([*loop, "--fused"], {}),
        "PyTorch loop, the same, torch.compile": ([*loop, "--fused", "--compile"], {}),
        "PyTorch without autograd, gradients by hand": ([python, str(folder / "torch_by_hand.py"), *sizes], {}),
    }


def write_npz(folder: Path) -> Path:
    """The data as the peers read it."""
    data = load(validation=0)
    file = folder / "mnist.npz"
    np.savez(
        file,
        x_train=data.train.images,
        y_train=data.train.labels,
        x_test=data.test.images,
        y_test=data.test.labels,
    )
    return file


def _with_version(name: str, version: str) -> str:
    """The name with the library's version behind its first word."""
    first, _, rest = name.partition(",")
    return (f"{first} {version}" + (f",{rest}" if rest else "")).strip()


def main() -> None:
    """Measure, print, and with --write keep."""
    import os

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=str(HERE / ".peers" / "bin" / "python"), help="Python that has the peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="epochs a process; the first does not count")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--against", default="", metavar="TEXT", help="only peers with this in their name")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sizes = [str(options.epochs), str(options.batch_size)]
    with tempfile.TemporaryDirectory() as folder:
        data = write_npz(Path(folder))
        programs = {
            "digitlab": ([sys.executable, "-c", OURS, *sizes, "compiled"], {"KERAS_BACKEND": "jax"}),
            **peers(options.peers, data, "--epochs", sizes[0], "--batch-size", sizes[1]),
        }
        plain = [name for name in programs if name != "digitlab"]
        programs |= tuned_peers(options.peers, data, "--epochs", sizes[0], "--batch-size", sizes[1])
        programs = {name: way for name, way in programs.items() if name == "digitlab" or options.against in name}
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        found = {}
        for number in range(options.rounds):
            for name, (command, environment) in programs.items():
                out = subprocess.run(
                    command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
                ).stdout
                answer = json.loads(out.splitlines()[-1])
                seconds[name] += answer["epochs"][1:]
                found[name] = answer.get("version", "")
                print(f"round {number + 1}, {name}: " + " ".join(f"{s:.3f}" for s in answer["epochs"]), flush=True)
    ours = statistics.median(seconds["digitlab"])
    quickest = min(seconds["digitlab"])
    body = results.table(
        ["program", "", "seconds an epoch, median", "least", "most", "digitlab's share: medians", "of the least"],
        [
            [
                # The version is the library's that trains, Keras' and not its backend's.
                name.replace("Keras", f"Keras {found[name]}") if "Keras" in name else _with_version(name, found[name]),
                "" if name == "digitlab" else "plain" if name in plain else "tuned",
                f"{statistics.median(values):.3f}",
                f"{min(values):.3f}",
                f"{max(values):.3f}",
                f"{ours / statistics.median(values):.2f}",
                f"{quickest / min(values):.2f}",
            ]
            for name, values in seconds.items()
        ],
    )
    print("\n" + body)
    if options.write:
        results.write_section(
            "epoch",
            f"An epoch of 784-128-10, batch {options.batch_size}, 60,000 images",
            f"{body}\n\nPlain: the script that people write. Tuned: as somebody writes it who knows what makes the "
            "library quick, all of it in memory and, but for the first two, the optimizer by hand or fused. Of "
            f"{len(seconds['digitlab'])} epochs each. {results.provenance()}",
        )


if __name__ == "__main__":
    main()
