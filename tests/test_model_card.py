"""The model card of a run: front matter that a program reads, numbers from the run, text from elsewhere as text."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.judged_material import FASHION, make_content

from digitlab.runs import open_run
from digitlab.showing.model_card import model_card

OLD = Path(__file__).parent / "data" / "run-format-1"


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    return copy.deepcopy(dict(open_run(OLD).info))


def front_matter(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(head))


def test_front_matter_is_what_hubs_expect(info: dict[str, Any]) -> None:
    evaluation = open_run(OLD).evaluation
    head = front_matter(model_card("mine", info, evaluation))
    assert head["library_name"] == "keras" and head["license"] == "mit"
    assert {"keras", "onnx", "image-classification"} <= set(head["tags"]) and head["metrics"] == ["accuracy"]
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert model["name"] == "mine" and result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"name": "small MNIST", "type": "small-mnist", "split": "test"}
    assert {m["type"]: m["value"] for m in result["metrics"]}["accuracy"] == evaluation.accuracy
    bundled = {**info, "data": {**info["data"], "source": "", "name": "MNIST"}}
    assert front_matter(model_card("mine", bundled, evaluation))["datasets"] == ["ylecun/mnist"]


def test_it_says_what_is_known_and_what_not(info: dict[str, Any]) -> None:
    evaluation = open_run(OLD).evaluation
    card = model_card("mine", info, evaluation)
    low, high = evaluation.accuracy_interval
    for words in (
        f"{100 * evaluation.accuracy:.2f} %",
        f"{100 * low:.2f} to {100 * high:.2f}",
        info["data"]["sha256"],
        "500 training",
        'load_model("model.keras")',
        "## Limits",
    ):
        assert words in card, words
    assert "onnxruntime" not in model_card("mine", info, evaluation, onnx=False)
    clothes = {**info, "data": {**info["data"], "classes": [*FASHION, *"vwxyz"]}}
    assert "digitlab read" not in model_card("mine", clothes, evaluation).partition("## Data")[0]


def test_names_from_elsewhere_stay_text(info: dict[str, Any]) -> None:
    hostile = 'a"\n---\n# <script>|`x`'
    data = {**info["data"], "name": hostile, "classes": [hostile, *map(str, range(9))]}
    card = model_card(hostile, {**info, "data": data}, make_content(100, skill=2.0).evaluation)
    assert "<script>" not in card.split("---\n", 2)[2].replace("\\<", "") and card.count("\n---\n") == 1
    assert "# <script>" in front_matter(card)["model-index"][0]["name"]
