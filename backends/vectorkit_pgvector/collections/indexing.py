"""Building and dropping vector indexes: after a load, and on a table in use.

An index of a collection is built when there are enough records for it to be used, within the call that wrote the last
of them: loading into an indexed table takes several times as long as loading and then building. Until then every
search compares all records. The vector indexes of a collection's table are the collection's: whatever else is found
there when one is built, say what a build that failed has left, is dropped.
"""

import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

import psycopg
from psycopg import errors

from vectorkit.errors import BackendError, UnsupportedError
from vectorkit.indexes import Index, IndexProgress, IVFFlat
from vectorkit.types import CollectionInfo
from vectorkit_pgvector.collections import partitions as partitioning
from vectorkit_pgvector.collections.catalog import Catalog
from vectorkit_pgvector.connections.sessions import Session, Sessions
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql.tables import Statement, Table

__all__ = ["Indexing"]

_MOST_MEMORY: Final = 1 << 20
"""kB of maintenance memory that a build may have, unless the server gives more to all of them."""
_WORKERS: Final = 4
"""Parallel workers that a build may have, unless the server gives more, or has fewer."""
_PATIENCE: Final = "2s"
_TRANSACTION_TIMEOUT: Final = 170_000  # the first version of PostgreSQL that has it
_POLL: Final = 0.2  # seconds between two looks at the progress

_TOO_LITTLE_SHARED: Final = (errors.DiskFull, errors.OutOfMemory)
"""What a parallel build raises where the server has little shared memory: a container's `/dev/shm` of 64 MB."""

_ENDED: Final = (*_TOO_LITTLE_SHARED, errors.QueryCanceled)
"""What ends a build and no more: the server lacks room for it, or an administrator has cancelled it."""


class Indexing:
    """Builds and drops the indexes of the collections of a catalog."""

    def __init__(self, sessions: Sessions, catalog: Catalog) -> None:
        self._sessions = sessions
        self._catalog = catalog

    def settle(self, session: Session, collection: CollectionInfo, table: Table) -> None:
        """Build the index of a collection at the end of a write if it is due. Fails if the table is gone.

        The rest of the transaction keeps other writers waiting then. If one is at work already, it is left to the end
        of the last one, or to the next write; so it is where the user does not own the table. A table of the
        application's gets no index but by `create`.
        """
        if table.adopted is not None:
            return
        ((usable, many),) = session.rows(index_sql.state(table))
        if usable or not many or index_sql.representation(table.spec) is None:
            return
        # What is caught here was undone by the savepoint, which raises another error if it cannot be: the transaction
        # is alive, what was written before stands in it, and the caller of this commits it.
        with self._left(table), suppress(errors.LockNotAvailable, errors.InsufficientPrivilege), session.savepoint():
            session.run(index_sql.lock(table))
            table = _with(table, self._catalog.wanted_index(session, collection))
            ((usable, many),) = session.rows(index_sql.state(table))
            if many and not usable and index_sql.representation(table.spec) is not None:
                parts = partitioning.parts(session, table)
                lacking = [part for part in parts if not any(usable for _, usable in _built(session, part))]
                _build(session, table, lacking, outside=False)

    @staticmethod
    @contextmanager
    def _left(table: Table) -> Generator[None, None, None]:
        """Leave a build that the server ended to a later write, and say so; what was written stays."""
        try:
            yield
        except _ENDED as error:
            warnings.warn(
                f"the index of {table.spec.name!r} was not built ({error.diag.message_primary}): what was written is "
                "kept, every search compares all records, and the next write tries again; or call create_index()",
                stacklevel=2,
            )

    def create(
        self,
        collection: CollectionInfo,
        table: Table,
        index: Index,
        progress: Callable[[IndexProgress], object] | None,
        *,
        again: bool,
    ) -> CollectionInfo:
        """See `VectorBackend.create_index`; `again` builds it anew also if it is there."""
        if table.adopted is not None and table.adopted.half and index.quantization is None:
            index = replace(index, quantization="half")  # the column holds no more
        wanted = _with(table, index)
        index_sql.check(wanted.spec)

        def work(session: Session, outside: bool) -> CollectionInfo:
            with _alone(session, table, outside=outside):
                return alone(session, outside)

        def alone(session: Session, outside: bool) -> CollectionInfo:
            stored = self._catalog.wanted_index(session, collection)
            found = _built(session, table)
            ((built, many),) = session.rows(index_sql.state(wanted))
            due = (many or table.adopted is not None) and index_sql.representation(wanted.spec) is not None
            if not many and table.adopted is not None and isinstance(index, IVFFlat):
                raise UnsupportedError(
                    f"an IVFFlat index finds its centres among the records, of which there are fewer than "
                    f"{index_sql.enough(index):,}: build it when they have come, or use index='hnsw'"
                )
            if due and not again and stored == index and built:
                found = [(name, usable) for name, usable in found if not usable]
            elif due:
                _build(session, wanted, partitioning.parts(session, wanted), outside=outside)
            return self._leave(session, collection, index, [name for name, _ in found], outside=outside)

        if progress is None:
            return self._sessions.outside(work)
        return self._watched(work, table, progress)

    def drop(self, collection: CollectionInfo, table: Table) -> CollectionInfo:
        """See `VectorBackend.drop_index`."""

        def work(session: Session, outside: bool) -> CollectionInfo:
            with _alone(session, table, outside=outside):
                found = [name for name, _ in _built(session, table)]
                return self._leave(session, collection, None, found, outside=outside)

        return self._sessions.outside(work)

    def _leave(
        self, session: Session, collection: CollectionInfo, index: Index | None, old: list[str], *, outside: bool
    ) -> CollectionInfo:
        """Store which index there is, and drop those that are not it: in this order, so that no writer builds them."""
        changed = self._catalog.set_index(session, collection, index)
        with session.unhurried():  # outside, it waits for the transactions of others
            for name in old:
                session.run(index_sql.drop(name, concurrently=outside))
        return changed

    def _watched(
        self,
        work: Callable[[Session, bool], CollectionInfo],
        table: Table,
        progress: Callable[[IndexProgress], object],
    ) -> CollectionInfo:
        """Do the work in another thread, and report on it from this one, through another connection."""
        if self._sessions.single:
            raise UnsupportedError(
                "progress= takes a second connection, and this store has only the one that it was given; leave it out, "
                "or open the store with url= or pool="
            )
        lent: list[Session] = []

        def noted(session: Session, outside: bool) -> CollectionInfo:
            lent.append(session)
            return work(session, outside)

        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(self._sessions.outside, noted)
            try:
                self._report(future, table, progress)
            except BaseException:
                for session in lent:
                    session.connection.cancel_safe()
                raise
        changed = future.result()
        progress(IndexProgress("ready", 1, 1))
        return changed

    def _report(
        self, future: "Future[CollectionInfo]", table: Table, progress: Callable[[IndexProgress], object]
    ) -> None:
        while not wait([future], timeout=_POLL).done:
            for phase, done, total in self._sessions.read(lambda session: session.rows(index_sql.progress(table))):
                progress(IndexProgress(phase or "", done or 0, total or 0))


def _with(table: Table, index: Index | None) -> Table:
    return replace(table, spec=replace(table.spec, index=index))


@contextmanager
def _alone(session: Session, table: Table, *, outside: bool) -> Generator[None, None, None]:
    """Refuse to change the indexes of a table while another call does: two concurrent builds end in a deadlock.

    Not behind a transaction pooler, where a lock of the session could stay with it; the server then resolves it.
    """
    for process, phase, percent in session.rows(index_sql.being_built(table)):
        raise BackendError(
            f"an index of {table.spec.name!r} is being built already, by server process {process} ({phase}, "
            f"{percent}%); wait until it is done, or cancel it: SELECT pg_cancel_backend({process});"
        )
    if outside and session.connection.prepare_threshold is None:
        yield
        return
    if session.rows(index_sql.claim(table, session=outside)) != [(True,)]:
        raise BackendError(
            f"another call is building or dropping an index of {table.spec.name!r}; call again when it is done"
        )
    try:
        yield
    finally:
        if outside and not session.connection.closed:  # with the connection, the lock is gone too
            session.rows(index_sql.let_go(table))


def _built(session: Session, table: Table) -> list[tuple[str, bool]]:
    """The names of the table's vector indexes, and whether they can be used."""
    return [(name, usable) for name, usable in session.rows(index_sql.existing(table))]


def _build(session: Session, table: Table, parts: Sequence[Table], *, outside: bool) -> None:
    """Build an index of each of the parts of a table, with memory for all of it and workers for it alone."""
    if not parts:  # all of them are on other servers
        return
    plans = [session.rows(index_sql.build_plan(part))[0] for part in parts]
    statements = [
        index_sql.create(part, plan[0], concurrently=outside) for part, plan in zip(parts, plans, strict=True)
    ]
    rows, memory, workers, most = max(plans)
    needed = min(_memory(table, rows), _MOST_MEMORY)
    settings = {
        "maintenance_work_mem": f"{max(memory, needed)}kB",
        "max_parallel_maintenance_workers": str(max(workers, min(_WORKERS, most // 2))),
        "statement_timeout": "0",  # that of a role is meant for its queries
    }
    if session.connection.info.server_version >= _TRANSACTION_TIMEOUT:
        settings["transaction_timeout"] = "0"
    try:
        _run(session, table, statements, settings, outside=outside)
    except _TOO_LITTLE_SHARED:
        _run(session, table, statements, {**settings, "max_parallel_maintenance_workers": "0"}, outside=outside)


def _run(
    session: Session, table: Table, statements: Sequence[Statement], settings: dict[str, str], *, outside: bool
) -> None:
    with session.unhurried(), _attempt(session, table, settings, outside):
        for statement in statements:
            session.run(statement)


@contextmanager
def _attempt(session: Session, table: Table, settings: dict[str, str], outside: bool) -> Generator[None, None, None]:
    if not outside:
        with session.savepoint(), session.settings(settings, restore=True):
            yield
        return
    before = _built(session, table)
    try:
        with session.settings_outside(settings):
            yield
    except BaseException:
        # Dropping waits for open transactions too; what then remains is dropped by the next build. Nothing acknowledged
        # is lost in what is suppressed: the error of the build is raised anyway.
        with suppress(psycopg.Error), session.settings_outside({"lock_timeout": _PATIENCE}):
            for name, _ in set(_built(session, table)).difference(before):
                session.run(index_sql.drop(name, concurrently=True))
        raise


def _memory(table: Table, rows: int) -> int:
    """KB that building an index takes: the graph of an HNSW, or what k-means does with a sample."""
    index, dimension = table.spec.index, table.spec.dimension
    held = index_sql.representation(table.spec)
    bits = {"full": 32, "half": 16, "binary": 1}[held or "full"]
    vector = dimension * bits // 8 + 16
    if isinstance(index, IVFFlat):
        # As pgvector reckons in `src/ivfbuild.c` and `src/ivfkmeans.c`, which fail with less: the sample, the centres
        # old and new and the sums they are made of, and a bound of the distance of each of the sample to each centre.
        lists = index.lists or index_sql.default_lists(rows)
        sample = max(10_000, 50 * lists)
        needed = sample * (vector + 4 * lists + 8) + lists * (2 * vector + 4 * dimension + 4 * lists + 12)
        return needed // 1024 + 1024
    # About 2m neighbours in the lowest layer, each a pointer and a distance, and as much again for what is above.
    neighbours = 2 * index.m * 16 * 2 if index is not None else 0
    return rows * (vector + neighbours + 184) // 1024 + 1024
