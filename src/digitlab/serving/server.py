"""The server's life: take the port, say where it is, answer until it is told to stop, end cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from digitlab.errors import ServingError
from digitlab.serving.access import is_loopback

# Those still being answered when the server is told to stop get as long, and after this all ends, whatever hangs.
LAST_SECONDS, END_SECONDS = 1.5, 2.7
# Connections that wait for the server to look at them, in the system.
BACKLOG = 511


def open_port(host: str = "127.0.0.1", port: int = 8000) -> socket.socket:
    """Take the port, before anything slow; whoever connects from now on waits for `serve`.

    Args:
        host: a name or address of this machine; ``0.0.0.0`` for all it has.
        port: 0 for any free one.

    Returns:
        The listening socket.

    Raises:
        ServingError: in use, not allowed, or not an address of this machine.

    Example:
        >>> with open_port(port=0) as taken:
        ...     addresses(taken)[0].startswith("http://127.0.0.1:")
        True
    """
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror:
        raise ServingError(f"--host {host}: no such host. Use 127.0.0.1, or 0.0.0.0 to be seen by others") from None
    except OverflowError:
        raise ServingError(f"--port {port}: expected 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            free = port + 1 if port < 65535 else 8000
            message = f"port {port} of {host} is in use, perhaps by another digitlab. Take another: --port {free}"
        elif error.errno in (errno.EACCES, errno.EPERM):
            message = f"port {port}: no permission to use it. Take one above 1023, such as --port 8000"
        elif error.errno == errno.EADDRNOTAVAIL:
            message = f"--host {host}: not an address of this machine. Use 127.0.0.1, or 0.0.0.0 to be seen by others"
        else:
            message = f"port {port} of {host}: {error.strerror or error}. Try another --port or --host"
        raise ServingError(message) from None


def addresses(listening: socket.socket) -> list[str]:
    """Where a browser finds a listening socket; for one that listens everywhere, also what others must type.

    Args:
        listening: from `open_port`.

    Returns:
        Addresses such as ``http://127.0.0.1:8000``.
    """
    host, port = listening.getsockname()[:2]
    if host not in ("0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        return [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"]
    return [f"http://{name}:{port}" for name in dict.fromkeys(["127.0.0.1", *_own_addresses()])]


def _own_addresses() -> Iterator[str]:
    """This machine's addresses in its network, as far as it knows them; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # an address for documentation; a datagram socket only looks up the way
        yield probe.getsockname()[0]
    with contextlib.suppress(OSError):
        for name in socket.gethostbyname_ex(socket.gethostname())[2]:
            if not is_loopback(name):
                yield name


def is_local(listening: socket.socket) -> bool:
    """Whether only this machine reaches a listening socket."""
    return is_loopback(listening.getsockname()[0])


def serve(
    app: object,
    listening: socket.socket,
    *,
    ready: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Answer until SIGTERM, which returns, or Ctrl-C, which raises KeyboardInterrupt as everywhere.

    Args:
        app: from `make_app`.
        listening: from `open_port`; closed at the end.
        ready: called when the first request can be answered.
        stop: set it to end a server that runs on another thread.

    Example:
        See `tests/test_serving.py`.
    """
    import uvicorn

    from digitlab.serving.connections import BURST, Connections, most_connections, protocol

    connections = Connections(most_connections())

    class Server(uvicorn.Server):
        """uvicorn's, with our connections and a last moment."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            asyncio.get_running_loop().set_exception_handler(_SaysOnce())
            await super().startup(sockets)
            with contextlib.suppress(OSError):
                listening.listen(BACKLOG)  # uvicorn set it to how many are accepted at a time
            self.watching = asyncio.create_task(connections.watch())

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            self.watching.cancel()
            await super().shutdown(sockets)

        def handle_exit(self, sig: int, frame: Any) -> None:
            _end_soon(0 if sig == signal.SIGTERM else 130)
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=protocol(connections),
        ws="none",
        lifespan="on",
        backlog=BURST,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=LAST_SECONDS,  # type: ignore[arg-type]  # it takes a float
    )
    server = Server(config)

    main = threading.current_thread() is threading.main_thread()

    def end(*_: object) -> None:
        if main:
            _end_soon(0)
        server.should_exit = True

    if stop is not None:

        def wait() -> None:
            stop.wait()
            end()

        threading.Thread(target=wait, daemon=True).start()
    # uvicorn ends in good order on a signal and then raises it again; by default SIGTERM would count as a crash. And it
    # may come before uvicorn listens to it.
    before = signal.signal(signal.SIGTERM, end) if main else None
    try:
        if ready is not None:
            ready()
        server.run(sockets=[listening])
    finally:
        listening.close()
        if main:
            signal.signal(signal.SIGTERM, before)


def _end_soon(code: int) -> None:
    """End this process in a moment even if something in it hangs; called when it is told to stop."""

    def end() -> None:
        time.sleep(END_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write("digitlab: stopped\n")
            sys.stderr.flush()
        os._exit(code)

    threading.Thread(target=end, daemon=True).start()


class _SaysOnce:
    """What asyncio meets outside of a request: a line a minute, not one for each of thousands of connections."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if loop.time() < self._next:
            return
        self._next = loop.time() + 60
        reason = " ".join(str(context.get("exception") or context.get("message")).split())[:200]
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"digitlab: a connection failed ({reason}); the server goes on\n")
