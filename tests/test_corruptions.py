"""Pictures made worse: what must hold of every kind, and of some against an independent answer."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from helpers.judged_material import pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.errors import DataError
from digitlab.judging.corruptions import CORRUPTIONS, corrupt
from digitlab.judging.robustness import Robustness

MNIST_C = [
    "shot noise",
    "impulse noise",
    "glass blur",
    "motion blur",
    "shear",
    "scale",
    "rotation",
    "brightness",
    "shift",
    "stripe",
    "fog",
    "spatter",
    "dotted line",
    "zigzag",
    "canny edges",
]
STRENGTHS = range(1, 6)
everyone = pytest.mark.parametrize("kind", CORRUPTIONS)


@pytest.fixture(scope="module")
def some() -> np.ndarray:
    return pictures()[0][:200]


def test_the_fifteen_of_mnist_c_are_there_and_each_has_five_strengths():
    assert set(MNIST_C) <= set(CORRUPTIONS)
    assert {"blur", "thick", "thin", "inverted"} == set(CORRUPTIONS) - set(MNIST_C)
    assert all(len(one.strengths) == 5 and one.name == name and one.words for name, one in CORRUPTIONS.items())


@pytest.mark.slow
@everyone
def test_laws_of_every_kind(kind, some):
    before, damage = some.copy(), []
    for strength in STRENGTHS:
        worse = corrupt(some, kind, strength, seed=3)
        assert (worse.shape, worse.dtype) == (some.shape, np.uint8)
        np.testing.assert_array_equal(worse, corrupt(some, kind, strength, seed=3))
        damage.append(np.abs(worse.astype(int) - some).mean())
        # Every picture suffers, and in none does the digit vanish into an even page.
        assert (np.abs(worse.astype(int) - some).max(axis=(1, 2)) > 0).mean() > 0.9
        assert (worse.max(axis=(1, 2)).astype(int) - worse.min(axis=(1, 2)) >= 50).all()
    np.testing.assert_array_equal(some, before)
    # The authors' fog of strengths 3 and 4 is as thick, and rougher.
    assert (np.diff(damage) > (-1 if kind == "fog" else 0)).all()


@everyone
def test_only_kinds_without_chance_ignore_the_seed(kind, some):
    same = np.array_equal(corrupt(some, kind, 4, seed=0), corrupt(some, kind, 4, seed=1))
    assert same == (kind in {"blur", "scale", "thick", "thin", "brightness", "inverted", "canny edges"})


@everyone
def test_blank_page_none_and_other_shapes(kind):
    assert corrupt(np.zeros((0, 28, 28), np.uint8), kind, 1).shape == (0, 28, 28)
    page = corrupt(np.zeros((3, 28, 28), np.uint8), kind, 5)
    adds = {"impulse noise", "brightness", "inverted", "stripe", "fog", "spatter", "dotted line", "zigzag"}
    assert page.any() == (kind in adds)
    assert corrupt(np.full((2, 20, 31), 255, np.uint8), kind, 3).shape == (2, 20, 31)


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["nearest mean", "nearest neighbour"])
def test_a_simple_reader_gets_worse_but_not_blind(reader):
    """Readers of our own, no network: mild damage costs little, strong damage more, for the mean of all kinds."""
    images, labels = pictures()
    known = images[2000:4000].reshape(2000, -1).astype(np.float32)
    means = np.stack([known[labels[2000:4000] == digit].mean(axis=0) for digit in range(10)])
    points, names = (means, np.arange(10)) if reader == "nearest mean" else (known, labels[2000:4000])

    def accuracy(x: np.ndarray) -> float:
        rows = x.reshape(len(x), -1).astype(np.float32)
        distance = (points**2).sum(axis=1) - 2 * rows @ points.T
        return float((names[distance.argmin(axis=1)] == labels[: len(x)]).mean())

    by_strength = [np.mean([accuracy(corrupt(images[:300], kind, s)) for kind in CORRUPTIONS]) for s in (1, 3, 5)]
    assert accuracy(images[:300]) > by_strength[0] > by_strength[1] > by_strength[2] > 0.15


def test_geometry_agrees_with_scipy(some):
    from scipy import ndimage

    turned = corrupt(some[:40], "rotation", 3)
    for old, new in zip(some[:40], turned, strict=True):
        either = [
            ndimage.rotate(old.astype(float), angle, reshape=False, order=1, mode="grid-constant")
            for angle in (np.degrees(0.6), -np.degrees(0.6))
        ]
        assert min(np.abs(one - new).max() for one in either) <= 1
    blurred = corrupt(some[:5], "blur", 3)
    for old, new in zip(some[:5], blurred, strict=True):
        assert np.abs(ndimage.gaussian_filter(old.astype(float), 1.2, mode="constant", truncate=9) - new).max() <= 1
    thicker = corrupt(some[:5], "thick", 3)  # 1.1 passes: at least one whole
    cross = ndimage.generate_binary_structure(2, 1)
    for old, new in zip(some[:5], thicker, strict=True):
        assert (new.astype(int) >= ndimage.grey_dilation(old, footprint=cross, mode="constant").astype(int) - 1).all()


@given(st.integers(0, 9_990), st.integers(1, 5), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_shift_keeps_every_drop_of_ink(first, strength, seed):
    old = pictures()[0][first : first + 4]
    new = corrupt(old, "shift", strength, seed)
    for a, b in zip(old, new, strict=True):
        rows, columns = np.nonzero(a)
        np.testing.assert_array_equal(a[a > 0], b[b > 0])
        if len(rows):
            assert np.ptp(rows) == np.ptp(np.nonzero(b)[0])
            assert np.ptp(columns) == np.ptp(np.nonzero(b)[1])


def test_noise_has_the_share_and_the_mean_it_says():
    grey = np.full((200, 28, 28), 128, np.uint8)
    salted = corrupt(grey, "impulse noise", 5)
    assert (salted == 255).mean() == pytest.approx(0.135, abs=0.005)
    assert (salted == 0).mean() == pytest.approx(0.135, abs=0.005)
    few = corrupt(grey // 4, "shot noise", 1).astype(float)
    assert few.mean() == pytest.approx(32, abs=1)
    assert few.var() == pytest.approx(32 * 255 / 60, rel=0.1)  # Poisson: variance = mean, in units of a photon
    drops = corrupt(np.zeros((400, 28, 28), np.uint8), "spatter", 5)
    assert (drops > 0).mean() == pytest.approx(0.15, abs=0.02)


def test_published_parameters_where_they_correspond():
    """Mu and Gilmer's code, its five severities."""
    published = {
        "shot noise": (60, 25, 12, 5, 3),
        "impulse noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "rotation": (0.2, 0.4, 0.6, 0.8, 1.0),
        "shear": (0.2, 0.4, 0.6, 0.8, 1.0),
        "scale": (0.9, 0.8, 0.7, 0.6, 0.5),
        "fog": ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    }
    assert {kind: CORRUPTIONS[kind].strengths for kind in published} == published


def test_edges_of_a_square_are_its_outline():
    square = np.zeros((1, 28, 28), np.uint8)
    square[0, 8:20, 8:20] = 255
    edges = corrupt(square, "canny edges", 5)[0] > 0
    inner = np.zeros((28, 28), bool)
    inner[10:18, 10:18] = True
    outer = np.ones((28, 28), bool)
    outer[6:22, 6:22] = False
    assert not edges[inner | outer].any()
    assert edges.any(axis=0)[8:20].all() and edges.any(axis=1)[8:20].all()


@pytest.mark.parametrize(("kind", "strength"), [("fogg", 1), ("fog", 0), ("fog", 6)])
def test_wrong_names_and_strengths(kind, strength, some):
    with pytest.raises(DataError, match="expected"):
        corrupt(some, kind, strength)


def test_wrong_pictures(some):
    with pytest.raises(ValueError, match="expected uint8"):
        corrupt(some / 255, "fog", 1)


def test_robustness_round_trips_and_refuses_nonsense():
    found = Robustness(0.98, {"fog": [0.9, 0.5], "blur": [0.8]}, 300)
    assert found.mean == pytest.approx((0.7 + 0.8) / 2)
    assert Robustness.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    for wrong in ({}, {"fog": []}, {"fog": [1.5]}):
        with pytest.raises(ValueError, match="accuracies"):
            Robustness.from_dict({**found.to_dict(), "accuracies": wrong})


@pytest.mark.slow
def test_in_a_run_its_report_and_the_command(small, tmp_path: Path, monkeypatch, capsys):
    import dataclasses

    from digitlab.data import Split
    from digitlab.errors import RunError
    from digitlab.runs import finished, training

    few = dataclasses.replace(small, test=Split(small.test.images[:100], small.test.labels[:100]))
    np.savez(
        tmp_path / "few.npz",
        x_train=few.train.images,
        y_train=few.train.labels,
        x_test=few.test.images,
        y_test=few.test.labels,
    )
    # Not about figures, which take seconds to draw.
    monkeypatch.setattr("digitlab.showing.figures.process.Drawer", MagicMock())
    monkeypatch.setattr("digitlab.showing.figures.save_figures", lambda *_: None)
    run = training.train("linear", data=tmp_path / "few.npz", validation=100, folder=tmp_path, name="few", epochs=2)
    assert run.robustness is None
    told = []
    part = finished.evaluate_corrupted(run.path, kinds=["fog"], progress=lambda *numbers: told.append(numbers))
    assert told == [(i, 5) for i in range(1, 6)]
    assert run.robustness is None  # a part is not kept
    assert part.untouched == run.evaluation.accuracy
    again = run.model.predict(corrupt(few.test.images, "fog", 4), verbose=0).argmax(axis=1)
    assert part.accuracies["fog"][3] == (again == few.test.labels).mean()

    from typer.testing import CliRunner

    from digitlab.cli import app
    from digitlab.cli.runs_commands import _print_robustness

    done = CliRunner().invoke(app, ["evaluate", str(run.path), "--corrupted", "--json"])
    assert done.exit_code == 0, done.output
    whole = json.loads(done.stdout)
    assert list(whole["accuracies"]) == list(CORRUPTIONS)
    assert whole["accuracies"]["fog"] == part.accuracies["fog"]
    assert whole["mean"] == pytest.approx(np.mean(list(whole["accuracies"].values())))
    assert "95 of 95" in done.stderr
    assert run.robustness is not None and run.robustness.to_dict() == whole
    _print_robustness(run.robustness)
    table = capsys.readouterr().out.splitlines()
    assert len(table) == len(CORRUPTIONS) + 3
    assert len({len(line) for line in table[: len(CORRUPTIONS) + 1]}) == 1  # aligned
    page = finished.report(run.path).read_text("utf-8")
    assert 'id="robust"' in page and "zigzag" in page
    (run.path / "corruptions.json").write_text("{}")
    with pytest.raises(RunError, match="corruptions.json: damaged"):
        _ = run.robustness
    with pytest.raises(DataError, match="fogg"):
        finished.evaluate_corrupted(run.path, kinds=["fogg"])
