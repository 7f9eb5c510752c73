"""Search by comparing every record that matches: there is no index, so every search is exact (6.7)."""

import sqlite3
from typing import Final

import numpy as np

from vectorkit.backend.requests import VectorSearch
from vectorkit.ranking import rank
from vectorkit.types import CollectionInfo, FloatArray, Hit, Ranking
from vectorkit_sqlite._codec import load_vectors
from vectorkit_sqlite._filters import condition
from vectorkit_sqlite._reading import by_ids

__all__ = ["search"]

_PAGE: Final = 1000  # records compared at once: bounds the memory of a search


def search(
    connection: sqlite3.Connection, number: int, collection: CollectionInfo, request: VectorSearch
) -> list[Ranking]:
    """See `VectorBackend.search`."""
    nearest = [_Nearest(collection, query, request.k) for query in request.queries]
    matching, parameters = condition(connection, number, where=request.where)
    rows = connection.execute(f"SELECT id, embedding FROM vectorkit_records WHERE {matching}", parameters)
    while page := rows.fetchmany(_PAGE):
        ids = [id for id, _ in page]
        vectors = load_vectors([embedding for _, embedding in page], collection.dimension)
        for each in nearest:
            each.compare(ids, vectors)
    return [Ranking(each.hits(connection, number, request.include_embeddings), exact=True) for each in nearest]


class _Nearest:
    """The nearest records to one query among those compared so far.

    Distances, scores and order are `vectorkit.ranking`'s. A record's distance depends on nothing but its vector and
    the query, so that the best of each page and those before it hold the best of all.
    """

    def __init__(self, collection: CollectionInfo, query: FloatArray, k: int) -> None:
        self._collection = collection
        self._query = query
        self._k = k
        self._ids: list[str] = []
        self._vectors = np.empty((0, collection.dimension), dtype=np.float32)

    def compare(self, ids: list[str], vectors: FloatArray) -> None:
        """Let more records take part."""
        ids = self._ids + ids
        vectors = np.concatenate([self._vectors, vectors])
        rows = [place.row for place in rank(self._collection.metric, self._query, ids, vectors, self._k)]
        self._ids, self._vectors = [ids[row] for row in rows], vectors[rows]

    def hits(self, connection: sqlite3.Connection, number: int, include_embeddings: bool) -> list[Hit]:
        """The hits, nearest first."""
        places = rank(self._collection.metric, self._query, self._ids, self._vectors, self._k)
        records = by_ids(connection, number, self._ids, include_embeddings=False)
        return [
            Hit(
                record.id,
                place.score,
                place.distance,
                record.document,
                record.metadata,
                self._vectors[place.row].copy() if include_embeddings else None,
            )
            for place, record in zip(places, records, strict=True)
        ]
