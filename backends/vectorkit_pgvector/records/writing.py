"""Adding, replacing, changing and deleting records, each call within one transaction.

Rows are written in the order of their ids as far as a call has them at hand, so that writers of the same ids wait
for each other instead of deadlocking.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from psycopg import errors

from vectorkit.errors import DuplicateIdError
from vectorkit.filters import Filter
from vectorkit.intake import spooled
from vectorkit.types import Batch, Patch
from vectorkit.validation import already_stored, not_stored
from vectorkit_pgvector.adopted import writing as adopted_writing
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import partitions as partition_sql
from vectorkit_pgvector.sql import records as record_sql
from vectorkit_pgvector.sql.codec import copy_rows
from vectorkit_pgvector.sql.tables import Table
from vectorkit_pgvector.text.words import Words

__all__ = ["Input", "add", "concerns_ids", "delete", "refused", "update", "upsert"]

_COPY_BYTES: Final = 1 << 18
_MESSAGE_BYTES: Final = 1 << 19
"""Of vectors in one part: measured, parts beyond these sizes are slower, and cost memory."""
_BULK: Final = 1000
"""Records in a call from which on it is worth telling the planner of them."""


class Input:
    """Batches as they are read from the caller's iterable, which can be read only once.

    Attributes:
        repeatable: Whether they can be read again: there is no more than one, and it is at hand.
        ids: The ids of what was read so far.
        failures: What reading raised.
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.ids: list[str] = []
        self.failures: list[BaseException] = []
        self._rest = self._noted(batches)
        self._first = list(islice(self._rest, 2))
        self.repeatable = len(self._first) < 2

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._first) if self.repeatable else chain(self._first, self._rest)

    @contextmanager
    def spooled(self) -> Generator[None, None, None]:
        """Read all of them into a temporary file, from which the block then has them without waiting."""
        with spooled(self) as kept:
            self._first, self._rest = [], kept
            yield

    def _noted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        try:
            for batch in batches:
                self.ids += batch.ids
                yield batch
        except BaseException as error:
            self.failures.append(error)
            raise


def add(session: Session, table: Table, words: Words, batches: Input) -> None:
    """See `VectorBackend.add`; an id that is stored is psycopg's `UniqueViolation`."""
    for batch in batches:  # one COPY each, not one in all: where the input comes from may need the connection too
        if table.adopted is not None:
            for part in _parts(batch, table, _MESSAGE_BYTES):
                adopted_writing.insert(session, table, table.adopted, part)
            continue
        parts = _parts(batch, table, _COPY_BYTES)
        rows = (copy_rows(part.ids, part.documents, part.metadatas, part.embeddings) for part in parts)
        session.copy(record_sql.copy_in(table), rows)
        words.add(batch.ids, batch.documents)
    words.finish()
    _inform_planner(session, table, batches)


def concerns_ids(table: Table, error: errors.UniqueViolation) -> bool:
    """Whether it is an id that is there already; a table of the application's may keep other columns unique too."""
    return table.adopted is None or error.diag.constraint_name == table.adopted.unique


def refused(session: Session, table: Table, ids: Sequence[str], detail: str) -> DuplicateIdError:
    """The error for `add` that was refused.

    Args:
        session: Where to look.
        table: Where the ids are stored.
        ids: Those that were to be added.
        detail: What the server said, for when they cannot be seen (any more).
    """
    found = session.rows(record_sql.taken(table, ids))
    if not found:
        return DuplicateIdError(f"{detail}; nothing was written; use upsert to replace records")
    return already_stored([id for id, _ in found], count=found[0][1])


def upsert(session: Session, table: Table, words: Words, batches: Input) -> None:
    """See `VectorBackend.upsert`."""
    if not table.layout.unique:
        session.run(partition_sql.lock(table))
    for batch in batches:
        for part in _parts(batch, table, _MESSAGE_BYTES):
            if table.adopted is not None:
                adopted_writing.upsert(session, table, table.adopted, part)
                continue
            if not table.layout.unique:
                session.run(record_sql.delete(table, part.ids, None))
            session.run(record_sql.upsert(table, part))
        words.replace(batch.ids, batch.documents)
    words.finish()
    _inform_planner(session, table, batches)


def update(session: Session, table: Table, words: Words, patches: Sequence[Patch]) -> None:
    """See `VectorBackend.update`."""
    ids = [id for patch in patches for id in patch.ids]
    stored = {id for (id,) in session.rows(record_sql.lock_rows(table, ids))}
    if missing := [id for id in ids if id not in stored]:
        raise not_stored(missing)
    for patch in patches:
        for part in _patch_parts(patch, table, _MESSAGE_BYTES):
            if table.adopted is None:
                session.run(record_sql.update(table, part))
            else:
                adopted_writing.update(session, table, table.adopted, part)
        if patch.documents is not None:
            words.replace(patch.ids, patch.documents)
    words.finish()


def delete(session: Session, table: Table, words: Words, ids: Sequence[str] | None, where: Filter | None) -> int:
    """See `VectorBackend.delete`."""
    statement = record_sql.delete(table, ids, where)
    if table.adopted is not None:
        return session.run(statement)
    gone = [id for (id,) in session.rows(statement)]
    words.forget(gone)
    words.finish()
    return len(gone)


def _inform_planner(session: Session, table: Table, written: Input) -> None:
    """Analyze a table after its first bulk load.

    Until autovacuum does, a minute later, the planner guesses the number of rows from the size of the file, by far too
    many where rows are wide, and starts parallel workers for what one scan does in less time than they take to start.
    Not in the caller's transaction, which would hold the lock until it ends, and not a table of the application's.
    """
    if len(written.ids) < _BULK or session.joins or table.adopted is not None:
        return
    if session.rows(record_sql.unanalyzed(table)):
        with session.settings({"default_statistics_target": "1"}, restore=False):  # 300 rows will do, 30,000 take long
            session.run(record_sql.analyze(table))


def _parts(batch: Batch, table: Table, size: int) -> Iterator[Batch]:
    """The rows in the order of their ids, in parts whose vectors take about `size` bytes."""
    order = sorted(range(len(batch)), key=batch.ids.__getitem__)
    for part in _slices(batch, table, size):
        rows = order[part]
        yield Batch(
            [batch.ids[row] for row in rows],
            [batch.documents[row] for row in rows],
            batch.embeddings[rows],
            [batch.metadatas[row] for row in rows],
        )


def _patch_parts(patch: Patch, table: Table, size: int) -> Iterator[Patch]:
    for part in _slices(patch, table, size):
        yield replace(
            patch,
            ids=patch.ids[part],
            documents=patch.documents and patch.documents[part],
            embeddings=None if patch.embeddings is None else patch.embeddings[part],
            metadatas=patch.metadatas and patch.metadatas[part],
        )


def _slices(rows: Batch | Patch, table: Table, size: int) -> Iterator[slice]:
    step = min(1000, max(1, size // (4 * table.spec.dimension)))
    return (slice(start, start + step) for start in range(0, len(rows), step))
