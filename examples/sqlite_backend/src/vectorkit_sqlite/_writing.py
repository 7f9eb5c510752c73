"""Adding, replacing, changing and deleting records, each call within one transaction."""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from vectorkit.filters import Filter
from vectorkit.types import Batch, Metadata, Patch
from vectorkit.validation import already_stored, not_stored
from vectorkit_sqlite._codec import dump_json, dump_vector, load_json
from vectorkit_sqlite._errors import translated
from vectorkit_sqlite._filters import condition

__all__ = ["add", "delete", "stage", "update", "upsert"]

_COLUMNS = "id, document, metadata, embedding"


def stage(connection: sqlite3.Connection, batches: Iterable[Batch]) -> None:
    """Read the batches into a temporary table, which is the connection's own and locks nothing.

    They come from an iterable of the caller's, which may take its time, use the store itself, or fail. So the lock
    that a writer needs is not taken before the last of them is here, and memory holds no more than one.
    """
    with translated():
        connection.execute("CREATE TEMP TABLE incoming (id TEXT, document TEXT, metadata TEXT, embedding BLOB)")
    for batch in batches:  # what the caller's iterable raises is the caller's, and passes as it is
        metadatas, embeddings = map(dump_json, batch.metadatas), map(dump_vector, batch.embeddings)
        with translated():
            connection.executemany(
                f"INSERT INTO incoming ({_COLUMNS}) VALUES (?, ?, ?, ?)",
                zip(batch.ids, batch.documents, metadatas, embeddings, strict=True),
            )


def add(connection: sqlite3.Connection, number: int) -> None:
    """Write what was staged; see `VectorBackend.add`."""
    taken = connection.execute(
        "SELECT id FROM incoming WHERE EXISTS "
        "(SELECT 1 FROM vectorkit_records AS stored WHERE collection = ? AND stored.id = incoming.id)",
        [number],
    )
    if ids := [id for (id,) in taken]:
        raise already_stored(ids)
    upsert(connection, number)


def upsert(connection: sqlite3.Connection, number: int) -> None:
    """Write what was staged; see `VectorBackend.upsert`."""
    connection.execute(
        f"INSERT OR REPLACE INTO vectorkit_records (collection, {_COLUMNS}) SELECT ?, {_COLUMNS} FROM incoming",
        [number],
    )
    connection.execute("DROP TABLE incoming")


def update(connection: sqlite3.Connection, number: int, patches: Sequence[Patch]) -> None:
    """See `VectorBackend.update`."""
    ids = [id for patch in patches for id in patch.ids]
    matching, parameters = condition(connection, number, ids=ids)
    rows = connection.execute(f"SELECT id, metadata FROM vectorkit_records WHERE {matching}", parameters)
    stored: dict[str, str] = dict(rows.fetchall())
    if missing := [id for id in ids if id not in stored]:
        raise not_stored(missing)
    for patch in patches:
        columns: dict[str, list[Any]] = {}
        if patch.documents is not None:
            columns["document"] = list(patch.documents)
        if patch.embeddings is not None:
            columns["embedding"] = [dump_vector(vector) for vector in patch.embeddings]
        if patch.metadatas is not None:
            old = [load_json(stored[id]) if patch.merge else Metadata() for id in patch.ids]
            columns["metadata"] = [dump_json({**a, **b}) for a, b in zip(old, patch.metadatas, strict=True)]
        if columns:
            changes = ", ".join(f"{name} = ?" for name in columns)
            connection.executemany(
                f"UPDATE vectorkit_records SET {changes} WHERE collection = ? AND id = ?",
                zip(*columns.values(), repeat(number), patch.ids, strict=False),
            )


def delete(connection: sqlite3.Connection, number: int, ids: Sequence[str] | None, where: Filter | None) -> int:
    """See `VectorBackend.delete`."""
    matching, parameters = condition(connection, number, ids=ids, where=where)
    return connection.execute(f"DELETE FROM vectorkit_records WHERE {matching}", parameters).rowcount
