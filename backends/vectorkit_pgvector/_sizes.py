"""Which tables were seen a moment ago to have more rows than a search compares by default (rule 6.7).

To find out takes PostgreSQL about as long as a search of the index does, and most tables are large for good. So a table
that was large is taken to be large for a tenth of a second more, unless rows were deleted from it here: what another
process deletes in that time may still be searched by the index.
"""

import threading
import time
from typing import Final

__all__ = ["Sizes"]

_LASTS: Final = 0.1  # seconds


class Sizes:
    """What was seen; may be used from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._deletions = 0

    @property
    def deletions(self) -> int:
        """How often rows were deleted so far: what is looked at after this was read may be noted with it."""
        return self._deletions

    def is_large(self, table: str) -> bool:
        """Whether the table was large a moment ago."""
        return self._until.get(table, 0.0) > time.monotonic()

    def note_large(self, table: str, deletions: int) -> None:
        """Note that the table was large, unless rows were deleted since `deletions` was read."""
        with self._lock:
            if deletions == self._deletions:
                self._until[table] = time.monotonic() + _LASTS

    def deleted(self) -> None:
        """Forget everything: rows were deleted."""
        with self._lock:
            self._deletions += 1
            self._until.clear()
