"""The number of a collection's records when it was last known."""

import threading
from weakref import WeakValueDictionary

__all__ = ["Counted"]


class Counted:
    """The number of records of a collection when it was last known, and when (`time.monotonic`) it was counted."""

    def __init__(self) -> None:
        self.records: int | None = None
        self.when = 0.0

    @classmethod
    def shared(cls, generation: str) -> "Counted":
        """The one that all who reach a collection in this process have in common."""
        with _lock:
            return _shared.setdefault(generation, cls())


_shared: WeakValueDictionary[str, Counted] = WeakValueDictionary()
_lock = threading.Lock()
