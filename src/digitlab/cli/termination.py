"""SIGTERM ends a command as Ctrl-C does, and within seconds whatever it is in the middle of."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

# Seconds to end in good order; compiling a large network alone can take minutes, and nothing inside a process stops it.
GRACE = 2.0
CODE = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM came; what is done on Ctrl-C is done."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """130 for Ctrl-C, 143 for SIGTERM.

    Example:
        >>> exit_code(KeyboardInterrupt()), exit_code(Terminated())
        (130, 143)
    """
    return CODE if isinstance(stop, Terminated) else 130


@contextlib.contextmanager
def ends_on_sigterm(last_words: Callable[[], str]) -> Iterator[None]:
    """Raise `Terminated` when SIGTERM comes; where that is not heard within `GRACE` seconds, end the process.

    Args:
        last_words: the line on stderr, for a process that is ended.
    """
    if threading.current_thread() is not threading.main_thread() or os.name == "nt":
        yield
        return
    heard = threading.Event()
    reads, writes = os.pipe()
    os.set_blocking(writes, False)

    def end_in_time() -> None:
        # The interpreter's own handler writes to the pipe at once, while the main thread may be deep in a library.
        while number := os.read(reads, 1):
            if number[0] == signal.SIGTERM:
                if not heard.wait(GRACE):
                    print(f"digitlab: {last_words()}", file=sys.stderr, flush=True)
                    os._exit(CODE)
                threading.Event().wait(GRACE)  # then it has said its line, and may hang on the way out
                os._exit(CODE)

    def stop(_: int, __: FrameType | None) -> None:
        heard.set()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before, pipe = signal.signal(signal.SIGTERM, stop), signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    threading.Thread(target=end_in_time, daemon=True).start()
    try:
        yield
    finally:
        if not heard.is_set():
            signal.set_wakeup_fd(pipe)
            signal.signal(signal.SIGTERM, before)
            os.close(writes)  # the thread ends
