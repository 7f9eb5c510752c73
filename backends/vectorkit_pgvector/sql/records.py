"""The SQL of records: reading them by id and in order, and writing them."""

from collections.abc import Sequence
from typing import Any

from vectorkit.filters import Filter
from vectorkit.types import Batch, Patch
from vectorkit_pgvector.sql.codec import Binary, jsonb_array, text_array, vector_array
from vectorkit_pgvector.sql.filters import condition
from vectorkit_pgvector.sql.quoting import quote
from vectorkit_pgvector.sql.tables import Statement, Table

__all__ = [
    "analyze",
    "copy_in",
    "count",
    "delete",
    "lock_rows",
    "page",
    "select_by_ids",
    "taken",
    "unanalyzed",
    "update",
    "upsert",
]


# --- reading ----------------------------------------------------------------------------------------------------


def _columns(table: Table, include_embeddings: bool) -> str:
    """What a record is made of: id, document, metadata as text, and the embedding or NULL."""
    return f"id, document, metadata::text, {table.sent_embedding if include_embeddings else 'NULL'}"


def select_by_ids(
    table: Table, ids: Sequence[str], where: Filter | None, limit: int | None, offset: int, include_embeddings: bool
) -> Statement:
    """Records of given ids, in the order of the ids. No metadata key, so no typed column, begins with `_vk`."""
    parameters: list[Any] = [text_array(ids)]
    few = "" if table.adopted is None else f"{_with_ids(table, ids, parameters)} AND "
    return Statement(
        f"SELECT {_columns(table, include_embeddings)} "
        "FROM unnest($1::text[]) WITH ORDINALITY AS wanted(id, _vk_place) "
        f"JOIN {table.rows} USING (id) WHERE {few}{condition(where, parameters, table.columns)}{_named(table)} "
        "ORDER BY _vk_place"
        f"{_cut(limit, offset)}",
        parameters,
        prepare=False,
    )


def page(
    table: Table,
    where: Filter | None,
    *,
    after: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    include_embeddings: bool = False,
) -> Statement:
    """Records in the order of their ids, those after a given one."""
    parameters: list[Any] = [] if after is None else [after]
    start = "true" if after is None else "id > $1::text"
    return Statement(
        f"SELECT {_columns(table, include_embeddings)} FROM {table.rows} "
        f"WHERE {start} AND {condition(where, parameters, table.columns)} ORDER BY id{_cut(limit, offset)}",
        parameters,
        prepare=None if where is None else False,
    )


def count(table: Table, where: Filter | None) -> Statement:
    """The number of records."""
    parameters: list[Any] = []
    matching = condition(where, parameters, table.columns)
    return Statement(f"SELECT count(*) FROM {table.rows} WHERE {matching}", parameters, False)


def unanalyzed(table: Table) -> Statement:
    """One row if nobody has told the planner of the table's size yet, and none otherwise."""
    return Statement("SELECT FROM pg_catalog.pg_class WHERE oid = $1::regclass AND reltuples < 0", [table.name])


def analyze(table: Table) -> Statement:
    """Tell the planner of the table's size, and of what filters will find."""
    columns = ", ".join(("id", "metadata", *(column.name for column in table.columns.values())))
    return Statement(f"ANALYZE (SKIP_LOCKED) {table.name} ({columns})")


def taken(table: Table, ids: Sequence[str]) -> Statement:
    """How many of the ids are stored, and the first ten of those."""
    parameters: list[Any] = []
    named = _with_ids(table, ids, parameters)
    return Statement(
        f"SELECT id, count(*) OVER () FROM {table.rows} WHERE {named} ORDER BY id LIMIT 10", parameters, prepare=False
    )


def _with_ids(table: Table, ids: Sequence[str], parameters: list[Any]) -> str:
    """The condition that a row has one of the ids."""
    if table.adopted is None:
        parameters.append(text_array(ids))
        return f"id = ANY (${len(parameters)}::text[])"
    parameters.append(text_array(table.adopted.keys(ids)))
    return f"_vk_key = ANY (${len(parameters)}::text[]::{table.adopted.id.type}[])"


def _named(table: Table) -> str:
    """For a statement that joins `stored` with the ids `$1`: what another server must be told to send only those rows.

    It is sent the conditions on the table's own columns, not joins; and would lock what it sends, too.
    """
    return "" if table.layout.unique else " AND stored.id = ANY ($1::text[])"


def _cut(limit: int | None, offset: int) -> str:
    return (f" LIMIT {limit}" if limit is not None else "") + (f" OFFSET {offset}" if offset else "")


# --- writing ----------------------------------------------------------------------------------------------------


def copy_in(table: Table) -> str:
    """The statement that takes new rows as `vectorkit_pgvector.sql.codec.copy_rows` packs them."""
    return f"COPY {table.name} (id, document, metadata, embedding) FROM STDIN (FORMAT BINARY)"


def upsert(table: Table, rows: Batch) -> Statement:
    """Insert rows, or replace those of the same ids as a whole.

    Where no index keeps ids unique, PostgreSQL has no conflict to act on; the old rows must be gone then.
    """
    replacing = (
        " ON CONFLICT (id) DO UPDATE SET "
        "document = excluded.document, metadata = excluded.metadata, embedding = excluded.embedding"
    )
    return Statement(
        f"INSERT INTO {table.name} (id, document, metadata, embedding) "
        f"SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::{table.vector}[])"
        + (replacing if table.layout.unique else ""),
        [
            text_array(rows.ids),
            text_array(rows.documents),
            jsonb_array(rows.metadatas),
            vector_array(rows.embeddings, table.facts.oid),
        ],
    )


def lock_rows(table: Table, ids: Sequence[str]) -> Statement:
    """Lock rows in the order of their ids, as every writer here does, so that two of them cannot deadlock."""
    parameters: list[Any] = []
    named = _with_ids(table, ids, parameters)
    return Statement(f"SELECT id FROM {table.rows} WHERE {named} ORDER BY id FOR UPDATE", parameters, False)


def update(table: Table, patch: Patch) -> Statement:
    """Change the columns that a patch holds."""
    columns: dict[str, tuple[str, Binary]] = {}
    if patch.documents is not None:
        columns["document"] = "text[]", text_array(patch.documents)
    if patch.metadatas is not None:
        columns["metadata"] = "jsonb[]", jsonb_array(patch.metadatas)
    if patch.embeddings is not None:
        columns["embedding"] = f"{table.vector}[]", vector_array(patch.embeddings, table.facts.oid)
    arrays = ", ".join(f"${number}::{kind}" for number, (kind, _) in enumerate(columns.values(), start=2))
    changes = ", ".join(f"{column} = {_new_value(column, patch.merge)}" for column in columns)
    return Statement(
        f"UPDATE {table.name} AS stored SET {changes} "
        f"FROM unnest($1::text[], {arrays}) AS new(id, {', '.join(columns)}) "
        f"WHERE stored.id = new.id{_named(table)}",
        [text_array(patch.ids), *(value for _, value in columns.values())],
        prepare=False,
    )


def _new_value(column: str, merge: bool) -> str:
    return "stored.metadata || new.metadata" if merge and column == "metadata" else f"new.{column}"


def delete(table: Table, ids: Sequence[str] | None, where: Filter | None) -> Statement:
    """Delete records, and return their ids, but those of an application's table."""
    parameters: list[Any] = []
    named = "true" if ids is None else _with_ids(table, ids, parameters)
    matching = f"{named} AND {condition(where, parameters, table.columns)}"
    returned = " RETURNING id"
    if table.adopted is not None:
        matching = f"{quote(table.adopted.id.name)} IN (SELECT _vk_key FROM {table.rows} WHERE {matching})"
        returned = ""
    return Statement(f"DELETE FROM {table.name} WHERE {matching}{returned}", parameters, prepare=False)
