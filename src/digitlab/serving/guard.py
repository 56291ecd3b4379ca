"""Between the network and the handlers: who may ask, how much and how fast, and what leaves with an answer."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from digitlab.processes import WorkerError
from digitlab.serving.access import Access, error, without_token
from digitlab.serving.waiting import busy

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A phone's largest photos have some 20 MB.
MAX_BODY = 32_000_000
# Bodies in memory at once, in all; half of it for one address, so that it cannot keep the others out.
MAX_HELD = 16 * MAX_BODY
# A whole body must have come by then, and in each stretch of so many seconds at least so many bytes of it: a page of
# 2 MB over a bad line does, somebody who holds a place with a byte now and then does not.
BODY_SECONDS = 60
STRETCH = 5
LEAST = 40_000
# Who finds no room waits so long and looks once more before hearing it: saying no to 200 clients who ask again at once
# took more of the processor than was good for those who read (docs/log.md).
HELD_SECONDS = 0.7
# An answer must be taken by then.
ANSWER_SECONDS = 60
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


class Guard:
    """An ASGI application around another.

    Args:
        app: what answers.
        access: who may ask.
        check: raises an HTTPException if there is no room for another request with a body from an address.
    """

    def __init__(self, app: ASGIApp, access: Access, check: Callable[[str], None]) -> None:
        self.app, self.access, self.check = app, access, check
        self.held: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)  # the server's start and end
            return
        request = _Request(scope, receive, send, self.held)
        refused = self._refusal(scope, request)
        if refused is not None and refused.status_code == 503:
            await asyncio.sleep(HELD_SECONDS)  # its body has not been read yet, so it costs a connection only
            refused = self._refusal(scope, request)
        if refused is not None:
            await _quietly(request.discard())
            await _quietly(refused(scope, request.receive, request.send))
            return
        scope = {**scope, "query_string": without_token(scope["query_string"])}
        try:
            await self.app(scope, request.receive, request.send)
        except (ClientDisconnect, TimeoutError):
            pass
        except Exception as trouble:
            # A bug in digitlab; the server lives on, and says where to look.
            words = str(trouble) if isinstance(trouble, WorkerError) else f"{type(trouble).__name__}: {trouble}"
            sys.stderr.write(f"digitlab: unexpected {' '.join(words.split())}. Please report it\n")
        finally:
            request.release()

    def _refusal(self, scope: Scope, request: _Request) -> Response | None:
        if not scope["query_string"].isascii():
            return error(400, "address: letters beyond ASCII after the ?, expected them as %C3%A9")
        refused = self.access.refusal(scope["method"], request.headers, scope["query_string"])
        if refused is not None:
            return refused
        if request.length is not None and request.length > MAX_BODY:
            return error(413, f"body: {request.length:,} bytes, at most {MAX_BODY:,}. Send fewer or smaller images")
        if request.has_body:
            try:
                self.check(request.address)
            except HTTPException as trouble:
                return error(trouble.status_code, trouble.detail, **dict(trouble.headers or {}))
        return None


class _Request:
    """One request's way in and out: bytes counted, time limited, headers added."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, held: Counter[str]) -> None:
        self._receive, self._send, self._held = receive, send, held
        self.headers = Headers(scope=scope)
        self.address = address_of(scope)
        length = self.headers.get("content-length", "")
        self.length = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
        self.has_body = bool(self.length) or "transfer-encoding" in self.headers
        self.came = self._counted = 0
        self.ended = not self.has_body
        now = asyncio.get_running_loop().time()
        self._deadline, self._stretch, self._came_before = now + BODY_SECONDS, now + STRETCH, 0

    async def receive(self) -> Message:
        """Hand on a piece of the body.

        Raises:
            HTTPException: the body is too large, or too slow, or there is no room for it.
        """
        if self.ended:
            return await self._receive()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(self._deadline, self._stretch)):
                message = await self._receive()
        except TimeoutError:
            if loop.time() < self._deadline and self.came - self._came_before >= LEAST:
                self._stretch, self._came_before = loop.time() + STRETCH, self.came
                return await self.receive()
            raise HTTPException(
                408,
                f"body: not whole after {BODY_SECONDS} s, or too slow for it. Send it faster or make it smaller",
                {"Connection": "close"},
            ) from None
        self._count(message)
        if loop.time() > self._stretch and not self.ended:
            if self.came - self._came_before < LEAST:
                raise HTTPException(
                    408,
                    f"body: under {LEAST // STRETCH:,} bytes a second. Send it faster or make it smaller",
                    {"Connection": "close"},
                )
            self._stretch, self._came_before = loop.time() + STRETCH, self.came
        if self.came > MAX_BODY:
            await _quietly(self.discard())
            raise HTTPException(413, f"body: more than {MAX_BODY:,} bytes. Send fewer or smaller images")
        if self._held.total() > MAX_HELD or self._held[self.address] > MAX_HELD // 2:
            self.release()
            raise busy(len(self._held))
        return message

    def _count(self, message: Message) -> None:
        size = len(message.get("body", b""))
        self.came += size
        self._counted += size
        self._held[self.address] += size
        self.ended = not message.get("more_body", False)

    def release(self) -> None:
        """The body is no longer in memory."""
        self._held[self.address] -= self._counted
        self._counted = 0
        if self._held[self.address] <= 0:
            del self._held[self.address]

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
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._send(message)


def address_of(scope: Scope) -> str:
    """Whom a request comes from, as far as the network says."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _quietly(work: Any) -> None:
    """Wait for what may fail because the other side went away."""
    try:
        await work
    except (OSError, TimeoutError, ClientDisconnect):
        return
