"""Between the network and the handlers: who may ask, how much, how many at once, and what leaves with an answer."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A phone's largest photos have some 20 MB.
MAX_BODY = 32_000_000
# Requests with a body under way at once, uploading, waiting or being read; each may hold MAX_BODY in memory.
MAX_BUSY = 32
# A whole body must have come by then.
BODY_SECONDS = 60
# An answer to somebody who is still sending is lost, so a body that is too large is read to its end, up to this.
MAX_DISCARDED = 8 * MAX_BODY
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def error(status: int, message: str, **headers: str) -> JSONResponse:
    """An error as every answer gives it: one line in JSON."""
    return JSONResponse({"error": " ".join(message.split())}, status, headers)


def is_loopback(name: str | None) -> bool:
    """Whether a host's name or address can only be this machine.

    Example:
        >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("example.org")
        (True, True, True, False)
    """
    try:
        return name == "localhost" or ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str | None:
    """The host in a Host header or an origin, without its port; None for nonsense.

    Example:
        >>> host_of("localhost:8000"), host_of("[::1]:8000"), host_of("[")
        ('localhost', '::1', None)
    """
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


class Guard:
    """An ASGI application around another.

    Args:
        app: what answers.
        local: only answer requests that name this machine, so that a page elsewhere cannot reach it by giving its own
            name this machine's address (DNS rebinding).
        origins: pages elsewhere that may ask, such as ``https://example.org``.
    """

    def __init__(self, app: ASGIApp, *, local: bool, origins: Iterable[str] = ()) -> None:
        self.app, self.local, self.origins = app, local, frozenset(origins)
        self.busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)  # the server's start and end
            return
        request = _Request(scope, receive, send)
        refused = self._refusal(request)
        if refused is not None:
            await _quietly(request.discard())
            await _quietly(refused(scope, request.receive, request.send))
            return
        counted = request.has_body
        self.busy += counted
        try:
            await self.app(scope, request.receive, request.send)
        except ClientDisconnect:
            pass
        except Exception as trouble:
            # A mistake of ours; the server lives on, and says where to look.
            sys.stderr.write(f"digitlab: unexpected {type(trouble).__name__}: {trouble}. Please report it\n")
        finally:
            self.busy -= counted

    def _refusal(self, request: _Request) -> JSONResponse | None:
        headers = request.headers
        host = headers.get("host", "")
        if self.local and not is_loopback(host_of(host)):
            return error(
                403, f"host {host[:80]!r}: this server answers only as localhost. Start it with --host to be seen"
            )
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and urlsplit_netloc(origin) != host.lower():
            return error(
                403, f"origin {origin[:80]!r}: pages elsewhere may not ask. Start the server with --cors {origin[:80]}"
            )
        if request.length is not None and request.length > MAX_BODY:
            return error(413, f"body: {request.length:,} bytes, at most {MAX_BODY:,}. Send fewer or smaller pictures")
        if request.has_body and self.busy >= MAX_BUSY:
            return error(503, f"busy with {self.busy} requests. Try again in a second", **{"Retry-After": "1"})
        return None


def urlsplit_netloc(origin: str) -> str | None:
    """Host and port of an origin, in lower case; None for nonsense, or for a page that hides its own.

    Example:
        >>> urlsplit_netloc("http://LOCALHOST:8000"), urlsplit_netloc("null")
        ('localhost:8000', None)
    """
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


class _Request:
    """One request's way in and out: bytes counted, time limited, headers added."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.headers = Headers(scope=scope)
        length = self.headers.get("content-length", "")
        self.length = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
        self.has_body = bool(self.length) or "transfer-encoding" in self.headers
        self.came = 0
        self.ended = not self.has_body
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive(self) -> Message:
        """Hand on a piece of the body.

        Raises:
            HTTPException: the body is too large, or too slow.
        """
        if self.ended:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"body: not whole after {BODY_SECONDS} s. Send it faster or make it smaller"
            ) from None
        self.came += len(message.get("body", b""))
        self.ended = not message.get("more_body", False)
        if self.came > MAX_BODY:
            await _quietly(self.discard())
            raise HTTPException(413, f"body: more than {MAX_BODY:,} bytes. Send fewer or smaller pictures")
        return message

    async def discard(self) -> None:
        """Read the rest of the body and drop it, so that its sender is there to hear the answer."""
        if "expect" in self.headers and not self.came:
            return  # waits for leave to send
        async with asyncio.timeout(BODY_SECONDS / 4):
            while not self.ended and self.came < MAX_DISCARDED:
                message = await self._receive()
                self.came += len(message.get("body", b""))
                self.ended = not message.get("more_body", False)

    async def send(self, message: Message) -> None:
        """Add what every answer has."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", NO_PAGE)
        await self._send(message)


async def _quietly(work: Any) -> None:
    """Wait for what may fail because the other side went away."""
    try:
        await work
    except (OSError, TimeoutError, ClientDisconnect):
        return
