"""The report in a real browser: what a person clicks, types and sees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.judged_material import FASHION, HOSTILE, make_content

from digitlab.showing import ReportContent, render

CHROMIUM = Path("/usr/bin/chromium")
# Debian's Chromium has all it needs on disk; these keep it from looking for anything on a network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists() and not os.environ.get("CI"), reason="no /usr/bin/chromium on this machine"
)

# Ratio of text to ground for every piece of text on the page, by the definition of WCAG 2.1; the browser itself turns
# any colour (also color-mix) into red, green, blue.
CONTRAST = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const seen = new Map();
  const rgba = (colour) => {
    if (!seen.has(colour)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      seen.set(colour, [...context.getImageData(0, 0, 1, 1).data]);
    }
    return seen.get(colour);
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const low = [];
  let counted = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (["SCRIPT", "STYLE", "OPTION"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const colour = rgba(element instanceof SVGElement ? style.fill : style.color);
    if (colour[3] === 0) continue;
    let ground = element, behind = [0, 0, 0, 0];
    while (ground && behind[3] < 255) {
      behind = rgba(getComputedStyle(ground).backgroundColor);
      ground = ground.parentElement;
    }
    const [a, b] = [luminance(colour), luminance(behind)].sort((x, y) => x - y);
    counted += 1;
    const ratio = (b + 0.05) / (a + 0.05);
    if (ratio < 4.5) low.push([node.textContent.trim().slice(0, 40), String(element.className), ratio]);
  }
  return { low, counted };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def content() -> ReportContent:
    corruptions = {"fog": [0.9, 0.7, 0.5, 0.4, 0.3], "zigzag": [0.9, 0.8, 0.8, 0.7, 0.6]}
    return make_content(3000, skill=2.6, corruptions=corruptions)


@pytest.fixture(scope="module")
def report(content, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "report.html"
    path.write_text(render(content), encoding="utf-8")
    return path


@pytest.fixture
def visit(browser) -> Iterator[Any]:
    """Open a page, and fail at the end if it complained or asked for anything but itself."""
    opened: list[Any] = []
    troubles: list[str] = []

    def open_page(path: Path, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        watch(page, troubles, lambda url: url.split("#")[0] == path.as_uri() or url.startswith("data:"))
        page.goto(path.as_uri())
        opened.append(context)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert not troubles


def watch(page: Any, troubles: list[str], allowed: Callable[[str], bool], *, console: bool = True) -> None:
    """Note whatever a page complains of, and whatever it asks for that it may not."""
    if console:
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def asked(request: Any) -> None:
        if not allowed(request.url):
            troubles.append(f"request: {request.url[:100]}")

    page.on("request", asked)


def indices(page: Any, where: str) -> list[int]:
    return page.eval_on_selector_all(f"{where} .px", "tiles => tiles.map(tile => Number(tile.dataset.index))")


def in_cell(content: ReportContent, true: int, read: int) -> list[int]:
    """Every test image of a cell, surest first, by NumPy alone."""
    predicted = content.probabilities.argmax(axis=1)
    found = np.flatnonzero((content.labels == true) & (predicted == read))
    return found[np.argsort(-content.probabilities[found].max(axis=1), kind="stable")].tolist()


@pytest.mark.slow
def test_it_opens_within_a_second(visit, report):
    """Of the page's own thread: what else the machine does is not counted."""
    page = visit(report)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload(wait_until="load")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    assert 0 < metrics["TaskDuration"] < 1.0


def test_a_click_on_a_cell_shows_exactly_its_pictures(visit, report, content):
    page = visit(report)
    cells = [(one.true, one.predicted) for one in content.evaluation.confusions]
    for true, read in [*cells[:5], cells[-1]]:
        page.click(f"#matrix td[data-t='{true}'][data-p='{read}']")
        expected = in_cell(content, true, read)
        assert indices(page, "#panel") == expected
        assert page.inner_text("#panel h3") == f"{true} read as {read}"
        sure = page.locator("#panel figcaption").first.inner_text()
        assert float(sure.split()[0].rstrip("†")) == pytest.approx(
            100 * content.probabilities[expected[0]].max(), abs=0.51
        )
        assert page.locator("#matrix [aria-selected=true]").count() == 1


def test_an_empty_cell_says_so(visit, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render(make_content(100, skill=40.0)), encoding="utf-8")
    page = visit(path)
    page.click("#matrix td[data-t='3'][data-p='5']")
    assert "no image" in page.inner_text("#panel")
    assert not indices(page, "#panel")
    assert page.is_checked("input[value=hardest]")
    assert page.locator("#cards .card").count() == 60


def test_the_diagonal_shows_the_least_sure_of_its_right_ones(visit, report, content):
    page = visit(report)
    page.click("#matrix td[data-t='7'][data-p='7']")
    shown, everything = indices(page, "#panel"), in_cell(content, 7, 7)
    assert len(shown) < len(everything)
    assert shown == everything[::-1][: len(shown)]
    assert len(shown) >= 12
    assert f"here the {len(shown)} least certain" in page.inner_text("#panel .note")


def test_hovering_says_what_a_cell_is(visit, report, content):
    page = visit(report)
    page.hover("#matrix td[data-t='4'][data-p='9']")
    count, support = content.evaluation.confusion[4, 9], content.evaluation.support[4]
    assert page.inner_text("#readout") == f"4 read as 9: {count} of {support} ({100 * count / support:.1f} %)"
    page.hover("h1")
    top = content.evaluation.confusions[0]
    assert page.inner_text("#readout").startswith(f"{top.true} read as {top.predicted}:")


@pytest.mark.slow
def test_the_matrix_by_keyboard_alone(visit, report, content):
    page = visit(report)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#matrix td')"):
            break
    top = content.evaluation.confusions[0]
    place = "[document.activeElement.dataset.t, document.activeElement.dataset.p].map(Number)"
    assert page.evaluate(place) == [top.true, top.predicted]
    page.keyboard.press("Home")
    for _ in range(12):
        page.keyboard.press("ArrowUp")
    assert page.evaluate(place) == [0, 0]
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate(place) == [3, 1]
    assert page.inner_text("#readout").startswith("3 read as 1:")
    page.keyboard.press("End")
    assert page.evaluate(place) == [3, 9]
    page.keyboard.press("Enter")
    assert indices(page, "#panel") == in_cell(content, 3, 9)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert indices(page, "#panel") == in_cell(content, 3, 8)
    # One stop for the whole matrix: Tab leaves it.
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.matches('#matrix td')")


def test_counts_rows_and_mistakes_only(visit, report, content):
    page = visit(report)
    confusion, support = content.evaluation.confusion, content.evaluation.support

    def written() -> list[str]:
        return page.eval_on_selector_all("#matrix td", "cells => cells.map(cell => cell.textContent)")

    assert written() == [str(count) if count else "" for count in confusion.ravel()]
    page.check("input[name=mode][value=row]", force=True)
    shares = 100 * confusion / support[:, None]
    for said, share in zip(written(), shares.ravel(), strict=True):
        assert (float(said) if said else 0) == pytest.approx(share, abs=0.0501)
    page.check("input[name=mode][value=miss]", force=True)
    assert all(not written()[11 * digit] for digit in range(10))
    assert [said for i, said in enumerate(written()) if i % 11] == [
        str(count) if count else "" for i, count in enumerate(confusion.ravel()) if i % 11
    ]


@pytest.mark.slow
def test_filters_and_order_of_the_gallery(visit, report, content):
    page = visit(report)
    e = content.evaluation
    confidence = content.probabilities.max(axis=1)
    assert indices(page, "#cards") == e.mistakes[:60].tolist()
    while page.is_visible("#more"):
        page.click("#more")
    assert indices(page, "#cards") == e.mistakes.tolist()

    page.select_option("[name=order]", "unsure")
    assert confidence[indices(page, "#cards")].tolist() == sorted(confidence[e.mistakes])[:60]
    page.select_option("[name=order]", "index")
    assert indices(page, "#cards") == sorted(e.mistakes.tolist())[:60]

    page.select_option("[name=label]", "4")
    assert indices(page, "#cards") == [i for i in sorted(e.mistakes.tolist()) if content.labels[i] == 4][:60]
    page.select_option("[name=read]", "9")
    assert indices(page, "#cards") == sorted(in_cell(content, 4, 9))
    page.select_option("[name=label]", "")
    page.select_option("[name=read]", "")
    page.select_option("[name=order]", "sure")
    page.fill("[name=from]", "50")
    page.fill("[name=to]", "60")
    wanted = [i for i in e.mistakes.tolist() if 0.5 <= confidence[i] <= 0.6]
    assert indices(page, "#cards") == wanted[:60]
    assert f"of {len(wanted)} shown, chosen from {len(e.mistakes)} mistakes" in page.inner_text("#status")
    page.click("button[type=reset]")
    page.wait_for_function("document.querySelectorAll('#cards .card').length === 60")
    page.check("[name=doubtful]")
    assert sorted(indices(page, "#cards")) == sorted(e.doubtful_mistakes)
    assert page.locator("#cards .doubt").count() == len(e.doubtful_mistakes) > 0


def test_the_hardest_right_ones(visit, report, content):
    page = visit(report)
    page.check("input[name=which][value=hardest]", force=True)
    predicted, confidence = content.probabilities.argmax(axis=1), content.probabilities.max(axis=1)
    right = np.flatnonzero(predicted == content.labels)
    assert indices(page, "#cards") == right[np.argsort(confidence[right], kind="stable")[:60]].tolist()
    assert "rightly read as" in page.locator("#cards .card").first.inner_text()


def test_a_card_draws_the_ten_probabilities(visit, report, content):
    page = visit(report)
    index = int(content.evaluation.mistakes[0])
    bars = page.locator("#cards .card").first.locator(".probs span")
    heights = bars.evaluate_all("bars => bars.map(bar => bar.querySelector('i').offsetHeight)")
    assert len(heights) == 10
    assert int(np.argmax(heights)) == content.probabilities[index].argmax()
    classes = bars.evaluate_all("bars => bars.map(bar => bar.className)")
    assert classes.index("yes") == content.labels[index]
    assert classes.index("no") == content.evaluation.predicted[index]


def test_a_picture_is_drawn_as_it_is(visit, report, content):
    """Pixels on the screen, not only positions in the style."""
    import io

    from PIL import Image

    page = visit(report, color_scheme="dark")
    for place in (0, 7, 41):
        tile = page.locator("#cards .px").nth(place)
        tile.scroll_into_view_if_needed()
        box = tile.bounding_box()  # may lie between two pixels; the browser paints it on the nearest
        clip = {"x": round(box["x"]), "y": round(box["y"]), "width": 84, "height": 84}
        shot = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("L")
        index = int(tile.get_attribute("data-index"))
        # The corners of a tile are rounded; the middle is the picture, three screen pixels a pixel.
        seen = np.asarray(shot)[1::3, 1::3].astype(int)
        np.testing.assert_allclose(seen[2:-2, 2:-2], content.images[index][2:-2, 2:-2].astype(int), atol=3)


def test_curves_tell_their_values_to_pointer_and_keyboard(visit, report, content):
    page = visit(report)
    chart = page.locator("#training svg[data-tips]").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
    tip = page.locator("#training .tip").first
    assert tip.is_visible()
    said = tip.inner_text().split()
    assert said[:2] == ["epoch", "10"]
    assert float(said[3]) == pytest.approx(content.history["loss"][-1], rel=5e-3)
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    chart.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert tip.inner_text().startswith("epoch 2")
    page.keyboard.press("Escape")
    assert not tip.is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_what_a_corruption_does_stands_under_its_strength(visit, report, width):
    """Six images in equal shares of a strip, each in the middle of its share: under the tick of its strength."""
    page = visit(report, width)
    strips = page.locator("#robust .suffering")
    assert strips.count() == 2
    for number in range(2):
        strip = strips.nth(number).bounding_box()
        card = page.locator("#robust .multiples > div").nth(number)
        ticks = [card.locator(".tick.mid:not(.axis)").nth(i).bounding_box() for i in range(6)]
        for place, tick in enumerate(ticks):
            middle = strip["x"] + strip["width"] * (place + 0.5) / 6
            assert middle == pytest.approx(tick["x"] + tick["width"] / 2, abs=1.5)
        assert strip["y"] >= ticks[0]["y"] + ticks[0]["height"]
        assert card.locator(".suffering").evaluate("image => image.naturalWidth") == 6 * 32


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390])
def test_no_sideways_scrolling_on_a_phone(visit, report, tmp_path, width):
    hostile = tmp_path / "long.html"
    names = [*HOSTILE, *FASHION]
    hostile.write_text(
        render(make_content(300, class_names=names, name="n" * 90, corruptions={"w" * 60: [0.5]})), encoding="utf-8"
    )
    many = tmp_path / "many.html"
    many.write_text(render(make_content(900, labels=np.arange(900) % 47, class_names=[f"c{i}" for i in range(47)])))
    for path in (report, hostile, many):
        page = visit(path, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_text_has_contrast(visit, report, scheme, width):
    page = visit(report, width, color_scheme=scheme)
    for mode in ("count", "miss"):
        page.check(f"input[name=mode][value={mode}]", force=True)
        found = page.evaluate(CONTRAST)
        assert found["counted"] > 400
        assert not found["low"]


@pytest.mark.slow
def test_hostile_names_stay_text(visit, tmp_path):
    names = [*HOSTILE, *FASHION]
    path = tmp_path / "hostile.html"
    path.write_text(render(make_content(600, class_names=names)), encoding="utf-8")
    page = visit(path)
    for true, read in ((0, 1), (1, 0), (2, 3), (3, 4), (4, 0)):
        page.click(f"#matrix td[data-t='{true}'][data-p='{read}']")
        assert page.inner_text("#panel h3") == f"{names[true]} read as {names[read]}"
    page.select_option("[name=label]", "0")
    page.hover("#training svg[data-tips] >> nth=0")
    assert page.locator("b[onclick], img[src=x]").count() == 0
    assert page.locator("script").count() == 2


def test_it_reads_without_script(visit, report, content):
    page = visit(report, java_script_enabled=False)
    assert not page.is_visible("#panel")
    assert not page.is_visible("#controls")
    assert page.is_visible("noscript p")
    assert page.locator("#cards .card:visible").count() == 24
    assert page.locator("#training svg path.line").count() >= 3
    assert page.locator("#matrix td").nth(0).inner_text() == str(content.evaluation.confusion[0, 0])


def test_on_paper_it_is_light_and_without_controls(visit, report):
    page = visit(report, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.is_visible("#controls")
    assert not page.is_visible("nav")
    assert page.is_visible("#matrix")


def test_it_says_what_is_doubtful(visit, report, content):
    page = visit(report)
    marked = content.evaluation.doubtful_mistakes
    true, read = int(content.labels[marked[0]]), int(content.evaluation.predicted[marked[0]])
    page.click(f"#matrix td[data-t='{true}'][data-p='{read}']")
    tile = page.locator(f"#panel .px[data-index='{marked[0]}']")
    assert "people doubt the official label" in tile.get_attribute("aria-label")
