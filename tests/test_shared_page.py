"""`digitlab export --format page`: one file that draws, normalises and reads by itself, held to the Reader."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from helpers.command import in_process, without_figures
from keras import layers as L
from playwright.sync_api import expect
from test_report_browser import CONTRAST, browser, watch
from test_report_browser import pytestmark as needs_browser

import digitlab
from digitlab.data import Dataset
from digitlab.errors import ExportError
from digitlab.learning.export import onnx_bytes
from digitlab.learning.models import build
from digitlab.learning.predict import predict
from digitlab.learning.recipe import recipe
from digitlab.reading.reader import Reader
from digitlab.showing.plain_network import OPERATORS, plain_network
from digitlab.showing.shared_page import render_shared

__all__ = ["browser"]
DIGITS = tuple("0123456789")

# Strokes in a box of 1 x 1 whose middle is (0.5, 0.5); the 0 is small, the 4 has two strokes, the last has a speck.
CIRCLE = [(0.5 + 0.3 * np.sin(t), 0.5 - 0.42 * np.cos(t)) for t in np.linspace(0, 6.3, 14)]
SHAPES = {
    "0": [[(0.4 + 0.2 * x, 0.4 + 0.2 * y) for x, y in CIRCLE]],
    "1": [[(0.5, 0.1), (0.47, 0.9)]],
    "2": [[(0.25, 0.3), (0.4, 0.15), (0.65, 0.2), (0.7, 0.4), (0.45, 0.65), (0.25, 0.85), (0.78, 0.84)]],
    "4": [[(0.45, 0.1), (0.2, 0.6), (0.85, 0.58)], [(0.66, 0.35), (0.62, 0.95)]],
    "6": [[(0.65, 0.08), (0.4, 0.35), (0.3, 0.7), (0.5, 0.92), (0.7, 0.75), (0.55, 0.55), (0.33, 0.65)]],
    "7": [[(0.2, 0.15), (0.8, 0.15), (0.45, 0.9)], [(0.95, 0.95), (0.952, 0.952)]],
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    done = in_process("export", "reader", "--format", "page", cwd=folder)
    assert done.returncode == 0 and done.stdout.strip() == "reader.html", done.stderr
    return folder / "reader.html"


@pytest.fixture
def visit(browser: Any, file: Path) -> Iterator[Any]:
    """Open the page from disk without any network, and fail at the end if it complained or asked for anything."""
    opened: list[Any] = []
    troubles: list[str] = []

    def open_page(width: int = 1280, path: Path = file, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        page = context.new_page()
        watch(page, troubles, lambda url: url == path.as_uri() or url.startswith("data:"))
        page.goto(path.as_uri())
        opened.append(context)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert not troubles


def draw(page: Any, strokes: list[list[tuple[float, float]]], pen: int = 18) -> None:
    page.locator("#pen").fill(str(pen))
    box = page.locator("#ink").bounding_box()
    for (x, y), *rest in strokes:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
        for x, y in rest:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
        page.mouse.up()


def test_the_script_knows_every_operator_that_is_written() -> None:
    script = (Path(digitlab.__file__).parent / "showing/templates/network.js").read_text("utf-8")
    body = script.partition("const OPERATORS = {")[2]
    known = {name for name in OPERATORS if f"\n    {name}: " in body}
    assert known == OPERATORS


@pytest.mark.slow
@needs_browser
def test_strokes_give_the_readers_glyphs(visit: Any) -> None:
    """The same strokes: glyphs within 0.02 of the Reader's on average; at phone size, and with thin and fat pens."""
    reader = Reader(reject=False)
    for width, pens, digits in ((1280, (18,), "012467"), (1280, (6, 40), "27"), (390, (18,), "04")):
        page = visit(width)
        for digit in digits:
            strokes = SHAPES[digit]
            for pen in pens:
                draw(page, strokes, pen)
                expect(page.locator("#big")).not_to_have_text("?")
                png, glyph = page.evaluate(
                    "() => { const canvas = Sheet.picture().canvas;"
                    "return [canvas.toDataURL().split(',')[1], [...Normalise.drawing(canvas)]]; }"
                )
                (found,) = reader.read(base64.b64decode(png), single=True).digits
                ours = np.array(glyph).reshape(28, 28)
                difference = np.abs(ours - found.glyph.astype(float)).mean() / 255
                assert difference < 0.02, (digit, pen, width, difference)
                if pen == 18:  # read by the networks alone, as the page says
                    assert page.locator("#big").text_content() == digit
                page.keyboard.press("Escape")
                expect(page.locator("#big")).to_have_text("?")


@pytest.mark.slow
@needs_browser
def test_a_glyph_has_the_readers_probabilities(visit: Any, mnist: Dataset) -> None:
    page, images = visit(), mnist.test.images[:40]
    rows = page.evaluate(ASK, images.reshape(40, 784).tolist())
    np.testing.assert_allclose(rows, Reader().predict(images), atol=1e-4)


ASK = """images => { const n = Network.open(JSON.parse(document.querySelector('#network').textContent));
    return images.map(image => n.probabilities(image)); }"""


def odd_model() -> Any:
    """Every layer that `digitlab export` writes and no recipe has."""
    pixels = keras.Input((28, 28, 1))
    x = L.ZeroPadding2D((1, 2))(L.Rescaling(1 / 127.5, -1)(pixels))
    left = L.Conv2D(4, 3, strides=2, padding="same", activation="gelu")(x)
    right = L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=4, activation="silu")(x)
    x = L.Concatenate()([L.Add()([left, right]), L.Average()([left, right]), left])
    x = L.AveragePooling2D(3, padding="same")(L.Conv2D(6, 3, dilation_rate=2, groups=3, activation="elu")(x))
    x = L.LeakyReLU(0.1)(L.BatchNormalization()(L.Conv2D(5, 2, activation="selu", use_bias=False)(x)))
    x = L.Concatenate()([L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D()(x)])
    x = L.Dense(8, activation="softplus")(L.Dense(8, activation="relu6")(L.Dense(8, activation="tanh")(x)))
    return keras.Model(pixels, L.Dense(10, activation="sigmoid")(x))


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("name", ["mlp-onehot", "fast99", "odd"])
def test_recipes_and_layers(name: str, visit: Any, mnist: Dataset, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = odd_model() if name == "odd" else build(recipe(name))
    # Away from the first weights, whose probabilities are all alike.
    model.set_weights([w * 1.6 if w.ndim > 1 else w + 0.05 for w in model.get_weights()])
    content = onnx_bytes([model], {})
    page = render_shared(content, name=name, class_names=DIGITS, temperature=1.0)
    (tmp_path / "page.html").write_text(page, "utf-8")
    images = mnist.test.images[:6]
    rows = visit(path=tmp_path / "page.html").evaluate(ASK, images.reshape(len(images), 784).tolist())
    expected = predict(model, images)
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(rows, expected / expected.sum(1, keepdims=True), atol=1e-4)


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(scheme: str, visit: Any) -> None:
    for width in (320, 1280):
        page = visit(width, color_scheme=scheme)
        draw(page, SHAPES["2"])
        expect(page.locator("#big")).to_have_text("2")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not page.evaluate(CONTRAST)["low"]
        page.locator("#undo").click()
        expect(page.locator("#words")).to_have_text("Nothing drawn yet.")


@pytest.fixture(scope="module")
def folder(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: a group of two seeds."""
    path = tmp_path_factory.mktemp("runs")
    with without_figures():
        digitlab.train_group("linear", seeds=2, data=small, epochs=1, name="pair", folder=path)
    return path


def test_a_run_and_a_group_are_pages(small: Dataset, folder: Path) -> None:
    group = digitlab.open("pair", folder)
    file = digitlab.export(group, "page", data=small)
    assert file == folder / "pair.page.html" and "images correctly" in file.read_text("utf-8")
    run = group.runs[0]
    assert digitlab.export(run, "page", data=small) == run.path / "page.html"
    with pytest.raises(ExportError, match=r"ends in \.html"):
        digitlab.export(run, "page", data=small, output=folder / "page.txt")


def test_what_cannot_be_a_page(tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = in_process("export", "reader", "--format", "pages", cwd=tmp_path)
    assert done.returncode != 0 and "expected one of onnx, keras, h5, page" in done.stderr
    done = in_process("export", "reader", "--format", "onnx", cwd=tmp_path)
    assert done.returncode != 0
    import onnx

    node = onnx.helper.make_node("Loop", ["a"], ["b"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("a", 1, [1])], [value("b", 1, [1])])
    with pytest.raises(ExportError, match="operator Loop cannot run on a page"):
        plain_network(onnx.helper.make_model(graph).SerializeToString())


def test_names_from_outside_stay_text() -> None:
    content = onnx_bytes([build(recipe("linear"))], {})
    page = render_shared(content, name="<b>", class_names=("</script><i>", *DIGITS[1:]), temperature=1.0)
    assert "<b>&lt;" in page and "</script><i>" not in page
