"""Transactions: whatever the source of a connection, each call takes place in one, all or nothing.

On a caller's connection that is the caller's transaction; a savepoint keeps a call that fails from spoiling it, and
nothing is committed. (In autocommit mode there is none unless the caller began one; a call then is its own.) Elsewhere
a single statement that reads needs no more than autocommit.
"""

import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors
from psycopg.adapt import AdaptersMap
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from vectorkit.errors import BackendError
from vectorkit_pgvector._errors import is_lost
from vectorkit_pgvector.connections.loans import is_between_statements
from vectorkit_pgvector.connections.permits import Permits
from vectorkit_pgvector.connections.sources import Connection, OwnConnection, Source
from vectorkit_pgvector.connections.transactions import Savepoint, Transaction
from vectorkit_pgvector.sql.codec import COPY_END, COPY_START, Binary, BinaryDumper, text_array
from vectorkit_pgvector.sql.tables import Statement

__all__ = ["Session", "Sessions"]

T = TypeVar("T")

_CONFLICT_ATTEMPTS: Final = 10
_CONFLICT_PAUSE: Final = 0.002  # seconds at the most after the first conflict, twice as much after each further one
_HELPERS: Final = 3  # connections that calls use beyond one each, all together: a third of a pool of one's own
_LARGE: Final = 100_000  # characters or bytes of a parameter; the largest vector has 64,004
_STREAMED: Final = 50  # rows that libpq hands over at once, where it can (from 17 on)
_SET: Final = (
    # OFFSET 0 keeps the planner from merging the subquery, so that the value is read before it is changed.
    "SELECT name, before, set_config(name, value, $3::bool) FROM ("
    "SELECT name, value, current_setting(name, true) AS before "
    "FROM unnest($1::text[], $2::text[]) AS wanted(name, value) OFFSET 0) AS settings"
)
_NO_TRANSACTION: Final = nullcontext()

_ADAPTERS: Final = AdaptersMap(psycopg.adapters)
_ADAPTERS.register_dumper(Binary, BinaryDumper)


class _Cursor(psycopg.RawCursor[tuple[Any, ...]]):
    """Neither reads nor changes how the connection adapts types, which is its owner's."""

    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


class Session:
    """A connection within one call: sends statements, in binary, whatever the connection's own settings are.

    Args:
        connection: The connection.
        joins: Whether what is done becomes part of the caller's transaction.
    """

    def __init__(self, connection: Connection, *, joins: bool) -> None:
        # As the server names it; the other one knows all the spellings that a proxy may report, and takes longer.
        if connection.pgconn.parameter_status(b"client_encoding") != b"UTF8" and connection.info.encoding != "utf-8":
            raise BackendError(
                f"the connection's client_encoding is {connection.info.encoding}, which cannot hold every text; "
                "set it to UTF8 (client_encoding=utf8 when connecting)"
            )
        if connection.pgconn.pipeline_status != PipelineStatus.OFF:
            raise BackendError("the connection is in pipeline mode, where results come late: leave the pipeline block")
        self.connection = connection
        self.joins = joins
        self._cursor = _Cursor(connection, row_factory=tuple_row)

    @classmethod
    def on(cls, connection: Connection, *, joins: bool) -> "Session":
        """The session of a connection; one of our own keeps it: a new cursor takes a quarter longer."""
        if not isinstance(connection, OwnConnection):
            return cls(connection, joins=joins)
        if connection.kept is None:
            connection.kept = cls(connection, joins=joins)
        session: Session = connection.kept
        return session

    def rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows."""
        self._execute(statement)
        rows = self._cursor.fetchall()
        self._let_go(statement)
        return rows

    def each(self, statements: Sequence[Statement], take: Callable[[int, list[tuple[Any, ...]]], T]) -> list[T]:
        """Run statements that return rows, all of them in one round trip.

        Args:
            statements: The statements.
            take: Makes something of a statement's number and its rows, while the server is at the next ones; it must
                not use the session.
        """
        if len(statements) == 1:
            return [take(0, self.rows(statements[0]))]
        cursors: list[_Cursor] = []
        try:
            with self.connection.pipeline():
                for text, parameters, prepare in statements:
                    cursor = _Cursor(self.connection, row_factory=tuple_row)
                    cursors.append(cursor.execute(text.encode(), parameters, prepare=prepare, binary=True))
                return [take(at, cursor.fetchall()) for at, cursor in enumerate(cursors)]
        except BaseException as error:
            # psycopg may go on using names of prepared statements that the server never got, or has refused to make
            # since one before them failed. A transaction of the caller's forgets them when rolled back; outside of
            # one, psycopg forgets them when they are all deallocated.
            if not self.joins or not is_between_statements(error):
                self.connection.pgconn.finish()
            elif self.connection.pgconn.transaction_status == TransactionStatus.IDLE:
                self.command(b"DEALLOCATE ALL")
            raise

    def run(self, statement: Statement) -> int:
        """Run a statement and return the number of rows it concerned."""
        self._execute(statement)
        count = self._cursor.rowcount
        self._let_go(statement)
        return count

    def _execute(self, statement: Statement) -> None:
        text, parameters, prepare = statement
        self._cursor.execute(text.encode(), parameters, prepare=prepare, binary=True)

    def _let_go(self, statement: Statement) -> None:
        """Let go of what the cursor holds of a statement, or a session that is kept would hold it until the next."""
        if self._cursor.pgresult is not None:
            self._cursor.pgresult.clear()
        for each in statement.parameters:
            if isinstance(each, (str, bytes)) and len(each) > _LARGE:
                self._cursor = _Cursor(self.connection, row_factory=tuple_row)
                return

    def stream(self, statement: Statement) -> Generator[tuple[Any, ...]]:
        """Run a statement and yield its rows as they arrive, without holding them all."""
        size = _STREAMED if psycopg.capabilities.has_stream_chunked() else 1
        try:
            yield from self._cursor.stream(statement.text.encode(), statement.parameters, binary=True, size=size)
        finally:
            # libpq keeps the mode in which rows arrive for the first result of a pipeline, which psycopg then refuses
            # ("unexpected result status from query: TUPLES_CHUNK"); a query outside of one ends it.
            if self.connection.info.transaction_status in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
                self._cursor.execute(b"")

    def copy(self, text: str, parts: Iterator[bytes]) -> None:
        """Run a COPY FROM STDIN, with parts of the rows in binary format."""
        copying = self._cursor.copy(text.encode())
        try:
            with copying as copy:
                copy.write(COPY_START)
                for part in parts:
                    copy.write(part)
                copy.write(COPY_END)
        except BaseException:
            # After an interrupt on the way into or out of the block, psycopg's generator is suspended with the lock of
            # the connection held, for as long as the traceback is kept.
            copying.gen.close()
            raise

    def command(self, text: bytes) -> str | None:
        """Run a statement without parameters or rows, and return the server's answer, the command tag."""
        self._cursor.execute(text, prepare=False)
        return self._cursor.statusmessage

    @contextmanager
    def unhurried(self) -> Generator[None, None, None]:
        """Wait for the server without the limit of the store's `timeout`, for what takes as long as it takes."""
        connection = self.connection
        if not isinstance(connection, OwnConnection):
            yield
            return
        before, connection.timeout = connection.timeout, None
        try:
            yield
        finally:
            connection.timeout = before

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of the transaction that may fail on its own: what it did is then undone."""
        return Savepoint(self)

    @contextmanager
    def under(
        self, settings: Mapping[str, str], transaction: AbstractContextManager[None]
    ) -> Generator[None, None, None]:
        """A transaction, or a savepoint within the caller's, under settings."""
        with transaction, self.settings(settings, restore=self.joins):
            yield

    @contextmanager
    def settings(self, settings: Mapping[str, str], *, restore: bool) -> Generator[None, None, None]:
        """Make settings for the rest of the transaction; or, if it is the caller's, for the block."""
        if not settings:
            yield
            return
        before = self._set(settings, local=True)
        yield
        if restore:
            self._set(before, local=True)

    @contextmanager
    def settings_outside(self, settings: Mapping[str, str]) -> Generator[None, None, None]:
        """Make settings for the block, outside any transaction.

        Not on a connection that keeps no prepared statements: behind a transaction pooler, for which that is meant, the
        settings could be made in any session, and stay there.
        """
        if self.connection.prepare_threshold is None:
            yield
            return
        before = self._set(settings, local=False)
        try:
            yield
        finally:
            if not self.connection.closed:
                self._set(before, local=False)

    def _set(self, settings: Mapping[str, str], *, local: bool) -> dict[str, str]:
        """Make settings, and return what they were before."""
        rows = self.rows(Statement(_SET, [text_array(list(settings)), text_array(list(settings.values())), local]))
        return {name: before for name, before, _ in rows}


class Sessions:
    """Runs the work of calls on connections of a source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._closed = False
        self._helpers = Permits(_HELPERS)
        self._waiting = Permits(source.connections // 2)

    @property
    def single(self) -> bool:
        """Whether there is one connection only, the caller's."""
        return self._source.joins

    @contextmanager
    def helpers(self, most: int) -> Generator[int, None, None]:
        """How many more connections than one a call may use for the block: never more than a few, for all calls."""
        with self._helpers.taken(min(most, self._source.spare())) as taken:
            yield taken

    @contextmanager
    def may_wait(self) -> Generator[bool, None, None]:
        """Whether a call may hold a connection for the block while it waits for its input.

        Calls that do hold half of the connections at the most: other calls must not wait for somebody's input too.
        """
        with self._waiting.taken(1) as taken:
            yield taken == 1

    def read(self, work: Callable[[Session], T], settings: Mapping[str, str] | None = None) -> T:
        """Do work that only reads, once more if the connection is lost.

        Args:
            work: What to do.
            settings: Settings of the session to do it under; they do not outlast it.
        """
        return self._run(work, settings or {}, writes=False, repeatable=True)

    def write(self, work: Callable[[Session], T], *, repeatable: bool = True) -> T:
        """Do work that writes, in a transaction; again if another one was in the way.

        Args:
            work: What to do.
            repeatable: Whether it can be done again: it reads nothing that is gone once read.
        """
        return self._run(work, {}, writes=True, repeatable=repeatable)

    def outside(self, work: Callable[[Session, bool], T]) -> T:
        """Do work outside any transaction, as some statements must be; within the caller's if one is open.

        Args:
            work: What to do, told whether it is outside; if not, it is in a transaction, all or nothing.
        """
        if self._closed:
            raise BackendError("this store was closed; connect again")
        loan = self._source.connection()
        try:
            with loan as connection:
                autocommit = connection.autocommit
                idle = connection.info.transaction_status == TransactionStatus.IDLE
                if idle and (autocommit or not self._source.joins):
                    connection.autocommit = True
                    try:
                        return work(Session.on(connection, joins=self._source.joins), True)
                    except BaseException as error:
                        loan.doubt(error)
                        raise
                    finally:
                        if not connection.closed:
                            connection.autocommit = autocommit
        finally:
            loan.settle()
        return self.write(lambda session: work(session, False), repeatable=False)

    def close(self) -> None:
        """Close the source; other methods then raise `BackendError`."""
        self._closed = True
        self._source.close()

    def _run(self, work: Callable[[Session], T], settings: Mapping[str, str], *, writes: bool, repeatable: bool) -> T:
        conflicts = 0
        may_reconnect = True
        while True:
            if self._closed:
                raise BackendError("this store was closed; connect again")
            begun = done = False
            loan = self._source.connection()
            try:
                with loan as connection:
                    session = Session.on(connection, joins=self._source.joins)
                    with self._transaction(session, settings, writes):
                        begun = True
                        try:
                            result = work(session)
                        except BaseException as error:
                            loan.doubt(error)
                            raise
                    done = True
                return result
            except (errors.SerializationFailure, errors.DeadlockDetected):
                conflicts += 1
                if self._source.joins or not repeatable or conflicts == _CONFLICT_ATTEMPTS:
                    raise
                time.sleep(random.uniform(0, _CONFLICT_PAUSE * 2**conflicts))
            except psycopg.Error as error:
                # Before `done` nothing was written: a commit that may have been carried out raises no psycopg.Error,
                # so that it is never repeated (see `Transaction`).
                again = not done and (repeatable or not begun)
                if not may_reconnect or not is_lost(error) or not again or not self._source.recover():
                    raise
                may_reconnect = False
            finally:
                loan.settle()

    def _transaction(self, session: Session, settings: Mapping[str, str], writes: bool) -> AbstractContextManager[None]:
        connection, kept = session.connection, self._source.settings
        settings = {name: value for name, value in settings.items() if kept.get(name) != value}
        idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        if idle and not writes and not settings and connection.autocommit:
            return _NO_TRANSACTION
        transaction: AbstractContextManager[None]
        if session.joins and not (idle and connection.autocommit):
            if idle:
                session.run(Statement("SELECT"))  # begins the caller's transaction, which is then left open
            transaction = session.savepoint()
        else:
            transaction = Transaction(session, writes=writes)
        return session.under(settings, transaction) if settings else transaction
