"""One Reader for many people: the page where one draws, the page of runs, and the HTTP API."""

from digitlab.serving.app import Settings, make_app
from digitlab.serving.server import open_port, serve

__all__ = ["Settings", "make_app", "open_port", "serve"]
