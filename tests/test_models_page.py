"""Choosing the network on the page, two at once on the same digits, and a look inside."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import without_figures
from helpers.serving_client import page_with, png, running
from test_report_browser import browser, watch
from test_report_browser import pytestmark as needs_browser

from digitlab.data import Dataset
from digitlab.errors import ReadingError
from digitlab.reading.inside import look_inside
from digitlab.reading.reader import BUNDLED, Reader
from digitlab.runs import Run
from digitlab.runs.training import train
from digitlab.serving import Settings

__all__ = ["browser"]


@pytest.fixture(scope="module")
def run(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with without_figures():
        return train("mlp", data=small, hidden=(12,), epochs=1, name="tiny", folder=tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_the_layers_are_those_of_the_network(run: Run, small: Dataset) -> None:
    image, weights = small.test.images[0], run.model.get_weights()
    hidden, sums = look_inside(run.path / "model.onnx", image)
    assert (hidden.title, sums.title) == ("Dense, 12 units", "10 sums")
    # By hand from the Keras weights; a map is scaled so that its largest is 255.
    units = np.maximum(image.reshape(-1) / 255 @ weights[0] + weights[1], 0)
    assert np.abs(hidden.maps[0, 0] / 255 * units.max() - units).max() < units.max() / 200
    logits = units @ weights[2] + weights[3]
    low, high = min(0, logits.min()), logits.max()
    assert np.abs(sums.maps[0, 0] / 255 * (high - low) + low - logits).max() < (high - low) / 200


def test_convolutions_are_seen_as_maps(small: Dataset, tmp_path: Path) -> None:
    views = look_inside(BUNDLED / "digits.onnx", small.test.images[0])
    assert [view.maps.shape for view in views[:2]] == [(8, 26, 26), (8, 13, 13)]
    # Pooling keeps the strongest of four, which can be seen in the maps themselves.
    first, pooled = views[0].maps.astype(int), views[1].maps.astype(int)
    assert np.abs(first.reshape(8, 13, 2, 13, 2).max((2, 4)) - pooled).max() <= 1
    assert all(view.words.endswith(".") for view in views) and views[-1].title == "10 sums"
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ReadingError, match=r"bad\.onnx: cannot be looked into"):
        look_inside(tmp_path / "bad.onnx", small.test.images[0])


@pytest.mark.slow
def test_another_network_by_its_name(run: Run, mnist: Dataset) -> None:
    body = json.dumps({"images": mnist.test.images[:2].tolist()})
    with running(Settings(runs=run.path.parent)) as server:
        assert [model["name"] for model in server.ask("GET", "/models").json] == ["", "tiny"]

        def post(address: str, content: str = body) -> Any:
            return server.ask("POST", address, content, Content_Type="application/json")

        reader = Reader(run.path)
        found = post("/models/predict?model=tiny").json["probabilities"]
        assert np.allclose(found, reader._looked_at_twice(mnist.test.images[:2]), atol=1e-5)
        own = post("/models/predict").json["probabilities"]
        assert np.allclose(own, Reader()._looked_at_twice(mnist.test.images[:2]), atol=1e-5)
        layers = post("/models/inside?model=tiny", json.dumps({"images": mnist.test.images[0].tolist()})).json["layers"]
        assert layers[0]["shape"] == [1, 1, 12] and len(base64.b64decode(layers[0]["maps"][0])) == 12
        assert post("/models/inside?model=tiny").status == 400  # two images
        for name in ("../tiny", "/etc", "tiny2"):
            assert post(f"/models/predict?model={name}").status == 400
        # Reading a whole picture with it.
        photo = png(page_with(mnist.test.images[:3]))
        read = server.form("/read?model=tiny&explain=1", [("a.png", photo)]).json
        same = reader.read(io.BytesIO(photo))
        assert [digit["confidence"] for digit in read["digits"]] == pytest.approx(
            [digit.confidence for digit in same.digits], abs=1e-3
        )
        # One confidence: what is said of a digit is its own of the ten probabilities.
        for digit in server.form("/read?explain=1", [("a.png", photo)]).json["digits"]:
            assert max(digit["probabilities"]) == pytest.approx(digit["confidence"], abs=1e-4)


@pytest.mark.slow
@needs_browser
def test_two_at_once_and_a_look_inside(browser: Any, run: Run) -> None:
    troubles: list[str] = []
    with running(Settings(runs=run.path.parent)) as server:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        watch(page, troubles, lambda url: url.startswith((server.url, "data:", f"blob:{server.url}")), console=True)
        page.goto(server.url)
        page.click("#example")
        page.wait_for_selector("#text button", timeout=30_000)
        page.select_option("#second", "tiny")
        page.wait_for_selector("#second-verdict:not([hidden])")
        assert page.inner_text("#second-verdict").startswith("tiny reads ")
        assert page.locator("#bars .other").count() == 10
        page.click("#look")
        page.wait_for_selector("#layers canvas")
        assert "Convolution, 8 maps of 26 x 26" in page.inner_text("#layers")
        page.select_option("#model", "tiny")
        page.wait_for_function("() => document.getElementById('layers').textContent.includes('Dense, 12 units')")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        context.close()
    assert not troubles
