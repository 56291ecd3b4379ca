"""The folder in which the attacks of benchmarks/attack work leaves nothing behind, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ATTACK = Path(__file__).parents[1] / "benchmarks" / "attack"
CODE = """
import time
from workplace import workplace
with workplace() as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_it_is_gone_after_sigterm_and_after_a_kill_at_the_next_start(tmp_path: Path) -> None:
    def started() -> tuple[subprocess.Popen[str], Path]:
        own = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ATTACK)}
        process = subprocess.Popen([sys.executable, "-c", CODE], env=own, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "file").exists() and folder.parent == tmp_path
        return process, folder

    killed, left = started()
    with killed:
        killed.kill()
    assert left.exists()
    first, folder = started()
    with first:
        assert not left.exists()
        beside, other = started()  # the folder of one that lives stays
        with beside:
            assert folder.exists()
            beside.send_signal(signal.SIGTERM)
        assert beside.returncode == 143 and not other.exists()
        first.send_signal(signal.SIGTERM)
    assert first.returncode == 143 and list(tmp_path.iterdir()) == []
