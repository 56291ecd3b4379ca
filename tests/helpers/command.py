"""The command `digitlab` in this process, and training without its figures: what most tests need of either.

A process of its own costs 4 s of processor time before it does anything (it imports Keras), and the figures of a run
cost 8 s more. So a test starts a process only where the process is the point, and draws where a figure is looked at.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

# For `python -c`: the command with NoDrawer below, so that a process can do without figures as well.
WITHOUT_FIGURES = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from helpers import command
from digitlab.cli import main
with command.without_figures():
    main()
"""


class NoDrawer(contextlib.nullcontext["NoDrawer"]):
    """In place of the drawing process."""

    def __enter__(self) -> NoDrawer:
        return self

    def draw(self, *_: object) -> None: ...

    def wait(self) -> None: ...


def path_without_figures(folder: Path) -> str:
    """A `PYTHONPATH` with which the processes of a group draw no figures either.

    Args:
        folder: Where to put what Python runs at its start.
    """
    (folder / "sitecustomize.py").write_text(
        f"import sys; sys.path.append({str(Path(__file__).parents[1])!r})\n"
        "from helpers import command\n"
        "import digitlab.showing.figures.process\n"
        "digitlab.showing.figures.process.Drawer = command.NoDrawer\n"
    )
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@contextlib.contextmanager
def without_figures() -> Iterator[None]:
    """Train without drawing figures."""
    with mock.patch("digitlab.showing.figures.process.Drawer", NoDrawer):
        yield


def in_process(*arguments: str, cwd: Path, columns: int = 100) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, without figures; as a process would, it gives exit code and both outputs."""
    from typer.testing import CliRunner

    from digitlab.cli import app

    with contextlib.chdir(cwd), without_figures():
        clean = {"COLUMNS": str(columns), "DIGITLAB_RUNS": None, "FORCE_COLOR": None}
        result = CliRunner().invoke(app, arguments, env=clean)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def environment(**changes: str) -> dict[str, str]:
    """What a process of ours inherits, without what a developer may have set for himself."""
    own = ("FORCE_COLOR", "DIGITLAB_RUNS", "KERAS_BACKEND", "XLA_FLAGS")
    return {**{name: value for name, value in os.environ.items() if name not in own}, **changes}


def digitlab(*arguments: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process, as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "digitlab", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**{"COLUMNS": "100", **changes}),
        timeout=240,
    )
