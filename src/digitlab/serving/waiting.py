"""Waiting: how many pieces of work are under way, in all and of each address, and how long a new one would wait."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator

from starlette.exceptions import HTTPException

from digitlab.processes import Pool

# Under way at once, waiting or being read; before that, the workers' patience says no.
MOST = 256
# Of these, from one address: the others always find room.
MOST_OF_ONE = 192


class Waiting:
    """The line in front of the workers; owns its counts.

    Args:
        pool: the workers.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.under_way: Counter[str] = Counter()

    def check(self, address: str) -> None:
        """Refuse who would wait too long.

        Raises:
            HTTPException: 503, with when to come again.
        """
        total = self.under_way.total()
        expected = self.pool.wait
        patience = self.pool.patience or math.inf
        if total >= MOST or self.under_way[address] >= MOST_OF_ONE or expected > patience:
            raise busy(total, expected)

    @contextlib.contextmanager
    def place(self, address: str, *, sure: bool = False) -> Iterator[None]:
        """A place in the line, given back at the end.

        Args:
            address: whose.
            sure: there is one for it, as for the further files of a form.

        Raises:
            HTTPException: 503, as for `check`.
        """
        if not sure:
            self.check(address)
        self.under_way[address] += 1
        try:
            yield
        finally:
            self.under_way[address] -= 1
            if not self.under_way[address]:
                del self.under_way[address]


def busy(number: int, expected: float = 1.0) -> HTTPException:
    """The answer to whom there is no room for."""
    after = max(1, math.ceil(expected))
    words = "a second" if after == 1 else f"{after} seconds"
    return HTTPException(503, f"busy with {number} requests. Try again in {words}", {"Retry-After": str(after)})
