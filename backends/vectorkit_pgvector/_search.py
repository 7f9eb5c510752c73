"""Search (section 6 of the contract): PostgreSQL finds candidates, `vectorkit.ranking` scores and orders them."""

import math
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from vectorkit.filters import Filter
from vectorkit.indexes import MAX_EF_SEARCH, Index, IVFFlat
from vectorkit.ranking import Ranked, rank
from vectorkit.types import FloatArray, Hit, Ranking
from vectorkit_pgvector import _index_sql, _search_sql
from vectorkit_pgvector._codec import load_metadata, load_vector, load_vectors
from vectorkit_pgvector._search_sql import Found
from vectorkit_pgvector._sessions import Session
from vectorkit_pgvector._sql import Statement, Table

__all__ = ["Request", "answer", "first", "index_settings", "search"]

# With these, recall@10 on embeddings of real text is 0.99 or more, also for queries unlike anything stored, and for
# filters that exclude a query's whole neighbourhood: tests/pgvector/test_recall.py.
_EF_SEARCH: Final = 200
_MORE_CANDIDATES: Final = (3, 200, 1000)
"""Rows asked of the index beyond k where a filter applies: so many times k, at the least and at the most."""
_MORE_SIGNS: Final = (30, 400, 4000)
"""The same of an index of signs, whose order is a coarse one."""

_MARGIN: Final = 4
"""Rows fetched beyond k, so that the rounding of the server's distances seldom calls for a second look."""
_CHUNK: Final = 1000
_ROWS_AT_ONCE: Final = 5000
"""Rows of several queries that are fetched together: bounds memory."""


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
    row: Found


def index_settings(k: int, index: Index | None = None, effort: int | None = None, lists: int = 1) -> dict[str, str]:
    """Settings of the session under which a search for k hits may use the index.

    Args:
        k: How many hits.
        index: The collection's index; None: an HNSW with default settings.
        effort: What the search asks for in place of the index's `ef_search` or `probes`.
        lists: How many lists the index has if it is an IVFFlat.
    """
    if isinstance(index, IVFFlat):
        probes = effort or index.probes or default_probes(lists)
        return {"ivfflat.iterative_scan": "relaxed_order", "ivfflat.probes": str(probes)}
    ef_search = effort or (index and index.ef_search) or min(max(_EF_SEARCH, 8 * k), MAX_EF_SEARCH)
    return {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(ef_search)}


def default_probes(lists: int) -> int:
    """How many lists of an IVFFlat index a search looks at."""
    return min(lists, math.ceil(math.sqrt(lists)))


def search(session: Session, table: Table, requests: Sequence[Request]) -> list[Ranking]:
    """See `VectorBackend.search`; under `index_settings` if the index may serve.

    Args:
        session: Where to search.
        table: What to search.
        requests: What for; they differ in the query alone. They are sent together, as many as their rows fit memory.
    """
    rankings: list[Ranking] = []
    size = max(1, _ROWS_AT_ONCE // _limit(requests[0].k))
    for start in range(0, len(requests), size):
        some = requests[start : start + size]
        answers = session.each([first(table, request) for request in some])
        for request, rows in zip(some, answers, strict=True):
            rankings.append(answer(session, table, request, [Found._make(row) for row in rows]))
    return rankings


def _limit(k: int) -> int:
    return k + _MARGIN + k // 16


def first(table: Table, request: Request) -> Statement:
    """The statement that most often is all there is to a search."""
    query, k, where, exact, _ = request
    if exact is True or not _index_sql.serves(table):
        return _search_sql.exact(table, query, where, _limit(k))
    build = _search_sql.index if exact is False else _search_sql.exact_or_index
    return build(table, query, where, _limit(k), _candidates(table, request))


def answer(session: Session, table: Table, request: Request, rows: list[Found]) -> Ranking:
    """The answer, from the rows of the first statement and what further ones it takes."""
    query, k, where, exact, _ = request
    limit = _limit(k)
    if exact is not True and _index_sql.serves(table):
        few = any(row.total for row in rows if not row.id)
        rows = [row for row in rows if row.id]
        if not few:
            if rows and rows[0].total == _candidates(table, request):
                return _ranking(_nearest(table, request, rows), request, exact=False)
            # The index reaches too few records (6.1): compare with all.
            rows = [Found._make(row) for row in session.rows(_search_sql.exact(table, query, where, limit))]
    best = _nearest(table, request, rows)
    if len(rows) == limit:
        largest = _search_sql.largest_key(table, query, best[-1].place.distance)
        if max(row.key for row in rows) <= largest:  # rows that were not fetched may be as near
            best = _nearest_within(session, table, request, rows, largest)
    return _ranking(best, request, exact=True)


def _candidates(table: Table, request: Request) -> int:
    """How many rows are asked of the index."""
    if _index_sql.representation(table.spec) == "binary":
        times, least, most = _MORE_SIGNS
    elif request.where is not None:
        times, least, most = _MORE_CANDIDATES
    else:
        return _limit(request.k)
    return request.k + min(max(times * request.k, least), most)


def _nearest_within(
    session: Session, table: Table, request: Request, rows: Iterable[Found], largest: float
) -> list[_Placed]:
    """The nearest of all rows with a key of at most `largest`, in bounded memory, and of `rows`."""
    statement = _search_sql.within(table, request.query, request.where, request.k, largest)
    best = list(rows)
    stream = map(Found._make, session.stream(statement))
    while chunk := list(islice(stream, _CHUNK)):
        known = {row.id: row for row in chain(best, chunk)}
        best = [placed.row for placed in _nearest(table, request, list(known.values()))]
    return _nearest(table, request, best)


def _nearest(table: Table, request: Request, rows: list[Found]) -> list[_Placed]:
    vectors = load_vectors([row.embedding for row in rows], table.spec.dimension)
    places = rank(table.spec.metric, request.query, [row.id for row in rows], vectors, request.k)
    return [_Placed(place, rows[place.row]) for place in places]


def _ranking(best: Iterable[_Placed], request: Request, *, exact: bool) -> Ranking:
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
    return Ranking(hits, exact)
