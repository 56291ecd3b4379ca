"""Own digits: the printed sheet, cutting it from a photo, pages of known text, and the folder they go to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.command import in_process as digitlab
from helpers.filled_sheets import FilledSheet, filled_sheet
from PIL import Image

from digitlab.collecting import Collection, collect_page, collect_sheet, layout, write_sheet
from digitlab.collecting.boxes import LEAST_WRITING
from digitlab.collecting.collection import Labelled, png_of
from digitlab.collecting.contact_sheet import write_contact_sheet
from digitlab.collecting.corner_marks import find_sheet, homography, through
from digitlab.data import load
from digitlab.errors import DataError, ReadingError
from digitlab.reading.normalise import normalise
from digitlab.reading.reader import Reader

COLUMNS = 3  # filled ones: 30 boxes are as good a test as 120, in a quarter of the time


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def sheets() -> list[FilledSheet]:
    train = load().train
    return [filled_sheet(train.images, train.labels, seed, crossed=2, empty=2, columns=COLUMNS) for seed in (1, 7)]


@pytest.fixture(scope="module")
def collected(sheets: list[FilledSheet], reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("own")
    collection = Collection(folder / "my-digits")
    for number, filled in enumerate(sheets):
        filled.photo.save(folder / f"photo{number}.jpg", quality=85)
        collect_sheet(folder / f"photo{number}.jpg", collection, writer=f"writer {number}", reader=reader)
    return collection


@pytest.mark.slow
def test_every_filled_box_is_cut_as_the_reader_would(sheets: list[FilledSheet], collected: Collection) -> None:
    found = {(kept.writer, kept.place): kept for kept in collected.images()}
    expected = {
        (f"writer {number}", f"r{row}c{column:02d}"): (row, image)
        for number, filled in enumerate(sheets)
        for (row, column), image in filled.digits.items()
    }
    assert set(found) <= set(expected), "an empty or crossed-out box was taken"
    assert len(found) >= 0.98 * len(expected)
    away = []
    for key, kept in found.items():
        row, image = expected[key]
        assert kept.label == str(row)
        got = np.asarray(Image.open(kept.file))
        assert got.shape == (28, 28) and got.dtype == np.uint8
        # Polarity and geometry: nearly what the reader's last step makes of the MNIST image itself.
        away.append(np.abs(got.astype(float) - normalise(image / 255)).mean() / 255)
    assert np.median(away) < 0.02 and np.mean(np.array(away) < 0.06) > 0.97


def test_collection_is_a_data_set(collected: Collection) -> None:
    data = load(collected.path, validation=0)
    assert data.class_names == tuple("0123456789")
    assert len(data.train) + len(data.test) == len(collected.images())
    assert np.median(data.train.images[:, 0]) == 0  # the border is dark: nothing was inverted


def test_same_photo_adds_nothing(collected: Collection, reader: Reader) -> None:
    before = {file: file.read_bytes() for file in collected.path.rglob("*.png")}
    photo = collected.path.parent / "photo0.jpg"
    assert collect_sheet(photo, collected, writer="somebody", reader=reader).known
    assert {file: file.read_bytes() for file in collected.path.rglob("*.png")} == before


def test_record_says_where_from(sheets: list[FilledSheet], collected: Collection) -> None:
    record = next(record for record in collected.sources() if record["source"] == "photo0.jpg")
    assert record["origin"] == "sheet" and record["writer"] == "writer 0"
    assert record["crossed_out"] == len(sheets[0].crossed)
    assert record["empty"] == 120 - len(sheets[0].digits) - len(sheets[0].crossed)
    width, height = sheets[0].photo.size
    for entry in record["images"]:
        left, top, right, bottom = entry["box"]
        assert 0 <= left < right <= width and 0 <= top < bottom <= height


def test_deleted_image_stays_deleted(tmp_path: Path) -> None:
    mine = Collection(tmp_path / "mine")
    items = [Labelled(np.full((28, 28), n, np.uint8), n, f"r{n}c00", (0, 0, 1, 1)) for n in (1, 2)]
    told = {"writer": "anna", "origin": "sheet", "source": "a.jpg", "digest": "0f" * 32}
    assert mine.add(items, **told) == 2
    assert mine.remove(["1/anna-0f0f0f0f-r1c00.png", "2/not-there.png"]) == 1
    assert mine.add(items, **told) == 0
    assert [kept.label for kept in mine.images()] == ["2"]
    with pytest.raises(DataError, match="expected a line such as"):
        mine.remove(["../../etc/passwd"])


def test_killed_before_the_record_adds_each_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Collection(tmp_path)
    items = [Labelled(np.full((28, 28), n, np.uint8), n, f"r{n}c00", (0, 0, 1, 1)) for n in (1, 2)]
    told = {"writer": "anna", "origin": "sheet", "source": "a.jpg", "digest": "0f" * 32}

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("digitlab.collecting.collection.json.dumps", killed)
        with pytest.raises(KeyboardInterrupt):
            mine.add(items, **told)
    assert not mine.knows("0f" * 32)
    assert mine.add(items, **told) == 2
    assert len(mine.images()) == 2


@pytest.mark.parametrize("writer", ["", "../x", "a/b", " a", "a.", "x" * 50])
def test_writer_that_cannot_be_a_file_name(writer: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="writer: got"):
        Collection(tmp_path).add([], writer=writer, origin="sheet", source="a", digest="00" * 32)


def test_homography_takes_points_where_they_belong() -> None:
    rng = np.random.default_rng(0)
    square = np.array([(0, 0), (10, 0), (10, 8), (0, 8)], float)
    skewed = square + rng.uniform(-2, 2, (4, 2))
    matrix = homography(square, skewed)
    np.testing.assert_allclose(through(matrix, square), skewed, atol=1e-9)
    np.testing.assert_allclose(through(np.linalg.inv(matrix), skewed), square, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 2])
def test_marks_are_found_whichever_way_up(sheets: list[FilledSheet], turns: int) -> None:
    pixels = np.asarray(sheets[0].photo)
    corners = through(find_sheet(pixels), np.array(layout.CORNERS))
    turned = through(find_sheet(np.ascontiguousarray(np.rot90(pixels, turns))), np.array(layout.CORNERS))
    side = len(pixels)
    for _ in range(turns):  # np.rot90 takes (x, y) to (y, side - x)
        corners = np.column_stack([corners[:, 1], side - corners[:, 0]])
    np.testing.assert_allclose(turned, corners, atol=1.0)


def test_photo_without_the_sheet(tmp_path: Path, reader: Reader, sheets: list[FilledSheet]) -> None:
    photo = sheets[0].photo
    photo.crop((0, 0, photo.width // 2, photo.height)).save(tmp_path / "half.jpg")
    with pytest.raises(ReadingError, match="half.jpg: no sheet found, expected all four of its corner marks"):
        collect_sheet(tmp_path / "half.jpg", Collection(tmp_path / "out"), reader=reader)
    assert not (tmp_path / "out").exists()


def _page(path: Path, lines: list[str]) -> None:
    """Clean lines of MNIST digits, well apart."""
    train = load().train
    page = np.full((60 + 70 * len(lines), 60 + 55 * max(map(len, lines))), 255, np.uint8)
    for row, line in enumerate(lines):
        for column, sign in enumerate(line):
            image = train.images[np.flatnonzero(train.labels == int(sign))[row + column]]
            large = np.asarray(Image.fromarray(image).resize((48, 48), Image.Resampling.BICUBIC))
            page[30 + 70 * row : 78 + 70 * row, 30 + 55 * column : 78 + 55 * column] = 255 - large
    Image.fromarray(page).save(path)


def test_page_of_known_text(tmp_path: Path, reader: Reader) -> None:
    _page(tmp_path / "page.png", ["01234", "56789"])
    mine = Collection(tmp_path / "mine")
    gathered = collect_page(tmp_path / "page.png", "0 1234\n567890", mine, writer="anna", reader=reader)
    assert (gathered.added, gathered.unused) == (5, ("567890",))  # a sign too many: that line is not used
    assert sorted(kept.label for kept in mine.images()) == list("01234")
    assert collect_page(tmp_path / "page.png", "01234/56789", mine, reader=reader).known
    with pytest.raises(ReadingError, match="signs found per line 5, 5, --text has 5; nothing was added"):
        collect_page(tmp_path / "page.png", "01234", Collection(tmp_path / "other"), reader=reader)
    with pytest.raises(DataError, match="--text: got 'a', expected the page's digits"):
        collect_page(tmp_path / "page.png", "012a", mine, reader=reader)


@pytest.mark.slow
def test_sheet_is_a_vector_page(tmp_path: Path) -> None:
    for paper, points in (("a4", (595.2, 841.8)), ("letter", (612.0, 792.0))):
        content = write_sheet(tmp_path / f"{paper}.pdf", paper=paper).read_bytes()
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
        assert box and tuple(map(float, box.groups())) == pytest.approx(points, abs=0.7)
        assert b"/Subtype /Image" not in content
    assert write_sheet(tmp_path / "again.pdf").read_bytes() == (tmp_path / "a4.pdf").read_bytes()
    with pytest.raises(DataError, match="paper: got 'a5', expected one of a4, letter"):
        write_sheet(tmp_path / "x.pdf", paper="a5")


def test_boxes_lie_within_both_papers() -> None:
    last = layout.box(layout.ROWS - 1, layout.COLUMNS - 1)
    assert last[2] < layout.WIDTH and last[3] < layout.HEIGHT - layout.MARK / 2
    for width, height in layout.PAPERS.values():  # printers leave 6 mm
        assert (width - layout.WIDTH - layout.MARK) / 2 > 6 < (height - layout.HEIGHT - layout.MARK) / 2
    assert LEAST_WRITING < 2  # a short thin 1 is 5 mm of a 0.4 mm pen


def test_contact_sheet_shows_every_image(collected: Collection) -> None:
    page = write_contact_sheet(collected).read_text("utf-8")
    names = re.findall(r"data-name='([^']+)'", page)
    assert sorted(names) == sorted(f"{kept.label}/{kept.file.name}" for kept in collected.images())
    assert "http" not in page and "{{" not in page


def test_contact_sheet_escapes(tmp_path: Path) -> None:
    mine = Collection(tmp_path / "a<b")
    one = Labelled(np.full((28, 28), 9, np.uint8), 3, "r3c00", (0, 0, 9, 9))
    mine.add([one], writer="anna", origin="sheet", source="<script>'x.jpg", digest="ab12" * 16)
    page = write_contact_sheet(mine).read_text("utf-8")
    assert page.count("<script>") == 1 and "&lt;script&gt;&#x27;x.jpg" in page


def test_images_put_there_by_hand_count(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "mine.png").write_bytes(png_of(np.zeros((28, 28), np.uint8)))
    (kept,) = Collection(tmp_path).images()
    assert (kept.label, kept.writer) == ("7", "")


def test_command_says_what_it_did(tmp_path: Path) -> None:
    _page(tmp_path / "page.png", ["01234"])
    done = digitlab("collect", "page.png", "--text", "01234", "--writer", "anna", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "page.png: 5 digits" in done.stdout and "digitlab train --from reader --data my-digits" in done.stdout
    record = json.loads(next((tmp_path / "my-digits" / ".sources").glob("*.json")).read_text("utf-8"))
    assert record["text"] == "01234" and len(record["images"]) == 5
    (tmp_path / "remove.txt").write_text("0/" + next((tmp_path / "my-digits" / "0").iterdir()).name + "\n")
    done = digitlab("collect", "--remove", "remove.txt", cwd=tmp_path)
    assert "1 images removed" in done.stdout and done.returncode == 0
    done = digitlab("collect", cwd=tmp_path)
    assert done.returncode == 2 and "no photos given" in done.stderr
