"""What a run tells while it trains, as two small files in its folder, for whoever watches: a page, or another process.

``live.json`` says how far it is, a few times a second; ``live-epoch.json`` what the last epoch brought.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.errors import DigitlabError
from digitlab.files import write_atomically
from digitlab.runs.events import Watcher
from digitlab.runs.states import Stage

if TYPE_CHECKING:
    import numpy as np

    from digitlab.data import Dataset
    from digitlab.learning.engine import Progress
    from digitlab.learning.state import TrainState
    from digitlab.runs.folder import Run

PROGRESS, EPOCH = "live.json", "live-epoch.json"
# Seconds between two lines of progress: a bar seems to move, and the disk has little to do.
OFTEN = 0.4
# Validation images judged after each epoch: enough for a confusion matrix, a fraction of a second on any network here.
JUDGED = 2000
WORST, UNITS = 18, 32


class Live(Watcher):
    """Tells another watcher everything, and writes it into the run's folder too.

    Args:
        inner: the other watcher.
    """

    def __init__(self, inner: Watcher | None = None) -> None:
        self.inner = inner or Watcher()
        self._folder: Path | None = None
        self._last = 0.0
        self._began: tuple[float, int] | None = None
        self._progress: dict[str, Any] = {"pid": os.getpid(), "stage": Stage.BUILD}

    def started(self, run: Run, data: Dataset, model: Any, state: TrainState | None) -> None:
        """Remember what to judge after each epoch: validation images, or training images where there are none."""
        self._folder, self._model, self._names = run.path, model, data.class_names
        self._images = data.validation if len(data.validation) else data.train
        self._of = "validation" if len(data.validation) else "training"
        if state:
            self._judge(state)
        self._tell(force=True)
        self.inner.started(run, data, model, state)

    def progress(self, progress: Progress) -> None:
        """Write how far it is, a few times a second."""
        done, total = progress.epoch * progress.of + progress.images, progress.epochs * progress.of
        now = time.perf_counter()
        self._began = self._began or (now, done)
        seconds, here = now - self._began[0], done - self._began[1]
        self._progress |= {
            "stage": Stage.TRAIN,
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            "share": done / max(1, total),
            "loss": _finite(progress.loss),
            "accuracy": _finite(progress.accuracy),
            "within": progress.images / max(1, progress.of),
            "speed": here / seconds if here and seconds else None,
            "left": seconds * (total - done) / here if here else None,
        }
        self._tell()
        self.inner.progress(progress)

    def epoch(self, state: TrainState, epochs: int) -> None:
        """Judge some images, and write what came of it."""
        self._judge(state)
        self.inner.epoch(state, epochs)

    def stage(self, name: Stage) -> None:
        """Write what it does now."""
        self._progress["stage"] = name
        self._tell(force=True)
        self.inner.stage(name)

    def failed(self, message: str) -> None:
        """Write why it ended."""
        self._progress["error"] = message
        self._tell(force=True)

    def _tell(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._folder is not None and (force or now - self._last >= OFTEN):
            self._last = now
            _write(self._folder / PROGRESS, self._progress)

    def _judge(self, state: TrainState) -> None:
        import numpy as np

        from digitlab.learning.predict import predictor

        if self._folder is None:
            return
        images, labels = self._images.images[:JUDGED], self._images.labels[:JUDGED]
        probabilities = predictor(self._model, state.weights)(images)
        read, count = probabilities.argmax(1), len(self._names)
        confusion = np.bincount(labels * count + read, minlength=count * count).reshape(count, count)
        wrong = np.flatnonzero(read != labels)
        worst = wrong[np.argsort(-probabilities[wrong, read[wrong]], kind="stable")][:WORST]
        _write(
            self._folder / EPOCH,
            {
                "epoch": state.epoch,
                "judged": len(labels),
                "of": self._of,
                "classes": list(self._names),
                "confusion": confusion.tolist(),
                "worst": [
                    {
                        "image": _packed(images[i]),
                        "label": int(labels[i]),
                        "read": int(read[i]),
                        "confidence": round(float(probabilities[i, read[i]]), 4),
                    }
                    for i in worst
                ],
                "weights": first_layer(state.weights),
            },
        )


def first_layer(weights: tuple[np.ndarray, ...]) -> dict[str, Any] | None:
    """What the first layer looks for, as small images; None where it does not look at the pixels themselves.

    Args:
        weights: of the model, the first layer's first.

    Returns:
        Width, height and the images, each base64 of signed bytes, 127 the largest weight of all.

    Example:
        >>> import numpy as np
        >>> first_layer((np.ones((784, 3), np.float32),))["height"]
        28
    """
    import numpy as np

    kernel = next((array for array in weights if array.ndim in (2, 4)), None)
    if kernel is None:
        return None
    if kernel.ndim == 2 and kernel.shape[0] == 28 * 28:
        pictures = kernel.reshape(28, 28, -1)
    elif kernel.ndim == 4 and kernel.shape[2] == 1:
        pictures = kernel[:, :, 0]
    else:
        return None
    largest = float(np.abs(pictures).max()) or 1.0
    small = np.round(127 * pictures[..., :UNITS] / largest).astype(np.int8)
    height, width, units = small.shape
    return {"width": width, "height": height, "pictures": [_packed(small[..., i]) for i in range(units)]}


def _packed(pixels: np.ndarray) -> str:
    return base64.b64encode(pixels.tobytes()).decode("ascii")


def _finite(value: float) -> float | None:
    return value if value - value == 0 else None


def _write(file: Path, content: dict[str, Any]) -> None:
    with contextlib.suppress(DigitlabError):  # a full disk ends the run, not its display
        write_atomically(file, json.dumps(content), durable=False)
