from __future__ import annotations

import gzip
import io
import re
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from digitlab.data import class_folders, idx, load, sources
from digitlab.data.dataset import Dataset
from digitlab.errors import DataError

IDX_NAMES = tuple(sources.MNIST_SHA256)
RNG = np.random.default_rng(5)


def strokes(count: int, seed: int = 0) -> np.ndarray:
    """Different pictures of bright ink on 0 with an empty border."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 6:22, 6:22] = np.random.default_rng(seed).integers(0, 256, (count, 16, 16), np.uint8)
    return images


def four_arrays(train: int = 40, test: int = 20) -> list[np.ndarray]:
    labels = np.arange(train + test, dtype=np.uint8) % 10
    images = strokes(train + test)
    return [images[:train], labels[:train], images[train:], labels[train:]]


def write_idx(folder: Path, arrays: list[np.ndarray], names: tuple[str, ...] = IDX_NAMES) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in zip(names, arrays, strict=True):
        idx.write(folder / name, array)
    return folder


def write_pictures(folder: Path, images: np.ndarray, labels: np.ndarray, names: list[str] | None = None) -> Path:
    for position, (image, label) in enumerate(zip(images, labels, strict=True)):
        target = folder / (names[label] if names else str(label))
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target / f"{position}.png")
    return folder


def same(one: Dataset, other: Dataset) -> None:
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, split).images, getattr(other, split).images)
        np.testing.assert_array_equal(getattr(one, split).labels, getattr(other, split).labels)
    assert one.sha256 == other.sha256
    assert one.class_names == other.class_names
    assert one.doubtful == other.doubtful


def refused(path: Path, *words: str) -> str:
    with pytest.raises(DataError) as caught:
        load(path, validation=0)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


# Bundled MNIST


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(sources.BUNDLED, tmp_path / "bundled")
    return tmp_path / "bundled"


@pytest.mark.parametrize("name", IDX_NAMES)
def test_a_changed_pixel_or_label_is_noticed(copied: Path, name: str) -> None:
    content = bytearray(gzip.decompress((copied / f"{name}.gz").read_bytes()))
    content[-1] ^= 1
    (copied / f"{name}.gz").write_bytes(gzip.compress(bytes(content), compresslevel=1))
    with pytest.raises(
        DataError, match=rf"{name}\.gz: sha256 [0-9a-f]{{64}} unpacked, expected {sources.MNIST_SHA256[name]}"
    ):
        sources.bundled(copied)


@pytest.mark.parametrize("name", IDX_NAMES)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_flipped_byte_of_a_packed_file_is_noticed(copied: Path, name: str, share: float) -> None:
    content = bytearray((copied / f"{name}.gz").read_bytes())
    content[int(share * len(content))] ^= 0x10
    (copied / f"{name}.gz").write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}\.gz.*reinstall"):
        sources.bundled(copied)


def test_a_missing_bundled_file(copied: Path) -> None:
    (copied / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz: no such file.*reinstall"):
        sources.bundled(copied)


# One data set through every door


def test_every_door_gives_the_same_data_set(tmp_path: Path) -> None:
    images = np.concatenate([strokes(130, 1)])
    labels = RNG.integers(0, 10, 130).astype(np.uint8)
    labels[:20] = np.arange(20) % 10
    from_pictures = load(write_pictures(tmp_path / "pictures", images, labels), validation=10)
    whole = load(tmp_path / "pictures", validation=0)
    arrays = [whole.train.images, whole.train.labels, whole.test.images, whole.test.labels]
    assert len(whole.train) + len(whole.test) == 130

    same(from_pictures, load(write_idx(tmp_path / "idx", arrays), validation=10))
    packed = tuple(f"{name}.gz" for name in IDX_NAMES)
    same(from_pictures, load(write_idx(tmp_path / "packed", arrays, packed), validation=10))
    dots = tuple(name.replace("-idx", ".idx") for name in IDX_NAMES)
    same(from_pictures, load(write_idx(tmp_path / "dots", arrays, dots), validation=10))
    keras = dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True))
    np.savez_compressed(tmp_path / "keras.npz", **keras)
    same(from_pictures, load(tmp_path / "keras.npz", validation=10))
    channel = {
        name: array[..., None] if name[0] == "x" else array.astype(np.int64)[:, None] for name, array in keras.items()
    }
    np.savez(tmp_path / "channel.npz", **channel)
    same(from_pictures, load(str(tmp_path / "channel.npz"), validation=10))
    write_pictures(tmp_path / "split" / "train", arrays[0], arrays[1])
    write_pictures(tmp_path / "split" / "test", arrays[2], arrays[3])
    same(from_pictures, load(tmp_path / "split", validation=10))
    assert from_pictures.name == "pictures"
    assert from_pictures.source == str(tmp_path / "pictures")


def test_mnist_from_a_folder_keeps_its_doubtful_labels() -> None:
    found = load(sources.BUNDLED)
    same(found, load())
    assert len(found.doubtful) == 15
    assert found.name == "bundled"


def test_the_hash_sees_every_part(tmp_path: Path) -> None:
    arrays = four_arrays()
    seen = {load(write_idx(tmp_path / "whole", arrays), validation=0).sha256}
    for position in range(4):
        changed = [array.copy() for array in arrays]
        changed[position].flat[3] ^= 1
        seen.add(load(write_idx(tmp_path / str(position), changed), validation=0).sha256)
    seen.add(load(write_idx(tmp_path / "moved", [*arrays[2:], *arrays[:2]]), validation=0).sha256)
    assert len(seen) == 6


# Folders of IDX files


def test_unpacked_file_is_read_where_both_lie_there(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "both", four_arrays())
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"never read")
    assert len(load(folder, validation=0).train) == 40


def test_qmnist(tmp_path: Path) -> None:
    arrays = four_arrays()
    folder = tmp_path / "qmnist"
    folder.mkdir()
    for split, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        idx.write(folder / f"qmnist-{split}-images-idx3-ubyte.gz", images)
        matrix = np.zeros((len(labels), 8), ">i4")
        matrix[:, 0] = labels
        matrix[:, 2:] = 70_000
        content = struct.pack(">III", 0xC02, *matrix.shape) + matrix.tobytes()
        (folder / f"qmnist-{split}-labels-idx2-int.gz").write_bytes(gzip.compress(content))
    same(load(folder, validation=5), load(write_idx(tmp_path / "plain", arrays), validation=5))


def test_emnist_is_turned_upright(tmp_path: Path) -> None:
    arrays = four_arrays()
    names = tuple(f"emnist-digits-{name.replace('t10k', 'test')}.gz" for name in IDX_NAMES)
    turned = [array.transpose(0, 2, 1) if array.ndim == 3 else array for array in arrays]
    same(
        load(write_idx(tmp_path / "emnist", turned, names), validation=0),
        load(write_idx(tmp_path / "plain", arrays), validation=0),
    )


def test_idx_errors_name_file_and_remedy(tmp_path: Path) -> None:
    arrays = four_arrays()
    names = [tmp_path / "d" / name for name in IDX_NAMES]

    def fresh() -> Path:
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
        return write_idx(tmp_path / "d", arrays)

    folder = fresh()
    names[0].rename(tmp_path / "x")
    names[1].rename(names[0])
    (tmp_path / "x").rename(names[1])
    refused(folder, "train-images-idx3-ubyte: magic number 0x00000801 (labels)", "Are the two files swapped?")

    folder = fresh()
    names[2].write_bytes(names[2].read_bytes()[:-1])
    refused(folder, str(names[2]), "15,679 bytes", "expected 15,680", "cut off")

    folder = fresh()
    names[2].write_bytes(b"<!DOCTYPE html>")
    refused(folder, str(names[2]), "magic number 0x3c21444f, expected 0x00000803")

    folder = fresh()
    idx.write(names[1], arrays[1][:-1])
    refused(folder, str(names[1]), "39 labels for the 40 images", "train-images-idx3-ubyte", "belong together?")

    folder = fresh()
    idx.write(names[3], np.array([1, 2, 10, *[0] * 17], np.uint8))
    refused(folder, str(names[3]), "label 10 at position 2", "expected 0 to 9")

    folder = fresh()
    idx.write(names[0], np.zeros((40, 32, 30), np.uint8))
    refused(folder, str(names[0]), "32 x 30 pixels", "expected 28 x 28")

    folder = fresh()
    names[3].unlink()
    refused(folder, str(folder), "t10k-labels-idx1-ubyte (or with .gz) missing")

    folder = fresh()
    idx.write(names[2], arrays[2][:0])
    idx.write(names[3], arrays[3][:0])
    refused(folder, str(names[2]), "no images")

    folder = fresh()
    shutil.copy(names[0], folder / "emnist-letters-train-images-idx3-ubyte")
    refused(folder, "emnist-letters-train-images-idx3-ubyte", "expected one file of train images", "own folder")

    folder = fresh()
    names[1].unlink()
    names[1].mkdir()
    refused(folder, "train-labels-idx1-ubyte (or with .gz) missing")


# Paths that hold nothing


def test_paths_without_data(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere: no such file or folder", "Check the path")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").touch()
    refused(tmp_path / "empty", "an empty folder", "expected four IDX files")
    one = write_idx(tmp_path / "idx", four_arrays()) / IDX_NAMES[0]
    refused(one, "one IDX file", f"Give the folder they lie in: {one.parent}")
    (tmp_path / "flat").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "flat" / "a.png")
    refused(tmp_path / "flat", "holds a.png", "one folder per class")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "no readable .npz (File is not a zip file)")


# .npz


def save_npz(path: Path, **changes: np.ndarray | None) -> Path:
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), four_arrays(), strict=True))
    arrays.update({name: array for name, array in changes.items() if array is not None})
    np.savez(path, **{name: array for name, array in arrays.items() if changes.get(name, array) is not None})
    return path


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("y_test", None, ["y_test missing", "expected x_train, y_train, x_test, y_test"]),
        ("x_train", np.zeros((40, 28, 28), np.float32), ["x_train has type float32", "Scale it back to 0..255"]),
        ("x_train", np.full((40, 28, 28), 300, np.int16), ["x_train holds 300 to 300"]),
        ("x_train", np.zeros((40, 784), np.uint8), ["x_train has shape (40, 784)", "expected (n, 28, 28)"]),
        ("x_train", np.zeros((40, 28, 28, 3), np.uint8), ["x_train has shape (40, 28, 28, 3)"]),
        ("x_train", np.zeros((40, 32, 32), np.uint8), ["x_train: images of 32 x 32 pixels, expected 28 x 28"]),
        ("y_train", np.zeros(39, np.uint8), ["y_train: 39 labels for the 40 images"]),
        ("y_train", np.full(40, 12), ["y_train: label 12 at position 0, expected 0 to 9"]),
        ("y_train", np.full(40, -1), ["y_train holds -1 to -1"]),
        ("y_train", np.eye(40, 10, dtype=np.uint8), ["y_train has shape (40, 10)", "expected (n,) of integers 0..9"]),
        ("y_train", np.array(["five"] * 40, object), ["y_train has type object"]),
    ],
)
def test_npz_refused(tmp_path: Path, name: str, array: np.ndarray | None, words: list[str]) -> None:
    path = save_npz(tmp_path / "data.npz", **{name: array})
    refused(path, str(path), *words)


def test_npz_header_that_lies_allocates_nothing(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 28, 28)})
    path = tmp_path / "lies.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(100))
    refused(path, "x_train announces 784,000,000,000,000 bytes", "damaged?")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.data())
def test_damaged_npz_gives_data_or_a_data_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(save_npz(tmp_path / "small.npz").read_bytes())
    # Where the structure is: the first header, and the directory at the end.
    places = st.one_of(st.integers(0, 200), st.integers(len(content) - 400, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    (tmp_path / "small.npz").write_bytes(content)
    try:
        load(tmp_path / "small.npz", validation=0)
    except DataError as error:
        message = str(error)
    else:
        message = f"{tmp_path / 'small.npz'}: fine"
    assert re.fullmatch(rf"{re.escape(str(tmp_path / 'small.npz'))}: .+", message)


# Folders of pictures


def test_classes_sort_as_people_do_and_every_stretch_is_stratified(tmp_path: Path) -> None:
    names = ["10", "2", "a", "1"]
    sizes = [60, 30, 12, 18]
    labels = np.repeat(np.arange(4), sizes)
    folder = write_pictures(tmp_path / "d", strokes(120), labels, names)
    (folder / ".hidden").mkdir()
    (folder / "1" / "Thumbs.db").write_bytes(b"not a picture")
    dataset = load(folder, validation=20)
    assert dataset.class_names == ("1", "2", "10", "a")
    assert np.bincount(dataset.test.labels).tolist() == [3, 5, 10, 2]  # a sixth of each
    assert np.bincount(dataset.validation.labels).tolist() == [3, 5, 10, 2]  # 20 of 100, in the classes' shares
    # Each picture has its own class's label: found again by its pixels.
    truth = {image.tobytes(): names[label] for image, label in zip(strokes(120), labels, strict=True)}
    for split in (dataset.train, dataset.validation, dataset.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert truth.pop(image.tobytes()) == dataset.class_names[label]
    assert truth == {}


def test_file_names_do_not_matter(tmp_path: Path) -> None:
    images, labels = strokes(48), np.arange(48) % 4
    one = write_pictures(tmp_path / "one", images, labels)
    other = write_pictures(tmp_path / "other", images[::-1], labels[::-1])
    same(load(one, validation=4), load(other, validation=4))


def test_light_paper_is_inverted_once_for_all(tmp_path: Path) -> None:
    images, labels = strokes(48), np.arange(48) % 4
    images[0] = 255  # one picture of ink all over changes nothing
    dark = load(write_pictures(tmp_path / "dark", images, labels), validation=0)
    light = load(write_pictures(tmp_path / "light", 255 - images, labels), validation=0)
    both = [np.concatenate([dataset.train.images, dataset.test.images]) for dataset in (dark, light)]
    for found in both:
        assert {image.tobytes() for image in found} == {image.tobytes() for image in images}


def test_clothes_that_reach_the_border_stay_as_they_are(tmp_path: Path) -> None:
    images = np.zeros((24, 28, 28), np.uint8)
    images[:, 10:18] = RNG.integers(100, 256, (24, 8, 28), np.uint8)  # bands from border to border
    images[:8, :, 3:25] = 200
    found = load(write_pictures(tmp_path / "d", images, np.arange(24) % 2), validation=0)
    assert found.train.images[:, 0, 0].max() == 0


def test_every_mode_of_picture_comes_out_grey(tmp_path: Path) -> None:
    grey = strokes(1)[0]
    opaque = Image.fromarray(grey)
    ink = Image.merge("LA", (Image.new("L", (28, 28), 255), opaque))  # white ink on nothing
    pen = Image.merge("LA", (Image.new("L", (28, 28), 0), opaque))  # black ink on nothing
    pictures = {
        "grey.png": opaque,
        "colour.png": opaque.convert("RGB"),
        "colour.bmp": opaque.convert("RGB"),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "deep.tiff": Image.fromarray(grey.astype(np.uint16) * 257),
        "white_ink.png": ink,
        "white_ink.webp": ink.convert("RGBA"),
        "pen.png": pen,
        "palette.gif": opaque.quantize(256).convert("P"),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name, **({"lossless": True, "exact": True} if name.endswith("webp") else {}))
        found = class_folders.read_image(tmp_path / name, 28)
        if name == "pen.png":
            found = 255 - found
        assert np.abs(found.astype(int) - grey).max() <= (0 if "palette" not in name else 8), name
    opaque.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(class_folders.read_image(tmp_path / "bits.png", 28))) == {0, 255}
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise
    opaque.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(class_folders.read_image(tmp_path / "turned.png", 28), np.rot90(grey, -1))


def test_picture_errors_name_file_and_remedy(tmp_path: Path) -> None:
    def fresh() -> Path:
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
        return write_pictures(tmp_path / "d", strokes(12), np.arange(12) % 3)

    folder = fresh()
    (folder / "1" / "note.png").write_text("not a picture")
    refused(folder, str(folder / "1" / "note.png"), "not an image", "renamed or cut off")

    folder = fresh()
    whole = (folder / "1" / "1.png").read_bytes()
    (folder / "1" / "1.png").write_bytes(whole[: len(whole) // 2])
    refused(folder, str(folder / "1" / "1.png"), "damaged image", "cut off")
    (folder / "1" / "1.png").write_bytes(b"")
    refused(folder, str(folder / "1" / "1.png"), "0 bytes")

    folder = fresh()
    Image.new("L", (28, 27)).save(folder / "2" / "2.png")
    refused(folder, str(folder / "2" / "2.png"), "28 x 27 pixels", "expected 28 x 28")

    folder = fresh()
    Image.new("1", (20_000, 20_000)).save(folder / "2" / "bomb.png")
    refused(folder, "bomb.png")

    folder = fresh()
    (folder / "7").mkdir()
    (folder / "7" / ".keep").touch()
    refused(folder, f"{folder / '7'}: an empty class", "expected at least one image")

    folder = fresh()
    (folder / "1" / "deeper").mkdir()
    refused(folder, str(folder / "1" / "deeper"), "a folder inside a class folder")

    folder = fresh()
    (folder / "notes.txt").touch()
    refused(folder, str(folder / "notes.txt"), "beside the class folders")

    refused(write_pictures(tmp_path / "one", strokes(3), np.zeros(3, int)), "1 class folders, expected 2 to 100")
    refused(write_pictures(tmp_path / "many", strokes(101), np.arange(101)), "101 class folders, expected 2 to 100")
    refused(write_pictures(tmp_path / "lonely", strokes(3), np.array([0, 0, 1])), "1 image, expected at least 2")

    write_pictures(tmp_path / "split" / "train", strokes(4), np.array([0, 1, 2, 2]))
    refused(tmp_path / "split", "sub-folders train, expected train and test")
    write_pictures(tmp_path / "split" / "test", strokes(2), np.array([0, 1]))
    refused(tmp_path / "split", "class 2 lies in only one of train and test")
    (tmp_path / "split" / "val").mkdir()
    refused(tmp_path / "split", "sub-folders test, train, val, expected train and test")


def test_a_hundred_classes_are_welcome(tmp_path: Path) -> None:
    found = load(write_pictures(tmp_path / "d", strokes(200), np.arange(200) % 100), validation=0)
    assert len(found.class_names) == 100
    assert found.train.labels.tolist() == list(range(100))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_picture_gives_data_or_a_data_error(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    Image.fromarray(strokes(1)[0]).save(buffer, data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "BMP"])))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "picture"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        shape = class_folders.read_image(path, 28).shape
    except DataError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
    else:
        assert shape == (28, 28)
