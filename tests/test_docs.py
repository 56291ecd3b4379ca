"""What the pages say works: snippets run, commands run or parse, links lead somewhere, tables match the code."""

from __future__ import annotations

import ast
import contextlib
import csv
import doctest
import importlib.util
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import doc_pages as pages
from helpers.command import NoDrawer, path_without_figures

from digitlab.data import Dataset

ROOT = pages.ROOT
MARKS = re.compile(r"|parse|continue|file [\w.-]+\.py")
LANGUAGES = {"python", "sh", "console", "text", "json", "csv"}
OTHER_COMMANDS = {"pip", "uv", "uvx", "git", "cd", "source", "python", "open", "curl", "export"}


def commands(source: str) -> list[list[str]]:
    """The commands of a shell block, comments, prompts and (in a console block) output left out."""
    prompted = [line[2:] for line in source.splitlines() if line.startswith(("$ ", "> "))]
    text = "\n".join(prompted) or source
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|;", re.sub(r"(^|\s)#.*", "", line)):
            words = shlex.split(part)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words[:2] == ["uv", "run"]:
                words = words[2:]
            if words:
                found.append(words)
    return found


def check_command(words: list[str]) -> None:
    """A digitlab command must exist with all its options; of others, files that are named must be there."""
    if words[0] != "digitlab":
        assert words[0] in OTHER_COMMANDS | {"pytest", "ruff", "mypy"} or (ROOT / words[0]).is_file(), words
        for word in words[1:]:
            if word.startswith(("examples/", "benchmarks/", "notebooks/")):
                assert (ROOT / word).exists(), f"{word} is not there"
        return
    import typer

    from digitlab.cli import app

    group: Any = typer.main.get_command(app)
    context = group.make_context("digitlab", list(words[1:]), resilient_parsing=True)
    rest = [*getattr(context, "_protected_args", ()), *context.args]
    if not rest:
        assert all(word.startswith("-") for word in words[1:]), words
        return
    assert rest[0] in group.commands, f"no command {rest[0]!r}"
    if "--help" not in rest and "-h" not in rest:
        # Raises for an unknown option, a missing argument or a value of the wrong kind.
        group.commands[rest[0]].make_context(rest[0], rest[1:], parent=context)


def run_command(words: list[str]) -> None:
    from typer.testing import CliRunner

    from digitlab.cli import app

    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, f"{shlex.join(words)}: {result.output}"


def has_same_output(wanted: str, got: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(wanted, got, flags)


# Those that train again and again.
LONG = ("tune.md", "train.md", "python.md", "traps.md")


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name, marks=pytest.mark.slow if page.name in LONG else ()) for page in pages.pages()],
)
def test_every_block_of_a_page_works(
    page: Path,
    small: Dataset,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks run in order in one empty folder that holds a small data set, `small.npz`."""
    # No page shows a run's figures.
    monkeypatch.setattr("digitlab.showing.figures.process.Drawer", NoDrawer)
    monkeypatch.setenv("PYTHONPATH", path_without_figures(tmp_path_factory.mktemp("start")))
    # A trial on each core would import Keras in each of their processes; tests/test_tune.py has that.
    monkeypatch.setattr("digitlab.searching.tuning.usable_cores", lambda: [0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITLAB_RUNS", raising=False)
    found = pages.blocks(page.read_text("utf-8"))
    if found:
        train, test = small.train, small.test
        arrays = {"x_train": train.images[:303], "y_train": train.labels[:303]}
        arrays |= {"x_test": test.images[:100], "y_test": test.labels[:100]}
        np.savez(tmp_path / "small.npz", **arrays)
    namespace: dict[str, Any] = {}
    printed: str | None = None
    for block in found:
        where = f"{page.name}, line {block.line}"
        assert MARKS.fullmatch(block.mark), f"{where}: mark {block.mark!r} is not known"
        assert block.language in LANGUAGES, f"{where}: a block of {block.language or 'no language'}"
        if block.language == "python":
            code = compile(ast.parse(block.source), where, "exec")
            if block.mark.startswith("file "):
                (tmp_path / block.mark.split()[1]).write_text(block.source, "utf-8")
            if block.mark in ("", "continue"):
                namespace = namespace if block.mark else {"__name__": "__snippet__"}
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(code, namespace)  # noqa: S102  (our own pages)
                printed = out.getvalue()
        elif block.language in ("sh", "console"):
            for words in commands(block.source):
                check_command(words)
                if words[0] == "digitlab" and block.mark != "parse":
                    run_command(words)
        elif block.language == "text" and printed is not None:
            assert has_same_output(block.source, printed), f"{where}: the snippet before it prints\n{printed}"
        if block.language != "python":
            printed = None


@pytest.mark.parametrize(
    "line",
    ["digitlab trian", "digitlab train --epoch 3", "digitlab train --epochs many", "digitlab compare one", "rm -r /"],
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    [words] = commands(line)
    with pytest.raises((Exception, SystemExit)):
        check_command(words)


def test_prompts_comments_and_long_lines_are_understood() -> None:
    console = "$ uv run digitlab train \\\n>   mlp2\nsome output\n"
    assert commands("# a\nuv run digitlab data && A=1 digitlab runs  # b\n") == [
        ["digitlab", "data"],
        ["digitlab", "runs"],
    ]
    assert commands("digitlab train \\\n  --epochs 3") == [["digitlab", "train", "--epochs", "3"]]
    assert commands(console) == [["digitlab", "train", "mlp2"]]


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name} links to {target}"


def test_every_page_is_on_the_map() -> None:
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in text, f"{page.name} is not in docs/index.md"


def test_written_pages_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
    assert spec and spec.loader
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    for name, page in make.PAGES.items():
        assert (ROOT / "docs" / name).read_text("utf-8") == page(), f"{name} is stale; run: uv run docs/make.py"


# The run folder.

OF_TAUGHT_RUNS = ("parent.", "own_images.")  # test_teaching.py holds these to a taught run
WHOLE = {"recipe", "versions", "seconds"}  # described as a whole: their keys are fields, packages, stages


def flat(value: Any, path: str = "") -> set[str]:
    """Paths of all keys, as the page writes them."""
    if isinstance(value, dict) and path not in WHOLE:
        return {leaf for key, inner in value.items() for leaf in flat(inner, f"{path}.{key}" if path else key)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {leaf for inner in value for leaf in flat(inner, f"{path}[]")}
    return {path}


@pytest.fixture(scope="module")
def real_run(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, np.ndarray]]:
    """A finished run of a user's own model, and the arrays of the checkpoint that it had on the way."""
    from digitlab.runs import training
    from digitlab.runs.events import Watcher

    folder = tmp_path_factory.mktemp("format")
    own = folder / "own.py"
    own.write_text(
        "import keras\n\ndef build():\n    layers = keras.layers\n    return keras.Sequential([layers.Input((28, 28)),"
        " layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10, activation='softmax')])\n",
        "utf-8",
    )
    kept: dict[str, np.ndarray] = {}

    class Copies(Watcher):
        def started(self, run: Any, *_: Any) -> None:
            self.run = run

        def epoch(self, *_: Any) -> None:
            with np.load(self.run.path / "checkpoint.npz", allow_pickle=False) as file:
                kept.update({name: file[name] for name in file.files})

    run = training.train("linear", data=small, model=f"{own}:build", epochs=2, folder=folder, watcher=Copies())
    return run, kept


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "run-format.md").read_text("utf-8")


@pytest.mark.slow
def test_the_keys_of_json_are_all_described(real_run: Any) -> None:
    from digitlab.cli.train_command import summary

    text = (ROOT / "docs" / "train.md").read_text("utf-8")
    assert pages.first_column(text, "For programs") == list(summary(real_run[0]))


@pytest.mark.slow
def test_run_files_are_as_described(page: str, real_run: Any) -> None:
    files = {file.relative_to(real_run[0].path).as_posix() for file in real_run[0].path.rglob("*") if file.is_file()}
    described = set(pages.first_column(page, "Files"))
    described |= {name.replace(".png", ".svg") for name in described}
    assert files == described - {"checkpoint.npz", "page.html"}  # while it trains; once it is exported


def test_run_json_is_as_described(page: str, real_run: Any) -> None:
    info = json.loads((real_run[0].path / "run.json").read_text("utf-8"))
    described = {key for key in pages.first_column(page, "run.json") if not key.startswith(OF_TAUGHT_RUNS)}
    assert flat(info) | {"own_model", "onnx"} == described
    assert f"Format **{info['format']}**" in page
    for stage in info["seconds"]:
        assert f"`{stage}`" in page
    for state in ("training", "interrupted", "failed", "finished"):
        assert f"`{state}`" in page


def test_history_is_as_described(page: str, real_run: Any) -> None:
    with (real_run[0].path / "history.csv").open(newline="") as file:
        assert next(csv.reader(file)) == pages.first_column(page, "history.csv")


def test_metrics_are_as_described(page: str, real_run: Any) -> None:
    metrics = json.loads((real_run[0].path / "metrics.json").read_text("utf-8"))
    assert flat(metrics) == set(pages.first_column(page, "metrics.json"))


def test_predictions_are_as_described(page: str, real_run: Any, small: Dataset) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+\d+) \|", page.partition("## predictions.npz")[2], re.MULTILINE))
    with np.load(real_run[0].path / "predictions.npz", allow_pickle=False) as file:
        assert {name: str(file[name].dtype) for name in file.files} == rows
        assert file["test_probabilities"].shape == (len(small.test), 10)


def test_checkpoint_is_as_described(page: str, real_run: Any) -> None:
    kept = real_run[1]
    assert {re.sub(r"_\d{3}$", "_NNN", name) for name in kept} == set(pages.first_column(page, "checkpoint.npz"))
    meta = json.loads(bytes(kept["meta"]))
    section = page.partition("## checkpoint.npz")[2]
    assert all(f"`{key}`" in section for key in meta)
    assert kept["sha256"].shape == (32,)


# The plan.


def test_the_plan_names_every_module_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    tree = text.partition("    src/digitlab/\n")[2].partition("\n\nAround it")[0]
    named, folders = set(), [""]
    for line in tree.splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip()) - 6) // 2
        folders[depth + 1 :] = []
        first = re.match(r" *([\w./]+(?:, [\w./]+)*)", line)
        assert first, line
        for name in first[1].split(", "):
            path = folders[depth] + name
            assert (ROOT / "src" / "digitlab" / path).exists(), f"architecture.md names {path}, which is not there"
            if name.endswith("/"):
                folders.append(path)
            else:
                named.add(path)
    source = ROOT / "src" / "digitlab"
    modules = {file.relative_to(source).as_posix() for file in source.rglob("*.py")}
    modules = {name for name in modules if not name.endswith("/__init__.py")}
    assert named == modules, f"in one of the two only: {sorted(named ^ modules)}"


def test_the_plan_says_where_a_behaviour_lives() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| [^|]+ \| `([\w/]+\.py)` \| `(\w+)` \|$", text, re.MULTILINE)
    assert len(rows) >= 10
    for module, name in rows:
        tree = ast.parse((ROOT / "src" / "digitlab" / module).read_text("utf-8"))
        found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert name in found, f"{module} has no {name}"
