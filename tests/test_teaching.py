"""Fine-tuning on own images: what is held back, what is remembered, and that the result is a run like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.command import in_process as digitlab
from helpers.command import without_figures
from helpers.doc_pages import first_column

from digitlab.collecting import Collection, teaching
from digitlab.collecting.collection import Kept, Labelled, png_of
from digitlab.collecting.own_images import hold_back, read_own_images
from digitlab.data import load
from digitlab.errors import DataError, RunError
from digitlab.learning.onnx_import import keras_from_onnx
from digitlab.learning.predict import predict
from digitlab.learning.recipe import RECIPES
from digitlab.reading.reader import BUNDLED, Reader
from digitlab.runs import open_run
from digitlab.runs.training import train

DIGITS = tuple("0123456789")


def kept(writer: str, source: str, count: int) -> list[Kept]:
    return [Kept(Path(f"{n % 10}/{source}{n}.png"), str(n % 10), writer, source) for n in range(count)]


def test_whole_sheets_are_held_back_where_there_are_several() -> None:
    images = tuple(kept("anna", "a", 30) + kept("anna", "b", 30) + kept("ben", "c", 30) + kept("anna", "d", 3))
    parted = hold_back(images, 0.2)
    judge, learn = ({images[i].source for i in part} for part in (parted.judge, parted.learn))
    assert parted.by == "sheet" and not judge & learn and len(judge) == 1 and judge < {"a", "b"}
    assert sorted([*parted.judge, *parted.learn]) == list(range(len(images)))


def test_whole_writers_are_held_back_where_each_has_one_sheet() -> None:
    images = tuple(kept("anna", "a", 30) + kept("ben", "b", 30) + kept("eve", "c", 30))
    parted = hold_back(images, 0.2)
    assert parted.by == "writer" and len({images[i].writer for i in parted.judge}) == 1
    assert {images[i].writer for i in parted.judge} & {images[i].writer for i in parted.learn} == set()


def test_one_sheet_gives_images_of_every_class() -> None:
    images = tuple(kept("anna", "a", 120))
    parted = hold_back(images, 0.25)
    assert parted.by == "image"
    assert np.bincount([int(images[i].label) for i in parted.judge]).tolist() == [3] * 10
    assert len(hold_back(images, 0.0).judge) == 0
    with pytest.raises(DataError, match="--held-back: got 1"):
        hold_back(images, 1)


def test_judged_counts_pairs() -> None:
    labels = np.arange(200) % 10
    before, after = labels.copy(), labels.copy()
    before[:40] = 11
    after[:5] = 12
    found = teaching.judged(labels, before, after)
    assert (found.before, found.after, found.gained, found.lost) == (160, 195, 35, 0)
    assert found.verdict == "better" and found.interval and found.interval[0] < 17.5 < found.interval[1]
    assert teaching.judged(labels, after, before).verdict == "worse"
    assert teaching.judged(labels[:0], before[:0], after[:0]).verdict == "too few to tell"


@pytest.mark.slow
def test_readers_network_as_a_keras_model_says_the_same() -> None:
    images = load().train.images[:64]
    expected = Reader().model.probabilities(images)  # ONNX Runtime
    model = keras_from_onnx(BUNDLED / "digits.onnx")
    np.testing.assert_allclose(predict(model, images), expected, atol=1e-5)
    assert not any(type(layer).__name__ == "BatchNormalization" for layer in model.layers)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand that writes each digit upside down and always alike: hardly read, but soon learned."""
    folder = tmp_path_factory.mktemp("teaching") / "my-digits"
    train_images, rng = load().train, np.random.default_rng(0)
    collection = Collection(folder)
    for number in range(2):
        items = []
        for digit in range(10):
            upside_down = train_images.images[np.flatnonzero(train_images.labels == digit)[0]][::-1]
            for place in range(12):
                image = np.roll(upside_down, tuple(rng.integers(-1, 2, 2)), (0, 1))
                items.append(Labelled(np.ascontiguousarray(image), digit, f"r{digit}c{place:02d}", (0, 0, 1, 1)))
        collection.add(items, writer="anna", origin="sheet", source=f"{number}.jpg", digest=f"{number}" * 64)
    return folder


@pytest.fixture(scope="module")
def taught(own: Path) -> tuple[Path, dict[str, object]]:
    runs = own.parent / "runs"
    with pytest.MonkeyPatch.context() as patch, without_figures():
        patch.setattr(teaching, "OLD_IMAGES", 1500)
        train("mlp", epochs=1, batch_size=128, hidden=(32,), peak_rate=1e-2, folder=runs, name="parent")
        run, found = teaching.fine_tune("parent", own, folder=runs, name="anna", epochs=8, peak_rate=3e-3)
    return run.path, found.as_dict()


@pytest.mark.slow
def test_taught_run_reads_the_new_hand(taught: tuple[Path, dict[str, object]], own: Path) -> None:
    path, found = taught
    run = open_run(path)
    assert run.state == "finished" and run.info["parent"]["name"] == "parent"
    assert run.info["own_images"]["held_back_by"] == "sheet" and run.info["own_images"]["learned"] == 120
    assert json.loads((path / "teaching.json").read_text())["own"] == json.loads(json.dumps(found["own"]))
    # By another way: the images held back, through the ONNX file that the Reader uses.
    images = read_own_images(own, DIGITS)
    judge = hold_back(images.kept, 0.2).judge
    right = Reader(path).predict(images.images[judge]).argmax(1) == images.labels[judge]
    assert int(right.sum()) == found["own"]["after"] > found["own"]["before"] + 20  # type: ignore[index]
    assert found["own"]["verdict"] == "better"  # type: ignore[index]


@pytest.mark.slow
def test_taught_run_is_believed_more_than_the_networks_of_pages(
    taught: tuple[Path, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They know no single hand: a stroke that a taught network is sure to be this hand's 7 is one; another's is a 1."""
    path, _ = taught
    page = np.full((120, 200), 255, np.uint8)
    page[20:90, 95:103] = 0
    sure = np.full((1, 10), 0.001, np.float32)
    sure[0, 7] = 0.991
    monkeypatch.setattr(Reader, "predict", lambda self, images: np.repeat(sure, len(images), 0))
    assert Reader(path.parent / "parent").read(page).text == "1"
    assert Reader(path).read(page).text == "7"


@pytest.mark.slow
def test_taught_run_is_judged_on_the_parents_test_images(taught: tuple[Path, dict[str, object]]) -> None:
    path, found = taught
    run, parent = open_run(path), open_run(path.parent / "parent")
    assert run.info["data"]["sha256"] == parent.info["data"]["sha256"] and run.evaluation.samples == 10000
    assert found["old"]["before"] == parent.evaluation.correct  # type: ignore[index]
    assert found["old"]["after"] == run.evaluation.correct  # type: ignore[index]
    assert run.evaluation.accuracy > parent.evaluation.accuracy - 0.02  # it forgot little
    done = digitlab("evaluate", str(path), cwd=path.parent)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_a_taught_run_adds_to_run_json_is_as_described(taught: tuple[Path, dict[str, object]]) -> None:
    info = open_run(taught[0]).info
    page = (Path(__file__).parents[1] / "docs" / "run-format.md").read_text("utf-8")
    described = {key for key in first_column(page, "run.json") if key.startswith(("parent.", "own_images."))}
    assert described == {f"{part}.{key}" for part in ("parent", "own_images") for key in info[part]}


@pytest.mark.slow
def test_taught_run_is_not_resumed(taught: tuple[Path, dict[str, object]]) -> None:
    from digitlab.runs.training import resume

    run = open_run(taught[0])
    run.update(state="interrupted")
    try:
        with pytest.raises(RunError, match="a taught run is not resumed"):
            resume(run.path)
    finally:
        run.update(state="finished")


def test_readers_recipe_for_teaching() -> None:
    recipe = teaching.recipe_for(teaching.parent_of("reader"), 96, {"epochs": 4})
    assert recipe.epochs == 4 and recipe.peak_rate < RECIPES["tiny"].peak_rate / 8 and recipe.shift > 0
    assert recipe.description == "reader, taught 96 own images"


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_own_images(tmp_path / "none", DIGITS)
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="no images, expected sub-folders"):
        read_own_images(tmp_path, DIGITS)
    (tmp_path / "x" / "a.png").write_bytes(png_of(np.zeros((28, 28), np.uint8)))
    with pytest.raises(DataError, match="class 'x' is not one of the network's"):
        read_own_images(tmp_path, DIGITS)
    done = digitlab("train", "--from", "reader", cwd=tmp_path)
    assert done.returncode == 2 and "--from takes --data FOLDER" in done.stderr
