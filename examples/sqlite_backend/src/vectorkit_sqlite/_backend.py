"""`SqliteBackend`: the methods of the protocol; what they do stands in the modules they call."""

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from vectorkit.backend.requests import Read, Scan, VectorSearch
from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.filters import Filter
from vectorkit.protocol import VectorBackend
from vectorkit.types import (
    Batch,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    Patch,
    Ranking,
    Record,
)
from vectorkit.validation import check_text
from vectorkit_sqlite import _catalog, _reading, _search, _writing
from vectorkit_sqlite._errors import translated
from vectorkit_sqlite._sessions import Sessions, transaction

__all__ = ["SqliteBackend"]


class SqliteBackend(VectorBackend):
    """Collections in one SQLite file. Every search compares all records that match.

    Args:
        path: The file; made if there is none. Its folder must exist, on a local disk: SQLite's locks do not hold on
            network file systems. Beside it SQLite keeps two more, `-wal` and `-shm`, which are part of the store.

    Raises:
        InvalidArgumentError: `path` is empty, or not a path.
        BackendError: The file cannot be opened or made, or is no SQLite database.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"path is a str or a Path, not {type(path).__name__}")
        if not str(path):
            raise InvalidArgumentError("a store in SQLite needs the path of a file; in memory there is memory:")
        check_text(str(path), "path")
        self._path = Path(path).absolute()  # a later change of the working directory must not change the store
        self._sessions = Sessions(self._path)
        with translated(), self._sessions.connection() as connection:
            _catalog.prepare(connection)

    @classmethod
    def from_url(cls, url: str) -> "SqliteBackend":
        """Open `sqlite:PATH`; see the class."""
        return cls(url.removeprefix("sqlite:"))

    def __repr__(self) -> str:
        return f"SqliteBackend({str(self._path)!r})"

    @property
    def name(self) -> str:
        """`"sqlite"` and the version of the library (`"sqlite 3.46.1"`)."""
        return f"sqlite {sqlite3.sqlite_version}"

    @property
    def capabilities(self) -> Capabilities:
        """All or nothing in every call, no index, no text index, many processes."""
        return Capabilities(
            atomic_writes=True,
            atomic_add=True,
            approximate_search=False,
            text_search=False,
            persistent=True,
            multi_process=True,
        )

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """See `VectorBackend.create_collection`."""
        if spec.text_index:
            raise UnsupportedError("this backend has no text index; create the collection with text_index=False")
        with self._transaction("IMMEDIATE") as connection:
            return _catalog.create(connection, spec)

    def open_collection(self, name: str) -> CollectionInfo:
        """See `VectorBackend.open_collection`."""
        with self._transaction("DEFERRED") as connection:
            return _catalog.named(connection, name)

    def list_collections(self) -> list[CollectionInfo]:
        """See `VectorBackend.list_collections`."""
        with self._transaction("DEFERRED") as connection:
            return _catalog.all_collections(connection)

    def drop_collection(self, name: str) -> None:
        """See `VectorBackend.drop_collection`."""
        with self._transaction("IMMEDIATE") as connection:
            _catalog.drop(connection, name)

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.add`."""
        self._write(collection, batches, _writing.add)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.upsert`."""
        self._write(collection, batches, _writing.upsert)

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        """See `VectorBackend.update`."""
        with self._transaction("IMMEDIATE") as connection:
            _writing.update(connection, _catalog.number_of(connection, collection), patches)

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        """See `VectorBackend.get`."""
        with self._transaction("DEFERRED") as connection:
            number = _catalog.number_of(connection, collection)
            if request.ids is None:
                return _reading.page(
                    connection,
                    number,
                    where=request.where,
                    limit=request.limit,
                    offset=request.offset,
                    include_embeddings=request.include_embeddings,
                )
            found = _reading.by_ids(
                connection,
                number,
                request.ids,
                where=request.where,
                include_embeddings=request.include_embeddings,
            )
            return found[request.offset : None if request.limit is None else request.offset + request.limit]

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        """See `VectorBackend.scan`. Between pages nothing is held open."""
        after = request.after
        while True:
            with self._transaction("DEFERRED") as connection:
                page = _reading.page(
                    connection,
                    _catalog.number_of(connection, collection),
                    where=request.where,
                    after=after,
                    limit=request.batch_size,
                    include_embeddings=request.include_embeddings,
                )
            if page:
                yield page
            if len(page) < request.batch_size:
                return
            after = page[-1].id

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """See `VectorBackend.count`."""
        with self._transaction("DEFERRED") as connection:
            return _reading.count(connection, _catalog.number_of(connection, collection), where)

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """See `VectorBackend.delete`."""
        with self._transaction("IMMEDIATE") as connection:
            return _writing.delete(connection, _catalog.number_of(connection, collection), ids, where)

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        """See `VectorBackend.search`."""
        with self._transaction("DEFERRED") as connection:
            number = _catalog.number_of(connection, collection)
            return _search.search(connection, number, collection, request)

    def close(self) -> None:
        """See `VectorBackend.close`."""
        with translated():
            self._sessions.close()

    @contextmanager
    def _transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Generator[sqlite3.Connection]:
        with translated(), self._sessions.connection() as connection, transaction(connection, kind):
            yield connection

    def _write(
        self,
        collection: CollectionInfo,
        batches: Iterable[Batch],
        write: Callable[[sqlite3.Connection, int], None],
    ) -> None:
        with self._sessions.connection() as connection:
            _writing.stage(connection, batches)
            with translated(), transaction(connection, "IMMEDIATE"):
                write(connection, _catalog.number_of(connection, collection))
