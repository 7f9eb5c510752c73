"""Text and hybrid search (rules 7.2 to 7.4): BM25 is summed by the server, vectors are scored here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np

from vectorkit.backend.requests import TextSearch
from vectorkit.ranking import measure, rank
from vectorkit.types import Candidate, Hit
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.search import vectors as vector_search
from vectorkit_pgvector.search.answers import Request
from vectorkit_pgvector.search.plan_cache import PlanCache
from vectorkit_pgvector.sql import text as text_sql
from vectorkit_pgvector.sql.codec import load_metadata, load_vector, load_vectors
from vectorkit_pgvector.sql.tables import Statement, Table
from vectorkit_pgvector.sql.text import TextTables

__all__ = ["search_hybrid", "search_text"]

T = TypeVar("T")

_AT_ONCE: Final = 5000
"""Rows of several queries that are fetched together: bounds memory."""


def search_text(session: Session, table: Table, tables: TextTables, request: TextSearch) -> list[list[Hit]]:
    """See `VectorBackend.search_text`."""
    found: list[list[Hit]] = []
    size = max(1, _AT_ONCE // request.k)
    for start in range(0, len(request.queries), size):
        statements = [
            text_sql.search(table, tables, words, request.k, request.where, request.include_embeddings)
            for words in request.queries[start : start + size]
        ]
        found += session.each(statements, lambda _, rows: [_hit(row) for row in rows])
    return found


def search_hybrid(
    session: Session,
    table: Table,
    tables: TextTables,
    requests: Sequence[Request],
    queries: Sequence[Sequence[str]],
    plans: PlanCache[vector_search.SearchPlan],
) -> list[list[Candidate]]:
    """See `VectorBackend.search_hybrid`; most often one statement a query.

    Args:
        session: Where to search, under `vector_search.index_settings`.
        table: What to search.
        tables: The text index.
        requests: The vectors' sides, of `fetch_k` each.
        queries: The words of each.
        plans: See `vector_search.search`.
    """
    found: list[list[Candidate]] = []
    for request, words in zip(requests, queries, strict=True):
        both = _BothSides(session, partial(text_sql.hybrid, table, tables, words, request.k, request.where))
        (ranking,) = vector_search.search(both, table, [request._replace(include_embeddings=True)], plans)
        hits = _scored_alike(table, request, ranking.hits)
        if unknown := [hit.id for hit in hits if hit.id not in both.scores]:  # it took further statements
            both.scores |= dict.fromkeys(unknown, 0.0)
            both.scores |= dict(session.rows(text_sql.scores(table, tables, words, unknown)))
        nearest = {hit.id for hit in hits}
        places: dict[str, int] = {row[0]: row[-1] for row in both.best}
        found.append(
            [Candidate(hit, both.scores[hit.id], at, places.get(hit.id)) for at, hit in enumerate(hits, 1)]
            + _others(table, request, [row for row in both.best if row[0] not in nearest])
        )
    return found


class _BothSides(Session):
    """A session on which the first statement of a vector search brings back the text side as well.

    Args:
        session: The session that it takes the place of.
        widened: Makes of a statement that finds rows by their vectors one that does both, `text_sql.hybrid`.
    """

    def __init__(self, session: Session, widened: Callable[[Statement], Statement]) -> None:
        super().__init__(session.connection, joins=session.joins)
        self._widened: Callable[[Statement], Statement] | None = widened
        self.scores: dict[str, float] = {}
        self.best: list[tuple[Any, ...]] = []

    def each(self, statements: Sequence[Statement], take: Callable[[int, list[tuple[Any, ...]]], T]) -> list[T]:
        if self._widened is None or len(statements) > 1:  # afterwards, or before: of how much there is to be expected
            return super().each(statements, take)
        (statement,) = statements
        rows = self.rows(self._widened(statement))
        self._widened = None
        self.scores = {row[0]: row[-2] for row in rows}
        self.best = [row for row in rows if row[-1] is not None]
        return [take(0, [row[:-2] for row in rows if row[-1] is None])]


def _scored_alike(table: Table, request: Request, hits: Sequence[Hit]) -> list[Hit]:
    """Hits, scored as those that only the text ranking finds: fusion makes 0 and 1 of the least difference (7.3)."""
    vectors = np.array([hit.embedding for hit in hits], dtype=np.float32).reshape(-1, table.spec.dimension)
    places = rank(table.spec.metric, request.query, [hit.id for hit in hits], vectors, len(hits))
    return [
        replace(
            hits[row],
            score=score,
            distance=distance,
            embedding=hits[row].embedding if request.include_embeddings else None,
        )
        for row, distance, score in places
    ]


def _others(table: Table, request: Request, rows: list[tuple[Any, ...]]) -> list[Candidate]:
    """The candidates that only the text ranking found."""
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
