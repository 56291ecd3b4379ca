"""`digitlab read --review`: one page that needs no server and hands out the corrected table."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import in_process
from PIL import Image
from test_report_browser import browser, watch
from test_report_browser import pytestmark as needs_browser

from digitlab.data import Dataset
from digitlab.reading.crops import crops
from digitlab.reading.reader import Reader
from digitlab.showing.review_page import render_review

__all__ = ["browser"]


@pytest.fixture(scope="module")
def written(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two readable pictures, one that is none, the page, and the table of the same reading."""
    folder = tmp_path_factory.mktemp("review")
    (folder / "photos").mkdir()
    hard = np.argsort(Reader().predict(mnist.test.images[:2000]).max(1))[:4]
    for number in range(2):
        row = [mnist.test.images[1], mnist.test.images[2], mnist.test.images[hard[number]]]
        gap = np.zeros((28, 90), np.uint8)
        page = np.concatenate([*row, gap, mnist.test.images[3], mnist.test.images[hard[number + 2]]], axis=1)
        Image.fromarray(np.pad(255 - page.repeat(2, 0).repeat(2, 1), 30, constant_values=255)).save(
            folder / "photos" / f"{'=' * number}p{number}.png"
        )
    (folder / "photos" / "z.png").write_bytes(b"<script>alert(1)</script>")
    done = in_process("read", "photos", "--review", "review.html", "--numbers", "numbers.csv", cwd=folder)
    assert done.returncode == 1 and "digitlab: review review.html in a browser" in done.stderr
    return folder


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_crops_are_of_the_doubtful_numbers_only(written: Path) -> None:
    photo = written / "photos" / "p0.png"
    reading = Reader().read(photo)
    cut = crops(photo, reading)
    doubtful = [number.confidence < 0.9 or "?" in number.text for number in reading.numbers]
    assert any(doubtful) and [bool(part) for part in cut] == doubtful
    number, part = next((number, part) for number, part in zip(reading.numbers, cut, strict=True) if part)
    image = Image.open(io.BytesIO(part))
    left, top, right, bottom = number.box
    assert image.width / image.height == pytest.approx(
        (right - left + 0.5 * (bottom - top) + 4) / (1.5 * (bottom - top) + 4), rel=0.1
    )
    assert np.asarray(image.convert("L")).min() < 100  # ink on it


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_gives_out_the_corrected_table(browser: Any, written: Path, width: int, tmp_path: Path) -> None:
    troubles: list[str] = []
    address = (written / "review.html").as_uri()
    context = browser.new_context(viewport={"width": width, "height": 800}, accept_downloads=True)
    page = context.new_page()
    watch(page, troubles, lambda url: url.startswith((address, "data:", "blob:null")), console=True)
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "1 image could not be read" in page.inner_text("summary >> nth=0")

    def download() -> list[dict[str, str]]:
        with page.expect_download() as waiting:
            page.keyboard.press("Control+s")
        waiting.value.save_as(tmp_path / "out.csv")
        return table((tmp_path / "out.csv").read_text("utf-8"))

    wanted = table((written / "numbers.csv").read_text("utf-8"))
    before = download()
    assert len(before) == len(wanted) > 2
    for row, other in zip(before, wanted, strict=True):
        assert float(row.pop("confidence")) == float(other.pop("confidence"))
        assert row.pop("read") == "" and row == other
    assert any(row["file"].startswith("photos/=") for row in before)
    # The first doubtful number has the focus at once.
    was = page.evaluate("document.activeElement.value")
    page.keyboard.type("7077")
    page.keyboard.press("Enter")
    after = download()
    (changed,) = [row for row in after if row["read"]]
    assert changed["number"] == "7077" and changed["read"].lstrip("'") == was
    assert page.locator("#todo img").count() == page.locator("#todo .check-row").count() > 0
    context.close()
    assert not troubles


def test_what_comes_from_outside_stays_text() -> None:
    item = {"file": "</script><b>", "text": "1", "value": 1.0, "confidence": 0.5, "box": [0, 0, 1, 1], "line": 0}
    page = render_review([{**item, "page": 0, "order": [0, 0], "crop": ""}], ["<img src=x>"], files=1, model="<i>")
    assert "</script><b>" not in page and "<img src=x>" not in page and "<i>" not in page


def test_the_page_has_its_ending(tmp_path: Path) -> None:
    Image.new("L", (40, 40), 255).save(tmp_path / "a.png")
    done = in_process("read", "a.png", "--review", "out.txt", cwd=tmp_path)
    assert done.returncode == 2 and "--review: out.txt ends in .txt, expected .html" in done.stderr
