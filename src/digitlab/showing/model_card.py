"""A run's or a group's model card: a `README.md` as model hubs expect it, its front matter for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from digitlab.files import printable
from digitlab.showing.wording import interval, percent, percents

if TYPE_CHECKING:
    from digitlab.judging import Evaluation
    from digitlab.judging.compare import Spread


def model_card(
    name: str,
    info: Mapping[str, Any],
    evaluation: Evaluation,
    *,
    onnx: bool = True,
    seeds: Sequence[tuple[int, float]] = (),
    spread: Spread | None = None,
) -> str:
    """Write the card.

    Args:
        name: of the run or the group.
        info: `run.json` of the run, or of the group's first.
        evaluation: on the test images; of a group, its ensemble's.
        onnx: there is a `model.onnx` beside the `model.keras`.
        seeds: of a group: seed and test accuracy of each run.
        spread: of a group: mean and interval of those accuracies.

    Returns:
        Markdown with YAML front matter.

    Reference:
        https://huggingface.co/docs/hub/model-cards
    """
    parts = [
        _front_matter(name, info, evaluation, onnx),
        f"# {_plain(name)}\n",
        _what_it_is(info, seeds),
        _how_to_use(name, info, onnx, bool(seeds)),
        _data(info),
        _evaluation(info, evaluation, seeds, spread),
        _limits(info, evaluation),
    ]
    return "\n".join(parts).replace("\u00a0", " ")


def _plain(text: str) -> str:
    """Text from elsewhere that stays text in Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", printable(text))


def _yaml(value: object) -> str:
    """A scalar as YAML, which takes JSON's."""
    return json.dumps(printable(value) if isinstance(value, str) else value)


def _front_matter(name: str, info: Mapping[str, Any], evaluation: Evaluation, onnx: bool) -> str:
    data = info["data"]
    bundled = data["source"] == ""
    kind = (
        "ylecun/mnist" if bundled else re.sub(r"[^a-z0-9]+", "-", printable(data["name"]).lower()).strip("-") or "own"
    )
    measured = [("accuracy", evaluation.accuracy), ("log_loss", evaluation.log_loss)]
    return "\n".join(
        [
            "---",
            "library_name: keras",
            "license: mit",
            "pipeline_tag: image-classification",
            "tags:",
            *(f"- {tag}" for tag in ["keras", *(["onnx"] if onnx else []), "image-classification", "digitlab"]),
            *(["- handwritten-digits", "datasets:", f"- {kind}"] if bundled else []),
            "metrics:",
            "- accuracy",
            "model-index:",
            f"- name: {_yaml(name)}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            f"      name: {_yaml(data['name'])}",
            f"      type: {kind}",
            "      split: test",
            "    metrics:",
            *(line for key, value in measured for line in (f"    - type: {key}", f"      value: {_yaml(value)}")),
            "---\n",
        ]
    )


def _what_it_is(info: Mapping[str, Any], seeds: Sequence[tuple[int, float]]) -> str:
    recipe = info["recipe"]
    classes = info["data"]["classes"]
    named = "a handwritten digit" if classes == list("0123456789") else f"one of {len(classes)} classes"
    trained = f"{recipe['epochs']} epochs at most" if recipe.get("patience") else f"{recipe['epochs']} epochs"
    seed = f"{len(seeds)} seeds" if seeds else f"seed {info['seed']}"
    words = (
        f"Names {named} in an image of 28 x 28 pixels. Recipe `{printable(recipe['name'])}` "
        f"({_plain(recipe['description'])}), {info['parameters']:,} parameters"
        f"{' per seed' if seeds else ''}, {trained}, {seed}; trained with digitlab "
        f"{info['versions']['digitlab']} on {info['created'][:10]}.\n"
    )
    if "parent" in info:
        words += (
            f"\nIt began with the weights of `{printable(info['parent']['name'])}` and learned "
            f"{info['own_images']['learned']:,} own images.\n"
        )
    return words


def _how_to_use(name: str, info: Mapping[str, Any], onnx: bool, group: bool) -> str:
    flat = info["recipe"].get("flat_input")
    shape = "(n, 784)" if flat else "(n, 28, 28)"
    file = f"{printable(name)}.keras" if group else "model.keras"
    lines = ["## How to use it\n"]
    if group:
        lines.append(f"`digitlab export {printable(name)} --format keras` writes one model that averages all seeds.\n")
    lines.append(f"""```python
import keras

model = keras.saving.load_model("{file}")
probabilities = model.predict(images)  # uint8 {shape}, 0 to 255, ink bright on 0
```
""")
    if onnx and not group:
        lines.append("""```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(None, {"pictures": images})  # uint8 (n, 28, 28)
```
""")
    if onnx and info["data"]["classes"] == list("0123456789"):
        model = printable(name) if group else "this-folder"
        lines.append(f"A photo, with digitlab: `digitlab read photo.jpg --model {model}`.\n")
    if info["recipe"].get("output") == "sigmoid" and not group:
        lines.append("Outputs of the Keras file are sigmoids: divide each row by its sum.\n")
    return "\n".join(lines)


def _data(info: Mapping[str, Any]) -> str:
    data = info["data"]
    counts = ", ".join(f"{data['counts'][part]:,} {words}" for part, words in _PARTS)
    licence = " MNIST is by LeCun, Cortes and Burges, under CC BY-SA 3.0." if data["source"] == "" else ""
    return (
        f"## Data\n\n{_plain(data['name'])}: {counts} images. Classes: "
        f"{', '.join(_plain(name) for name in data['classes'])}. SHA-256 `{data['sha256']}`.{licence}\n"
    )


_PARTS = (("train", "training"), ("validation", "validation"), ("test", "test"))


def _evaluation(
    info: Mapping[str, Any], evaluation: Evaluation, seeds: Sequence[tuple[int, float]], spread: Spread | None
) -> str:
    e, classes = evaluation, info["data"]["classes"]
    after = f", {e.calibrated_log_loss:.4f} calibrated" if e.calibrated_log_loss is not None else ""
    rows = [
        ("accuracy", percent(e.accuracy, 2)),
        ("95 % interval", percents(e.accuracy_interval)),
        ("mistakes", f"{e.samples - e.correct:,} of {e.samples:,}"),
        ("log loss", f"{e.log_loss:.4f}{after}"),
        ("Brier score", f"{e.brier_score:.4f}"),
        ("calibration error", f"{e.calibration_error:.4f}"),
    ]
    if e.temperature is not None:
        rows.append(("temperature", f"{e.temperature:.3f}, fitted on validation images"))
    of = "the ensemble (the mean of the seeds' probabilities) on the test images" if seeds else "on the test images"
    text = f"## Evaluation\n\nOnce, {of}:\n\n| | |\n| --- | ---: |\n"
    text += "".join(f"| {key} | {value} |\n" for key, value in rows)
    if seeds and spread is not None:
        inside = ""
        if spread.interval:
            inside = f" ({interval(spread.interval, of='the mean')})"
        text += f"\nThe seeds alone: mean {percent(spread.mean, 2)}{inside}.\n\n| seed | accuracy |\n| ---: | ---: |\n"
        text += "".join(f"| {seed} | {percent(accuracy, 2)} |\n" for seed, accuracy in seeds)
    if e.confusions:
        often = (
            f"{_plain(classes[c.true])} read as {_plain(classes[c.predicted])} ({c.count})" for c in e.confusions[:5]
        )
        text += f"\nMost frequent mistakes: {', '.join(often)}.\n"
    return text


def _limits(info: Mapping[str, Any], evaluation: Evaluation) -> str:
    count = len(info["data"]["classes"])
    lines = [
        "It expects images prepared as those it learned from: 28 x 28, bright ink on 0, one sign in the middle. A "
        "photo has to be brought to that first; `digitlab read` does.",
        f"It knows its {count} classes only: whatever it is shown, also a letter or nothing at all, gets one of them.",
        f"The interval says what {evaluation.samples:,} test images of the same data set leave open. Other hands, "
        "pens, scanners and countries can be harder, by more than that.",
        "Probabilities are most reliable after temperature scaling."
        if evaluation.temperature is not None
        else "There were no validation images to calibrate the probabilities on.",
    ]
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)
