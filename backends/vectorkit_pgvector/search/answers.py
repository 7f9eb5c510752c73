"""From the rows that PostgreSQL gives to answers: enough of them, scored and in order (rules 6.1 to 6.5).

Where all rows were compared, `vectorkit.ranking` scores the nearest and orders them; what an index gave, the server
scored.
"""

from contextlib import closing
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from vectorkit.filters import Filter
from vectorkit.indexes import MAX_EF_SEARCH
from vectorkit.ranking import Ranked, rank, score_of
from vectorkit.types import FloatArray, Hit, Ranking
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql import search as search_sql
from vectorkit_pgvector.sql.codec import load_metadata, load_vector, load_vectors
from vectorkit_pgvector.sql.search import ComparedRow, ScoredRow
from vectorkit_pgvector.sql.tables import Table

__all__ = [
    "IndexExhausted",
    "Request",
    "Row",
    "TieAtCutoff",
    "candidates",
    "compared",
    "indexed",
    "limit",
    "looked_at",
    "resolved",
    "scored",
    "wanted",
]

Row: TypeAlias = tuple[Any, ...]
"""What a `ComparedRow` or a `ScoredRow` is made of."""

# With these, recall@10 on embeddings of real text is 0.99 or more, also for queries unlike anything stored, and for
# filters that exclude a query's whole neighbourhood: tests/pgvector/test_recall.py.
_EF_SEARCH: Final = 200
_MORE_CANDIDATES: Final = (3, 200, 1000)
"""Rows asked of the index beyond k where a filter applies: so many times k, at the least and at the most."""
_MORE_SIGNS: Final = (40, 800, 4000)
"""The same of an index of signs, whose order is a coarse one."""

_MARGIN: Final = 4
"""Rows fetched beyond k, so that the rounding of the server's distances seldom calls for a second look."""
_CHUNK: Final = 1000
_DISTANCE_AND_ID: Final = itemgetter(ScoredRow._fields.index("distance"), ScoredRow._fields.index("id"))


class Request(NamedTuple):
    """What is searched for.

    Attributes:
        query: float32 array of shape `(dimension,)`.
        k: How many hits, >= 1.
        where: Which records take part.
        exact: As in `VectorBackend.search`.
        include_embeddings: Whether hits hold their vectors.
    """

    query: FloatArray
    k: int
    where: Filter | None
    exact: bool | None
    include_embeddings: bool


class _Placed(NamedTuple):
    place: Ranked
    row: ComparedRow


def limit(k: int) -> int:
    """How many rows are fetched where all are compared."""
    return k + _MARGIN + k // 16


def looked_at(k: int) -> int:
    """How many of the nearest rows an HNSW index is asked to keep in sight by default."""
    return min(max(_EF_SEARCH, 8 * k), MAX_EF_SEARCH)


def wanted(table: Table, request: Request) -> int:
    """How many of the nearest rows must match for the first k of these to be the answer.

    The last of the rows that an index gives are less surely the nearest than the first: where the hits lie within the
    first half, recall@10 is 0.99 or more (50,000 x 384, `Collection.recall`; within the first two thirds 0.98). The
    order of an index of signs is too coarse for that.
    """
    return MAX_EF_SEARCH + 1 if index_sql.representation(table.spec) == "binary" else 2 * request.k


def candidates(table: Table, request: Request) -> int:
    """How many rows are asked of the index."""
    if index_sql.representation(table.spec) == "binary":
        times, least, most = _MORE_SIGNS
    elif request.where is not None:
        times, least, most = _MORE_CANDIDATES
    else:
        return request.k
    return request.k + min(max(times * request.k, least), most)


class IndexExhausted(NamedTuple):
    """The index reaches too few records (6.1): all must be compared."""


class TieAtCutoff(NamedTuple):
    """Rows that were not fetched may be as near as the last one: those up to a key must be looked at too."""

    rows: list[ComparedRow]
    largest: float


def indexed(table: Table, request: Request, rows: list[Row]) -> Ranking | IndexExhausted:
    """The answer from what the index gave, if that is enough."""
    if rows and (ScoredRow._make(rows[0]).total or len(rows)) == candidates(table, request):
        return scored(table, rows)
    return IndexExhausted()


def scored(table: Table, rows: list[Row]) -> Ranking:
    """The answer from rows that the server scored."""
    metric = table.spec.metric
    hits = [
        Hit(
            id,
            score_of(metric, distance),
            distance,
            document,
            load_metadata(metadata),
            None if embedding is None else load_vector(embedding),
        )
        for id, document, metadata, embedding, distance, _ in sorted(rows, key=_DISTANCE_AND_ID)
    ]
    return Ranking(hits, exact=False)


def compared(table: Table, request: Request, rows: list[Row]) -> Ranking | TieAtCutoff:
    """The answer from the first rows by what the server computed, if that tells them from the others."""
    found = [ComparedRow._make(row) for row in rows]
    best = _nearest(table, request, found)
    if len(found) == limit(request.k):
        largest = search_sql.largest_key(table, request.query, best[-1].place.distance)
        if max(row.key for row in found) <= largest:
            return TieAtCutoff(found, largest)
    return _ranking(best, request)


def resolved(session: Session, table: Table, request: Request, tied: TieAtCutoff) -> Ranking:
    """The answer where some are tied: from all rows with a key up to the largest one, in bounded memory."""
    statement = search_sql.within(table, request.query, request.where, request.k, tied.largest)
    best = tied.rows
    with closing(session.stream(statement)) as stream:
        while chunk := [ComparedRow._make(row) for row in islice(stream, _CHUNK)]:
            known = {row.id: row for row in chain(best, chunk)}
            best = [placed.row for placed in _nearest(table, request, list(known.values()))]
    return _ranking(_nearest(table, request, best), request)


def _nearest(table: Table, request: Request, rows: list[ComparedRow]) -> list[_Placed]:
    vectors = load_vectors([row.embedding for row in rows], table.spec.dimension)
    places = rank(table.spec.metric, request.query, [row.id for row in rows], vectors, request.k)
    return [_Placed(place, rows[place.row]) for place in places]


def _ranking(best: list[_Placed], request: Request) -> Ranking:
    hits = [
        Hit(
            row.id,
            place.score,
            place.distance,
            row.document,
            load_metadata(row.metadata),
            load_vector(row.embedding) if request.include_embeddings else None,
        )
        for place, row in best
    ]
    return Ranking(hits, exact=True)
