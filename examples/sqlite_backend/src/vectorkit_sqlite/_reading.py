"""Records by id, by filter, and page by page."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from vectorkit.filters import Filter
from vectorkit.types import Record
from vectorkit_sqlite._codec import load_json, load_vectors
from vectorkit_sqlite._filters import condition

__all__ = ["by_ids", "count", "page"]


def page(
    connection: sqlite3.Connection,
    number: int,
    *,
    where: Filter | None,
    after: str | None = None,
    limit: int | None,
    offset: int = 0,
    include_embeddings: bool,
) -> list[Record]:
    """At most `limit` records in ascending order of id, those that follow `after` if that is given."""
    matching, parameters = condition(connection, number, where=where, after=after)
    rows = connection.execute(
        f"{_select(include_embeddings)} WHERE {matching} ORDER BY id LIMIT ? OFFSET ?",
        [*parameters, -1 if limit is None else limit, offset],
    )
    return [_record(row) for row in rows]


def by_ids(
    connection: sqlite3.Connection,
    number: int,
    ids: Sequence[str],
    *,
    where: Filter | None = None,
    include_embeddings: bool,
) -> list[Record]:
    """Those of the records that are stored and match, in the order of `ids`."""
    matching, parameters = condition(connection, number, ids=ids, where=where)
    rows = connection.execute(f"{_select(include_embeddings)} WHERE {matching}", parameters)
    found = {record.id: record for record in map(_record, rows)}
    return [found[id] for id in ids if id in found]


def count(connection: sqlite3.Connection, number: int, where: Filter | None) -> int:
    """See `VectorBackend.count`."""
    matching, parameters = condition(connection, number, where=where)
    ((found,),) = connection.execute(f"SELECT count(*) FROM vectorkit_records WHERE {matching}", parameters)
    return int(found)


def _select(include_embeddings: bool) -> str:
    return f"SELECT id, document, metadata, {'embedding' if include_embeddings else 'NULL'} FROM vectorkit_records"


def _record(row: tuple[Any, ...]) -> Record:
    id, document, metadata, embedding = row
    vector = None if embedding is None else load_vectors([embedding], len(embedding) // 4)[0]
    return Record(id, document, vector, load_json(metadata))
