"""Stores that read other records than they are asked for, or in another order (section 4 of the contract)."""

from collections.abc import Iterator
from dataclasses import replace

from vectorkit.backend.requests import Read, Scan
from vectorkit.filters import Filter
from vectorkit.testing.faults._backend import FaultyBackend
from vectorkit.types import CollectionInfo, Record

__all__ = [
    "CountsEverything",
    "CutsBeforeTheFilter",
    "GetsAHundredAtMost",
    "GetsInOrderOfStorage",
    "GetsInOrderOfWriting",
    "IgnoresTheOffset",
    "LosesLongListsOfIds",
    "OrdersIdsByLocale",
    "ScanBeginsWithTheIdItself",
    "ScanForgetsVectors",
    "ScanLosesTheLastPage",
    "ScansByOffset",
]


class GetsInOrderOfStorage(FaultyBackend):
    """4.1 Returns records in its own order, not in that of the ids, as Chroma and SQL's `IN` do."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        return sorted(super().get(collection, request), key=lambda record: record.id)


class _FaultyOrder(FaultyBackend):
    """Returns all records, or those that match, in an order of its own."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        if request.ids is not None:
            return super().get(collection, request)
        found = self._ordered(collection, super().get(collection, replace(request, limit=None, offset=0)))
        return found[request.offset : None if request.limit is None else request.offset + request.limit]

    def _ordered(self, collection: CollectionInfo, records: list[Record]) -> list[Record]:
        return records


class GetsInOrderOfWriting(_FaultyOrder):
    """4.1 Returns records in the order in which they were written, as Chroma does."""

    def _ordered(self, collection: CollectionInfo, records: list[Record]) -> list[Record]:
        place = {id: at for at, id in enumerate(self._rows(collection))}
        return sorted(records, key=lambda record: place[record.id])


class OrdersIdsByLocale(_FaultyOrder):
    """4.1 Orders ids as a dictionary does, as PostgreSQL under a language's collation."""

    def _ordered(self, collection: CollectionInfo, records: list[Record]) -> list[Record]:
        return sorted(records, key=lambda record: record.id.casefold())


class IgnoresTheOffset(FaultyBackend):
    """4.1 Passes no record over, as stores do that page by a token."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        return super().get(collection, replace(request, offset=0))


class CutsBeforeTheFilter(FaultyBackend):
    """4.1 Takes `limit` records, and then looks at the filter."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        cut = [record.id for record in super().get(collection, replace(request, where=None))]
        return super().get(collection, replace(request, ids=cut, limit=None, offset=0))


class GetsAHundredAtMost(FaultyBackend):
    """4.1 Returns a page where all records are asked for, as stores with a default limit do."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        return super().get(collection, request)[:100]


class LosesLongListsOfIds(FaultyBackend):
    """4.1 Looks for the first 1,000 ids of a call alone, as stores do that bound them."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        return super().get(collection, replace(request, ids=request.ids and request.ids[:1000]))


class CountsEverything(FaultyBackend):
    """4.2 Counts all records whatever the filter, as stores do that know their size alone."""

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        return super().count(collection)


class ScansByOffset(FaultyBackend):
    """4.3 Asks for each page by its offset: what is written meanwhile moves records into other pages."""

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        at, size = 0, request.batch_size
        while page := self.get(collection, Read(None, request.where, size, at, request.include_embeddings)):
            yield page
            at += size


class ScanBeginsWithTheIdItself(FaultyBackend):
    """4.3 Begins with the record after which it is to begin, as `>=` does where `>` is meant."""

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        if request.after is not None:
            yield super().get(collection, Read([request.after], request.where))
        yield from super().scan(collection, request)


class ScanForgetsVectors(FaultyBackend):
    """4.3 Only the first page of a scan holds vectors: the other pages are asked for without that option."""

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        for at, page in enumerate(super().scan(collection, request)):
            yield page if at == 0 else [replace(record, embedding=None) for record in page]


class ScanLosesTheLastPage(FaultyBackend):
    """4.3 Stops before a page that is not full."""

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        return (page for page in super().scan(collection, request) if len(page) == request.batch_size)
