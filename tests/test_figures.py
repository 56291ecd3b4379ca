from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.command import NoDrawer
from helpers.judged_material import DIGITS, HOSTILE, history, make_content, pictures

from digitlab.errors import DigitlabError, RunError
from digitlab.judging.calibration import measure_reliability
from digitlab.runs import training
from digitlab.showing import figures
from digitlab.showing.figures.canvas import BLUE, GREEN, VERMILLION
from digitlab.showing.figures.process import Drawer
from digitlab.showing.mosaic import mosaic


@pytest.fixture(scope="module")
def content() -> figures.FigureContent:
    run = make_content(600)
    images, labels = pictures()
    return figures.FigureContent(
        class_names=run.class_names,
        train_images=images[-300:],
        train_labels=labels[-300:],
        history=run.history,
        images=run.images,
        labels=run.labels,
        probabilities=run.probabilities,
        evaluation=run.evaluation,
    )


@pytest.fixture(scope="module")
def drawn(content, tmp_path_factory) -> list[Path]:
    """All figures, drawn in this process."""
    return figures.save_figures(tmp_path_factory.mktemp("drawn"), content)


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_samples_show_the_pictures_of_each_class_in_its_row():
    images, labels = pictures()
    ax = figures.draw_samples(images[:500], labels[:500], DIGITS, per_class=4)
    assert texts(ax) == [digit for digit in DIGITS for _ in range(4)]
    sheet = np.asarray(ax.images[0].get_array())
    threes = images[:500][labels[:500] == 3]
    height, width = sheet.shape[0] // 10, sheet.shape[1] // 4
    for column in range(4):
        tile = sheet[3 * height : 3 * height + 28, column * width : column * width + 28]
        np.testing.assert_array_equal(tile, threes[column])


def test_a_class_with_few_pictures_leaves_the_others_in_their_rows():
    images, labels = np.zeros((4, 28, 28), np.uint8), np.array([0, 1, 1, 1])
    assert texts(figures.draw_samples(images, labels, ["a", "b"], per_class=3)) == ["a", "", "", "b", "b", "b"]


def test_mosaic_holds_every_picture_where_its_caption_goes():
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
    sheet = mosaic(images, columns=3, gap=2, caption=1)
    assert sheet.shape == (3 * 8, 3 * 6)
    for index, image in enumerate(images):
        row, column = divmod(index, 3)
        np.testing.assert_array_equal(sheet[row * 8 : row * 8 + 5, column * 6 : column * 6 + 4], image)


def test_curves_draw_the_columns_of_the_history():
    columns = history(5)
    loss, accuracy, rate = figures.draw_curves(columns)
    drawn = {line.get_label(): line for line in loss.lines}
    assert list(drawn) == ["training", "validation"]
    np.testing.assert_array_equal(drawn["validation"].get_ydata(), columns["val_loss"])
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), columns["accuracy"])
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), columns["learning_rate"])
    # The same two series must not be told apart by colour alone.
    assert drawn["training"].get_marker() != drawn["validation"].get_marker()


@pytest.mark.parametrize("epochs", [1, 2, 7, 40])
def test_epochs_are_whole_numbers_on_the_axis(epochs):
    for ax in figures.draw_curves(history(epochs, validation=False)):
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick == round(tick) for tick in ticks)
        assert len(ax.lines) == 1


def test_curves_leave_the_learning_rate_out_where_there_is_none():
    columns = {name: values for name, values in history(3).items() if name != "learning_rate"}
    assert len(figures.draw_curves(columns)) == 2


def test_confusion_by_count_says_every_number_and_colours_only_mistakes():
    confusion = np.array([[50, 0, 2], [1, 40, 0], [0, 9, 31]])
    ax = figures.draw_confusion(confusion, ["a", "b", "c"])
    said = {tuple(int(place) for place in text.get_position()): text.get_text() for text in ax.texts}
    for row in range(3):
        for column in range(3):
            assert said[column, row] == (str(confusion[row, column]) if confusion[row, column] else "")
    diagonal, mistakes = (mesh.get_array().reshape(3, 3) for mesh in ax.collections)
    assert np.array_equal(np.ma.getmaskarray(diagonal), ~np.eye(3, dtype=bool))
    assert np.array_equal(np.ma.getmaskarray(mistakes), np.eye(3, dtype=bool))
    # One mistake can be told from none: its colour lies well away from the scale's start.
    norm = ax.collections[1].norm
    assert norm(1) > 0.3
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]


def test_confusion_by_row_is_in_per_cent_of_the_true_class():
    ax = figures.draw_confusion(np.array([[3, 1], [0, 0]]), ["a", "b"], by="row")
    assert texts(ax) == ["75.0", "", "25.0", ""]


def test_a_matrix_of_many_classes_or_without_mistakes_can_be_drawn():
    assert texts(figures.draw_confusion(np.eye(30, dtype=int) * 4, [str(i) for i in range(30)])) == []
    assert texts(figures.draw_confusion(np.diag([4, 5]), ["a", "b"]))[:2] == ["4", "5"]


def test_text_on_the_heat_map_can_be_read():
    from matplotlib.colors import to_rgb

    def luminance(colour) -> float:
        channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(channels, [0.2126, 0.7152, 0.0722]))

    confusion = np.arange(1, 101).reshape(10, 10)
    ax = figures.draw_confusion(confusion, DIGITS)
    ax.figure.draw_without_rendering()
    for mesh, said in zip(ax.collections, (ax.texts[:10], ax.texts[10:]), strict=True):
        grounds = mesh.get_facecolors()[~np.ma.getmaskarray(mesh.get_array()).ravel()]
        for text, ground in zip(said, grounds, strict=True):
            low, high = sorted((luminance(text.get_color()), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, text.get_text()


def test_predictions_are_the_same_sample_each_time_and_say_the_true_label():
    run = make_content(300)
    ax = figures.draw_predictions(run.images, run.labels, run.probabilities, DIGITS, count=20, seed=3)
    again = figures.draw_predictions(run.images, run.labels, run.probabilities, DIGITS, count=20, seed=3)
    assert texts(ax) == texts(again)
    assert len(ax.texts) == 20
    for text in ax.texts:
        read, true = text.get_text().split("\n")[0].split(", true ")
        assert text.get_color() == (BLUE if read == true else VERMILLION)


def test_mistakes_come_surest_first_with_doubtful_labels_flagged():
    run = make_content(600, skill=2.0)
    e = run.evaluation
    ax = figures.draw_mistakes(
        run.images, run.labels, run.probabilities, DIGITS, mistakes=e.mistakes, doubtful=e.mistakes[:2].tolist()
    )
    assert [text.get_color() for text in ax.texts[:3]] == [GREEN, GREEN, VERMILLION]
    assert [("†" in said) for said in texts(ax)[:3]] == [True, True, False]
    for text, index in zip(ax.texts, e.mistakes, strict=False):
        assert text.get_text().startswith(f"{run.labels[index]} → {e.predicted[index]}\n")
    assert f"of {len(e.mistakes):,}" in ax.get_title(loc="left")
    # Worked out alone it is the same.
    alone = figures.draw_mistakes(run.images, run.labels, run.probabilities, DIGITS, doubtful=e.mistakes[:2].tolist())
    assert texts(alone) == texts(ax)


def test_no_mistakes_is_a_sentence_and_no_picture():
    run = make_content(50, skill=40.0)
    ax = figures.draw_mistakes(run.images, run.labels, run.probabilities, DIGITS)
    assert not ax.images
    assert "all 50 images" in texts(ax)[0]


def test_reliability_draws_the_filled_bins_before_and_after():
    run = make_content(600)
    before, after = run.evaluation.reliability, run.evaluation.calibrated_reliability
    diagram, counts = figures.draw_reliability(before, after)
    filled = before.counts > 0
    np.testing.assert_allclose(
        diagram.lines[1].get_xydata(), 100 * np.stack([before.confidence, before.accuracy], 1)[filled]
    )
    np.testing.assert_allclose(diagram.lines[2].get_ydata(), 100 * after.accuracy[after.counts > 0])
    heights = [bar.get_height() for container in counts.containers for bar in container]
    np.testing.assert_array_equal(heights, np.concatenate([before.counts, after.counts]))
    assert len(figures.draw_reliability(before)[0].lines) == 2


def test_drawing_on_given_axes_draws_nowhere_else():
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    figure = Figure()
    ax, other = figure.subplots(1, 2)
    assert figures.draw_confusion(np.eye(3, dtype=int), ["a", "b", "c"], ax=ax) is ax
    assert figures.draw_reliability(measure_reliability([[0.9, 0.1]], [0]), axes=[ax, other])[1] is other
    assert not pyplot.get_fignums()


@pytest.mark.slow
def test_names_are_never_read_as_mathematics(content, tmp_path):
    # "$\frac{" in a class name would otherwise be an error of Matplotlib's own small TeX.
    names = ["$\\frac{", "a_b$", *HOSTILE, "x", "y", "z"]
    run = make_content(300, class_names=names)
    hostile = figures.FigureContent(
        names, run.images, run.labels, run.history, run.images, run.labels, run.probabilities, run.evaluation
    )
    for path in figures.save_figures(tmp_path, hostile):
        if path.suffix == ".svg":
            ElementTree.parse(path)  # noqa: S314


@pytest.mark.slow
def test_saved_figures_are_complete(drawn):
    from PIL import Image

    assert [path.name for path in drawn] == [f"{name}.{kind}" for name in figures.FIGURES for kind in ("png", "svg")]
    assert sorted(path.name for path in drawn[0].parent.iterdir()) == sorted(path.name for path in drawn)
    for path in drawn[::2]:
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert len(set(image.convert("L").resize((40, 40)).tobytes())) > 3
    for path in drawn[1::2]:
        assert "<dc:date>" not in path.read_text("utf-8")


def test_a_failed_write_leaves_the_old_figure(content, tmp_path, monkeypatch):
    old = tmp_path / "sample-images.png"
    old.write_bytes(b"old")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DigitlabError, match="No space left"):
        figures.save_figures(tmp_path, content)
    assert old.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["sample-images.png"]


def test_content_travels_to_another_process(content):
    again = pickle.loads(pickle.dumps(content))
    np.testing.assert_array_equal(again.evaluation.mistakes, content.evaluation.mistakes)


@pytest.mark.slow
def test_the_drawing_process_takes_figures_one_order_after_another(content, drawn, tmp_path):
    """Samples, then curves, then the rest in two processes: the same bytes again as drawn here at once."""
    early = dataclasses.replace(content, evaluation=None, images=content.images[:0], labels=content.labels[:0])
    with Drawer() as drawer:
        drawer.draw(tmp_path, dataclasses.replace(early, history={}), figures.OF_DATA)
        drawer.draw(tmp_path, early, figures.OF_TRAINING)
        drawer.draw(tmp_path, content, figures.OF_RESULT)
        drawer.wait()
    assert (*figures.OF_DATA, *figures.OF_TRAINING, *figures.OF_RESULT) == figures.FIGURES
    for path in drawn:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_a_figure_that_cannot_be_drawn_is_said_and_a_stopped_run_ends_the_drawing(content, tmp_path):
    for names in (figures.OF_RESULT, figures.OF_RESULT[1:2]):  # one of them is drawn by the copy
        with Drawer() as drawer:
            drawer.draw(tmp_path, dataclasses.replace(content, evaluation=None), names)
            with pytest.raises(RunError, match="could not be drawn .*NoneType"):
                drawer.wait()
    drawer = Drawer()
    drawer.__enter__()
    drawer.draw(tmp_path, content, figures.FIGURES)
    drawer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert drawer._process.returncode is not None


def test_a_run_has_each_figure_drawn_as_soon_as_there_is_something_to_draw(small, tmp_path, monkeypatch):
    orders = []

    class Recorder(NoDrawer):
        def draw(self, folder, content, names):
            orders.append((names, {path.name for path in folder.parent.iterdir()}, len(content.images)))

    monkeypatch.setattr("digitlab.showing.figures.process.Drawer", Recorder)
    training.train("linear", data=small, epochs=1, folder=tmp_path)
    (of_data, begun, _), (of_training, trained, none), (of_result, judged, images) = orders
    assert (of_data, of_training, of_result) == (figures.OF_DATA, figures.OF_TRAINING, figures.OF_RESULT)
    assert "history.csv" not in begun
    assert "history.csv" in trained
    assert "metrics.json" in judged - trained
    assert "model.keras" not in judged  # saved while the figures are drawn
    assert (none, images) == (0, len(small.test))


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, json, digitlab.showing.figures, digitlab.showing; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert not {"matplotlib", "seaborn", "jinja2", "PIL", "keras", "jax", "sklearn"} & set(loaded)
