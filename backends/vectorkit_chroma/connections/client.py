"""Clients of Chroma, and what the stores that use one share.

None of them ever sends telemetry or loads an embedding model: telemetry is switched off in the settings, collections
are opened with `embedding_function=None`, and every write and query carries its vectors.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar, cast
from uuid import UUID

import chromadb
import httpx
from chromadb.api import ServerAPI
from chromadb.errors import NotFoundError

from vectorkit.errors import BackendError
from vectorkit_chroma._errors import mapped

__all__ = ["Client", "Connection", "RawCollection", "Server"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD: Final = 1
"""Reads under way at once, beside the one that is waited for."""


class RawCollection(Protocol):
    """What is used of chromadb's `Collection`."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any] | None: ...
    @property
    def configuration_json(self) -> Mapping[str, Any]: ...
    def count(self) -> int: ...
    def get(self, **arguments: Any) -> dict[str, Any]: ...
    def query(self, **arguments: Any) -> dict[str, Any]: ...
    def add(self, **arguments: Any) -> None: ...
    def upsert(self, **arguments: Any) -> None: ...
    def update(self, **arguments: Any) -> None: ...
    def delete(self, **arguments: Any) -> object: ...
    def modify(self, **arguments: Any) -> None: ...


class Client(Protocol):
    """What is used of chromadb's `ClientAPI`."""

    def create_collection(
        self, name: str, *, configuration: Any, metadata: Any, embedding_function: None
    ) -> RawCollection: ...
    def get_collection(self, name: str, *, embedding_function: None) -> RawCollection: ...
    def list_collections(self, limit: int, offset: int) -> Sequence[RawCollection]: ...
    def delete_collection(self, name: str) -> None: ...
    def get_max_batch_size(self) -> int: ...


@dataclass(eq=False)
class Connection:
    """A client, and what all stores that use it share.

    Attributes:
        client: The client.
        kind: `"in memory"`, `"on disk"`, `"over HTTP"` or `"by the caller's client"`.
        place: Where the store is, for messages; holds no secret.
        exclusive: Whether nobody but the users of this object can write to the store.
        persistent: Whether the store outlives the process.
        body_limit: Bytes that one request may have, None for any number.
        max_batch: Records that one call of the client may write.
        lock: Guards `shared`, and creating and dropping collections.
        shared: State per collection, by its UUID.
        release: Gives the client up.
        sync_threshold: Writes of a collection after which Chroma saves its graph.
    """

    client: Client
    kind: str
    place: str
    exclusive: bool
    persistent: bool
    release: Callable[[], object]
    sync_threshold: int = 10**9
    body_limit: int | None = None
    max_batch: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    shared: dict[str, Any] = field(default_factory=dict[str, Any])
    process: int = field(default_factory=os.getpid)
    _pool: ThreadPoolExecutor | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        with mapped("asking", f"{self.place} for its batch size"):
            self.max_batch = self.client.get_max_batch_size()

    def begin(self, work: Callable[[], R]) -> Callable[[], R]:
        """Begin work in a thread, beside the caller's own; what is returned waits for its result.

        No thread begins once this was closed or the interpreter's main thread has ended: it is then done when waited
        for.
        """
        with self.lock:
            if self._pool is None and not self._closed:
                self._pool = ThreadPoolExecutor(8, thread_name_prefix="vectorkit-chroma")
            pool = self._pool
        if pool is not None:
            with suppress(RuntimeError):  # that it was shut down
                return pool.submit(work).result
        return work

    def ahead(self, read: Callable[[T], R], parts: Iterable[T]) -> Iterator[Callable[[], R]]:
        """Read part after part in threads, some of them before they are asked for; each waits for what was read.

        Half of the time of a read is Chroma's own, outside of Python: it passes while what was read is worked on.
        """
        waiting: deque[Callable[[], R]] = deque()
        for part in parts:
            waiting.append(self.begin(partial(read, part)))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting

    def close(self) -> None:
        """Give the client up."""
        with self.lock:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None:
            pool.shutdown()
        self.release()


class _Collection(chromadb.Collection):
    """A collection whose reads go straight to the server object, without chromadb's checks of what we have checked.

    They would be a twentieth of the time of a query in memory. Nor are vectors made arrays of float64 on the way, which
    is a fifth of the time of reading records.
    """

    def get(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, **arguments: Any
    ) -> Any:
        return self._client._get(  # pyright: ignore[reportPrivateUsage]
            collection_id=self.id, tenant=self.tenant, database=self.database, **arguments
        )

    def query(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, query_embeddings: Any, **arguments: Any
    ) -> Any:
        return self._client._query(  # pyright: ignore[reportPrivateUsage]
            collection_id=self.id,
            query_embeddings=list(query_embeddings),
            tenant=self.tenant,
            database=self.database,
            **arguments,
        )

    def modify(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, configuration: Any = None, **arguments: Any
    ) -> None:
        """Change the collection. chromadb's own would warn of embedding functions when it is given a configuration."""
        if configuration is None:
            super().modify(**arguments)
            return
        self._client._modify(  # pyright: ignore[reportPrivateUsage]
            id=self.id, new_configuration=configuration, tenant=self.tenant, database=self.database
        )


class Server:
    """A Chroma of our own, by the server object that chromadb's clients wrap, for one tenant and database.

    chromadb's clients keep what they open in a table of the process: all `EphemeralClient`s are one store, and an
    `HttpClient` leaves behind two connections, with its headers, that nothing closes.
    """

    def __init__(self, server: ServerAPI, tenant: str, database: str) -> None:
        self._server = server
        self._tenant = tenant
        self._database = database

    def create_collection(
        self, name: str, *, configuration: Any, metadata: Any, embedding_function: None
    ) -> RawCollection:
        return self._wrapped(
            self._server.create_collection(
                name,
                configuration=configuration,
                metadata=metadata,
                tenant=self._tenant,
                database=self._database,
            )
        )

    def get_collection(self, name: str, *, embedding_function: None) -> RawCollection:
        return self._wrapped(self._server.get_collection(name, self._tenant, self._database))

    def list_collections(self, limit: int, offset: int) -> Sequence[RawCollection]:
        models = self._server.list_collections(limit, offset, self._tenant, self._database)
        return [self._wrapped(model) for model in models]

    def delete_collection(self, name: str) -> None:
        self._server.delete_collection(name, self._tenant, self._database)

    def get_max_batch_size(self) -> int:
        return self._server.get_max_batch_size()

    def check(self) -> None:
        """Raise if the database is missing, or the server does not answer."""
        try:
            self._server.get_database(self._database, self._tenant)
        except NotFoundError as error:
            raise BackendError(
                f"there is no database {self._database!r} of tenant {self._tenant!r}; "
                "make it first: chromadb.AdminClient(settings).create_database(name, tenant)"
            ) from error

    def close(self) -> None:
        if session := self.session:
            session.close()

    @property
    def session(self) -> httpx.Client | None:
        """The HTTP client within, where there is one; chromadb offers no way to it."""
        session = getattr(self._server, "_session", None)
        return session if isinstance(session, httpx.Client) else None

    def _wrapped(self, model: Any) -> RawCollection:
        return cast("RawCollection", _Collection(client=self._server, model=model, embedding_function=None))
