"""Search (section 6 of the contract): PostgreSQL finds candidates, and scores those that an index gave.

Where all rows are compared, `vectorkit.ranking` scores the nearest and orders them.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from vectorkit.filters import Filter
from vectorkit.indexes import MAX_EF_SEARCH, Index, IVFFlat
from vectorkit.ranking import EXACT_LIMIT, Ranked, rank, score_of
from vectorkit.types import FloatArray, Hit, Ranking
from vectorkit_pgvector import _index_sql, _search_sql
from vectorkit_pgvector._codec import load_metadata, load_vector, load_vectors
from vectorkit_pgvector._search_sql import Found
from vectorkit_pgvector._sessions import Session
from vectorkit_pgvector._sizes import Sizes, key_of
from vectorkit_pgvector._sql import Table

__all__ = ["Request", "Way", "index_settings", "search"]

Row: TypeAlias = tuple[Any, ...]
"""What a `Found` is made of."""

Way: TypeAlias = "Callable[[Session, Table, Sequence[Request]], list[Ranking]]"
"""A way to find the answers."""

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
_SURELY: Final = 1.25
"""So many times the rows that are needed must be expected to match to be sure of them; their number varies."""
_UNSURE: Final = 3
"""How many times as long the other way must take for it to be worth trying when one is not."""
_CHUNK: Final = 1000
_KEY_AND_ID: Final = itemgetter(Found._fields.index("key"), Found._fields.index("id"))
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
    ef_search = effort or (index and index.ef_search) or _looked_at(k)
    return {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(ef_search)}


def default_probes(lists: int) -> int:
    """How many lists of an IVFFlat index a search looks at.

    pgvector's README begins with the square root; of embeddings of real text (16,000, MiniLM) that finds 0.89 of the
    nearest ten, and four times as many 0.99.
    """
    return min(lists, math.ceil(4 * math.sqrt(lists)))


def search(session: Session, table: Table, requests: Sequence[Request], sizes: Sizes[Way]) -> list[Ranking]:
    """See `VectorBackend.search`; under `index_settings` if the index may serve.

    Args:
        session: Where to search.
        table: What to search.
        requests: What for; they differ in the query alone. They are sent together, as many as their rows fit memory.
        sizes: What is known of the number of rows that match.
    """
    _, k, where, exact, _ = requests[0]
    if exact is True or not _index_sql.serves(table):
        find = _exactly
    elif exact is False and where is None:
        find = _by_index
    else:
        find = partial(_unfiltered if where is None else _filtered, sizes=sizes)
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
        _search_sql.index(
            table, each.query, each.where, each.k, _candidates(table, each), embeddings=each.include_embeddings
        )
        for each in requests
    ]
    taken = session.each(statements, lambda at, rows: _indexed(table, requests[at], rows))
    return _finished(session, table, requests, taken)


def _among_nearest(session: Session, table: Table, requests: Sequence[Request], *, otherwise: Way) -> list[Ranking]:
    """Ask the index for the nearest rows, whatever they hold; if too few of them match, find those in another way."""

    def take(at: int, rows: list[Row]) -> Ranking | None:
        if not rows or Found._make(rows[0]).total < _wanted(table, requests[at]):
            return None
        return _scored(table, rows)

    statements = [
        _search_sql.among_nearest(
            table, each.query, each.where, each.k, _looked_at(each.k), embeddings=each.include_embeddings
        )
        for each in requests
    ]
    return _completed(session, table, requests, session.each(statements, take), otherwise)


def _unfiltered(session: Session, table: Table, requests: Sequence[Request], *, sizes: Sizes[Way]) -> list[Ranking]:
    """Compare with all rows if they are few enough, else ask the index; mostly it is known which."""
    known = not session.joins  # what the caller's transaction sees may be rolled back
    key = key_of(table, None, requests[0].k, None)
    if known and sizes.way(key):
        return _by_index(session, table, requests)
    changes = sizes.changes

    def take(at: int, rows: list[Row]) -> Ranking | _TooFew | _Tied:
        few, rows = _told(rows)
        if few:
            return _compared(table, requests[at], _found(rows))
        if known:
            sizes.note(key, _by_index, changes)
        return _indexed(table, requests[at], rows)

    statements = [
        _search_sql.exact_or_index(
            table,
            each.query,
            _limit(each.k),
            each.k,
            _candidates(table, each),
            embeddings=each.include_embeddings,
        )
        for each in requests
    ]
    return _finished(session, table, requests, session.each(statements, take))


def _filtered(session: Session, table: Table, requests: Sequence[Request], *, sizes: Sizes[Way]) -> list[Ranking]:
    """Compare with the rows that match if they are few enough, else find the answers in the quickest way."""
    known = not session.joins  # what the caller's transaction sees may be rolled back
    key = key_of(table, requests[0].where, requests[0].k, requests[0].exact)
    if known and (way := sizes.way(key)):
        return way(session, table, requests)
    changes = sizes.changes

    def take(at: int, rows: list[Row]) -> Ranking | _TooFew | _Tied | None:
        found = _found(rows)
        few = not found or found[0].total <= EXACT_LIMIT
        return _compared(table, requests[at], found) if few else None

    def otherwise(session: Session, table: Table, some: Sequence[Request]) -> list[Ranking]:
        way = _quickest(session, table, some[0])
        if known:
            sizes.note(key, way, changes)
        return way(session, table, some)

    if requests[0].exact is False:
        return otherwise(session, table, requests)
    statements = [_search_sql.exact_if_few(table, each.query, each.where, _limit(each.k)) for each in requests]
    return _completed(session, table, requests, session.each(statements, take), otherwise)


def _quickest(session: Session, table: Table, request: Request) -> Way:
    """How to find the nearest of many rows that match, by how many of them PostgreSQL expects.

    Where an index of the metadata finds the m of n rows that match, comparing them takes m times as long as one row
    takes. The index of the vectors looks at n / m rows for each candidate, each of which takes ten times as long
    (50,000 x 384: 1.7 and 17 µs): PostgreSQL's own estimate leaves most of that out. If the nearest rows of all are
    expected to hold enough that match, it is asked for those; if they do not after all, that was for nothing.
    """
    expected, total = session.each(
        [_search_sql.expected(table, request.where), _search_sql.size(table)], lambda _, rows: rows[0][0]
    )
    node = expected[0]["Plan"]
    parts = node["Plans"] if node["Node Type"] == "Append" else [node]  # of a partitioned table
    served = all(part["Node Type"] in {"Bitmap Heap Scan", "Index Scan", "Index Only Scan"} for part in parts)
    matching = max(1 if request.exact is False else EXACT_LIMIT, int(node["Plan Rows"]))
    share = matching / max(total, matching)
    way, price = _by_index, _PRICE * _candidates(table, request) / share
    if served and matching <= price:
        way, price = _exactly, matching
    if table.layout.partitions:  # what is among the nearest could not be found again by where it is
        return way
    looked_at = _looked_at(request.k)
    enough = looked_at * share / _wanted(table, request)
    if enough >= 1 and price > _PRICE * looked_at * (1 if enough >= _SURELY else _UNSURE):
        return partial(_among_nearest, otherwise=way)
    return way


class _TooFew(NamedTuple):
    """The index reaches too few records (6.1): all must be compared."""


class _Tied(NamedTuple):
    """Rows that were not fetched may be as near as the last one: those up to a key must be looked at too."""

    rows: list[Found]
    largest: float


def _indexed(table: Table, request: Request, rows: list[Row]) -> Ranking | _TooFew:
    """The answer from what the index gave, if that is enough."""
    if rows and (Found._make(rows[0]).total or len(rows)) == _candidates(table, request):
        return _scored(table, rows)
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


def _completed(
    session: Session,
    table: Table,
    requests: Sequence[Request],
    taken: Sequence[Ranking | _TooFew | _Tied | None],
    otherwise: "Way",
) -> list[Ranking]:
    """The answers, those that are still lacking found in another way."""
    lacking = [at for at, each in enumerate(taken) if each is None]
    found = iter(otherwise(session, table, [requests[at] for at in lacking]) if lacking else ())
    return _finished(session, table, requests, [next(found) if each is None else each for each in taken])


def _limit(k: int) -> int:
    """How many rows are fetched where all are compared."""
    return k + _MARGIN + k // 16


def _found(rows: list[Row]) -> list[Found]:
    return [Found._make(row) for row in rows]


def _told(rows: list[Row]) -> tuple[bool, list[Row]]:
    """Whether few rows match, as the row without an id says, and the others."""
    return any(few for id, *_, few in rows if not id), [row for row in rows if row[0]]


def _looked_at(k: int) -> int:
    """How many of the nearest rows an HNSW index is asked to keep in sight by default."""
    return min(max(_EF_SEARCH, 8 * k), MAX_EF_SEARCH)


def _wanted(table: Table, request: Request) -> int:
    """How many of the nearest rows must match for the first k of these to be the answer.

    The last of the rows that an index gives are less surely the nearest than the first: where the hits lie within the
    first half, recall@10 is 0.99 or more (50,000 x 384, `Collection.recall`; within the first two thirds 0.98). The
    order of an index of signs is too coarse for that.
    """
    return MAX_EF_SEARCH + 1 if _index_sql.representation(table.spec) == "binary" else 2 * request.k


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


def _scored(table: Table, rows: list[Row]) -> Ranking:
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
        for id, document, metadata, embedding, distance, _ in sorted(rows, key=_KEY_AND_ID)
    ]
    return Ranking(hits, exact=False)


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
