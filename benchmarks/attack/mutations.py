"""Mutated images, IDX, npz, run folders, ONNX models and requests: each must be read or refused in a line.

    nice python benchmarks/attack/mutations.py [--seconds 60] [--count 100000] [--seed 1] [--write]

Pieces are made and read in workers with a deadline and a memory cap, as `digitlab read` and `serve` do, so that what is
too much costs one piece; this process only counts. A worker gets BATCH pieces at a time; if it ends, each of them is
tried again alone, so that the one that ended it is known. Loopback only, no network: requests go straight into the
application. Exit code 1 if anything raised what it should not.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from workplace import workplace

from digitlab.errors import DigitlabError, ProcessError
from digitlab.processes import Pool, WorkerError

KINDS = ("image", "idx", "npz", "run", "onnx", "request")
HOME = Path(__file__).parents[2]
KEPT = HOME / "tests" / "data" / "run-format-1"
DEADLINE = 10.0
BATCH = 20


class Subjects:
    """What is mutated; made once in each worker, in a folder of its own below `folder`."""

    def __init__(self, folder: str) -> None:
        from digitlab.reading.reader import BUNDLED, Reader

        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.reader = Reader(threads=1)
        self.images = list(_images())
        self.idx = [b"\0\0\x08\x03" + bytes([0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(3 * 784)]
        self.idx.append(b"\0\0\x08\x01\0\0\0\x03\x01\x02\x03")
        x, y = np.zeros((3, 28, 28), np.uint8), np.arange(3)
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, x_train=x, y_train=y, x_test=x, y_test=y)
            self.idx.append(file.getvalue())
        self.runs = self.folder / "runs"
        for name in ("harmed", "whole"):
            shutil.copytree(KEPT, self.runs / name)
        self.models = [file.read_bytes() for file in sorted(BUNDLED.glob("*.onnx"))]
        self.page = np.full((120, 200), 255, np.uint8)
        self.page[20:90, 95:103] = 0
        self.app: Any = None


def _images() -> Any:
    page = Image.new("L", (96, 64), 255)
    ImageDraw.Draw(page).line([(20, 10), (20, 50)], fill=0, width=5)
    for kind, modes in {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB", "CMYK"),
        "GIF": ("L", "P"),
        "TIFF": ("1", "L", "RGB", "RGBA", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "BMP": ("1", "L", "RGB"),
        "PPM": ("1", "L", "RGB"),
        "AVIF": ("RGB",),
        "JPEG2000": ("L", "RGB"),
        "EPS": ("L",),
        "PDF": ("L",),
        "ICO": ("RGBA",),
    }.items():
        for mode in modes:
            file = io.BytesIO()
            with contextlib.suppress(Exception):  # a Pillow built without this format
                page.convert(mode).save(file, kind)
                yield file.getvalue()


def changed(content: bytes, chance: random.Random) -> bytes:
    """A few bytes flipped, put in, left out, copied; more often near the beginning, where headers are."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4, 12])):
        if not data:
            break
        place = (
            min(len(data) - 1, int(chance.expovariate(1 / 30)))
            if chance.random() < 0.5
            else chance.randrange(len(data))
        )
        what = chance.randrange(6)
        if what == 0:
            data[place] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[place] = chance.choice([0, 1, 127, 128, 255])
        elif what == 2:
            data[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif what == 3:
            del data[place : place + chance.randrange(1, 30)]
        elif what == 4:
            del data[place:]
        else:
            other = chance.randrange(len(data))
            data[place : place + 20] = data[other : other + 20]
    return bytes(data)


VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    10**30,
    1.5,
    "",
    "x" * 3000,
    "\x1b]0;p\x07",
    "<script>alert(1)</script>",
    [],
    {},
    [[]],
]


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """A value somewhere in it replaced or gone."""
    values = json.loads(content)
    for _ in range(chance.choice([1, 1, 3])):
        inner: Any = values
        while isinstance(inner, dict | list) and inner:
            key: Any = chance.choice(list(inner)) if isinstance(inner, dict) else chance.randrange(len(inner))
            if not isinstance(inner[key], dict | list) or chance.random() < 0.3:
                if chance.random() < 0.2:
                    del inner[key]
                else:
                    inner[key] = chance.choice(VALUES)
                break
            inner = inner[key]
    return json.dumps(values).encode("utf-8")


def attempt(subjects: Subjects, kind: str, seeds: list[int]) -> bytes:
    """Pieces one after another: what came of each, and its seconds, as JSON."""
    came = []
    for seed in seeds:
        begun = time.monotonic()
        came.append((_attempt(subjects, kind, seed), time.monotonic() - begun))
    return json.dumps(came).encode()


def _attempt(subjects: Subjects, kind: str, seed: int) -> str:
    """One piece; "read" or "refused", anything else is a finding."""
    try:
        came: str = globals()[f"_{kind}"](subjects, random.Random(f"{kind} {seed}"))
        return came
    except DigitlabError as error:
        return "refused" if str(error).isprintable() else f"FINDING: not one printable line: {str(error)!a}"
    except Exception as error:
        if isinstance(error, MemoryError) or "bad_alloc" in str(error) or "allocate memory" in str(error):
            raise  # as `digitlab.processes` tells it: the cap held
        return f"FINDING: {type(error).__name__}: {error}"[:2000]


def _image(subjects: Subjects, chance: random.Random) -> str:
    content = changed(chance.choice(subjects.images), chance)
    if chance.random() < 0.2:
        file = subjects.folder / chance.choice(["a.png", "a.eps", "a.pdf", "a.tif"])
        file.write_bytes(content)
        subjects.reader.read(file)
    else:
        subjects.reader.read(io.BytesIO(content))
    return "read"


def _idx(subjects: Subjects, chance: random.Random) -> str:
    from digitlab.data import idx

    (subjects.folder / "a").write_bytes(changed(chance.choice(subjects.idx[:2]), chance))
    chance.choice([idx.read_images, idx.read_labels])(subjects.folder / "a")
    return "read"


def _npz(subjects: Subjects, chance: random.Random) -> str:
    from digitlab.data import sources

    (subjects.folder / "a.npz").write_bytes(changed(chance.choice(subjects.idx[2:]), chance))
    sources.find(subjects.folder / "a.npz")
    return "read"


def _run(subjects: Subjects, chance: random.Random) -> str:
    from digitlab.cli import runs_commands
    from digitlab.runs import overview

    name = chance.choice(["run.json", "run.json", "metrics.json", "history.csv", "predictions.npz"])
    content = (KEPT / name).read_bytes()
    json_like = name.endswith(".json") and chance.random() < 0.7
    (subjects.runs / "harmed" / name).write_bytes((changed_json if json_like else changed)(content, chance))
    try:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            runs_commands.runs(None, None, subjects.runs, True)
            if '"whole"' not in out.getvalue():
                return "FINDING: the other run is hidden"
            with contextlib.suppress(DigitlabError):
                runs_commands.runs("harmed", None, subjects.runs, False)
        if "\x1b]" in out.getvalue():
            return "FINDING: an escape is printed"
        if chance.random() < 0.1 and "<script>alert(1)" in overview.dashboard(subjects.runs, folder=subjects.runs):
            return "FINDING: a script in the page"
        return "refused" if '"state": "damaged"' in out.getvalue() else "read"
    finally:
        (subjects.runs / "harmed" / name).write_bytes(content)


def _onnx(subjects: Subjects, chance: random.Random) -> str:
    from digitlab.reading.reader import Reader

    (subjects.folder / "a.onnx").write_bytes(changed(chance.choice(subjects.models), chance))
    reading = Reader(subjects.folder / "a.onnx", threads=1).read(subjects.page)
    json.dumps(reading.as_dict(), allow_nan=False)
    return "read"


def _request(subjects: Subjects, chance: random.Random) -> str:
    """Straight into the guard and the handlers; reading itself is the other kinds' business."""
    if subjects.app is None:
        from digitlab.serving import Settings, make_app

        subjects.app = make_app(Settings(runs=subjects.runs, threads=1))
    part = b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\njunk\r\n--X--\r\n'
    path, body, kind = chance.choice(
        [
            ("/read", part, b"multipart/form-data; boundary=X"),
            ("/nowhere", b"{}", b"application/json"),
            ("/runs/x/report.html", b"", b""),
            ("/health", b"", b""),
        ]
    )
    query = changed(b"single=1&stages=1", chance) if chance.random() < 0.4 else b""
    if path == "/read":
        query = changed(b"singel=1", chance) + b"&nonsense=1"  # refused after the form is parsed
    headers = [(b"host", b"localhost"), (b"content-type", changed(kind, chance) if chance.random() < 0.3 else kind)]
    headers.append((b"content-length", str(len(body)).encode()))
    if chance.random() < 0.3:
        name = chance.choice([b"origin", b"host", b"expect", b"cookie", b"sec-fetch-site", b"authorization"])
        headers.append((name, changed(b"http://localhost", chance)))
    sent = asyncio.run(_ask(subjects.app, path, query, headers, changed(body, chance)))
    status = sent[0]["status"] if sent else 0
    if status in (0, 500):
        return f"FINDING: status {status} for {path} {query!r}"
    if status >= 400:
        answer = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
        if list(answer) != ["error"] or "\n" in answer["error"]:
            return f"FINDING: {answer}"
    return "read" if status < 400 else "refused"


async def _ask(app: Any, path: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> list[Any]:
    sent: list[Any] = []
    pieces = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return pieces.pop() if pieces else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "path": path,
        "root_path": "",
    }
    scope |= {"method": "POST" if body and path != "/health" else "GET", "scheme": "http", "raw_path": path.encode()}
    scope["root_path"] = ""
    scope |= {"query_string": query, "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
    await app(scope, receive, send)
    return sent


class Campaign:
    """What came of all pieces so far.

    Args:
        folder: where workers make their files.
        workers: how many at once.
        kinds: what is mutated, in turn.
    """

    def __init__(self, folder: Path, workers: int, kinds: list[str]) -> None:
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        from mutations import Subjects as Made  # by the name that workers find it under
        from mutations import attempt as work

        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.longest: collections.defaultdict[str, float] = collections.defaultdict(float)
        self.findings: list[str] = []
        self.kinds, self._work, self._ahead = kinds, work, 2 * workers
        self._pool = Pool(workers, Made, (str(folder),), seconds=DEADLINE)
        self._under_way: dict[Future[bytes], tuple[str, list[int]]] = {}

    def run(self, first: int, count: int, seconds: float) -> None:
        """Hand out pieces until count or seconds are over, and wait for those under way."""
        self._pool.start()  # what is wrong with the subjects themselves is said at once
        end, number = time.monotonic() + seconds, first
        try:
            while self._under_way or (number < first + count and time.monotonic() < end):
                while len(self._under_way) < self._ahead and number < first + count and time.monotonic() < end:
                    kind = self.kinds[number // BATCH % len(self.kinds)]
                    self._hand_out(kind, list(range(number, min(number + BATCH, first + count))))
                    number += BATCH
                for future in wait(self._under_way, return_when=FIRST_COMPLETED).done:
                    self._take(future, *self._under_way.pop(future))
        finally:
            self._pool.end()

    def _hand_out(self, kind: str, seeds: list[int]) -> None:
        self._under_way[self._pool.submit(self._work, kind, seeds)] = (kind, seeds)

    def _take(self, future: Future[bytes], kind: str, seeds: list[int]) -> None:
        try:
            came: list[tuple[str, float]] = json.loads(future.result())
        except (ProcessError, WorkerError) as error:
            if len(seeds) > 1:
                for seed in seeds:
                    self._hand_out(kind, [seed])
                return
            if isinstance(error, WorkerError):
                came = [(f"FINDING: {error}", 0.0)]
            else:
                came = [("ended at its deadline" if error.timed_out else "ended for memory or by a crash", 0.0)]
        for seed, (what, seconds) in zip(seeds, came, strict=True):
            if what.startswith("FINDING"):
                self.findings.append(f"{kind} {seed}: {what[9:]}")
            self.counts[kind, what.partition(":")[0]] += 1
            self.longest[kind] = max(self.longest[kind], seconds)


def main() -> None:
    """Mutate until time or count are over; print and perhaps write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    begun = time.monotonic()
    with workplace() as folder:
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        campaign = Campaign(folder, options.workers, options.kinds.split(","))
        campaign.run(options.seed * 10**7, options.count, options.seconds)
    counts, findings, kinds = campaign.counts, campaign.findings, campaign.kinds
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    columns = ("read", "refused", "ended at its deadline", "ended for memory or by a crash", "FINDING")
    rows = [
        [kind, *(f"{counts[kind, column]:,}" for column in columns), f"{campaign.longest[kind]:.1f}"] for kind in kinds
    ]
    for row in rows:
        print("  ".join(f"{cell:>10}" for cell in row))
    total = sum(counts.values())
    print(f"{total:,} pieces in {time.monotonic() - begun:.0f} s; this process used at most {peak} MB")
    for line in findings[:20]:
        print(line[:300])
    if options.write:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        import results

        header = [
            "what was mutated",
            "read",
            "refused in a line",
            f"ended at {DEADLINE:g} s",
            "ended for memory or crashed",
            "anything else",
            "longest that was answered, s",
        ]
        words = f"{total:,} pieces; the process that hands them out used at most {peak} MB."
        body = f"{results.table(header, rows)}\n\n{words}\n\n{results.provenance()}"
        results.write_section("attack-mutations", "Attack: mutated files and requests", body)
    raise SystemExit(1 if findings else 0)


if __name__ == "__main__":
    main()
