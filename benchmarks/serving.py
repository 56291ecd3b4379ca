"""How long `digitlab serve` takes: to start, for a stroke on the page, for a photo, for a batch, for many at once.

    python benchmarks/serving.py [--browser /usr/bin/chromium] [--write]

The server runs as people run it, in a process of its own. With Playwright and a Chromium, strokes are drawn with the
pointer and timed by the page itself, from the end of a stroke to the answer on the screen, its short wait for a further
stroke included. Medians, with the smallest and largest.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import results
from PIL import Image

from digitlab.data import load
from digitlab.machine import machine

ROWS: list[list[str]] = []
FLAGS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"


def main() -> None:
    """Start a server, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--browser", type=Path, default=Path("/usr/bin/chromium"))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "digitlab", "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int((server.stdout or io.StringIO()).readline().rpartition(":")[2])
        post(port, "/predict", b'{"images": []}', "application/json")
        show("start to the first answer", f"{time.perf_counter() - begun:.2f} s")
        images = load().test.images
        sheet, photo = written(images[:4]), camera(images[:10])
        post(port, "/read", photo)
        measure("drawing of 4 digits, /read", lambda: post(port, "/read", sheet), options.repeats)
        measure("the same, explained", lambda: post(port, "/read?explain=1", sheet), options.repeats)
        measure("photo of 12 megapixels, 10 digits, /read", lambda: post(port, "/read", photo), 5)
        one = json.dumps({"images": images[:1].tolist()}).encode()
        many = json.dumps({"images": images[:1000].tolist()}).encode()
        measure("1 picture, /predict", lambda: post(port, "/predict", one, "application/json"), options.repeats)
        measure("1,000 pictures, /predict", lambda: post(port, "/predict", many, "application/json"), 5)
        start, count = time.perf_counter(), 60
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: post(port, "/read", sheet), range(count)))
        show("drawings a second, 8 asking at once", f"{count / (time.perf_counter() - start):.1f}")
        if options.browser.exists():
            times = strokes(f"http://127.0.0.1:{port}/", options.browser, options.repeats)
            show_times("stroke on the page to its answer", times)
    finally:
        server.terminate()
        server.wait(20)
    if options.write:
        table = results.table(["what", "median", "range"], ROWS)
        results.write_section("serving", "Serving: the page and HTTP", f"{table}\n\n{results.provenance()}")


def post(port: int, path: str, body: bytes, kind: str = "image/png") -> Any:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body, {"Content-Type": kind})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{path}: {answer['error']}")
    return answer


def measure(name: str, call: Callable[[], Any], repeats: int) -> None:
    """Time a call and print it."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    show_times(name, times)


def show_times(name: str, times: list[float]) -> None:
    """Median and range in milliseconds."""
    show(name, f"{statistics.median(times):.1f} ms", f"{min(times):.1f} to {max(times):.1f}")


def show(name: str, value: str, span: str = "") -> None:
    """One row, on the screen at once and in RESULTS.md at the end."""
    ROWS.append([name, value, span])
    print(f"{name:44} {value:>9}  {span}", flush=True)


def written(images: np.ndarray) -> bytes:
    """Digits in a row, dark on white, 72 pixels tall: what the page sends."""
    row = np.concatenate([np.pad(image, 4) for image in images], axis=1)
    page = Image.fromarray(np.pad(255 - row, 12, constant_values=255))
    return file_of(page.resize((page.width * 36 // 10, page.height * 36 // 10), Image.Resampling.BICUBIC), "PNG")


def camera(images: np.ndarray) -> bytes:
    """A page as a phone takes it: 4,000 x 3,000, grey paper, shaded, noisy."""
    rng = np.random.default_rng(0)
    rows = [np.concatenate([np.pad(image, 14) for image in part], axis=1) for part in (images[:5], images[5:])]
    ink = Image.fromarray(np.concatenate(rows)).resize((2800, 1120), Image.Resampling.BICUBIC)
    page = np.linspace(215, 165, 4000)[None] + rng.normal(0, 3, (3000, 4000))
    page[900:2020, 600:3400] *= 1 - 0.75 * np.asarray(ink) / 255
    return file_of(Image.fromarray(page.clip(0, 255).astype(np.uint8)).convert("RGB"), "JPEG")


def file_of(page: Image.Image, kind: str) -> bytes:
    """A picture as a file's bytes."""
    file = io.BytesIO()
    page.save(file, kind)
    return file.getvalue()


def strokes(url: str, browser: Path, repeats: int) -> list[float]:
    """Draw sevens, up to five side by side, and let the page say how long each answer took."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(browser), args=FLAGS.split())
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        for turn in range(repeats):
            if turn % 5 == 0:
                page.keyboard.press("Escape")
            box: Any = page.locator("#ink").bounding_box()
            x, y = box["x"] + 60 + 110 * (turn % 5), box["y"] + 100
            page.mouse.move(x, y)
            page.mouse.down()
            for dx, dy in ((70, 0), (25, 150)):
                page.mouse.move(x + dx, y + dy, steps=10)
            page.mouse.up()
            page.wait_for_function("n => document.querySelectorAll('#text button').length === n", arg=turn % 5 + 1)
            times.append(float(page.get_attribute("#summary", "data-milliseconds") or "nan"))
        chromium.close()
    return times


if __name__ == "__main__":
    main()
