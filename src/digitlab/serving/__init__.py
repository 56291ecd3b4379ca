"""One Reader for many people: the page where one draws, the page of runs, and the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digitlab.serving.app import Settings, make_app
    from digitlab.serving.server import open_port, serve

__all__ = ["Settings", "make_app", "open_port", "serve"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: a worker needs neither Starlette nor uvicorn."""
    if name in ("Settings", "make_app"):
        from digitlab.serving import app

        return getattr(app, name)
    if name in ("open_port", "serve"):
        from digitlab.serving import server

        return getattr(server, name)
    raise AttributeError(f"module 'digitlab.serving' has no attribute {name!r}")
