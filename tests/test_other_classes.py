"""Runs of other classes than the ten digits: read, served and shared as single images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.command import in_process, without_figures
from helpers.serving_client import Server, page_with, png, running
from PIL import Image
from test_report_browser import browser, watch
from test_report_browser import pytestmark as needs_browser

import digitlab
from digitlab.data import Dataset, Split
from digitlab.reading.reader import Reader
from digitlab.runs import Run
from digitlab.runs.predicting import predict
from digitlab.serving import Settings

__all__ = ["browser"]
NAMES = ("Ankle boot", "two", "T-shirt/top")


@pytest.fixture(scope="module")
def three(small: Dataset) -> Dataset:
    """Three classes, whose names have blanks and a slash: the digits 0, 1 and 2 of MNIST."""

    def few(split: Split) -> Split:
        kept = split.labels < 3
        return Split(split.images[kept], split.labels[kept])

    return dataclasses.replace(
        small,
        name="three",
        train=few(small.train),
        validation=few(small.validation),
        test=few(small.test),
        class_names=NAMES,
        doubtful=frozenset(),
    )


@pytest.fixture(scope="module")
def run(three: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with without_figures():
        return digitlab.train("mlp", epochs=4, data=three, name="three", folder=tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_a_single_image_is_named(run: Run, small: Dataset) -> None:
    reader = Reader(run.path)
    assert reader.class_names == NAMES and not reader.reads_digits
    for label in range(3):
        image = small.test.images[np.flatnonzero(small.test.labels == label)[0]]
        # Of its own size it is taken as it is, whichever is darker.
        own = reader.predict(image[None])[0]
        for source in (image, 255 - image):
            (named,) = reader.read(source).digits
            assert (named.digit, named.name) == (own.argmax(), NAMES[own.argmax()])
            assert named.confidence == pytest.approx(own.max()) and np.array_equal(named.glyph, image)
        # A larger one is brought to that size by the reader's steps.
        reading = reader.read(page_with(image[None]))
        assert reading.text == NAMES[label] and reading.numbers == () and reading.digits[0].character == NAMES[label]
    assert reader.read(np.full((90, 90), 255, np.uint8)).text == ""


def test_the_commands(run: Run, small: Dataset, tmp_path: Path) -> None:
    image = small.test.images[np.flatnonzero(small.test.labels == 2)[0]]
    Image.fromarray(image).save(tmp_path / "a.png")
    done = in_process("read", "a.png", "--model", str(run.path), "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert answer["text"] == answer["digits"][0]["character"] == "T-shirt/top" and answer["digits"][0]["digit"] == 2
    assert answer["text"] == predict(str(run.path), _folder(tmp_path, image)).labels[0]
    done = in_process("read", "a.png", "--model", str(run.path), cwd=tmp_path)
    assert done.stdout.startswith("a.png  T-shirt/top  (") and done.stdout.endswith("% sure)\n")
    done = in_process("read", "a.png", "--model", str(run.path), "--csv", "--annotate", "b.png", cwd=tmp_path)
    assert "T-shirt/top" in done.stdout and (tmp_path / "b.png").is_file()


def _folder(path: Path, image: np.ndarray) -> Path:
    (path / "flat").mkdir()
    Image.fromarray(image).save(path / "flat" / "a.png")
    return path / "flat"


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[Server]:
    with running(Settings(model=run.path, runs=run.path.parent, threads=1)) as found:
        yield found


def test_served(run: Run, server: Server, small: Dataset) -> None:
    image = small.test.images[np.flatnonzero(small.test.labels == 0)[0]]
    answer = server.ask("POST", "/read?explain=1", png(image)).json
    assert answer["text"] == "Ankle boot" and answer["classes"] == list(NAMES) and answer["numbers"] == []
    (named,) = answer["digits"]
    assert len(named["probabilities"]) == 3 and np.array_equal(named["glyph"], image)
    assert server.ask("GET", "/model").json["labels"] == list(NAMES)
    listed = server.ask("GET", "/models").json
    assert [(one["name"], one["digits"]) for one in listed] == [("", False), ("three", False)]
    assert "single images, 3 classes" in listed[1]["title"]


@pytest.mark.slow
@needs_browser
def test_on_the_page(browser, server: Server) -> None:
    troubles: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    watch(page, troubles, lambda url: url.startswith((server.url, "data:", f"blob:{server.url}")))
    page.goto(server.url)
    box = page.locator("#ink").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 220, steps=6)
    page.mouse.up()
    page.wait_for_function("() => document.querySelectorAll('#bars li').length === 3")
    assert page.locator("#bars b").all_text_contents() == list(NAMES)
    assert page.locator("#text").text_content() in NAMES
    assert page.locator("#summary").text_content().startswith("Read as one image")
    page.close()
    assert not troubles


def test_shared(run: Run, three: Dataset) -> None:
    page = digitlab.export(run, "page", data=three)
    assert "One of: Ankle boot, two, T-shirt/top." in page.read_text("utf-8")
    assert (run.path / "README.md").read_text("utf-8").startswith("---\nlibrary_name: keras")
