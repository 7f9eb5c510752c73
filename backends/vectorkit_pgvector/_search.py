"""Search (section 6 of the contract): PostgreSQL finds candidates, `vectorkit.ranking` scores and orders them."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from vectorkit.filters import Filter
from vectorkit.indexes import MAX_EF_SEARCH, Index, IVFFlat
from vectorkit.ranking import EXACT_LIMIT, Ranked, rank
from vectorkit.types import FloatArray, Hit, Ranking
from vectorkit_pgvector import _index_sql, _search_sql
from vectorkit_pgvector._codec import load_metadata, load_vector, load_vectors
from vectorkit_pgvector._search_sql import Found
from vectorkit_pgvector._sessions import Session
from vectorkit_pgvector._sizes import Sizes
from vectorkit_pgvector._sql import Table

__all__ = ["Request", "index_settings", "search"]

# With these, recall@10 on embeddings of real text is 0.99 or more, also for queries unlike anything stored, and for
# filters that exclude a query's whole neighbourhood: tests/pgvector/test_recall.py.
_EF_SEARCH: Final = 200
_MORE_CANDIDATES: Final = (3, 200, 1000)
"""Rows asked of the index beyond k where a filter applies: so many times k, at the least and at the most."""
_MORE_SIGNS: Final = (40, 800, 4000)
"""The same of an index of signs, whose order is a coarse one."""

_MARGIN: Final = 4
"""Rows fetched beyond k, so that the rounding of the server's distances seldom calls for a second look."""
_PRICE: Final = 10
"""What a row that the index of the vectors looks at costs, in rows that are found by their metadata and compared."""
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
    """How many lists of an IVFFlat index a search looks at.

    pgvector's README begins with the square root; of embeddings of real text (16,000, MiniLM) that finds 0.89 of the
    nearest ten, and four times as many 0.99.
    """
    return min(lists, math.ceil(4 * math.sqrt(lists)))


def search(session: Session, table: Table, requests: Sequence[Request], sizes: Sizes) -> list[Ranking]:
    """See `VectorBackend.search`; under `index_settings` if the index may serve.

    Args:
        session: Where to search.
        table: What to search.
        requests: What for; they differ in the query alone. They are sent together, as many as their rows fit memory.
        sizes: What is known of the table's size.
    """
    _, k, where, exact, _ = requests[0]
    if exact is True or not _index_sql.serves(table):
        find = _exactly
    elif exact is False:
        find = _by_index
    elif where is not None:
        find = _filtered
    else:
        find = partial(_unfiltered, sizes=sizes)
    size = max(1, _ROWS_AT_ONCE // _limit(k))
    parts = (requests[start : start + size] for start in range(0, len(requests), size))
    return [ranking for part in parts for ranking in find(session, table, part)]


def _exactly(session: Session, table: Table, requests: Sequence[Request]) -> list[Ranking]:
    """Compare with every row that matches."""
    statements = [_search_sql.exact(table, each.query, each.where, _limit(each.k)) for each in requests]
    taken = session.each(statements, lambda at, rows: _compared(table, requests[at], _found(rows)))
    return _finished(session, table, requests, taken)


def _by_index(session: Session, table: Table, requests: Sequence[Request]) -> list[Ranking]:
    """Ask the index; where it reaches too few rows, compare with all."""
    statements = [
        _search_sql.index(table, each.query, each.where, each.k, _candidates(table, each)) for each in requests
    ]
    taken = session.each(statements, lambda at, rows: _indexed(table, requests[at], _found(rows)))
    return _finished(session, table, requests, taken)


def _unfiltered(session: Session, table: Table, requests: Sequence[Request], *, sizes: Sizes) -> list[Ranking]:
    """Compare with all rows if they are few enough, else ask the index; mostly it is known which."""
    known = not session.joins  # what the caller's transaction sees may be rolled back
    if known and sizes.is_large(table.name):
        return _by_index(session, table, requests)
    deletions = sizes.deletions

    def take(at: int, rows: list[tuple[Any, ...]]) -> Ranking | _TooFew | _Tied:
        few, found = _told(rows)
        if known and not few:
            sizes.note_large(table.name, deletions)
        return (_compared if few else _indexed)(table, requests[at], found)

    statements = [
        _search_sql.exact_or_index(table, each.query, _limit(each.k), each.k, _candidates(table, each))
        for each in requests
    ]
    return _finished(session, table, requests, session.each(statements, take))


def _filtered(session: Session, table: Table, requests: Sequence[Request]) -> list[Ranking]:
    """Compare with the rows that match if they are few enough, or if that takes less time than asking the index."""

    def take(at: int, rows: list[tuple[Any, ...]]) -> Ranking | _TooFew | _Tied | None:
        few, found = _told(rows)
        return _compared(table, requests[at], found) if few else None

    statements = [_search_sql.exact_if_few(table, each.query, each.where, _limit(each.k)) for each in requests]
    taken = session.each(statements, take)
    if many := [at for at, each in enumerate(taken) if each is None]:
        some = [requests[at] for at in many]
        find = _exactly if _is_worth_comparing(session, table, some[0]) else _by_index
        for at, ranking in zip(many, find(session, table, some), strict=True):
            taken[at] = ranking
    return _finished(session, table, requests, [each for each in taken if each is not None])


def _is_worth_comparing(session: Session, table: Table, request: Request) -> bool:
    """Whether comparing all rows that match is quicker than the index, by what PostgreSQL expects of the filter.

    Where an index of the metadata finds those m of n rows, it takes m times as long as one row takes. The index of the
    vectors looks at n / m rows for each candidate, each of which takes ten times as long (50,000 x 384: 1.7 and 17 µs):
    PostgreSQL's own estimate leaves most of that out.
    """
    expected, total = session.each(
        [_search_sql.expected(table, request.where), _search_sql.size(table)], lambda _, rows: rows[0][0]
    )
    node = expected[0]["Plan"]
    matching = max(EXACT_LIMIT, int(node["Plan Rows"]))
    parts = node["Plans"] if node["Node Type"] == "Append" else [node]  # of a partitioned table
    served = all(part["Node Type"] in {"Bitmap Heap Scan", "Index Scan", "Index Only Scan"} for part in parts)
    return served and matching**2 <= _PRICE * _candidates(table, request) * max(total, matching)


class _TooFew(NamedTuple):
    """The index reaches too few records (6.1): all must be compared."""


class _Tied(NamedTuple):
    """Rows that were not fetched may be as near as the last one: those up to a key must be looked at too."""

    rows: list[Found]
    largest: float


def _indexed(table: Table, request: Request, rows: list[Found]) -> Ranking | _TooFew:
    """The answer from what the index gave, if that is enough."""
    if rows and rows[0].total == _candidates(table, request):
        return _ranking(_nearest(table, request, rows), request, exact=False)
    return _TooFew()


def _compared(table: Table, request: Request, rows: list[Found]) -> Ranking | _Tied:
    """The answer from the first rows by what the server computed, if that tells them from the others."""
    best = _nearest(table, request, rows)
    if len(rows) == _limit(request.k):
        largest = _search_sql.largest_key(table, request.query, best[-1].place.distance)
        if max(row.key for row in rows) <= largest:
            return _Tied(rows, largest)
    return _ranking(best, request, exact=True)


def _finished(
    session: Session, table: Table, requests: Sequence[Request], taken: Sequence[Ranking | _TooFew | _Tied]
) -> list[Ranking]:
    """The answers, with what it takes further statements to find."""
    rankings: list[Ranking] = []
    for request, each in zip(requests, taken, strict=True):
        if isinstance(each, _TooFew):
            rankings += _exactly(session, table, [request])
        elif isinstance(each, _Tied):
            best = _nearest_within(session, table, request, each.rows, each.largest)
            rankings.append(_ranking(best, request, exact=True))
        else:
            rankings.append(each)
    return rankings


def _limit(k: int) -> int:
    """How many rows are fetched where all are compared."""
    return k + _MARGIN + k // 16


def _found(rows: list[tuple[Any, ...]]) -> list[Found]:
    return [Found._make(row) for row in rows]


def _told(rows: list[tuple[Any, ...]]) -> tuple[bool, list[Found]]:
    """Whether few rows match, as the row without an id says, and the others."""
    found = _found(rows)
    return any(row.total for row in found if not row.id), [row for row in found if row.id]


def _candidates(table: Table, request: Request) -> int:
    """How many rows are asked of the index."""
    if _index_sql.representation(table.spec) == "binary":
        times, least, most = _MORE_SIGNS
    elif request.where is not None:
        times, least, most = _MORE_CANDIDATES
    else:
        return request.k
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
