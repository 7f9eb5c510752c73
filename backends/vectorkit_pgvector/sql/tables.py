"""The tables of collections: what is known of one, and the SQL that makes it.

Everything is qualified: the search path of a caller's connection is the caller's business. Types, operators and
functions of pgvector are named in whatever schema the extension was installed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vectorkit.types import CollectionInfo, CollectionSpec, Metric
from vectorkit_pgvector.adopted.description import Adopted
from vectorkit_pgvector.sql.columns import Column, definition, promoted
from vectorkit_pgvector.sql.quoting import quote

__all__ = [
    "OPERATORS",
    "WHOLE",
    "Facts",
    "Layout",
    "Statement",
    "Table",
    "create_table",
    "partition_name",
    "table_name",
]

_MOST_IN_PAGE: Final = 2000
_WHOLE_PAGE: Final = 8160
"""The most that fits a page; a vector of 2,000 dimensions does, with all other columns moved out."""

OPERATORS: Final[dict[Metric, str]] = {"cosine": "<=>", "l2": "<->", "ip": "<#>"}
"""pgvector's operator of each metric; smaller is nearer in each."""


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
        return f"OPERATOR({self.facts.schema}.{OPERATORS[self.spec.metric]})"

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
    return quote(schema, f"vk_{collection.name}_{collection.generation}")


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
