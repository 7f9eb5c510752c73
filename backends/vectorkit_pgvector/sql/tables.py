"""The SQL of collections, apart from what sends it.

Everything is qualified: the search path of a caller's connection is the caller's business. Types, operators and
functions of pgvector are named in whatever schema the extension was installed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vectorkit.filters import Filter
from vectorkit.types import Batch, CollectionInfo, CollectionSpec, Metric, Patch
from vectorkit_pgvector.adopted.description import Adopted
from vectorkit_pgvector.sql.codec import Binary, jsonb_array, text_array, vector_array
from vectorkit_pgvector.sql.columns import Column, definition, promoted, quote
from vectorkit_pgvector.sql.filters import condition

__all__ = [
    "WHOLE",
    "Facts",
    "Layout",
    "Statement",
    "Table",
    "analyze",
    "copy_in",
    "count",
    "create_table",
    "delete",
    "lock_rows",
    "page",
    "partition_name",
    "quote",
    "select_by_ids",
    "taken",
    "unanalyzed",
    "update",
    "upsert",
]

_MOST_IN_PAGE: Final = 2000
_WHOLE_PAGE: Final = 8160
"""The most that fits a page; a vector of 2,000 dimensions does, with all other columns moved out."""

_OPERATORS: Final[dict[Metric, str]] = {"cosine": "<=>", "l2": "<->", "ip": "<#>"}


class Statement(NamedTuple):
    """One statement.

    Attributes:
        text: SQL with `$1`, `$2`, … for the parameters.
        parameters: Their values.
        prepare: None lets psycopg prepare it after some uses. False where the plan depends on the values: a prepared
            one can in time get a plan made for any values at all (`plan_cache_mode`).
    """

    text: str
    parameters: Sequence[Any] = ()
    prepare: bool | None = None


class Facts(NamedTuple):
    """What must be known of pgvector in a database.

    Attributes:
        version: The extension's, such as `(0, 8, 6)`.
        schema: The schema it was installed in, quoted.
        oid: That of the type `vector`.
    """

    version: tuple[int, ...]
    schema: str
    oid: int


class Layout(NamedTuple):
    """How a table is laid out.

    Attributes:
        partitions: The number of its partitions, by hash of the id; 0 for a table that holds its rows itself.
        unique: Whether an index keeps ids unique over all of it. Where a partition is on another server there is none:
            PostgreSQL cannot keep one across servers.
    """

    partitions: int = 0
    unique: bool = True


WHOLE: Final = Layout()
"""One table, which holds its rows itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A collection's table. It is equal to itself alone, so that what is made of it can be kept with it.

    Attributes:
        name: Its name, qualified and quoted.
        spec: What the collection was created with.
        facts: pgvector's.
        layout: Whether it is one table or several.
        adopted: What makes a record in it if it is a table of the application; None for one made here.
    """

    name: str
    spec: CollectionSpec
    facts: Facts
    layout: Layout = WHOLE
    adopted: Adopted | None = None

    @property
    def rows(self) -> str:
        """Its records, with the columns of a table made here, as an item of `FROM` that is called `stored`."""
        rows = self.name if self.adopted is None else self.adopted.rows(self.name, self.facts.schema, self.spec.metric)
        return f"{rows} AS stored"

    @property
    def embedding(self) -> str:
        """The vector of a row, as an index on the table itself has it."""
        if self.adopted is None:
            return "embedding"
        column = quote(self.adopted.embedding)
        return f"({column}::{self.vector})" if self.adopted.half else column

    @property
    def vector(self) -> str:
        """The type `vector`, qualified."""
        return f"{self.facts.schema}.vector"

    @property
    def operator(self) -> str:
        """The metric's distance operator; smaller is nearer in each."""
        return f"OPERATOR({self.facts.schema}.{_OPERATORS[self.spec.metric]})"

    @property
    def columns(self) -> Mapping[str, Column]:
        """Its typed columns, by metadata key."""
        return promoted(self.spec.columns) if self.adopted is None else self.adopted.typed

    @property
    def sent_embedding(self) -> str:
        """The embedding in binary, whatever the caller's connection makes of values of type `vector`."""
        return f"{self.facts.schema}.vector_send(embedding)"


def table_name(schema: str, collection: CollectionInfo) -> str:
    """Name of a collection's table; the generation makes that of a collection created anew another one (1.6).

    At most 3 + 48 + 1 characters and the digits of the generation, within PostgreSQL's 63 bytes.
    """
    return f"{quote(schema)}.{quote(f'vk_{collection.name}_{collection.generation}')}"


# --- tables -----------------------------------------------------------------------------------------------------


def create_table(table: Table) -> list[Statement]:
    """A table, its partitions and its indexes, but for that of the vectors: it is built when there are records.

    Embeddings that fit a page are kept in the row, since fetching one from the TOAST table takes longer than
    computing its distance (2,000 × 1,536: 4 ms in place of 9 ms); documents still move out where a row gets too long.
    """
    typed = "".join(f", {definition(key, kind)}" for key, kind in table.spec.columns.items())
    parts = [partition_name(table, number) for number in range(table.layout.partitions)]
    statements = [
        f'CREATE TABLE {table.name} (id text COLLATE "C" PRIMARY KEY, document text, metadata jsonb NOT NULL, '
        f"embedding {table.vector}({table.spec.dimension}) NOT NULL{typed})"
        + (" PARTITION BY HASH (id)" if parts else ""),
        f"CREATE INDEX ON {table.name} USING gin (metadata jsonb_path_ops)",
        *(f"CREATE INDEX ON {table.name} ({column.name})" for column in table.columns.values()),
    ]
    in_page = table.spec.dimension <= _MOST_IN_PAGE
    if in_page:
        statements.append(f"ALTER TABLE {table.name} ALTER embedding SET STORAGE PLAIN")
    statements += [
        f"CREATE TABLE {part} PARTITION OF {table.name} FOR VALUES WITH (MODULUS {len(parts)}, REMAINDER {number})"
        for number, part in enumerate(parts)
    ]
    if in_page:
        statements += [f"ALTER TABLE {name} SET (toast_tuple_target = {_WHOLE_PAGE})" for name in parts or [table.name]]
    return [Statement(text) for text in statements]


def partition_name(table: Table, number: int) -> str:
    """Name of a partition of a collection's table, qualified and quoted; no collection's own table is called so.

    Within PostgreSQL's 63 bytes up to partition 99 of generation 9,999,999.
    """
    return f'{table.name[:-1]}_p{number}"'


# --- reading ----------------------------------------------------------------------------------------------------


def columns(table: Table, include_embeddings: bool) -> str:
    """What a record is made of: id, document, metadata as text, and the embedding or NULL."""
    return f"id, document, metadata::text, {table.sent_embedding if include_embeddings else 'NULL'}"


def select_by_ids(
    table: Table, ids: Sequence[str], where: Filter | None, limit: int | None, offset: int, include_embeddings: bool
) -> Statement:
    """Records of given ids, in the order of the ids. No metadata key, so no typed column, begins with `_vk`."""
    parameters: list[Any] = [text_array(ids)]
    few = "" if table.adopted is None else f"{_with_ids(table, ids, parameters)} AND "
    return Statement(
        f"SELECT {columns(table, include_embeddings)} FROM unnest($1::text[]) WITH ORDINALITY AS wanted(id, _vk_place) "
        f"JOIN {table.rows} USING (id) WHERE {few}{condition(where, parameters, table.columns)}{_named(table)} "
        "ORDER BY _vk_place"
        f"{_cut(limit, offset)}",
        parameters,
        prepare=False,
    )


def page(
    table: Table,
    where: Filter | None,
    *,
    after: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    include_embeddings: bool = False,
) -> Statement:
    """Records in the order of their ids, those after a given one."""
    parameters: list[Any] = [] if after is None else [after]
    start = "true" if after is None else "id > $1::text"
    return Statement(
        f"SELECT {columns(table, include_embeddings)} FROM {table.rows} "
        f"WHERE {start} AND {condition(where, parameters, table.columns)} ORDER BY id{_cut(limit, offset)}",
        parameters,
        prepare=None if where is None else False,
    )


def count(table: Table, where: Filter | None) -> Statement:
    """The number of records."""
    parameters: list[Any] = []
    matching = condition(where, parameters, table.columns)
    return Statement(f"SELECT count(*) FROM {table.rows} WHERE {matching}", parameters, False)


def unanalyzed(table: Table) -> Statement:
    """One row if nobody has told the planner of the table's size yet, and none otherwise."""
    return Statement("SELECT FROM pg_catalog.pg_class WHERE oid = $1::regclass AND reltuples < 0", [table.name])


def analyze(table: Table) -> Statement:
    """Tell the planner of the table's size, and of what filters will find."""
    columns = ", ".join(("id", "metadata", *(column.name for column in table.columns.values())))
    return Statement(f"ANALYZE (SKIP_LOCKED) {table.name} ({columns})")


def taken(table: Table, ids: Sequence[str]) -> Statement:
    """How many of the ids are stored, and the first ten of those."""
    parameters: list[Any] = []
    named = _with_ids(table, ids, parameters)
    return Statement(
        f"SELECT id, count(*) OVER () FROM {table.rows} WHERE {named} ORDER BY id LIMIT 10", parameters, prepare=False
    )


def _with_ids(table: Table, ids: Sequence[str], parameters: list[Any]) -> str:
    """The condition that a row has one of the ids."""
    if table.adopted is None:
        parameters.append(text_array(ids))
        return f"id = ANY (${len(parameters)}::text[])"
    parameters.append(text_array(table.adopted.keys(ids)))
    return f"_vk_key = ANY (${len(parameters)}::text[]::{table.adopted.id.type}[])"


def _named(table: Table) -> str:
    """For a statement that joins `stored` with the ids `$1`: what another server must be told to send only those rows.

    It is sent the conditions on the table's own columns, not joins; and would lock what it sends, too.
    """
    return "" if table.layout.unique else " AND stored.id = ANY ($1::text[])"


def _cut(limit: int | None, offset: int) -> str:
    return (f" LIMIT {limit}" if limit is not None else "") + (f" OFFSET {offset}" if offset else "")


# --- writing ----------------------------------------------------------------------------------------------------


def copy_in(table: Table) -> str:
    """The statement that takes new rows as `vectorkit_pgvector.sql.codec.copy_rows` packs them."""
    return f"COPY {table.name} (id, document, metadata, embedding) FROM STDIN (FORMAT BINARY)"


def upsert(table: Table, rows: Batch) -> Statement:
    """Insert rows, or replace those of the same ids as a whole.

    Where no index keeps ids unique, PostgreSQL has no conflict to act on; the old rows must be gone then.
    """
    replacing = (
        " ON CONFLICT (id) DO UPDATE SET "
        "document = excluded.document, metadata = excluded.metadata, embedding = excluded.embedding"
    )
    return Statement(
        f"INSERT INTO {table.name} (id, document, metadata, embedding) "
        f"SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::{table.vector}[])"
        + (replacing if table.layout.unique else ""),
        [
            text_array(rows.ids),
            text_array(rows.documents),
            jsonb_array(rows.metadatas),
            vector_array(rows.embeddings, table.facts.oid),
        ],
    )


def lock_rows(table: Table, ids: Sequence[str]) -> Statement:
    """Lock rows in the order of their ids, as every writer here does, so that two of them cannot deadlock."""
    parameters: list[Any] = []
    named = _with_ids(table, ids, parameters)
    return Statement(f"SELECT id FROM {table.rows} WHERE {named} ORDER BY id FOR UPDATE", parameters, False)


def update(table: Table, patch: Patch) -> Statement:
    """Change the columns that a patch holds."""
    columns: dict[str, tuple[str, Binary]] = {}
    if patch.documents is not None:
        columns["document"] = "text[]", text_array(patch.documents)
    if patch.metadatas is not None:
        columns["metadata"] = "jsonb[]", jsonb_array(patch.metadatas)
    if patch.embeddings is not None:
        columns["embedding"] = f"{table.vector}[]", vector_array(patch.embeddings, table.facts.oid)
    arrays = ", ".join(f"${number}::{kind}" for number, (kind, _) in enumerate(columns.values(), start=2))
    changes = ", ".join(f"{column} = {_new_value(column, patch.merge)}" for column in columns)
    return Statement(
        f"UPDATE {table.name} AS stored SET {changes} "
        f"FROM unnest($1::text[], {arrays}) AS new(id, {', '.join(columns)}) "
        f"WHERE stored.id = new.id{_named(table)}",
        [text_array(patch.ids), *(value for _, value in columns.values())],
        prepare=False,
    )


def _new_value(column: str, merge: bool) -> str:
    return "stored.metadata || new.metadata" if merge and column == "metadata" else f"new.{column}"


def delete(table: Table, ids: Sequence[str] | None, where: Filter | None) -> Statement:
    """Delete records, and return their ids, but those of an application's table."""
    parameters: list[Any] = []
    named = "true" if ids is None else _with_ids(table, ids, parameters)
    matching = f"{named} AND {condition(where, parameters, table.columns)}"
    returned = " RETURNING id"
    if table.adopted is not None:
        matching = f"{quote(table.adopted.id.name)} IN (SELECT _vk_key FROM {table.rows} WHERE {matching})"
        returned = ""
    return Statement(f"DELETE FROM {table.name} WHERE {matching}{returned}", parameters, prepare=False)
