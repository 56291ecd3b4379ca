"""Training from the page: runs started and stopped in processes of their own, and followed as they learn."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from digitlab.errors import DigitlabError, RunError, ServingError
from digitlab.processes import Child
from digitlab.runs.live import EPOCH, PROGRESS
from digitlab.runs.states import State
from digitlab.serving.access import is_loopback
from digitlab.serving.bodies import json_body

# Seconds between two looks at a run's folder.
LOOK = 0.4
# Pages that follow runs at once.
FOLLOWERS = 32
# What can be set on the page; the rest is the recipe's.
SETTINGS = ("epochs", "batch_size", "peak_rate", "hidden", "dropout", "seed")
MAX_BODY = 20_000


@dataclass
class Trainings:
    """The runs that this server started; owns their processes. They outlive it, and the folder knows them afterwards.

    Attributes:
        runs: folder of the runs, as everywhere.
        at_once: how many may train at the same time.
        anywhere: other machines may start and stop too.
        control: False for a page that only shows.
        data: what is trained on, as `digitlab.load` takes it; None for MNIST.
    """

    runs: str | Path | None = None
    at_once: int = 1
    anywhere: bool = False
    control: bool = True
    data: str | None = None
    _processes: dict[str, Child] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _followers: int = 0

    def routes(self) -> list[Route]:
        """The addresses, all below /train."""
        shown = [
            Route("/train", self._to_page),
            Route("/train/", self._page),
            Route("/train/runs", self._list),
            Route("/train/events", self._events),
        ]
        if not self.control:
            return shown
        return [
            *shown,
            Route("/train/start", self._start, methods=["POST"]),
            Route("/train/stop", self._stop, methods=["POST"]),
            Route("/train/resume", self._resume, methods=["POST"]),
        ]

    @property
    def followed(self) -> int:
        """How many pages follow a run at this moment."""
        return self._followers

    async def _to_page(self, _: Request) -> Response:
        return RedirectResponse("train/")

    async def _page(self, request: Request) -> Response:
        from digitlab.serving.pages import training_page

        page, policy = training_page(self.control and self._may(request), home=self.control)
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    async def _list(self, _: Request) -> Response:
        return JSONResponse(await anyio.to_thread.run_sync(self.listed))

    def listed(self) -> list[dict[str, Any]]:
        """Every run by name, recipe and state, the newest first; those that are about to begin are there already."""
        from digitlab.runs.register import list_runs

        found = [
            {"name": run.name, "recipe": str(info["recipe"].get("name", "")), "state": run.state, "created": created}
            for run in list_runs(self.runs)
            if (created := str((info := run.info).get("created", ""))) is not None
        ]
        names = {entry["name"] for entry in found}
        starting = [
            {"name": name, "recipe": name.rpartition("-")[0], "state": "starting", "created": "~"}
            for name in self._alive()
            if name not in names
        ]
        return sorted(starting + found, key=lambda entry: entry["created"], reverse=True)

    def _alive(self) -> list[str]:
        with self._lock:
            return [name for name, process in self._processes.items() if process.poll() is None]

    def _may(self, request: Request) -> bool:
        return self.anywhere or (request.client is not None and is_loopback(request.client.host))

    async def _task(self, request: Request) -> dict[str, Any]:
        if not self._may(request):
            raise HTTPException(403, "training: only from the machine that serves. Start it with --train-from-anywhere")
        body = await json_body(request, MAX_BODY)
        try:
            task = json.loads(body)
        except (ValueError, RecursionError):
            raise ServingError('body: no JSON, expected an object such as {"recipe": "mlp"}') from None
        if not isinstance(task, dict):
            raise ServingError('body: expected an object such as {"recipe": "mlp"}')
        return task

    async def _start(self, request: Request) -> Response:
        """POST /train/start: {"recipe": name, "changes": {field: value}}."""
        task = await self._task(request)
        return JSONResponse({"run": await anyio.to_thread.run_sync(self.start, task)})

    def start(self, task: dict[str, Any]) -> str:
        """Start a run in a process of its own.

        Args:
            task: "recipe", a name, and "changes", fields of it among `SETTINGS`.

        Returns:
            The run's name.

        Raises:
            DigitlabError: no such recipe or field, or enough train already.
        """
        from digitlab.learning.recipe import recipe
        from digitlab.runs.register import check_free, runs_folder

        changes = task.get("changes", {})
        if not isinstance(changes, dict) or set(changes) - set(SETTINGS):
            raise ServingError(f"changes: expected an object with some of {', '.join(SETTINGS)}")
        if isinstance(changes.get("hidden"), list):
            changes = {**changes, "hidden": tuple(changes["hidden"])}
        settings = recipe(str(task.get("recipe", "mlp")), **changes)
        name = f"{settings.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        with self._lock:
            self._check_room()
            folder = runs_folder(self.runs)
            while name in self._processes or (folder / name).exists():
                name += "b"
            check_free(folder, name)
            self._launch(name, {"recipe": settings.to_dict(), "name": name, "data": self._data()})
        return name

    def _data(self) -> str | None:
        return None if self.data is None else str(Path(self.data).resolve())

    def _check_room(self) -> None:
        from digitlab.runs.register import list_runs

        busy = {name for name, process in self._processes.items() if process.poll() is None}
        busy |= {run.name for run in list_runs(self.runs) if run.state == State.TRAINING}
        if len(busy) >= self.at_once:
            raise ServingError(
                f"{', '.join(sorted(busy))}: training already, at most {self.at_once} at once. "
                "Stop it first, or start the server with --trainings 2"
            )

    def _launch(self, name: str, task: dict[str, Any]) -> None:
        from digitlab.runs.register import runs_folder

        process = Child("digitlab.runs.live_worker")  # Ctrl-C ends the server; the run goes on
        process.tell(json.dumps({**task, "folder": str(runs_folder(self.runs).resolve())}).encode())
        self._processes[name] = process

    def _named(self, task: dict[str, Any]) -> Any:
        """The run that a request means; its name is compared with those that are there, never made into a path."""
        from digitlab.runs.register import list_runs

        for run in list_runs(self.runs):
            if run.name == task.get("run"):
                return run
        raise ServingError(f"run {str(task.get('run'))[:80]!r}: no such run. /train/runs lists them")

    async def _stop(self, request: Request) -> Response:
        """POST /train/stop: {"run": name}; it is kept and can go on."""
        task = await self._task(request)
        await anyio.to_thread.run_sync(self.stop, task)
        return JSONResponse({"run": task["run"]})

    def stop(self, task: dict[str, Any]) -> None:
        """Interrupt a run, whoever started it as long as it can be followed.

        Raises:
            ServingError: it does not train, or was started where nobody can follow it.
        """
        process = self._processes.get(str(task.get("run")))
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            return
        run = self._named(task)
        if run.state != State.TRAINING:
            raise ServingError(f"{run.name}: does not train, it is {run.state}")
        pid = (_json(run.path / PROGRESS) or {}).get("pid")
        # The lock says that the process which wrote the file lives.
        if not isinstance(pid, int) or pid <= 1 or pid == os.getpid():
            raise ServingError(f"{run.name}: was started elsewhere. Stop it with Ctrl-C there")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGINT)

    async def _resume(self, request: Request) -> Response:
        """POST /train/resume: {"run": name}."""
        task = await self._task(request)
        return JSONResponse({"run": await anyio.to_thread.run_sync(self.resume, task)})

    def resume(self, task: dict[str, Any]) -> str:
        """Resume a run that was stopped.

        Raises:
            ServingError: it trains, is finished, or enough train already.
        """
        run = self._named(task)
        if run.state in (State.TRAINING, State.FINISHED):
            raise ServingError(f"{run.name}: is {run.state}, expected one that was stopped")
        with self._lock:
            self._check_room()
            self._launch(run.name, {"resume": str(run.path.resolve())})
        return str(run.name)

    async def _events(self, request: Request) -> Response:
        """GET /train/events?run=NAME: server-sent events from the run's folder, until it ends."""
        name = request.query_params.get("run", "")
        if self._followers >= FOLLOWERS:
            raise HTTPException(503, f"{FOLLOWERS} pages follow runs already. Close one", {"Retry-After": "5"})
        return StreamingResponse(self._follow(name, request), media_type="text/event-stream")

    async def _follow(self, name: str, request: Request) -> AsyncIterator[str]:
        self._followers += 1
        try:
            known: dict[str, Any] = {}
            quiet = 0
            while not await request.is_disconnected():
                news = await anyio.to_thread.run_sync(functools.partial(self.look, name, known))
                if news:
                    yield f"data: {json.dumps(news)}\n\n"
                    quiet = 0
                    if news.get("state", "training") not in ("training", "starting"):
                        yield "event: end\ndata: {}\n\n"
                        return
                elif (quiet := quiet + 1) % 25 == 0:
                    yield ": still there\n\n"  # or whoever went away would be followed for ever
                await asyncio.sleep(LOOK)
        finally:
            self._followers -= 1

    def look(self, name: str, known: dict[str, Any]) -> dict[str, Any]:
        """What changed of a run since the last look; `known` keeps what was seen.

        Returns:
            Some of "state", "recipe", "epochs", "history", "live", "epoch", "test".
        """
        from digitlab.runs.register import list_runs

        run = next((run for run in list_runs(self.runs) if run.name == name), None)
        state = ("starting" if name in self._alive() else "gone") if run is None else run.state
        news: dict[str, Any] = {}
        if run is not None:
            if state != State.TRAINING and state != State.FINISHED and name in self._alive():
                state = "starting"  # it goes on in a moment
            for part, file in (("history", "history.csv"), ("live", PROGRESS), ("epoch", EPOCH)):
                with contextlib.suppress(OSError, RunError):
                    stamp = (run.path / file).stat().st_mtime_ns
                    if known.get(part) != stamp:
                        content = _columns(run.history) if part == "history" else _json(run.path / file)
                        known[part] = stamp
                        news[part] = content
        if known.get("state") != state:
            known["state"] = state
            news["state"] = state
            if run is not None:
                info = run.info["recipe"]
                news |= {"recipe": info.get("name"), "description": info.get("description"), "epochs": info["epochs"]}
            if run is not None and state == State.FINISHED:
                with contextlib.suppress(DigitlabError):
                    e = run.evaluation
                    news["test"] = {"accuracy": e.accuracy, "interval": e.accuracy_interval, "images": e.samples}
        return news


def _columns(history: dict[str, list[float]]) -> dict[str, list[float | None]]:
    return {name: [value if value - value == 0 else None for value in values] for name, values in history.items()}


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
