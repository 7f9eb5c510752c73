"""The condition of a store's files, and repairing them, for stores that can tell.

A backend's class has `examine(url)` and `repair(url)` for that (see `RepairableStore`). Neither opens the store.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from vectorkit.errors import BackendUnavailableError, UnsupportedError
from vectorkit.registry import backend_class

__all__ = ["CollectionCondition", "RepairableStore", "State", "StoreCondition", "examine", "repair"]

State: TypeAlias = Literal["whole", "unsaved", "torn", "unknown"]
"""Of a saved index: whole, never saved (it is made anew on use), torn, or of a format that is not known."""


@dataclass(frozen=True, slots=True)
class CollectionCondition:
    """The condition of one collection.

    Attributes:
        name: Its name.
        foreign: Whether another program made it.
        state: Of its saved index.
        detail: What is wrong with it; "" if nothing is.
        records: How many it has.
        lacking: Records whose vectors are in neither a whole index nor the log.
        log_rows: Its rows in the log of writes.
        index_bytes: What its saved index takes.
        repaired: What was done about it; "" if nothing was.
    """

    name: str
    foreign: bool
    state: State
    detail: str
    records: int
    lacking: int
    log_rows: int
    index_bytes: int
    repaired: str = ""


@dataclass(frozen=True, slots=True)
class StoreCondition:
    """The condition of a store.

    Attributes:
        place: Where it is.
        keeps_log: Whether the log keeps what an index has saved, so that a torn one can be made anew.
        database_bytes: What the records and the log take.
        collections: The collections, in ascending order of name.
    """

    place: str
    keeps_log: bool
    database_bytes: int
    collections: tuple[CollectionCondition, ...]

    @property
    def whole(self) -> bool:
        """Whether no index is torn, and no vector lost."""
        return all(each.state != "torn" and not each.lacking for each in self.collections)


@runtime_checkable
class RepairableStore(Protocol):
    """What a backend's class has whose files can be examined and repaired."""

    def examine(self, url: str) -> StoreCondition | None:
        """Look at the store that a URL names, changing nothing; None if this kind of store has nothing to tell.

        Raises:
            BackendUnavailableError: It is open, here or elsewhere.
            BackendPermissionError: It cannot be read.
            BackendError: It is damaged beyond that, or no such store.
        """
        ...

    def repair(self, url: str) -> StoreCondition | None:
        """Make good what can be, losing nothing, and say what was found and done; None and errors as above."""
        ...


def examine(url: str) -> StoreCondition | None:
    """Return the condition of the store that a URL names; None if it cannot tell, or is open at the moment."""
    store = backend_class(url)
    try:
        return store.examine(url) if isinstance(store, RepairableStore) else None
    except BackendUnavailableError:
        return None


def repair(url: str) -> StoreCondition:
    """Repair the store that a URL names, and say what was found and done.

    Raises:
        UnsupportedError: It is none whose files are looked after here.
    """
    store = backend_class(url)
    done = store.repair(url) if isinstance(store, RepairableStore) else None
    if done is None:
        raise UnsupportedError("only stores on disk are repaired here, such as chroma:PATH; ask the server's own tools")
    return done
