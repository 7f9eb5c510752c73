"""`ChromaBackend`: the protocol over a connection, its tables and the modules that read, write and search them."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import chromadb
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT
from chromadb.errors import NotFoundError

from vectorkit._collected import when_collected
from vectorkit.backend.requests import HybridSearch, Read, Scan, TextSearch, VectorSearch
from vectorkit.errors import BackendError, CollectionExistsError, InvalidArgumentError
from vectorkit.filters import Filter
from vectorkit.maintenance import StoreCondition
from vectorkit.protocol import VectorBackend
from vectorkit.types import (
    Batch,
    Candidate,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    ForeignCollection,
    Hit,
    Patch,
    Ranking,
    Record,
)
from vectorkit_chroma._errors import mapped
from vectorkit_chroma.collections import foreign
from vectorkit_chroma.collections.catalog import configuration, info_of, listed, metadata_of, set_sync_threshold
from vectorkit_chroma.collections.replacing import finish_all, put_in_place
from vectorkit_chroma.connections.client import Connection, RawCollection
from vectorkit_chroma.connections.opening import connect, folder_of, use_client
from vectorkit_chroma.graphs import repairing
from vectorkit_chroma.records import writing
from vectorkit_chroma.records.reading import matching, record, records
from vectorkit_chroma.records.table import Table, gone
from vectorkit_chroma.search.vectors import search
from vectorkit_chroma.text.searching import candidates, search_text
from vectorkit_chroma.text.words import Texts

__all__ = ["ChromaBackend"]


class ChromaBackend(VectorBackend):
    """Collections in Chroma: in memory, on disk, on a Chroma server, or wherever the caller's own client leads.

    A store in memory shares nothing with any other. A folder is used by one process at a time; several stores in that
    process share it. A server may be used by any number of processes; two that `add` the same id at the same time may
    then both succeed, with the records of one of them.

    Args:
        url: `chroma:` (in memory), `chroma:PATH`, `chroma+http://HOST[:PORT]` or `chroma+https://HOST[:PORT]`.
        client: In place of a URL, a synchronous client of chromadb. It is used as it is and never closed.
        tenant: Chroma's tenant, which must exist; not with `client`.
        database: The tenant's database, which must exist; not with `client`.
        headers: Sent with every request to a server, such as a token; only with a URL of HTTP. Never shown.
        timeout: Seconds for which a server may be silent, 60 by default, also in the URL (`?timeout=120`); only with
            a URL of HTTP. Connecting waits for at most 10 of them. A client of yours has its own.

    Raises:
        InvalidArgumentError: The URL is malformed, or the arguments do not fit together.
        BackendUnavailableError: No server is there, or another process has the folder open.
        BackendTimeoutError: The server does not answer.
        BackendPermissionError: The folder cannot be written, or the server refuses access.
        BackendError: Chroma cannot open the store.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        tenant: str = DEFAULT_TENANT,
        database: str = DEFAULT_DATABASE,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        if (url is None) == (client is None):
            raise InvalidArgumentError("give either a URL such as 'chroma:./kb', or client=")
        if client is not None and (
            headers is not None or timeout is not None or (tenant, database) != (DEFAULT_TENANT, DEFAULT_DATABASE)
        ):
            raise InvalidArgumentError("with client=, tenant, database, headers and timeout are those of the client")
        self._closed = False
        self._connection = use_client(client) if url is None else connect(url, tenant, database, headers, timeout)
        try:
            self._call_off_release = when_collected(self, self._connection.close)
        except BaseException:  # an interrupt: nobody has the object that could be closed
            self._connection.close()
            raise

    @classmethod
    def from_url(cls, url: str) -> "ChromaBackend":
        """Open what a URL names, with Chroma's default tenant and database; errors as for the class."""
        return cls(url)

    @classmethod
    def examine(cls, url: str) -> StoreCondition | None:
        """See `RepairableStore.examine`: for folders."""
        path = folder_of(url)
        return None if path is None else repairing.examine(path, url)

    @classmethod
    def repair(cls, url: str) -> StoreCondition | None:
        """See `RepairableStore.repair`: for folders."""
        path = folder_of(url)
        return None if path is None else repairing.repair(path, url)

    def __repr__(self) -> str:
        return f"ChromaBackend({self._connection.place!r})"

    @property
    def name(self) -> str:
        """Such as `"chroma 1.5.9 on disk"`."""
        return f"chroma {chromadb.__version__} {self._connection.kind}"

    @property
    def capabilities(self) -> Capabilities:
        """Writes are split at Chroma's limits; what else depends on the kind of client."""
        return Capabilities(
            atomic_writes=False,
            atomic_add=self._connection.exclusive,
            approximate_search=True,
            text_search=True,
            persistent=self._connection.persistent,
            multi_process=not self._connection.exclusive,
            replacing=True,
            foreign_collections=True,
        )

    # --- collections ------------------------------------------------------------------------------------------

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """See `VectorBackend.create_collection`."""
        connection = self._open()
        with connection.lock, mapped("creating", f"collection {spec.name!r} in {connection.place}"):
            finish_all(connection.client)
            raw = connection.client.create_collection(
                spec.name,
                configuration=configuration(spec, connection.sync_threshold),
                metadata=metadata_of(spec),
                embedding_function=None,
            )
            # Some versions of the server answer a taken name with the collection that has it.
            if info_of(raw).spec != spec:
                raise CollectionExistsError(f"collection {spec.name!r} exists; open it with get_collection")
            return self._kept(raw).info

    def open_collection(self, name: str) -> CollectionInfo:
        """See `VectorBackend.open_collection`.

        Raises:
            CollectionMismatchError: Chroma has a collection of that name that is not ours.
        """
        return self._kept(self._named(name)).info

    def list_collections(self) -> list[CollectionInfo]:
        """See `VectorBackend.list_collections`."""
        connection = self._open()
        with mapped("listing", f"the collections of {connection.place}"):
            with connection.lock:
                finish_all(connection.client)
            return [info_of(raw) for raw in listed(connection.client)]

    def drop_collection(self, name: str) -> None:
        """See `VectorBackend.drop_collection`.

        Raises:
            CollectionMismatchError: Chroma has a collection of that name that is not ours; it stays.
        """
        connection = self._open()
        with connection.lock:
            info = info_of(self._named(name))
            with mapped("dropping", f"collection {name!r} of {connection.place}"):
                finish_all(connection.client)
                connection.client.delete_collection(name)
            connection.shared.pop(info.generation, None)

    def replace_collection(self, old: CollectionInfo, new: CollectionInfo) -> CollectionInfo:
        """See `VectorBackend.replace_collection`; where it was interrupted, the next opening finishes it."""
        connection = self._open()
        with connection.lock:
            raw = [self._named(info.name) for info in (old, new)]
            for found, info in zip(raw, (old, new), strict=True):
                if str(found.id) != info.generation:
                    raise gone(info)
            with mapped("replacing", f"collection {old.name!r} of {connection.place}"):
                finish_all(connection.client)
                put_in_place(connection.client, *raw)
            for info in (old, new):
                connection.shared.pop(info.generation, None)
            return self.open_collection(old.name)

    # --- collections of others ----------------------------------------------------------------------------------

    def foreign_collections(self) -> list[ForeignCollection]:
        """See `VectorBackend.foreign_collections`."""
        return foreign.foreign_collections(self._open())

    def scan_foreign(self, name: str, *, after: str | None = None, batch_size: int = 1000) -> Iterator[list[Record]]:
        """See `VectorBackend.scan_foreign`."""
        return foreign.scan(self._open(), name, after, batch_size)

    def get_foreign(self, name: str, ids: Sequence[str]) -> list[Record]:
        """See `VectorBackend.get_foreign`."""
        return foreign.get(self._open(), name, list(ids))

    # --- records ----------------------------------------------------------------------------------------------

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.add`."""
        writing.add(self._table(collection), batches)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.upsert`."""
        writing.upsert(self._table(collection), batches)

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        """See `VectorBackend.update`."""
        writing.update(self._table(collection), patches)

    def get(self, collection: CollectionInfo, request: Read) -> list[Record]:
        """See `VectorBackend.get`."""
        table = self._table(collection)
        if request.ids is not None and request.where is None and request.limit is None and not request.offset:
            page = list(request.ids)
        else:
            stop = None if request.limit is None else request.offset + request.limit
            page = matching(table, request.ids, request.where)[request.offset : stop]
        return records(page, table.read(page, embeddings=request.include_embeddings))

    def scan(self, collection: CollectionInfo, request: Scan) -> Iterator[list[Record]]:
        """See `VectorBackend.scan`."""
        table = self._table(collection)
        matched = matching(table, None, request.where)
        ids = [id for id in matched if request.after is None or id > request.after]
        found = table.stream(ids, record, embeddings=request.include_embeddings)
        while page := list(islice(found, request.batch_size)):
            yield page

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """See `VectorBackend.count`."""
        table = self._table(collection)
        return table.size() if where is None else len(table.ids(table.select(where)))

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """See `VectorBackend.delete`."""
        return writing.delete(self._table(collection), where, ids)

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        """See `VectorBackend.search`."""
        table = self._table(collection)
        return search(table, request, table.select(request.where))

    # --- text -------------------------------------------------------------------------------------------------

    def create_text_index(
        self, collection: CollectionInfo, progress: Callable[[int, int], None] | None = None
    ) -> CollectionInfo:
        """See `VectorBackend.create_text_index`. Nothing is stored but that there is one."""
        table = self._table(collection)
        info = self._kept(self._named(collection.name)).info
        if info.generation != collection.generation:
            raise gone(collection)
        if not info.spec.text_index:
            table.once(Texts).load(progress)
            info = replace(info, spec=replace(info.spec, text_index=True))
            table.call("adding a text index to", table.raw.modify, metadata=metadata_of(info.spec))
            table.info = info
        return info

    def search_text(self, collection: CollectionInfo, request: TextSearch) -> list[list[Hit]]:
        """See `VectorBackend.search_text`."""
        table = self._table(collection)
        return search_text(table, request, table.select(request.where))

    def search_hybrid(self, collection: CollectionInfo, request: HybridSearch) -> list[list[Candidate]]:
        """See `VectorBackend.search_hybrid`."""
        table = self._table(collection)
        selection = table.select(request.where)
        by_vector = VectorSearch(
            request.vectors, request.fetch_k, request.where, request.exact, request.include_embeddings
        )
        return candidates(table, request, search(table, by_vector, selection), selection)

    def close(self) -> None:
        """See `VectorBackend.close`. A client that the caller brought stays open."""
        self._closed = True
        self._connection.close()  # each time, so that a close that was interrupted can be repeated
        self._call_off_release()

    # --- within -----------------------------------------------------------------------------------------------

    def _open(self) -> Connection:
        if self._closed:
            raise BackendError("this store was closed; connect again")
        if self._connection.process != os.getpid():
            raise BackendError("this store was opened before the process forked; connect again in the child")
        return self._connection

    def _named(self, name: str) -> RawCollection:
        connection = self._open()
        with mapped("opening", f"collection {name!r} of {connection.place}"):
            try:
                return connection.client.get_collection(name, embedding_function=None)
            except NotFoundError:
                with connection.lock:
                    if not finish_all(connection.client):
                        raise
                return connection.client.get_collection(name, embedding_function=None)

    def _kept(self, raw: RawCollection) -> Table:
        """The table of a collection, the same for all who use the connection: its write lock must be one."""
        info = info_of(raw)
        with self._connection.lock:
            table: Table | None = self._connection.shared.get(info.generation)
            if table is None:
                if self._connection.exclusive:
                    with mapped("opening", f"collection {info.name!r} of {self._connection.place}"):
                        set_sync_threshold(raw, self._connection.sync_threshold)
                table = self._connection.shared[info.generation] = Table(self._connection, raw, info)
            table.info = info  # another process may have added a text index
            return table

    def _table(self, collection: CollectionInfo) -> Table:
        table: Table | None = self._open().shared.get(collection.generation)
        if table is None or table.info.name != collection.name:
            table = self._kept(self._named(collection.name))
            if table.info.generation != collection.generation:
                raise gone(collection)
        return table
