"""The SQL of searches. Each statement has the query vector as `$1`.

Where all rows are compared, they are ordered by distances that pgvector sums in float32, and `vectorkit.ranking` then
scores the nearest in float64. Their `key` is a float32 distance that cannot be larger than a row's true distance by
more than a known bound: for `cosine` and `l2` that bound is the same for all rows, for `ip` it grows with a row's norm
and is taken off in the statement.

What the index gives is scored by the server, so that no vector has to be sent: in float64 too, as far as it matters
(`_measured`).
"""

import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

from vectorkit.filters import Filter
from vectorkit.ranking import EXACT_LIMIT, float32_error, relative_error
from vectorkit.types import FloatArray
from vectorkit_pgvector.sql import indexes as index_sql
from vectorkit_pgvector.sql import partitions as partition_sql
from vectorkit_pgvector.sql.codec import vector
from vectorkit_pgvector.sql.filters import condition
from vectorkit_pgvector.sql.tables import Statement, Table

__all__ = [
    "ComparedRow",
    "ScoredRow",
    "among_nearest",
    "exact",
    "exact_if_few",
    "exact_or_index",
    "expected",
    "index",
    "largest_key",
    "size",
    "within",
]

_TELL: Final = "UNION ALL SELECT '', NULL, NULL, NULL, NULL, few::int FROM probe"
_STORED: Final = "id, document, metadata, embedding"
_SMALLEST: Final = 2.0**-126
"""The smallest float32 that has all its digits: products and squares below it lose theirs."""


class ComparedRow(NamedTuple):
    """A row that was compared with others by what the server computed.

    Attributes:
        id: The record's id.
        document: Its text.
        metadata: Its metadata, JSON text.
        embedding: Its vector as `vector_send` sends it.
        key: What it was ordered by.
        total: How many rows match, of which the nearest come back; 0 where it does not matter.
    """

    id: str
    document: str | None
    metadata: str
    embedding: bytes
    key: float
    total: int


class ScoredRow(NamedTuple):
    """A row that the index gave, and the server scored.

    Attributes:
        id: The record's id.
        document: Its text.
        metadata: Its metadata, JSON text.
        embedding: Its vector as `vector_send` sends it; None if it is not wanted.
        distance: Its distance.
        total: How many rows the index gave, of which the nearest come back; 0 if all do.
    """

    id: str
    document: str | None
    metadata: str
    embedding: bytes | None
    distance: float
    total: int


def largest_key(table: Table, query: FloatArray, distance: float) -> float:
    """The largest key that a row of this true distance, or a smaller one, can have."""
    error = relative_error(len(query))
    match table.spec.metric:
        case "cosine":
            return distance + error
        case "ip":
            return distance + len(query) * _SMALLEST
        case "l2":  # a sum of squares errs by a part of itself
            return distance * (1.0 + error) + math.sqrt(len(query) * _SMALLEST)


def exact(table: Table, query: FloatArray, where: Filter | None, limit: int) -> Statement:
    """The first `limit` of all rows that match, by key and id."""
    parameters: list[Any] = [vector(query)]
    ordered = _by_key(table, query, condition(where, parameters, table.columns), limit, parameters)
    return Statement(f"SELECT {_columns(table)}, 0 FROM {ordered}", parameters, None if where is None else False)


def exact_or_index(
    table: Table, query: FloatArray, limit: int, k: int, candidates: int, *, embeddings: bool
) -> Statement:
    """As `exact` if the table has few enough rows, else as `index`; in one round trip, and one snapshot.

    One more row always comes back, whose id is empty and whose total says whether it was the former (0 or 1).
    The part that is not needed is not begun: its condition has no column, and is tested first ("One-Time Filter").
    """
    parameters: list[Any] = [vector(query)]
    counted = f"SELECT FROM {table.rows} LIMIT {EXACT_LIMIT + 1}"
    few = _by_key(table, query, "(SELECT few FROM probe)", limit, parameters)
    many = _by_index(table, "(SELECT NOT few FROM probe)", k, candidates, embeddings)
    return Statement(
        f"WITH probe AS MATERIALIZED (SELECT count(*) <= {EXACT_LIMIT} AS few FROM ({counted}) AS matching) "
        f"SELECT {_columns(table)}, 0 FROM {few} UNION ALL {many} {_TELL}",
        parameters,
    )


def exact_if_few(table: Table, query: FloatArray, where: Filter | None, limit: int) -> Statement:
    """As `exact` if few enough rows match, whose number is the total of each that comes back; else some of them.

    Of too many rows as many are compared as of few enough: that takes less time than to count them first.
    """
    parameters: list[Any] = [vector(query)]
    matching = condition(where, parameters, table.columns)
    keyed = f"SELECT {_found(table)}, {_key(table, query, parameters)} AS key FROM {table.rows} WHERE {matching}"
    nearest = (
        f"SELECT *, count(*) OVER () AS total FROM ({keyed} LIMIT {EXACT_LIMIT + 1}) AS matching "
        f"ORDER BY key, id LIMIT {limit}"
    )
    text = f"SELECT {_columns(table)}, nearest.total FROM {_fetched(table, nearest)}"
    return Statement(text, parameters, prepare=False)


def expected(table: Table, where: Filter | None) -> Statement:
    """How PostgreSQL would find the rows that match, and how many it expects."""
    parameters: list[Any] = []
    matching = condition(where, parameters, table.columns)
    return Statement(f"EXPLAIN (FORMAT JSON) SELECT FROM {table.rows} WHERE {matching}", parameters, prepare=False)


def size(table: Table) -> Statement:
    """How many rows PostgreSQL takes the table to have."""
    rows = f"SELECT sum(reltuples)::bigint FROM pg_catalog.pg_class WHERE oid {partition_sql.among(table)}"
    return Statement(rows, [table.name])


def index(
    table: Table, query: FloatArray, where: Filter | None, k: int, candidates: int, *, embeddings: bool
) -> Statement:
    """The first k of `candidates` rows that the index gives."""
    parameters: list[Any] = [vector(query)]
    if where is None:
        return Statement(_of_all(table, k, candidates, embeddings), parameters)
    text = _by_index(table, condition(where, parameters, table.columns), k, candidates, embeddings)
    return Statement(text, parameters, prepare=False)


def among_nearest(
    table: Table, query: FloatArray, where: Filter | None, k: int, looked: int, *, embeddings: bool
) -> Statement:
    """Of the `looked` rows that the index gives first, whatever they hold, the first k that match; of no partitions."""
    parameters: list[Any] = [vector(query)]
    matching = condition(where, parameters, table.columns)
    near = index_sql.distance(table, f"$1::{table.vector}")
    first = f"SELECT ctid AS place FROM {table.rows} ORDER BY {near} LIMIT {looked}"
    found = f"SELECT {_found(table)}, {_distance(table)} + 0::float8 AS key FROM {table.rows}"
    nearest = (
        f"SELECT matching.*, count(*) OVER () AS total FROM ({first}) AS first "
        f"CROSS JOIN LATERAL ({found} WHERE ctid = first.place AND {matching}) AS matching "
        f"ORDER BY key, id LIMIT {k}"
    )
    text = f"SELECT {_scored(table, embeddings)}, nearest.total FROM {_fetched(table, nearest)}"
    return Statement(text, parameters, prepare=False)


def within(table: Table, query: FloatArray, where: Filter | None, k: int, largest: float) -> Statement:
    """All rows that match whose key is at most `largest`; of those with the same vector, the first k by id."""
    parameters: list[Any] = [vector(query)]
    matching = condition(where, parameters, table.columns)
    parameters.append(largest)
    bound = f"${len(parameters)}::float8"
    keyed = f"SELECT {_found(table)}, embedding AS vector, {_key(table, query, parameters)} AS key FROM {table.rows}"
    numbered = (
        f"SELECT *, row_number() OVER (PARTITION BY vector ORDER BY id) AS number "
        f"FROM ({keyed} WHERE {matching}) AS keyed WHERE key <= {bound}"
    )
    nearest = f"SELECT * FROM ({numbered}) AS numbered WHERE number <= {k}"
    return Statement(f"SELECT {_columns(table)}, 0 FROM {_fetched(table, nearest)}", parameters, prepare=False)


def _columns(table: Table) -> str:
    """Of rows that were found (`nearest`) and fetched (`stored`); a typed column may have any name."""
    sent = f"{table.facts.schema}.vector_send(stored.embedding)"
    return f"stored.id, stored.document, stored.metadata::text, {sent}, nearest.key"


def _scored(table: Table, embeddings: bool) -> str:
    """Of rows that the index gave (`stored`)."""
    sent = f"{table.facts.schema}.vector_send(stored.embedding)" if embeddings else "NULL::bytea"
    return f"stored.id, stored.document, stored.metadata::text, {sent}, {_measured(table)}"


def _measured(table: Table) -> str:
    """The distance of rule 6.2, of an error that is known: it comes from one of pgvector's few sums in float64.

    `vector_norm` sums in float64, so all that is rounded to float32 are the numbers it is given, each by at most
    u = 2**-24 of itself. Of `a - b` it errs by u times itself. Of the difference d of two unit vectors, whose numbers
    were rounded before, it errs by at most 2 u + u d, and d**2 / 2, which is 1 - cos(a, b), by 2 u d + u d**2, which is
    at most 8 u = 4.8e-7 (at d = 2), and next to nothing for near vectors. Rule 6.5 allows 1e-6.
    """
    schema, embedding, query = table.facts.schema, "stored.embedding", f"$1::{table.vector}"
    units = (f"{schema}.l2_normalize({vector})" for vector in (embedding, query))
    cosine_distance = (
        f"least(2::float8, {schema}.vector_norm({schema}.vector_sub({', '.join(units)})) ^ 2::float8 / 2::float8)"
    )
    match table.spec.metric:
        case "l2":
            return f"{schema}.vector_norm({schema}.vector_sub({embedding}, {query}))"
        case "cosine":
            return cosine_distance
        case "ip":
            return (
                f"{schema}.vector_norm({embedding}) * {schema}.vector_norm({query}) * ({cosine_distance} - 1::float8)"
            )


def _distance(table: Table) -> str:
    return f"(embedding {table.operator} $1::{table.vector})"


def _key(table: Table, query: FloatArray, parameters: list[Any]) -> str:
    """The key; as an expression that is not the index's, it keeps the planner from using the index."""
    if table.spec.metric != "ip":
        return f"{_distance(table)} + 0::float8"
    parameters.append(float32_error("ip", query, 1.0))
    return f"{_distance(table)} - ${len(parameters)}::float8 * {table.facts.schema}.vector_norm(embedding)"


def _by_key(table: Table, query: FloatArray, matching: str, limit: int, parameters: list[Any]) -> str:
    """The first `limit` rows by key and id."""
    nearest = f"SELECT {_found(table)}, {_key(table, query, parameters)} AS key FROM {table.rows} WHERE {matching}"
    return _fetched(table, f"{nearest} ORDER BY key, id LIMIT {limit}")


@lru_cache(maxsize=256)
def _of_all(table: Table, k: int, candidates: int, embeddings: bool) -> str:
    return _by_index(table, "true", k, candidates, embeddings)


def _by_index(table: Table, matching: str, k: int, candidates: int, embeddings: bool) -> str:
    """What an iterative scan gives is not quite in order, so more is asked for than needed, and sorted.

    The key is that of the vectors, whatever the index holds. It is not the very expression that the index orders by,
    or else PostgreSQL would take what the scan gives to be in order, and sort only the first rows of it.
    """
    near = index_sql.distance(table, f"$1::{table.vector}")
    if candidates == k:  # all are needed, so there is nothing to sort out here
        # Scored outside, or PostgreSQL would score all rows where it sorts them.
        first = f"SELECT {_STORED} FROM {table.rows} WHERE {matching} ORDER BY {near} LIMIT {k}"
        return f"(SELECT {_scored(table, embeddings)}, 0 FROM ({first}) AS stored)"
    nearest = (
        f"SELECT *, count(*) OVER () AS total FROM "
        f"(SELECT {_found(table)}, {_distance(table)} + 0::float8 AS key FROM {table.rows} WHERE {matching} "
        f"ORDER BY {near} LIMIT {candidates}) AS candidates ORDER BY key, id LIMIT {k}"
    )
    return f"SELECT {_scored(table, embeddings)}, nearest.total FROM {_fetched(table, nearest)}"


def _found(table: Table) -> str:
    """What is sorted of a row: its place, by which its columns are fetched once it is among the nearest.

    Of a partitioned table the columns: there a row in each partition may have the same place.
    """
    return _STORED if table.layout.partitions else "ctid AS place, id"


def _fetched(table: Table, nearest: str) -> str:
    """A FROM clause of rows `nearest`, which hold what `_found` says, and of the same rows `stored`."""
    if table.layout.partitions:
        columns = ", ".join(f"nearest.{column}" for column in _STORED.split(", "))
        return f"({nearest}) AS nearest CROSS JOIN LATERAL (SELECT {columns}) AS stored"
    return f"({nearest}) AS nearest JOIN {table.rows} ON stored.ctid = nearest.place"
