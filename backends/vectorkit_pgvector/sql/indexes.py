"""The SQL of vector indexes: what they hold, how they are built, and what is asked of the catalog about them.

pgvector indexes `vector` up to 2,000 dimensions, `halfvec` up to 4,000 and `bit` up to 64,000 (its README, "HNSW" and
"IVFFlat"). Above those limits, or on request, an index is one on an expression, and what it finds is ordered anew by
the vectors themselves.
"""

import math
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from vectorkit.errors import UnsupportedError
from vectorkit.indexes import HNSW, Index, IVFFlat
from vectorkit.ranking import EXACT_LIMIT
from vectorkit.types import CollectionSpec
from vectorkit_pgvector.sql import partitions as partition_sql
from vectorkit_pgvector.sql.quoting import literal, quote
from vectorkit_pgvector.sql.tables import OPERATORS, Statement, Table

__all__ = [
    "Representation",
    "being_built",
    "build_plan",
    "check",
    "claim",
    "create",
    "default_lists",
    "distance",
    "drop",
    "enough",
    "existing",
    "let_go",
    "lists",
    "lock",
    "progress",
    "representation",
    "serves",
    "state",
]

Representation: TypeAlias = Literal["full", "half", "binary"]
"""What an index holds: the vectors, their 16-bit floats, or the signs of their numbers."""

_LARGEST: Final[dict[Representation, int]] = {"full": 2000, "half": 4000, "binary": 64_000}
_TYPES: Final[dict[Representation, str]] = {"full": "vector", "half": "halfvec", "binary": "bit"}
_LARGEST_HALF: Final = 65_504
"""The largest 16-bit float (IEEE 754, binary16)."""

_ROWS_PER_LIST: Final = 50
"""Of each list that IVFFlat is to have, k-means looks at so many rows (pgvector, `src/ivfbuild.c`)."""


# --- what an index holds ----------------------------------------------------------------------------------------


def check(spec: CollectionSpec) -> None:
    """Refuse an index that was asked for and that pgvector cannot build.

    Raises:
        UnsupportedError: The dimension is beyond what the quantization that was asked for takes.
    """
    wanted = None if spec.index is None else spec.index.quantization
    if wanted is not None and spec.dimension > _LARGEST[wanted]:
        raise UnsupportedError(
            f"quantization={wanted!r} indexes up to {_LARGEST[wanted]:,} dimensions, not {spec.dimension:,}; "
            "leave it out (cosine: the index is then binary; l2, ip: every search compares all records)"
        )


def representation(spec: CollectionSpec) -> Representation | None:
    """What the index of a collection holds; None if it has none, or can have none (above 4,000 dimensions: l2, ip)."""
    if spec.index is None:
        return None
    if spec.index.quantization is not None:
        return spec.index.quantization
    if spec.dimension <= _LARGEST["half"]:
        return "full" if spec.dimension <= _LARGEST["full"] else "half"
    return "binary" if spec.metric == "cosine" else None


@lru_cache(maxsize=256)
def serves(table: Table) -> bool:
    """Whether searches may use an index: only if a scan of it can go on until it has enough rows, from 0.8 on."""
    return representation(table.spec) is not None and table.facts.version >= (0, 8)


def distance(table: Table, value: str) -> str:
    """The distance of the column to a value as the index has it: an `ORDER BY` of it uses the index."""
    held = representation(table.spec)
    if held is None or held == "full":
        return f"(embedding {table.operator} {value})"
    operator = "<~>" if held == "binary" else OPERATORS[table.spec.metric]
    column = "_vk_embedding" if _is_held(table) else _held(table, "embedding")
    return f"({column} OPERATOR({table.facts.schema}.{operator}) {_held(table, value)})"


def _is_held(table: Table) -> bool:
    """Whether the column itself is what the index holds, in a table of the application's."""
    return table.adopted is not None and table.adopted.half and representation(table.spec) == "half"


def _held(table: Table, vector: str) -> str:
    schema, dimension, held = table.facts.schema, table.spec.dimension, representation(table.spec)
    if held == "binary":
        return f"{schema}.binary_quantize({vector})::bit({dimension})"
    if held == "half":
        unit = f"{schema}.l2_normalize({vector})"
        if table.spec.metric != "cosine":
            # A number beyond the range of 16 bits would be an error, in an index on a column that takes any: such a
            # vector is held by its direction.
            unit = f"CASE WHEN {schema}.vector_norm({vector}) < {_LARGEST_HALF} THEN {vector} ELSE {unit} END"
        return f"({unit})::{schema}.halfvec({dimension})"
    return vector


# --- building ---------------------------------------------------------------------------------------------------


def enough(index: Index) -> int:
    """The number of rows from which on it is built: below, searches are exact, and k-means has little to learn."""
    lists = index.lists or 0 if isinstance(index, IVFFlat) else 0
    return max(EXACT_LIMIT + 1, _ROWS_PER_LIST * lists)


def default_lists(rows: int) -> int:
    """How many lists IVFFlat has by default (pgvector's README, "IVFFlat")."""
    return max(1, rows // 1000 if rows <= 1_000_000 else math.isqrt(rows))


def create(table: Table, rows: int, *, concurrently: bool) -> Statement:
    """Build the index of a collection, or of one of its partitions.

    Args:
        table: The table, its spec the one with that index, or the partition.
        rows: How many rows it has, about.
        concurrently: Without keeping writers waiting; not within a transaction.
    """
    index, held = table.spec.index, representation(table.spec)
    assert index is not None
    assert held is not None
    measure = "hamming" if held == "binary" else table.spec.metric
    if isinstance(index, HNSW):
        method, options = "hnsw", f"m = {index.m}, ef_construction = {index.ef_construction}"
    else:
        method, options = "ivfflat", f"lists = {index.lists or default_lists(rows)}"
    if table.adopted is not None and _is_held(table):
        column = quote(table.adopted.embedding)
    else:
        column = _held(table, table.embedding)
    return Statement(
        f"CREATE INDEX {'CONCURRENTLY ' if concurrently else ''}ON {table.name} USING {method} "
        f"(({column}) {table.facts.schema}.{_TYPES[held]}_{measure}_ops) WITH ({options})"
    )


def drop(index: str, *, concurrently: bool) -> Statement:
    """Drop an index of this name, qualified and quoted."""
    return Statement(f"DROP INDEX {'CONCURRENTLY ' if concurrently else ''}IF EXISTS {index}")


def lock(table: Table) -> Statement:
    """Keep writers out until the transaction ends, as building an index does, or fail at once."""
    return Statement(f"LOCK TABLE {table.name} IN SHARE MODE NOWAIT")


_CLAIMED: Final = "hashtextextended('vectorkit: indexes of ' || $1::text, 0)"


def claim(table: Table, *, session: bool) -> Statement:
    """Claim the indexes of a table, until the session lets go or the transaction ends; false if another one has."""
    function = "pg_try_advisory_lock" if session else "pg_try_advisory_xact_lock"
    return Statement(f"SELECT {function}({_CLAIMED})", [table.name])


def let_go(table: Table) -> Statement:
    """Give up what the session claimed."""
    return Statement(f"SELECT pg_advisory_unlock({_CLAIMED})", [table.name])


def build_plan(table: Table) -> Statement:
    """Number of rows, maintenance memory in kB, workers that a build may have, and workers that there are at all."""
    return Statement(
        f"SELECT (SELECT count(*) FROM {table.name}), "
        "(SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem'), "
        "current_setting('max_parallel_maintenance_workers')::int, current_setting('max_parallel_workers')::int",
        prepare=False,
    )


# --- what there is ----------------------------------------------------------------------------------------------

_INDEXES: Final = (
    "pg_catalog.pg_index JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid "
    "JOIN pg_catalog.pg_am ON pg_am.oid = relam AND amname IN ('hnsw', 'ivfflat') "
    "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace"
)


def _ours(table: Table) -> str:
    """SQL that picks, of the vector indexes of a table of the application's, those on its column for its metric."""
    if table.adopted is None:
        return ""
    column = (
        "SELECT attnum FROM pg_catalog.pg_attribute WHERE attrelid = indrelid "
        f"AND attname = {literal(table.adopted.embedding)}"
    )
    return (
        " AND EXISTS (SELECT FROM pg_catalog.pg_opclass WHERE pg_opclass.oid = indclass[0] "
        f"AND opcname IN ('vector_{table.spec.metric}_ops', 'halfvec_{table.spec.metric}_ops', 'bit_hamming_ops')) "
        "AND EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::regclass "
        f"AND objid = indexrelid AND refobjid = indrelid AND refobjsubid = ({column}))"
    )


def state(table: Table) -> Statement:
    """Whether vector indexes can be used, and whether there are rows enough for them; fails if the table is gone."""
    least = 0 if table.spec.index is None else enough(table.spec.index)
    usable = f"EXISTS (SELECT FROM {_INDEXES} WHERE indrelid = $1::regclass AND indisvalid{_ours(table)})"
    if table.layout.partitions:
        built = f"SELECT indrelid FROM {_INDEXES} WHERE indisvalid"
        usable = f"NOT EXISTS ({partition_sql.LOCAL} AND inhrelid NOT IN ({built}))"
    return Statement(
        f"SELECT {usable}, (SELECT count(*) >= {least} FROM (SELECT FROM {table.name} LIMIT {least}) AS first)",
        [table.name],
    )


def existing(table: Table) -> Statement:
    """Vector indexes of the table: qualified and quoted name, and whether it can be used."""
    return Statement(
        f"SELECT format('%I.%I', nspname, relname), indisvalid FROM {_INDEXES} "
        f"WHERE indrelid {partition_sql.among(table)}{_ours(table)} ORDER BY 1",
        [table.name],
    )


def lists(table: Table) -> Statement:
    """The number of lists of the table's IVFFlat index; of a partitioned table the most that a partition's has."""
    built = (
        f"SELECT reloptions FROM {_INDEXES} WHERE indrelid {partition_sql.among(table)} AND indisvalid{_ours(table)}"
    )
    return Statement(
        f"SELECT option_value::int FROM ({built}) AS built, "
        "pg_catalog.pg_options_to_table(reloptions) WHERE option_name = 'lists' ORDER BY 1 DESC",
        [table.name],
    )


def progress(table: Table) -> Statement:
    """Phase, done and total of what is being built on the table; no row if nothing is."""
    return Statement(
        "SELECT phase, CASE WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END, "
        "CASE WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END "
        f"FROM pg_catalog.pg_stat_progress_create_index WHERE relid {partition_sql.among(table)}",
        [table.name],
        prepare=False,
    )


def being_built(table: Table) -> Statement:
    """The process that builds an index of the table, if one does, and how far it is as far as that may be seen."""
    return Statement(
        "SELECT built.pid, coalesce(phase, 'unknown to this user'), "
        "round(100.0 * coalesce(blocks_done, 0) / greatest(blocks_total, 1))::int "
        "FROM pg_catalog.pg_stat_progress_create_index AS built JOIN pg_catalog.pg_locks USING (pid) "
        f"WHERE relation {partition_sql.among(table)} AND granted "
        "AND mode IN ('ShareLock', 'ShareUpdateExclusiveLock') AND built.pid <> pg_backend_pid()",
        [table.name],
        prepare=False,
    )
