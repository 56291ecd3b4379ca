"""The page where one draws, in a real browser: strokes by the pointer, photos, steps, errors, keyboard, every width."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.judged_material import make_content
from helpers.serving_client import Server, page_with, png, run_info, running
from PIL import Image
from test_report_browser import CONTRAST, browser, pytestmark, watch

from digitlab.data import Dataset
from digitlab.reading.reader import Reader
from digitlab.serving import Settings
from digitlab.showing import render

__all__ = ["browser", "pytestmark"]  # the fixture and the condition of the other browser tests

ONE = [(45, 95), (68, 60), (68, 200)]
SEVEN = [(140, 70), (230, 70), (175, 210)]
CROSS = [[(300, 80), (390, 190)], [(300, 190), (390, 80)]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    runs = tmp_path_factory.mktemp("drawing")
    (runs / "mine").mkdir()
    (runs / "mine" / "run.json").write_text(run_info(), "utf-8")
    (runs / "mine" / "report.html").write_text(render(make_content(300, skill=2.6)), "utf-8")
    with running(Settings(runs=runs)) as found:
        yield found


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Any]:
    """Open the page, and fail at the end if it complained or asked for anything elsewhere."""
    opened: list[Any] = []
    troubles: list[str] = []

    def open_page(width: int = 1280, *, quiet: bool = True, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        allowed = (server.url, "data:", f"blob:{server.url}")
        watch(page, troubles, lambda url: url.startswith(allowed), console=quiet)
        page.goto(server.url)
        opened.append(context)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert not troubles


def draw(page: Any, *strokes: list[tuple[int, int]]) -> None:
    box = page.locator("#ink").bounding_box()
    for (x, y), *rest in strokes:
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        for x, y in rest:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=8)
        page.mouse.up()


def reads(page: Any, text: str) -> None:
    """Wait until the page shows the text, lines joined by a slash."""
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('#text > div')].map(line => line.textContent).join('/') === wanted",
        arg=text,
        timeout=20_000,
    )


def photo(mnist: Dataset) -> bytes:
    return png(page_with(mnist.test.images[:4]))


def drop(page: Any, event: str, content: bytes, name: str, kind: str = "image/png") -> None:
    """Hand the page a file as a drop or a paste does."""
    page.evaluate(
        """([event, bytes, name, type]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name, { type }));
          const options = { bubbles: true, cancelable: true };
          document.dispatchEvent(event === "paste" ? new ClipboardEvent("paste", { ...options, clipboardData: data })
                                                   : new DragEvent("drop", { ...options, dataTransfer: data }));
        }""",
        [event, list(content), name, kind],
    )


@pytest.mark.slow
def test_the_drawing_is_dark_on_paper(visit: Any) -> None:
    page = visit(color_scheme="dark", quiet=False)  # Chromium advises how canvases are read
    draw(page, ONE)
    ink = """(event) => { dispatchEvent(new Event(event)); const canvas = document.querySelector("#ink");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = []; for (let n = 0; n < data.length; n += 4) if (data[n + 3] === 255) seen.push(data[n]);
        return [Math.max(...seen), canvas.parentElement.style.width !== ""]; }"""
    light, sized = page.evaluate(ink, "none")
    assert light > 200 and not sized
    assert page.evaluate(ink, "beforeprint") == [0, True]
    assert page.evaluate(ink, "afterprint") == [light, False]


def test_what_is_drawn_is_read_and_explained(visit: Any) -> None:
    page = visit()
    draw(page, ONE)
    reads(page, "1")
    draw(page, SEVEN)
    reads(page, "17")
    draw(page, *CROSS)
    reads(page, "17?")
    assert "2 digits · 1 refused" in page.inner_text("#summary")
    # The boxes lie on the strokes.
    sheet = page.locator("#ink").bounding_box()
    for box, stroke in zip(page.locator("#boxes .box").all(), (ONE, SEVEN, [*CROSS[0], *CROSS[1]]), strict=True):
        found = box.bounding_box()
        xs, ys = [sheet["x"] + x for x, _ in stroke], [sheet["y"] + y for _, y in stroke]
        assert found["x"] < min(xs) and found["x"] + found["width"] > max(xs)
        assert found["y"] < min(ys) and found["y"] + found["height"] > max(ys)
        assert found["width"] < max(xs) - min(xs) + 45 and found["height"] < max(ys) - min(ys) + 45
    # The refused one comes up by itself, and says why; another one comes by a click.
    assert page.inner_text("#verdict").startswith("Refused: looks like no digit")
    assert page.locator("#bars li").count() == 10
    page.click("#text button >> nth=1")
    assert page.inner_text("#verdict").startswith("Read as 7")
    shares = page.eval_on_selector_all(
        "#bars .lane i", "bars => bars.map(bar => parseFloat(bar.style.getPropertyValue('--p')))"
    )
    # One confidence: the sentence's is the bar's, and what the bars leave is said.
    said = float(re.search(r"([\d.]+)\s% sure", page.inner_text("#verdict"))[1])
    assert int(np.argmax(shares)) == 7 and abs(shares[7] - said) < 0.06
    rest = re.search(r"No digit at all: (?:under )?([\d.]+)\s%", page.inner_text("#rest"))
    assert abs(sum(shares) + (float(rest[1]) if rest else 0) - 100) < 0.15
    glyph = page.evaluate("[...document.getElementById('glyph').getContext('2d').getImageData(0, 0, 28, 28).data]")
    image = np.array(glyph, np.uint8).reshape(28, 28, 4)[:, :, 0]
    assert Reader().predict(image[None])[0].argmax() == 7
    # Which part of it mattered.
    page.click("#matter")
    page.wait_for_function("() => document.getElementById('mattered').textContent.length > 10")
    assert re.search(r"still a 7|7 falls from", page.inner_text("#mattered"))


@pytest.mark.slow
def test_undo_redo_clear_and_pen(visit: Any) -> None:
    page = visit()
    assert page.is_disabled("#undo") and page.is_disabled("#clear") and page.is_visible("#hint")
    draw(page, ONE)
    draw(page, SEVEN)
    reads(page, "17")
    page.click("#undo")
    reads(page, "1")
    page.keyboard.press("Control+Shift+z")
    reads(page, "17")
    page.keyboard.press("Escape")
    reads(page, "")
    assert page.inner_text("#summary") == "Nothing written yet." and page.is_visible("#hint")
    page.keyboard.press("Control+z")  # what was cleared comes back
    reads(page, "17")
    page.fill("#pen", "22")
    page.keyboard.press("Escape")
    draw(page, SEVEN)
    reads(page, "7")
    pixels = "ink.getContext('2d').getImageData(0, 0, ink.width, ink.height).data"
    inked = page.eval_on_selector(
        "#ink", f"ink => {pixels}.reduce((sum, value, i) => sum + (i % 4 == 3 && value > 0), 0)"
    )
    length = 90 + np.hypot(55, 140)
    assert inked > 20 * length  # 22 wide


def test_a_finger_draws_too(visit: Any) -> None:
    page = visit(390, has_touch=True, is_mobile=True)
    box = page.locator("#ink").bounding_box()
    session = page.context.new_cdp_session(page)
    points = [(120, 60), (150, 60), (180, 60), (170, 100), (160, 140), (150, 180), (145, 200)]
    for index, (x, y) in enumerate(points):
        kind = "touchMove" if index else "touchStart"
        touch = [{"x": box["x"] + x, "y": box["y"] + y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touch})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    reads(page, "7")


@pytest.mark.slow
def test_the_example_and_the_steps(visit: Any) -> None:
    page = visit()
    page.focus("#example")
    page.keyboard.press("Enter")
    reads(page, "314/27")
    page.click("#text button >> nth=2")
    page.click("#show")
    page.wait_for_selector("#steps .glyphs button")
    assert page.locator("#steps figure").count() == 5 and page.locator("#steps rect").count() == 5
    assert page.get_attribute("#text button >> nth=2", "aria-pressed") == "true"  # whoever looked at the 4 still does
    page.click("#steps .glyphs button >> nth=0")
    assert page.inner_text("#verdict").startswith("Read as 3")
    page.click("#show")
    assert page.is_hidden("#steps")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_a_photo(visit: Any, mnist: Dataset, way: str) -> None:
    page = visit()
    draw(page, ONE)
    if way == "choose":
        page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": photo(mnist)})
    else:
        drop(page, way, photo(mnist), "a.png")
    reads(page, "7210")
    assert page.is_visible("#photo img") and page.is_hidden("#ink")
    image = page.locator("#photo img").bounding_box()
    boxes = [box.bounding_box() for box in page.locator("#boxes .box").all()]
    wanted = [digit.box for digit in Reader().read(io.BytesIO(photo(mnist))).digits]
    for box, (left, _, right, _) in zip(boxes, wanted, strict=True):
        middle = image["x"] + (left + right) / 2 * image["width"] / 380
        assert abs(box["x"] + box["width"] / 2 - middle) < 3
    page.mouse.click(boxes[2]["x"] + 4, boxes[2]["y"] + 4)
    assert page.inner_text("#verdict").startswith("Read as 1")
    page.check("#single")
    page.wait_for_function("() => document.querySelectorAll('#text button').length === 1")
    page.click("#clear")  # back to the sheet, where the stroke still is
    reads(page, "1")


@pytest.mark.slow
def test_a_picture_that_the_browser_cannot_show(visit: Any, mnist: Dataset) -> None:
    pages = [Image.fromarray(page_with(mnist.test.images[i : i + 2])) for i in (0, 2)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    page = visit()
    drop(page, "drop", file.getvalue(), "scan.tif", "image/tiff")
    reads(page, "72/10")
    assert page.get_attribute("#picture", "src").startswith("data:image/")
    assert page.locator("#boxes .box").count() == 2
    page.click("#text button >> nth=3")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#boxes text')].map(t => t.textContent).join('') === '10'"
    )


def test_errors_are_said(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit(quiet=False)  # the browser itself notes the status 400
    drop(page, "drop", b"no picture at all", "note.png")
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error").startswith("note.png: not an image in a format that is read, expected PNG")
    assert page.is_hidden("#picture")
    page.click("#clear")
    page.wait_for_selector("#error", state="hidden")
    page.route("**/read*", lambda route: route.abort())
    draw(page, ONE)
    page.wait_for_selector("#error:not([hidden])")
    assert "Is digitlab serve still running?" in page.inner_text("#error")
    page.unroute("**/read*")
    draw(page, SEVEN)
    reads(page, "17")
    assert page.is_hidden("#error")


def test_a_server_that_comes_back_is_asked_again(visit: Any) -> None:
    page = visit(quiet=False)
    page.route("**/*", lambda route: route.abort())
    draw(page, ONE)
    page.wait_for_selector("#error:not([hidden])")
    page.unroute("**/*")
    reads(page, "1")  # without a further stroke
    assert page.is_hidden("#error")


def test_a_slow_server_is_waited_for_in_words(visit: Any) -> None:
    page = visit()
    held: list[Any] = []
    page.route("**/read*", lambda route: held.append(route))
    draw(page, ONE)
    page.wait_for_function("() => document.getElementById('summary').textContent === 'Reading…'")
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    reads(page, "1")


@pytest.mark.slow
def test_labels_on_a_dense_page_belong_to_their_box(visit: Any, mnist: Dataset) -> None:
    rows = [np.concatenate([image[3:25] for image in mnist.test.images[8 * i : 8 * i + 8]], 1) for i in range(5)]
    page = visit()
    pixels = 255 - np.concatenate(rows).repeat(3, 0).repeat(3, 1)
    drop(page, "drop", png(np.pad(pixels, 30, constant_values=255)), "a.png")
    page.wait_for_function("() => document.querySelectorAll('#boxes .box').length > 30")
    boxes, tags = ([part.bounding_box() for part in page.locator(f"#boxes .{kind}").all()] for kind in ("box", "tag"))
    over = []
    for own, (frame, tag) in enumerate(zip(boxes, tags, strict=True)):
        assert abs(frame["x"] - tag["x"]) < 2  # it hangs together with its frame
        assert abs(frame["y"] - tag["y"] - tag["height"]) < 2 or abs(frame["y"] - tag["y"]) < 2
        for other, box in enumerate(boxes):
            apart = tag["x"] + tag["width"] <= box["x"] or box["x"] + box["width"] <= tag["x"]
            apart |= tag["y"] + tag["height"] <= box["y"] or box["y"] + box["height"] <= tag["y"]
            # Inside its own frame it may touch what touches that.
            if other != own and not apart and tag["y"] + 3 < frame["y"]:
                over.append((own, other))
    assert not over


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "over 99.9"), (0.9995, "over 99.9"), (0.99949, "99.9"), (0.0, "under 0.1"), (0.5, "50.0")],
)
def test_nothing_is_quite_sure(visit: Any, share: float, words: str) -> None:
    page = visit()
    said = {
        "digit": 3,
        "character": "3",
        "confidence": share,
        "box": [10, 10, 40, 60],
        "rejected": False,
        "page": 0,
        "line": 0,
    }
    said |= {"probabilities": [0.0] * 10, "likeness": 1.0, "glyph": np.zeros((28, 28), int).tolist()}
    answer = {"file": "", "text": "3", "lines": ["3"], "digits": [said], "seconds": 0.1, "pages": [[100, 100]]}
    page.route("**/read*", lambda route: route.fulfill(json=answer))
    draw(page, ONE)
    reads(page, "3")
    assert f"{words} %" in page.inner_text("#summary").replace("\xa0", " ")
    assert ">" not in page.inner_text("#digit") and "100.0" not in page.inner_text("#digit")


@pytest.mark.slow
def test_an_eraser_takes_out_strokes_and_undo_brings_them_back(visit: Any) -> None:
    page = visit()
    draw(page, ONE, SEVEN)
    reads(page, "17")
    page.click("#eraser")
    draw(page, [(40, 100), (80, 110)])  # across the 1
    reads(page, "7")
    page.click("#undo")
    reads(page, "17")


def test_it_copies(visit: Any) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.click("#example")
    reads(page, "314/27")
    page.click("#copy")
    assert page.evaluate("navigator.clipboard.readText()") == "314\n27"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_is_readable(visit: Any, width: int, scheme: str) -> None:
    page = visit(width, color_scheme=scheme)
    draw(page, ONE, SEVEN, *CROSS) if width > 390 else page.click("#example")
    page.wait_for_selector("#text button")
    page.click("#show")
    page.wait_for_selector("#steps .glyphs")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    seen = page.evaluate(CONTRAST)
    # Labels stand on tags of their own, which the page's ground says nothing of; disabled buttons may be pale.
    faint = [entry for entry in seen["low"] if entry[0] not in ("Undo", "Redo", "Clear") and "SVG" not in str(entry[1])]
    assert not faint and seen["counted"] > 40


@pytest.mark.slow
def test_tab_reaches_everything(visit: Any) -> None:
    page = visit()
    page.click("#example")
    reads(page, "314/27")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = set()
    for _ in range(32):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"undo", "clear", "pen", "example", "choose", "single", "copy", "matter", "show", "3", "Runs"} <= reached


@pytest.mark.slow
def test_to_the_runs_and_a_report_and_back(visit: Any) -> None:
    page = visit()
    page.click("nav >> text=Runs")
    page.click("#runs a >> text=mine")
    page.wait_for_selector("h1 strong")
    # Its script runs, on a stage of its own: it may not even see that there is a server.
    assert page.evaluate("origin") == "null"
    assert page.locator("#gallery .px").count() > 3
    page.go_back()
    page.click("nav >> text=Draw")
    assert page.is_visible("#sheet")
