"""The run folder: locks, damage, full disks, names; and what of it people see."""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import digitlab
from digitlab import machine, runs
from digitlab.errors import DigitlabError, RunError
from digitlab.files import write_atomically
from digitlab.learning import Recipe
from digitlab.learning.state import HISTORY, TrainState, _digest, load, to_bytes
from digitlab.runs import folder

KEPT = json.loads((Path(__file__).parent / "data" / "run-format-1" / "run.json").read_text("utf-8"))
INFO = {key: value for key, value in KEPT.items() if key not in ("format", "name", "state", "created")}
INFO |= {"recipe": Recipe().to_dict(), "seed": 0}


def state(epoch: int = 2) -> TrainState:
    weights = (np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7], np.uint32))
    return TrainState(epoch, weights, 1, (np.array(3, np.int32),), {name: [0.1, float("nan")] for name in HISTORY})


def test_state_file_round_trips_every_bit(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    file.write_bytes(to_bytes(state()))
    back = load(file)
    assert (back.epoch, back.trainable) == (2, 1)
    for ours, theirs in zip((*state().weights, *state().optimizer), (*back.weights, *back.optimizer), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()
    assert back.history["loss"][0] == 0.1


def test_any_damaged_byte_of_a_checkpoint_is_noticed_or_harmless(tmp_path: Path) -> None:
    good = to_bytes(state())
    file = tmp_path / "checkpoint.npz"
    noticed = 0
    for position in range(0, len(good), 7):
        file.write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            back = load(file)
        except RunError as error:
            noticed += "damaged checkpoint" in str(error) and str(file) in str(error)
        else:  # bytes of the zip container that carry nothing, such as a timestamp
            assert back.weights[0].tobytes() == state().weights[0].tobytes()
            assert back.history["loss"] == state().history["loss"][:1] + back.history["loss"][1:]
    assert noticed > len(good) / 7 / 2
    for length in range(0, len(good), 101):
        file.write_bytes(good[:length])
        with pytest.raises(RunError, match="damaged checkpoint"):
            load(file)


def test_write_atomically_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DigitlabError, match="No space left on device.*untouched"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_create_open_and_list(tmp_path: Path) -> None:
    first = runs.create_run(tmp_path, None, INFO)
    second = runs.create_run(tmp_path, None, INFO)  # the same second: another name
    assert first.path != second.path
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert {r.path for r in runs.list_runs(tmp_path)} == {first.path, second.path}
    assert runs.open_run(first.name, tmp_path).recipe == Recipe()
    assert runs.open_run(first.path).path == first.path
    assert runs.open_run("latest", tmp_path).path in {first.path, second.path}
    assert runs.list_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-x", "a" * 101, "a b"])
def test_names_that_cannot_be_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="expected letters, digits"):
        runs.create_run(tmp_path, name, INFO)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_says_how_to_go_on(tmp_path: Path) -> None:
    runs.create_run(tmp_path, "mine", INFO)
    with pytest.raises(RunError, match="already there.*--resume"):
        runs.create_run(tmp_path, "mine", INFO)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged"),
        ("[]", "expected an object"),
        ('{"recipe": {}, "state": "finished", "format": 99}', "run format 99, expected 1"),
        ("\x00\xff", "damaged"),
    ],
)
def test_damaged_run_json(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=message):
        runs.open_run(tmp_path)


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run"):
        runs.open_run("nothing", tmp_path)
    with pytest.raises(RunError, match="no runs yet"):
        runs.open_run("latest", tmp_path)


def test_a_second_process_is_kept_out_and_a_dead_one_is_not_waited_for(tmp_path: Path) -> None:
    run = runs.create_run(tmp_path, "mine", INFO)
    script = f"""
from pathlib import Path
from digitlab import runs
with runs.locked(runs.open_run(Path({str(run.path)!r}))):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert run.state == "training"
        with pytest.raises(RunError, match="another process is working on this run"), runs.locked(run):
            pass
        other.kill()
        other.wait()
    assert run.state == "stopped"
    with runs.locked(run):
        assert run.state == "training"


def test_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    run = runs.create_run(tmp_path, "mine", INFO)
    with pytest.raises(RunError, match="not finished.*--resume"):
        _ = run.evaluation


def test_history_csv_keeps_every_bit_and_empty_cells() -> None:
    history = {"epoch": [1, 2], "loss": [0.1, 1 / 3], "val_loss": [float("nan"), 0.25]}
    text = runs.history_csv(history)
    assert text == f"epoch,loss,val_loss\n1,0.1,\n2,{1 / 3!r},0.25\n"


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        runs.write_json(tmp_path / "a.json", {"x": float("nan")})
    runs.write_json(tmp_path / "a.json", {"ü": 1})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"ü": 1}


def test_a_run_of_format_1_is_read_as_it_was_written() -> None:
    """A run folder kept since the format was made: whatever changes, it must open and say the same."""
    run = runs.open_run(Path(__file__).parent / "data" / "run-format-1")
    assert (run.state, run.recipe.name, run.recipe.epochs) == ("finished", "linear", 2)
    assert run.history["epoch"] == [1.0, 2.0]
    kept = run.predictions
    assert kept["test_probabilities"].shape == (100, 10)
    assert run.evaluation.samples == 100
    assert run.evaluation.accuracy == (kept["test_probabilities"].argmax(1) == kept["test_labels"]).mean()
    assert run.model.count_params() == run.info["parameters"] == 7850


def _rewritten(
    change: dict[str, str | None] | None = None, value: float | None = None, form: int | None = None
) -> bytes:
    """A checkpoint with entries renamed, a weight changed, or of another format, its checksum left as it was."""
    with np.load(io.BytesIO(to_bytes(state()))) as file:
        arrays = {(change or {}).get(name, name): file[name] for name in file.files}
    if value is not None:
        arrays["weights_000"] = np.full_like(arrays["weights_000"], value)
    if form is not None:
        meta = json.loads(bytes(arrays["meta"])) | {"format": form}
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        arrays.pop("sha256")
        arrays["sha256"] = np.frombuffer(_digest(arrays), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_a_checkpoint_is_held_to_its_checksum_and_format(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    file.write_bytes(_rewritten())
    assert load(file).epoch == 2
    for damaged in (_rewritten(value=1.5), _rewritten({"weights_001": "weights_002"})):
        file.write_bytes(damaged)
        with pytest.raises(RunError, match="damaged checkpoint"):
            load(file)
    file.write_bytes(_rewritten(form=99))
    with pytest.raises(RunError, match="format 99, expected 1"):
        load(file)


def test_latest_is_the_newest_and_a_run_is_itself(tmp_path: Path) -> None:
    for name, created in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        runs.create_run(tmp_path, name, INFO).update(created=created)
    assert runs.open_run("latest", tmp_path).name == "a"
    assert [run.name for run in runs.list_runs(tmp_path)] == ["c", "b", "a"]
    run = runs.open_run("b", tmp_path)
    assert runs.open_run(run).path == Path(run) == run.path
    with pytest.raises(RunError, match="got a int, expected a run's name or path"):
        runs.open_run(3)  # type: ignore[arg-type]


def test_the_checkpoint_is_kept_before_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the two leaves a history that is a row short, which training mends; the reverse nothing mends."""
    run = runs.create_run(tmp_path, "a", INFO)
    written: list[str] = []
    monkeypatch.setattr(folder, "write_atomically", lambda path, _: written.append(path.name))
    run.save_checkpoint(state())
    assert written == ["checkpoint.npz", "history.csv"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    run = runs.create_run(tmp_path, "a", INFO)
    (run.path / "figures").mkdir()
    left = [run.path / ".run.json.77.tmp", run.path / ".model.tmp.keras", run.path / "figures" / ".a.png.77.tmp"]
    for file in left:
        file.write_bytes(b"half")
    run.remove_temporary_files()
    assert not any(file.exists() for file in left)
    assert (run.path / "run.json").exists()


def test_a_source_tree_without_metadata_knows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert machine.versions() == {"python": platform.python_version(), "digitlab": digitlab.__version__}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({}, None),
    ],
)
def test_a_container_has_its_share_of_the_cores(files: dict[str, str], cores: int | None, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert machine.container_share(tmp_path) == cores


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries keep what is free or give it back at once"
)
def test_free_memory_goes_back_to_the_system() -> None:
    code = (
        "from digitlab.machine import give_back_memory\n"
        "held = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6\n"
        "blocks = [bytes(2000) for _ in range(50_000)]\n"
        "last = bytes(2000)\n"
        "del blocks\n"
        "before = held(); give_back_memory(); print(before - held())"
    )
    freed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(freed) > 60
