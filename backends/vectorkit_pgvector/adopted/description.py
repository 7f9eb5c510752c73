"""Tables of an application as collections: which of their columns is what, and how their rows read as records.

Nothing is copied and no view is made: statements select from a subquery that has the columns of a collection's own
table, which PostgreSQL merges into the statement, so that the indexes of the application's table serve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from vectorkit.metrics import METRICS
from vectorkit.types import Metric
from vectorkit.validation import MAX_ID
from vectorkit.vectors import MAX_NORM
from vectorkit_pgvector.adopted.types import KINDS
from vectorkit_pgvector.sql.columns import Column
from vectorkit_pgvector.sql.quoting import literal, quote

__all__ = ["Adopted", "AdoptedColumn", "as_json", "stored"]

_MOST_PAIRS: Final = 50
"""Of a call of `jsonb_build_object`: PostgreSQL's functions take 100 arguments."""

_BITS: Final = {"smallint": 16, "integer": 32, "bigint": 64}


class AdoptedColumn(NamedTuple):
    """A column of the application's table.

    Attributes:
        name: Its name, which is also the metadata key.
        type: Its SQL type without a length, as a cast names it.
        kind: Which of `vectorkit_pgvector.adopted.types.KINDS` that is.
    """

    name: str
    type: str
    kind: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """Which columns of a table make a record.

    Attributes:
        id: The id; the text of its value is the record's.
        unique: Name of the index that keeps ids unique.
        generated: Whether the server makes every id, and takes none (`GENERATED ALWAYS AS IDENTITY`).
        sequence: The sequence that new ids are from, qualified and quoted, or None.
        embedding: Name of the column with the vectors.
        half: Whether it is a `halfvec`.
        document: Name of the column with the texts, or None.
        metadata: The column with the metadata, `json` or `jsonb`, or None.
        columns: Those whose values are the metadata, if there is no such column.
    """

    id: AdoptedColumn
    unique: str
    generated: bool
    sequence: str | None
    embedding: str
    half: bool
    document: str | None
    metadata: AdoptedColumn | None
    columns: tuple[AdoptedColumn, ...]

    def rows(self, table: str, schema: str, metric: Metric) -> str:
        """The rows that are records (rule 2.8), as a subquery; one without an embedding is none until it has one.

        Args:
            table: The table's name, qualified and quoted.
            schema: pgvector's, quoted.
            metric: The collection's.
        """
        vector = f"{schema}.vector"
        wrong = " OR ".join(self.faults(schema, metric).values())
        embedding = stored(self.embedding)
        values = {
            "ctid": "stored.ctid",
            "id": f'{stored(self.id.name)}::text COLLATE "C"',
            "_vk_key": stored(self.id.name),
            "document": f"{stored(self.document)}::text" if self.document else "NULL::text",
            "metadata": self.metadata_json,
            "embedding": f"{embedding}::{vector}" if self.half else embedding,
            "_vk_embedding": embedding,
            **{f"_vk_{number}": stored(column.name) for number, column in enumerate(self.columns)},
        }
        selected = ", ".join(f"{value} AS {name}" for name, value in values.items())
        present = f"{embedding} IS NOT NULL AND {stored(self.id.name)} IS NOT NULL"
        # The planner takes `<>` of an expression it knows nothing of to hold for all rows but one in 200, and so leaves
        # the order of the rows to the index; a range it takes to hold for one in 200 alone (DEFAULT_RANGE_INEQ_SEL and
        # DEFAULT_NUM_DISTINCT, https://github.com/postgres/postgres/blob/master/src/include/utils/selfuncs.h).
        sound = f"CASE WHEN {wrong} THEN 1 ELSE 0 END <> 1"
        return f"(SELECT {selected} FROM {table} AS stored WHERE {present} AND {sound})"

    def faults(self, schema: str, metric: Metric) -> dict[str, str]:
        """SQL of what can be wrong with a row that has a vector, the table being called `stored`: id, norm, metadata.

        Only what its columns do not rule out is looked for: whole numbers and UUIDs are ids, columns make an object.
        """
        embedding = stored(self.embedding)
        norm = f"{schema}.vector_norm({f'{embedding}::{schema}.vector' if self.half else embedding})"
        least = METRICS[metric].min_norm
        found = {"norm": f"{norm} NOT BETWEEN {least!r}::float8 AND {MAX_NORM!r}::float8"}
        if self.id.type in ("text", "character varying"):
            found["id"] = f"char_length({stored(self.id.name)}) NOT BETWEEN 1 AND {MAX_ID}"
        if self.metadata is not None:
            found["metadata"] = f"jsonb_typeof({self.metadata_json}) <> 'object'"
        return found

    @property
    def metadata_json(self) -> str:
        """SQL of a row's metadata, the table being called `stored`."""
        if self.metadata is not None:
            return f"coalesce({stored(self.metadata.name)}::jsonb, '{{}}'::jsonb)"
        pairs = [
            f"{literal(column.name)}, {KINDS[column.kind].json.format(stored(column.name))}" for column in self.columns
        ]
        starts = range(0, len(pairs), _MOST_PAIRS)
        parts = [f"jsonb_build_object({', '.join(pairs[start : start + _MOST_PAIRS])})" for start in starts]
        return " || ".join(parts) or "'{}'::jsonb"

    @property
    def typed(self) -> Mapping[str, Column]:
        """The columns that conditions can use, by metadata key, as `rows` names them."""
        found: dict[str, Column] = {}
        for number, column in enumerate(self.columns):
            kind = KINDS[column.kind]
            if kind.type:
                found[column.name] = Column(
                    kind.value.format(f"_vk_{number}"), kind.type, kind.text, bounds=kind.bounds
                )
        return found

    def keys(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that a row can have, so that they can be cast to the type of the column."""
        return [id for id in ids if self.has_form(id)]

    def has_form(self, id: str) -> bool:
        """Whether a row can have this id: the text of another spelling of a number, or of a UUID, is none."""
        try:
            if bits := _BITS.get(self.id.type):
                return str(int(id)) == id and -(2 ** (bits - 1)) <= int(id) < 2 ** (bits - 1)
            return self.id.type != "uuid" or str(UUID(id)) == id
        except ValueError:
            return False


def stored(name: str) -> str:
    """A column of the table, which is called `stored` in every statement."""
    return f"stored.{quote(name)}"


def as_json(adopted: Adopted) -> dict[str, Any]:
    """What the registry keeps of it."""
    return {name: getattr(adopted, name) for name in Adopted.__slots__}
