"""The SQL of collections in several tables: which these are, and what holds for all of them."""

from typing import Final

from vectorkit_pgvector.sql.tables import Statement, Table

__all__ = ["LOCAL", "MAX_PARTITIONS", "among", "layout", "local_parts", "lock"]

MAX_PARTITIONS: Final = 100
"""Every search asks the index of each; and the limit of their names, see `partition_name` in `sql.tables`."""

LOCAL: Final = (
    "SELECT inhrelid FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class AS part ON part.oid = inhrelid "
    "WHERE inhparent = $1::regclass AND part.relkind = 'r'"
)
"""SQL of a query for the oids of those partitions of a table, `$1` its name, that hold their rows on this server."""


def layout(name: str) -> Statement:
    """How the table of this name, qualified and quoted, is laid out: the fields of a `Layout`; no row if it is gone."""
    return Statement(
        "SELECT (SELECT count(*) FROM pg_catalog.pg_inherits WHERE inhparent = pg_class.oid)::int, "
        "EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = pg_class.oid AND indisunique AND indisvalid) "
        "FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)",
        [name],
    )


def local_parts(table: Table) -> Statement:
    """Names, qualified and quoted, of those partitions that hold their rows on this server."""
    return Statement(
        "SELECT format('%I.%I', nspname, relname) FROM pg_catalog.pg_class "
        "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace "
        f"WHERE pg_class.oid IN ({LOCAL}) ORDER BY pg_class.oid",
        [table.name],
    )


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
