"""Images as people have them: CSV, arrays of any type, folders of photos; and the table of answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.command import in_process as digitlab
from PIL import Image

from digitlab.data import load
from digitlab.data.arrays import images_from, labels_from
from digitlab.data.csv_images import read_csv
from digitlab.data.dataset import as_dataset
from digitlab.errors import DataError
from digitlab.reading.reader import Reader
from digitlab.runs.predicting import predict

FEW = load().train
HEAD = ",".join(f"pixel{i}" for i in range(784))


def write_csv(path: Path, images: np.ndarray, labels: np.ndarray | None = None) -> Path:
    rows = [",".join(map(str, image.ravel())) for image in images]
    if labels is not None:
        rows = [f"{label},{row}" for label, row in zip(labels, rows, strict=True)]
    path.write_text("\n".join([HEAD if labels is None else f"label,{HEAD}", *rows]) + "\n")
    return path


def test_csv_with_labels_is_a_data_set(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "train.csv", FEW.images[:300], FEW.labels[:300])
    data = load(path, validation=20)
    found = np.concatenate([data.train.images, data.validation.images, data.test.images])
    assert sorted(x.tobytes() for x in found) == sorted(x.tobytes() for x in FEW.images[:300])
    of = {x.tobytes(): y for x, y in zip(FEW.images[:300], FEW.labels[:300], strict=True)}
    assert all(of[x.tobytes()] == y for x, y in zip(data.test.images, data.test.labels, strict=True))
    assert set(data.test.labels.tolist()) == set(range(10))
    assert load(path, validation=20).sha256 == data.sha256


def test_csv_without_labels_is_told_apart(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "test.csv", FEW.images[:5])
    images, labels = read_csv(path)
    assert labels is None and (images == FEW.images[:5]).all()
    with pytest.raises(DataError, match="784 columns and so no labels.*digitlab predict RUN"):
        load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "2 columns, expected 784 pixels"),
        (HEAD + "\n", "no images"),
        (HEAD + "\n" + ",".join(["300"] * 784) + "\n", "line 2 holds other than whole numbers 0 to 255"),
        (HEAD + "\n" + ",".join(["x"] * 784) + "\n", "no table of numbers"),
    ],
)
def test_csv_that_is_none(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_csv(tmp_path / "x.csv")


@pytest.mark.parametrize(
    "given",
    [
        FEW.images[:9],
        FEW.images[:9].reshape(9, 784),
        FEW.images[:9, ..., None].astype(np.int64),
        FEW.images[:9].astype(np.float32),
        FEW.images[:9] / 255,
        (FEW.images[:9] / 255).astype(np.float16).astype(np.float32),
    ],
)
def test_images_of_any_type(given: np.ndarray) -> None:
    assert np.abs(images_from(given).astype(int) - FEW.images[:9]).max() <= (given.dtype == np.float32)


def test_what_is_no_image_or_label() -> None:
    with pytest.raises(DataError, match=r"shape \(2, 32, 32\), expected"):
        images_from(np.zeros((2, 32, 32)))
    with pytest.raises(DataError, match="values from -1 to 1.*Undo the normalisation"):
        images_from(np.array([np.full((28, 28), -1.0), np.full((28, 28), 1.0)]))
    with pytest.raises(DataError, match="values from nan"):
        images_from(np.full((1, 28, 28), np.nan))
    with pytest.raises(DataError, match="of one-hot labels take argmax"):
        labels_from(np.eye(10))
    assert labels_from(np.array([[3], [9]], np.int64)).tolist() == [3, 9]


def test_images_and_labels_alone_are_parted() -> None:
    data = as_dataset((FEW.images[:600] / 255, FEW.labels[:600].astype(np.int64)), validation=50)
    assert (len(data.train), len(data.validation), len(data.test)) == (450, 50, 100)
    assert np.abs(np.bincount(data.test.labels, minlength=10) - np.bincount(FEW.labels[:600]) / 6).max() <= 1


def test_predict_answers_in_kaggles_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "test.csv", FEW.images[:40])
    done = digitlab("predict", "reader", "test.csv", "--out", "submission.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "submission.csv").read_text().splitlines()))
    assert list(rows[0]) == ["ImageId", "Label"] and [row["ImageId"] for row in rows] == [str(i) for i in range(1, 41)]
    expected = Reader().predict(FEW.images[:40])
    assert [int(row["Label"]) for row in rows] == expected.argmax(1).tolist()
    np.savez(tmp_path / "x.npz", x_test=FEW.images[:40] / 255)
    found = predict("reader", tmp_path / "x.npz")
    np.testing.assert_allclose(found.probabilities, expected, atol=0.02)
    assert len(found.to_csv(probabilities=True).splitlines()[1].split(",")) == 12


def test_folder_of_photos(tmp_path: Path) -> None:
    chosen = [int(np.flatnonzero(FEW.labels == digit)[0]) for digit in range(3)]
    for digit, index in enumerate(chosen):
        large = Image.fromarray(255 - FEW.images[index]).resize((200, 200), Image.Resampling.BICUBIC)
        page = Image.new("RGB", (260 + 40 * digit, 300), (250, 240, 220))
        page.paste(large.convert("RGB"), (30, 50))
        (tmp_path / "photos" / str(digit)).mkdir(parents=True)
        page.save(tmp_path / "photos" / str(digit) / f"{digit}.jpg")
        page.save(tmp_path / f"{digit}.jpg")
    (tmp_path / "flat").mkdir()
    for digit in range(3):
        (tmp_path / f"{digit}.jpg").rename(tmp_path / "flat" / f"{digit}.jpg")
    assert predict("reader", tmp_path / "flat", prepare="photo").labels == ["0", "1", "2"]
    assert predict("reader", tmp_path / "flat", prepare="resize").names == ("0.jpg", "1.jpg", "2.jpg")
    with pytest.raises(DataError, match="expected 28 x 28"):
        predict("reader", tmp_path / "flat")
    done = digitlab("collect", "photos", "--prepare", "photo", cwd=tmp_path)
    assert done.returncode == 0 and "photos: 3 images" in done.stdout, done.stderr
    assert len(list((tmp_path / "my-digits").glob("[012]/*.png"))) == 3
    assert "nothing added" in digitlab("collect", "photos", "--prepare", "photo", cwd=tmp_path).stdout


@pytest.mark.slow
def test_train_brings_class_folders_of_any_size_to_28_by_28(tmp_path: Path) -> None:
    for digit in range(3):
        (tmp_path / "photos" / str(digit)).mkdir(parents=True)
        for number, index in enumerate(np.flatnonzero(FEW.labels == digit)[:12]):
            image = Image.fromarray(255 - FEW.images[index]).resize((60, 60), Image.Resampling.BICUBIC)
            image.save(tmp_path / "photos" / str(digit) / f"{number}.png")
    command = ("train", "linear", "--data", "photos", "--prepare", "photo", "--epochs", "1", "--validation", "3")
    done = digitlab(*command, "--name", "mine", cwd=tmp_path)
    assert done.returncode == 0 and "36 images of photos brought to 28 x 28" in done.stderr, done.stderr
    info = json.loads((tmp_path / "runs" / "mine" / "run.json").read_text("utf-8"))
    assert info["data"]["source"].endswith("photos-28x28-photo") and sum(info["data"]["counts"].values()) == 36
    for wrong in (("--data", "none"), ()):
        done = digitlab("train", "linear", *wrong, "--prepare", "photo", cwd=tmp_path)
        assert done.returncode == 2 and "takes --data FOLDER" in done.stderr


def test_predict_says_what_is_wrong(tmp_path: Path) -> None:
    for arguments, said in (
        (("reader", "none.csv"), "none.csv: cannot be read"),
        (("no-run", "x.csv"), "no such run"),
        (("reader", "x.txt"), "expected a .csv, a .npz or a folder"),
        (("reader", "x.csv", "--prepare", "magic"), "--prepare: got 'magic'"),
    ):
        done = digitlab("predict", *arguments, cwd=tmp_path)
        assert done.returncode == 1 and said in done.stderr
