"""Many runs on one page: the numbers against independent answers, the page as text and in a real browser."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.judged_material import HOSTILE, guesses, history
from hypothesis import given
from hypothesis import strategies as st
from test_report_browser import CONTRAST, browser, visit  # noqa: F401  (fixtures)
from test_report_browser import pytestmark as needs_browser

from digitlab.data import Dataset
from digitlab.judging import wilson_interval
from digitlab.judging.compare import compare_runs
from digitlab.judging.pairwise import compare_all, holm
from digitlab.showing import RunRow, render_runs
from digitlab.showing.runs_page import curves, differences, differing, seeds

IMAGES = 4000


def make_row(name: str, skill: float, seed: int = 0, **changes: Any) -> RunRow:
    """A finished run that reads about `skill` of the same images right; hard images are hard for all."""
    hardness = np.random.default_rng(99).random(IMAGES)
    right = hardness + np.random.default_rng(seed).normal(0, 0.01, IMAGES) < skill
    columns = history(10)
    columns["val_accuracy"] = [skill - 0.5 * (1 - skill) * 9 / epoch**1.5 for epoch in range(1, 11)]
    fields: dict[str, Any] = {
        "name": name,
        "recipe_name": "mlp",
        "state": "finished",
        "created": f"2025-11-21T03:{seed:02d}:44+00:00",
        "data_name": "MNIST",
        "data_id": "ab" * 32,
        "recipe": {"name": "mlp", "description": "d", "hidden": [128], "epochs": 10, "peak_rate": 0.002, "seed": seed},
        "epochs": 10,
        "history": columns,
        "parameters": 101_770,
        "seconds": 7.5 + seed,
        "right": right,
        "interval": wilson_interval(int(right.sum()), IMAGES),
        "log_loss": 0.07 + (1 - skill),
        "robustness": 0.7,
        "link": f"runs/{name}/report.html",
    }
    return RunRow(**(fields | changes))


def unfinished(name: str, state: str, epochs: int, **changes: Any) -> RunRow:
    nothing = {"right": None, "interval": None, "log_loss": None, "seconds": None, "robustness": None, "link": None}
    columns = {key: values[:epochs] for key, values in make_row(name, 0.95).history.items()} if epochs else {}
    return make_row(name, 0.95, **({**nothing, "state": state, "history": columns} | changes))


def mixed() -> list[RunRow]:
    """Runs as a person has them after an afternoon: seeds, another recipe, stopped and failed ones."""
    rows = [make_row(f"mlp-{seed}", 0.979 + 0.0003 * seed, seed) for seed in range(3)]
    wide = {**rows[0].recipe, "hidden": [512, 256], "dropout": 0.2, "name": "mlp2"}
    rows.append(make_row("mlp2-wide", 0.985, 7, recipe_name="mlp2", recipe=wide, parameters=535_818))
    rows.append(make_row("linear", 0.925, 8, recipe_name="linear", recipe={**rows[0].recipe, "hidden": []}))
    rows.append(unfinished("stopped-after-4", "stopped", 4))
    rows.append(unfinished("failed-at-once", "failed", 0, note="history.csv: damaged"))
    return rows


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._skip = ""
        self.feed(html)
        self.text = " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._skip = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self._skip = ""

    def handle_data(self, data):
        if not self._skip:
            self.words.append(data)


# ---- numbers


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_its_definition(p_values):
    """Reject step by step by hand at many levels; the adjusted value is the level at which rejection begins."""
    adjusted = holm(p_values)
    assert (adjusted >= np.array(p_values)).all() and (adjusted <= 1).all()
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for level in (0.01, 0.05, 0.2, 0.7):
        rejected = set()
        for step, i in enumerate(order):
            if p_values[i] * (len(p_values) - step) > level:
                break
            rejected.add(i)
        assert rejected == {i for i in range(len(p_values)) if adjusted[i] <= level}


def test_every_pair_agrees_with_the_comparison_of_two():
    rng = np.random.default_rng(4)
    right = rng.random((5, 300)) < np.array([0.9, 0.88, 0.7, 0.7, 0.99])[:, None]
    right[3] = right[2]  # the same answers: no difference at all
    found = compare_all(right)
    labels = np.zeros(300, int)
    for a, b in combinations(range(5), 2):
        two = compare_runs(labels, *(np.stack([right[i], ~right[i]], axis=1).astype(float) for i in (a, b)))
        assert found.p_values[a, b] == found.p_values[b, a] == pytest.approx(two.p_value)
        assert found.difference[a, b] == -found.difference[b, a] == pytest.approx(two.difference)
    assert np.array_equal(found.adjusted, found.adjusted.T)
    assert (found.adjusted >= found.p_values).all()
    assert not found.differs.diagonal().any() and not found.differs[2, 3] and found.differs[2, 4]
    with pytest.raises(ValueError, match="expected bool"):
        compare_all(right.astype(int))


def test_equal_networks_are_seldom_told_apart():
    """The promise itself: among 20 equally good networks, a false alarm in at most about one page of twenty."""
    rng = np.random.default_rng(0)
    alarms = sum(compare_all(rng.random((20, 500)) < 0.9).differs.any() for _ in range(60))
    assert alarms <= 8  # 5 % of 60 is 3; more than 8 would come once in 100 tries


def test_differences_in_words():
    rows = list(enumerate(sorted(mixed()[:5], key=lambda row: -row.accuracy)))
    found = differences(rows)
    assert [name for name, _, _ in found["names"]] == ["mlp2-wide", "mlp-1", "mlp-2", "mlp-0", "linear"]
    assert found["words"] == [
        "5 of 10 pairs differ by more than chance.",
        "mlp2-wide is better than mlp-0 and linear, but not shown to be better than mlp-1 and mlp-2.",
        "mlp-1 is better than linear, but not shown to be better than mlp-2 and mlp-0.",
        "mlp-2 is better than linear, but not shown to be better than mlp-0.",
        "mlp-0 is better than linear.",
    ]
    kinds = [[cell["kind"] for cell in row] for row in found["cells"]]
    assert kinds[0] == ["self", "even", "even", "ahead", "ahead"] and kinds[4] == [*["behind"] * 4, "self"]
    assert differences(rows[:1]) is None
    same = [(i, make_row(f"r{i}", 0.97)) for i in range(2)]
    assert differences(same)["words"] == ["They may be equally good."]


def test_only_fields_that_differ_are_shown():
    found = differing(mixed())
    assert found["names"] == ["name", "hidden", "seed", "dropout"]
    assert [bold for _, bold in found["rows"][3]] == [True, True, False, True]  # seed 0 is what most have
    assert found["rows"][3][1] == ("512, 256", True) and found["rows"][0][1] == ("128", False)
    assert differing(mixed()[:1]) is None


def test_seeds_are_gathered():
    (group,) = seeds(mixed()[:5])
    accuracies = [row.accuracy for row in mixed()[:3]]
    assert group["runs"] == ["mlp-0", "mlp-1", "mlp-2"]
    assert group["mean"] == pytest.approx(np.mean(accuracies))
    assert group["std"] == pytest.approx(np.std(accuracies, ddof=1))


def test_a_seed_counts_once():
    """`train mlp`, then `train mlp --seeds 3`: four runs, three seeds, and the interval of three."""
    members = mixed()[:3]
    alone = make_row("mlp-alone", 0.97, 0)
    grouped = [make_row(row.name, 0.979 + 0.0003 * i, i, group="three") for i, row in enumerate(members)]
    (group,) = seeds([alone, *grouped])
    (expected,) = seeds(grouped)
    assert group == expected and group["count"] == 3 and "mlp-alone" not in group["runs"]
    # Without a group the newest counts.
    again = make_row("mlp-again", 0.97, 0, created="2026-01-01T00:00:00+00:00")
    assert "mlp-again" in seeds([again, *members])[0]["runs"]
    assert seeds([members[0], again]) == []


def test_curves_rise_and_their_ticks_lie_where_they_say():
    chart = curves(list(enumerate(mixed())))
    assert len(chart.lines) == 6  # the one that failed has no epoch
    heights = [y for _, y in chart.lines[0].marks]
    assert heights == sorted(heights, reverse=True)  # up on the page
    assert [y for y, _ in chart.y_ticks] == sorted((y for y, _ in chart.y_ticks), reverse=True)
    assert chart.tips[3]["head"] == "epoch 4"
    best = max(row.history["val_accuracy"][3] for row in mixed()[:6])
    assert chart.tips[3]["rows"][0][1].replace("\N{NO-BREAK SPACE}", " ") == f"{100 * best:.2f} %"
    assert len(curves([(i, make_row(f"r{i}", 0.98, i)) for i in range(40)]).tips[0]["rows"]) == 13


# ---- the page


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_any_number_of_runs(count):
    page = Page(render_runs([make_row(f"run-{i}", 0.96 + 0.0005 * i, i) for i in range(count)], title="runs"))
    assert f"{count} run" in page.text
    assert sum(tag == "tr" and "data-run" in a for tag, a in page.tags) >= count
    assert ("There are no runs here yet" in page.text) == (count == 0)
    assert ("Which differences are more than chance" in page.text) == (count > 1)


def test_runs_on_other_data_are_never_compared():
    rows = [*mixed()[:2], make_row("f-0", 0.9, data_id="cd" * 32, data_name="Fashion", right=np.ones(7, bool))]
    page = Page(render_runs(rows))
    labels = [a.get("title") or "" for tag, a in page.tags if tag == "td"]
    assert any("mlp-0 against mlp-1" in label for label in labels)
    assert not any("f-0" in label for label in labels)
    assert "never compared" in page.text and "most accurate" not in page.text


def test_names_from_outside_are_escaped():
    rows = [
        make_row(name, 0.95, i, recipe_name=name, data_name=name, note=name, recipe={name: name, "b": i}, state=name)
        for i, name in enumerate(HOSTILE)
    ]
    html = render_runs(rows, title=HOSTILE[0])
    page = Page(html)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert all(name in page.text for name in HOSTILE if name.isprintable() and "  " not in name)


def folder_of_a_run(folder: Path, name: str, data: Dataset) -> Any:
    """A finished run's folder as `train` leaves it, without the seconds that training and drawing take."""
    from digitlab import runs
    from digitlab.judging import evaluate
    from digitlab.learning import Recipe

    kept = json.loads((Path(__file__).parent / "data" / "run-format-1" / "run.json").read_text("utf-8"))
    first = {key: value for key, value in kept.items() if key not in ("format", "name", "state", "created")}
    described = {"name": "small", "test_sha256": "ab" * 32, "counts": {"train": 1003, "validation": 200, "test": 300}}
    first |= {"recipe": Recipe().to_dict(), "data": {**kept["data"], **described}, "parameters": 9}
    run = runs.create_run(folder, name, first)
    probabilities = guesses(data.test.labels)
    arrays = {"test_probabilities": probabilities, "test_labels": data.test.labels}
    arrays |= {name.replace("test", "validation"): array[:0] for name, array in arrays.items()}
    runs.write_arrays(run.path / "predictions.npz", arrays)
    metrics = {"format": runs.FORMAT, "test": evaluate(probabilities, data.test.labels).to_dict()}
    runs.write_json(run.path / "metrics.json", metrics)
    (run.path / "history.csv").write_text(runs.history_csv(history(10)))
    (run.path / "report.html").write_text("the report")
    run.update(state="finished", seconds={"total": 4.2})
    return run


def test_from_folders_with_all_that_can_be_wrong(small, tmp_path: Path):
    from typer.testing import CliRunner

    from digitlab import runs
    from digitlab.cli import app

    folder, home = tmp_path / "runs", tmp_path
    good = folder_of_a_run(folder, "good", small)
    for name in ("no-predictions", "bad-history", "bad-corruptions"):
        shutil.copytree(good.path, folder / name)
    (folder / "no-predictions" / "predictions.npz").unlink()
    (folder / "bad-history" / "history.csv").write_text("epoch,loss\n1,x\n")
    (folder / "bad-corruptions" / "corruptions.json").write_text("{}")
    first = {key: value for key, value in good.info.items() if key not in ("format", "name", "state", "created")}
    runs.create_run(folder, "bare", first)
    (folder / "no-json").mkdir()
    (folder / "no-json" / "run.json").write_text("{")
    other = shutil.copytree(good.path, folder / "other")
    runs.Run(other).update(data={**good.info["data"], "name": "other", "test_sha256": "0" * 64})

    done = CliRunner().invoke(app, ["runs", "--runs", str(folder), "--html", str(home / "page.html")])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(home / "page.html")
    html = (home / "page.html").read_text("utf-8")
    page = Page(html)
    assert "7 runs side by side" in page.text
    for trouble in (
        "predictions.npz: not there",
        "history.csv: damaged",
        "corruptions.json: damaged",
        "run.json: damaged",
    ):
        assert trouble in page.text
    links = {a["href"] for tag, a in page.tags if tag == "a" and not (a["href"] or "#").startswith("#")}
    assert "runs/good/report.html" in links and all((home / link).is_file() for link in links)
    assert f"{100 * good.evaluation.accuracy:.2f} %" in page.text
    wrong = CliRunner().invoke(app, ["runs", "good", "--html", "x.html"])
    assert wrong.exit_code == 2 and "--html" in wrong.stderr
    none = CliRunner().invoke(app, ["runs", "--runs", str(home / "nothing"), "--html", str(home / "none.html")])
    assert none.exit_code == 0 and "no runs here yet" in (home / "none.html").read_text("utf-8")


# ---- in a browser


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "runs.html"
    path.write_text(render_runs(mixed(), title="runs"), encoding="utf-8")
    return path


def names(page: Any) -> list[str]:
    return page.eval_on_selector_all("#runs tbody th", "cells => cells.map(cell => cell.dataset.v)")


@needs_browser
def test_groups_sort_as_well(visit, tmp_path):  # noqa: F811
    rows = [
        make_row(f"{name}-seed{seed}", skill, seed, group=name, recipe={"of": name, "seed": seed})
        for name, skill in (("plain", 0.95), ("wide", 0.98))
        for seed in range(2)
    ]
    path = tmp_path / "groups.html"
    path.write_text(render_runs(rows), encoding="utf-8")
    page = visit(path)

    def groups() -> list[str]:
        return page.eval_on_selector_all(".groups tbody th", "cells => cells.map(cell => cell.textContent)")

    assert groups() == ["wide", "plain"]
    page.click(".groups button:has-text('mean accuracy')")
    assert groups() == ["plain", "wide"]
    page.focus(".groups button:has-text('group')")
    page.keyboard.press("Enter")
    assert groups() == ["plain", "wide"]
    page.keyboard.press("Enter")
    assert groups() == ["wide", "plain"]
    assert page.inner_text(".groups tbody tr >> nth=0").endswith("wide-seed0, wide-seed1")


@needs_browser
def test_sorting_by_mouse_and_keyboard(visit, written):  # noqa: F811
    page = visit(written)
    rows = mixed()
    finished = sorted((row for row in rows if row.right is not None), key=lambda row: -row.accuracy)
    missing = [row.name for row in rows if row.right is None]
    assert names(page) == [row.name for row in rows]
    page.click("text=test accuracy")
    assert names(page) == [row.name for row in finished] + missing
    head = page.locator("th", has=page.locator("text=test accuracy"))
    assert head.get_attribute("aria-sort") == "descending"
    page.focus("text=test accuracy")
    page.keyboard.press("Enter")
    assert names(page) == [row.name for row in reversed(finished)] + missing
    assert page.inner_text("#sorted") == "Sorted by test accuracy, ascending"
    page.focus("#runs thead button >> nth=0")
    page.keyboard.press("Space")
    assert names(page) == sorted(row.name for row in rows)


@needs_browser
def test_a_run_pointed_at_stands_out_and_the_curve_tells_values(visit, written):  # noqa: F811
    page = visit(written)
    page.hover("#runs tr[data-run='3'] th")
    assert page.eval_on_selector(".big-chart path.r3", "path => path.classList.contains('on')")
    assert float(page.eval_on_selector(".big-chart path.r0", "path => getComputedStyle(path).opacity")) < 0.5
    page.focus(".big-chart svg")
    page.keyboard.press("ArrowRight")
    tip = page.inner_text(".big-chart .tip")
    assert tip.startswith("epoch 1") and "mlp2-wide" in tip


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_hangs_over_and_all_text_can_be_read(visit, tmp_path, scheme, width):  # noqa: F811
    for count, rows in (("mixed", mixed()), ("many", [make_row(f"run-{'x' * i}", 0.98, i) for i in range(40)])):
        path = tmp_path / f"{count}.html"
        path.write_text(render_runs(rows, title="runs"), encoding="utf-8")
        page = visit(path, width, color_scheme=scheme)
        if width == 390:
            sizes = page.evaluate(
                """() => [...document.querySelectorAll("svg text:not(:empty)")].map((text) => {
                  const svg = text.ownerSVGElement;
                  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
                  return parseFloat(getComputedStyle(text).fontSize) * scale;
                })"""
            )
            assert not sizes or min(sizes) >= 11
            wide = "boxes => boxes.map(box => [box.scrollWidth > box.clientWidth + 2, !box.previousSibling.hidden])"
            for overflows, told in page.eval_on_selector_all(".scroll", wide):
                assert overflows == told
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = page.evaluate(CONTRAST)
        assert found["counted"] > 50 and found["low"] == []
        faint = page.evaluate(
            "[0,1,2,3,4,5,6].map(i => getComputedStyle(document.documentElement).getPropertyValue('--c' + i))"
        )
        assert len(set(faint)) == 7


@needs_browser
def test_without_script_everything_but_sorting_is_there(visit, written):  # noqa: F811
    page = visit(written, java_script_enabled=False)
    assert page.locator("#runs tbody tr").count() == 7
    assert page.locator(".big-chart path.line").count() == 6
    assert page.locator(".whisk .dot").count() == 5
