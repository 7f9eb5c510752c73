"""Stores that fail in other ways than they should, or claim what they cannot do (sections 8 and 9 of the contract)."""

import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from vectorkit.backend.requests import Read, VectorSearch
from vectorkit.errors import BackendError, CollectionNotFoundError, DuplicateIdError, UnsupportedError
from vectorkit.filters import Filter
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.types import Batch, Capabilities, CollectionInfo, CollectionSpec, Ranking

__all__ = [
    "BelongsToItsThread",
    "ChecksBeforeItWrites",
    "ClaimsManyProcesses",
    "ClaimsTextSearch",
    "ClaimsToPersist",
    "ClosesOnce",
    "GoesOnAfterClosing",
    "IgnoresTextIndexes",
    "LetsClientErrorsEscape",
    "LosesConcurrentWrites",
    "MissingIsABackendError",
    "NeverCallsASearchExact",
    "SharesItsMemory",
    "ShowsVectorsInMessages",
]


class MissingIsABackendError(FaultyBackend):
    """8.1 A collection that is not there is an error of the store, as where all the client raises becomes one class."""

    def open_collection(self, name: str) -> CollectionInfo:
        try:
            return super().open_collection(name)
        except CollectionNotFoundError as error:
            raise BackendError(str(error)) from error


class LetsClientErrorsEscape(FaultyBackend):
    """8.2 Raises what its client raises, which only those who know the client can catch."""

    def drop_collection(self, name: str) -> None:
        try:
            super().drop_collection(name)
        except CollectionNotFoundError as error:
            raise KeyError(name) from error


class GoesOnAfterClosing(FaultyBackend):
    """8.2 Answers after it was closed, as clients do that connect anew."""

    def close(self) -> None:
        self._closed = False


class ClosesOnce(FaultyBackend):
    """8.2 Raises when it is closed again, as Chroma's client does."""

    def close(self) -> None:
        self._open()
        super().close()


class ShowsVectorsInMessages(FaultyBackend):
    """8.3 Says in a message all that it was to write, as SQLAlchemy shows the parameters of a statement."""

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        try:
            super().add(collection, written)
        except DuplicateIdError as error:
            raise DuplicateIdError(f"{error} [parameters: {written[0].embeddings.tolist()}]") from error


class NeverCallsASearchExact(FaultyBackend):
    """9.1 Says of every search that it may have missed records, as where nobody sets the flag."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return [replace(each, exact=False) for each in super().search(collection, request)]


class IgnoresTextIndexes(FaultyBackend):
    """9.2 Creates the collection without the text index that it cannot make, in silence."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        return super().create_collection(replace(spec, text_index=False))


class ClaimsTextSearch(FaultyBackend):
    """9.2 Declares text search, and refuses it."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        if spec.text_index:
            raise UnsupportedError("this store has no text index")
        return super().create_collection(spec)


class LosesConcurrentWrites(FaultyBackend):
    """9.3 Writes all its records back after a change, and so undoes those of others, as stores in one file do."""

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        super().upsert(collection, batches)
        rows = self._rows(collection)
        seen = dict(rows)
        time.sleep(0.001)
        rows.clear()
        rows.update(seen)


class ChecksBeforeItWrites(FaultyBackend):
    """9.3 Looks whether an id is stored, and writes it a moment later: two that add it at once both succeed."""

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        for batch in batches:
            if stored := self.get(collection, Read(batch.ids)):
                raise DuplicateIdError(f"stored already: {', '.join(repr(record.id) for record in stored[:10])}")
            time.sleep(0.01)
            super().upsert(collection, [batch])


class BelongsToItsThread(FaultyBackend):
    """9.3 Refuses other threads than the one that opened it, as SQLite's connections do."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        if threading.get_ident() != self._thread:
            raise BackendError("objects created in a thread can only be used in that same thread")
        return super().count(collection, where)


class ClaimsToPersist(FaultyBackend):
    """9.4 Declares that its records outlive the process, and keeps them in memory."""

    @property
    def capabilities(self) -> Capabilities:
        """One more than it has."""
        return replace(super().capabilities, persistent=True)


class ClaimsManyProcesses(FaultyBackend):
    """9.5 Declares that several processes may use it, each of which sees its own records alone."""

    @property
    def capabilities(self) -> Capabilities:
        """One more than it has."""
        return replace(super().capabilities, multi_process=True)


class SharesItsMemory(FaultyBackend):
    """1.5 Two stores in memory are one, as two of Chroma's `EphemeralClient` are."""

    _everything: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._stored = self._everything
