"""Many clients at once against `digitlab serve`, with slow ones beside them: what they lose, and how long they wait.

    nice python benchmarks/attack/load.py [--clients 200] [--seconds 60] [--slow 50] [--write]

The server is a process of its own on a free port of this machine's loopback; so is nothing else. Clients ask again at
once, also after a 503, which is worse than what people do. The slow ones, a third each, send a head, a body or fetch an
answer a few bytes at a time, and connect anew when they are dropped.
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
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from digitlab.processes.inside import end_with_parent

GET = "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
SHARES = {"read": 6, "explain": 1, "predict": 3, "health": 3, "page": 1, "runs": 0.3, "junk": 1}


def seven() -> bytes:
    """A drawing of a 7, as the page sends one."""
    page = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(page).line([(80, 70), (200, 70), (120, 220)], fill=0, width=16, joint="curve")
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


def requests() -> dict[str, bytes]:
    """What is asked, whole."""
    picture, blank = seven(), json.dumps({"images": np.zeros((4, 28, 28), int).tolist()}).encode()

    def post(path: str, kind: str, body: bytes) -> bytes:
        return POST.format(path, kind, len(body)).encode() + body

    return {
        "read": post("/read", "image/png", picture),
        "explain": post("/read?explain=1&stages=1", "image/png", picture),
        "predict": post("/predict", "application/json", blank),
        "health": GET.format("/health").encode(),
        "page": GET.format("/").encode(),
        "runs": GET.format("/runs/").encode(),
        "junk": post("/read", "image/png", b"junk" * 99),
    }


class Tally:
    """What came of the requests."""

    def __init__(self) -> None:
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.times: collections.defaultdict[str, list[float]] = collections.defaultdict(list)
        self.memory: list[int] = []

    async def ask(self, port: int, kind: str, request: bytes) -> None:
        """One request on a connection of its own."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(60):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
        except (OSError, TimeoutError) as error:
            self.counts[kind, f"lost ({type(error).__name__})"] += 1
            return
        status = head.split(b" ")[1].decode() if head else "lost (nothing came)"
        if status == "503" and b"retry-after" not in head.lower():
            status = "503 without Retry-After"
        if kind == "read" and status == "200" and json.loads(body)["text"] != "7":
            status = "WRONG"
        self.counts[kind, status] += 1
        if status == "200":
            self.times[kind].append(time.monotonic() - begun)


async def client(tally: Tally, port: int, seed: int, end: float) -> None:
    """Ask one thing after another."""
    chance, asked = random.Random(seed), requests()
    await asyncio.sleep(chance.random())
    while time.monotonic() < end:
        kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
        await tally.ask(port, kind, asked[kind])
        await asyncio.sleep(chance.random() * 0.05)


async def slow(port: int, number: int, end: float) -> None:
    """Dawdle in one of three ways, and come back when dropped."""
    kind = number % 3
    begins = (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", POST.format("/read", "image/png", 900_000).encode(), b"")
    while time.monotonic() < end:
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begins[kind] or GET.format("/").encode())
            while time.monotonic() < end:
                if kind == 2:
                    if not await asyncio.wait_for(reader.read(10), 30):
                        break
                else:
                    writer.write(b"a")
                    await writer.drain()
                    if reader.at_eof():
                        break
                await asyncio.sleep(0.5)
            writer.close()
        await asyncio.sleep(0.2)


async def attack(port: int, process: int, clients: int, dawdlers: int, seconds: float) -> Tally:
    """All of them for so many seconds."""
    tally, end = Tally(), time.monotonic() + seconds

    async def watch() -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
                tally.memory.append(next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS")))
            await asyncio.sleep(1)

    await asyncio.gather(
        watch(),
        *(client(tally, port, seed, end) for seed in range(clients)),
        *(slow(port, number, end) for number in range(dawdlers)),
    )
    return tally


def server() -> tuple[subprocess.Popen[str], int]:
    """A server on a free port, ready."""
    command = [sys.executable, "-P", "-m", "digitlab", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=end_with_parent
    )
    return process, int((process.stdout or io.StringIO()).readline().rpartition(":")[2])


def describe(tally: Tally, seconds: float) -> list[list[str]]:
    """Figures as rows of a table."""
    rows = []
    for kind in SHARES:
        statuses = {status: count for (one, status), count in tally.counts.items() if one == kind}
        wrong = sum(count for status, count in statuses.items() if status not in ("200", "503", "400"))
        times = sorted(tally.times[kind]) or [float("nan")]
        fetched = [times[int(share * (len(times) - 1))] for share in (0.5, 0.95, 1)]
        answered = statuses.get("400" if kind == "junk" else "200", 0)
        told = statuses.get("503", 0)
        rows.append(
            [kind, f"{answered / seconds:.1f}", f"{told / seconds:.1f}", str(wrong), *(f"{t:.2f}" for t in fetched)]
        )
    return rows


HEADER = [
    "asked",
    "answered a second",
    "told to come again a second",
    "lost or wrong",
    "median s",
    "95 % s",
    "longest s",
]


def main() -> None:
    """Run both campaigns, print, and perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--slow", type=int, default=50)
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # `timeout` ends the server too
    parts, failed = [], 0
    for dawdlers in (0, options.slow):
        process, port = server()
        try:
            tally = asyncio.run(attack(port, process.pid, options.clients, dawdlers, options.seconds))
        finally:
            process.terminate()
            process.wait(20)
        rows = describe(tally, options.seconds)
        title = f"{options.clients} clients for {options.seconds:g} s" + (
            f", {dawdlers} slow ones beside" if dawdlers else ""
        )
        memory = f"The server's own process: {tally.memory[0]} MB at first, {max(tally.memory)} MB at most."
        memory += f" Load of the machine at the end: {os.getloadavg()[0]:.1f}."
        print(title, HEADER, *rows, memory, f"load {os.getloadavg()[0]:.1f}", sep="\n", flush=True)
        failed += sum(int(row[3]) for row in rows)
        parts.append((title, rows, memory))
    if options.write:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        import results

        tables = [f"{title}:\n\n{results.table(HEADER, rows)}\n\n{memory}" for title, rows, memory in parts]
        body = "\n\n".join([*tables, results.provenance()])
        results.write_section("attack-load", "Attack: 200 clients, and slow ones beside them", body)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
