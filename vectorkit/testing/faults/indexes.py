"""Stores whose index gets in the way (rules 6.1 and 6.7), or does not hear of every write (section 3)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from vectorkit.backend.requests import Read, VectorSearch
from vectorkit.filters import Filter
from vectorkit.memory import MemoryBackend
from vectorkit.ranking import EXACT_LIMIT
from vectorkit.testing.faults._backend import ALL, FaultyBackend, picked
from vectorkit.types import Batch, Capabilities, CollectionInfo, CollectionSpec, Hit, Patch, Ranking

__all__ = [
    "IndexAnswersExactSearches",
    "IndexAnswersFilteredSearches",
    "IndexIsLate",
    "IndexKeepsDeletedRecords",
    "IndexLosesHalf",
    "IndexMeasuresRoughly",
    "IndexMissesReplacements",
    "IndexMissesUpdates",
    "IndexReturnsFortyAtMost",
    "IndexWaitsForAThousand",
]


class _Approximate(FaultyBackend):
    """Uses an index where the contract lets it."""

    @property
    def capabilities(self) -> Capabilities:
        """There is an index."""
        return replace(super().capabilities, approximate_search=True)

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        if not self._uses_index(collection, request.where, request.exact):
            return super().search(collection, request)
        found = super().search(collection, replace(request, k=ALL))
        return [Ranking(self._found(each.hits, request.k), exact=False) for each in found]

    def _uses_index(self, collection: CollectionInfo, where: Filter | None, exact: bool | None) -> bool:
        return exact is False or (exact is None and self.count(collection, where) > EXACT_LIMIT)

    def _found(self, hits: list[Hit], k: int) -> list[Hit]:
        """What the index finds of all hits: it comes across every second one first."""
        found = [*hits[::2], *hits[1::2]][:k]
        return sorted(found, key=lambda hit: (hit.distance or 0.0, hit.id))


class IndexLosesHalf(_Approximate):
    """6.7 Finds half of the nearest records, as a graph does whose parameters were not chosen for the data."""


class IndexAnswersExactSearches(_Approximate):
    """6.7 Uses its index whatever `exact` says, as Chroma's query does, which has no other way."""

    def _uses_index(self, collection: CollectionInfo, where: Filter | None, exact: bool | None) -> bool:
        return exact is True and self.count(collection, where) > EXACT_LIMIT


class IndexAnswersFilteredSearches(_Approximate):
    """6.7 Uses its index though the filter leaves few records, as the planner of PostgreSQL may choose to."""

    def _uses_index(self, collection: CollectionInfo, where: Filter | None, exact: bool | None) -> bool:
        return exact is None and self.count(collection, where) <= EXACT_LIMIT < self.count(collection)


class IndexReturnsFortyAtMost(_Approximate):
    """6.1 Returns what its index looks at by default, once there are so many records that it is used."""

    def _found(self, hits: list[Hit], k: int) -> list[Hit]:
        return hits[: min(k, 40)]


class IndexMeasuresRoughly(_Approximate):
    """6.7 Returns the distances of the quantised vectors in its index, not those of the vectors themselves."""

    def _found(self, hits: list[Hit], k: int) -> list[Hit]:
        return [replace(hit, distance=float(np.float16(hit.distance or 0.0))) for hit in hits[:k]]


class IndexWaitsForAThousand(FaultyBackend):
    """3.8 Takes records into its index by the thousand, and from then on finds only what is in it."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        rows = self._rows(collection)
        indexed = set(islice(rows, len(rows) - len(rows) % 1000 or None))
        found = super().search(collection, replace(request, k=ALL))
        return [replace(each, hits=[hit for hit in each.hits if hit.id in indexed][: request.k]) for each in found]


class _IndexApart(FaultyBackend):
    """Searches an index that it keeps beside its records."""

    def __init__(self) -> None:
        super().__init__()
        self._index = MemoryBackend()
        self._indexed: dict[str, CollectionInfo] = {}

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        info = super().create_collection(spec)
        self._indexed[info.generation] = self._index.create_collection(spec)
        return info

    def drop_collection(self, name: str) -> None:
        super().drop_collection(name)
        self._index.drop_collection(name)

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        super().add(collection, written)
        self._index.add(self._indexed[collection.generation], written)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        super().upsert(collection, written)
        self._index.upsert(self._indexed[collection.generation], written)

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        super().update(collection, patches)
        self._index.update(self._indexed[collection.generation], patches)

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        self._index.delete(self._indexed[collection.generation], ids=ids, where=where)
        return super().delete(collection, ids=ids, where=where)

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        self._rows(collection)  # raises if the collection is gone
        return self._index.search(self._indexed[collection.generation], request)


class IndexKeepsDeletedRecords(_IndexApart):
    """3.5 Searches find what was deleted, as where an index is cleaned later."""

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        return FaultyBackend.delete(self, collection, ids=ids, where=where)


class IndexMissesUpdates(_IndexApart):
    """3.4 Searches find a record by the vector, and the metadata, that it had before an update."""

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        FaultyBackend.update(self, collection, patches)


class IndexMissesReplacements(_IndexApart):
    """3.3 Searches find a record by the vector that it had before it was replaced, as an index that only grows."""

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        FaultyBackend.upsert(self, collection, written)
        index = self._indexed[collection.generation]
        for batch in written:
            known = {record.id for record in self._index.get(index, Read(batch.ids))}
            self._index.upsert(index, [picked(batch, [id not in known for id in batch.ids])])


class IndexIsLate(_IndexApart):
    """3.8 A search finds what was written before the last write, as in stores that index in the background."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Batch] = []

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        FaultyBackend.add(self, collection, written)
        self._index.upsert(self._indexed[collection.generation], self._waiting)
        self._waiting = written
