"""`digitlab serve` over real HTTP: answers, errors, limits, who may ask, and how it starts and ends."""

from __future__ import annotations

import http.client
import io
import json
import os
import random
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
from helpers.serving_client import Server, page_with, png, run_info, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitlab.data import Dataset
from digitlab.errors import ServingError
from digitlab.reading.reader import Reader
from digitlab.serving import Settings, app, guard, make_app, models, open_port, waiting

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that has a report, one without, and a secret beside it."""
    home = tmp_path_factory.mktemp("serving")
    secret = home / "secret.html"
    secret.write_text("secret", "utf-8")
    for name in ("mine & <yours>", "bare", "linked"):
        run = home / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text(run_info(name=name), "utf-8")
    (home / "runs" / "mine & <yours>" / "report.html").write_text("<!doctype html><title>R</title>the report", "utf-8")
    (home / "runs" / "linked" / "report.html").symlink_to(secret)
    return home / "runs"


@pytest.fixture(scope="module")
def waits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a worker says that it began, and is told to go on."""
    return tmp_path_factory.mktemp("waits")


@pytest.fixture(scope="module")
def server(runs: Path, waits: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for the workers
        patch.setenv("DIGITLAB_TEST_FOLDER", str(waits))
        with running(Settings(runs=runs)) as found:
            yield found


@pytest.fixture(scope="module")
def picture(mnist: Dataset) -> bytes:
    """The first four test digits: 7, 2, 1, 0."""
    return png(page_with(mnist.test.images[:4]))


def is_error(answer: Any, status: int, words: str) -> None:
    assert answer.status == status, answer
    assert list(answer.json) == ["error"] and words in answer.json["error"] and "\n" not in answer.json["error"]
    assert answer.headers["content-type"] == "application/json"


# Reading.


def test_a_picture_reads_as_the_command_line_reads_it(server: Server, picture: bytes, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(picture)
    wanted = Reader().read(file).as_dict()
    assert wanted["text"] == "7210"
    form = server.form("/read", [("photo.png", picture)])
    raw = server.ask("POST", "/read", picture, Content_Type="image/png")
    curl = server.ask("POST", "/read", picture, Content_Type="application/x-www-form-urlencoded")
    for answer, name in ((form, "photo.png"), (raw, ""), (curl, "")):
        assert answer.status == 200
        got = answer.json
        assert got.pop("seconds") > 0
        assert got == {**{key: value for key, value in wanted.items() if key != "seconds"}, "file": name}
        assert list(got) == [key for key in wanted if key != "seconds"]


def test_many_files_come_back_in_order_and_a_bad_one_does_not_stop_them(server: Server, picture: bytes) -> None:
    answer = server.form("/read", [("a.png", picture), ("../b.png", b"nonsense"), ("c.png", picture)])
    first, second, third = answer.json
    assert (first["file"], third["file"]) == ("a.png", "c.png") and first["text"] == third["text"] == "7210"
    assert list(second) == ["file", "error"] and second["error"].startswith("b.png: not an image")


def test_options_in_the_address_and_in_the_form(server: Server, picture: bytes) -> None:
    assert len(server.ask("POST", "/read?single=1", picture).json["digits"]) == 1
    assert len(server.form("/read", [("a.png", picture)], single="true").json["digits"]) == 1
    assert len(server.form("/read?single=1", [("a.png", picture)], single="0").json["digits"]) == 4
    cross = np.full((120, 120), 255, np.uint8)
    for i in range(20, 100):
        cross[i, i - 4 : i + 4] = cross[i, 116 - i : 124 - i] = 0
    assert server.ask("POST", "/read", png(cross)).json["text"] == "?"
    assert server.ask("POST", "/read?reject=no", png(cross)).json["text"].isdigit()
    assert server.ask("POST", "/read", png(cross)).json["text"] == "?"  # asking otherwise changed nothing
    is_error(server.ask("POST", "/read?singel=1", picture), 400, "'singel'")
    is_error(server.ask("POST", "/read?single=maybe", picture), 400, "expected 1 or 0")


def test_explained_down_to_the_pixels(server: Server, picture: bytes) -> None:
    plain = server.ask("POST", "/read", picture).json
    answer = server.ask("POST", "/read?explain=1&stages=1", picture).json
    assert answer["pages"] == [[380, 140]] and answer["text"] == plain["text"]
    reader = Reader()
    for digit, shown, read in zip(answer["digits"], plain["digits"], reader.read(picture).digits, strict=True):
        assert shown.items() <= digit.items()
        # Of the signs that are told apart, the ten digits; what is none of them, whichever, is 1 less the likeness.
        assert np.allclose(digit["probabilities"], read.probabilities[:10], atol=1e-5)
        assert max(digit["probabilities"]) == pytest.approx(digit["confidence"], abs=1e-4)
        assert int(np.argmax(digit["probabilities"])) == digit["digit"]
        assert abs(digit["likeness"] + read.probabilities[-1] - 1) < 1e-3 and digit["likeness"] >= digit["confidence"]
        # What the network of the digits saw goes back into /predict as it came.
        assert digit["glyph"] == read.glyph.tolist()
        body = json.dumps({"images": digit["glyph"]})
        again = server.ask("POST", "/predict", body, Content_Type="application/json").json
        assert np.allclose(again["probabilities"], reader.predict(read.glyph[None]), atol=1e-5)
        assert again["digits"] == [digit["digit"]]
    [stages] = answer["stages"]
    assert len(stages["pieces"]) == 4 and stages["width"] > 100
    from PIL import Image

    for name in ("grey", "paper", "ink", "mask"):
        data = stages[name].partition(";base64,")[2]
        import base64

        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (stages["width"], stages["height"])


def test_an_empty_page_and_a_tiff_of_two(server: Server, mnist: Dataset) -> None:
    empty = server.ask("POST", "/read?explain=1&stages=1", png(np.full((90, 90), 255, np.uint8))).json
    assert empty["text"] == "" and empty["digits"] == []
    from PIL import Image

    pages = [Image.fromarray(page_with(mnist.test.images[i : i + 2])) for i in (0, 2)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    answer = server.ask("POST", "/read?explain=1", file.getvalue()).json
    assert answer["lines"] == ["72", "10"] and [digit["page"] for digit in answer["digits"]] == [0, 0, 1, 1]


def test_predict_equals_the_reader(server: Server, mnist: Dataset) -> None:
    images = mnist.test.images[:50]
    body = json.dumps({"images": images.tolist()})
    answer = server.ask("POST", "/predict", body, Content_Type="application/json; charset=utf-8")
    wanted = Reader().predict(images)
    assert np.allclose(answer.json["probabilities"], wanted, atol=1e-5)
    assert answer.json["digits"] == wanted.argmax(1).tolist()
    assert (np.array(answer.json["digits"]) == mnist.test.labels[:50]).mean() > 0.95
    nothing = server.ask("POST", "/predict", '{"images": []}', Content_Type="application/json")
    assert nothing.json == {"probabilities": [], "digits": []}


BLANK = [[0] * 28] * 28


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1, 2]", "body: list, expected"),
        (b'{"image": []}', "'image'"),
        (json.dumps({"images": [BLANK], "single": 1}).encode(), "no key 'single'"),
        (json.dumps({"images": 3}).encode(), "a single value"),
        (json.dumps({"images": [[1, 2], [3]]}).encode(), "different length"),
        (json.dumps({"images": [[[0] * 27] * 28]}).encode(), "1 x 28 x 27"),
        (json.dumps({"images": [[["7"] * 28] * 28]}).encode(), "no numbers"),
        (json.dumps({"images": [[[True] * 28] * 28]}).encode(), "no numbers"),
        (json.dumps({"images": [[[256] * 28] * 28]}).encode(), "from 256 to 256"),
        (json.dumps({"images": [[[float("nan")] * 28] * 28]}).encode(), "from nan to nan"),
        (json.dumps({"images": [[[10**40] * 28] * 28]}).encode(), "no numbers"),
        (json.dumps({"images": [[[0.5] * 28] * 28]}).encode(), "Multiply by 255"),
    ],
)
def test_predict_says_what_is_wrong(server: Server, body: bytes, words: str) -> None:
    is_error(server.ask("POST", "/predict", body, Content_Type="application/json"), 400, words)


# Errors, limits, who may ask.


def test_wrong_requests_are_one_line_each(server: Server, picture: bytes) -> None:
    is_error(server.ask("GET", "/nowhere"), 404, "/nowhere: nothing there")
    is_error(server.ask("GET", "/read"), 405, "expected POST")
    is_error(server.ask("DELETE", "/model"), 405, "expected GET or HEAD")
    is_error(server.ask("POST", "/read", b"{}", Content_Type="application/json"), 415, "expected an image")
    is_error(server.ask("POST", "/predict", b"{}", Content_Type="text/plain"), 415, "expected application/json")
    is_error(server.ask("POST", "/read", b""), 400, "0 bytes")
    is_error(server.ask("POST", "/read", b"no picture"), 400, "not an image")
    is_error(server.ask("POST", "/read", picture[:-200]), 400, "damaged image")
    is_error(server.form("/read", []), 400, "no file in it")
    is_error(server.form("/read", [("c.png", b"x")]), 400, "c.png: not an image")
    is_error(server.ask("POST", "/read", b"--x", Content_Type="multipart/form-data"), 400, "boundary")
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    # Pillow would start another program.
    is_error(server.ask("POST", "/read", postscript), 400, "a PostScript file, expected PNG")
    huge = b"P5 60000 60000 255\n"
    is_error(server.ask("POST", "/read", huge), 400, "megapixels")


def test_too_large_a_body(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_BODY", 1000)
    is_error(server.ask("POST", "/read", bytes(2000)), 413, "2,000 bytes, at most 1,000")
    is_error(server.ask("POST", "/read", iter([bytes(600), bytes(600)])), 413, "more than 1,000 bytes")
    assert server.ask("POST", "/read", bytes(900)).status == 400


def test_a_body_that_does_not_come(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
        slow.sendall(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nhalf")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as gone:
        gone.sendall(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nhalf")
    assert server.ask("GET", "/health").json["status"] == "ok"


def test_busy(server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST", 0)
    answer = server.ask("POST", "/read", picture)
    is_error(answer, 503, "Try again")
    assert answer.headers["retry-after"] == "1"
    assert server.ask("GET", "/health").status == 200


def test_a_bug_in_digitlab_is_a_line_as_well(
    server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "read", hostile.fail)
    is_error(server.ask("POST", "/read", picture), 500, "unexpected")
    said, until = "", time.monotonic() + 10
    while not said and time.monotonic() < until:  # the answer goes first
        said = capsys.readouterr().err
        time.sleep(0.02)
    assert said == "digitlab: unexpected ZeroDivisionError: by nought. Please report it\n"
    monkeypatch.undo()
    assert server.ask("POST", "/read", picture).json["text"] == "7210"


def test_only_this_machine_may_ask(server: Server, picture: bytes) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[", "10.0.0.1", ""):
        is_error(server.ask("GET", "/model", Host=host), 403, "answers only as localhost")
    for host in ("localhost", f"localhost:{server.port}", "127.0.0.1", "[::1]:8000"):
        assert server.ask("GET", "/model", Host=host).status == 200
    for origin in ("http://evil.example", "null", "http://localhost", "http://["):
        is_error(server.ask("POST", "/read", picture, Origin=origin), 403, "pages elsewhere")
    own = server.ask("POST", "/read", picture, Origin=f"http://127.0.0.1:{server.port}")
    assert own.status == 200 and "access-control-allow-origin" not in own.headers


def test_a_page_elsewhere_that_was_named_may_ask(picture: bytes) -> None:
    with running(Settings(local=False, cors=("https://school.example",))) as server:
        named = server.ask("POST", "/read", picture, Origin="https://school.example", Host="192.168.1.9")
        assert named.headers["access-control-allow-origin"] == "https://school.example"
        asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
        assert server.ask("OPTIONS", "/predict", Origin="https://school.example", **asks).status == 200
        is_error(server.ask("POST", "/read", picture, Origin="https://other.example"), 403, "pages elsewhere")


@given(
    st.binary(max_size=300), st.sampled_from(["image/png", "", "multipart/form-data; boundary=x", "text/x; é", "a/b"])
)
@quick
def test_no_body_of_any_kind_is_a_server_error(server: Server, body: bytes, kind: str) -> None:
    for path in ("/read", "/predict", "/read?explain=1"):
        answer = server.ask("POST", path, body, Content_Type=kind.encode("latin-1").decode("latin-1"))
        assert 400 <= answer.status < 500
        assert "\n" not in answer.json["error"]


@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.randoms(use_true_random=False))
@quick
def test_damaged_pictures_are_read_or_refused(server: Server, mnist: Dataset, kind: str, chance: random.Random) -> None:
    content = bytearray(png(page_with(mnist.test.images[:1]), kind))
    for _ in range(chance.randint(1, 12)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    answer = server.ask("POST", "/read?explain=1", bytes(content[: chance.randint(len(content) // 2, len(content))]))
    assert answer.status in (200, 400)
    assert ("text" in answer.json) == (answer.status == 200)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({"images": JSON}))
@quick
def test_no_json_is_a_server_error(server: Server, content: Any) -> None:
    answer = server.ask("POST", "/predict", json.dumps(content), Content_Type="application/json")
    assert answer.status == 400 or content.get("images") == []


def test_many_at_once(server: Server, mnist: Dataset) -> None:
    pictures = [png(page_with(mnist.test.images[i : i + 1])) for i in range(6)]
    wanted = [Reader().read(io.BytesIO(picture)).text for picture in pictures]

    def text(number: int) -> str:
        while (answer := server.ask("POST", "/read", pictures[number % 6])).status == 503:  # a busy machine
            time.sleep(float(answer.headers["retry-after"]))
        return str(answer.json["text"])

    with ThreadPoolExecutor(12) as pool:
        texts = list(pool.map(text, range(18)))
    assert texts == wanted * 3


def test_others_are_answered_while_a_picture_is_read(
    server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch, waits: Path
) -> None:
    monkeypatch.setattr(models, "read", hostile.read_slowly)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.form, "/read", [("waits.png", picture)])
        until = time.monotonic() + 60
        while not (waits / "begun").exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert server.ask("GET", "/health").status == 200 and not waiting.done()
        (waits / "go").touch()
        assert waiting.result().json["text"] == "7210"


# Pages.


def test_health_model_and_the_page(server: Server) -> None:
    health = server.ask("GET", "/health").json
    assert health["status"] == "ok" and health["model"] == "digits"
    card = server.ask("GET", "/model").json
    assert card["labels"] == list("0123456789") and card["recipe"]["name"] == "tiny"
    assert 0.99 < card["scores"]["test_accuracy"] <= 1 and card["temperature"] == Reader().temperature
    page = server.ask("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "connect-src 'self'" in policy
    for header, value in guard.HEADERS.items():
        assert page.headers[header.lower()] == value
    outside = [word for word in page.body.decode().split('"') if word.startswith(("http://", "https://", "//"))]
    assert set(outside) <= {"http://www.w3.org/2000/svg"}
    assert server.ask("HEAD", "/").body == b""


def test_runs_and_their_reports(server: Server) -> None:
    moved = server.ask("GET", "/runs")
    assert moved.status == 307 and moved.headers["location"] == "runs/"
    page = server.ask("GET", "/runs/")
    text = page.body.decode()
    assert "mine &amp; &lt;yours&gt;" in text and 'href="../"' in text
    link = "mine%20%26%20%3Cyours%3E/report.html"
    assert f'href="{link}"' in text
    report = server.ask("GET", f"/runs/{link}")
    assert report.body.endswith(b"the report") and "sandbox" in report.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/runs/bare/report.html",
        "/runs/linked/report.html",
        "/runs/../secret.html",
        "/runs/../secret.html/report.html",
        "/runs/%2e%2e/report.html",
        "/runs/..%2fsecret.html/report.html",
        "/runs/bare%2f..%2f..%2fsecret.html",
        "/runs/bare/run.json",
        "/runs/%00/report.html",
        "/runs/.../report.html",
        "/runs//etc/passwd",
        "//etc/passwd",
    ],
)
def test_nothing_but_reports_is_handed_out(server: Server, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status == 404 and b"secret" not in answer.body.replace(b"secret.html", b"")


def test_every_address_and_option_is_in_the_docs() -> None:
    text = (Path(__file__).parents[1] / "docs" / "serve.md").read_text("utf-8")
    for name in app.OPTIONS:
        assert f"| `{name}` |" in text
    for words in ("POST /read", "POST /predict", "GET /model", "GET /health", "GET /models"):
        assert f"`{words}`" in text
    assert "`GET /`, `/runs/` and `/train/`" in text
    assert f"over {guard.MAX_BODY // 10**6} MB ({app.MAX_JSON // 10**6} MB of JSON)" in text


# The command.


def test_a_port_in_use_and_hosts_that_are_none() -> None:
    with open_port(port=0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"port {port} of 127.0.0.1 is in use.*--port"):
            open_port(port=port)
    for host in ("192.0.2.7", "no such host"):
        with pytest.raises(ServingError, match=f"--host {host}"):
            open_port(host, 0)


def start(*options: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "digitlab", "serve", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd, env={**os.environ, "NO_COLOR": "1"})


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_the_command_from_start_to_signal(tmp_path: Path, picture: bytes) -> None:
    ended = {}
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 0)):
        process = start("--port", "0", cwd=tmp_path)
        assert process.stdout and process.stderr
        address = process.stdout.readline().strip()
        port = int(address.removeprefix("http://127.0.0.1:"))
        server = Server(port)
        assert server.ask("POST", "/read", picture).json["text"] == "7210"
        idle = http.client.HTTPConnection("127.0.0.1", port, timeout=20)  # a browser's, kept open
        idle.request("GET", "/health")
        idle.getresponse().read()
        if number == signal.SIGINT:
            second = start("--port", str(port), cwd=tmp_path)
            out, err = second.communicate(timeout=120)
            assert second.returncode == 1 and not out
            assert err.count("\n") == 1 and f"port {port} of 127.0.0.1 is in use" in err
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        idle.close()
        ended[code] = process.returncode
        assert "Traceback" not in err and err.splitlines()[-1] == "digitlab: stopped"
    assert ended == {130: 130, 0: 0}
    process = start("--port", "0", cwd=tmp_path)
    assert process.stdout and process.stdout.readline()
    process.terminate()  # at the very first moment, before it could answer anybody
    assert process.communicate(timeout=120) and process.returncode == 0


def test_the_server_needs_neither_keras_nor_jax() -> None:
    code = (
        "import sys, io, digitlab.serving.answers as a\nfrom digitlab.serving import make_app\nmake_app()\n"
        "from digitlab.serving.pages import drawing_page\ndrawing_page('x', None)\n"
        "from digitlab.runs.overview import dashboard\nfrom pathlib import Path\ndashboard(Path('.'), folder='none')\n"
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"keras", "jax", "matplotlib", "sklearn", "onnx"}


def test_a_model_that_is_not_there() -> None:
    from digitlab.errors import ReadingError

    with pytest.raises(ReadingError, match="no such model"):
        make_app(Settings(model="nowhere.onnx"))
