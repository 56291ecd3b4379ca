"""`digitlab serve` against slow clients, many of them, pages elsewhere, and pictures that crash a decoder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import hostile_work as hostile
from helpers.serving_client import Server, png, run_info, running

from digitlab.processes import Pool
from digitlab.serving import Settings, connections, guard, make_app, models, run_pages
from digitlab.serving.access import Access, own_names
from digitlab.serving.waiting import Waiting

HALF = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\nhalf"
SECONDS = 60.0  # far more than anything here takes on an idle machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that has room for 24 connections and little patience."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "long").mkdir()
    (folder / "long" / "run.json").write_text(run_info(name="long"), "utf-8")
    (folder / "long" / "report.html").write_bytes(b"x" * 30_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setenv("DIGITLAB_TEST_FOLDER", str(folder))
        patch.setattr(connections, "most_connections", lambda: 24)
        patch.setattr(models, "read", hostile.read_slowly)
        with running(Settings(runs=folder, threads=1, timeout=3)) as found:
            yield found


@pytest.fixture(scope="module")
def picture() -> bytes:
    page = np.full((120, 200), 255, np.uint8)
    page[20:90, 95:103] = 0
    return png(page)


def connect(server: Server, begin: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
    connection.sendall(begin)
    return connection


def ends(connection: socket.socket) -> bytes:
    """What still comes, until the other side closes."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            content += part
    return content


# Slow ones, and many of them.


def test_a_head_that_does_not_come(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with connect(server, HALF) as slow:
        assert ends(slow).startswith(b"HTTP/1.1 408")
    with connect(server) as silent:
        assert ends(silent) == b""
    with connect(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + HALF) as second:  # kept alive, then slow
        answers = ends(second)
        assert answers.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 408" in answers
    with connect(server, HALF) as dripping, contextlib.suppress(ConnectionError):
        for _ in range(600):
            dripping.sendall(b"a")
            time.sleep(0.05)
        raise AssertionError("it could drip for half a minute")
    assert server.ask("GET", "/health").status == 200


def test_half_requests_in_numbers_keep_nobody_out(server: Server, picture: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(connect(server, HALF))
        for _ in range(3):
            assert server.ask("GET", "/health").status == 200
            assert server.ask("POST", "/read", picture).json["text"] == "1"


def test_slow_bodies_go_and_keep_nobody_out(server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(server, BODY)) for _ in range(15)]
        assert server.ask("POST", "/read", picture).json["text"] == "1"
        monkeypatch.setattr(guard, "STRETCH", 0.2)
        late = stack.enter_context(connect(server, BODY))
        assert ends(late).startswith(b"HTTP/1.1 408")
        assert len(slow) == 15


def test_a_body_that_comes_evenly_but_never_ends_has_a_deadline(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fast enough for every stretch of time, so that the deadline of the whole body alone can end it."""
    monkeypatch.setattr(guard, "LEAST", 1)
    monkeypatch.setattr(guard, "STRETCH", 30.0)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    with connect(server, BODY) as dripping:
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(600):
                dripping.sendall(b"a" * 50)
                dripping.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    answer += dripping.recv(1000)
                if answer:
                    break
        assert answer.startswith(b"HTTP/1.1 408")
    assert server.ask("GET", "/health").status == 200


def test_bodies_together_have_a_bound(server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_HELD", 200_000)
    with connect(server, BODY + b"x" * 90_000) as one:
        time.sleep(0.1)
        with connect(server, BODY + b"x" * 90_000) as other:
            first = other.recv(100) or one.recv(100)
            assert first.startswith(b"HTTP/1.1 503")
    assert server.ask("POST", "/read", picture).json["text"] == "1"


def test_who_does_not_fetch_an_answer_goes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FETCH_SECONDS", 0.2)
    with connect(server, b"GET /runs/long/report.html HTTP/1.1\r\nHost: localhost\r\n\r\n") as idle:
        time.sleep(2)  # it sends into the system's buffers and then waits for us
        assert len(ends(idle)) < 30_000_000


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits of open files")
def test_few_open_files(tmp_path: Path, picture: bytes) -> None:
    shell = ["sh", "-c", 'ulimit -n 160 && exec "$@"', "sh"]
    with command(*shell, cwd=tmp_path) as (process, server), contextlib.ExitStack() as stack:
        for _ in range(250):
            with contextlib.suppress(OSError):
                stack.enter_context(connect(server, HALF))
        assert server.ask("GET", "/health").status == 200
        assert server.ask("POST", "/read", picture).json["text"] == "1"
        process.terminate()
        _, said = process.communicate(timeout=SECONDS)
        assert len(said.splitlines()) <= 3, said[:2000]


@contextlib.contextmanager
def command(*before: str, cwd: Path, code: str = "from digitlab.cli import main; main()") -> Iterator[Any]:
    line = [*before, sys.executable, "-P", "-c", code, "serve", "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:
        try:
            assert process.stdout
            yield process, Server(int(process.stdout.readline().rpartition(":")[2]))
        finally:
            if process.poll() is None:
                process.kill()


# Pictures that are too much.


@pytest.mark.slow
def test_a_crash_or_an_endless_loop_costs_one_picture(server: Server, picture: bytes) -> None:
    names = ("a.png", "crashes.png", "b.png", "loops.png", "c.png")
    a, crashes, b, loops, c = server.form("/read", [(name, picture) for name in names]).json
    assert (a["text"], b["text"], c["text"]) == ("1", "1", "1")
    assert "crashes.png" in crashes["error"] and "SIGABRT" in crashes["error"]
    assert loops["error"] == "loops.png: not read within 3 s. Make it smaller."
    assert server.form("/read", [("crashes.png", picture)]).status == 400
    assert server.ask("GET", "/model").status == 200


def test_who_would_wait_too_long_is_told_when_to_come() -> None:
    from starlette.exceptions import HTTPException

    pool = Pool(2, str, patience=2)
    line = Waiting(pool)
    with contextlib.ExitStack() as places:
        for _ in range(192):
            places.enter_context(line.place("10.0.0.1"))
        with pytest.raises(HTTPException):
            line.check("10.0.0.1")
        line.check("10.0.0.2")  # the others find room
    line.check("10.0.0.1")
    assert not line.under_way
    pool._mean = 1.0
    pool._jobs.extend([None] * 9)  # type: ignore[list-item]  # nine pieces of a second each, for two workers
    with pytest.raises(HTTPException) as caught:
        line.check("10.0.0.2")
    assert caught.value.status_code == 503 and caught.value.headers == {"Retry-After": "5"}


def _answered(line: Waiting, freed: Iterator[bool], monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[float]]:
    """What becomes of a drawing posted while the line is full until somebody has slept, and how long it was held."""
    held: list[float] = []

    anybodys = asyncio.sleep  # a server of another test may be running in a thread

    async def sleep(duration: float) -> None:
        if duration != guard.HELD_SECONDS:
            return await anybodys(duration)
        held.append(duration)
        if next(freed):
            line.under_way.clear()
        return None

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask() -> int:
        begun: list[Any] = []

        async def send(message: Any) -> None:
            begun.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"ink", "more_body": False}

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/read",
            "query_string": b"",
            "client": ("10.0.0.1", 1),
            "headers": [(b"host", b"localhost"), (b"content-length", b"3")],
        }
        await guard.Guard(app, Access(local=True), line.check)(scope, receive, send)
        return int(begun[0]["status"])

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return asyncio.run(ask()), held


@pytest.mark.parametrize(("room", "status", "times"), [("now", 200, 0), ("later", 200, 1), ("never", 503, 1)])
def test_who_finds_no_room_is_held_and_asked_once_more(
    monkeypatch: pytest.MonkeyPatch, room: str, status: int, times: int
) -> None:
    line = Waiting(Pool(1, str))
    line.under_way["10.0.0.1"] = 0 if room == "now" else 192
    found, held = _answered(line, iter([room == "later"]), monkeypatch)
    assert found == status and held == [guard.HELD_SECONDS] * times


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_told_to_stop_while_busy_it_is_gone(tmp_path: Path, picture: bytes, number: int, code: int) -> None:
    hostile_folder = str(Path(__file__).parent)
    start = (
        f"import sys, os; sys.path.append({hostile_folder!r}); os.environ['PYTHONPATH'] = {hostile_folder!r}\n"
        "from digitlab.serving import models\n"
        "from helpers import hostile_work; models.read = hostile_work.read_slowly\n"
        "from digitlab.cli import main; main()"
    )
    with command(cwd=tmp_path, code=start) as (process, server), ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(server.form, "/read", [("loops.png", picture)])
        with connect(server, BODY), connect(server, HALF):
            until = time.monotonic() + SECONDS
            while server.ask("GET", "/health").json["under_way"] < 4 and time.monotonic() < until:
                time.sleep(0.05)
            process.send_signal(number)
            _, said = process.communicate(timeout=20)  # 3 s on a machine that does nothing else
        assert process.returncode == code and said.splitlines()[-1] == "digitlab: stopped"
        assert "Traceback" not in said


# Who may ask.


def test_names_of_this_machine_only() -> None:
    access = Access(local=False, names=("Pc7.school",))

    def status(host: str | list[str]) -> int:
        from starlette.datastructures import Headers

        hosts = [host] if isinstance(host, str) else host
        headers = Headers(raw=[(b"host", one.encode("latin-1")) for one in hosts])
        refused = access.refusal("GET", headers, b"")
        return 200 if refused is None else refused.status_code

    for good in (
        "192.168.1.7:8000",
        "pc7.school",
        "PC7.school:80",
        "localhost",
        "[::1]:8000",
        "[fe80::1]",
        *own_names(),
    ):
        assert status(good) == 200, good
    for bad in ("evil.example", "192.168.1.7.evil.example", "192.168.1.7@evil.example", "", "[", "a b", "pc7.school:x"):
        assert status(bad) == 403, bad
    assert status(["localhost", "evil.example"]) == 403
    assert Access(local=False, names=("*",)).refusal("GET", _headers(host="any.example"), b"") is None
    assert Access(local=True).refusal("GET", _headers(host="192.168.1.7"), b"") is not None


def _headers(**named: str) -> Any:
    from starlette.datastructures import Headers

    return Headers({name.replace("_", "-"): value for name, value in named.items()})


def test_pages_elsewhere_can_load_nothing() -> None:
    access = Access(local=True, origins=("https://school.example",))

    def allowed(method: str = "GET", **named: str) -> bool:
        return access.refusal(method, _headers(host="localhost", **named), b"") is None

    for site in ("cross-site", "same-site"):
        assert not allowed(sec_fetch_site=site, sec_fetch_mode="no-cors", sec_fetch_dest="script")
        assert not allowed(sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="iframe")
        assert not allowed("POST", sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document")
        assert allowed(sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document")  # a link
    assert allowed(sec_fetch_site="same-origin", sec_fetch_mode="cors") and allowed(sec_fetch_site="none") and allowed()
    assert allowed("POST", sec_fetch_site="cross-site", sec_fetch_mode="cors", origin="https://school.example")


def test_a_token(picture: bytes) -> None:
    with running(Settings(token="s3cret", threads=1)) as server:  # noqa: S106
        for path, headers in (("/", {}), ("/health?token=wrong", {}), ("/runs/", {"Cookie": "digitlab-token=no"})):
            answer = server.ask("GET", path, **headers)
            assert answer.status == 401 and "token" in answer.json["error"]
        assert server.ask("POST", "/read?token=s3cret&single=1", picture).json["text"] == "1"
        assert server.ask("GET", "/health", Authorization="Bearer s3cret").status == 200
        opened = server.ask("GET", "/?token=s3cret", Accept="text/html,*/*")
        assert opened.status == 303 and "s3cret" not in opened.headers["location"]
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert server.ask("GET", "/", Cookie=cookie.partition(";")[0]).status == 200


def test_letters_beyond_ascii_after_the_question_mark() -> None:
    sent: list[dict[str, Any]] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/health", "raw_path": b"/health", "scheme": "http"}
        scope |= {"query_string": "é=1".encode(), "headers": [(b"host", b"localhost")], "client": None, "root_path": ""}
        await make_app()(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 400


# The page of runs.


def test_the_page_of_runs_is_made_once_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from digitlab.runs import overview
    from digitlab.runs.folder import Run
    from digitlab.runs.lock import locked

    made: list[int] = []
    monkeypatch.setattr(overview, "dashboard", lambda *_, **__: str(made.append(1) or len(made)))
    monkeypatch.setattr(run_pages, "FRESH", 0.0)
    page = run_pages.RunsPage(tmp_path)
    assert page.text() == page.text() == "1"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text("{}")
    assert page.text() == page.text() == "2"
    (tmp_path / "a" / "run.json").write_text("{ }")
    assert page.text() == page.text() == "3"
    with locked(Run(tmp_path / "a")):
        assert page.text() == "4"
    assert page.text() == "5"  # let go, as by a kill
