"""A Dask scheduler and its workers as processes, to be killed and started as a test likes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]

# Runs on the workers draw no figures, eight seconds each (see command.py), and take their time for an epoch.
ON_WORKERS = f"""
import sys, time
sys.path.insert(0, {str(TESTS)!r})
import digitlab.showing.figures.process
from helpers import command
from digitlab.runs.folder import Run
digitlab.showing.figures.process.Drawer = command.NoDrawer
save_checkpoint = Run.save_checkpoint
def slowly(run, state):
    save_checkpoint(run, state)
    time.sleep(0.2)
Run.save_checkpoint = slowly
"""


def slow_echo(state: str, content: bytes) -> bytes:
    """A piece of work that takes a while."""
    time.sleep(0.3)
    if content == b"dies":
        os.abort()
    return state.encode() + content


def certificates(folder: Path) -> dict[str, str]:
    """A certificate that signs itself: what Dask's commands call its files, and the files."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=digitlab"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return {"tls_ca_file": str(certificate), "tls_cert": str(certificate), "tls_key": str(key)}


class DaskProcesses:
    """One scheduler at a port of its own, and workers of one thread each; all end with the `with` block.

    Args:
        folder: For what they write.
        tls: As from `certificates`; None leaves what travels as it is.
    """

    def __init__(self, folder: Path, tls: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.tls = [word for name, file in (tls or {}).items() for word in (f"--{name.replace('_', '-')}", file)]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        (folder / "sitecustomize.py").write_text(ON_WORKERS)

    def __enter__(self) -> DaskProcesses:
        self.start_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()

    def start_scheduler(self) -> None:
        arguments = ["--host", self.address.rpartition(":")[0], "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._start("dask_scheduler", *arguments)
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)

    def start_worker(self) -> None:
        arguments = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", self.address.rpartition(":")[0]]
        self.workers.append(self._start("dask_worker", self.address, *arguments, "--local-directory", str(self.folder)))

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        ours = [str(self.folder), str(TESTS)] if module == "dask_worker" else []
        paths = [*ours, *filter(None, [os.environ.get("PYTHONPATH")])]
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments, *self.tls],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests
            )

    def kill_worker(self, number: int = 0) -> None:
        """As `kill -9` does: nothing is tidied up."""
        worker = self.workers.pop(number)
        worker.kill()
        worker.wait()

    def kill_all(self) -> None:
        while self.workers:
            self.kill_worker()
        if self.scheduler is not None:
            self.scheduler.kill()
            self.scheduler.wait()
