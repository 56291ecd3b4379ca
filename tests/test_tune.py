"""digitlab tune: ranges, studies that are gone on with and shared, what is compiled, what is judged and shown."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from helpers.command import environment, in_process, without_figures

from digitlab.data import Dataset, Split
from digitlab.errors import DigitlabError, RecipeError, RunError
from digitlab.learning import recipe
from digitlab.learning.models import build
from digitlab.processes import Work
from digitlab.runs.recipe_file import load_recipe
from digitlab.searching import elsewhere
from digitlab.searching.finalists import SEEDS
from digitlab.searching.ranges import parameters_of, parse, space, suggest
from digitlab.searching.study import opened, results, validation_accuracy
from digitlab.searching.tuning import Tuned, tune

# One shape: everything but the numbers is fixed.
NUMBERS = {"fix": {"batch_size": "200", "augmentation": "", "hidden": ""}}


@pytest.fixture(scope="module")
def little(small: Dataset) -> Dataset:
    return dataclasses.replace(small, train=Split(small.train.images[:400], small.train.labels[:400]))


@pytest.fixture(scope="module")
def tuned(little: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    with without_figures():
        return tune(
            "linear",
            trials=7,
            finalists=3,
            seeds=2,
            study="mine",
            jobs=1,
            data=little,
            epochs=4,
            folder=tmp_path_factory.mktemp("runs"),
            **NUMBERS,
        )


@pytest.mark.slow
def test_a_search_keeps_every_trial_and_judges_the_best_beside_the_first(tuned: Tuned, little: Dataset) -> None:
    assert [trial.number for trial in tuned.trials] == list(range(7))
    assert tuned.trials[0].recipe.peak_rate == pytest.approx(recipe("linear").peak_rate)
    assert tuned.best is not None and tuned.best.state == "complete"
    accuracies = sorted((t.accuracy or 0 for t in tuned.trials if t.state == "complete"), reverse=True)
    assert sorted((tuned.trials[n].accuracy or 0 for n in tuned.further), reverse=True) == accuracies[:3]
    assert max(tuned.further, key=lambda n: sum(tuned.further[n])) == tuned.best.number
    again = dataclasses.replace(tuned.best.recipe, seed=tuned.best.recipe.seed + SEEDS[1])
    alone = validation_accuracy(build(again), again, little, "auto", lambda *_: None)
    assert tuned.further[tuned.best.number][1] == pytest.approx(alone)
    assert json.loads((tuned.path / "best.json").read_text())["further_seeds"] == list(tuned.further[tuned.best.number])
    assert {trial.recipe.batch_size for trial in tuned.trials} == {200}
    assert tuned.judged is not None and tuned.comparison is not None
    start, best = tuned.judged
    assert [run.info["seed"] for run in best.runs] == [0, 1] == [run.info["seed"] for run in start.runs]
    assert tuned.comparison.difference == pytest.approx(100 * (best.accuracies.mean() - start.accuracies.mean()))

    kept = load_recipe(tuned.path / "best.json")
    assert kept == best.runs[0].recipe and kept.peak_rate == tuned.best.recipe.peak_rate
    assert dict(tuned.importance).keys() == tuned.trials[0].parameters.keys()


def test_the_page_shows_it_and_needs_nothing_else(tuned: Tuned) -> None:
    page = (tuned.path / "study.html").read_text("utf-8")
    assert tuned.best is not None
    assert (
        f"{100 * (tuned.best.accuracy or 0):.2f}" in page and "default-src &#39;none&#39;" in page
    ) or "default-src 'none'" in page
    complete = sum(trial.state == "complete" for trial in tuned.trials)
    assert page.count('<path class="p-') == complete
    assert 'href="http' not in page and "src=" not in page
    for name in ("log2", "hidden"):
        assert f'<th scope="row">{name}' not in page
    assert "peak_rate" in page and "mine-start" in page
    assert "3 were trained with two further seeds" in page


def test_a_study_goes_on_where_it_stopped(tuned: Tuned, little: Dataset, tmp_path: Path) -> None:
    # Of a copy: other tests look at the study as it was.
    options: dict[str, Any] = {
        "data": little,
        "epochs": 4,
        "folder": shutil.copytree(tuned.path.parents[1], tmp_path / "runs"),
        "study": "mine",
        "seeds": 0,
        "finalists": 3,
        "jobs": 1,
    }
    again = tune("linear", trials=7, **options, **NUMBERS)
    assert again.further == tuned.further and again.best == tuned.best
    assert [t.parameters for t in again.trials] == [t.parameters for t in tuned.trials]
    more = tune("linear", trials=8, **options, **NUMBERS)
    assert len(more.trials) == 8 and more.judged is None
    with pytest.raises(RunError, match=r"begun with other ranges \(peak_rate: 0.0003..0.03, now 0.001..0.01\)"):
        tune("linear", trials=9, search_in={"peak_rate": "1e-3..1e-2"}, **options, **NUMBERS)
    with pytest.raises(RunError, match=r"begun with another recipe \(epochs: 4, now 5\)"):
        tune("linear", trials=9, **options | {"epochs": 5}, **NUMBERS)


@pytest.mark.slow
def test_a_trial_sees_no_test_image_writes_no_run_and_compiles_nothing_new(little: Dataset, tmp_path: Path) -> None:
    import jax

    blind = dataclasses.replace(little, test=Split(little.test.images[:0], little.test.labels[:0]))
    compiled: list[int] = []
    trials: list[int] = []

    def listen(event: str, *_: object, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(len(trials))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        found = tune(
            "mlp", trials=4, seeds=0, finalists=0, jobs=1, study="blind", data=blind, epochs=2, folder=tmp_path,
            batch_size=100, fix={"hidden": "6", "batch_size": ""},
            on_trial=lambda trial, best: trials.append(trial.number),
        )  # fmt: skip
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    # The first trial is the recipe itself, without augmentation and dropout; the second has both.
    assert set(compiled) <= {0, 1}
    assert len({trial.recipe.dropout for trial in found.trials}) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["studies"]
    assert {path.name for path in found.path.iterdir()} == {".lock", "journal.log", "best.json", "study.html"}


def test_a_trial_that_was_killed_is_given_up(little: Dataset, tmp_path: Path) -> None:
    start, ranges = space(recipe("linear"), {}, NUMBERS["fix"])
    with opened("mine", tmp_path, None, start, ranges, "") as study:
        trial = study.ask()
        trial.set_user_attr("recipe", suggest(trial, start, ranges).to_dict())
        with opened("mine", tmp_path, None, start, ranges, "") as beside:  # another process joins while it runs
            assert [t.state for t in results(beside)] == ["running"]
    with opened("mine", tmp_path, None, start, ranges, "") as study:
        assert [t.state for t in results(study)] == ["failed"]


def test_poor_trials_are_pruned_between_epochs(
    little: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from digitlab.searching.study import train_trial

    start, ranges = space(recipe("linear", epochs=6), {}, NUMBERS["fix"])
    with opened("mine", tmp_path, None, start, ranges, "") as study:
        for _ in range(6):  # five that were good from the beginning, and the first of them again
            good = study.ask()
            for epoch in range(1, 7):
                good.report(0.99, epoch)
            study.tell(good, 0.99)
        poor = study.ask()
        with pytest.raises(optuna.TrialPruned, match="after epoch"):
            train_trial(poor, build(start), start, little, "auto")
        assert max(study.get_trials()[-1].intermediate_values) < 6


@pytest.mark.slow
def test_a_trial_that_diverges_is_pruned_and_the_search_goes_on(little: Dataset, tmp_path: Path) -> None:
    wild = {"peak_rate": "1e29..1e31"}
    options: dict[str, Any] = {"data": little, "epochs": 1, "folder": tmp_path, "seeds": 0, "jobs": 1}
    found = tune("mlp", trials=3, peak_rate=1e30, hidden=(8,), search_in=wild, **options, **NUMBERS)
    assert [trial.state for trial in found.trials] == ["pruned"] * 3
    assert found.best is None


@pytest.mark.slow
def test_trials_side_by_side_are_trained_as_alone_and_kept_in_order(
    little: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from digitlab.searching import tuning

    monkeypatch.setattr(tuning, "usable_cores", lambda: [0, 1])
    told: list[int] = []
    found = tune(
        "linear", trials=3, seeds=0, finalists=2, jobs=2, study="two", data=little, epochs=2, folder=tmp_path,
        on_trial=lambda trial, _: told.append(trial.number), **NUMBERS,
    )  # fmt: skip
    assert told == [0, 1, 2] == [trial.number for trial in found.trials]
    for trial in found.trials:
        alone = validation_accuracy(build(trial.recipe), trial.recipe, little, "auto", lambda *_: None)
        assert trial.state == "complete" and trial.accuracy == pytest.approx(alone)
    assert len(found.further) == 2 and {len(values) for values in found.further.values()} == {2}


def test_a_search_that_is_done_starts_no_process(
    little: Dataset, tuned: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    from digitlab.processes import pieces
    from digitlab.searching import tuning

    monkeypatch.setattr(tuning, "usable_cores", lambda: [0, 1])
    monkeypatch.delattr(pieces, "Pool")
    folder = tuned.path.parents[1]
    options: dict[str, Any] = {"study": "mine", "data": little, "epochs": 4, "folder": folder}
    again = tune("linear", trials=7, seeds=0, finalists=3, **options, **NUMBERS)
    assert again.best == tuned.best


def test_ranges() -> None:
    start, ranges = space(
        recipe("mlp"), {"peak_rate": "1e-4..1e-2", "optimizer": "adam,sgd"}, {"hidden": "128", "dropout": ""}
    )
    assert list(ranges) == ["peak_rate", "batch_size", "weight_decay", "label_smoothing", "augmentation", "optimizer"]
    assert (start.hidden, start.dropout, start.loss) == ((128,), 0.0, "categorical_crossentropy")
    assert "hidden" not in space(recipe("cnn"), {}, {})[1]
    assert "augmentation" not in space(recipe("mlp"), {"elastic": "0..1"}, {})[1]
    assert space(recipe("mlp-augmented"), {}, {"augmentation": "0"})[0].elastic == 0

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for _ in range(40):
        tried = suggest(study.ask(), *space(recipe("mlp"), {"warmup": "0.1..0.3"}, {}))
        assert tried.batch_size in (16, 32, 64, 128, 256) and tried.hidden[0] in (32, 64, 128, 256, 512)
        assert 1 <= len(tried.hidden) <= 3 and len(set(tried.hidden)) == 1
        assert 0.1 <= tried.warmup <= 0.3 and 3e-4 <= tried.peak_rate <= 3e-2 and tried.elastic <= 0.7
        # What `parameters_of` says of a recipe leads back to it.
        fixed = optuna.trial.FixedTrial(parameters_of(tried, space(recipe("mlp"), {"warmup": "0.1..0.3"}, {})[1]))
        back = suggest(fixed, *space(recipe("mlp"), {"warmup": "0.1..0.3"}, {}))
        np.testing.assert_allclose([back.elastic, back.peak_rate], [tried.elastic, tried.peak_rate])
        assert (back.hidden, back.batch_size) == (tried.hidden, tried.batch_size)


@pytest.mark.parametrize(
    ("search", "fix", "message"),
    [
        ({"peak_rat": "1..2"}, {}, "no recipe field 'peak_rat'"),
        ({"peak_rate": "1..x"}, {}, "expected a range as in 1e-4..1e-2"),
        ({"peak_rate": "2..1"}, {}, "expected a lower end below an upper one"),
        ({"dropout": "0..1"}, {}, "dropout: got 1.0, expected a number from 0 to below 1"),
        ({"optimizer": "adam,lion"}, {}, "optimizer: got 'lion', expected one of adam"),
        ({"dropout": "0..0.1"}, {"dropout": "0.1"}, "dropout: both searched and fixed"),
        ({}, {"hidden": "12y"}, "hidden: got '12y', expected a number"),
        ({"augmentation": "0..2"}, {}, "expected a range within 0..1"),
        ({"seed": "0..9"}, {}, "seed: not a field that can be searched"),
    ],
)
def test_mistakes_in_ranges_are_said(search: dict[str, str], fix: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        space(recipe("mlp"), search, fix)


def test_parse_knows_scales() -> None:
    assert parse("peak_rate", "1e-4..1e-2").logarithmic and not parse("dropout", "0..0.5").logarithmic


def test_storage_that_cannot_serve_many_is_refused_and_no_password_is_said(tmp_path: Path) -> None:
    start, ranges = space(recipe("linear"), {}, {})
    with pytest.raises(DigitlabError, match=r"got sqlite://..., expected postgresql://. SQLite fails"):
        opened("mine", tmp_path, "sqlite:///a.db", start, ranges, "").__enter__()
    with pytest.raises(RunError, match="no answer from the PostgreSQL server") as caught:
        opened("mine", tmp_path, "postgresql://me:secret@127.0.0.1:1/none", start, ranges, "").__enter__()
    assert "secret" not in str(caught.value)


def test_the_command(little: Dataset, tmp_path: Path) -> None:
    parts = {name: getattr(little, name) for name in ("train", "validation", "test")}
    images = np.concatenate([parts["train"].images, parts["validation"].images])
    labels = np.concatenate([parts["train"].labels, parts["validation"].labels])
    np.savez(
        tmp_path / "few.npz", x_train=images, y_train=labels, x_test=parts["test"].images, y_test=parts["test"].labels
    )
    options = ["--data", "few.npz", "--validation", "200", "--runs", str(tmp_path), "--epochs", "1", "--seeds", "0"]
    fixed = ["--fix", "batch_size=200", "--fix", "augmentation", "--study", "mine", "--trials", "2", "--jobs", "1"]
    done = in_process("tune", "linear", *options, *fixed, "--fix", "hidden", "--json", cwd=tmp_path, columns=80)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["trials"]["complete"] == 2 and found["judged"] is None
    assert done.stderr.count("\ntrial ") + done.stderr.startswith("trial ") == 2
    done = in_process("tune", "linear", *options, *fixed, "--fix", "hidden", cwd=tmp_path, columns=80)
    assert "best   trial" in done.stdout and "study.html" in done.stdout
    for wrong, message in (
        (["--time", "soon"], "--time: got 'soon'"),
        (["--search", "dropout"], "--search: got 'dropout'"),
        (["--seeds", "1"], "--seeds: got 1"),
        (["--trials", "0"], "--trials: got 0"),
        (["--jobs", "0"], "--jobs: got 0"),
        (["--finalists", "-1"], "--finalists: got -1"),
    ):
        done = in_process("tune", *wrong, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr


def postgres_programs() -> Path | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("postgres")
    return next((place for place in places if (place / "postgres").exists()), Path(found).parent if found else None)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL server of our own, without a password, on a free port."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server installed (Debian: postgresql)")
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    before: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        os.chown(folder, 65534, 65534)
        before = {"user": 65534, "group": 65534}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = folder / "db"
    quick = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    environ = {**os.environ, "HOME": str(folder), "LC_ALL": "C"}
    run = {"capture_output": True, "check": True, "cwd": folder, "env": environ, **before}
    subprocess.run([programs / "initdb", "-D", database, "-U", "me", "-A", "trust", "-N", "-E", "UTF8"], **run)
    server = subprocess.Popen(
        [programs / "postgres", "-D", database, "-p", str(port), *quick],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=environ, **before,
    )  # fmt: skip
    try:
        for _ in range(200):
            if (
                subprocess.run(
                    [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True
                ).returncode
                == 0
            ):
                break
            time.sleep(0.05)
        yield f"postgresql://me@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait for connections that are open still
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


# The trial itself is left out: what is tested is that four begin together and share a study.
FOUR = """
import sys
from pathlib import Path
from digitlab.learning import recipe
from digitlab.searching import study as studies
from digitlab.searching.ranges import space
from digitlab.data import load

def no_training(trial, model, one, data, engine):
    trial.report(one.peak_rate, 1)
    return one.peak_rate

studies.train_trial = no_training
import digitlab.learning.models
digitlab.learning.models.build = lambda *_: None
start, ranges = space(recipe("linear"), {}, {"hidden": ""})
with studies.opened("shared", Path("."), sys.argv[1], start, ranges, "x") as study:
    studies.search(study, start, ranges, load(), trials=24)
"""


@pytest.mark.slow
def test_four_processes_begin_one_study_on_postgresql_together(postgres: str, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FOUR, postgres], env=environment(), stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    start, ranges = space(recipe("linear"), {}, {"hidden": ""})
    with opened("shared", tmp_path, postgres, start, ranges, "x") as study:
        found = results(study)
    assert 24 <= len(found) <= 27  # each may have begun one more
    assert {trial.state for trial in found} == {"complete"}
    assert len({trial.recipe.peak_rate for trial in found}) == len(found)
    assert sum(trial.recipe.peak_rate == recipe("linear").peak_rate for trial in found) == 1
    with pytest.raises(RunError, match="other data"), opened("shared", tmp_path, postgres, start, ranges, "y"):
        pass


class Patient:
    """A place that answers once the server has heard of the trial twice."""

    def __init__(self, url: str) -> None:
        import sqlalchemy

        self.engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        self.beats: list[set[Any]] = []

    def map(self, work: Work, pieces: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
        import sqlalchemy

        for _ in pieces:
            heard: set[Any] = set()
            until = time.monotonic() + 60
            while len(heard) < 2 and time.monotonic() < until:
                with self.engine.connect() as connection:
                    query = "SELECT heartbeat FROM trial_heartbeats ORDER BY trial_id DESC LIMIT 1"
                    heard |= set(connection.execute(sqlalchemy.text(query)).scalars())
            self.beats.append(heard)
            yield json.dumps({"accuracies": [0.5], "accuracy": 0.5}).encode()


@pytest.mark.slow
def test_trials_in_processes_show_the_server_that_they_live(
    postgres: str, tmp_path: Path, little: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "BEAT", 0.01)
    start, ranges = space(recipe("linear"), {}, {"hidden": ""})
    place = Patient(postgres)
    with opened("beats", tmp_path, postgres, start, ranges, "x") as study:
        elsewhere.search_at(place, study, start, ranges, little, trials=2)
    place.engine.dispose()
    assert [len(heard) for heard in place.beats] == [2, 2]
