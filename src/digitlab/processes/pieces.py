"""Work of many independent pieces: what they have in common, and processes of this machine that do them in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from digitlab.errors import ProcessError
from digitlab.processes.pool import Pool
from digitlab.processes.worker import MEMORY, SECONDS


@dataclass(frozen=True)
class Work:
    """What all pieces of a piece of work have in common; it travels once to each process that does some.

    Attributes:
        setup: a function at the top of a module; called once in each process, for what the pieces need.
        arguments: for it.
        function: at the top of a module; called as ``function(what setup returned, *piece)``, returns bytes.
        seconds: that one piece may take.
        memory: bytes that one piece may take beyond what `setup` left.
        ahead: how many pieces (on a cluster: batches of them) each process has handed out before their turn: enough to
            keep it busy, few enough to bound the memory.
        batch: how many pieces a cluster hands out at once at most: small ones cost less together.
        packages: whose versions have to be the same where it is done.
    """

    setup: Callable[..., Any]
    arguments: tuple[Any, ...]
    function: Callable[..., bytes]
    seconds: float = SECONDS
    memory: int = MEMORY
    ahead: int = 4
    batch: int = 1
    packages: tuple[str, ...] = ("digitlab", "numpy")


class Mapper(Protocol):
    """Where pieces are done: processes of this machine, or a cluster."""

    def map(self, work: Work, pieces: Iterable[tuple[Any, ...]]) -> Iterator[bytes | ProcessError]:
        """Do all pieces side by side.

        Args:
            work: what they have in common.
            pieces: the arguments of each, taken only as there is room for them.

        Yields:
            The answer to each piece in the order of the pieces, whichever was done first; a `ProcessError` for one that
            took too long or too much memory, or ended its process.

        Raises:
            DigitlabError: what `setup` or the function raised.
        """
        ...


def map_in_processes(work: Work, pieces: Iterable[tuple[Any, ...]], workers: int) -> Iterator[bytes | ProcessError]:
    """As `Mapper.map`, in so many processes of this machine; closing the iterator ends them.

    Example:
        >>> from digitlab.processes.worker import _echo
        >>> list(map_in_processes(Work(str, ("read",), _echo), [(b"1",), (b"2",)], workers=1))
        [b'read 1', b'read 2']
    """
    source = iter(pieces)
    first = next(source, None)
    if first is None:
        return
    source = itertools.chain([first], source)
    pool = Pool(workers, work.setup, work.arguments, seconds=work.seconds, memory=work.memory)
    under_way: deque[Future[bytes]] = deque()
    try:
        pool.start()
        while True:
            while len(under_way) < work.ahead * workers and (piece := next(source, None)) is not None:
                under_way.append(pool.submit(work.function, *piece))
            if not under_way:
                return
            try:
                answer: bytes | ProcessError = under_way.popleft().result()
            except ProcessError as error:
                answer = error
            yield answer
    finally:
        pool.end()
