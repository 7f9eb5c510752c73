"""Records by id, by filter, and as a stream."""

from contextlib import closing
from typing import Any

from vectorkit.backend.requests import Read, Scan
from vectorkit.filters import Filter
from vectorkit.types import Record
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import records as record_sql
from vectorkit_pgvector.sql.codec import load_metadata, load_vector
from vectorkit_pgvector.sql.tables import Table

__all__ = ["count", "get", "page"]


def get(session: Session, table: Table, request: Read) -> list[Record]:
    """See `VectorBackend.get`."""
    if request.ids is None:
        statement = record_sql.page(
            table,
            request.where,
            limit=request.limit,
            offset=request.offset,
            include_embeddings=request.include_embeddings,
        )
    else:
        statement = record_sql.select_by_ids(
            table, request.ids, request.where, request.limit, request.offset, request.include_embeddings
        )
    return [_record(row) for row in session.rows(statement)]


def page(session: Session, table: Table, request: Scan) -> list[Record]:
    """The first page of a scan; its records are made here while the server still sends others."""
    statement = record_sql.page(
        table,
        request.where,
        after=request.after,
        limit=request.batch_size,
        include_embeddings=request.include_embeddings,
    )
    with closing(session.stream(statement)) as rows:
        return [_record(row) for row in rows]


def count(session: Session, table: Table, where: Filter | None) -> int:
    """See `VectorBackend.count`."""
    ((number,),) = session.rows(record_sql.count(table, where))
    return int(number)


def _record(row: tuple[Any, ...]) -> Record:
    id, document, metadata, embedding = row
    return Record(id, document, None if embedding is None else load_vector(embedding), load_metadata(metadata))
