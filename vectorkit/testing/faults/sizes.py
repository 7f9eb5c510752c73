"""Stores that do otherwise with many records than with few (rules of sections 3 to 7)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from vectorkit._memory_rows import Row
from vectorkit.backend.requests import Read, Scan, TextSearch, VectorSearch
from vectorkit.filters import Filter, evaluate
from vectorkit.testing.faults._backend import FaultyBackend, picked
from vectorkit.testing.faults.filters import NotEqualNeedsTheKey
from vectorkit.types import Batch, CollectionInfo, Hit, Patch, Ranking, Record

__all__ = [
    "CountsTenThousandAtMost",
    "DeletesAThousandMatches",
    "DeletesTenThousandIds",
    "FindsAThousandTexts",
    "GetsTenThousandAtMost",
    "ReplacesAThousandAtMost",
    "ReturnsTenThousandAtMost",
    "SamplesForMissingKeys",
    "ScansTenThousandAtMost",
    "UpdatesAThousandAtMost",
]


class ReplacesAThousandAtMost(FaultyBackend):
    """3.3 An upsert replaces the first 1,000 of its records that are stored, and leaves the others as they are."""

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        written = list(batches)
        ids = [id for batch in written for id in batch.ids]
        left = {record.id for record in self.get(collection, Read(ids))[1000:]}
        super().upsert(collection, [picked(batch, [id not in left for id in batch.ids]) for batch in written])


class UpdatesAThousandAtMost(FaultyBackend):
    """3.4 An update changes the first 1,000 records, a batch of the client's, and reports success."""

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        super().update(collection, [_first(patch, 1000) for patch in patches])


class DeletesAThousandMatches(FaultyBackend):
    """3.5 Deletes a page of what matches, as where a filter is first read into ids, with the default limit."""

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        if ids is not None:
            return super().delete(collection, ids=ids, where=where)
        page = [record.id for record in self.get(collection, Read(where=where, limit=1000))]
        return super().delete(collection, ids=page)


class DeletesTenThousandIds(FaultyBackend):
    """3.5 Deletes the records of the first 10,000 ids, and counts these."""

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        return super().delete(collection, ids=ids and ids[:10_000], where=where)


class GetsTenThousandAtMost(FaultyBackend):
    """4.1 Returns no more than 10,000 records, the window of Elasticsearch's results."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        return super().get(collection, replace(request, limit=min(request.limit or 10_000, 10_000)))


class CountsTenThousandAtMost(FaultyBackend):
    """4.2 Counts to 10,000, as Elasticsearch does unless it is told to track all hits."""

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        return min(super().count(collection, where), 10_000)


class ScansTenThousandAtMost(FaultyBackend):
    """4.3 Ends a scan after 10,000 records."""

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        return islice(super().scan(collection, request), -(-10_000 // request.batch_size))


class SamplesForMissingKeys(NotEqualNeedsTheKey):
    """5.6 Finds what lacks a key among the first 1,000 records alone, as where a schema is made of a sample."""

    def _matching(self, rows: Mapping[str, Row], ids: Sequence[str] | None, where: Filter | None) -> Iterator[str]:
        found = super()._matching(rows, ids, where)
        if where is None:
            return found
        bent, sample, right = set(found), {*islice(rows, 1000)}, evaluate(where)
        return (
            id
            for id in super()._matching(rows, ids, None)
            if (right(rows[id].document, rows[id].metadata) if id in sample else id in bent)
        )


class ReturnsTenThousandAtMost(FaultyBackend):
    """6.1 Returns no more than 10,000 hits, the largest `top_k` of Pinecone and the window of Elasticsearch."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return super().search(collection, replace(request, k=min(request.k, 10_000)))


class FindsAThousandTexts(FaultyBackend):
    """7.2 A text search returns no more than 1,000 hits, whatever k is."""

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        return super().search_text(collection, replace(request, k=min(request.k, 1000)))


def _first(patch: Patch, count: int) -> Patch:
    return replace(
        patch,
        ids=patch.ids[:count],
        documents=patch.documents and patch.documents[:count],
        embeddings=None if patch.embeddings is None else patch.embeddings[:count],
        metadatas=patch.metadatas and patch.metadatas[:count],
    )
