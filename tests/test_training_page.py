"""Watching a network learn: the files in its folder, starting and stopping over HTTP, the page in a real browser."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import in_process, without_figures
from helpers.serving_client import Server, running
from test_report_browser import browser, watch
from test_report_browser import pytestmark as needs_browser

from digitlab.data import Dataset
from digitlab.errors import ServingError
from digitlab.learning.predict import predict
from digitlab.runs import Run
from digitlab.runs.events import Watcher
from digitlab.runs.live import Live
from digitlab.runs.training import train
from digitlab.serving import Settings
from digitlab.serving.training import Trainings

__all__ = ["browser"]


@pytest.fixture(scope="module")
def npz(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "small.npz"
    arrays = {"x_train": small.train.images, "y_train": small.train.labels}
    np.savez(file, **arrays, x_test=small.test.images, y_test=small.test.labels)
    return file


@pytest.fixture(scope="module")
def done(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run that was followed."""

    class Notes(Watcher):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def stage(self, name: str) -> None:
            self.heard.append(name)

    folder = tmp_path_factory.mktemp("runs")
    with without_figures():
        run = train("linear", data=small, epochs=3, name="followed", folder=folder, watcher=Live(notes := Notes()))
    assert "train" in notes.heard and "judge" in notes.heard  # the other watcher hears everything
    return run


def test_the_folder_says_what_the_last_epoch_brought(done: Run, small: Dataset) -> None:
    epoch = json.loads((done.path / "live-epoch.json").read_text("utf-8"))
    probabilities = predict(done.model, small.validation.images)
    read = probabilities.argmax(1)
    wanted = np.zeros((10, 10), int)
    np.add.at(wanted, (small.validation.labels, read), 1)
    assert np.array_equal(epoch["confusion"], wanted) and epoch["epoch"] == 3
    wrong = np.flatnonzero(read != small.validation.labels)
    surest = wrong[probabilities[wrong].max(1).argmax()]
    first = epoch["worst"][0]
    assert (first["label"], first["read"]) == (small.validation.labels[surest], read[surest])
    pixels = np.frombuffer(base64.b64decode(first["image"]), np.uint8).reshape(28, 28)
    assert np.array_equal(pixels, small.validation.images[surest])
    kernel = done.model.get_weights()[0]
    units = [np.frombuffer(base64.b64decode(text), np.int8) for text in epoch["weights"]["pictures"]]
    assert np.allclose(np.stack(units, 1) / 127 * np.abs(kernel).max(), kernel, atol=np.abs(kernel).max() / 250)
    progress = json.loads((done.path / "live.json").read_text("utf-8"))
    assert progress["epochs"] == 3 and 0 < progress["share"] <= 1 and progress["stage"] == "draw"


def test_a_look_tells_only_what_changed(done: Run) -> None:
    trainings, known = Trainings(done.path.parent), {}
    first = trainings.look("followed", known)
    assert first["state"] == "finished" and first["history"]["epoch"] == [1, 2, 3] and first["epochs"] == 3
    assert first["test"]["accuracy"] == done.evaluation.accuracy
    assert trainings.look("followed", known) == {}
    (done.path / "live.json").write_text('{"stage": "save"}', "utf-8")
    assert trainings.look("followed", known) == {"live": {"stage": "save"}}
    assert trainings.look("../followed", {}) == {"state": "gone"}


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that only wait, in place of those that train."""
    begun: list[subprocess.Popen[bytes]] = []

    def launch(self: Trainings, name: str, task: dict[str, Any]) -> None:
        begun.append(subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]))
        self._processes[name] = begun[-1]

    monkeypatch.setattr(Trainings, "_launch", launch)
    yield begun
    for process in begun:
        process.kill()
        process.wait()


def test_one_at_a_time_and_only_as_it_may(tmp_path: Path, sleeping: list[subprocess.Popen[bytes]]) -> None:
    with running(Settings(runs=tmp_path)) as server:

        def post(what: str, task: Any, **headers: str) -> Any:
            headers = {"Content_Type": "application/json"} | headers
            return server.ask("POST", f"/train/{what}", json.dumps(task), **headers)

        name = post("start", {"recipe": "mlp", "changes": {"epochs": 2, "hidden": [16]}}).json["run"]
        assert name.startswith("mlp-")
        assert [(run["name"], run["state"]) for run in server.ask("GET", "/train/runs").json] == [(name, "starting")]
        refused = post("start", {"recipe": "linear"})
        assert refused.status == 400 and f"{name}: training already, at most 1 at once" in refused.json["error"]
        for task, words in (
            ({"recipe": "mlp9"}, "no recipe 'mlp9'"),
            ({"recipe": "mlp", "changes": {"epochs": 0}}, "epochs: got 0"),
            ({"recipe": "mlp", "changes": {"network": "x.py:f"}}, "expected an object with some of epochs"),
            ([], "expected an object"),
        ):
            answer = post("start", task)
            assert answer.status == 400 and words in answer.json["error"]
        assert post("start", {}, Origin="http://evil.example").status == 403
        assert post("start", {}, Content_Type="text/plain").status == 415
        assert post("stop", {"run": "../../etc"}).status == 400
        assert post("stop", {"run": name}).status == 200
        assert sleeping[0].wait(20) != 0
        assert server.ask("GET", "/train/runs").json == []
    assert len(sleeping) == 1


def test_other_machines_only_watch(tmp_path: Path) -> None:
    class Elsewhere:
        client = type("Client", (), {"host": "192.0.2.7"})

    assert not Trainings(tmp_path)._may(Elsewhere())  # type: ignore[arg-type]
    assert Trainings(tmp_path, anywhere=True)._may(Elsewhere())  # type: ignore[arg-type]
    assert not any("start" in route.path for route in Trainings(tmp_path, control=False).routes())
    with pytest.raises(ServingError, match="no such run"):
        Trainings(tmp_path).resume({"run": "x"})


def test_events_come_until_the_end(done: Run) -> None:
    with running(Settings(runs=done.path.parent)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/train/events?run=followed")
        response = connection.getresponse()
        assert response.getheader("content-type", "").startswith("text/event-stream")
        text = response.read().decode()  # it ends by itself: the run is finished
        connection.close()
    data, end = text.strip().split("\n\n")
    assert json.loads(data.removeprefix("data: "))["state"] == "finished" and end.startswith("event: end")


@pytest.mark.slow
@needs_browser
def test_started_stopped_and_resumed_on_the_page(browser: Any, npz: Path, tmp_path: Path) -> None:
    troubles: list[str] = []
    with running(Settings(runs=tmp_path, data=str(npz))) as server:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        watch(page, troubles, lambda url: url.startswith((server.url, "data:")), console=True)
        page.goto(f"{server.url}train/")
        page.select_option("#recipe", "linear")
        page.fill("#epochs", "400")
        page.click("#go")
        # Its curve moves while it runs: more epochs each time.
        page.wait_for_function(
            "() => (document.querySelector('.curve .val')?.getAttribute('d') || '').split('L').length > 2",
            timeout=120_000,
        )
        before = page.evaluate("document.querySelector('.curve .val').getAttribute('d').length")
        page.wait_for_function(
            "before => document.querySelector('.curve .val').getAttribute('d').length > before", arg=before
        )
        assert page.locator(".confusions td").count() == 100 and page.locator(".units canvas").count() == 10
        assert page.locator(".worst canvas").count() > 0
        page.click("text=Stop")
        page.wait_for_selector("button:text-is('Resume')", timeout=180_000)
        assert "interrupted after epoch" in page.inner_text(".now")
        (run,) = [Run(path) for path in tmp_path.iterdir()]
        kept = len(run.history["epoch"])
        assert 2 <= kept < 400
        page.reload()  # the address names the run
        page.click("button:text-is('Resume')")
        page.wait_for_selector("button:text-is('Stop')", timeout=180_000)
        page.wait_for_function(
            "kept => Number(/epoch (\\d+) of/.exec(document.querySelector('.now').textContent)?.[1]) > kept",
            arg=kept,
            timeout=120_000,
        )
        page.click("text=Stop")
        page.wait_for_selector("button:text-is('Resume')", timeout=180_000)
        context.close()
    assert not troubles


def test_train_open_serves_the_run(npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def look(address: str) -> None:
        opened.append(address)
        port = int(address.split(":")[2].split("/")[0])
        page = Server(port).ask("GET", "/train/")
        assert page.status == 200 and b"Watch a network learn" in page.body and b'id="form"' not in page.body
        assert Server(port).ask("POST", "/train/start", "{}").status in (404, 405)

    monkeypatch.setattr("webbrowser.open", look)
    with without_figures():
        done = in_process(
            "train", "linear", "--data", str(npz), "--validation", "100", "--epochs", "1", "--open", "--name", "seen",
            cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Its report will be in" in done.stderr and "report.html" in done.stderr
    assert len(opened) == 1 and f"Watch it learn: {opened[0]}" in done.stderr
    assert (tmp_path / "runs" / "seen" / "live-epoch.json").is_file()
