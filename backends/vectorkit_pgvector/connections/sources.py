"""Where connections come from: a pool of one's own, the caller's pool, or the caller's one connection.

After a fork, a child must not use what the parent opened: a pool of one's own is opened anew there, what the caller
gave is refused.
"""

import atexit
import math
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from vectorkit._collected import when_collected
from vectorkit.errors import BackendError, InvalidArgumentError
from vectorkit.urls import HIDDEN
from vectorkit_pgvector._errors import Unanswered, translate_refusal
from vectorkit_pgvector.connections.loans import CallersLoan, Connection, Loan, PoolLoan
from vectorkit_pgvector.connections.options import Options

__all__ = [
    "CallersConnection",
    "CallersPool",
    "Connection",
    "OwnConnection",
    "OwnPool",
    "RemoteServer",
    "Server",
    "Source",
    "check_url",
    "describe",
]

_PLAIN: Final = re.compile(r"[\w.,:/@%\[\]+ -]*")
_POOL_TIMEOUT: Final = 10.0  # seconds until one of them must be free
_CONNECT_TIMEOUT: Final = 10  # seconds at the most, unless the URL says otherwise
_CANCEL_TIMEOUT: Final = 1.0  # seconds for telling the server that a statement is given up
# A host that is gone is noticed within a minute, whatever is under way; after `timeout` if it owes an acknowledgement.
_KEEPALIVES: Final = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
T = TypeVar("T")


class OwnConnection(psycopg.Connection[Any]):
    """A connection of a pool of one's own.

    Attributes:
        kept: What is used again by the next call on it, such as a cursor: nobody else changes the connection.
        timeout: Seconds without a sign of the server after which it is given up; None: waits as long as it takes.
    """

    kept: Any = None
    timeout: float | None = None

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        """Wait as psycopg does, but not for ever.

        Raises:
            Unanswered: The server was silent for too long; what it does next is unknown, so the connection has ended.
        """
        if self.timeout is None:
            return super().wait(gen, *arguments, **options)
        try:
            return super().wait(_limited(gen, self.timeout), *arguments, **options)
        except Unanswered:
            # Suppressed: that the server cannot be told either. What is given up is not acknowledged, whatever it does.
            with suppress(psycopg.Error):
                if psycopg.capabilities.has_cancel_safe():
                    self.cancel_safe(timeout=_CANCEL_TIMEOUT)
            self.pgconn.finish()
            raise

    def close(self) -> None:
        """Close it, and let go of what was kept, which may refer to it."""
        self.kept = None
        super().close()


def _limited(gen: PQGen[T], timeout: float) -> PQGen[T]:
    """Psycopg's steps of a wait, ended when nothing was sent or received for so many seconds."""
    try:
        wanted = next(gen)
        deadline = time.monotonic() + timeout
        while True:
            if ready := (yield wanted):  # psycopg sends "nothing is ready" now and then
                deadline = time.monotonic() + timeout
            elif time.monotonic() > deadline:
                raise Unanswered(f"no sign of the server for {timeout:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        return cast(T, done.value)


class Source(Protocol):
    """Lends connections.

    Attributes:
        settings: Settings of the session that every connection has already.
        joins: Whether calls take part in the caller's transaction, so that none of them ends it.
        connections: How many there are at the most.
    """

    settings: dict[str, str]
    joins: bool
    connections: int

    def connection(self) -> Loan:
        """Lend a connection."""
        ...

    def spare(self) -> int:
        """How many connections can be had besides one, without waiting for other calls to give them back."""
        ...

    def recover(self) -> bool:
        """Replace connections that are lost; False if that cannot be done."""
        ...

    def close(self) -> None:
        """Close what was opened here; calling it again does nothing."""
        ...


class Server(Protocol):
    """Where a pool of one's own connects to."""

    @property
    def conninfo(self) -> str:
        """As libpq takes it; it stays valid as long as the server is not closed."""
        ...

    def ensure_running(self) -> None:
        """Start the server again if it is down and ours to start."""
        ...

    def close(self) -> None:
        """End its use; calling it again does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """A server that others run."""

    conninfo: str

    def ensure_running(self) -> None:
        """See `Server.ensure_running`: it is not ours to start."""

    def close(self) -> None:
        """See `Server.close`."""


class OwnPool:
    """A pool that is opened at the first use, and again after a fork. Its connections are in autocommit mode.

    Behind a transaction pooler, which may run each transaction in another session, nothing is kept in one: neither
    settings nor prepared statements.

    Args:
        resolve: Returns the server to connect to, which is closed with the pool; called at the first use.
        settings: Settings to make in every session.
        options: How many connections, how long to wait, and whether there is a pooler.
    """

    joins = False

    def __init__(
        self,
        resolve: Callable[[], Server],
        settings: dict[str, str],
        options: Options,
    ) -> None:
        self.connections = options.pool_size
        self.settings: dict[str, str] = {}
        self._kept = settings
        self._options = options
        self._resolve = resolve
        self._closed = False
        self._call_off_release: Callable[[], object] | None = None
        self.start_over()
        _own_pools.add(self)

    def start_over(self) -> None:
        """Forget what is open, without touching it."""
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._pools: list[ConnectionPool[OwnConnection]] = []  # the one in use, and those that were abandoned
        self._opened: tuple[Server, ConnectionPool[OwnConnection]] | None = None
        if self._call_off_release is not None:
            self._call_off_release()
            self._call_off_release = None

    def connection(self) -> Loan:
        """See `Source.connection`."""
        return _FromOwnPool(self, self._options, *(self._opened or self.open()))

    def spare(self) -> int:
        """See `Source.spare`."""
        _, pool = self.open()
        counted = pool.get_stats()
        in_use = counted["pool_size"] - counted["pool_available"] + counted["requests_waiting"]
        return max(0, self.connections - 1 - in_use)

    def recover(self) -> bool:
        """See `Source.recover`."""
        server, pool = self.open()
        server.ensure_running()
        _probe(server.conninfo, self._options)
        pool.check()
        return True

    def abandon(self, pool: "ConnectionPool[OwnConnection]") -> None:
        """Open another pool at the next use: an interrupt within this one may have lost connections, or its order."""
        opened = self._opened
        if opened is not None and opened[1] is pool:
            self._opened = None

    def close(self) -> None:
        """See `Source.close`."""
        # Each step can be repeated, and is called off only when done: an interrupted call is made good by another one.
        with self._lock:
            self._closed = True
            server, self._opened = self._server, None
        if server is not None:
            _release(server, self._pools)
            if self._call_off_release is not None:
                self._call_off_release()
            self._server = None

    def open(self) -> "tuple[Server, ConnectionPool[OwnConnection]]":
        """The server and the pool; opened if they are not."""
        # An interrupt may come between any two steps: each one is noted as it is done, and none is done twice.
        with self._lock:
            if self._closed:
                raise BackendError("this store was closed while a call was under way")
            if self._opened is not None:
                return self._opened
            while self._pools:  # abandoned ones; what other calls have of them is closed when they give it back
                self._pools[-1].close()
                self._pools.pop()
            if self._server is None:
                self._server = self._resolve()
            server = self._server
            if self._call_off_release is None:
                self._call_off_release = when_collected(self, partial(_release, server, self._pools))
            try:
                pooler = _probe(server.conninfo, self._options)
            except BaseException:
                self._call_off_release()
                self._server = self._call_off_release = None
                server.close()
                raise
            if self._options.pooler is not None:
                pooler = self._options.pooler
            self.settings = {} if pooler else self._kept
            self._pools.append(
                ConnectionPool[OwnConnection](
                    server.conninfo,
                    connection_class=OwnConnection,
                    kwargs={
                        **_arguments(server.conninfo, self._options),
                        **({"prepare_threshold": None} if pooler else {}),
                    },
                    min_size=0,
                    max_size=self.connections,
                    timeout=_POOL_TIMEOUT,
                    # One attempt at a time: beyond this, calls would wait for one whose turn comes minutes later.
                    reconnect_timeout=_POOL_TIMEOUT,
                    # Not a method: the pool, kept by the finalizer above, would keep this object with it.
                    configure=partial(_configure, self.settings, self._options.timeout),
                    open=True,
                    name="vectorkit",
                )
            )
            self._opened = server, self._pools[-1]
            return self._opened


def _configure(settings: Mapping[str, str], timeout: float, connection: OwnConnection) -> None:
    connection.timeout = timeout
    if settings:
        connection.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS settings(name, value)",
            [list(settings), list(settings.values())],
        )


class _FromOwnPool(PoolLoan):
    """A connection of a pool of one's own."""

    __slots__ = ("_options", "_server", "_source")

    def __init__(
        self, source: OwnPool, options: Options, server: Server, pool: "ConnectionPool[OwnConnection]"
    ) -> None:
        super().__init__(pool)
        self._source = source
        self._options = options
        self._server = server

    def _take(self) -> Connection:
        while True:
            try:
                return super()._take()
            except PoolTimeout:
                self._server.ensure_running()
                _probe(self._server.conninfo, self._options)
                raise
            except PoolClosed:  # another call has abandoned it, unless the store was closed
                _, pool = self._source.open()
                if pool is self._pool:
                    raise
                self._pool, self._settled = pool, False

    def _give_up(self) -> None:
        self._source.abandon(self._pool)
        super()._give_up()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _release(server: Server, pools: "list[ConnectionPool[OwnConnection]]") -> None:
    for pool in pools:
        pool.close()
    server.close()


def _probe(conninfo: str, options: Options) -> bool:
    """Connect once: a pool tries again and again, and in the end does not say why it failed.

    Returns:
        Whether there is a pooler in between: the process that introduced itself (in `BackendKeyData`, by which queries
        are cancelled; https://www.postgresql.org/docs/current/protocol-flow.html) is not the one that runs statements.
    """
    try:
        with OwnConnection.connect(conninfo, **_arguments(conninfo, options)) as connection:
            connection.timeout = options.timeout
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            return row != (connection.info.backend_pid,)
    except Unanswered:
        raise
    except psycopg.Error as error:
        raise translate_refusal(error, describe(conninfo)) from error


class CallersPool:
    """The caller's pool; it is not closed here."""

    joins = False

    def __init__(self, pool: "ConnectionPool[Any]") -> None:
        self.settings: dict[str, str] = {}
        self.connections = pool.max_size
        self._pool = pool
        self._pid = os.getpid()

    def connection(self) -> Loan:
        """See `Source.connection`."""
        _check_process(self._pid, "pool")
        return PoolLoan(self._pool)

    def spare(self) -> int:
        """See `Source.spare`; the caller's are for the caller."""
        return 0

    def recover(self) -> bool:
        """See `Source.recover`."""
        self._pool.check()
        return True

    def close(self) -> None:
        """See `Source.close`."""


class CallersConnection:
    """The caller's connection, lent to one thread at a time; it is not closed here."""

    joins = True
    connections = 1

    def __init__(self, connection: Connection) -> None:
        self.settings: dict[str, str] = {}
        self._connection = connection
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def connection(self) -> Loan:
        """See `Source.connection`."""
        _check_process(self._pid, "connection")
        return CallersLoan(self._connection, self._lock.acquire, self._lock.release)

    def spare(self) -> int:
        """See `Source.spare`."""
        return 0

    def recover(self) -> bool:
        """See `Source.recover`."""
        return False

    def close(self) -> None:
        """See `Source.close`."""


def check_url(url: str) -> None:
    """Check a URL as far as that can be done without connecting.

    Raises:
        InvalidArgumentError: It is malformed. The message shows nothing of it: a password that is not
            percent-encoded may have slipped into any part.
    """
    try:
        parts = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeEncodeError):
        parts = {"port": "malformed"}
    ports = str(parts.get("port", "")).split(",")
    hosts = str(parts.get("host", "")).split(",")
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    slipped = "@" in path or authority.count("@") > 1 or any("@" in host and host[0] not in "/@" for host in hosts)
    if slipped or not all(port == "" or port.isdecimal() for port in ports):
        raise InvalidArgumentError(
            "malformed URL; expected postgresql://user:password@host:port/database?option=value, with options that "
            "libpq knows, and the characters @ : / ? # % in the user and the password percent-encoded "
            "(urllib.parse.quote)"
        )


def describe(conninfo: str) -> str:
    """Where a connection goes to, without its password."""
    # What the parser took for a host may be the rest of a password.
    parts = {
        name: value if _PLAIN.fullmatch(str(value)) else HIDDEN for name, value in conninfo_to_dict(conninfo).items()
    }
    place = f"{parts.get('host', 'local socket')}:{parts.get('port', 5432)}"
    return f"{place}/{parts['dbname']}" if "dbname" in parts else place


def _arguments(conninfo: str, options: Options) -> dict[str, Any]:
    given = conninfo_to_dict(conninfo)
    wanted: dict[str, Any] = {
        **_KEEPALIVES,
        "tcp_user_timeout": int(options.timeout * 1000),  # libpq reckons in milliseconds
        "connect_timeout": min(_CONNECT_TIMEOUT, max(2, math.ceil(options.timeout))),  # libpq takes 2 s at the least
        "fallback_application_name": "vectorkit",
    }
    arguments: dict[str, Any] = {name: value for name, value in wanted.items() if name not in given}
    return {"autocommit": True, "client_encoding": "UTF8", **arguments}


def _check_process(pid: int, what: str) -> None:
    if os.getpid() != pid:
        raise BackendError(
            f"this {what} was opened by another process, before a fork, and cannot be shared with it; "
            "open a new one here, and a new store on it"
        )


_own_pools: "weakref.WeakSet[OwnPool]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """At the end of the interpreter: neither threads nor a server are left behind."""
    for pool in list(_own_pools):
        pool.close()


_of_parents: list[object] = []


def _after_fork() -> None:
    for pool in list(_own_pools):
        # Kept: the threads of the parent's pool are gone, and collecting it would have it wait for them.
        _of_parents.append(vars(pool).copy())
        pool.start_over()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
