"""A real Dask cluster: files read on it, what it refuses, how a run comes home; test_cluster_killed has the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import in_process
from helpers.dask_cluster import DaskProcesses, certificates
from PIL import Image

import digitlab
from digitlab.data import Dataset
from digitlab.errors import DigitlabError, RunError
from digitlab.processes import Work
from digitlab.processes.worker import _echo as echo
from digitlab.reading.bulk import ReadOptions, read_files
from digitlab.reading.sent import read_files_at
from digitlab.runs import cluster as cluster_module
from digitlab.runs.cluster import Cluster
from digitlab.runs.group_training import train_group
from digitlab.runs.parallel import LocalProcesses
from digitlab.runs.parcels import ARRIVING, pack, put_back, unpack


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with DaskProcesses(tmp_path_factory.mktemp("dask")) as processes:
        processes.start_worker()
        processes.start_worker()
        yield processes


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, mnist: Dataset) -> Path:
    """Eleven pictures of three digits, one damaged."""
    folder = tmp_path_factory.mktemp("pages")
    for number in range(11):
        page = np.full((80, 200), 255, np.uint8)
        for place, image in enumerate(mnist.test.images[3 * number : 3 * number + 3]):
            page[26:54, 20 + 55 * place : 48 + 55 * place] = 255 - image
        Image.fromarray(page).resize((600, 240)).save(folder / f"{number:02}.png")
    (folder / "05.png").write_bytes(b"no picture")
    return folder


def without_seconds(line: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(line).items() if name != "seconds"}


@pytest.mark.slow
def test_reading_a_folder_gives_what_this_machine_gives(dask: DaskProcesses, pages: Path, tmp_path: Path) -> None:
    there = in_process("read", str(pages), "--json", "--scheduler", dask.address, cwd=tmp_path)
    here = in_process("read", str(pages), "--json", cwd=tmp_path)
    assert there.returncode == here.returncode == 1
    assert there.stderr == here.stderr
    assert list(map(without_seconds, there.stdout.splitlines())) == list(map(without_seconds, here.stdout.splitlines()))
    assert len(there.stdout.splitlines()) == 11


def test_drawings_come_home(pages: Path, tmp_path: Path) -> None:
    """What is done on a worker, here without one: the interface is the same."""
    files = [pages / "00.png", pages / "no-such.png", pages / "05.png"]
    options = {"annotate": tmp_path / "boxes", "stages": tmp_path / "stages", "tables": True, "crops": True}
    there = list(read_files_at(LocalProcesses(1), files, ReadOptions(**options)))
    other = {"annotate": tmp_path / "own boxes", "stages": tmp_path / "own stages"}
    here = list(read_files(files, ReadOptions(**options | other)))
    assert [one.error for one in there] == [one.error for one in here]
    assert there[0].reading is not None and here[0].reading is not None
    assert (there[0].reading.text, there[0].crops) == (here[0].reading.text, here[0].crops)
    for name in ("boxes", "stages"):
        assert sorted(file.name for file in (tmp_path / name).iterdir()) == ["00.png"]
        assert (tmp_path / name / "00.png").read_bytes() == (tmp_path / f"own {name}" / "00.png").read_bytes()


@pytest.mark.slow
def test_what_cannot_be_done_is_one_line_before_anything_starts(
    dask: DaskProcesses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(DigitlabError, match="expected tcp://HOST:8786") as said:
        Cluster("tcp://somebody:secret@10.0.0.1:8786")
    assert "secret" not in str(said.value)
    with pytest.raises(RunError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers there"):
        Cluster("tcp://127.0.0.1:9", wait=0).train([{"name": "a", "options": {"model": None, "data": None}}], print)
    with Cluster(dask.address) as cluster:
        with pytest.raises(RunError, match="a model of your own is not sent"):
            train_group("linear", 2, place=cluster, model="my_file.py:build", folder=tmp_path)
        own = cluster_module.versions_of
        monkeypatch.setattr(cluster_module, "versions_of", lambda packages: own(packages) | {"jax": "0.1.2"})
        with pytest.raises(RunError, match=r"tcp://127.*: has jax \d.*, here it is 0.1.2. Install the same versions"):
            train_group("linear", 2, place=cluster, folder=tmp_path)
    assert not list(tmp_path.glob("*/run.json"))
    done = in_process("train", "linear", "--scheduler", dask.address, cwd=tmp_path)
    assert done.returncode == 2 and "--scheduler trains several seeds" in done.stderr


def test_a_run_comes_home_whole_or_not_at_all(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"data": {"source": null}}')
    (run / ".lock").touch()
    (run / "figures").mkdir()
    (run / "figures" / "a.svg").write_text("ink")
    parcel = pack(run)
    (run / "run.json").write_text("{}")
    with pytest.raises(RunError, match="could not be brought home"):
        unpack(parcel[: len(parcel) // 2], run)
    assert (run / "run.json").read_text() == "{}"
    unpack(parcel, run, source="/data")
    assert json.loads((run / "run.json").read_text()) == {"data": {"source": "/data"}}
    assert (run / "figures" / "a.svg").read_text() == "ink" and not (run / ".lock").exists()
    # Killed between the two renames.
    (tmp_path / "runs" / ARRIVING).mkdir()
    run.rename(tmp_path / "runs" / ARRIVING / "a.old")
    put_back(run)
    assert (run / "run.json").exists()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be bound")
def test_processes_that_know_nothing_of_each_other_take_different_cores() -> None:
    code = "from digitlab.processes import bind_to_a_free_core as bind; print(bind(), flush=True); input()"
    command = [sys.executable, "-c", code]
    taken = []
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as one:
        with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as other:
            for process in (one, other):
                assert process.stdout is not None
                taken.append(process.stdout.readline())
            other.communicate("\n")
        one.communicate("\n")
    cores = os.sched_getaffinity(0)
    assert len(set(taken)) == min(2, len(cores))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_with_certificates_it_works_and_without_them_it_is_one_line(tmp_path: Path) -> None:
    from distributed import Security

    files = certificates(tmp_path)
    names = {
        "tls_ca_file": files["tls_ca_file"],
        "tls_client_cert": files["tls_cert"],
        "tls_client_key": files["tls_key"],
    }
    with DaskProcesses(tmp_path, tls=files) as processes:
        processes.start_worker()
        with Cluster(processes.address, security=Security(require_encryption=True, **names)) as cluster:
            answers = list(cluster.map(Work(str, ("piece",), echo), [(b"1",), (b"2",)]))
        assert answers == [b"piece 1", b"piece 2"]
        Image.new("L", (9, 9), 255).save(tmp_path / "blank.png")
        done = in_process("read", "blank.png", "--scheduler", processes.address, cwd=tmp_path)
        assert done.returncode != 0 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "certificates named in Dask's configuration" in done.stderr


def test_without_dask_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['distributed'] = None\nimport digitlab\ndigitlab.Cluster('tcp://a:1')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith("Install it with: pip install 'digitlab[cluster]'")
    assert digitlab.Cluster is Cluster
