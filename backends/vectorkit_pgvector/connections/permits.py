"""Permits, of which only so many are out at a time, and none is lost to an interrupt."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from weakref import WeakSet

__all__ = ["Permits"]


class _Permit:
    """Is out as long as somebody has it."""

    __slots__ = ("__weakref__",)


class Permits:
    """Like a semaphore that never waits.

    A semaphore counts, and an interrupt between counting and noting, or before giving back, would lose a permit for
    good. These are objects: one that nobody has any more is back.

    Args:
        most: How many may be out at a time, >= 0.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._out: WeakSet[_Permit] = WeakSet()

    @contextmanager
    def taken(self, wanted: int) -> Generator[int, None, None]:
        """Take as many as there are, up to `wanted`, for the block; their number, maybe 0."""
        mine: list[_Permit] = []
        try:
            with self._lock:
                for _ in range(min(wanted, self._most - len(self._out))):
                    mine.append(_Permit())
                    self._out.add(mine[-1])
            yield len(mine)
        finally:
            mine.clear()
