"""Cluster: pieces of work on the workers of a Dask cluster, as a `Place`.

Scheduler, retries, dashboard and TLS are Dask's own. Ours is what digitlab promises wherever its work runs: results in
order, runs that come home whole or not at all, the same versions everywhere, and a restart that costs time only.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from digitlab.data import Dataset
from digitlab.data.dataset import as_dataset
from digitlab.errors import DigitlabError, ProcessError, RunError
from digitlab.processes import Work
from digitlab.runs import on_worker
from digitlab.runs.events import OnEvent, from_plain
from digitlab.runs.on_worker import Job, differing, versions_of
from digitlab.runs.parcels import pack, unpack
from digitlab.runs.register import runs_folder
from digitlab.runs.states import State

# What a run's numbers depend on.
TRAINING = ("digitlab", "distributed", "jax", "jaxlib", "keras", "numpy")
# How often a call begins again what a scheduler lost that was restarted or cut off.
RESTARTS = 5
# Seconds after which it is asked again how many workers there are.
ASK_AGAIN = 1.0
# Seconds that runs have to come home after Ctrl-C.
GRACE = 60.0
# Bytes a batch of small pieces has at most, with the last one on top: they lie with the scheduler until they are done.
MOST_BYTES = 2_000_000


class Cluster:
    """The workers of a Dask cluster as a place to run; usable as ``place=`` and as a context manager.

    A worker's thread counts as a core: start workers with as many threads as they have cores. A run is trained in a
    process bound to one core, so its numbers are those of ``--jobs`` with one core each.

    Args:
        address: Of the scheduler, as in ``tcp://HOST:8786`` or ``tls://HOST:8786``.
        security: A `distributed.Security` with the certificates; None takes them from Dask's configuration.
        wait: Seconds to wait for a scheduler, and for the first worker.

    Raises:
        DigitlabError: no address, or Dask is not installed. A scheduler that does not answer is a `RunError` when the
            first work is handed in.

    Example:
        >>> with Cluster("tcp://10.0.0.1:8786") as cluster:  # doctest: +SKIP
        ...     group = digitlab.train_group("mlp", seeds=100, place=cluster)
    """

    def __init__(self, address: str, *, security: Any = None, wait: float = 60.0) -> None:
        if not re.fullmatch(r"(tcp|tls|ws|wss)://[^@/\s]+:\d+/?", address):
            # Not the address itself: a password may stand in it.
            raise DigitlabError(
                "scheduler: got no address of a Dask scheduler, expected tcp://HOST:8786 or tls://HOST:8786, without a "
                "user or password: certificates are named in Dask's configuration"
            )
        try:
            import distributed
            from distributed.comm.core import CommClosedError
        except ImportError as error:
            raise DigitlabError(
                f"--scheduler needs Dask ({error}). Install it with: pip install 'digitlab[cluster]'"
            ) from error
        self._dask: Any = distributed
        self._lost = (CancelledError, CommClosedError, TimeoutError, ConnectionError)
        self.address, self.wait = address, wait
        self._security = security
        self._client: Any = None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the scheduler."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close(timeout=2)

    @property
    def slots(self) -> int:
        """How many pieces run at a time now: the threads of all workers, at least 1."""
        threads: dict[str, int] = self._connected(()).nthreads()
        return max(1, sum(threads.values()))

    def train(self, tasks: Sequence[dict[str, Any]], on_event: OnEvent) -> None:
        """As `Place.train`.

        Raises:
            RunError: a run failed, no scheduler or worker is there, or versions differ.
        """
        waiting = {task["name"]: task for task in tasks}
        options = tasks[0]["options"]
        if options["model"] is not None:
            raise RunError("--scheduler: a model of your own is not sent to other machines. Train it with --jobs")
        data = options["data"]
        dataset = None if data is None else as_dataset(data, validation=options["validation"])
        source = str(Path(data).resolve()) if isinstance(data, str | Path) else None
        for attempt in range(1 + RESTARTS):
            client = self._connected(TRAINING)
            try:
                self._train_on(client, waiting, dataset, source, on_event)
                return
            except Exception as error:
                self._start_again(client, attempt, error)

    def _train_on(
        self, client: Any, waiting: dict[str, Any], dataset: Dataset | None, source: str | None, on_event: OnEvent
    ) -> None:
        """Train on the workers of one connection; what comes home leaves `waiting`."""
        job = Job(uuid.uuid4().hex, versions_of(TRAINING))
        telling = threading.Lock()

        def told(event: tuple[float, Mapping[str, Any]]) -> None:
            with telling:
                on_event(event[1]["name"], from_plain(event[1]["event"]))

        client.subscribe_topic(f"digitlab-{job.name}", told)
        data = client.scatter(dataset, hash=False) if dataset is not None else None
        futures = {}
        for name, task in waiting.items():
            began = pack(task["resume"]) if task["resume"] is not None else None
            sent = {**task, "resume": None, "dataset": None}
            sent["options"] = {**task["options"], "data": None, "folder": None}
            futures[name] = client.submit(
                on_worker.train, job, sent, data, began, key=f"digitlab-{name}-{job.name}", pure=False
            )
        folders = {name: runs_folder(task["options"]["folder"]) / name for name, task in waiting.items()}

        def bring_home(name: str) -> None:
            trained = _result(futures.pop(name), name)
            if trained.folder is not None:
                unpack(trained.folder, folders[name], source)
            if trained.error:
                raise RunError(trained.error)
            if trained.state == State.FINISHED:
                del waiting[name]

        try:
            while futures:
                for name in [name for name, future in futures.items() if future.done()]:
                    bring_home(name)
                time.sleep(0.1)
        except BaseException as error:
            if self._is_lost(client, error):
                raise
            self._stop(client, job)
            until = time.monotonic() + GRACE
            while futures and time.monotonic() < until:
                for name in [name for name, future in futures.items() if future.done()]:
                    with contextlib.suppress(Exception):
                        bring_home(name)
                time.sleep(0.1)
            client.cancel(list(futures.values()))
            raise
        if waiting:
            raise RunError(f"{next(iter(waiting))}: was stopped on its worker. Repeat the command to resume it")

    def map(self, work: Work, pieces: Iterable[tuple[Any, ...]]) -> Iterator[bytes | ProcessError]:
        """As `Mapper.map`; closing the iterator cancels what is under way.

        Raises:
            RunError: no scheduler or worker is there, or versions differ.
        """
        packages = (*work.packages, "distributed")
        job = Job(uuid.uuid4().hex, versions_of(packages), work)
        batches = _Batches(pieces, work.batch)
        under_way: deque[tuple[list[tuple[Any, ...]], Any]] = deque()
        client, shared, attempt, slots, asked = None, None, 0, 1, -ASK_AGAIN
        try:
            while True:
                try:
                    if client is None:
                        client = self._connected(packages)
                        shared = client.scatter(job, hash=False)
                        under_way = deque((batch, self._submit(client, shared, batch)) for batch, _ in under_way)
                    if time.monotonic() > asked + ASK_AGAIN:  # workers come and go
                        slots, asked = max(1, sum(client.nthreads().values())), time.monotonic()
                    while len(under_way) < work.ahead * slots and (batch := batches.next(slots)):
                        under_way.append((batch, self._submit(client, shared, batch)))
                    if not under_way:
                        return
                    while not under_way[0][1].done():
                        time.sleep(0.005)
                    answers = _result(under_way[0][1], "a piece of the work")
                    under_way.popleft()
                except Exception as error:
                    self._start_again(client, attempt, error)
                    client, attempt = None, attempt + 1
                    continue
                yield from answers
        finally:
            if client is not None:
                with contextlib.suppress(Exception):
                    client.cancel([future for _, future in under_way])
                self._stop(client, job)

    def _submit(self, client: Any, shared: Any, batch: list[tuple[Any, ...]]) -> Any:
        return client.submit(on_worker.do_batch, shared, batch, key=f"digitlab-{uuid.uuid4().hex}", pure=False)

    def _stop(self, client: Any, job: Job) -> None:
        """Tell all workers that a call is over."""
        with contextlib.suppress(Exception):
            client.run(on_worker.stop, job.name, on_error="ignore")

    def _is_lost(self, client: Any, error: BaseException) -> bool:
        """Whether an error means that the scheduler is gone: Dask has many words for it, not all of its own kind."""
        if isinstance(error, DigitlabError) or not isinstance(error, Exception):
            return False
        return isinstance(error, self._lost) or (client is not None and client.status != "running")

    def _start_again(self, client: Any, attempt: int, error: Exception) -> None:
        """Forget a connection that is lost, so that the next one is made; raise any other error."""
        if not self._is_lost(client, error):
            raise error
        if attempt >= RESTARTS:
            raise RunError(
                f"{self.address}: lost the scheduler {attempt + 1} times ({type(error).__name__}). Look into its log; "
                "what came home stays, and the same command goes on"
            ) from error
        self.close()

    def _connected(self, packages: tuple[str, ...]) -> Any:
        """A client with at least one worker, all of them with the versions that are here."""
        if self._client is not None and self._client.status != "running":
            self.close()
        until = time.monotonic() + self.wait
        while self._client is None:
            self._client = self._connect(until)
        client = self._client
        try:
            while not (found := client.get_versions(packages=list(packages))["workers"]):
                if time.monotonic() > until:
                    raise RunError(
                        f"{self.address}: no worker came within {self.wait:g} s. Start some with: dask worker "
                        f"{self.address}"
                    )
                time.sleep(0.2)
        except self._lost as error:
            raise RunError(
                f"{self.address}: the scheduler went away ({type(error).__name__}). Is it running?"
            ) from None
        here = versions_of(packages)
        for who, versions in found.items():
            there = {name: version or "" for name, version in versions["packages"].items()}
            there["python"] = ".".join(there["python"].split(".")[:2])
            problem = differing(here, there, who)
            if problem:
                raise RunError(problem)
        return client

    def _connect(self, until: float) -> Any:
        """A connection to the scheduler; None if there is none yet and still time to wait."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions that differ: those that matter are an error of ours
                return self._dask.Client(
                    self.address, security=self._security, timeout=10, set_as_default=False, name="digitlab"
                )
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
            if isinstance(error, OSError) and time.monotonic() < until:
                time.sleep(0.5)
                return None
            raise RunError(
                f"{self.address}: no Dask scheduler answers there ({type(error).__name__}). Is it running, the address "
                "right, and are the certificates named in Dask's configuration if it is tls://?"
            ) from None


class _Batches:
    """Pieces in batches that begin small, so that few pieces are spread over all workers as well."""

    def __init__(self, pieces: Iterable[tuple[Any, ...]], most: int) -> None:
        self._pieces, self._most, self._sent = iter(pieces), most, 0

    def next(self, slots: int) -> list[tuple[Any, ...]]:
        """The next batch; empty at the end."""
        size = min(self._most, 1 + self._sent // (2 * slots))
        batch: list[tuple[Any, ...]] = []
        weight = 0
        while len(batch) < size and weight < MOST_BYTES and (piece := next(self._pieces, None)) is not None:
            batch.append(piece)
            weight += sum(len(value) for value in piece if isinstance(value, bytes))
        self._sent += 1
        return batch


def _result(future: Any, name: str) -> Any:
    """What came of a piece.

    Raises:
        DigitlabError: what it raised, or why it could not be done.
    """
    try:
        return future.result()
    except (DigitlabError, CancelledError, OSError):
        raise
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise RunError(f"{name}: several workers died while they did it. Have they too little memory?") from None
        raise RunError(f"{name}: {type(error).__name__}: {str(error)[:300]}") from error
