"""From an exception to one clear line and an exit code: 0 done, 1 an error, 2 usage, 130 Ctrl-C."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from digitlab.errors import DigitlabError
from digitlab.files import printable


class Options:
    """What holds for the whole process: `--verbose` shows tracebacks."""

    verbose = bool(os.environ.get("DIGITLAB_VERBOSE"))


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose errors are one line on stderr; with `--verbose` also the traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:  # the reader of a pipe (head, less) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            fail("", 1)
        except DigitlabError as error:
            fail(str(error), 1)
        except KeyboardInterrupt:
            fail("stopped", 130)
        except ModuleNotFoundError as error:
            fail(f"{error.name} is not installed, which this command needs. Install it with: pip install digitlab", 1)
        except MemoryError:
            fail("out of memory. Use a smaller --batch-size, smaller images, or a larger machine", 1)
        except OSError as error:
            fail(f"{error.filename or 'digitlab'}: {error.strerror or error}", 1)
        except typer.Exit:
            raise
        except Exception as error:  # a bug in digitlab: still one line, and how to see more
            fail(f"unexpected {type(error).__name__}: {error}. Please report it; --verbose shows where it was", 1)

    return wrapped


def fail(message: str, code: int) -> None:
    """Print one line on stderr and end the command with an exit code."""
    if Options.verbose:
        traceback.print_exc()
    if message:
        print("digitlab: " + printable(" ".join(message.split())), file=sys.stderr)
    raise typer.Exit(code)
