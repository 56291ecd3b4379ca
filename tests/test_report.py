from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.judged_material import DIGITS, FASHION, HOSTILE, history, make_content, pictures
from hypothesis import example, given, settings
from hypothesis import strategies as st

from digitlab.judging.corruptions import CORRUPTIONS
from digitlab.showing import ReportContent, render
from digitlab.showing.picture_sheets import COLUMNS, select
from digitlab.showing.svg_charts import nice_ticks
from digitlab.showing.wording import calibrated, confident, findings, refused

LIMIT = 3_000_000


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text outside of script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self._open: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())
        self.data = json.loads(next(block for block in self.blocks["script"] if block.lstrip().startswith("{")))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        self.blocks.get(inside, self.words).append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [a for t, a in self.tags if t == tag and all(a.get(name) == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return make_content()


@pytest.fixture(scope="module")
def html(content) -> str:
    return render(content)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_headline_says_accuracy_interval_and_mistakes_in_words(content, page):
    e = content.evaluation
    low, high = (100 * end for end in e.accuracy_interval)
    assert f"{100 * e.accuracy:.1f} % correct" in page.text
    assert f"{e.correct:,} of 2,000 test images of MNIST" in page.text
    assert f"The 95 % interval is {low:.1f} to {high:.1f} %." in page.text
    assert f"mistakes {2000 - e.correct}" in page.text


def test_every_section_is_there(page):
    headings = {attributes["id"] for attributes in page.all("section") if attributes.get("id")}
    assert headings == {
        "short",
        "confusion",
        "gallery",
        "classes",
        "sure",
        "robust",
        "training",
        "network",
        "recipe",
        "use",
    }
    targets = {a["href"].removeprefix("#") for a in page.all("a")}
    assert targets <= headings
    for said in (
        'model = keras.saving.load_model("model.keras")',
        "the recipe has 0.001",
        "sha256 " + "0123456789abcdef" * 4,
        "training 3.0 s",
        "100,480 parameters",
        "read once, when training had finished",
        "64 of 80 units",
        "keras 3.15.1",
    ):
        assert said in page.text


def test_the_matrix_is_the_evaluation(content, page):
    confusion = content.evaluation.confusion
    cells = page.all("td", role="gridcell")
    support = confusion.sum(axis=1)
    assert [cell["aria-label"] for cell in cells] == [
        f"{true} read as {read}: {confusion[true, read]:,} of {support[true]:,}"
        for true in range(10)
        for read in range(10)
    ]
    # The deepest colour is the most frequent mistake, and the diagonal takes no part.
    depths = np.array([float(cell["style"].removeprefix("--v:")) for cell in cells]).reshape(10, 10)
    np.testing.assert_allclose(
        depths, np.sqrt(confusion / content.evaluation.confusions[0].count) * (1 - np.eye(10)), atol=1e-3
    )


def test_the_page_carries_every_mistake_and_each_number_of_it(content, page):
    data, e = page.data, content.evaluation
    shown = np.array(data["index"])
    assert shown[: data["mistakes"]].tolist() == e.mistakes.tolist()
    assert len(set(data["index"])) == len(shown)
    np.testing.assert_array_equal(data["label"], content.labels[shown])
    np.testing.assert_array_equal(data["read"], e.predicted[shown])
    np.testing.assert_allclose(np.array(data["probabilities"]) / 10_000, content.probabilities[shown], atol=6e-5)
    np.testing.assert_allclose(np.array(data["sure"]) / 1e9, e.confidence[shown], atol=1e-6)
    assert [data["index"][place] for place in data["doubtful"]] == [i for i in e.doubtful if i in shown]
    hardest = shown[data["hardest"]]
    right = np.flatnonzero(content.labels == e.predicted)
    assert sorted(e.confidence[hardest]) == pytest.approx(sorted(e.confidence[right])[: len(hardest)])


def sheet_of(html: str) -> np.ndarray:
    from PIL import Image

    url = re.search(r'\.px \{ background-image: url\("data:image/png;base64,([^"]+)"\)', html)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.group(1)))))


def test_each_place_on_the_sheet_is_that_test_picture(content, html, page):
    sheet = sheet_of(html)
    for place, index in enumerate(page.data["index"]):
        row, column = divmod(place, COLUMNS)
        tile = sheet[row * 29 : row * 29 + 28, column * 29 : column * 29 + 28]
        np.testing.assert_array_equal(tile, content.images[index])


def test_pictures_written_without_script_lie_where_their_words_say(content, html, page):
    for tile in page.all("span", role="img"):
        said = re.match(r"Test image (\d+): (\d) read as (\d), ", tile["aria-label"])
        if said:
            column, row = (int(number) for number in re.findall(r"\d+", tile["style"]))
            index, true, read = (int(number) for number in said.groups())
            assert page.data["index"][row * COLUMNS + column] == index
            assert (content.labels[index], content.evaluation.predicted[index]) == (true, read)


def test_typical_and_strangest_members(content):
    chosen = select(content)
    own = content.probabilities[np.arange(2000), content.labels]
    for digit in range(10):
        members = np.flatnonzero(content.labels == digit)
        assert own[chosen.strangest[digit]].tolist() == sorted(own[members])[:6]
        right = members[content.evaluation.predicted[members] == digit]
        flat = content.images[right].reshape(len(right), -1).astype(float)
        distance = np.linalg.norm(flat - flat.mean(axis=0), axis=1)
        assert chosen.typical[digit].tolist() == right[np.argsort(distance)[:6]].tolist()


def test_nothing_is_loaded_from_anywhere(html, page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:image/png;base64,", "#")), (tag, name, target)
        assert tag not in {"link", "iframe", "object", "embed", "base"}
    for target in re.findall(r"url\(([^)]*)\)", html):
        assert target.startswith('"data:image/png;base64,')
    assert "@import" not in html
    assert not re.search(r"https?://", html)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|innerHTML|eval)\b", html)


def test_the_policy_names_the_only_script(html, page):
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    script = page.blocks["script"][-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert html.count("<script>") == 1


def test_everything_from_outside_is_escaped():
    evil = '"><img src=x onerror=alert(9)></script><script>alert(8)</script>{{ 7 * 7 }}'
    html = render(
        make_content(
            500,
            class_names=[*HOSTILE, *FASHION],
            name=evil,
            description=evil,
            data_name=evil,
            data_sha256=evil,
            created=evil,
            model_file=evil,
            recipe={evil: evil},
            recipe_changes={evil: evil},
            machine={evil: evil},
            versions={evil: evil},
            data_counts={evil: 3},
            seconds={evil: 1.0, "total": 2.0},
            layers=[{"name": evil, "type": evil, "output_shape": evil, "parameters": 3, "activation": evil}],
            corruptions={evil: [0.9, 0.5]},
        )
    )
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert {attributes.get("src", "data:")[:5] for attributes in page.all("img")} == {"data:"}
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert not page.all("b", onclick="alert(3)")
    assert "{{ 7 * 7 }}" in page.text
    assert page.data["names"][:5] == HOSTILE
    assert "</script><script>alert(8)" not in html


@pytest.mark.slow
@given(st.lists(st.text(max_size=12), min_size=3, max_size=3))
@settings(max_examples=10, deadline=None)
def test_any_class_name_comes_back_as_it_went_in(names):
    images, _ = pictures()
    page = Page(render(make_content(images=images[:60], labels=np.arange(60) % 3, class_names=names)))
    assert page.data["names"] == names
    assert [tag for tag, _ in page.tags].count("script") == 2


@pytest.mark.slow
@pytest.mark.parametrize("skill", [3.2, 1.0, 0.0])
def test_ten_thousand_pictures_stay_below_three_megabytes(skill):
    html = render(make_content(10_000, skill=skill))
    assert len(html.encode()) <= LIMIT
    page = Page(html)
    assert page.data["mistakes"] <= page.data["errors"]
    if skill:  # up to some thousand mistakes, all are there
        assert (page.data["mistakes"] == page.data["errors"]) == (page.data["errors"] <= 6000)


@pytest.mark.slow
def test_noise_that_no_png_can_compress_stays_below_three_megabytes():
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 28, 28), dtype=np.uint8)
    robustness = {kind: [0.9, 0.8, 0.7, 0.6, 0.5] for kind in CORRUPTIONS}
    content = make_content(10_000, images=noise, skill=0.5, corruptions=robustness)
    html = render(content)
    assert html.count('class="suffering"') == len(CORRUPTIONS)
    assert len(html.encode()) <= LIMIT
    data = Page(html).data
    assert 500 < data["mistakes"] < data["errors"]
    kept = {(data["label"][i], data["read"][i]) for i in range(data["mistakes"])}
    assert len(kept) == 90  # thinned evenly: no cell of the matrix lost all its pictures


def test_many_classes_carry_the_ten_likeliest():
    labels = np.arange(2000) % 26
    names = [chr(ord("a") + i) for i in range(26)]
    content = make_content(2000, labels=labels, class_names=names, skill=3.0)
    data = Page(render(content)).data
    assert not data["dense"]
    for place in (0, 5, 17):
        row = content.probabilities[data["index"][place]]
        pairs = np.array(data["probabilities"][place]).reshape(10, 2)
        np.testing.assert_array_equal(pairs[:, 0], np.argsort(-row, kind="stable")[:10])
        np.testing.assert_allclose(pairs[:, 1] / 10_000, row[pairs[:, 0]], atol=6e-5)


def test_without_mistakes_validation_layers_or_more_than_one_epoch():
    content = make_content(
        300, calibrated=False, skill=40.0, history=history(1, validation=False), layers=[], first_weights=None
    )
    page = Page(render(content))
    assert "It read every test image as its label says." in page.text
    assert "There is no error left to avoid." in page.text
    assert "Without validation images it was not calibrated." in page.text
    assert "No validation images were held back" in page.text
    assert page.data["mistakes"] == 0
    assert page.data["hardest"]


def test_a_class_without_pictures_and_an_empty_history():
    images, labels = pictures()
    few = np.flatnonzero(labels != 4)[:200]
    page = Page(render(make_content(images=images[few], labels=labels[few], history={})))
    assert "No epoch was recorded." in page.text
    assert "nan" not in page.text


@pytest.mark.parametrize(("height", "width"), [(28, 28), (16, 20), (64, 48)])
def test_pictures_of_another_size_are_shown_as_large(height, width):
    images = np.random.default_rng(0).integers(0, 256, (90, height, width), dtype=np.uint8)
    html = render(make_content(90, images=images, first_weights=None))
    shown = [float(size) for size in re.findall(r"--p[wh]: ([\d.]+)px", html)]
    assert shown == pytest.approx([28 * width / max(height, width), 28 * height / max(height, width)])
    rows = -(-len(Page(html).data["index"]) // COLUMNS)
    assert sheet_of(html).shape == (rows * (height + 1), COLUMNS * (width + 1))


def test_one_picture_is_enough():
    assert "1 of 1 test images" in Page(render(make_content(1, skill=40.0, calibrated=False))).text


def test_curves_say_each_value(content, page):
    tips = [json.loads(svg["data-tips"]) for svg in page.all("svg") if "data-tips" in svg]
    loss = next(chart for chart in tips if chart and chart[0]["rows"][0][:2] == ["training", "0.4"])
    assert [tip["head"] for tip in loss] == [f"epoch {epoch}" for epoch in range(1, 11)]
    for tip, trained, held in zip(loss, content.history["loss"], content.history["val_loss"], strict=True):
        assert float(tip["rows"][0][1]) == pytest.approx(trained, rel=5e-3)
        assert float(tip["rows"][1][1]) == pytest.approx(held, rel=5e-3)
    assert len(page.all("table")) >= 6
    assert all(f"{loss:.6g}" in page.text for loss in content.history["loss"])


def test_robustness_appears_when_measured():
    kinds = {"shift": [0.9, 0.8, 0.4], "fog": [0.5, 0.3, 0.1]}
    page = Page(render(make_content(300, corruptions=kinds)))
    assert "Mean accuracy over all kinds and strengths: 50.0 %" in page.text
    assert "70.0 % shift" in page.text
    assert "30.0 % fog" in page.text
    assert "suffers most from fog (30 %), least from shift (70 %)" in page.text
    without = Page(render(make_content(300)))
    assert "digitlab evaluate mlp-test --corrupted" in without.text
    assert "evaluate" not in page.text


def test_each_kind_shows_what_it_does_to_one_typical_picture():
    from PIL import Image

    from digitlab.judging.corruptions import corrupt

    kinds = {"impulse noise": [0.9, 0.8, 0.4, 0.3, 0.2], "zigzag": [0.5, 0.3], "one of another version": [0.5]}
    content = make_content(300, corruptions=kinds)
    html = render(content)
    strips = Page(html).all("img", **{"class": "suffering"})
    assert len(strips) == 2  # nobody knows what the third looked like
    index = int(re.search(r"Test image (\d+)", strips[0]["alt"])[1])
    assert content.labels[index] == content.probabilities[index].argmax() == 5
    for strip, (kind, values) in zip(strips, kinds.items(), strict=False):
        file = io.BytesIO(base64.b64decode(strip["src"].partition(",")[2]))
        pixels = np.asarray(Image.open(file))
        cells = pixels.reshape(28, len(values) + 1, -1, 2).swapaxes(0, 1)
        assert (cells[:, :, 2:-2, 1] == 255).all() and not cells[:, :, [0, 1, -2, -1], 1].any()
        np.testing.assert_array_equal(cells[0, :, 2:-2, 0], content.images[index])
        for step, cell in enumerate(cells[1:], 1):
            np.testing.assert_array_equal(cell[:, 2:-2, 0], corrupt(content.images[index][None], kind, step)[0])


def test_windows_of_a_convolution_are_large_enough_to_see():
    windows = np.random.default_rng(0).normal(size=(3, 3, 32)).astype(np.float32)
    html = render(make_content(100, first_weights=windows))
    assert "window of 3 × 3 pixels that slides" in Page(html).text
    assert "--ww: 24px; --wh: 24px" in html
    assert "random start" in Page(render(make_content(100))).text


def test_calibration_is_no_improvement_where_it_is_none(content):
    def said(**changes):
        return calibrated(dataclasses.replace(content.evaluation, **changes))

    assert "brings the calibration error from" in said(log_loss=0.2, calibrated_log_loss=0.1)
    assert "0.2000 to 0.1000" in said(log_loss=0.2, calibrated_log_loss=0.1)
    assert "changes little here" in said(log_loss=0.1, calibrated_log_loss=0.0995)
    assert "changes little here" in said(log_loss=0.1, calibrated_log_loss=0.12)
    assert "was not calibrated" in said(temperature=None)


def test_why_training_curves_may_be_the_worse_ones():
    recipe = {"name": "cnn", "dropout": 0.3, "shift": 2.0, "rotate": 10.0}
    assert (
        "sees images changed at random and units silenced by dropout, so"
        in Page(render(make_content(100, recipe=recipe))).text
    )
    assert "may lie on the worse side" not in Page(render(make_content(100))).text


def test_refusing_is_worked_out_as_by_hand(content):
    e = content.evaluation
    order = np.argsort(-e.confidence, kind="stable")
    wrong = (e.predicted != content.labels)[order]
    for share in (0.01, 0.05, 0.5):
        kept = round(2000 * (1 - share))
        assert refused(e, share) == pytest.approx(wrong[:kept].mean(), abs=6e-4)


def test_findings_are_true(content):
    e, said = content.evaluation, " ".join(findings(content)).replace("\N{NO-BREAK SPACE}", " ")
    top = np.where(np.eye(10, dtype=bool), 0, e.confusion)
    first = e.confusions[0]
    assert top.max() == e.confusion[first.true, first.predicted]
    assert f"reads {first.true} as {first.predicted}: {top.max()} of the {e.support[first.true]} images" in said
    recall = np.diag(e.confusion) / e.confusion.sum(axis=1)
    assert f"The hardest class is {recall.argmin()}, {100 * (1 - recall.min()):.1f} %" in said
    sure = content.probabilities.max(axis=1) >= 0.99
    wrong = (sure & (e.predicted != content.labels)).sum()
    assert f"wrong about {wrong} of those {sure.sum():,}" in said
    assert (f"{len(e.doubtful_mistakes)} of its" in said) == bool(e.doubtful_mistakes)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("images", np.zeros((20, 28, 28), np.float32), "images: float32"),
        ("images", np.zeros((20, 784), np.uint8), r"images: uint8 \(20, 784\), expected"),
        ("labels", np.zeros(19, int), r"labels: shape \(19,\), expected \(20,\)"),
        ("probabilities", np.full((20, 9), 1 / 9), r"expected \(20, 10\)"),
        ("class_names", DIGITS[:9], r"expected \(20, 9\)"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(field, value, message):
    good = make_content(20)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ValueError, match=message):
        ReportContent(**(fields | {field: value}))


def test_an_evaluation_of_other_pictures_is_refused():
    with pytest.raises(ValueError, match="evaluation: of 30 images"):
        make_content(20, evaluation=make_content(30).evaluation)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
@example(1.0, 400_001.0, 2)
def test_ticks_are_round_and_inside(low, span, count):
    ticks = nice_ticks(low, low + span, count)
    assert 1 <= len(ticks) <= count + 2
    assert ticks == sorted(ticks)
    little = 1e-6 * span + 4 * np.spacing(max(abs(low), abs(low + span)))
    assert all(low - little <= tick <= low + span + little for tick in ticks)


@given(st.floats(0, 1))
def test_a_confidence_is_never_said_higher_than_it_rounds_to(share):
    said = confident(share).replace("\N{NO-BREAK SPACE}", " ")
    if said == "> 99.9 %":
        assert share > 0.999
    else:
        assert float(said.removesuffix(" %")) <= 100 * share + 0.5
        assert said != "100 %"
