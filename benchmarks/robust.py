"""How many images a model reads wrongly on MNIST-C as its authors make it: fifteen kinds, the 10,000 test images each.

    uv run --with scikit-image python benchmarks/robust.py runs/my-run [MORE] [--write]

Look once, at a finished recipe: choices are made with `own_damage.py`. The fifteen sets of images are kept in
`$DIGITLAB_MNIST_C`, or in a folder of the system's temporary files, outside the repository.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import results
from mnist_c import FIFTEEN, corrupted
from own_damage import DAMAGE, model_of, wrong

from digitlab.data import load
from digitlab.learning import RECIPES, augment
from digitlab.learning.disturb import OPERATIONS

KEPT = Path(os.environ.get("DIGITLAB_MNIST_C") or Path(tempfile.gettempdir()) / "digitlab-mnist-c")


def kept(images: np.ndarray, kind: str) -> np.ndarray:
    """The images with one corruption, made once."""
    file = KEPT / f"{kind}.npy"
    if file.exists():
        return np.asarray(np.load(file))
    made = corrupted(images, kind)
    KEPT.mkdir(parents=True, exist_ok=True)
    np.save(file, made)
    return made


def operations() -> str:
    """What `robust` was trained, chosen and judged on, so that anyone can judge the figure."""
    recipe = RECIPES["robust"]
    moves = ", ".join(f"{name} {getattr(recipe, name):g}" for name in augment.STRENGTHS)
    return (
        f"Trained on, none of the fifteen: `learning/augment.py` with {moves} (images are shifted as far as in "
        "`translate`, and turned, sized and slanted less far than in `rotate`, `scale` and `shear`); and in "
        f"{100 * recipe.disturb:.0f} % of the images `learning/disturb.py`: {'; '.join(OPERATIONS.values())}. Inside "
        "the model, without parameters: local contrast (`learning/input_layers.py`), which takes away paper, shade and "
        "polarity, and that of the image after a median of three. For choosing: `benchmarks/own_damage.py` on "
        f"validation images ({', '.join(DAMAGE)}). Judged on: "
        "the fifteen corruptions of MNIST-C by the authors' functions and parameters (`benchmarks/mnist_c.py`)."
    )


def main() -> None:
    """Make the images, judge the models, print a table and with --write keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="run folders or .keras files")
    parser.add_argument("--write", action="store_true", help="write the section of RESULTS.md")
    options = parser.parse_args()
    from digitlab.learning.backend import import_keras

    import_keras()
    split = load().test
    models = [model_of(name) for name in options.models]
    rows = []
    for kind in ("clean", *FIFTEEN):
        images = split.images if kind == "clean" else kept(split.images, kind)
        rows.append([wrong(model, images, split.labels) for model in models])
        print(f"{kind:15}" + "".join(f"{value:8.2f}" for value in rows[-1]), flush=True)
    lines = [
        ["clean", rows[0]],
        ["mean of the fifteen", np.mean(rows[1:], axis=0)],
        *zip(FIFTEEN, rows[1:], strict=True),
    ]
    names = [f"{Path(name).name}, {model.count_params():,}" for name, model in zip(options.models, models, strict=True)]
    body = results.table(
        ["wrong, %", *names], [[str(kind).replace("_", " "), *(f"{value:.2f}" for value in row)] for kind, row in lines]
    )
    print("\n" + body)
    if options.write:
        text = f"{body}\n\nOne seed each; columns: recipe and parameters. {operations()}\n\n{results.provenance()}"
        results.write_section("robust", "Bad images: MNIST-C", text)


if __name__ == "__main__":
    main()
