"""Text and hybrid search (rules 7.2 to 7.4): BM25 is summed by the server, vectors are scored as in `_search`."""

from collections.abc import Sequence
from typing import Any, Final

from vectorkit.filters import Filter
from vectorkit.ranking import measure
from vectorkit.types import Candidate, Hit
from vectorkit_pgvector import _search, _text_sql
from vectorkit_pgvector._codec import load_metadata, load_vector, load_vectors
from vectorkit_pgvector._search import Request
from vectorkit_pgvector._search_sql import Found
from vectorkit_pgvector._sessions import Session
from vectorkit_pgvector._sql import Table
from vectorkit_pgvector._text_sql import TextTables

__all__ = ["search_hybrid", "search_text"]

_AT_ONCE: Final = 5000
"""Rows of several queries that are fetched together: bounds memory."""


def search_text(
    session: Session,
    table: Table,
    tables: TextTables,
    queries: Sequence[Sequence[str]],
    k: int,
    *,
    where: Filter | None,
    include_embeddings: bool,
) -> list[list[Hit]]:
    """See `TextSearchBackend.search_text`."""
    found: list[list[Hit]] = []
    size = max(1, _AT_ONCE // k)
    for start in range(0, len(queries), size):
        some = queries[start : start + size]
        statements = [_text_sql.search(table, tables, words, k, where, include_embeddings) for words in some]
        found += [[_hit(row) for row in rows] for rows in session.each(statements)]
    return found


def search_hybrid(
    session: Session, table: Table, tables: TextTables, requests: Sequence[Request], queries: Sequence[Sequence[str]]
) -> list[list[Candidate]]:
    """See `TextSearchBackend.search_hybrid`; one statement a query, all in one round trip.

    Args:
        session: Where to search, under `_search.index_settings`.
        table: What to search.
        tables: The text index.
        requests: The vectors' sides, of `fetch_k` each; they differ in the query alone.
        queries: The words of each.
    """
    found: list[list[Candidate]] = []
    pairs = list(zip(requests, queries, strict=True))
    size = max(1, _AT_ONCE // (2 * requests[0].k))
    for start in range(0, len(pairs), size):
        some = pairs[start : start + size]
        statements = [
            _text_sql.hybrid(table, tables, _search.first(table, request), words, request.k, request.where)
            for request, words in some
        ]
        for (request, words), rows in zip(some, session.each(statements), strict=True):
            found.append(_candidates(session, table, tables, request, words, rows))
    return found


def _candidates(
    session: Session,
    table: Table,
    tables: TextTables,
    request: Request,
    words: Sequence[str],
    rows: list[tuple[Any, ...]],
) -> list[Candidate]:
    near = [row for row in rows if row[-1] is None]
    best = [row for row in rows if row[-1] is not None]
    scores: dict[str, float] = {row[0]: row[-2] for row in rows}
    places: dict[str, int] = {row[0]: row[-1] for row in best}
    ranking = _search.answer(session, table, request, [Found._make(row[:-2]) for row in near])
    if unknown := [hit.id for hit in ranking.hits if hit.id not in scores]:  # it took more than one statement
        scores |= {**dict.fromkeys(unknown, 0.0), **dict(session.rows(_text_sql.scores(table, tables, words, unknown)))}
    nearest = [
        Candidate(hit, scores[hit.id], rank, places.get(hit.id)) for rank, hit in enumerate(ranking.hits, start=1)
    ]
    return nearest + _others(table, request, best, {hit.id for hit in ranking.hits})


def _others(table: Table, request: Request, best: list[tuple[Any, ...]], nearest: set[str]) -> list[Candidate]:
    """The candidates that only the text ranking found."""
    rows = [row for row in best if row[0] not in nearest]
    vectors = load_vectors([row[3] for row in rows], table.spec.dimension)
    distances, near = measure(table.spec.metric, request.query, vectors)
    found: list[Candidate] = []
    for row, score, distance in zip(rows, near.tolist(), distances.tolist(), strict=True):
        id, document, metadata, embedding, _, _, text_score, place = row
        vector = load_vector(embedding) if request.include_embeddings else None
        found.append(
            Candidate(Hit(id, score, distance, document, load_metadata(metadata), vector), text_score, None, place)
        )
    return found


def _hit(row: tuple[Any, ...]) -> Hit:
    id, document, metadata, embedding, score = row
    vector = None if embedding is None else load_vector(embedding)
    return Hit(id, score, None, document, load_metadata(metadata), vector)
