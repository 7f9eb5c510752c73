"""Text search: the words of documents are kept in step with every write, in its transaction (rule 7.1)."""

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any, Final

from psycopg import errors

from vectorkit.text import analyzer
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import text as text_sql
from vectorkit_pgvector.sql.codec import posting_row
from vectorkit_pgvector.sql.tables import Table
from vectorkit_pgvector.sql.text import TextTables
from vectorkit_pgvector.text.postings import Postings

__all__ = ["Words", "build", "create"]

_MOST: Final = 1 << 20
"""Words of documents that are held before they are written: some 50 MB. The more, the fewer rows of postings."""
_AT_ONCE: Final = 5000
"""Documents that are numbered, or read again, in one statement."""
_ROWS_SENT: Final = 256
"""Rows of postings that are sent at once."""
_DUE: Final = 512
"""A merge is looked into once in so many documents that are written or gone."""
_MANY_CALLS: Final = 1000
"""Calls, each of which wrote rows of its own, from which on small rows are merged."""
_SMALL: Final = 64
"""Rows of fewer numbers are merged then."""
_DEAD: Final = (1000, 4, 100_000)
"""All is merged if this many numbers are dead, or this part of all documents, if that is more, but not above a limit:
searches hash the dead, in the memory that a server gives to one operation by default."""


class Words:
    """The text index of one collection within one call that writes; where there is none, it does nothing.

    A table of an application has none: what the application writes there itself would not be in it.

    Args:
        session: Where the call writes; it has written to the collection's table, or locked it, before this is asked.
        table: The collection's table.
        tables: Those of the text index.
        known: Whether it is known that there is an index.
    """

    def __init__(self, session: Session, table: Table, tables: TextTables, *, known: bool) -> None:
        self._session = session
        self._tables = tables
        self._language = table.spec.language
        self._there = False if table.adopted is not None else True if known and not session.joins else None
        self._postings: Postings | None = None
        self._change = 0  # documents more than before
        self._due = False

    def replace(self, ids: Sequence[str], documents: Sequence[str | None]) -> None:
        """Take the words of documents that were written in place of those of the same ids, if there were any."""
        self.forget(ids)
        self.add(ids, documents)

    def add(self, ids: Sequence[str], documents: Sequence[str | None]) -> None:
        """Take the words of documents of new ids; None for a record that has none."""
        if not self._exists():
            return
        texts = ((id, document) for id, document in zip(ids, documents, strict=True) if document is not None)
        while part := dict(islice(texts, _AT_ONCE)):
            rows = self._session.rows(text_sql.number(self._tables, list(part)))
            self._change += len(rows)
            for id, number in rows:
                if self._postings is None:
                    self._postings = Postings(analyzer(self._language))
                self._due = self._due or number % _DUE == 0
                self._postings.note(number, part[id])
                if len(self._postings) >= _MOST:
                    self._write()

    def forget(self, ids: Sequence[str]) -> None:
        """Leave out the documents of these ids."""
        if ids and self._exists():
            ((count, place),) = self._session.rows(text_sql.forget(self._tables, ids))
            self._change -= count
            self._due = self._due or (count > 0 and place % _DUE < count)

    def finish(self) -> None:
        """Write what was held back, at the end of the call."""
        self._write()
        if self._due and not self._session.joins:
            _merge(self._session, self._tables)

    def _exists(self) -> bool:
        if self._there is None:
            ((now, seen),) = self._session.rows(text_sql.exists(self._tables))
            if now and not seen:
                raise errors.SerializationFailure("a text index was made since this transaction began")
            self._there = bool(now)
        return self._there

    def _write(self) -> None:
        if self._postings is None and not self._change:
            return
        postings, change = self._postings, self._change
        self._postings, self._change = None, 0

        rows = chain([posting_row("", change)], () if postings is None else postings.rows())
        parts = iter(lambda: b"".join(islice(rows, _ROWS_SENT)), b"")
        self._session.copy(text_sql.copy_postings(self._tables), parts)


def create(session: Session, table: Table, tables: TextTables) -> None:
    """Make the tables of a text index; and if the database has pg_trgm, an index for `where_document`."""
    for statement in text_sql.create(tables):
        session.run(statement)
    for (schema,) in session.rows(text_sql.trigrams()):
        session.run(text_sql.index_trigrams(table, schema))


def build(session: Session, table: Table, tables: TextTables, progress: Callable[[int, int], None] | None) -> None:
    """Make the tables and fill them with the words of what is stored; nobody else writes until the transaction ends."""
    create(session, table, tables)
    ((total,),) = session.rows(text_sql.size(table))
    words = Words(session, table, tables, known=True)
    done, after = 0, None
    while True:
        if progress is not None:
            progress(done, total)
        records: list[tuple[Any, ...]] = session.rows(text_sql.page(table, after, _AT_ONCE))
        if not records:
            break
        words.add([id for id, _ in records], [document for _, document in records])
        done, after = done + len(records), records[-1][0]
    words.finish()


def _merge(session: Session, tables: TextTables) -> None:
    ((free, documents, dead, calls),) = session.rows(text_sql.merge_state(tables))
    least, part, most = _DEAD
    if free and dead > max(least, min(documents // part, most)):
        session.run(text_sql.merge(tables, None))
    elif free and calls > _MANY_CALLS:
        session.run(text_sql.merge(tables, _SMALL))
