"""Which networks can be chosen on the page: the server's own and every finished run; asked one image at a time."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from digitlab.errors import ReadingError, ServingError
from digitlab.serving import jobs
from digitlab.serving.bodies import json_body

if TYPE_CHECKING:
    from digitlab.reading.reader import Reader
    from digitlab.serving.answers import ReadingOptions

MAX_BODY = 4_000_000
FEWER = "Send fewer images at a time"
MOST = 200


class Models:
    """Answers about networks beside the server's own.

    Args:
        runs: folder of the runs.
        name: of the server's own network.
        work: has a worker do something for a request.
        in_lane: does something on a thread, one at a time.
    """

    def __init__(
        self, runs: str | Path | None, name: str, work: Callable[..., Awaitable[bytes]], in_lane: Callable[..., Any]
    ) -> None:
        self.runs, self.name, self.work, self.in_lane = runs, name, work, in_lane

    def routes(self) -> list[Route]:
        """The addresses."""
        return [
            Route("/models", self._list),
            Route("/models/predict", self._predict, methods=["POST"]),
            Route("/models/inside", self._inside, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        """GET /models: what can be chosen, the server's own first."""
        found = await self.in_lane(listed, self.runs)
        labels = json.loads(await self.work(request, jobs.card, self.name))["labels"]
        own = {"name": "", "title": self.name, "digits": labels == list("0123456789")}
        return JSONResponse([own, *found])

    async def path(self, request: Request) -> Path | None:
        """The file of the network that a request names; None for the server's own.

        Raises:
            ServingError: no such run.
        """
        name = request.query_params.get("model", "")
        return await self.in_lane(path_of, self.runs, name) if name else None

    async def _predict(self, request: Request) -> Response:
        """POST /models/predict?model=NAME: 28 x 28 images through that network."""
        path = await self.path(request)
        answer = await self.work(request, predict, path, await json_body(request, MAX_BODY, FEWER))
        return Response(answer, media_type="application/json")

    async def _inside(self, request: Request) -> Response:
        """POST /models/inside?model=NAME: what each layer makes of one image."""
        path = await self.path(request)
        answer = await self.work(request, inside, path, await json_body(request, MAX_BODY, FEWER))
        return Response(answer, media_type="application/json")


def listed(runs: str | Path | None) -> list[dict[str, Any]]:
    """Every finished run, the newest first; one of other classes than the ten digits names single images."""
    from digitlab.runs.register import list_runs
    from digitlab.runs.states import State

    found = []
    for run in list_runs(runs):
        info = run.info
        classes = (info.get("data") or {}).get("classes") or ()
        if info.get("state") == State.FINISHED and len(classes) > 1 and (run.path / "model.onnx").is_file():
            digits = tuple(classes) == tuple("0123456789")
            title = run.name if digits else f"{run.name} (single images, {len(classes)} classes)"
            found.append(
                {"name": run.name, "title": title, "recipe": str(info["recipe"].get("name", "")), "digits": digits}
            )
    return found[::-1][:MOST]


def path_of(runs: str | Path | None, name: str) -> Path:
    """A run's network; the name is compared with those that are there, never made into a path.

    Raises:
        ServingError: no such run.
    """
    from digitlab.runs.register import list_runs

    for run in list_runs(runs):
        if run.name == name and (run.path / "model.onnx").is_file():
            return run.path / "model.onnx"
    raise ServingError(f"model {name[:80]!r}: no finished run of that name. /models lists them")


@functools.lru_cache(4)
def _other(path: Path, _: int) -> Reader:
    from digitlab.reading.reader import Reader

    return Reader(path, threads=1)


def _reader(own: Reader, path: Path | None) -> Reader:
    return own if path is None else _other(path, path.stat().st_mtime_ns)


def read(reader: Reader, path: Path | None, content: bytes, name: str, options: ReadingOptions) -> bytes:
    """In a worker: read one image with a network of one's choice."""
    return jobs.read(_reader(reader, path), content, name, options)


def predict(reader: Reader, path: Path | None, body: bytes) -> bytes:
    """In a worker: 28 x 28 images through a network of one's choice, looked at as reading does."""
    from digitlab.serving.answers import images_in

    probabilities = _reader(reader, path)._looked_at_twice(images_in(body))
    rows = [[round(float(p), 6) for p in row] for row in probabilities]
    return json.dumps({"probabilities": rows}).encode("utf-8")


def inside(reader: Reader, path: Path | None, body: bytes) -> bytes:
    """In a worker: what each layer makes of one image."""
    from digitlab.reading.inside import look_inside
    from digitlab.serving.answers import images_in

    images = images_in(body)
    if len(images) != 1:
        raise ReadingError(f"images: {len(images)}, expected one to look inside at")
    views = look_inside(_reader(reader, path).model.path, images[0])
    shown = [
        {
            "title": view.title,
            "words": view.words,
            "shape": list(view.maps.shape),
            "maps": [base64.b64encode(one.tobytes()).decode("ascii") for one in view.maps],
        }
        for view in views
    ]
    return json.dumps({"layers": shown}, ensure_ascii=False).encode("utf-8")
