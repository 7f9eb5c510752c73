"""Stores that measure, score, order or cut otherwise (rules 2.7, 6.1 to 6.5, 6.8 and 6.10)."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from vectorkit.backend.requests import Read, VectorSearch
from vectorkit.errors import BackendError
from vectorkit.testing.faults._backend import ALL, FaultyBackend
from vectorkit.types import CollectionInfo, FloatArray, Hit, Ranking, Record

__all__ = [
    "AddsOneToProducts",
    "AlwaysReturnsEmbeddings",
    "AnswersInAnotherOrder",
    "AnswersTheFirstQueryForAll",
    "CosinesBeyondTheirRange",
    "CutsBeforeItOrdersTies",
    "ForgetsTheSignOfOneNumber",
    "ForgetsToNormalise",
    "FoundVectorsAreFloat64",
    "HidesIdenticalVectors",
    "HitsShareNestedValues",
    "MeasuresByExpansion",
    "OneTooFew",
    "OneTooMany",
    "ProductsUpsideDown",
    "RefusesMoreThanThereAre",
    "ReturnsAThousandAtMost",
    "ReturnsFortyAtMost",
    "ReturnsUnitVectors",
    "RoundsScores",
    "ScoreIsADistance",
    "ScoreIsOneMinusDistance",
    "ScoresFromZeroToOne",
    "SquaresDistances",
    "TiesInOrderOfWriting",
]


class HitsShareNestedValues(FaultyBackend):
    """2.7 A change to a list inside a hit's metadata changes the record, as where a dict is copied at its top alone."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        rows = self._rows(collection)
        return [replace(hit, metadata={**rows[hit.id].metadata}) for hit in hits]


class OneTooMany(FaultyBackend):
    """6.1 k + 1 come back, as where the query itself is counted among its neighbours."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return super().search(collection, replace(request, k=request.k + 1))


class OneTooFew(FaultyBackend):
    """6.1 k - 1 come back where the nearest is at distance 0: it is taken for the query itself, and left out."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        return [hit for at, hit in enumerate(hits) if at or hit.distance]


class ReturnsFortyAtMost(FaultyBackend):
    """6.1 Returns no more than its index looks at by default, as every client of pgvector's HNSW does."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return super().search(collection, replace(request, k=min(request.k, 40)))


class ReturnsAThousandAtMost(FaultyBackend):
    """6.1 Returns no more than its index can look at, `ef_search` of pgvector."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return super().search(collection, replace(request, k=min(request.k, 1000)))


class RefusesMoreThanThereAre(FaultyBackend):
    """6.1 Raises where k is more than there are records, as hnswlib does."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        if request.k > self.count(collection):
            raise BackendError("cannot return the results in a contiguous array")
        return super().search(collection, request)


class SquaresDistances(FaultyBackend):
    """6.2 Leaves the root out of `l2`, as FAISS, hnswlib and Chroma do."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        square = collection.metric == "l2"
        return [replace(hit, distance=(hit.distance or 0.0) ** 2) for hit in hits] if square else hits


class AddsOneToProducts(FaultyBackend):
    """6.2 The distance of `ip` is `1 - a·b`, as in hnswlib and Chroma."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        return [replace(hit, distance=1.0 - hit.score) for hit in hits] if collection.metric == "ip" else hits


class CosinesBeyondTheirRange(FaultyBackend):
    """6.2 Rounding makes the distance of parallel vectors negative, as in Chroma."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        near = [hit.distance is not None and abs(hit.distance) < 1e-9 for hit in hits]
        bend = collection.metric == "cosine"
        return [replace(hit, distance=-1.2e-7) if bend and each else hit for hit, each in zip(hits, near, strict=True)]


class ForgetsToNormalise(FaultyBackend):
    """6.2 Takes the product for the cosine, as indexes of unit vectors do with vectors that are none."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        if collection.metric == "cosine":
            collection = replace(collection, spec=replace(collection.spec, metric="ip"))
        return super().search(collection, request)


class ForgetsTheSignOfOneNumber(FaultyBackend):
    """6.2 Of vectors of one number all are parallel under `cosine`, as where a norm is the number itself."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        bend = collection.metric == "cosine" and collection.dimension == 1
        return [replace(hit, distance=0.0, score=1.0) for hit in hits] if bend else hits


class ScoreIsADistance(FaultyBackend):
    """6.3 Returns the distance as the score, as LangChain does on pgvector."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        return [replace(hit, score=hit.distance or 0.0) for hit in hits]


class ScoreIsOneMinusDistance(FaultyBackend):
    """6.3 Under `l2` the score is one less the distance, over root 2, and below 0 soon, as LangChain's relevance is."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        if collection.metric != "l2":
            return hits
        return [replace(hit, score=1.0 - (hit.distance or 0.0) / math.sqrt(2)) for hit in hits]


class ScoresFromZeroToOne(FaultyBackend):
    """6.3 The score of `cosine` is `(1 + cos) / 2`, as in Elasticsearch and Neo4j."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        return [replace(hit, score=(1.0 + hit.score) / 2) for hit in hits] if collection.metric == "cosine" else hits


class ProductsUpsideDown(FaultyBackend):
    """6.4 Under `ip` the farthest come first, as in LangChain's PGVectorStore, which orders products like distances."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        if collection.metric != "ip":
            return super().search(collection, request)
        found = super().search(collection, replace(request, k=ALL))
        return [replace(each, hits=each.hits[::-1][: request.k]) for each in found]


class TiesInOrderOfWriting(FaultyBackend):
    """6.4 Equal distances stand in the order in which the records were written, as in Chroma."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        place = {id: at for at, id in enumerate(self._rows(collection))}
        found = super().search(collection, replace(request, k=ALL))
        return [
            replace(each, hits=sorted(each.hits, key=lambda hit: (hit.distance or 0.0, place[hit.id]))[: request.k])
            for each in found
        ]


class CutsBeforeItOrdersTies(TiesInOrderOfWriting):
    """6.4 Orders equal distances by id, but only after the cut: which of them come back is left to chance."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        found = super().search(collection, request)
        return [replace(each, hits=sorted(each.hits, key=lambda hit: (hit.distance or 0.0, hit.id))) for each in found]


class HidesIdenticalVectors(FaultyBackend):
    """6.4 Returns one of several records whose vectors are the same, as stores do that know a vector by its hash."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        asked = request.include_embeddings
        found = super().search(collection, replace(request, k=ALL, include_embeddings=True))
        rankings: list[Ranking] = []
        for each in found:
            first = {np.asarray(hit.embedding).tobytes(): hit for hit in reversed(each.hits)}
            hits = [hit for hit in each.hits if first[np.asarray(hit.embedding).tobytes()] is hit][: request.k]
            rankings.append(replace(each, hits=hits if asked else [replace(hit, embedding=None) for hit in hits]))
        return rankings


class RoundsScores(FaultyBackend):
    """6.5 Rounds scores and distances to four digits, as for people to read."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        return [replace(hit, score=round(hit.score, 4), distance=round(hit.distance or 0.0, 4)) for hit in hits]


class MeasuresByExpansion(FaultyBackend):
    """6.5 Under `l2` takes the root of `a² + b² - 2ab` in float32, which is far off where a and b are near."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        if collection.metric != "l2":
            return super().search(collection, request)
        found = super().search(collection, replace(request, include_embeddings=True))
        rankings: list[Ranking] = []
        for query, each in zip(request.queries, found, strict=True):
            hits = [self._measured(query, hit, request.include_embeddings) for hit in each.hits]
            rankings.append(replace(each, hits=sorted(hits, key=lambda hit: (hit.distance or 0.0, hit.id))))
        return rankings

    def _measured(self, query: FloatArray, hit: Hit, include_embeddings: bool) -> Hit:
        vector = np.asarray(hit.embedding)
        square = np.float32(query @ query) + np.float32(vector @ vector) - np.float32(2) * np.float32(query @ vector)
        distance = math.sqrt(max(float(square), 0.0))
        embedding = vector if include_embeddings else None
        return replace(hit, distance=distance, score=1.0 / (1.0 + distance), embedding=embedding)


class AnswersTheFirstQueryForAll(FaultyBackend):
    """6.8 Every query of a batch is answered with the hits of the first, as where a plan keeps its first operand."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return super().search(collection, replace(request, queries=request.queries[:1])) * len(request.queries)


class AnswersInAnotherOrder(FaultyBackend):
    """6.8 The answers to a batch stand in the order in which they were ready."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return super().search(collection, request)[::-1]


class AlwaysReturnsEmbeddings(FaultyBackend):
    """6.10 Hits hold their vectors though nobody asked, megabytes of them, as where all columns are selected."""

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        return super().search(collection, replace(request, include_embeddings=True))


class FoundVectorsAreFloat64(FaultyBackend):
    """6.10 Returns vectors of float64, as Chroma does."""

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        wide: list[Any] = [None if hit.embedding is None else hit.embedding.astype(np.float64) for hit in hits]
        return [replace(hit, embedding=embedding) for hit, embedding in zip(hits, wide, strict=True)]


class ReturnsUnitVectors(FaultyBackend):
    """6.10 Under `cosine` vectors come back scaled to norm 1, as stores keep them that scale them once for all."""

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        found = super().get(collection, request)
        if collection.metric != "cosine" or not request.include_embeddings:
            return found
        vectors = [np.asarray(record.embedding) for record in found]
        return [
            replace(record, embedding=vector / np.linalg.norm(vector))
            for record, vector in zip(found, vectors, strict=True)
        ]
