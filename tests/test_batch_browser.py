"""Many photos on the page, in a real browser: each is read, corrected by keyboard alone, and downloaded."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.serving_client import Server, png, running
from PIL import Image
from test_report_browser import browser, pytestmark, watch

from digitlab.data import Dataset
from digitlab.reading.reader import Reader
from digitlab.reading.spreadsheet import number_rows
from digitlab.serving import Settings

__all__ = ["browser", "pytestmark"]  # the fixture and the condition of the other browser tests

NAMES = ("a.png", "=b.png", "c,d.png")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Settings(runs=tmp_path_factory.mktemp("none"))) as found:
        yield found


@pytest.fixture(scope="module")
def photos(mnist: Dataset) -> dict[str, bytes]:
    """Three forms of four numbers each, some of whose digits are the hardest of the test images."""
    shares = Reader().predict(mnist.test.images[:2000]).max(1)
    hard, easy = np.argsort(shares)[:6], np.argsort(shares)[-200:]
    found = {}
    for number, name in enumerate(NAMES):
        page = np.zeros((170, 260), np.uint8)
        for place in range(4):
            for column in range(3):
                pick = hard[2 * number + place] if column == 1 and place < 2 else easy[12 * number + 3 * place + column]
                top, left = 20 + 70 * (place // 2), 15 + 130 * (place % 2) + 23 * column
                part = page[top : top + 28, left : left + 28]
                np.maximum(part, mnist.test.images[pick], out=part)
        found[name] = png(245 - (page.repeat(2, 0).repeat(2, 1) * 0.9).astype(np.uint8))
    return found


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def page(browser: Any, server: Server, photos: dict[str, bytes], troubles: list[str]) -> Iterator[Any]:
    """The page after all three were dropped at once and read."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    allowed = (server.url, "data:", f"blob:{server.url}")
    watch(opened, troubles, lambda url: url.startswith(allowed), console=True)
    opened.goto(server.url)
    drop(opened, photos)
    opened.wait_for_function(
        "() => document.querySelectorAll('#film li').length === 3 && !document.querySelector('.reading, .waiting')",
        timeout=30_000,
    )
    yield opened
    context.close()
    assert not troubles


def drop(page: Any, files: dict[str, bytes]) -> None:
    page.evaluate(
        """(files) => {
          const data = new DataTransfer();
          for (const [name, bytes] of files) {
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
          }
          document.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
        }""",
        [[name, list(content)] for name, content in files.items()],
    )


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text("utf-8"))))


def download(page: Any, kind: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(f"#save [data-kind={kind}]")
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


@pytest.mark.slow
def test_what_is_downloaded_is_what_the_command_writes(page: Any, photos: dict[str, bytes], tmp_path: Path) -> None:
    rows = rows_of(download(page, "csv", tmp_path))
    wanted = []
    for name, content in photos.items():
        wanted += number_rows(name, Reader().read(io.BytesIO(content)))
    assert len(wanted) > 9
    for row, other in zip(rows, wanted, strict=True):
        assert row.pop("read") == ""
        assert float(row.pop("confidence")) == other.pop("confidence")
        assert {key: str(value) for key, value in other.items()} == row
    assert {row["file"] for row in rows} == {"a.png", "'=b.png", "c,d.png"}


def test_corrected_by_keyboard_alone(page: Any, tmp_path: Path) -> None:
    before = rows_of(download(page, "csv", tmp_path))
    doubtful = [row for row in before if float(row["confidence"]) < 0.9]
    assert 2 < len(doubtful) < len(before)
    shown = page.eval_on_selector_all("#todo input", "fields => fields.map(field => field.value)")
    assert [value.lstrip("'") for value in shown] == [row["number"].lstrip("'") for row in doubtful]
    assert page.inner_text("#to-check") == str(len(doubtful))
    # From the tab by keys: one typed anew, one confirmed, one back and left out.
    page.focus("#tab-check")
    page.keyboard.press("Enter")
    page.keyboard.type("1234")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    after = rows_of(download(page, "csv", tmp_path))
    assert len(after) == len(before) - 1
    (changed,) = [row for row in after if row["read"]]
    assert (changed["number"], changed["value"], changed["confidence"]) == ("1234", "1234", "1")
    assert changed["read"] == doubtful[0]["number"]
    assert page.locator("#todo .check-row.done").count() == 2  # the second is as read again
    # The photo that belongs to the field is shown, its number picked out.
    assert page.locator("#boxes .chosen").count() == 1
    # A letter is not taken.
    page.focus("#todo input >> nth=0")
    page.keyboard.type("x")
    assert page.get_attribute("#todo input >> nth=0", "aria-invalid") == "true"


def test_a_missed_number_is_added_by_hand(page: Any, tmp_path: Path) -> None:
    size = page.evaluate("() => parseFloat(getComputedStyle(document.querySelector('#film .state')).fontSize)")
    assert size < 16  # the film's captions are small, whatever state a photo is in
    before = rows_of(download(page, "csv", tmp_path))
    page.click("#tab-check")
    page.click("#add-number")
    assert page.evaluate("() => document.activeElement.closest('.check-row').textContent").startswith("not found")
    assert len(rows_of(download(page, "csv", tmp_path))) == len(before)  # empty, it does not count
    page.click("#todo .check-row:has(.blank) input")
    page.keyboard.type("40,5")
    page.keyboard.press("Enter")
    after = rows_of(download(page, "csv", tmp_path))
    (added,) = [row for row in after if row["number"] == "40,5"]
    assert len(after) == len(before) + 1
    assert (added["file"], added["value"], added["confidence"], added["left"], added["read"]) == (
        "a.png",
        "40.5",
        "1",
        "",
        "",
    )
    answer = json.loads(download(page, "json", tmp_path).read_text("utf-8"))
    assert [(one["value"], one["box"]) for one in answer[0]["numbers"] if one["text"] == "40,5"] == [(40.5, None)]


def test_a_digit_is_typed_over_on_the_photo(page: Any, tmp_path: Path) -> None:
    page.click("#tab-digits")
    page.click("#text button >> nth=0")
    was = page.eval_on_selector_all("#text button", "nodes => nodes.slice(0, 2).map(node => node.textContent)")
    now = ["5" if letter != "5" else "6" for letter in was]
    for letter in now:
        page.keyboard.press(letter)
    texts = page.eval_on_selector_all("#text button", "nodes => nodes.slice(0, 2).map(node => node.textContent)")
    assert texts == now
    assert page.locator("#boxes .tag.typed").count() == 2
    page.select_option("#scope", "one")
    answer = json.loads(download(page, "json", tmp_path).read_text("utf-8"))
    assert [one["file"] for one in answer] == ["a.png"]
    first = answer[0]["numbers"][0]
    assert first["text"].startswith("".join(now)) and first["corrected"] and first["read"] != first["text"]
    assert [digit["character"] for digit in answer[0]["digits"][:2]] == now


def test_pictures_come_as_one_archive(page: Any, photos: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(download(page, "png", tmp_path)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.png", "=b.png", "c,d.png"]
        drawn = np.asarray(Image.open(archive.open("a.png")).convert("RGB"), int)
    plain = np.asarray(Image.open(io.BytesIO(photos["a.png"])).convert("RGB"), int)
    assert drawn.shape == plain.shape
    blue = np.abs(drawn - (0, 99, 156)).sum(2) < 12
    assert not (np.abs(plain - (0, 99, 156)).sum(2) < 12).any() and blue.sum() > 500


def test_zoom_and_pan(page: Any) -> None:
    width = page.locator("#picture").bounding_box()["width"]
    page.click("#in")
    page.click("#in")
    near = page.locator("#picture").bounding_box()
    assert near["width"] == pytest.approx(2.56 * width, rel=0.01)
    sheet = page.locator("#sheet").bounding_box()
    page.mouse.move(sheet["x"] + 300, sheet["y"] + 200)
    page.mouse.down()
    page.mouse.move(sheet["x"] + 340, sheet["y"] + 200)
    page.mouse.up()
    assert page.locator("#picture").bounding_box()["x"] == pytest.approx(near["x"] + 40, abs=1)
    page.wait_for_timeout(50)
    box, image = page.locator("#boxes").bounding_box(), page.locator("#picture").bounding_box()
    assert box["x"] == pytest.approx(image["x"], abs=1) and box["width"] == pytest.approx(image["width"], abs=1)
    page.click("#fit")
    assert page.locator("#picture").bounding_box()["width"] == pytest.approx(width, abs=1)


@pytest.mark.slow
def test_corrections_are_not_lost_by_a_slip(page: Any, troubles: list[str]) -> None:
    page.click("#tab-digits")
    page.click("#text button >> nth=0")
    page.keyboard.press("5" if page.inner_text("#text button >> nth=0") != "5" else "6")
    page.keyboard.press("Escape")
    assert page.locator("#film li").count() == 3
    assert troubles == ["dialog: Close these 3 photos and forget 1 correction?"]
    troubles.clear()
