"""Chroma's SQLite file, read and written while Chroma is not running."""

import errno
import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from vectorkit.errors import BackendError, BackendPermissionError, BackendUnavailableError

__all__ = ["FILE", "Segments", "keep_log", "keeps_log", "opened", "require_chroma", "segments", "transaction"]

FILE: Final = "chroma.sqlite3"
_MAGIC: Final = b"SQLite format 3\0"
_KEEP: Final = '{"automatically_purge":false,"_type":"EmbeddingsQueueConfigurationInternal"}'
_WAIT: Final = 10.0


class Segments(NamedTuple):
    """A collection's two halves: the vectors in a graph, all else in SQLite.

    Attributes:
        collection: Its UUID.
        name: Its name.
        ours: Whether this library made it.
        vector: The UUID of the graph, which is also the name of its folder.
        metadata: The UUID of the half in SQLite.
        saved: Up to which number of the log the graph was saved; None if never.
        written: Up to which number of the log the rows in SQLite are.
        dimension: Of the vectors; None if nothing was ever written.
        cosine: Whether the graph holds the vectors with length 1.
    """

    collection: str
    name: str
    ours: bool
    vector: str
    metadata: str
    saved: int | None
    written: int | None
    dimension: int | None
    cosine: bool

    @property
    def topic(self) -> str:
        """What the collection's rows in the log are marked with."""
        return f"persistent://default/default/{self.collection}"


def require_chroma(folder: Path, place: str) -> None:
    """Look whether a folder's database can be Chroma's, writing nothing.

    Raises:
        BackendError: It is another program's, or damaged.
        BackendPermissionError: It cannot be read.
    """
    path = folder / FILE
    with _translated(place):
        if not path.exists() or not (size := path.stat().st_size):
            return
        with path.open("rb") as file:
            head = file.read(100)
        if not head.startswith(_MAGIC):
            raise BackendError(
                f"{place}: {FILE} must be a SQLite database, and is none; choose another folder, or restore a backup"
            )
        page = int.from_bytes(head[16:18], "big")
        pages = int.from_bytes(head[28:32], "big")
        # Numbers 24 and 92 differ if the count of pages was not kept; a journal would still change the size.
        settled = head[24:28] == head[92:96] and not (folder / f"{FILE}-journal").exists()
        if settled and (expected := pages * (65536 if page == 1 else page)) > size:
            raise BackendError(
                f"{place}: {FILE} must have {expected:,} bytes, got {size:,}: its end is missing; "
                "restore it from a backup"
            )
        if settled:
            with _connected(f"{path.resolve().as_uri()}?mode=ro", uri=True) as database:
                _require_tables(database, place)


@contextmanager
def opened(folder: Path, place: str) -> Generator[sqlite3.Connection]:
    """Open the database of a folder, in which every statement is a transaction of its own unless one was begun.

    Raises:
        BackendError: It is another program's or damaged, or the disk is full.
        BackendPermissionError: It cannot be written.
        BackendUnavailableError: Another process keeps it locked.
    """
    with _translated(place), _connected(str(folder / FILE)) as database:
        _require_tables(database, place)
        yield database


@contextmanager
def transaction(database: sqlite3.Connection) -> Generator[None]:
    """Do all of it, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # SQLite rolls back by itself on some errors, such as a full disk. Nobody was told that this was written.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextmanager
def _connected(path: str, *, uri: bool = False) -> Generator[sqlite3.Connection]:
    database = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, uri=uri)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _translated(place: str) -> Generator[None]:
    try:
        yield
    except PermissionError as error:
        raise BackendPermissionError(
            f"{place} cannot be written: {error.filename}: {error.strerror}; choose another folder, or change its "
            "permissions"
        ) from error
    except OSError as error:
        if error.errno == errno.EROFS:
            raise BackendPermissionError(f"{place} is on a read-only medium; copy it to a writable one") from error
        raise BackendError(f"{place}: {error.strerror}; nothing was changed that is not safe") from error
    except sqlite3.Error as error:
        kinds = {
            sqlite3.SQLITE_BUSY: (BackendUnavailableError, "close the other program that has it open"),
            sqlite3.SQLITE_READONLY: (BackendPermissionError, "change its permissions"),
            sqlite3.SQLITE_CANTOPEN: (BackendPermissionError, "change the permissions of its folder"),
            sqlite3.SQLITE_FULL: (BackendError, "free space on the disk, then open it again: nothing is lost"),
        }
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        kind, advice = kinds.get(code, (BackendError, "restore it from a backup"))
        raise kind(f"{place}: {FILE}: {error}; {advice}") from error


def _require_tables(database: sqlite3.Connection, place: str) -> None:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not {"migrations", "collections", "segments"} <= tables:
        raise BackendError(
            f"{place}: {FILE} must be Chroma's, got a database without its tables; choose another folder"
        )


def keeps_log(database: sqlite3.Connection) -> bool | None:
    """Whether Chroma keeps what it has saved in its log; None if it cannot be told to."""
    try:
        row = database.execute("SELECT config_json_str FROM embeddings_queue_config ORDER BY id LIMIT 1").fetchone()
        return row is not None and json.loads(row[0])["automatically_purge"] is False
    except (sqlite3.OperationalError, ValueError, TypeError, KeyError):
        return None


def keep_log(database: sqlite3.Connection) -> None:
    """Have Chroma keep its log. It reads this setting each time it would delete."""
    database.execute("UPDATE embeddings_queue_config SET config_json_str = ?", (_KEEP,))
    database.execute(
        "INSERT INTO embeddings_queue_config (id, config_json_str) SELECT 1, ?"
        " WHERE NOT EXISTS (SELECT 1 FROM embeddings_queue_config)",
        (_KEEP,),
    )


def segments(database: sqlite3.Connection) -> list[Segments]:
    """All collections, in ascending order of name."""
    columns = {name for _, name, *_ in database.execute("PRAGMA table_info(collections)")}
    if not columns:
        return []
    schema = "c.schema_str" if "schema_str" in columns else "NULL"
    configuration = "c.config_json_str" if "config_json_str" in columns else "NULL"
    rows = database.execute(
        f"SELECT c.id, c.name, v.id, m.id, vs.seq_id, ms.seq_id, c.dimension, {schema}, {configuration},"
        " (SELECT count(*) FROM collection_metadata WHERE collection_id = c.id"
        "  AND key IN ('vectorkit', 'vectorkit-replaced')),"
        " (SELECT str_value FROM collection_metadata WHERE collection_id = c.id AND key = 'hnsw:space')"
        " FROM collections c"
        " JOIN segments v ON v.collection = c.id AND v.scope = 'VECTOR'"
        " JOIN segments m ON m.collection = c.id AND m.scope = 'METADATA'"
        " LEFT JOIN max_seq_id vs ON vs.segment_id = v.id LEFT JOIN max_seq_id ms ON ms.segment_id = m.id"
        " ORDER BY c.name, c.id"
    ).fetchall()
    return [
        Segments(
            collection,
            name,
            bool(marks),
            vector,
            metadata,
            _number(saved),
            _number(written),
            dimension,
            _space(schema, configuration, space) == "cosine",
        )
        for collection, name, vector, metadata, saved, written, dimension, schema, configuration, marks, space in rows
    ]


def _number(value: int | bytes | None) -> int | None:
    """A number of the log; Chroma before 0.6 stored it as bytes."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else value


def _space(schema: str | None, configuration: str | None, metadata: str | None) -> str:
    """The space of a collection, wherever the version that made it has put it."""
    ways: list[tuple[str | None, tuple[str, ...]]] = [
        (schema, ("keys", "#embedding", "float_list", "vector_index", "config", "space")),
        (configuration, ("hnsw", "space")),
    ]
    for text, path in ways:
        try:
            found: Any = json.loads(text or "null")
            for key in path:
                found = found[key]
            if isinstance(found, str):
                return found
        except (ValueError, KeyError, TypeError):
            continue
    return metadata or "l2"
