"""The tables, and the collections in them; plain SQL can read both."""

import sqlite3
import time
from dataclasses import asdict
from typing import Any, Final

from vectorkit.errors import BackendError, CollectionExistsError, CollectionNotFoundError
from vectorkit.indexes import index_text, read_index
from vectorkit.types import CollectionInfo, CollectionSpec, EmbedderIdentity
from vectorkit_sqlite._codec import dump_json, load_json
from vectorkit_sqlite._sessions import PATIENCE

__all__ = ["all_collections", "create", "drop", "named", "number_of", "prepare"]

_LAYOUT: Final = 1
"""Of the tables; raised when an older release could no longer read them."""

# AUTOINCREMENT: no number is used twice, so that it can be the generation that tells a stale handle (rule 1.6).
_COLLECTIONS: Final = """
CREATE TABLE IF NOT EXISTS vectorkit_collections (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    metric TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    embedder TEXT,
    vector_index TEXT NOT NULL,
    language TEXT NOT NULL,
    layout INTEGER NOT NULL
)
"""

# Text is compared byte by byte, and UTF-8 has the order of its code points (rules 2.1 and 4.1). The vector stands last,
# where reading the other columns does not reach it: SQLite reads a row from its beginning.
_RECORDS: Final = """
CREATE TABLE IF NOT EXISTS vectorkit_records (
    collection INTEGER NOT NULL,
    id TEXT NOT NULL,
    document TEXT,
    metadata TEXT NOT NULL,
    embedding BLOB NOT NULL,
    PRIMARY KEY (collection, id)
)
"""

_SELECT: Final = (
    "SELECT number, name, metric, dimension, embedder, vector_index, language, layout FROM vectorkit_collections"
)


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, and set the mode that lets threads and processes read while one writes; both are for good."""
    if (mode := _set_mode(connection)) != "wal":
        raise BackendError(f"SQLite keeps its {mode} journal here, but WAL is needed; choose a path on a local disk")
    connection.execute(_COLLECTIONS)
    connection.execute(_RECORDS)


def _set_mode(connection: sqlite3.Connection) -> str:
    """Ask for WAL, again while other processes are making this file too: here SQLite does not wait by itself."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            ((mode,),) = connection.execute("PRAGMA journal_mode = WAL")
            return str(mode)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def create(connection: sqlite3.Connection, spec: CollectionSpec) -> CollectionInfo:
    """See `VectorBackend.create_collection`."""
    embedder = None if spec.embedder is None else dump_json(asdict(spec.embedder))
    done = connection.execute(
        "INSERT INTO vectorkit_collections (name, metric, dimension, embedder, vector_index, language, layout) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        [spec.name, spec.metric, spec.dimension, embedder, index_text(spec.index), spec.language, _LAYOUT],
    )
    if not done.rowcount:
        raise CollectionExistsError(f"collection {spec.name!r} exists; open it with get_collection")
    return named(connection, spec.name)


def named(connection: sqlite3.Connection, name: str) -> CollectionInfo:
    """See `VectorBackend.open_collection`."""
    row = connection.execute(f"{_SELECT} WHERE name = ?", [name]).fetchone()
    if row is None:
        raise CollectionNotFoundError(f"there is no collection {name!r}; create it with create_collection")
    return _info(row)


def all_collections(connection: sqlite3.Connection) -> list[CollectionInfo]:
    """See `VectorBackend.list_collections`."""
    return [_info(row) for row in connection.execute(f"{_SELECT} ORDER BY name")]


def drop(connection: sqlite3.Connection, name: str) -> None:
    """See `VectorBackend.drop_collection`."""
    number = named(connection, name).generation
    connection.execute("DELETE FROM vectorkit_records WHERE collection = ?", [number])
    connection.execute("DELETE FROM vectorkit_collections WHERE number = ?", [number])


def number_of(connection: sqlite3.Connection, collection: CollectionInfo) -> int:
    """The number under which the collection's records stand.

    Raises:
        CollectionNotFoundError: This very collection is gone (rule 1.6).
    """
    row = connection.execute(
        "SELECT number FROM vectorkit_collections WHERE name = ? AND number = ?",
        [collection.name, collection.generation],
    ).fetchone()
    if row is None:
        raise CollectionNotFoundError(
            f"collection {collection.name!r} was dropped since it was opened; open or create it again"
        )
    return int(row[0])


def _info(row: tuple[Any, ...]) -> CollectionInfo:
    number, name, metric, dimension, embedder, index, language, layout = row
    if layout != _LAYOUT:
        raise BackendError(
            f"collection {name!r} is stored in layout {layout}, this release of vectorkit-sqlite reads {_LAYOUT}; "
            "use the release that made it"
        )
    identity = None if embedder is None else EmbedderIdentity(**load_json(embedder))
    spec = CollectionSpec(name, metric, dimension, identity, read_index(index), language=language)
    return CollectionInfo(spec, generation=str(number), location=f"vectorkit_records, collection {number}")
