"""Search (section 6 of the contract): which way to find the answers, by how many records match."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from vectorkit.indexes import Index, IVFFlat
from vectorkit.ranking import EXACT_LIMIT
from vectorkit.types import Ranking
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.search import answers
from vectorkit_pgvector.search.answers import IndexExhausted, Request, Row, TieAtCutoff
from vectorkit_pgvector.search.plan_cache import PlanCache, plan_key
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql import search as search_sql
from vectorkit_pgvector.sql.search import ComparedRow, ScoredRow
from vectorkit_pgvector.sql.tables import Table

__all__ = ["SearchPlan", "index_settings", "search"]

SearchPlan: TypeAlias = Callable[[Session, Table, Sequence[Request]], list[Ranking]]
"""A way to find the answers."""

_PRICE: Final = 10
"""What a row that the index of the vectors looks at costs, in rows that are found by their metadata and compared."""
_SURELY: Final = 1.25
"""So many times the rows that are needed must be expected to match to be sure of them; their number varies."""
_UNSURE: Final = 3
"""How many times as long the other way must take for it to be worth trying when one is not."""
_ROWS_AT_ONCE: Final = 5000
"""Rows of several queries that are fetched together: bounds memory."""


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
    ef_search = effort or (index and index.ef_search) or answers.looked_at(k)
    return {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(ef_search)}


def default_probes(lists: int) -> int:
    """How many lists of an IVFFlat index a search looks at.

    pgvector's README begins with the square root; of embeddings of real text (16,000, MiniLM) that finds 0.89 of the
    nearest ten, and four times as many 0.99.
    """
    return min(lists, math.ceil(4 * math.sqrt(lists)))


def search(session: Session, table: Table, requests: Sequence[Request], plans: PlanCache[SearchPlan]) -> list[Ranking]:
    """See `VectorBackend.search`; under `index_settings` if the index may serve.

    Args:
        session: Where to search.
        table: What to search.
        requests: What for; they differ in the query alone. They are sent together, as many as their rows fit memory.
        plans: What is known of the number of rows that match.
    """
    _, k, where, exact, _ = requests[0]
    if exact is True or not index_sql.serves(table):
        find = _exactly
    elif exact is False and where is None:
        find = _by_index
    else:
        find = partial(_unfiltered if where is None else _filtered, plans=plans)
    size = max(1, _ROWS_AT_ONCE // answers.limit(k))
    parts = (requests[start : start + size] for start in range(0, len(requests), size))
    return [ranking for part in parts for ranking in find(session, table, part)]


def _exactly(session: Session, table: Table, requests: Sequence[Request]) -> list[Ranking]:
    """Compare with every row that matches."""
    statements = [search_sql.exact(table, each.query, each.where, answers.limit(each.k)) for each in requests]
    taken = session.each(statements, lambda at, rows: answers.compared(table, requests[at], rows))
    return _finished(session, table, requests, taken)


def _by_index(session: Session, table: Table, requests: Sequence[Request]) -> list[Ranking]:
    """Ask the index; where it reaches too few rows, compare with all."""
    statements = [
        search_sql.index(
            table, each.query, each.where, each.k, answers.candidates(table, each), embeddings=each.include_embeddings
        )
        for each in requests
    ]
    taken = session.each(statements, lambda at, rows: answers.indexed(table, requests[at], rows))
    return _finished(session, table, requests, taken)


def _among_nearest(
    session: Session, table: Table, requests: Sequence[Request], *, otherwise: SearchPlan
) -> list[Ranking]:
    """Ask the index for the nearest rows, whatever they hold; if too few of them match, find those in another way."""

    def take(at: int, rows: list[Row]) -> Ranking | None:
        if not rows or ScoredRow._make(rows[0]).total < answers.wanted(table, requests[at]):
            return None
        return answers.scored(table, rows)

    statements = [
        search_sql.among_nearest(
            table, each.query, each.where, each.k, answers.looked_at(each.k), embeddings=each.include_embeddings
        )
        for each in requests
    ]
    return _completed(session, table, requests, session.each(statements, take), otherwise)


def _unfiltered(
    session: Session, table: Table, requests: Sequence[Request], *, plans: PlanCache[SearchPlan]
) -> list[Ranking]:
    """Compare with all rows if they are few enough, else ask the index; mostly it is known which."""
    known = not session.joins  # what the caller's transaction sees may be rolled back
    key = plan_key(table, None, requests[0].k, None)
    if known and plans.get(key):
        return _by_index(session, table, requests)
    changes = plans.changes

    def take(at: int, rows: list[Row]) -> Ranking | IndexExhausted | TieAtCutoff:
        few, rows = _split_by_id(rows)
        if few:
            return answers.compared(table, requests[at], rows)
        if known:
            plans.note(key, _by_index, changes)
        return answers.indexed(table, requests[at], rows)

    statements = [
        search_sql.exact_or_index(
            table,
            each.query,
            answers.limit(each.k),
            each.k,
            answers.candidates(table, each),
            embeddings=each.include_embeddings,
        )
        for each in requests
    ]
    return _finished(session, table, requests, session.each(statements, take))


def _filtered(
    session: Session, table: Table, requests: Sequence[Request], *, plans: PlanCache[SearchPlan]
) -> list[Ranking]:
    """Compare with the rows that match if they are few enough, else find the answers in the quickest way."""
    known = not session.joins  # what the caller's transaction sees may be rolled back
    key = plan_key(table, requests[0].where, requests[0].k, requests[0].exact)
    if known and (plan := plans.get(key)):
        return plan(session, table, requests)
    changes = plans.changes

    def take(at: int, rows: list[Row]) -> Ranking | IndexExhausted | TieAtCutoff | None:
        few = not rows or ComparedRow._make(rows[0]).total <= EXACT_LIMIT
        return answers.compared(table, requests[at], rows) if few else None

    def otherwise(session: Session, table: Table, some: Sequence[Request]) -> list[Ranking]:
        plan = _quickest(session, table, some[0])
        if known:
            plans.note(key, plan, changes)
        return plan(session, table, some)

    if requests[0].exact is False:
        return otherwise(session, table, requests)
    statements = [search_sql.exact_if_few(table, each.query, each.where, answers.limit(each.k)) for each in requests]
    return _completed(session, table, requests, session.each(statements, take), otherwise)


def _quickest(session: Session, table: Table, request: Request) -> SearchPlan:
    """How to find the nearest of many rows that match, by how many of them PostgreSQL expects.

    Where an index of the metadata finds the m of n rows that match, comparing them takes m times as long as one row
    takes. The index of the vectors looks at n / m rows for each candidate, each of which takes ten times as long
    (50,000 x 384: 1.7 and 17 µs): PostgreSQL's own estimate leaves most of that out. If the nearest rows of all are
    expected to hold enough that match, it is asked for those; if they do not after all, that was for nothing.
    """
    expected, total = session.each(
        [search_sql.expected(table, request.where), search_sql.size(table)], lambda _, rows: rows[0][0]
    )
    node = expected[0]["Plan"]
    parts = node["Plans"] if node["Node Type"] == "Append" else [node]  # of a partitioned table
    served = all(part["Node Type"] in {"Bitmap Heap Scan", "Index Scan", "Index Only Scan"} for part in parts)
    matching = max(1 if request.exact is False else EXACT_LIMIT, int(node["Plan Rows"]))
    share = matching / max(total, matching)
    plan, price = _by_index, _PRICE * answers.candidates(table, request) / share
    if served and matching <= price:
        plan, price = _exactly, matching
    if table.layout.partitions:  # what is among the nearest could not be found again by where it is
        return plan
    looked_at = answers.looked_at(request.k)
    enough = looked_at * share / answers.wanted(table, request)
    if enough >= 1 and price > _PRICE * looked_at * (1 if enough >= _SURELY else _UNSURE):
        return partial(_among_nearest, otherwise=plan)
    return plan


def _finished(
    session: Session, table: Table, requests: Sequence[Request], taken: Sequence[Ranking | IndexExhausted | TieAtCutoff]
) -> list[Ranking]:
    """The answers, with what it takes further statements to find."""
    rankings: list[Ranking] = []
    for request, each in zip(requests, taken, strict=True):
        if isinstance(each, IndexExhausted):
            rankings += _exactly(session, table, [request])
        elif isinstance(each, TieAtCutoff):
            rankings.append(answers.resolved(session, table, request, each))
        else:
            rankings.append(each)
    return rankings


def _completed(
    session: Session,
    table: Table,
    requests: Sequence[Request],
    taken: Sequence[Ranking | IndexExhausted | TieAtCutoff | None],
    otherwise: SearchPlan,
) -> list[Ranking]:
    """The answers, those that are still lacking found in another way."""
    lacking = [at for at, each in enumerate(taken) if each is None]
    found = iter(otherwise(session, table, [requests[at] for at in lacking]) if lacking else ())
    return _finished(session, table, requests, [next(found) if each is None else each for each in taken])


def _split_by_id(rows: list[Row]) -> tuple[bool, list[Row]]:
    """Whether few rows match, as the row without an id says, and the others."""
    return any(few for id, *_, few in rows if not id), [row for row in rows if row[0]]
