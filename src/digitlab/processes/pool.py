"""Pool: several workers that take their work from one queue."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from digitlab.errors import ProcessError
from digitlab.processes.worker import MEMORY, SECONDS, Worker


class Pool:
    """Several workers that take their work from one queue.

    Args:
        count: how many, at least 1.
        setup: as for `Worker`.
        arguments: as for `Worker`.
        seconds: for each piece of work.
        patience: a piece that waited longer behind others is not begun; None for as long as it takes.
        memory: as for `Worker`.
        nice: as for `Worker`.

    Example:
        >>> from digitlab.processes.worker import _echo
        >>> pool = Pool(2, str, ("ready",))
        >>> pool.submit(_echo, b"ink").result()
        b'ready ink'
        >>> pool.end()
    """

    def __init__(
        self,
        count: int,
        setup: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        *,
        seconds: float = SECONDS,
        patience: float | None = None,
        memory: int = MEMORY,
        nice: int = 0,
    ) -> None:
        self.seconds, self.patience, self.count = seconds, patience, count
        self._mean = 0.05
        self._jobs: deque[tuple[Future[bytes], float, Any, tuple[Any, ...]]] = deque()
        self._wake = threading.Condition()
        self._ended = False
        self._workers = [Worker(setup, arguments, memory=memory, nice=nice) for _ in range(count)]
        self._threads: list[threading.Thread] = []
        self._first = threading.Event()
        self._failure: Exception | None = None

    def launch(self) -> None:
        """Start all processes, without waiting for them."""
        with self._wake:
            if self._threads or self._ended:
                return
            # Each thread starts its own: Linux ends a process with the thread that started it (`inside`).
            self._threads = [threading.Thread(target=self._run, args=(one,), daemon=True) for one in self._workers]
        for thread in self._threads:
            thread.start()

    def start(self) -> None:
        """Start all processes, and wait for the first.

        Raises:
            DigitlabError: what `setup` raised.
        """
        self.launch()
        self._first.wait()
        if self._failure is not None:
            raise self._failure

    def submit(self, function: Callable[..., bytes], *arguments: Any, patient: bool = False) -> Future[bytes]:
        """Queue a piece of work, as for `Worker.ask`.

        Args:
            function: as there.
            arguments: as there.
            patient: it is done however long it waited.

        Returns:
            A future; `ProcessError` in it for what took too long, waited too long or died.
        """
        self.launch()
        future: Future[bytes] = Future()
        with self._wake:
            if self._ended:
                raise ProcessError("was asked after its end", timed_out=False)
            # One with nothing before it waits only for a process to start.
            patience = math.inf if patient or self.patience is None or not self._jobs else self.patience
            self._jobs.append((future, time.monotonic() + patience, function, arguments))
            self._wake.notify()
        return future

    @property
    def wait(self) -> float:
        """Seconds that a new piece would wait to be begun, by how many wait and what the last ones took."""
        return len(self._jobs) * self._mean / self.count

    def _run(self, worker: Worker) -> None:
        while True:
            self._make_ready(worker)
            with self._wake:
                while not self._jobs and not self._ended:
                    self._wake.wait()
                if self._ended:
                    worker.end()
                    return
                future, until, function, arguments = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if time.monotonic() > until:
                    raise ProcessError("waited too long", timed_out=False, busy=True)
                future.set_result(self._timed(worker, function, *arguments))
            except BaseException as error:
                future.set_exception(error)

    def _timed(self, worker: Worker, function: Callable[..., bytes], *arguments: Any) -> bytes:
        began = time.monotonic()
        try:
            return worker.ask(function, *arguments, seconds=self.seconds)
        finally:
            self._mean += 0.05 * (time.monotonic() - began - self._mean)

    def _make_ready(self, worker: Worker) -> None:
        """Start it before there is work: half a second that nobody waits for, also after it died."""
        try:
            worker.start()
            self._failure = None
        except Exception as error:
            self._failure = error
        self._first.set()

    def end(self) -> None:
        """End all processes at once; what was not done raises `ProcessError`."""
        with self._wake:
            self._ended = True
            jobs = list(self._jobs)
            self._jobs.clear()
            self._wake.notify_all()
        for future, *_ in jobs:
            if future.set_running_or_notify_cancel():
                future.set_exception(ProcessError("was not begun", timed_out=False))
        for worker in self._workers:
            worker.kill()  # its thread then hears of it
        for thread in self._threads:
            thread.join(0.5)
