"""`digitlab serve --collect`: digits corrected on the page go to a folder of own digits, once each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.serving_client import Answer, Server, running
from test_report_browser import browser, watch
from test_report_browser import pytestmark as needs_browser

from digitlab.collecting import Collection
from digitlab.collecting.own_images import read_own_images
from digitlab.data import Dataset
from digitlab.serving import Settings

__all__ = ["browser"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own") / "my-digits"


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Settings(runs=tmp_path_factory.mktemp("none"), collect=folder, threads=1)) as found:
        yield found


def send(server: Server, **content: Any) -> Answer:
    return server.ask("POST", "/corrections", json.dumps(content), Content_Type="application/json")


def kept(folder: Path) -> list[tuple[str, str]]:
    return [(one.label, one.name) for one in Collection(folder).images()]


def test_once_each_with_the_last_label(server: Server, folder: Path, mnist: Dataset) -> None:
    images = mnist.test.images[:2].tolist()
    assert send(server, images=images, labels=[7, 2], file="../a.png").json == {"added": 2}
    assert send(server, images=images, labels=[7, 2], file="b.png").json == {"added": 0}
    assert kept(folder) == [("2", "a.png"), ("7", "a.png")]
    assert send(server, images=images[:1], labels=[1], file="a.png").json == {"added": 1}
    assert kept(folder) == [("1", "a.png"), ("2", "a.png")] and not (folder / "7").exists()
    # In the layout that `train --from` takes.
    own = read_own_images(folder, tuple("0123456789"))
    assert sorted(own.labels.tolist()) == [1, 2] and np.isin(own.images, mnist.test.images[:2]).all()
    assert send(server, images=images, labels=[None, None]).json == {"added": 0}
    assert kept(folder) == []


def test_what_is_no_correction(server: Server, folder: Path) -> None:
    blank = np.zeros((1, 28, 28), int).tolist()
    wrong: list[Any] = [[], [10], [True], ["3"], [1.0], 3]
    for labels in wrong:
        answer = send(server, images=blank, labels=labels)
        assert answer.status == 400 and "labels" in answer.json["error"], labels
    assert send(server, images=blank).status == 400
    assert send(server, images=blank, labels=[1], file=3).status == 400
    assert server.ask("POST", "/corrections", "[]", Content_Type="application/json").status == 400
    assert server.ask("POST", "/corrections", b"{}", Content_Type="text/plain").status == 415
    origin = {"Origin": "http://evil.example", "Content_Type": "application/json"}
    assert server.ask("POST", "/corrections", "{}", **origin).status == 403
    assert kept(folder) == []


def test_nothing_is_kept_unless_asked(tmp_path: Path) -> None:
    with running(Settings(runs=tmp_path, threads=1)) as server:
        assert send(server, images=[], labels=[]).status == 404
        page = server.ask("GET", "/").body.decode()
    assert 'id="kept"' not in page and "are not kept" in page


@pytest.mark.slow
@needs_browser
def test_a_digit_typed_over_is_kept(browser: Any, server: Server, folder: Path) -> None:
    troubles: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    watch(page, troubles, lambda url: url.startswith((server.url, "data:", f"blob:{server.url}")))
    page.goto(server.url)
    assert page.locator("#kept").text_content() == "Digits that you correct are kept in my-digits."
    box = page.locator("#ink").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 220, steps=6)
    page.mouse.up()
    page.locator("#text button").first.click()
    page.keyboard.press("7")
    page.wait_for_function("() => document.querySelector('#kept').textContent.startsWith('1 corrected digit kept')")
    assert kept(folder) == [("7", "drawing.png")]
    page.close()
    assert not troubles
