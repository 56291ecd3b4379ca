"""What a report shows, as plain data: no model, no path, nothing that has to be worked out from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from digitlab.judging.metrics import Evaluation


@dataclass(frozen=True, eq=False)
class ReportContent:
    """One run, ready to be shown; n test images, k classes, e epochs.

    Every text in it may come from outside (file names, class names, a user's layer names): it is escaped.

    Attributes:
        name: of the run.
        created: when, ISO 8601.
        recipe: field of the recipe -> its value.
        description: one sentence about the recipe.
        data_name: what it was trained on.
        data_sha256: of that data, hexadecimal.
        data_counts: images by split, such as train, validation, test.
        class_names: k names.
        machine: what is known about the machine -> value.
        versions: package -> version.
        seconds: stage -> seconds, with `total`.
        history: columns of e numbers: epoch, loss, accuracy, and where they exist val_loss, val_accuracy,
            learning_rate, seconds.
        evaluation: what `evaluate` said about the test images.
        images: uint8 (n, h, w), the test images, ink bright on 0.
        labels: integer (n,), 0 to k - 1.
        probabilities: float (n, k), rows sum to 1.
        layers: of the model, in order; each with name, type, output_shape, parameters, activation.
        model_file: name of the saved model beside the report; "" where there is none.
        seed: that the run started from; of an ensemble, all of them.
        parameters: how many numbers the model learned.
        recipe_changes: field -> the value the named recipe has, for each field that this run set differently.
        first_weights: float (height, width, units), the first layer's weights where it looks at the image itself:
            of the image's own size where it is dense, of its window's where it is a convolution.
        corruptions: kind -> accuracy by rising strength, each in [0, 1], where that was measured.
    """

    name: str
    created: str
    recipe: Mapping[str, object]
    description: str
    data_name: str
    data_sha256: str
    data_counts: Mapping[str, int]
    class_names: Sequence[str]
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    history: Mapping[str, Sequence[float]]
    evaluation: Evaluation
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.integer]
    probabilities: npt.NDArray[np.floating]
    layers: Sequence[Mapping[str, object]]
    model_file: str
    seed: int | str
    parameters: int
    recipe_changes: Mapping[str, object] = field(default_factory=dict)
    first_weights: npt.NDArray[np.floating] | None = None
    corruptions: Mapping[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together; a report about the wrong images would look right.

        Raises:
            ValueError: says which of them, what came and what was expected.
        """
        n, k = len(self.images), len(self.class_names)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"images: {self.images.dtype} {self.images.shape}, expected uint8 (n, height, width)")
        if self.labels.shape != (n,):
            raise ValueError(f"labels: shape {self.labels.shape}, expected ({n},), one for each image")
        if self.probabilities.shape != (n, k):
            raise ValueError(f"probabilities: shape {self.probabilities.shape}, expected ({n}, {k})")
        if self.evaluation.samples != n or self.evaluation.confusion.shape != (k, k):
            raise ValueError(
                f"evaluation: of {self.evaluation.samples} images in {len(self.evaluation.confusion)} classes, "
                f"expected {n} in {k}"
            )
