"""Connections: how many may be open, how long a request's head may take, how slowly an answer may be fetched.

uvicorn waits for ever for the rest of a head and for whoever does not fetch an answer. Three hundred such clients would
use up the process's open files, and nobody else could connect.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# A head must be whole by then, counted from the connection or from its own first byte.
HEAD_SECONDS = 10.0
# Of an answer that waits to be fetched, so much must be fetched in so many seconds.
FETCH_SECONDS, FETCH_LEAST = 20.0, 100_000
# Open at once, where the system allows so many files.
MOST = 1000
# Of these, from one address.
SHARE_OF_ONE = 0.75
# How many are accepted before any is looked at, and what the process needs for itself: workers, files, the rest.
BURST, OWN_FILES = 64, 48


class Connections:
    """All open connections; when there are too many, the one that has idled longest goes.

    Args:
        most: at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.open: set[Connection] = set()
        self.of: Counter[str] = Counter()

    def add(self, connection: Connection) -> None:
        """Take in a new one, and let another go if there is no room for it."""
        self.open.add(connection)
        self.of[connection.address] += 1
        if len(self.open) > self.most:
            address = self.of.most_common(1)[0][0]
        elif self.of[connection.address] > SHARE_OF_ONE * self.most:
            address = connection.address
        else:
            return
        idle = [one for one in self.open if one.address == address and one.idle]
        if idle:
            min(idle, key=lambda one: one.since).drop()
        else:
            connection.drop(503, "busy: too many connections. Try again in a second")

    def remove(self, connection: Connection) -> None:
        """Forget one that ended."""
        if connection in self.open:
            self.open.discard(connection)
            self.of[connection.address] -= 1
            if not self.of[connection.address]:
                del self.of[connection.address]

    async def watch(self) -> None:
        """Drop the slow ones, twice a second, until this is cancelled."""
        while True:
            await asyncio.sleep(0.5)
            for connection in list(self.open):
                connection.check()


class Connection(H11Protocol):
    """One connection, as uvicorn has it, with its times."""

    limits: Connections

    def connection_made(self, transport: Any) -> None:
        """Begin: the head's time runs."""
        super().connection_made(transport)
        self.address = str(self.client[0]) if self.client else ""
        self.since = self.loop.time()
        self.due = True  # some of a head, or the first one, is waited for
        self.unfetched, self.fetched_at = 0, self.since
        self.limits.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.limits.remove(self)
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Take some of a request; its head's time runs from its first byte on."""
        was_idle = self.idle and not self.due
        super().data_received(data)
        if not self.idle:
            self.due = False
        elif was_idle:
            self.due, self.since = True, self.loop.time()

    def on_response_complete(self) -> None:
        """An answer is sent: idle from now on, unless the next request has begun already."""
        super().on_response_complete()
        if self.idle:
            self.since = self.loop.time()
            self.due = bool(self.conn.trailing_data[0])

    def check(self) -> None:
        """End this if it is too slow."""
        now = self.loop.time()
        if self.idle and self.due and now - self.since > HEAD_SECONDS:
            begun = bool(self.conn.trailing_data[0])  # a browser may connect before it knows what to ask
            self.drop(408 if begun else 0, f"head: not whole after {HEAD_SECONDS:g} s. Send it at once")
            return
        waiting = self.transport.get_write_buffer_size()
        if waiting == 0:
            self.unfetched, self.fetched_at = 0, now
        elif self.unfetched == 0 or now - self.fetched_at > FETCH_SECONDS:
            if self.unfetched and self.unfetched - waiting < FETCH_LEAST:
                self.transport.abort()
            self.unfetched, self.fetched_at = waiting, now

    def drop(self, status: int = 0, message: str = "") -> None:
        """End this, with a line if one is given and can still be said."""
        self.limits.remove(self)
        if status and self.idle:
            self._say(status, message)
        if self.transport.get_write_buffer_size() and not status:
            self.transport.abort()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """A request that is none: one line in JSON, as every error."""
        self._say(400, msg.rstrip(".") + ", expected HTTP")
        self.transport.close()

    def _say(self, status: int, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        reason = {400: b"Bad Request", 408: b"Request Timeout", 503: b"Service Unavailable"}[status]
        lines = [b"HTTP/1.1 %d %s" % (status, reason), b"content-type: application/json"]
        lines += [b"content-length: %d" % len(body), b"connection: close", b"x-content-type-options: nosniff"]
        lines += [b"retry-after: 1"] if status == 503 else []
        self.transport.write(b"\r\n".join([*lines, b"", body]))


def protocol(connections: Connections) -> type[Connection]:
    """The connection's class for one server."""
    return type("Connection", (Connection,), {"limits": connections})


def most_connections() -> int:
    """How many connections this process can have open, after asking the system for more files where it has few."""
    try:
        import resource
    except ImportError:  # Windows does not count them
        return MOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + BURST + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(16, min(MOST, soft - BURST - OWN_FILES))


__all__ = ["BURST", "Connections", "most_connections", "protocol"]
