"""Collections in several tables: partitions by hash of the id, each with indexes of its own.

PostgreSQL routes each row to its partition, and merges what searches of them find (Merge Append). The vector indexes
are the partitions' own and not parts of one of the whole table, because such a one can neither be built nor dropped
while writers go on (`CONCURRENTLY` is refused). A partition may be a foreign table, which lies on another server: there
the primary key and the vector index are kept by that server, and none is kept here over the whole table.
"""

import math
from dataclasses import replace
from typing import Final

from vectorkit.indexes import IVFFlat
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql.tables import WHOLE, Layout, Statement, Table

__all__ = ["LOCAL", "MAX_PARTITIONS", "among", "layout", "lock", "parts"]

MAX_PARTITIONS: Final = 100
"""Every search asks the index of each; and the limit of their names, see `partition_name` in `sql.tables`."""

LOCAL: Final = (
    "SELECT inhrelid FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class AS part ON part.oid = inhrelid "
    "WHERE inhparent = $1::regclass AND part.relkind = 'r'"
)
"""SQL of a query for the oids of those partitions of a table, `$1` its name, that hold their rows on this server."""


def layout(session: Session, name: str) -> Layout | None:
    """How a table is laid out; None if it is gone.

    Args:
        session: Where to look.
        name: The table's name, qualified and quoted.
    """
    rows = session.rows(
        Statement(
            "SELECT (SELECT count(*) FROM pg_catalog.pg_inherits WHERE inhparent = pg_class.oid)::int, "
            "EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = pg_class.oid AND indisunique AND indisvalid) "
            "FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)",
            [name],
        )
    )
    return Layout._make(rows[0]) if rows else None


def parts(session: Session, table: Table) -> list[Table]:
    """The tables of this server that hold the rows: the table itself, or those of its partitions that are here.

    Lists of an IVFFlat index, if their number is given, are shared among all partitions.
    """
    if not table.layout.partitions:
        return [table]
    names = Statement(
        "SELECT format('%I.%I', nspname, relname) FROM pg_catalog.pg_class "
        "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace "
        f"WHERE pg_class.oid IN ({LOCAL}) ORDER BY pg_class.oid",
        [table.name],
    )
    spec = table.spec
    if isinstance(spec.index, IVFFlat) and spec.index.lists:
        lists = math.ceil(spec.index.lists / table.layout.partitions)
        spec = replace(spec, index=replace(spec.index, lists=lists))
    return [replace(table, name=name, spec=spec, layout=WHOLE) for (name,) in session.rows(names)]


def among(table: Table) -> str:
    """SQL that follows an oid, and is true if it is that of a table which holds rows of `$1`, the table's name."""
    if not table.layout.partitions:
        return "= $1::regclass"
    return "IN (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = $1::regclass)"


def lock(table: Table) -> Statement:
    """Keep other writers out until the transaction ends.

    Where no index keeps ids unique over all partitions, `ON CONFLICT` has nothing to go by: rows are deleted and
    inserted, and two writers who do that with the same new id would each find nothing to delete.
    """
    return Statement(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
