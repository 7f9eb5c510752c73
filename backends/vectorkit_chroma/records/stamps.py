"""Stamps on rows: what tells a reader which rows were written since it last looked, by whatever process.

Chroma has no order of writes that a reader could ask for. Every row therefore holds

- `_vkw`: the *writer* that wrote it last: `"local"` where only one process at a time can write, else one of its own for
  every connection;
- `_vkq:WRITER`: the *tick* of the call that wrote it, an int that grows from call to call of that writer.

A writer's calls follow one another, so whoever sees a row of a tick sees all rows of that writer's earlier ticks. A
reader that keeps the last tick it has seen of every writer (its *clock*) asks for what is newer, and for rows of
writers that it does not know, in one query: measured over 10,000 rows, 12 ms for one writer, 30 ms for ten.
"""

import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from vectorkit_chroma.records.codec import Row

__all__ = ["MAX_WRITERS", "Stamps", "newer", "ticks"]

MAX_WRITERS: Final = 200
"""A clock of more writers is not asked for: Chroma takes some 800 conditions, and each one costs it about 2 ms."""

_WRITER: Final = "_vkw"
_TICK: Final = "_vkq:"


class Stamps:
    """The stamps of one writer; used under the write lock of its collection.

    Args:
        exclusive: Whether nobody else can write while this one does.
    """

    def __init__(self, *, exclusive: bool) -> None:
        self._exclusive = exclusive
        self._last = 0
        self.renew()

    def renew(self) -> None:
        """Become another writer: after a call that failed, and may yet be carried out after later ones."""
        self._writer = "local" if self._exclusive else uuid4().hex[:12]

    def next(self) -> Row:
        """What the rows of the next call hold."""
        # The time, so that a tick of the next process that writes to the same folder is a later one.
        self._last = max(self._last + 1, time.time_ns())
        return {_WRITER: self._writer, f"{_TICK}{self._writer}": self._last}


def ticks(row: Row) -> dict[str, int]:
    """The ticks in a row, by writer: one, or more where several processes wrote it at the same moment."""
    return {key.removeprefix(_TICK): value for key, value in row.items() if key.startswith(_TICK)}


def newer(clock: Mapping[str, int]) -> dict[str, Any] | None:
    """The condition for rows that are newer than a clock, or not stamped; None if that is all, or too much to ask."""
    if not 0 < len(clock) <= MAX_WRITERS:
        return None
    return {
        "$or": [
            {_WRITER: {"$nin": list(clock)}},
            *({f"{_TICK}{writer}": {"$gt": tick}} for writer, tick in clock.items()),
        ]
    }
