"""What a worker of a cluster does for a `digitlab.Cluster`: a run, or a batch of small pieces, in a process of its own.

Nothing of it runs in the worker's process but the waiting: a decoder that crashes, or JAX, which keeps the cores that
it began with, is in a process below it. Those end with the worker, whatever ended it.
"""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitlab.data import Dataset
from digitlab.errors import ProcessError, RunError
from digitlab.processes import Child, Work, Worker
from digitlab.runs.events import Event, to_plain
from digitlab.runs.folder import Run
from digitlab.runs.parallel import run_one
from digitlab.runs.parcels import pack, unpack

# Seconds between two looks whether a run is still wanted.
LOOK = 0.3
# Seconds until processes that nobody gives anything to do are ended.
IDLE = 60.0

# Of this worker: what was stopped, and the processes of each piece of work that wait for more.
_stopped: set[str] = set()
_idle: dict[str, list[Worker]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Job:
    """What all pieces of one call have in common.

    Attributes:
        name: A name that no other call has.
        versions: Of the packages that have to be the same, as `versions_of` gives them where the call was made.
        work: What the small pieces have in common; None for runs.
    """

    name: str
    versions: Mapping[str, str]
    work: Work | None = None


@dataclass(frozen=True)
class Trained:
    """How a run came out.

    Attributes:
        state: As in its run.json; "" if it was not begun.
        folder: As from `pack`; None if there is none.
        error: What went wrong, if something did.
    """

    state: str
    folder: bytes | None = None
    error: str | None = None


def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of packages here, "" for one that is missing, and that of Python.

    Example:
        >>> sorted(versions_of(("digitlab",)))
        ['digitlab', 'python']
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def differing(here: Mapping[str, str], there: Mapping[str, str], who: str) -> str | None:
    """What to say of versions that differ; None if none does.

    Example:
        >>> differing({"jax": "0.8.1"}, {"jax": "0.7.0"}, "tcp://10.0.0.2:4000")
        'tcp://10.0.0.2:4000: has jax 0.7.0, here it is 0.8.1. Install the same versions on all machines'
    """
    for name, version in here.items():
        other = there.get(name, "")
        if other != version:
            has = f"has {name} {other}" if other else f"has no {name}"
            return f"{who}: {has}, here it is {version or 'missing'}. Install the same versions on all machines"
    return None


def _check(job: Job, worker: Any) -> None:
    """Raise unless this worker, which may have come after all were asked, has the same versions."""
    problem = differing(job.versions, versions_of(tuple(job.versions)[1:]), worker.address)
    if problem:
        raise RunError(problem)


def train(job: Job, task: dict[str, Any], dataset: Dataset | None, began: bytes | None) -> Trained:
    """Train a run or resume it, in a process bound to a core of its own.

    Args:
        job: The call it belongs to.
        task: As `digitlab.runs.worker` takes it, without what is of the other machine.
        dataset: Its data; None for the MNIST in the package.
        began: The folder of one that was interrupted, as from `pack`.
    """
    from distributed import get_worker

    worker = get_worker()
    _check(job, worker)
    if job.name in _stopped:
        return Trained("")
    key, done = worker.get_current_task(), threading.Event()
    live: set[Child] = set()
    lock = threading.Lock()

    def interrupt_when_unwanted() -> None:
        while not done.wait(LOOK):
            known = worker.state.tasks.get(key)
            if job.name in _stopped or known is None or known.state == "cancelled":
                with lock:
                    for process in live:
                        process.hang_up()  # it then interrupts itself
                if live:
                    return

    def on_event(name: str, event: Event) -> None:
        worker.log_event(f"digitlab-{job.name}", {"name": name, "event": to_plain(event)})

    watcher = threading.Thread(target=interrupt_when_unwanted, daemon=True)
    # In the worker's own folder, which Dask clears away after a worker that was killed.
    with tempfile.TemporaryDirectory(prefix="run-", dir=worker.local_directory, ignore_cleanup_errors=True) as folder:
        run = Run(Path(folder) / task["name"])
        if began is not None:
            unpack(began, run.path)
        options = {**task["options"], "folder": folder, "data": dataset}
        resumed = run.path if began is not None else None
        watcher.start()
        try:
            full = {**task, "options": options, "dataset": dataset, "resume": resumed, "cores": None}
            error = run_one(full, on_event, live, lock)
        finally:
            done.set()
            watcher.join()
        if not (run.path / "run.json").exists():
            return Trained("", error=error)
        return Trained(str(run.info["state"]), pack(run.path), error)


def do_batch(job: Job, pieces: list[tuple[Any, ...]]) -> list[bytes | ProcessError]:
    """Do some pieces, one after another, in a process that stays for the next batch."""
    from distributed import get_worker

    _check(job, get_worker())
    assert job.work is not None  # noqa: S101  (for the type checker)
    process = _process_for(job, job.work)
    answers: list[bytes | ProcessError] = []
    try:
        for piece in pieces:
            if job.name in _stopped:
                break
            try:
                answers.append(process.ask(job.work.function, *piece, seconds=job.work.seconds))
            except ProcessError as error:
                answers.append(error)
    except BaseException:
        process.end()
        raise
    with _lock:
        _idle.setdefault(job.name, []).append(process)
    if job.name in _stopped:
        end_processes(job.name)
    else:
        # What the caller does at the end (`stop`) a caller that was killed does not do.
        timer = threading.Timer(IDLE, _end_if_idle, (job.name, process))
        timer.daemon = True
        timer.start()
    return answers


def _process_for(job: Job, work: Work) -> Worker:
    with _lock:
        waiting = _idle.get(job.name)
        if waiting:
            return waiting.pop()
    return Worker(work.setup, work.arguments, memory=work.memory)


def _end_if_idle(name: str, process: Worker) -> None:
    with _lock:
        waiting = _idle.get(name, [])
        if process not in waiting:  # at work, or ended
            return
        waiting.remove(process)
    process.end()


def end_processes(name: str) -> None:
    """End the processes of a call that wait for more."""
    with _lock:
        waiting = _idle.pop(name, [])
    for process in waiting:
        process.end()


def stop(name: str) -> None:
    """Interrupt what this worker does for a call, and begin nothing more of it; runs go home as far as they are."""
    _stopped.add(name)
    end_processes(name)
