from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digitlab.data import idx
from digitlab.errors import DataError

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)))
LABELS = hnp.arrays(np.uint8, st.integers(0, 40))


def decode_either(content: bytes) -> None:
    """Both readers give an array or a DataError of one line; anything else fails the test."""
    for decode in (idx.decode_images, idx.decode_labels):
        try:
            array = decode(content, "file")
        except DataError as error:
            outcome: object = str(error)
        else:
            outcome = array.dtype
        assert outcome == np.uint8 or re.fullmatch("file: [^\n]+", str(outcome))


@given(IMAGES, st.booleans())
def test_images_round_trip(images: np.ndarray, packed: bool) -> None:
    content = idx.encode(images)
    back = idx.decode_images(gzip.compress(content) if packed else content, "file")
    np.testing.assert_array_equal(back, images)
    assert back.shape == images.shape


@given(LABELS, st.booleans())
def test_labels_round_trip(labels: np.ndarray, packed: bool) -> None:
    content = idx.encode(labels)
    np.testing.assert_array_equal(idx.decode_labels(gzip.compress(content) if packed else content, "file"), labels)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_file_round_trip_and_content_decides_packing(tmp_path: Path, name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
    idx.write(tmp_path / name, images)
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    (tmp_path / name).rename(tmp_path / "other.dat")  # the name must not matter
    np.testing.assert_array_equal(idx.read_images(tmp_path / "other.dat"), images)


def test_encode_by_hand() -> None:
    images = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert idx.encode(images) == bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 2, 3, 4, 5])


@given(IMAGES)
def test_hash_is_that_of_the_file(images: np.ndarray) -> None:
    assert idx.sha256(images) == hashlib.sha256(idx.encode(images)).hexdigest()
    turned = images.transpose(0, 2, 1)  # not contiguous
    assert idx.sha256(turned) == hashlib.sha256(idx.encode(turned)).hexdigest()


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x1f\x8b")
@example(gzip.compress(b""))
def test_any_bytes_give_an_array_or_a_data_error(content: bytes) -> None:
    decode_either(content)
    decode_either(gzip.compress(content))
    decode_either(b"\x1f\x8b\x08" + content)


@given(
    st.sampled_from([idx.IMAGES_MAGIC, idx.LABELS_MAGIC, idx.MATRIX_MAGIC]),
    st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1)), max_size=3),
    st.binary(max_size=120),
)
def test_any_header_gives_an_array_or_a_data_error(magic: int, axes: list[int], rest: bytes) -> None:
    content = struct.pack(f">{1 + len(axes)}I", magic, *axes) + rest
    decode_either(content)
    decode_either(gzip.compress(content))


@given(st.data())
def test_a_damaged_file_gives_an_array_or_a_data_error(data: st.DataObject) -> None:
    content = bytearray(gzip.compress(idx.encode(np.arange(200, dtype=np.uint8).reshape(2, 10, 10)), mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    decode_either(bytes(content))
    decode_either(bytes(content[: data.draw(st.integers(0, len(content)))]))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack(">IIII", 0x803, 2**32 - 1, 28, 28) + bytes(99), "cut off"),
        (struct.pack(">IIII", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1), "expected sides of 1 to"),
        (struct.pack(">IIII", 0x803, 3, 0, 28), "expected sides of 1 to"),
        (struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(2 * 784 - 1), "expected 1,568 bytes for 2 x 28 x 28 pixels"),
        (struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(2 * 784 + 1), "more bytes than the header announces"),
        (struct.pack(">IIII", 0x803, 0, 28, 28) + b"x", "more bytes than the header announces"),
        (struct.pack(">II", 0x803, 2), "expected a header of 16"),
        (struct.pack(">II", 0x801, 2) + b"ab", "swapped"),
        (struct.pack(">III", 0xC02, 1, 8) + bytes(32), "swapped"),
        (b"<html>not found</html>", "magic number 0x3c68746d, expected 0x00000803"),
        (struct.pack(">IIII", 0xD03, 1, 1, 1) + bytes(4), "magic number 0x00000d03, expected 0x00000803"),
        (b"", "0 bytes, expected an IDX file of images"),
    ],
)
def test_images_refused(content: bytes, message: str, packed: bool) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as caught:
            idx.decode_images(gzip.compress(content) if packed else content, "pictures.idx")
        assert tracemalloc.get_traced_memory()[1] < 20e6  # what the header announces is not allocated
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith("pictures.idx: ")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack(">IIII", 0x803, 1, 1, 1) + b"a", "expected 0x00000801 .labels.. Are the two files swapped"),
        (struct.pack(">II", 0x801, 9) + bytes(8), "cut off"),
        (struct.pack(">II", 0x801, 2) + bytes(3), "more bytes"),
        (struct.pack(">III", 0xC02, 2, 8) + bytes(63), "cut off"),
        (struct.pack(">III2i", 0xC02, 2, 1, 3, -1), "classes -1 to 3"),
        (struct.pack(">III2i", 0xC02, 2, 1, 3, 256), "classes 3 to 256"),
    ],
)
def test_labels_refused(content: bytes, message: str, packed: bool) -> None:
    with pytest.raises(DataError, match=message):
        idx.decode_labels(gzip.compress(content) if packed else content, "labels.idx")


@pytest.mark.parametrize("packed", [False, True])
def test_qmnist_label_matrix_gives_its_first_column(packed: bool) -> None:
    rows = np.array([[5, 0, 2434, -1, 9, 9, 9, 9], [0, 1, 70_000, 3, 9, 9, 9, 9]], ">i4")
    content = struct.pack(">III", 0xC02, *rows.shape) + rows.tobytes()
    labels = idx.decode_labels(gzip.compress(content) if packed else content, "qmnist")
    assert labels.dtype == np.uint8
    assert labels.tolist() == [5, 0]


def test_gzip_bomb_behind_a_small_header_is_not_unpacked() -> None:
    bomb = gzip.compress(struct.pack(">IIII", 0x803, 1, 28, 28) + bytes(200_000_000), compresslevel=1)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more bytes than the header announces"):
            idx.decode_images(bomb, "bomb")
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_gzip_checksum_and_cut_off_trailer_are_noticed() -> None:
    packed = gzip.compress(idx.encode(np.zeros(50, np.uint8)))
    wrong_sum = packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]
    with pytest.raises(DataError, match=r"damaged gzip data .CRC check failed"):
        idx.decode_labels(wrong_sum, "file")
    for cut in range(1, len(packed) - 2):
        with pytest.raises(DataError, match="cut off"):
            idx.decode_labels(packed[:-cut], "file")


def test_gzip_files_strung_together_are_one() -> None:
    content = idx.encode(np.arange(100, dtype=np.uint8))
    joined = gzip.compress(content[:30]) + gzip.compress(b"") + gzip.compress(content[30:])
    assert gzip.decompress(joined) == content
    np.testing.assert_array_equal(idx.decode_labels(joined, "file"), np.arange(100))
    with pytest.raises(DataError, match="damaged gzip"):
        idx.decode_labels(joined + b"rubbish after the end", "file")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.uint8),
        np.zeros(3, np.int64),
        np.zeros((2, 28, 28), np.float32),
        np.zeros((1, 0, 5), np.uint8),
    ],
)
def test_write_refuses_other_arrays(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected"):
        idx.write(tmp_path / "x", array)
    assert list(tmp_path.iterdir()) == []


def test_write_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "labels"
    idx.write(target, np.array([1], np.uint8))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"labels: could not be written .No space left on device"):
        idx.write(target, np.array([2], np.uint8))
    assert idx.read_labels(target).tolist() == [1]
    assert list(tmp_path.iterdir()) == [target]


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing: no such file"):
        idx.read_images(tmp_path / "nothing")
    with pytest.raises(DataError, match="no ordinary file, expected an IDX file"):
        idx.read_labels(tmp_path)
    with pytest.raises(DataError, match="could not be written"):
        idx.write(tmp_path / "no" / "folder", np.zeros(1, np.uint8))


def test_a_small_file_takes_little_memory_whatever_it_might_be(tmp_path: Path) -> None:
    idx.write(tmp_path / "labels", np.array([1], np.uint8))
    tracemalloc.start()
    try:
        assert idx.read_labels(tmp_path / "labels").tolist() == [1]
        assert tracemalloc.get_traced_memory()[1] < 1e6  # 8 GB, where the most that is allowed was asked for
    finally:
        tracemalloc.stop()
