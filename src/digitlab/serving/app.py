"""The ASGI application: which address does what, and how a request becomes a call and a result an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from digitlab.errors import DigitlabError, ProcessError, ReadingError, ServingError
from digitlab.processes import SECONDS, Pool
from digitlab.serving import guard, jobs, models
from digitlab.serving.access import Access, error
from digitlab.serving.answers import ReadingOptions, plain_name
from digitlab.serving.corrections import Corrections
from digitlab.serving.run_pages import RunsPage, report
from digitlab.serving.training import Trainings
from digitlab.serving.waiting import Waiting, busy
from digitlab.version import __version__

MAX_FILES = 64
# 28 x 28 images as JSON take some 2 kB each, and many times that while they are unpacked.
MAX_JSON = 16_000_000
# Names, not contents, come in fields.
MAX_FIELD = 1024  # Starlette names it in whole kilobytes
# Sent as they are: the image is the body. curl --data-binary says it is a form unless told otherwise.
RAW = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
YES, NO = {"1", "true", "yes", "on", ""}, {"0", "false", "no", "off"}
OPTIONS = ("single", "reject", "explain", "stages")

# Pages that digitlab wrote carry a policy of their own with their script's hash; both hold.
RUNS_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# A report may come from elsewhere with its run: its script gets an origin of its own, and can ask this server nothing.
REPORT_POLICY = f"sandbox allow-scripts allow-downloads; {RUNS_POLICY}"


@dataclass(frozen=True)
class Settings:
    """What is served, and to whom.

    Attributes:
        model: as `Reader` takes it; None for the network in the package.
        runs: folder of the runs; None for `DIGITLAB_RUNS`, else ``runs``.
        local: answer only requests that name this machine as nobody else can be named.
        cors: origins of pages elsewhere that may ask, such as ``https://example.org``.
        threads: images read at the same time, each in a process of its own; None for one per core.
        names: further names that this machine is reached by; ``*`` for any.
        token: what must come with every request; None for none.
        timeout: seconds that one image may take.
        trainings: runs that may train at the same time.
        train_anywhere: other machines may start and stop runs too.
        data: what such runs are trained on, as `digitlab.load` takes it; None for MNIST.
        collect: folder of own digits that keeps what is corrected on the page; None to keep nothing.
    """

    model: str | Path | None = None
    runs: str | Path | None = None
    local: bool = True
    cors: tuple[str, ...] = ()
    threads: int | None = None
    names: tuple[str, ...] = ()
    token: str | None = None
    timeout: float = SECONDS
    trainings: int = 1
    train_anywhere: bool = False
    data: str | None = None
    collect: Path | None = None


def make_app(settings: Settings | None = None, pool: Pool | None = None) -> ASGIApp:
    """Make the application, for `digitlab serve` or any ASGI server.

    Args:
        settings: what is served.
        pool: workers from `jobs.reading_pool`, if they are started already; they end with the server.

    Returns:
        The application.

    Raises:
        ReadingError: no such model; one that cannot be opened stops the server at its start.

    Example:
        >>> app = make_app()
    """
    settings = settings or Settings()
    desk = Desk(settings, pool)
    routes = [
        Route("/", desk.page),
        Route("/read", desk.read, methods=["POST"]),
        Route("/predict", desk.predict, methods=["POST"]),
        Route("/health", desk.health),
        Route("/model", desk.model),
        Route("/runs", desk.to_runs),
        Route("/runs/", desk.runs),
        Route("/runs/{name}/report.html", desk.report),
        *desk.models.routes(),
        *Corrections(settings.collect, desk.in_lane).routes(),
        *Trainings(settings.runs, settings.trainings, settings.train_anywhere, data=settings.data).routes(),
    ]
    middleware = []
    if settings.cors:
        headers, methods = ["Content-Type"], ["GET", "POST"]
        middleware.append(
            Middleware(CORSMiddleware, allow_origins=list(settings.cors), allow_headers=headers, allow_methods=methods)
        )
    inner = Starlette(
        routes=routes,
        lifespan=desk.lifespan,
        middleware=middleware,
        exception_handlers={HTTPException: _http_error, DigitlabError: _one_line, Exception: _ours},  # type: ignore[dict-item]
    )
    inner.router.redirect_slashes = False
    access = Access(local=settings.local, names=settings.names, origins=settings.cors, token=settings.token)
    return guard.Guard(inner, access, desk.waiting.check)


def _http_error(request: Request, trouble: HTTPException) -> Response:
    path, method = request.url.path[:80], request.method
    message = trouble.detail
    if trouble.status_code == 404 and message == "Not Found":
        message = f"{path}: nothing there. POST an image to /read, or look at / and /runs"
    elif trouble.status_code == 405:
        allowed = sorted((trouble.headers or {}).get("Allow", "another method").split(", "))
        message = f"{method} {path}: expected {' or '.join(allowed)}"
    return error(trouble.status_code, message, **dict(trouble.headers or {}))


def _one_line(_: Request, trouble: DigitlabError) -> Response:
    return error(400, str(trouble))


def _ours(_: Request, __: Exception) -> Response:
    """For a bug in digitlab; the guard outside says more in the server's window."""
    return error(500, "unexpected trouble in the server; its window says more")


class Desk:
    """Answers requests; owns the workers that read, and the page of runs as it was last asked for."""

    def __init__(self, settings: Settings, pool: Pool | None = None) -> None:
        import anyio

        self.settings = settings
        if settings.model is not None and not Path(settings.model).exists():
            raise ReadingError(f"{settings.model}: no such model. Name an .onnx file or a finished run's folder.")
        self.pool = pool or jobs.reading_pool(settings.model, settings.threads, settings.timeout)
        self.waiting = Waiting(self.pool)
        self.name = "digits" if settings.model is None else _model_name(Path(settings.model))
        self.lane = anyio.CapacityLimiter(1)
        self.started = time.monotonic()
        self._card: dict[str, Any] | None = None
        self.models = models.Models(settings.runs, self.name, self.work, self.in_lane)
        self._runs_page = RunsPage(settings.runs)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Start the workers while nobody waits for them, and end them with the server."""
        self.pool.launch()
        try:
            yield
        finally:
            self.pool.end()

    async def work(
        self,
        request: Request,
        function: Callable[..., bytes],
        *arguments: Any,
        name: str = "request",
        patient: bool = False,
    ) -> bytes:
        """Have a worker do it; others are answered meanwhile.

        Raises:
            ReadingError: it took too long or too much memory, or crashed its worker.
            HTTPException: 503, too many are waiting.
        """
        with self.waiting.place(guard.address_of(request.scope), sure=patient):
            try:
                return await asyncio.wrap_future(self.pool.submit(function, *arguments, patient=patient))
            except ProcessError as trouble:
                if trouble.busy:
                    raise busy(self.waiting.under_way.total(), jobs.PATIENCE) from None
                raise ReadingError(_not_read(name, trouble, self.settings.timeout)) from None

    async def card(self, request: Request) -> dict[str, Any]:
        """What reads, from the model's own file; asked for once."""
        if self._card is None:
            self._card = json.loads(await self.work(request, jobs.card, self.name))
        return self._card

    async def in_lane(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Work on a thread, one such at a time: reading files of runs keeps nobody from being answered."""
        import anyio

        return await anyio.to_thread.run_sync(work, *arguments, limiter=self.lane)

    async def page(self, request: Request) -> Response:
        """GET /: the page where one draws."""
        from digitlab.serving.pages import drawing_page

        card = await self.card(request)
        page, policy = drawing_page(card["name"], card["scores"].get("test_accuracy"), self._collects())
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    def _collects(self) -> str:
        """The folder of corrections by its name; never the path, which is nobody's business."""
        return "" if self.settings.collect is None else plain_name(str(self.settings.collect.resolve()))

    async def health(self, _: Request) -> Response:
        """GET /health: that it lives."""
        seconds = round(time.monotonic() - self.started, 1)
        facts = {"status": "ok", "digitlab": __version__, "model": self.name, "seconds": seconds}
        return JSONResponse(facts | {"under_way": self.waiting.under_way.total()})

    async def model(self, request: Request) -> Response:
        """GET /model: what reads."""
        return JSONResponse(await self.card(request))

    async def read(self, request: Request) -> Response:
        """POST /read: an image as the body, or one or more as files of a form."""
        asked = [(name, value) for name, value in request.query_params.multi_items() if name != "model"]
        options = _options(asked, ReadingOptions())
        path = await self.models.path(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            try:
                async with request.form(max_files=MAX_FILES, max_fields=MAX_FILES, max_part_size=MAX_FIELD) as form:
                    texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
                    options = _options(texts, options)
                    files = [value for _, value in form.multi_items() if not isinstance(value, str)]
                    pictures = [(await file.read(), plain_name(file.filename)) for file in files]
            except FormParserError as trouble:  # older versions of Starlette pass it on as it is
                raise HTTPException(400, f"form: {trouble}. Send files as curl -F file=@photo.jpg does") from None
        elif not kind or kind.startswith(RAW):
            pictures = [(await request.body(), "")]
        else:
            raise HTTPException(
                415, f"content type {kind[:60]!r}: expected an image as the body, or multipart/form-data with files"
            )
        if not pictures:
            raise ServingError("form: no file in it, expected one or more, as in: curl -F file=@photo.jpg …/read")
        if len(pictures) == 1:
            [(content, name)] = pictures
            return _json(await self.work(request, models.read, path, content, name, options, name=name or "image"))
        answers = [
            await self._read_or_error(request, path, content, name, options, patient=number > 0)
            for number, (content, name) in enumerate(pictures)
        ]
        return _json(b"[" + b",".join(answers) + b"]")

    async def _read_or_error(
        self,
        request: Request,
        path: Path | None,
        content: bytes,
        name: str,
        options: ReadingOptions,
        *,
        patient: bool,
    ) -> bytes:
        """One of many: a bad one does not stop the others, and once begun, all are read."""
        try:
            return await self.work(
                request, models.read, path, content, name, options, name=name or "image", patient=patient
            )
        except ReadingError as trouble:
            return json.dumps({"file": name, "error": str(trouble)}, ensure_ascii=False).encode("utf-8")

    async def predict(self, request: Request) -> Response:
        """POST /predict: 28 x 28 images as JSON."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, f"content type {kind[:60]!r}: expected application/json, as curl --json sends")
        parts, size = [], 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MAX_JSON:
                raise HTTPException(413, f"body: more than {MAX_JSON:,} bytes. Send fewer images at a time")
        return _json(await self.work(request, jobs.predict, b"".join(parts)))

    async def to_runs(self, _: Request) -> Response:
        """GET /runs: the page proper, whose links are relative."""
        return RedirectResponse("runs/")

    async def runs(self, _: Request) -> Response:
        """GET /runs/: the runs as they are now."""
        page = self._runs_page.fresh()
        if page is None:
            page = await self.in_lane(self._runs_page.text)
        return HTMLResponse(page, headers={"Content-Security-Policy": RUNS_POLICY})

    async def report(self, request: Request) -> Response:
        """GET /runs/NAME/report.html."""
        content = await self.in_lane(report, self.settings.runs, request.path_params["name"])
        if content is None:
            raise HTTPException(404, f"{request.url.path[:80]}: no such report. /runs lists them")
        return HTMLResponse(content, headers={"Content-Security-Policy": REPORT_POLICY})


def _not_read(name: str, trouble: ProcessError, seconds: float) -> str:
    """One line for an image, or anything else, that a worker did not finish."""
    if trouble.timed_out:
        return f"{name}: not read within {seconds:g} s. Make it smaller."
    return f"{name}: {trouble}. Is it damaged or far too large? Save it anew as a PNG."


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _options(given: list[tuple[str, str]], options: ReadingOptions) -> ReadingOptions:
    """Options from the address or from a form's fields."""
    for name, text in given:
        if name not in OPTIONS:
            raise ServingError(f"option {name[:40]!r}: not known, expected {', '.join(OPTIONS)}")
        word = text.strip().lower()
        if word not in YES | NO:
            raise ServingError(f"option {name}: {text[:40]!r}, expected 1 or 0")
        options = replace(options, **{name: word in YES})
    return options


def _model_name(path: Path) -> str:
    """A run by its folder, another file by its own name; never the path, which is nobody's business."""
    return path.resolve().name
