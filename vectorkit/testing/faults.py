"""Stores that are each wrong in one way in which real ones are, to test the suite with: it must catch every one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from vectorkit.filters import And, Compare, Filter, Not, Operator, Or, walk
from vectorkit.memory import MemoryBackend
from vectorkit.types import Batch, CollectionInfo, FloatArray, Hit, Ranking, Record

__all__ = ["FAULTS", "FaultyBackend"]


_OPPOSITE: Final[dict[Operator, Operator]] = {"$gt": "$lte", "$gte": "$lt", "$lt": "$gte", "$lte": "$gt"}


class FaultyBackend(MemoryBackend):
    """The reference, with places where it can be bent; each fault bends one."""

    def bent_filter(self, where: Filter) -> Filter:
        """What a filter is taken for."""
        return where

    def bent_hits(self, hits: list[Hit], k: int, collection: CollectionInfo) -> list[Hit]:
        """What is returned of the right hits."""
        return hits

    def bent_record(self, new: Record, old: Record | None) -> Record:
        """What an upsert writes; `old` is the record that is stored."""
        return new

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """Write what `bent_record` makes of the records."""
        super().upsert(collection, [self._bent_batch(collection, batch) for batch in batches])

    def get(
        self,
        collection: CollectionInfo,
        *,
        ids: Sequence[str] | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        offset: int = 0,
        include_embeddings: bool = False,
    ) -> list[Record]:
        """Read under the bent filter."""
        return super().get(
            collection,
            ids=ids,
            where=self._bent(where),
            limit=limit,
            offset=offset,
            include_embeddings=include_embeddings,
        )

    def scan(
        self,
        collection: CollectionInfo,
        *,
        where: Filter | None = None,
        batch_size: int = 1000,
        include_embeddings: bool = False,
    ) -> Iterator[list[Record]]:
        """Read under the bent filter."""
        return super().scan(
            collection, where=self._bent(where), batch_size=batch_size, include_embeddings=include_embeddings
        )

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """Count under the bent filter."""
        return super().count(collection, self._bent(where))

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """Delete under the bent filter."""
        return super().delete(collection, ids=ids, where=self._bent(where))

    def search(
        self,
        collection: CollectionInfo,
        queries: FloatArray,
        k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[Ranking]:
        """Search under the bent filter, and bend the hits."""
        found = super().search(
            collection, queries, k, where=self._bent(where), exact=exact, include_embeddings=include_embeddings
        )
        return [replace(each, hits=self.bent_hits(each.hits, k, collection)) for each in found]

    def _bent(self, where: Filter | None) -> Filter | None:
        return None if where is None else self.bent_filter(where)

    def _bent_batch(self, collection: CollectionInfo, batch: Batch) -> Batch:
        stored = {record.id: record for record in super().get(collection, ids=batch.ids, include_embeddings=True)}
        rows = zip(batch.ids, batch.documents, batch.embeddings, batch.metadatas, strict=True)
        records = [
            self.bent_record(Record(id, document, embedding, metadata), stored.get(id))
            for id, document, embedding, metadata in rows
        ]
        return Batch(
            batch.ids,
            [record.document for record in records],
            np.array([record.embedding for record in records], dtype=np.float32),
            [record.metadata for record in records],
        )


class FiltersAfterTheCut(FaultyBackend):
    """Looks for the k nearest, and then at the filter."""

    def search(
        self,
        collection: CollectionInfo,
        queries: FloatArray,
        k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[Ranking]:
        """Filter what is left after the cut."""
        found = super().search(collection, queries, k, exact=exact, include_embeddings=include_embeddings)
        matching = {record.id for record in self.get(collection, where=where)}
        return [replace(each, hits=[hit for hit in each.hits if hit.id in matching]) for each in found]


class TiesInOrderOfWriting(FaultyBackend):
    """Equal distances stand in the order in which the records were written."""

    def search(
        self,
        collection: CollectionInfo,
        queries: FloatArray,
        k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,
        include_embeddings: bool = False,
    ) -> list[Ranking]:
        """Order by distance and place in the store."""
        place = {id: at for at, id in enumerate(self._rows(collection))}
        found = super().search(
            collection, queries, 2**31, where=where, exact=exact, include_embeddings=include_embeddings
        )
        return [
            replace(each, hits=sorted(each.hits, key=lambda hit: (hit.distance or 0.0, place[hit.id]))[:k])
            for each in found
        ]


class MergesOnUpsert(FaultyBackend):
    """Keeps the metadata keys, and the document, that an upsert does not give."""

    def bent_record(self, new: Record, old: Record | None) -> Record:
        """The old record under the new one."""
        if old is None:
            return new
        document = old.document if new.document is None else new.document
        return replace(new, document=document, metadata={**old.metadata, **new.metadata})


class KeepsOldVectors(FaultyBackend):
    """Replaces everything on upsert but the vector."""

    def bent_record(self, new: Record, old: Record | None) -> Record:
        """The new record with the old vector."""
        return new if old is None else replace(new, embedding=old.embedding)


class ScoreIsADistance(FaultyBackend):
    """Returns the distance as the score."""

    def bent_hits(self, hits: list[Hit], k: int, collection: CollectionInfo) -> list[Hit]:
        """Smaller is better."""
        return [replace(hit, score=hit.distance or 0.0) for hit in hits]


class SquaresDistances(FaultyBackend):
    """Leaves the root out of `l2`."""

    def bent_hits(self, hits: list[Hit], k: int, collection: CollectionInfo) -> list[Hit]:
        """Squared distances, in the same order."""
        return (
            [replace(hit, distance=(hit.distance or 0.0) ** 2) for hit in hits] if collection.metric == "l2" else hits
        )


class ReturnsFortyAtMost(FaultyBackend):
    """Returns no more than an index looks at by default."""

    def bent_hits(self, hits: list[Hit], k: int, collection: CollectionInfo) -> list[Hit]:
        """The first forty."""
        return hits[:40]


class NotOfNothingIsNothing(FaultyBackend):
    """Three-valued logic: the complement of a condition on no value does not hold either."""

    def bent_filter(self, where: Filter) -> Filter:
        """A negated condition, and a value."""
        if isinstance(where, Not) and isinstance(where.part, Compare) and where.part.op != "$exists":
            return And((where, Not(Compare(where.part.key, "$eq", None))))
        return _mapped(self, where)


class BoolsAreNumbers(FaultyBackend):
    """`True` is 1."""

    def bent_filter(self, where: Filter) -> Filter:
        """Either of the two."""
        if isinstance(where, Compare) and where.op == "$eq" and where.operand in (0, 1):
            value = where.operand
            return Or((where, Compare(where.key, "$eq", bool(value)), Compare(where.key, "$eq", int(value or 0))))
        return _mapped(self, where)


class TextsAreNumbers(FaultyBackend):
    """`"1"` is 1."""

    def bent_filter(self, where: Filter) -> Filter:
        """Either of the two."""
        if isinstance(where, Compare) and where.op == "$eq" and type(where.operand) in (int, float):
            return Or((where, Compare(where.key, "$eq", str(where.operand))))
        return _mapped(self, where)


class NegatesByTurningAround(FaultyBackend):
    """Makes `<=` of the complement of `>`, which a value that cannot be compared is not."""

    def bent_filter(self, where: Filter) -> Filter:
        """The opposite comparison."""
        if isinstance(where, Not) and isinstance(where.part, Compare) and where.part.op in _OPPOSITE:
            return replace(where.part, op=_OPPOSITE[where.part.op])
        return _mapped(self, where)


class DeletesWithoutFilter(FaultyBackend):
    """Deletes every record with one of the ids, or all of them."""

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """The filter is lost."""
        return super().delete(collection, ids=ids)


class IgnoresDocumentFilters(FaultyBackend):
    """Drops what a filter says about documents where it combines it with metadata."""

    def bent_filter(self, where: Filter) -> Filter:
        """The metadata half of an AND."""
        if isinstance(where, And):
            kept = tuple(part for part in where.parts if any(isinstance(node, Compare) for node in walk(part)))
            return And(kept)
        return where


def _mapped(store: FaultyBackend, where: Filter) -> Filter:
    """The same node with its parts bent."""
    match where:
        case And(parts):
            return And(tuple(map(store.bent_filter, parts)))
        case Or(parts):
            return Or(tuple(map(store.bent_filter, parts)))
        case Not(part):
            return Not(store.bent_filter(part))
        case _:
            return where


FAULTS: Final[tuple[type[FaultyBackend], ...]] = (
    FiltersAfterTheCut,
    TiesInOrderOfWriting,
    MergesOnUpsert,
    KeepsOldVectors,
    ScoreIsADistance,
    SquaresDistances,
    ReturnsFortyAtMost,
    NotOfNothingIsNothing,
    BoolsAreNumbers,
    TextsAreNumbers,
    NegatesByTurningAround,
    DeletesWithoutFilter,
    IgnoresDocumentFilters,
)
"""Every fault there is."""
