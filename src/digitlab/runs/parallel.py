"""Where independent pieces of work run: a `Place`, which processes of this machine fill as well as a cluster does.

Here, several runs at once, each in a process of its own with its share of the cores.

The share is fixed before a process starts: convolutions add up in another order on another number of threads, so a run
stays bit-equal only on as many cores as it began with (`machine.cores` in its run.json). Each process ends when this
one does, by whatever signal, and leaves a run that can be resumed.
"""

from __future__ import annotations

import json
import pickle
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from digitlab.errors import DigitlabError, ProcessError, RunError
from digitlab.machine import usable_cores
from digitlab.processes import Child, Mapper, Work, map_in_processes
from digitlab.runs.events import OnEvent, from_plain


class Place(Mapper, Protocol):
    """Where pieces of work run.

    Two kinds: runs, which take minutes, tell how far they are and leave a folder (`train`); and small pieces, which
    answer in bytes (`map`). The answers are in the order of the pieces, whichever was done first.
    """

    def train(self, tasks: Sequence[dict[str, Any]], on_event: OnEvent) -> None:
        """Train all runs; each is whole in its folder when this returns.

        Args:
            tasks: What `digitlab.runs.worker` takes, each with a "name".
            on_event: Called as they go on, one call at a time.

        Raises:
            RunError: one failed.
            KeyboardInterrupt: Ctrl-C; all have stopped and can be resumed.
        """
        ...


@dataclass(frozen=True)
class LocalProcesses:
    """This machine as a `Place`.

    Attributes:
        jobs: How many pieces at a time.

    Example:
        >>> from digitlab.processes.worker import _echo
        >>> list(LocalProcesses(1).map(Work(str, ("read",), _echo), [(b"1",)]))
        [b'read 1']
    """

    jobs: int

    def train(self, tasks: Sequence[dict[str, Any]], on_event: OnEvent) -> None:
        """As `Place.train`; never more at a time than there are cores, those behind one that failed are not begun."""
        run_at_once(tasks, self.jobs, on_event)

    def map(self, work: Work, pieces: Iterable[tuple[Any, ...]]) -> Iterator[bytes | ProcessError]:
        """As `Mapper.map`."""
        return map_in_processes(work, pieces, self.jobs)


def shares(cores: Sequence[int], jobs: int) -> list[list[int]]:
    """The cores dealt out to `jobs` processes, the same number to each and at least one, so that none is used twice.

    Example:
        >>> shares([0, 1, 2, 3, 4], 2)
        [[0, 1], [2, 3]]
        >>> shares([0, 1], 8)
        [[0], [1]]
    """
    jobs = max(1, min(jobs, len(cores)))
    size = len(cores) // jobs
    return [list(cores[i * size : (i + 1) * size]) for i in range(jobs)]


def run_at_once(tasks: Sequence[dict[str, Any]], jobs: int, on_event: OnEvent) -> None:
    """Do all tasks, at most `jobs` at a time and never more than there are cores.

    Args:
        tasks: What `digitlab.runs.worker` takes, each with a "name".
        jobs: At least 1.
        on_event: Called as they go on, one call at a time.

    Raises:
        RunError: one failed; those that ran beside it are finished first, those behind it not begun.
        KeyboardInterrupt: Ctrl-C; all have stopped and can be resumed.
    """
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    live: set[Child] = set()
    failures: list[str] = []
    lock, stop = threading.Lock(), threading.Event()

    def work(cores: list[int]) -> None:
        while not stop.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            error = run_one({**task, "cores": cores}, on_event, live, lock)
            if error:
                failures.append(error)
                stop.set()

    threads = [threading.Thread(target=work, args=(share,)) for share in shares(usable_cores(), min(jobs, len(tasks)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():  # in short waits, so that Ctrl-C is heard
                thread.join(0.2)
    except BaseException:
        stop.set()
        with lock:
            for process in live:
                process.hang_up()  # it then interrupts itself; a signal could come before it listens
        for thread in threads:
            thread.join()
        raise
    if failures:
        raise RunError(failures[0])


def run_one(task: dict[str, Any], on_event: OnEvent, live: set[Child], lock: threading.Lock) -> str | None:
    """Do one task in a process.

    Args:
        task: What `digitlab.runs.worker` takes.
        on_event: Called as it goes on, with the lock held.
        live: The process is in it while it runs: its `hang_up` interrupts it.
        lock: For `live`.

    Returns:
        What went wrong; None if nothing did, or it was interrupted.
    """
    process = Child("digitlab.runs.worker", answers=True, errors=True)
    with lock:
        live.add(process)
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.append(process.stderr.read()))
    reader.start()
    problem = None
    try:
        # The pipe is kept open: its end tells the process that this one is gone.
        process.tell(pickle.dumps(task), last=False)
        for line in process.stdout:
            message = json.loads(line)
            if "error" in message:
                problem = message["error"]
            else:
                with lock:
                    on_event(task["name"], from_plain(message))
        if process.wait() not in (0, 130) and problem is None:
            reader.join()
            words = b"".join(said).decode(errors="replace").strip().splitlines()
            reason = words[-1] if words else f"exit code {process.returncode}"
            problem = f"{task['name']}: {reason}"
    finally:
        with lock:
            live.discard(process)
        process.wait()
        reader.join()
        process.hang_up()
        process.stdout.close()
        process.stderr.close()
    return problem


def check_sendable(model: Any) -> None:
    """Raise unless a run's own model can be named to another process.

    Raises:
        DigitlabError: it is a function rather than ``FILE.py:FUNCTION``.
    """
    if callable(model):
        raise DigitlabError(
            "jobs: a model made by a function cannot be handed to another process. Give it as 'my_file.py:build'"
        )
