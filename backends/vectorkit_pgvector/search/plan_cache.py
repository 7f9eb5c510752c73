"""Which searches concerned more rows a moment ago than are compared by default (rule 6.7), and how they were done.

To find that out takes PostgreSQL as long as a search of the index does, or longer, and what is large mostly stays so.
What was large is therefore taken to be large for a tenth of a second more, unless rows were deleted or changed here:
what another store, process or application deletes or changes in that time may still be searched by the index.
"""

import threading
import time
from typing import Final, Generic, TypeAlias, TypeVar

from vectorkit.filters import Filter
from vectorkit_pgvector.sql.tables import Table

__all__ = ["Key", "PlanCache", "plan_key"]

Plan = TypeVar("Plan")

Key: TypeAlias = tuple[str, int, bool | None, int]

_LASTS: Final = 0.1  # seconds
_MOST: Final = 1000


def plan_key(table: Table, where: Filter | None, k: int, exact: bool | None) -> Key:
    """What tells searches apart: of a filter the hash of its text, in which `1` and `True` differ.

    One table of the application's may be several collections, with other records and keys in each.
    """
    plain = where is None and table.adopted is None
    return table.name, k, exact, 0 if plain else hash(repr((where, table.adopted)))


class PlanCache(Generic[Plan]):
    """What was seen, with the plan by which the search was then done; may be used from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[Key, tuple[float, Plan]] = {}
        self._changes = 0

    @property
    def changes(self) -> int:
        """How often rows were deleted or changed so far: what is looked at after this was read may be noted with it."""
        return self._changes

    def get(self, key: Key) -> Plan | None:
        """The plan of a search that concerned many rows a moment ago; None: it must be looked at."""
        until, plan = self._noted.get(key, (0.0, None))
        return plan if until > time.monotonic() else None

    def note(self, key: Key, plan: Plan, changes: int) -> None:
        """Note that a search concerns many rows, unless some were deleted or changed since `changes` was read."""
        with self._lock:
            if changes == self._changes:
                if len(self._noted) >= _MOST:
                    self._noted.clear()
                self._noted[key] = time.monotonic() + _LASTS, plan

    def changed(self) -> None:
        """Forget everything: rows were deleted or changed."""
        with self._lock:
            self._changes += 1
            self._noted.clear()
