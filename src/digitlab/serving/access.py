"""Who may ask: names of this machine, pages that are the server's own, and, where one is set, who has the token."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import JSONResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.datastructures import Headers

COOKIE = "digitlab-token"


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
    """The host in a Host header or an origin, in lower case and without its port; None for nonsense.

    Example:
        >>> host_of("localhost:8000"), host_of("[::1]:8000"), host_of("["), host_of("me@Evil.example")
        ('localhost', '::1', None, None)
    """
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return None
    return None if "@" in header else parts.hostname


def netloc_of(origin: str) -> str | None:
    """Host and port of an origin, in lower case; None for nonsense, or for a page that hides its own.

    Example:
        >>> netloc_of("http://LOCALHOST:8000"), netloc_of("null")
        ('localhost:8000', None)
    """
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def own_names() -> frozenset[str]:
    """What this machine is called in its network: its name, and the same with ``.local``."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset((name, short, f"{short}.local", "localhost") if name else ("localhost",))


class Access:
    """The rules; nothing in it changes.

    Args:
        local: only answer requests that name this machine by a name nobody else can have.
        names: further names that this machine is reached by; ``*`` for any.
        origins: pages elsewhere that may ask, such as ``https://example.org``.
        token: what must come with every request; None for none.
    """

    def __init__(
        self, *, local: bool, names: Iterable[str] = (), origins: Iterable[str] = (), token: str | None = None
    ) -> None:
        self.local, self.origins, self.token = local, frozenset(origins), token
        self.names = frozenset(name.lower() for name in names) | (frozenset() if local else own_names())

    def refusal(self, method: str, headers: Headers, query: bytes) -> Response | None:
        """Why a request is not answered; None if it is."""
        host = headers.get("host", "")
        if len(headers.getlist("host")) > 1 or not self._knows(host_of(host)):
            return error(403, f"host {host[:80]!r}: {self._how()}")
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and netloc_of(origin) != host.lower():
            return error(
                403, f"origin {origin[:80]!r}: pages elsewhere may not ask. Start the server with --cors {origin[:80]}"
            )
        # A page elsewhere that shows or loads something of this server sends no origin. Following a link is allowed.
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and origin not in self.origins
        follows = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if foreign and not (follows and headers.get("sec-fetch-dest") == "document"):
            return error(403, "pages elsewhere may not load anything from this server. Open it in a window of its own")
        return self._without_token(method, headers, query)

    def _knows(self, host: str | None) -> bool:
        if host is None or host == "":
            return "*" in self.names
        if is_loopback(host) or host in self.names or "*" in self.names:
            return True
        return not self.local and _is_address(host)

    def _how(self) -> str:
        if self.local:
            return "this server answers only as localhost. Start it with --host to be seen"
        return "not a name of this machine. Use its address, or start the server with --name and that name"

    def _without_token(self, method: str, headers: Headers, query: bytes) -> Response | None:
        if self.token is None or method == "OPTIONS":
            return None
        pairs = parse_qsl(query.decode("ascii", "replace"), keep_blank_values=True)
        given = next((value for name, value in pairs if name == "token"), None)
        if given is not None and _same(given, self.token):
            if method != "GET" or "text/html" not in headers.get("accept", ""):
                return None
            # A browser keeps it from here on, and the address no longer shows it.
            rest = urlencode([pair for pair in pairs if pair[0] != "token"])
            answer = RedirectResponse(f"?{rest}" if rest else "./", 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
            return answer
        kind, _, value = headers.get("authorization", "").partition(" ")
        if (kind.lower() == "bearer" and _same(value.strip(), self.token)) or _same(_cookie(headers), self.token):
            return None
        return error(401, "token: missing or wrong. Open the address that `digitlab serve` printed, with its token")


def without_token(query: bytes) -> bytes:
    """The query without the token, which is no option of any address."""
    return b"&".join(part for part in query.split(b"&") if not part.startswith(b"token="))


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _is_address(host: str) -> bool:
    """An address cannot be given to another machine by a trick with names, so it is no danger."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
