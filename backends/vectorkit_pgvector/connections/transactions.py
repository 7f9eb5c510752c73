"""Where transactions begin and end: no write returns without a COMMIT that the server has answered with COMMIT.

psycopg's `Connection.transaction()` does not promise that. A rollback to a savepoint that fails is only logged, so that
whoever expects and handles the error in the block goes on as if the transaction were alive; and a COMMIT that the
server answers with ROLLBACK, as it does after a statement that failed, passes for one.
"""

from types import TracebackType
from typing import Any, Final, Protocol

import psycopg
from psycopg.pq import TransactionStatus

from vectorkit.errors import BackendError, BackendTimeoutError, BackendUnavailableError
from vectorkit_pgvector._errors import Unanswered, ended_connection

__all__ = ["Commands", "Savepoint", "Transaction"]

# One name serves all: an inner savepoint hides an outer one of the same name.
_SAVEPOINT: Final = b"SAVEPOINT vectorkit"
_RELEASE: Final = b"RELEASE vectorkit"
_ROLLBACK_TO: Final = b"ROLLBACK TO vectorkit; RELEASE vectorkit"
_ALIVE: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR)

_IN_DOUBT: Final = (
    "PostgreSQL: the connection ended before the server answered COMMIT: either all that this call wrote is stored, "
    "or nothing; look with get() or count(), or call again (upsert, update and delete may be repeated; after an add "
    "that was stored, another one raises DuplicateIdError)"
)


class Commands(Protocol):
    """What transactions need of a session."""

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection."""
        ...

    def command(self, text: bytes) -> str | None:
        """Run a statement without parameters or rows, and return the server's answer, the command tag."""
        ...


class Transaction:
    """A transaction of ours: committed at the end of the block, rolled back if that raises.

    Args:
        session: Where.
        writes: Whether a commit without an answer leaves something in doubt. Where not, psycopg's error comes out, and
            the block may be repeated.

    Raises:
        BackendUnavailableError: The commit was sent, and the connection ended without the answer
            (`BackendTimeoutError`: the answer did not come in time). No other error leaves open whether the block was
            stored: after any other one, nothing was.
    """

    __slots__ = ("_session", "_writes")

    def __init__(self, session: Commands, *, writes: bool) -> None:
        self._session = session
        self._writes = writes

    def __enter__(self) -> None:
        connection = self._session.connection
        # A pool's check, say, may have begun a transaction; it then becomes this one.
        if connection.pgconn.transaction_status != TransactionStatus.INTRANS:
            # Unless in autocommit mode, psycopg begins one before any statement.
            self._session.command(_begin(connection) if connection.autocommit else b"SELECT")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._commit()
        else:
            self._roll_back()

    def _commit(self) -> None:
        connection = self._session.connection
        status = TransactionStatus(connection.pgconn.transaction_status)
        if status != TransactionStatus.INTRANS:
            self._roll_back()
            if connection.closed:  # nothing was sent, so it may be repeated
                raise psycopg.OperationalError("the connection was lost before the transaction was to be committed")
            raise BackendError(
                f"PostgreSQL: the transaction ended before it was to be committed ({status.name}); do not commit or "
                "roll back in what feeds the call"
            )
        try:
            answer = self._session.command(b"COMMIT")
        except psycopg.Error as error:
            # An error of the server's on a connection that lives is an answer: it has rolled back.
            answered = error.sqlstate is not None and connection.pgconn.transaction_status == TransactionStatus.IDLE
            if answered or not self._writes:
                raise
            _end(connection)
            kind = BackendTimeoutError if isinstance(error, Unanswered) else BackendUnavailableError
            raise kind(_IN_DOUBT) from error
        if answer != "COMMIT":
            raise BackendError(
                f"PostgreSQL answered COMMIT with {answer}: nothing of the call was stored; call again, and report this"
            )

    def _roll_back(self) -> None:
        connection = self._session.connection
        try:
            if connection.pgconn.transaction_status in _ALIVE:
                self._session.command(b"ROLLBACK")
            elif connection.pgconn.transaction_status != TransactionStatus.IDLE:
                _end(connection)
        except psycopg.Error:
            # Without a COMMIT nothing is stored, and whoever raised in the block is heard: the call fails anyway.
            _end(connection)
        except BaseException:
            _end(connection)
            raise


class Savepoint:
    """A part of a transaction that may fail on its own; what is done is undone then, or the connection ended.

    Raises:
        psycopg.Error: It could not be undone, so that the transaction is lost: raised in place of an error of the
            block, which somebody may know how to handle, and who would then believe the transaction alive.
    """

    __slots__ = ("_session",)

    def __init__(self, session: Commands) -> None:
        self._session = session

    def __enter__(self) -> None:
        self._session.command(_SAVEPOINT)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._undo(error)
            return
        try:
            self._session.command(_RELEASE)
        except BaseException as failure:
            self._undo(failure)
            raise

    def _undo(self, error: BaseException) -> None:
        try:
            self._session.command(_ROLLBACK_TO)
        except BaseException as failure:
            _end(self._session.connection)
            # An interrupt, or what ended the connection, is what there is to say; nobody takes it for less.
            if isinstance(error, Exception) and not ended_connection(error):
                raise failure from error


def _begin(connection: psycopg.Connection[Any]) -> bytes:
    """BEGIN, as psycopg has it for the characteristics that its owner has given to the connection."""
    words = ["BEGIN"]
    if connection.isolation_level is not None:
        words.append(f"ISOLATION LEVEL {connection.isolation_level.name.replace('_', ' ')}")
    if connection.read_only is not None:
        words.append("READ ONLY" if connection.read_only else "READ WRITE")
    if connection.deferrable is not None:
        words.append("DEFERRABLE" if connection.deferrable else "NOT DEFERRABLE")
    return " ".join(words).encode()


def _end(connection: psycopg.Connection[Any]) -> None:
    """End a connection in an unknown state; not by `close`, which may give it back to the caller's pool."""
    connection.pgconn.finish()
