"""The ASGI application: which address does what, and how a request becomes a call and a result an answer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from digitlab.errors import DigitlabError, ReadingError, ServingError
from digitlab.machine import usable_cores
from digitlab.reading.reader import Reader
from digitlab.serving import answers, guard
from digitlab.serving.answers import ReadingOptions
from digitlab.version import __version__

MAX_FILES = 64
# 28 x 28 pictures as JSON take some 2 kB each, and many times that while they are unpacked.
MAX_JSON = 16_000_000
# Names, not contents, come in fields.
MAX_FIELD = 1000
MAX_NAME = 200
# Sent as they are: the picture is the body. curl --data-binary says it is a form unless told otherwise.
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
        local: answer only requests that name this machine.
        cors: origins of pages elsewhere that may ask, such as ``https://example.org``.
        threads: pictures read at the same time; None for one a core.
    """

    model: str | Path | None = None
    runs: str | Path | None = None
    local: bool = True
    cors: tuple[str, ...] = ()
    threads: int | None = None


def make_app(settings: Settings | None = None) -> ASGIApp:
    """Make the application, for `digitlab serve` or any ASGI server.

    Args:
        settings: what is served.

    Returns:
        The application.

    Raises:
        ReadingError: the model cannot be opened.

    Example:
        >>> app = make_app()
    """
    settings = settings or Settings()
    desk = Desk(settings)
    routes = [
        Route("/", desk.page),
        Route("/read", desk.read, methods=["POST"]),
        Route("/predict", desk.predict, methods=["POST"]),
        Route("/health", desk.health),
        Route("/model", desk.model),
        Route("/runs", desk.to_runs),
        Route("/runs/", desk.runs),
        Route("/runs/{name}/report.html", desk.report),
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
    return guard.Guard(inner, local=settings.local, origins=settings.cors)


def _http_error(request: Request, trouble: HTTPException) -> Response:
    path, method = request.url.path[:80], request.method
    message = trouble.detail
    if trouble.status_code == 404 and message == "Not Found":
        message = f"{path}: nothing there. POST a picture to /read, or look at / and /runs"
    elif trouble.status_code == 405:
        allowed = sorted((trouble.headers or {}).get("Allow", "another method").split(", "))
        message = f"{method} {path}: expected {' or '.join(allowed)}"
    return guard.error(trouble.status_code, message, **dict(trouble.headers or {}))


def _one_line(_: Request, trouble: DigitlabError) -> Response:
    return guard.error(400, str(trouble))


def _ours(_: Request, __: Exception) -> Response:
    """For a mistake of ours; the guard outside says more in the server's window."""
    return guard.error(500, "unexpected trouble in the server; its window says more")


class Desk:
    """Answers requests; owns the reader and the threads that read."""

    def __init__(self, settings: Settings) -> None:
        import anyio

        self.settings = settings
        self.reader = Reader(settings.model)
        self.name = "digits" if settings.model is None else _model_name(Path(settings.model))
        self.limit = anyio.CapacityLimiter(settings.threads or len(usable_cores()))
        self.started = time.monotonic()
        self.card = answers.model_card(self.reader, self.name)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Read a first picture while nobody waits for it: that loads SciPy and what else reading needs."""
        warming = asyncio.create_task(self._in_thread(self._warm_up))
        yield
        warming.cancel()

    def _warm_up(self) -> None:
        from PIL import Image, ImageDraw

        page, file = Image.new("L", (200, 100), 255), io.BytesIO()
        ImageDraw.Draw(page).line([(60, 20), (60, 80)], fill=0, width=8)
        page.save(file, "PNG")
        answers.read(self.reader, file, ReadingOptions(explain=True))

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Work on a thread: others are answered meanwhile, and no more is read at once than there are cores."""
        import anyio

        return await anyio.to_thread.run_sync(work, *arguments, limiter=self.limit)

    async def page(self, _: Request) -> Response:
        """GET /: the page where one draws."""
        from digitlab.serving.pages import drawing_page

        page, policy = drawing_page(self.card["name"], self.card["scores"].get("test_accuracy"))
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    async def health(self, _: Request) -> Response:
        """GET /health: that it lives."""
        seconds = round(time.monotonic() - self.started, 1)
        return JSONResponse({"status": "ok", "digitlab": __version__, "model": self.name, "seconds": seconds})

    async def model(self, _: Request) -> Response:
        """GET /model: what reads."""
        return JSONResponse(self.card)

    async def read(self, request: Request) -> Response:
        """POST /read: a picture as the body, or one or more as files of a form."""
        options = _options(list(request.query_params.multi_items()), ReadingOptions())
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            async with request.form(max_files=MAX_FILES, max_fields=MAX_FILES, max_part_size=MAX_FIELD) as form:
                texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
                options = _options(texts, options)
                files = [value for _, value in form.multi_items() if not isinstance(value, str)]
                pictures = [_named(await file.read(), file.filename) for file in files]
        elif not kind or kind.startswith(RAW):
            pictures = [_named(await request.body(), None)]
        else:
            raise HTTPException(
                415, f"content type {kind[:60]!r}: expected a picture as the body, or multipart/form-data with files"
            )
        if not pictures:
            raise ServingError("form: no file in it, expected one or more, as in: curl -F file=@photo.jpg …/read")
        if len(pictures) == 1:
            return JSONResponse(await self._in_thread(answers.read, self.reader, pictures[0], options))
        return JSONResponse([await self._in_thread(self._read_or_error, picture, options) for picture in pictures])

    def _read_or_error(self, picture: BinaryIO, options: ReadingOptions) -> dict[str, Any]:
        """One of many: a bad one does not stop the others."""
        try:
            return answers.read(self.reader, picture, options)
        except ReadingError as trouble:
            return {"file": getattr(picture, "name", ""), "error": str(trouble)}

    async def predict(self, request: Request) -> Response:
        """POST /predict: 28 x 28 pictures as JSON."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, f"content type {kind[:60]!r}: expected application/json, as curl --json sends")
        parts, size = [], 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MAX_JSON:
                raise HTTPException(413, f"body: more than {MAX_JSON:,} bytes. Send fewer pictures at a time")
        return JSONResponse(await self._in_thread(answers.predict, self.reader, b"".join(parts)))

    async def to_runs(self, _: Request) -> Response:
        """GET /runs: the page proper, whose links are relative."""
        return RedirectResponse("runs/")

    async def runs(self, _: Request) -> Response:
        """GET /runs/: the runs as they are now."""
        page = await self._in_thread(self._runs_page)
        return HTMLResponse(page, headers={"Content-Security-Policy": RUNS_POLICY})

    def _runs_page(self) -> str:
        from digitlab.runs import runs_folder
        from digitlab.runs.overview import dashboard

        return dashboard(runs_folder(self.settings.runs), folder=self.settings.runs, home="../")

    async def report(self, request: Request) -> Response:
        """GET /runs/NAME/report.html."""
        text = await self._in_thread(self._report, request.path_params["name"])
        if text is None:
            raise HTTPException(404, f"{request.url.path[:80]}: no such report. /runs lists them")
        return HTMLResponse(text, headers={"Content-Security-Policy": REPORT_POLICY})

    def _report(self, name: str) -> str | None:
        """A run's report; the name is only ever compared with those of runs that are there, never made into a path."""
        from digitlab.runs import list_runs

        for run in list_runs(self.settings.runs):
            if run.name == name:
                file = run.path / "report.html"
                # Not out of the run's folder by a link either.
                if file.is_file() and file.resolve().parent == run.path.resolve():
                    return file.read_text("utf-8", errors="replace")
        return None


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


def _named(content: bytes, name: str | None) -> BinaryIO:
    """A file in memory that knows what its sender calls it."""
    file = io.BytesIO(content)
    plain = "".join(letter for letter in (name or "") if letter.isprintable())
    plain = plain.replace("\\", "/").rpartition("/")[2][:MAX_NAME]
    if plain:
        file.name = plain
    return file


def _model_name(path: Path) -> str:
    """A run by its folder, another file by its own name; never the path, which is nobody's business."""
    return path.resolve().name
