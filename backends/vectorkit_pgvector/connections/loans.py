"""Connections for the time of one call; those that an error leaves in doubt are not used again."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from vectorkit.errors import VectorKitError

__all__ = ["CallersLoan", "Connection", "Loan", "PoolLoan", "is_between_statements"]

Connection: TypeAlias = psycopg.Connection[Any]


class Loan(Protocol):
    """A connection for the time of one call.

    It is given back at the end of the block, and ended if anything about it is in doubt: an exception that is not the
    server's or ours, such as Ctrl-C, may have come between any two steps, of psycopg's too.
    """

    def __enter__(self) -> Connection:
        """Take the connection, in a state to work with."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None: ...

    def doubt(self, error: BaseException) -> None:
        """End the connection, in the block, if an error leaves it in doubt: nothing more is to be sent on it."""
        ...

    def settle(self) -> None:
        """Make good that taking or giving back was interrupted; to be called after the block, however that ended."""
        ...


class PoolLoan:
    """A connection of a pool; a class, as a generator costs every search more.

    Args:
        pool: The pool.
    """

    __slots__ = ("_connection", "_pool", "_settled")

    def __init__(self, pool: "ConnectionPool[Any]") -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._settled = True

    def __enter__(self) -> Connection:
        self._settled = False
        self._connection = connection = self._take()
        return connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        assert self._connection is not None
        if error is not None:
            self.doubt(error)
            if self._connection.pgconn.transaction_status != TransactionStatus.IDLE:
                self._end()
        self._pool.putconn(self._connection)  # which replaces one that has ended
        self._settled = True

    def doubt(self, error: BaseException) -> None:
        """See `Loan.doubt`."""
        if not is_between_statements(error):
            self._end()

    def settle(self) -> None:
        """See `Loan.settle`."""
        if not self._settled:
            self._give_up()
            self._settled = True

    def _take(self) -> Connection:
        try:
            connection: Connection = self._pool.getconn()
            return connection
        except (PoolTimeout, PoolClosed, TooManyRequests):  # then there is none that could be lost
            self._settled = True
            raise

    def _give_up(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.pgconn.finish()  # `close` may give it back to the caller's pool


class CallersLoan:
    """The caller's connection; in doubt or not, it is the caller's, and stays.

    Args:
        connection: The connection.
        acquire: Waits until no other call has it.
        release: Lets others have it.
    """

    def __init__(self, connection: Connection, acquire: Callable[[], bool], release: Callable[[], None]) -> None:
        self._connection = connection
        self._acquire = acquire
        self._release = release
        self._held = False

    def __enter__(self) -> Connection:
        self._held = self._acquire()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.settle()

    def doubt(self, error: BaseException) -> None:
        """See `Loan.doubt`."""

    def settle(self) -> None:
        """See `Loan.settle`."""
        if self._held:
            self._held = False
            self._release()


def is_between_statements(error: BaseException) -> bool:
    """Whether an error came between two statements, as what the server reports and what we raise does.

    Anything else may have come within one: `KeyboardInterrupt`, `MemoryError`, whatever the handler of a signal raises.
    It may hide behind another error that was raised while it was handled.
    """
    each: BaseException | None = error
    while each is not None:
        if not (isinstance(each, VectorKitError) or (isinstance(each, psycopg.Error) and each.sqlstate is not None)):
            return False
        each = each.__context__
    return True
