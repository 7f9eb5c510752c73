"""Clients of Chroma: in memory, on disk, over HTTP, or the caller's own; opened, shared and closed.

None of them ever sends telemetry or loads an embedding model: telemetry is switched off in the settings, collections
are opened with `embedding_function=None`, and every write and query carries its vectors.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast
from uuid import UUID
from weakref import WeakValueDictionary

import chromadb
import httpx
from chromadb.api import ClientAPI, ServerAPI
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings, System

from vectorkit.errors import InvalidArgumentError
from vectorkit_chroma._errors import mapped
from vectorkit_chroma._lock import FolderLock

__all__ = ["Client", "Connection", "RawCollection", "open_folder", "open_http", "open_memory", "use_client"]

_RUST: Final = "chromadb.api.rust.RustBindingsAPI"

_CONNECT_SECONDS: Final = 10.0

HTTP_BODY: Final = 24_000_000
"""Bytes of a request that are aimed at; a Chroma server refuses bodies above 40 MB ("Payload too large")."""


class RawCollection(Protocol):
    """What is used of chromadb's `Collection`."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any] | None: ...
    def count(self) -> int: ...
    def get(self, **arguments: Any) -> dict[str, Any]: ...
    def query(self, **arguments: Any) -> dict[str, Any]: ...
    def add(self, **arguments: Any) -> None: ...
    def upsert(self, **arguments: Any) -> None: ...
    def update(self, **arguments: Any) -> None: ...
    def delete(self, **arguments: Any) -> object: ...


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
    """

    client: Client
    kind: str
    place: str
    exclusive: bool
    persistent: bool
    release: Callable[[], None]
    body_limit: int | None = None
    max_batch: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    shared: dict[str, Any] = field(default_factory=dict[str, Any])
    process: int = field(default_factory=os.getpid)
    _pool: ThreadPoolExecutor | None = None

    def __post_init__(self) -> None:
        with mapped(f"asking {self.place} for its batch size"):
            self.max_batch = self.client.get_max_batch_size()

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads in which a second request runs beside the caller's own."""
        with self.lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(8, thread_name_prefix="vectorkit-chroma")
            return self._pool

    def close(self) -> None:
        """Give the client up."""
        with self.lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self.release()


class _Server:
    """A Chroma of our own, by the server object that chromadb's clients wrap, for one tenant and database.

    chromadb's clients keep what they open in a table of the process: all `EphemeralClient`s are one store, and an
    `HttpClient` leaves behind two connections, with its headers, that nothing closes.
    """

    def __init__(self, system: System, tenant: str, database: str) -> None:
        self._server: ServerAPI = system.instance(cast("Any", ServerAPI))
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
        """Raise if the tenant or the database is missing, or the server does not answer."""
        self._server.get_database(self._database, self._tenant)

    def close(self) -> None:
        if session := self.session:
            session.close()

    @property
    def session(self) -> httpx.Client | None:
        """The HTTP client within, where there is one; chromadb offers no way to it."""
        session = getattr(self._server, "_session", None)
        return session if isinstance(session, httpx.Client) else None

    def _wrapped(self, model: Any) -> RawCollection:
        return cast("RawCollection", chromadb.Collection(client=self._server, model=model, embedding_function=None))


def open_memory() -> Connection:
    """Open a store of its own in memory."""
    with mapped("starting Chroma in memory"):
        system = _started(is_persistent=False, chroma_api_impl=_RUST)
        client = _Server(system, DEFAULT_TENANT, DEFAULT_DATABASE)
    return Connection(client, "in memory", "chroma:", exclusive=True, persistent=False, release=system.stop)


@dataclass(slots=True)
class _Folder:
    """A folder that is open in this process, its lock held."""

    lock: FolderLock
    system: System
    users: int = 0
    shared: dict[str, Any] = field(default_factory=dict[str, Any])
    guard: threading.RLock = field(default_factory=threading.RLock)


_folders: dict[Path, _Folder] = {}
_folders_lock = threading.Lock()


def open_folder(path: str, tenant: str, database: str) -> Connection:
    """Open a store on disk; several in one process share the folder's lock, its Chroma and its state.

    Raises:
        BackendUnavailableError: Another process has it open.
        BackendPermissionError: It cannot be written.
        BackendError: It is no folder, or Chroma cannot open it.
    """
    folder = Path(path).resolve()
    place = f"chroma:{path}"
    with _folders_lock:
        entry = _folders.get(folder)
        if entry is None:
            lock = FolderLock(folder, place)
            try:
                with mapped(f"opening {place}"):
                    system = _started(is_persistent=True, persist_directory=str(folder), chroma_api_impl=_RUST)
            except BaseException:
                lock.release()
                raise
            entry = _folders[folder] = _Folder(lock, system)
        entry.users += 1

    def release() -> None:
        with _folders_lock:
            entry.users -= 1
            if not entry.users:
                _folders.pop(folder, None)
                entry.system.stop()
                entry.lock.release()

    try:
        with mapped(f"opening {place}"):
            client = _Server(entry.system, tenant, database)
            client.check()
        return Connection(
            client,
            "on disk",
            place,
            exclusive=True,
            persistent=True,
            release=release,
            lock=entry.guard,
            shared=entry.shared,
        )
    except BaseException:
        release()
        raise


def _forget_folders() -> None:
    """In a forked child: the parent's stores are the parent's, so the child must open its own (rule 9.3)."""
    for entry in _folders.values():
        entry.lock.release()  # the child's copy; the parent goes on holding the lock
    _folders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_folders)


def open_http(
    host: str, port: int, *, ssl: bool, headers: Mapping[str, str] | None, tenant: str, database: str
) -> Connection:
    """Open a store on a Chroma server.

    Raises:
        BackendUnavailableError: No server answers there.
        BackendPermissionError: It refuses access.
    """
    place = f"chroma+{'https' if ssl else 'http'}://{host}:{port}"
    with mapped(f"connecting to {place}"):
        system = _started(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=host,
            chroma_server_http_port=port,
            chroma_server_ssl_enabled=ssl,
            chroma_server_headers=dict(headers or {}),
        )
        client = _Server(system, tenant, database)
        if session := client.session:
            session.timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        try:
            client.check()
        except BaseException:
            client.close()
            raise
    return Connection(
        client, "over HTTP", place, exclusive=False, persistent=True, release=client.close, body_limit=HTTP_BODY
    )


def _started(**settings: Any) -> System:
    """A system of chromadb with these settings; from the environment come only those not given, from no .env file."""
    system = System(cast("Any", Settings)(_env_file=None, anonymized_telemetry=False, **settings))
    system.instance(cast("Any", ServerAPI))
    system.start()
    return system


_callers: WeakValueDictionary[int, Connection] = WeakValueDictionary()
_callers_lock = threading.Lock()


def use_client(client: object) -> Connection:
    """Use a client that the caller made, which is never closed from here.

    Raises:
        InvalidArgumentError: It is no synchronous client of chromadb.
    """
    if not isinstance(client, ClientAPI):
        raise InvalidArgumentError(
            f"client is a chromadb client (chromadb.PersistentClient(…), HttpClient(…)), not {type(client).__name__}"
        )
    with _callers_lock:
        connection = _callers.get(id(client))  # it holds the client, so the id is not another's
        if connection is None:
            connection = _callers[id(client)] = Connection(
                cast("Client", client),
                "by the caller's client",
                "the caller's Chroma client",
                exclusive=False,
                persistent=bool(client.get_settings().is_persistent) or _is_remote(client),
                release=lambda: None,
                body_limit=HTTP_BODY if _is_remote(client) else None,
            )
        return connection


def _is_remote(client: ClientAPI) -> bool:
    return "fastapi" in str(client.get_settings().chroma_api_impl).lower()
