"""Stores that mix up their collections (section 1 of the contract)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from vectorkit.errors import UnsupportedError
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.types import Batch, CollectionInfo, CollectionSpec

__all__ = [
    "CreateReplaces",
    "DropIgnoresMissing",
    "DropLeavesTheRecords",
    "FoldsNames",
    "ForgetsTheEmbedder",
    "ForgetsTheMetric",
    "KeepsTheRecordsItReplaces",
    "ListsInOrderOfCreation",
    "RefusesLargeDimensions",
    "SharesIds",
    "StaleHandlesWork",
]


class FoldsNames(FaultyBackend):
    """1.1 `Docs` and `docs` are one collection, as names are in SQL that are not quoted."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        return super().create_collection(replace(spec, name=spec.name.lower()))

    def open_collection(self, name: str) -> CollectionInfo:
        return super().open_collection(name.lower())


class ListsInOrderOfCreation(FaultyBackend):
    """1.1 Lists collections in the order in which they were made."""

    def list_collections(self) -> list[CollectionInfo]:
        super().list_collections()
        return [stored.info for stored in self._stored.values()]


class ForgetsTheMetric(FaultyBackend):
    """1.2 Who opens a collection searches it under the default metric, as where it is an argument of each client."""

    def open_collection(self, name: str) -> CollectionInfo:
        info = super().open_collection(name)
        return replace(info, spec=replace(info.spec, metric="cosine"))


class RefusesLargeDimensions(FaultyBackend):
    """1.2 Takes no more dimensions than its index, 2,000 in pgvector."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        if spec.dimension > 2000:
            raise UnsupportedError("an index takes vectors of at most 2,000 dimensions")
        return super().create_collection(spec)


class CreateReplaces(FaultyBackend):
    """1.3 Creating a collection of a name that is taken empties it, as `recreate_collection` does in Qdrant."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        if any(info.name == spec.name for info in self.list_collections()):
            self.drop_collection(spec.name)
        return super().create_collection(spec)


class DropIgnoresMissing(FaultyBackend):
    """1.3 Dropping a collection that is not there does nothing, as `DROP TABLE IF EXISTS` does."""

    def drop_collection(self, name: str) -> None:
        if any(info.name == name for info in self.list_collections()):
            super().drop_collection(name)


class ForgetsTheEmbedder(FaultyBackend):
    """1.4 Stores nothing about the embedder, as most stores do."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        return super().create_collection(replace(spec, embedder=None))


class SharesIds(FaultyBackend):
    """1.5 An id belongs to one collection: written to another, it leaves the first, as in one table for all."""

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        super().upsert(collection, written)
        for other in self.list_collections():
            if other != collection:
                self.delete(other, ids=[id for batch in written for id in batch.ids])


class StaleHandlesWork(FaultyBackend):
    """1.6 Finds a collection by its name, so that a handle of one that was dropped works on the next one."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        info = super().create_collection(spec)
        self._stored[spec.name].info = replace(info, generation=spec.name)
        return self._stored[spec.name].info


class DropLeavesTheRecords(FaultyBackend):
    """1.6 Drops a collection's entry and not its records, which the next one of that name and dimension then has."""

    def __init__(self) -> None:
        super().__init__()
        self._left: dict[tuple[str, int], dict[str, Any]] = {}

    def drop_collection(self, name: str) -> None:
        info = self.open_collection(name)
        self._left[name, info.dimension] = {**self._rows(info)}
        super().drop_collection(name)

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        info = super().create_collection(spec)
        self._rows(info).update(self._left.get((spec.name, spec.dimension), {}))
        return info


class KeepsTheRecordsItReplaces(FaultyBackend):
    """1.7 What takes the place of a collection has its records too, as where the rows are moved into the old table."""

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        kept = {**self._rows(old)}
        info = super().replace_collection(old, new)
        self._rows(info).update({id: row for id, row in kept.items() if id not in self._rows(info)})
        return info
