"""Run folders from elsewhere, damaged or made to harm: listed as damaged with why, and nothing of theirs is run."""

from __future__ import annotations

import collections
import contextlib
import errno
import io
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitlab.cli import runs_commands
from digitlab.errors import DigitlabError, RunError
from digitlab.files import printable
from digitlab.runs import Run, create_run, damaged_runs, list_runs, locked, overview, trust
from digitlab.runs import folder as run_folder
from digitlab.runs import lock as run_lock
from digitlab.runs import register as run_register
from digitlab.runs.training import resume

KEPT = Path(__file__).parent / "data" / "run-format-1"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two whole runs; tests harm the one called `harmed`."""
    for name in ("harmed", "whole"):
        shutil.copytree(KEPT, tmp_path / "runs" / name)
    return tmp_path / "runs"


def listed(runs: Path) -> dict[str, Any]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runs_commands.runs(None, None, runs, True)
    return {row["name"]: row for row in json.loads(out.getvalue())}


def info(**changes: Any) -> bytes:
    return json.dumps({**json.loads((KEPT / "run.json").read_text("utf-8")), **changes}).encode("utf-8")


def metrics(**changes: Any) -> bytes:
    kept = json.loads((KEPT / "metrics.json").read_text("utf-8"))
    return json.dumps({**kept, "test": {**kept["test"], **changes}}).encode("utf-8")


def predictions(**changes: np.ndarray) -> bytes:
    with np.load(KEPT / "predictions.npz") as kept:
        arrays = {**{name: kept[name] for name in kept.files}, **changes}
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def false_header() -> bytes:
    """An array that says it has a terabyte."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        array = io.BytesIO()
        np.lib.format.write_array_header_1_0(array, {"descr": "<f4", "fortran_order": False, "shape": (1 << 38,)})
        archive.writestr("test_probabilities.npy", array.getvalue())
    return content.getvalue()


DATA = json.loads((KEPT / "run.json").read_text("utf-8"))["data"]
HEADER = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
DAMAGE: dict[str, tuple[str, bytes, str]] = {
    "half a metrics.json": ("metrics.json", metrics()[:700], "no JSON"),
    "metrics not UTF-8": ("metrics.json", b"\xff\xfe{}", "not UTF-8"),
    "NaN in metrics": ("metrics.json", metrics(log_loss=float("nan")), "NaN in it"),
    "accuracy of 7": ("metrics.json", metrics(accuracy=7), "test.accuracy"),
    "a number of 400 digits": ("metrics.json", metrics(accuracy=10**400), "test.accuracy"),
    "other samples": ("metrics.json", metrics(samples=99), "counts of 99 images"),
    "no precision": ("metrics.json", metrics(precision=[]), "0 entries, expected 10"),
    "a mistake beyond": ("metrics.json", metrics(mistakes=[100]), "an index beyond 100"),
    "deep": ("metrics.json", b"[" * 200_000, "nested too deep"),
    "history not UTF-8": ("history.csv", b"\xff\xfe" + HEADER.encode(), "not UTF-8"),
    "history of words": ("history.csv", (HEADER + "1,a,b,c,d,e,f\n").encode(), "row 1, loss"),
    "history of infinity": ("history.csv", (HEADER + "1,1e999,0,0,0,0,0\n").encode(), "row 1, loss"),
    "history short": ("history.csv", (HEADER + "1,2\n").encode(), "2 cells"),
    "history without columns": ("history.csv", b"loss\n1\n", "columns"),
    "empty history": ("history.csv", b"", "empty"),
    "half predictions": ("predictions.npz", predictions()[:900], "damaged"),
    "predictions of another shape": ("predictions.npz", predictions(test_labels=np.zeros(3, np.uint8)), "test_labels"),
    "labels beyond": ("predictions.npz", predictions(test_labels=np.full(100, 77, np.uint8)), "up to 77"),
    "no probabilities": (
        "predictions.npz",
        predictions(test_probabilities=np.ones((100, 10), np.float32)),
        "rows that",
    ),
    "objects": ("predictions.npz", predictions(extra=np.array([{}], dtype=object)), "an array of object"),
    "a terabyte": ("predictions.npz", false_header(), "an array of float32"),
    "a recipe that is a list": ("run.json", info(recipe=[]), "recipe: a list of 0, expected an object"),
    "no seed": ("run.json", info(seed=None), "seed: None"),
    "fewer classes": ("run.json", info(data=DATA | {"classes": ["0", "1"]}), "run.json of another number"),
    "another state": ("run.json", info(state="<b>"), "state"),
    "escapes": ("run.json", info(created="\x1b]0;pwned\x07"), "control characters"),
    "no JSON": ("run.json", b"{", "no JSON"),
    "a million layers": ("run.json", info(layers=[{}] * 20_000), "layers: 20000 entries"),
    "a later format": ("run.json", info(format=2), "run format 2, expected 1"),
    "robustness": ("corruptions.json", b'{"format": 1, "test": {}}', "samples: not there"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_is_listed_with_why_and_hides_no_other(
    runs: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, content, words = DAMAGE[name]
    (runs / "harmed" / file).write_bytes(content)
    rows = listed(runs)
    assert rows["harmed"]["state"] == "damaged" and words in rows["harmed"]["damage"]
    assert rows["whole"]["state"] == "finished" and rows["whole"]["test_accuracy"] > 0
    runs_commands.runs(None, None, runs, False)
    out, err = capsys.readouterr()
    assert "whole" in out and "damaged" in out and words in err and "\x1b]0" not in out + err
    page = overview.dashboard(runs, folder=runs)
    assert "damaged" in page and ">whole<" in page


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(runs: Path) -> None:
    for file in ("metrics.json", "run.json"):
        (runs / "harmed" / file).unlink()
        os.mkfifo(runs / "harmed" / file)
        assert "no ordinary file" in listed(runs)["harmed"]["damage"]


def test_too_large_a_file_is_not_read(runs: Path) -> None:
    with (runs / "harmed" / "run.json").open("r+b") as file:
        file.truncate(1 << 40)
    assert "expected at most" in listed(runs)["harmed"]["damage"]


VALUES = [
    None,
    True,
    -1,
    0,
    10**30,
    1.5,
    "",
    "x" * 5000,
    "\x1b]0;pwn\x07",
    "<script>alert(1)</script>",
    [],
    {},
    [[]],
    "[red]",
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    entries = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, entry in entries:
        found += places(entry, (*at, key))
    return found


def mutated(content: bytes, chance: random.Random) -> bytes:
    """JSON with one or two values changed or gone; else bytes changed."""
    if not content.startswith(b"{") or chance.random() < 0.3:
        changed = bytearray(content)
        for _ in range(chance.choice([1, 3, 9])):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed[: chance.choice([len(changed), chance.randrange(len(changed))])])
    values = json.loads(content)
    for _ in range(chance.choice([1, 2])):
        *way, last = chance.choice(places(values)[1:])
        with contextlib.suppress(KeyError, IndexError, TypeError):
            inner = values
            for key in way:
                inner = inner[key]
            if chance.random() < 0.2:
                del inner[last]
            else:
                inner[last] = chance.choice(VALUES)
    return json.dumps(values).encode("utf-8")


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_runs(runs: Path, seed: int) -> None:
    """Whatever is changed: lines, no exceptions, and the other run stays. The long campaign: benchmarks/attack."""
    chance = random.Random(seed)
    states: collections.Counter[str] = collections.Counter()
    for _ in range(40):
        file = chance.choice(["run.json", "run.json", "metrics.json", "history.csv", "predictions.npz"])
        (runs / "harmed" / file).write_bytes(mutated((KEPT / file).read_bytes(), chance))
        rows = listed(runs)
        assert rows["whole"]["state"] == "finished"
        states[rows["harmed"]["state"]] += 1
        assert "<script>alert(1)" not in overview.dashboard(runs, folder=runs)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(DigitlabError):
            runs_commands.runs("harmed", None, runs, False)
            runs_commands.compare("harmed", "whole", runs, False)
        assert "\x1b]" not in out.getvalue()
        shutil.copy(KEPT / file, runs / "harmed" / file)
    assert set(states) <= {"damaged", "finished", "interrupted", "failed", "stopped"} and states["damaged"] > 13


# Python of somebody else's.


def test_a_run_from_elsewhere_runs_no_python(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef build():\n    raise SystemExit(3)\n", "utf-8")
    import hashlib

    recipe = {**json.loads((KEPT / "run.json").read_text("utf-8"))["recipe"], "network": f"{evil}:build"}
    own = {"file": str(evil), "sha256": hashlib.sha256(evil.read_bytes()).hexdigest()}
    content = json.loads(info(state="interrupted", recipe=recipe, own_model=own))
    content["data"] |= {"source": "", "counts": {"train": 55000, "validation": 5000, "test": 10000}}
    from digitlab.data import load

    content["data"]["sha256"] = load(None, validation=5000).sha256
    (runs / "harmed" / "run.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(RunError, match=r"If you trust that file.*--model"):
        resume(runs / "harmed")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(RunError, match="Name the one it was begun with"):
        resume(runs / "harmed", model=f"{evil}:other")
    assert not (tmp_path / "ran").exists()


def test_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "mine.py"
    file.write_text("def build(): ...", "utf-8")
    network = f"{file}:build"

    def trusted(network: str) -> bool:
        try:
            trust.check_trusted(tmp_path, network, None)
        except RunError:
            return False
        return True

    assert not trusted(network)
    trust.trust(network)
    assert trusted(network) and not trusted(f"{file}:other")
    file.write_text("def build(): import os", "utf-8")
    assert not trusted(network)  # not what was named
    trust.check_trusted(tmp_path, network, f"{tmp_path}/./mine.py:build")
    assert trusted(network)


def test_a_script_that_ends_itself_is_an_error(tmp_path: Path) -> None:
    from digitlab.errors import RecipeError
    from digitlab.learning.models import build
    from digitlab.learning.recipe import RECIPES
    from digitlab.runs.own_model import own_recipe

    (tmp_path / "ends.py").write_text("import sys\ndef build():\n    sys.exit(3)\n", "utf-8")
    with pytest.raises(RecipeError, match="failed with SystemExit: 3"):
        build(own_recipe(RECIPES["mlp"], f"{tmp_path / 'ends.py'}:build"), 10, None)


def test_too_many_weights_are_refused_before_they_are_made() -> None:
    from digitlab.errors import RecipeError
    from digitlab.learning.recipe import recipe

    with pytest.raises(RecipeError, match="200,000,000 weights"):
        recipe("mlp", hidden=(2_000_000_000,))
    assert recipe("mlp", hidden=(4096, 4096, 4096)).hidden


# Names, locks, modes.


def test_a_name_is_free_again_after_a_kill_before_run_json(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".run.json.77.tmp").write_text("{")
    (tmp_path / "x" / ".lock").touch()
    first = json.loads((KEPT / "run.json").read_text("utf-8"))
    for key in ("format", "name", "state", "created"):
        del first[key]
    with locked(Run(tmp_path / "x")), pytest.raises(RunError, match="another process"):
        create_run(tmp_path, "x", first)
    run = create_run(tmp_path, "x", first)
    assert run.state == "stopped" and sorted(file.name for file in run.path.iterdir()) == [".lock", "run.json"]
    with pytest.raises(RunError, match="already there"):
        create_run(tmp_path, "x", first)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").touch()
    with pytest.raises(RunError, match="already there"):
        create_run(tmp_path, "theirs", first)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(run_lock, "_lock", no_locks)
    with pytest.raises(RunError, match=r"cannot lock files \(No locks available\).*--runs"), locked(Run(tmp_path)):
        pass
    assert not run_lock.is_locked(tmp_path)


def test_runs_are_sorted_by_moment_whatever_the_clock_is_set_to(runs: Path) -> None:
    for name, created in (("harmed", "2026-01-01T00:30:00+02:00"), ("whole", "2025-12-31T23:00:00+00:00")):
        (runs / name / "run.json").write_bytes(info(created=created))
    assert [run.name for run in list_runs(runs)] == ["harmed", "whole"] and not damaged_runs(runs)


@pytest.mark.skipif(os.name == "nt", reason="modes")
def test_files_have_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.umask(0o077); from pathlib import Path; from digitlab.files import write_atomically\n"
        "write_atomically(Path(sys.argv[1]), b'ink')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o600


def test_a_name_cannot_talk_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\x1b[31m\n\u202eb") == "a?[31m??b"
    import typer

    from digitlab.cli.errors import fail

    with pytest.raises(typer.Exit):
        fail("runs/\x1b]0;pwned\x07: no such run", 1)
    assert capsys.readouterr().err == "digitlab: runs/?]0;pwned?: no such run\n"


def test_a_read_only_folder_can_be_looked_at_and_says_no_in_one_line(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a mounted image or a share; root may write everywhere else, so the file system is made to say no."""
    name = next(run.name for run in run_register.list_runs(runs))
    real = io.open

    def read_only(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if str(file).startswith(str(runs)) and set(mode) & set("wax+"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(file))
        return real(file, mode, *args, **kwargs)

    def no_folder(path: Any, *_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(io, "open", read_only)
    monkeypatch.setattr(os, "mkdir", no_folder)
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    run = run_register.open_run(name, runs)
    assert run.evaluation.samples and run.predictions and run.state == "finished"
    for attempt in (
        lambda: run_register.create_run(runs, "new", {**run.info}),
        lambda: run_lock.locked(run).__enter__(),
        lambda: run.update(seed=1),
        lambda: run_folder.write_arrays(run.path / "predictions.npz", run.predictions),
    ):
        with pytest.raises(DigitlabError) as caught:
            attempt()
        assert "Read-only file system" in str(caught.value) and str(caught.value).isprintable()
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
