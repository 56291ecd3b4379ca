"""Who may import whom, and what stays light: the plan of docs/architecture.md, held against the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "digitlab"

# From the ground up.
ROOMS = (
    *(
        "errors",
        "version",
        "files",
        "machine",
        "notebook",
        "probabilities",
        "processes",
        "data",
        "judging",
        "reading",
        "learning",
        "showing",
        "startup",
    ),
    *("runs", "searching", "collecting", "serving", "cli"),
)


def test_imports_go_down_only_and_in_no_circle() -> None:
    """The contracts in pyproject.toml; Import Linter reads every import, inside functions and for typing as well."""
    # In a process of its own: it takes over stdout.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_what_is_started_as_a_process_lies_no_higher(path: Path) -> None:
    """`python -m digitlab.x` in a string is an arrow too, which no import shows; so is a `Child` of that name."""
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Child", "python"):
            for module in (str(item.value) for item in node.args if isinstance(item, ast.Constant)):
                room = module.split(".")[1]
                assert ROOMS.index(room) <= ROOMS.index(own), f"{path.name} starts {module}, which lies above it"
        if isinstance(node, ast.List):
            values = [item.value for item in node.elts if isinstance(item, ast.Constant)]
            for flag, module in pairwise(values):
                if flag == "-m":
                    room = str(module).split(".")[1]
                    assert ROOMS.index(room) <= ROOMS.index(own), f"{path.name} starts {module}, which lies above it"


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"keras", "jax", "matplotlib", "sklearn", "seaborn", "scipy", "pandas", "numpy", "PIL", "jinja2", "onnxruntime"}


def test_import_is_light() -> None:
    assert not loaded_after("import digitlab, digitlab.cli") & HEAVY


def test_help_is_light() -> None:
    code = "from digitlab.cli import app\ntry:\n    app(['train', '--help'])\nexcept SystemExit:\n    pass"
    assert not loaded_after(code) & HEAVY


def test_judging_and_data_need_no_keras() -> None:
    code = "import digitlab.judging.compare, digitlab.showing, digitlab.data\ndigitlab.data.load()"
    assert not loaded_after(code) & {"keras", "jax"}


def test_drawing_needs_no_keras() -> None:
    code = "import digitlab.showing.figures.process\nfrom digitlab.showing.figures import warm_up\nwarm_up()"
    assert not loaded_after(code) & {"keras", "jax"}


def test_every_public_name_resolves() -> None:
    import digitlab

    for name in digitlab.__all__:
        assert getattr(digitlab, name) is not None
    assert sorted(digitlab.__all__) == digitlab.__all__ or set(digitlab.__all__) <= set(dir(digitlab))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = digitlab.nonsense


def test_a_type_checker_knows_a_wrong_name() -> None:
    """A module-level `__getattr__` that type checkers see would make every name right."""
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    assert not [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "__getattr__"]
