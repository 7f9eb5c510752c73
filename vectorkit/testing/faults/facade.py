"""Stores whose facade lets through, or changes, what it should check (rules of every section)."""

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from vectorkit._narrow import is_dict, is_list
from vectorkit.collection import Collection
from vectorkit.errors import CollectionNotFoundError, DimensionMismatchError, InvalidArgumentError
from vectorkit.progress import Ingested
from vectorkit.protocol import Embedder
from vectorkit.testing.faults._store import FaultyCollection, FaultyStore
from vectorkit.types import Hit, Record

__all__ = [
    "CutsAndPadsVectors",
    "DeletesEverythingOnNoArguments",
    "DropsUnknownConditions",
    "EmbedsAllAgain",
    "EmbedsByDefault",
    "GetOrCreateIgnoresSettings",
    "GetOrCreateMakesNoTextIndex",
    "KeepsTheVectorOfTheOldDocument",
    "LastOfARepeatedIdWins",
    "LeavesKeysInTheCallersMetadata",
    "LetsTypeErrorsEscape",
    "MinScoreIsADistance",
    "MinScoreMustBeExceeded",
    "NumbersIdsAnew",
    "OpensUnderAnyEmbedder",
    "PopsTheFilter",
    "PrunesOtherSources",
    "ReadsNumbersFromText",
    "RefusesZeroHits",
    "SearchesVectorsWhateverTheMode",
    "ShowsTheVectorOfAnotherLength",
    "StripsNul",
    "TakesAnyQueryWhenEmpty",
    "TakesNaNForZero",
    "TakesOneOperatorAKey",
    "WritesDatesAsText",
]


class GetOrCreateIgnoresSettings(FaultyStore):
    """1.3 Opens what is there, though another metric or dimension was asked for, as Chroma does."""

    def get_or_create_collection(self, name: str, *, embedder: Embedder | None = None, **options: Any) -> Collection:
        try:
            return self.get_collection(name, embedder=embedder)
        except CollectionNotFoundError:
            return super().get_or_create_collection(name, embedder=embedder, **options)


class GetOrCreateMakesNoTextIndex(FaultyStore):
    """1.3 Opens what is there, and makes no text index of it though one was asked for."""

    def get_or_create_collection(self, name: str, *, embedder: Embedder | None = None, **options: Any) -> Collection:
        try:
            self.get_collection(name)
        except CollectionNotFoundError:
            return super().get_or_create_collection(name, embedder=embedder, **options)
        others: dict[str, Any] = {**options, "text_index": False}
        return super().get_or_create_collection(name, embedder=embedder, **others)


class OpensUnderAnyEmbedder(FaultyStore):
    """1.4 Opens a collection with another embedder than it was made with; its vectors then mean nothing."""

    def _opened(self, name: str, embedder: Embedder | None) -> Collection:
        info = super()._opened(name, None).info()
        return Collection(self.backend, info, embedder)


class NumbersIdsAnew(FaultyCollection):
    """2.1 Ids left out are 0, 1, 2 … in each call, so that the second call replaces or meets the first."""

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        if columns.get("embeddings") is None or columns.get("ids") is not None:
            return columns
        return {**columns, "ids": [f"{at}" for at in range(len(columns["embeddings"]))]}


class LastOfARepeatedIdWins(FaultyCollection):
    """2.2 Of an id named twice in a call the last row is written, as where rows are gathered in a dict."""

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(columns.get("ids"), list):
            return columns
        rows = {repr(id): at for at, id in enumerate(columns["ids"])}.values()
        return {
            name: [column[row] for row in rows] if isinstance(column, list) else column
            for name, column in columns.items()
        }


class _FaultyVectors(FaultyCollection):
    """Mends vectors that it should refuse."""

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        given = columns.get("embeddings")
        if not is_list(given):
            return columns
        return {
            **columns,
            "embeddings": [self._mended(vector) if is_list(vector) else vector for vector in given],
        }

    def _mended(self, vector: Sequence[Any]) -> Any:
        return vector


class TakesNaNForZero(_FaultyVectors):
    """2.3 Stores 0 for NaN, and its largest number for infinity."""

    def _mended(self, vector: Sequence[Any]) -> Any:
        return [np.nan_to_num(number) if isinstance(number, float) else number for number in vector]


class CutsAndPadsVectors(_FaultyVectors):
    """2.3 Brings a vector of another length to the collection's with zeros, or by cutting it."""

    def _mended(self, vector: Sequence[Any]) -> Any:
        length = self.info().dimension
        return [*vector, *[0.0] * (length - len(vector))][:length]


class ReadsNumbersFromText(_FaultyVectors):
    """2.3 Takes `"1"` and True for 1, as `np.asarray(vector, dtype=float)` does."""

    def _mended(self, vector: Sequence[Any]) -> Any:
        try:
            return np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError, OverflowError):
            return vector


class WritesDatesAsText(FaultyCollection):
    """2.5 Stores the text of what is no JSON, as `json.dumps(…, default=str)` does."""

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        given = columns.get("metadatas")
        if not is_list(given):
            return columns
        return {**columns, "metadatas": [json.loads(json.dumps(each, default=str)) for each in given]}


class StripsNul(FaultyCollection):
    """2.6 Takes NUL out of documents, as clients of PostgreSQL do that would otherwise be refused."""

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        given = columns.get("documents")
        if not is_list(given):
            return columns
        return {**columns, "documents": [each.replace("\0", "") if isinstance(each, str) else each for each in given]}


class LeavesKeysInTheCallersMetadata(FaultyCollection):
    """2.7 Writes a key of its own into the dicts that it was given, as clients do that store the text there."""

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        written = {**columns, "metadatas": deepcopy(columns.get("metadatas"))}
        for metadata in columns.get("metadatas") or ():
            if is_dict(metadata):
                metadata["text"] = None
        return written


class PopsTheFilter(FaultyCollection):
    """2.7 Takes the caller's filter apart, so that the next call with it filters nothing."""

    def count(self, where: Any = None, **options: Any) -> int:
        counted = super().count(where, **options)
        if is_dict(where):
            where.clear()
        return counted


class KeepsTheVectorOfTheOldDocument(FaultyCollection):
    """3.4 A document that is updated keeps the vector of the old one, as where nobody embeds it anew."""

    def update(self, **columns: Any) -> None:
        if columns.get("documents") and columns.get("ids") and columns.get("embeddings") is None:
            stored = self.get(columns["ids"], include_embeddings=True)
            columns["embeddings"] = [record.embedding for record in stored]
        super().update(**columns)


class DeletesEverythingOnNoArguments(FaultyCollection):
    """3.5 `delete()` deletes all there is, as an empty filter does in many stores."""

    def delete(self, ids: Any = None, **filters: Any) -> int:
        if ids is None and not any(filters.values()):
            return super().delete([record.id for record in self.get()])
        return super().delete(ids, **filters)


class EmbedsAllAgain(FaultyCollection):
    """3.9 An ingest embeds and writes everything each time, as a loop over upsert does."""

    def ingest(self, source: Any, **options: Any) -> Ingested:
        self.delete([record.id for record in self.get()])
        return super().ingest(source, **options)


class PrunesOtherSources(FaultyCollection):
    """3.9 Pruning deletes whatever the source did not hold, of other sources too."""

    def ingest(self, source: Any, **options: Any) -> Ingested:
        if not options.get("prune"):
            return super().ingest(source, **options)
        before = {record.id for record in self.get()}
        done = super().ingest(source, **options)
        read = {record.id for record in self.get(where={"source": {"$exists": True}})}
        self.delete(list(before - read))
        return done


class DropsUnknownConditions(FaultyCollection):
    """5.10 Leaves out the conditions that it does not understand, and answers with more than was asked for."""

    def get(self, ids: Any = None, *, where: Any = None, **options: Any) -> list[Record]:
        try:
            return super().get(ids, where=where, **options)
        except InvalidArgumentError:
            return super().get(ids, **options)


class TakesOneOperatorAKey(FaultyCollection):
    """5.1 Reads the first of several operators on a key, as stores do whose condition is a pair."""

    def get(self, ids: Any = None, *, where: Any = None, **options: Any) -> list[Record]:
        if is_dict(where):
            where = {key: dict([*said.items()][:1]) if is_dict(said) else said for key, said in where.items()}
        return super().get(ids, where=where, **options)


class RefusesZeroHits(FaultyCollection):
    """6.1 Refuses `k=0`, as Chroma does."""

    def search_many(self, queries: Any, k: Any = 10, **options: Any) -> list[list[Hit]]:
        if k == 0:
            raise InvalidArgumentError("k is at least 1, not 0")
        return super().search_many(queries, k, **options)


class MinScoreMustBeExceeded(FaultyCollection):
    """6.6 Leaves out hits whose score is the threshold, as where `>` stands for `>=`."""

    def search_many(self, queries: Any, k: Any = 10, *, min_score: Any = None, **options: Any) -> list[list[Hit]]:
        found = super().search_many(queries, k, min_score=min_score, **options)
        return found if min_score is None else [[hit for hit in hits if hit.score > min_score] for hits in found]


class MinScoreIsADistance(FaultyCollection):
    """6.6 Keeps the hits whose distance reaches the threshold, as where a score is a distance."""

    def search_many(self, queries: Any, k: Any = 10, *, min_score: Any = None, **options: Any) -> list[list[Hit]]:
        found = super().search_many(queries, k, **options)
        if min_score is None:
            return found
        return [[hit for hit in hits if hit.distance is not None and hit.distance >= min_score] for hits in found]


class TakesAnyQueryWhenEmpty(FaultyCollection):
    """6.9 Checks no query where nothing is stored, as Chroma and pgvector do not."""

    def search_many(self, queries: Any, k: Any = 10, **options: Any) -> list[list[Hit]]:
        return super().search_many(queries, k, **options) if self.count() else [[] for _ in queries]


class EmbedsByDefault(FaultyCollection):
    """6.9 Embeds a text query with a model of its own where the collection has none, as Chroma does."""

    def search_many(self, queries: Any, k: Any = 10, **options: Any) -> list[list[Hit]]:
        if self.embedder is None:
            queries = [[1.0] * self.info().dimension if isinstance(query, str) else query for query in queries]
        return super().search_many(queries, k, **options)


class SearchesVectorsWhateverTheMode(FaultyCollection):
    """7.1 Answers a text search with a vector search where it has no text index, in silence."""

    def search_many(self, queries: Any, k: Any = 10, *, mode: Any = "vector", **options: Any) -> list[list[Hit]]:
        return super().search_many(queries, k, mode="vector" if mode in ("text", "hybrid") else mode, **options)


class LetsTypeErrorsEscape(FaultyCollection):
    """8.2 An argument of a wrong type is Python's own error, from wherever it first hurts."""

    def get(self, ids: Any = None, **options: Any) -> list[Record]:
        return super().get(None if ids is None else [*ids], **options)


class ShowsTheVectorOfAnotherLength(FaultyCollection):
    """8.3 Says in its message the whole vector that has another length."""

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        for vector in columns.get("embeddings", ()):
            if is_list(vector) and len(vector) != self.info().dimension:
                raise DimensionMismatchError(
                    f"expected {self.info().dimension} dimensions, not {len(vector)}: {vector}"
                )
        return columns
