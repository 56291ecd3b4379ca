"""Work in other processes: ended when it is too much, and never more than one piece of it lost."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import hostile_work as hostile
from PIL import Image

from digitlab.errors import ProcessError, ReadingError
from digitlab.processes import Pool, Worker, WorkerError, plain_loads
from digitlab.processes.start import environment
from digitlab.reading import bulk
from digitlab.reading.bulk import ReadOptions, read_files

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a process's memory and lets it be copied")


@pytest.fixture(autouse=True)
def _tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(hostile.ready, memory=300 << 20) as one:
        yield one


def test_answers_of_any_size(worker: Worker) -> None:
    for size in (0, 1, 3_000_000):
        assert worker.ask(hostile.echo, b"x" * size) == b"state" + b"x" * size


def test_what_is_too_much_ends_and_the_next_is_done(worker: Worker) -> None:
    for work, words in (((hostile.crash,), "SIGABRT"), ((hostile.blunder,), None), ((hostile.loop,), "took too long")):
        expected = WorkerError if words is None else ProcessError
        with pytest.raises(expected, match=words or "ZeroDivisionError: by nought") as caught:
            worker.ask(*work, seconds=0.3 if work[0] is hostile.loop else 30)
        assert getattr(caught.value, "timed_out", False) == (words == "took too long")
        assert worker.ask(hostile.echo, b"!") == b"state!"


@linux
def test_memory_is_capped_and_the_worker_lives_on(worker: Worker) -> None:
    assert worker.ask(hostile.hold, 100) == b"100"
    before = worker.ask(hostile.pid)
    with pytest.raises(ProcessError, match="more memory"):
        worker.ask(hostile.hold, 900)
    assert worker.ask(hostile.pid) == before


def test_what_it_prints_goes_nowhere(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    assert worker.ask(hostile.say, "\x1b[31mevil\n" * 10_000) == b"said"
    assert capfd.readouterr() == ("", "")


def test_only_plain_values_come_back(worker: Worker) -> None:
    with pytest.raises(pickle.UnpicklingError, match="system"):
        plain_loads(worker.ask(hostile.evil))


@pytest.mark.parametrize("setup", [hostile.refuse, hostile.die_at_once])
def test_what_cannot_be_set_up(setup: Callable[[], None]) -> None:
    with Worker(setup) as one, pytest.raises((ReadingError, ProcessError), match=r"no such model|exit code 7"):
        one.start()


@linux
def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, os, threading\nfrom helpers import hostile_work as h\nfrom digitlab.processes import Worker\n"
        "w = Worker(h.ready)\n"
        "print(w.ask(h.pid).decode(), flush=True)\nw.ask(h.loop)"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except OSError:
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        raise AssertionError("it lived on")


def test_modules_in_the_current_folder_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("colorsys", "pickle", "digitlab"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as `python -m` and a script do
    with Worker(hostile.ready) as one:
        assert str(tmp_path) not in one.ask(hostile.where).decode()
    assert not (tmp_path / "ran").exists() and str(tmp_path) not in environment()["PYTHONPATH"]


def test_a_pool_loses_one_piece_a_crash() -> None:
    pool = Pool(2, hostile.ready, seconds=0.5)
    try:
        futures = [
            pool.submit(hostile.crash if i in (1, 4) else hostile.echo, *([] if i in (1, 4) else [b"."]))
            for i in range(8)
        ]
        late = pool.submit(hostile.loop)
        for i, future in enumerate(futures):
            if i in (1, 4):
                with pytest.raises(ProcessError, match="SIGABRT"):
                    future.result(60)
            else:
                assert future.result(60) == b"state."
        with pytest.raises(ProcessError) as caught:
            late.result(60)
        assert caught.value.timed_out
    finally:
        pool.end()
    with pytest.raises(ProcessError, match="after its end"):
        pool.submit(hostile.echo, b"")


def test_what_waited_too_long_is_not_begun() -> None:
    pool = Pool(1, hostile.ready, seconds=0.3, patience=0.1)
    try:
        pool.start()
        first, second = pool.submit(hostile.loop), pool.submit(hostile.echo, b"")
        with pytest.raises(ProcessError) as caught:
            second.result(60)
        assert caught.value.busy and first.done()
        assert pool.wait == 0 and pool._mean > 0.05 + 0.05 * 0.2  # what took too long counts as well
    finally:
        pool.end()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_that_is_too_much_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(bulk, "read_in_worker", hostile.read_or_misbehave)
    names = ["a.png", "sleeps.png", "b.png", "crashes.png", "fills.png", "c.png"]
    for name in names:
        Image.new("L", (60, 60), 255).save(tmp_path / name)
    began = time.monotonic()
    assert [result.error for result in read_files([tmp_path / "a.png"], ReadOptions(workers=workers))] == [None]
    patience = max(6, round(5 * (time.monotonic() - began)))  # a busy machine is given more
    found = {
        Path(result.file).name: result.error
        for result in read_files([tmp_path / name for name in names], ReadOptions(workers=workers, timeout=patience))
    }
    assert list(found) == names
    assert [found[name] for name in ("a.png", "b.png", "c.png")] == [None] * 3
    assert f"not read within {patience} s" in str(found["sleeps.png"]) and "--timeout" in str(found["sleeps.png"])
    assert "SIGABRT" in str(found["crashes.png"])
    if sys.platform == "linux":
        assert "more memory" in str(found["fills.png"]) or "within" in str(found["fills.png"])


@linux
def test_the_command_reads_a_single_picture_in_a_copy_of_itself(tmp_path: Path) -> None:
    """Its start costs nothing, and what a decoder does to it costs a line."""
    Image.new("L", (60, 60), 255).save(tmp_path / "a.png")
    code = (
        "import os, sys\nfrom digitlab.startup import import_ndimage_quickly\nimport_ndimage_quickly()\n"
        "from digitlab.reading import bulk\nfrom digitlab.cli import app\nparent = os.getpid()\n"
        "def crash(*_):\n    assert os.getpid() != parent\n    os.abort()\n"
        "bulk.read_one = crash\napp(sys.argv[1:])"
    )
    command = [sys.executable, "-P", "-c", code, "read", str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "SIGABRT" in done.stderr and "a.png" in done.stderr
