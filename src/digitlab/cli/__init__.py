"""The command line: parse, one library call, print. Results go to stdout, progress to stderr."""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # before anything heavy: a run's seconds count from here

from digitlab.cli.app import app, main  # noqa: E402

__all__ = ["STARTED", "app", "main"]
