"""What a collection takes on the disk of this server: its tables and their indexes."""

from typing import Final, Literal

from vectorkit.types import Storage
from vectorkit_pgvector.adopted.inspection import count_unsound, unsound_rows
from vectorkit_pgvector.collections import partitions as partitioning
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql.codec import text_array
from vectorkit_pgvector.sql.tables import Statement, Table
from vectorkit_pgvector.sql.text import TextTables

__all__ = ["measure"]

_EXAMPLES: Final = 5


def measure(session: Session, table: Table, tables: TextTables) -> Storage:
    """Measure a collection.

    Args:
        session: Where to look.
        table: The collection's table; partitions of it on other servers do not count.
        tables: Those of its text index, if it has one.
    """
    indexes = [name for name, _ in session.rows(index_sql.existing(table))]
    index = _bytes(session, indexes)
    whole = _bytes(session, [part.name for part in partitioning.parts(session, table)])
    text = _bytes(session, [tables.documents, tables.postings, tables.dead])
    left_out = 0
    examples: tuple[str, ...] = ()
    if table.adopted is not None:
        given = table.name, table.facts, table.adopted, table.spec.metric
        if left_out := count_unsound(session, *given):
            examples = tuple(str(id) for id, _ in session.rows(unsound_rows(*given, limit=_EXAMPLES)))
    return Storage(
        records=whole - index,
        vector_index=index,
        text_index=text,
        index_state=_state(session, table),
        left_out=left_out,
        left_out_ids=examples,
    )


def _bytes(session: Session, names: list[str]) -> int:
    """The bytes of relations of these names, with all that belongs to them; those that are not there have none."""
    total = "sum(pg_total_relation_size(to_regclass(name)))"
    ((size,),) = session.rows(
        Statement(f"SELECT coalesce({total}, 0)::bigint FROM unnest($1::text[]) AS named(name)", [text_array(names)])
    )
    return int(size)


def _state(session: Session, table: Table) -> Literal["none", "waiting", "building", "ready", "missing"]:
    if index_sql.representation(table.spec) is None:
        return "none"
    if session.rows(index_sql.being_built(table)):
        return "building"
    ((usable, many),) = session.rows(index_sql.state(table))
    if usable:
        return "ready"
    return "missing" if many else "waiting"
