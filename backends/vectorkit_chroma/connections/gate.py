"""The gate before Chroma's calls on a folder, where it can be stopped and started again while stores use it."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from chromadb.api import ServerAPI

from vectorkit.errors import BackendError, VectorKitError

__all__ = ["Gate", "GatedServer"]

_WRITES: Final = frozenset({"_add", "_upsert", "_update", "_delete"})
_LOADING: Final = _WRITES | {"_query", "_get", "_count", "_peek"}
"""Calls that may load the graph of a collection, which then holds files open until Chroma is stopped."""


class Gate:
    """Lets calls through, but for the moments in which Chroma is stopped and started again.

    That is before one more collection would take the process to its limit of open files: Chroma has no other way to
    close files without losing what it has not saved. And it is after a write that failed within Chroma, as its graph
    may then lack what its log has.

    Args:
        restart: Stops Chroma, checks the folder and starts it again.
        limit: How many collections may have their files open, asked when one more comes.
        torn: Why the graph of a collection must not be loaded, by its UUID.
    """

    def __init__(
        self, restart: Callable[[], Mapping[str, str]], limit: Callable[[], int], torn: Mapping[str, str]
    ) -> None:
        self._restart = restart
        self._limit = limit
        self._torn = torn
        self._loaded: set[str] = set()
        self._calls = 0
        self._draining = False
        self._stale = False
        self._condition = threading.Condition()
        self.all_succeeded = True

    @contextmanager
    def passed(self, name: str, collection: str | None) -> Generator[None]:
        """Around a call by this name, for a collection's UUID where it is for one."""
        with self._condition:
            self._condition.wait_for(lambda: not self._draining)
            if collection is not None and (reason := self._torn.get(collection)):
                raise BackendError(
                    f"the saved graph of this collection is torn ({reason}), and Chroma may crash on it; "
                    "close the store and run: vectorkit repair chroma:PATH"
                )
            if self._stale or self._lacks_room(collection):
                self._restart_when_free()
            if collection is not None:
                self._loaded.add(collection)
            self._calls += 1
        try:
            yield
        except BaseException as error:
            if name in _WRITES and not isinstance(error, VectorKitError):
                self._notice(error)
            raise
        finally:
            with self._condition:
                self._calls -= 1
                self._condition.notify_all()

    def _lacks_room(self, collection: str | None) -> bool:
        return collection is not None and collection not in self._loaded and len(self._loaded) >= self._limit()

    def _restart_when_free(self) -> None:
        self._draining = True
        try:
            self._condition.wait_for(lambda: not self._calls)
            self._stale = True  # until it has succeeded: Chroma may be stopped, and not started
            self._torn = self._restart()
            self._loaded.clear()
            self._stale, self.all_succeeded = False, True
        finally:
            self._draining = False
            self._condition.notify_all()

    def _notice(self, error: BaseException) -> None:
        """After a write that failed: what is saved may not be whole, and what is loaded not up to date."""
        self.all_succeeded = False
        self._stale = type(error).__name__ in ("InternalError", "PanicException")


class GatedServer:
    """chromadb's server object, whose calls pass the gate.

    Args:
        server: The server object; it is the same after a restart.
        gate: The gate.
    """

    def __init__(self, server: ServerAPI, gate: Gate) -> None:
        self._server = server
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._server, name)
        gate, loads = self._gate, name in _LOADING

        def call(*arguments: Any, **named: Any) -> Any:
            with gate.passed(name, str(named["collection_id"]) if loads else None):
                return method(*arguments, **named)

        setattr(self, name, call)  # so that the next call finds it at once
        return call
