"""Image files: told by content, decoded one way for training and reading, and never by starting another program."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitlab.data import class_folders
from digitlab.data.image_files import MAX_SIDE, format_of, opened_image
from digitlab.errors import DataError, DigitlabError, ReadingError
from digitlab.reading.margins import with_even_margins
from digitlab.reading.picture import open_pages
from digitlab.reading.reader import Reader

FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000", "HEIF"]


def one() -> Image.Image:
    page = np.full((120, 200), 255, np.uint8)
    page[20:90, 95:103] = 0
    return Image.fromarray(page).convert("RGB")


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    file = io.BytesIO()
    (image or one()).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_is_told_by_content_whatever_its_name(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "picture.gif"
    file.write_bytes(encoded(kind))
    (page,) = open_pages(file)
    (opened,) = open_pages(io.BytesIO(file.read_bytes()))
    assert page.size == opened.size == (200, 120)
    np.testing.assert_array_equal(page.pixels, opened.pixels)
    assert abs(int(page.pixels[50, 98].mean())) < 30


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "DDS", "SGI", "EPS"])
def test_other_formats_are_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(encoded(kind, one().convert("L") if kind == "EPS" else None))
    with pytest.raises(ReadingError, match="expected PNG"):
        list(open_pages(file))


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `gs` that leaves a mark when it is started."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "gs"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    return tmp_path / "started"


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\nshowpage\n%%EOF\n"


def test_postscript_never_starts_another_program(ghostscript: Path, tmp_path: Path) -> None:
    from PIL import EpsImagePlugin

    with Image.open(io.BytesIO(EPS)) as image, pytest.raises(OSError):  # noqa: PT011
        image.load()
    assert ghostscript.exists()  # Pillow by itself does start it
    ghostscript.unlink()
    assert EpsImagePlugin.gs_binary
    for body in (EPS, b"\xc5\xd0\xd3\xc6" + b"\0" * 26 + EPS):
        for number in range(6):
            file = tmp_path / "data" / str(number % 2) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        with pytest.raises(ReadingError, match="PostScript"):
            list(open_pages(tmp_path / "data" / "0" / "0.png"))
        with pytest.raises(ReadingError, match="PostScript"):
            list(open_pages(io.BytesIO(body)))
        with pytest.raises(DataError, match="PostScript"):
            class_folders.read(tmp_path / "data")
    assert not ghostscript.exists()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
        (b"PK\x03\x04" + b"\0" * 30, "ZIP archive or an office document"),
        (b"PK\x03\x04" + b"%PDF-1.7", "ZIP archive or an office document"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"%PDF-1.7\nnothing more", "damaged PDF"),
        (b"", "0 bytes"),
    ],
)
def test_what_is_no_picture_is_one_honest_line(body: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(body)
    with pytest.raises(ReadingError, match=says) as caught:
        list(open_pages(file))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_too_long_a_side_is_refused_before_a_pixel_is_unpacked() -> None:
    thin = encoded("PNG", Image.new("1", (1_000_000, 1)))
    assert len(thin) < 500
    with pytest.raises(ReadingError, match=r"1,000,000 x 1 pixels.*65,500"):
        list(open_pages(io.BytesIO(thin)))
    assert [page.size for page in open_pages(io.BytesIO(encoded("PNG", Image.new("1", (MAX_SIDE, 1)))))] == [
        (MAX_SIDE, 1)
    ]


def test_margins_of_a_long_page_cost_no_loop() -> None:
    start = time.process_time()
    for page in (np.zeros((1_000_000, 1), np.uint8), np.zeros((1, 1_000_000), np.uint8)):
        assert with_even_margins(page)[0].shape == page.shape
    # A second a million lines and side before; 10 ms now.
    assert time.process_time() - start < 1


def test_training_and_reading_see_the_same_pixels(tmp_path: Path) -> None:
    """Every mode and format that both take gives both the same grey."""
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 255, (200, 200), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    ink = Image.merge("LA", (Image.new("L", (200, 200), 0), grey))
    pictures = {"a.png": grey, "b.png": deep, "c.png": ink, "d.gif": grey, "e.png": grey.convert("RGBA")}
    for name, image in pictures.items():
        image.save(tmp_path / name, **({"exif": exif} if name == "a.png" else {}))
        (page,) = open_pages(tmp_path / name)
        read = np.asarray(Image.fromarray(page.pixels).convert("L"))
        np.testing.assert_array_equal(class_folders.read_image(tmp_path / name, 200), read, name)


@pytest.mark.slow
def test_pdf_pages_come_one_by_one_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "three.pdf"
    pages = []
    for number in range(3):
        page = np.full((842, 595), 255, np.uint8)
        for stroke in range(number + 1):
            page[200:260, 100 + 60 * stroke : 108 + 60 * stroke] = 0
        pages.append(Image.fromarray(page))
    pages[0].save(file, save_all=True, append_images=pages[1:], resolution=72)
    sizes = [page.size for page in open_pages(file)]
    assert sizes == [(1653, 2339)] * 3 or all(abs(w - 1653) <= 1 and abs(h - 2339) <= 1 for w, h in sizes)
    for source in (file, io.BytesIO(file.read_bytes())):
        reading = Reader(threads=1).read(source)
        assert reading.text == "1\n11\n111"
        assert [digit.page for digit in reading.digits] == [0, 1, 1, 2, 2, 2]
    box = np.array(reading.digits[0].box) * 72 / 200
    np.testing.assert_allclose(box, [100, 200, 108, 260], atol=1.5)


@pytest.mark.parametrize(("kind", "module"), [("PDF", "pypdfium2"), ("HEIF", "pillow_heif")])
def test_without_its_package_a_line_says_what_to_install(
    kind: str, module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(encoded(kind))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ReadingError, match=r"pip install 'digitlab\[pdf\]'") as caught:
        list(open_pages(file))
    assert "\n" not in str(caught.value)


def test_a_bug_of_ours_inside_is_no_damaged_picture() -> None:
    class OursError(DigitlabError):
        pass

    with pytest.raises(OursError), opened_image(io.BytesIO(encoded("PNG")), "a.png"):
        raise OursError


def test_formats_by_their_first_bytes() -> None:
    assert format_of(b"") is None
    assert format_of(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom") is None  # a film
    kinds = {kind: format_of(encoded(kind)[:1024]) for kind in FORMATS}
    assert {kind: found.name if found else None for kind, found in kinds.items()} == {kind: kind for kind in FORMATS}
