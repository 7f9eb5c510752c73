"""Collections in several tables: partitions by hash of the id, each with indexes of its own.

PostgreSQL routes each row to its partition, and merges what searches of them find (Merge Append). The vector indexes
are the partitions' own and not parts of one of the whole table, because such a one can neither be built nor dropped
while writers go on (`CONCURRENTLY` is refused). A partition may be a foreign table, which lies on another server: there
the primary key and the vector index are kept by that server, and none is kept here over the whole table.
"""

import math
from dataclasses import replace

from vectorkit.indexes import IVFFlat
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql import partitions as partition_sql
from vectorkit_pgvector.sql.tables import WHOLE, Layout, Table

__all__ = ["layout", "parts"]


def layout(session: Session, name: str) -> Layout | None:
    """How a table is laid out; None if it is gone.

    Args:
        session: Where to look.
        name: The table's name, qualified and quoted.
    """
    rows = session.rows(partition_sql.layout(name))
    return Layout._make(rows[0]) if rows else None


def parts(session: Session, table: Table) -> list[Table]:
    """The tables of this server that hold the rows: the table itself, or those of its partitions that are here.

    Lists of an IVFFlat index, if their number is given, are shared among all partitions.
    """
    if not table.layout.partitions:
        return [table]
    spec = table.spec
    if isinstance(spec.index, IVFFlat) and spec.index.lists:
        lists = math.ceil(spec.index.lists / table.layout.partitions)
        spec = replace(spec, index=replace(spec.index, lists=lists))
    names = session.rows(partition_sql.local_parts(table))
    return [replace(table, name=name, spec=spec, layout=WHOLE) for (name,) in names]
