"""Looking at a table of the application's before it becomes a collection: what it lacks is said then, not later."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import errors

from vectorkit._narrow import is_iterable
from vectorkit.errors import InvalidArgumentError, InvalidIdError, InvalidVectorError, UnsupportedError
from vectorkit.indexes import HNSW, Index, IVFFlat, Quantization
from vectorkit.metadata import check_metadata_key
from vectorkit.metrics import METRICS
from vectorkit.types import Metric
from vectorkit.validation import check_text, short
from vectorkit.vectors import MAX_NORM
from vectorkit_pgvector.adopted.description import Adopted, AdoptedColumn, stored
from vectorkit_pgvector.adopted.types import ELEMENTS, ID_TYPES, KINDS, METADATA_TYPES
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql.quoting import quote
from vectorkit_pgvector.sql.tables import Facts, Statement

__all__ = ["Found", "Wanted", "count_unsound", "inspect", "unsound_rows"]

_TEXT_TYPES: Final = ("text", "character varying")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: the table as SQL names it, and which columns are what."""

    table: str
    id: str
    embedding: str
    document: str | None
    metadata: str | None
    columns: tuple[str, ...]

    @classmethod
    def checked(
        cls, table: object, id: object, embedding: object, document: object, metadata: object, columns: object
    ) -> "Wanted":
        """What is asked for, checked as far as that takes no table; see `PgVectorBackend.adopt`."""
        if isinstance(columns, str) or not is_iterable(columns):
            raise InvalidArgumentError(f"columns is a list of names, not {short(columns)}")
        keys = tuple(check_metadata_key(column) for column in columns)
        if metadata is not None and keys:
            raise InvalidArgumentError("metadata is a column of its own or made of columns: give metadata= or columns=")
        return cls(
            _name(table, "table"),
            _name(id, "id"),
            _name(embedding, "embedding"),
            None if document is None else _name(document, "document"),
            None if metadata is None else _name(metadata, "metadata"),
            keys,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        schema: The schema of the table.
        table: Its name.
        dimension: Length of the vectors.
        adopted: Its columns.
        index: The index on the vectors that searches can use, or None.
    """

    schema: str
    table: str
    dimension: int
    adopted: Adopted
    index: Index | None


class _Column:
    """A column as the catalog describes it."""

    def __init__(self, row: Sequence[Any]) -> None:
        self.number: int = row[1]
        # A type of others can have any name, also one of the system's where the search path puts it first.
        self.type: str = row[2] if row[3] == "pg_catalog" else f"{quote(row[3])}.{quote(row[4])}"
        self.schema: str = row[3]
        self.bare: str = row[4]
        self.modifier: int = row[5]
        self.identity: str = row[6]
        self.is_enum: bool = row[7]
        self.deterministic: bool = row[8]
        self.sequence: str | None = row[9]

    @property
    def kind(self) -> str | None:
        """Which of the kinds that metadata can be made of, or None."""
        if self.is_enum:
            return "enum"
        if self.type.endswith("[]"):
            return "array" if self.type.removesuffix("[]") in ELEMENTS else None
        return self.type if self.type in KINDS else None

    @property
    def cast(self) -> str:
        """The type as a cast names it, whatever the search path is."""
        return quote(self.schema, self.bare) if self.is_enum else self.type


def inspect(session: Session, facts: Facts, wanted: Wanted, metric: Metric) -> Found:
    """Find out what the table has.

    Raises:
        InvalidArgumentError: The table, or a column, is missing; or the ids are not unique, or it is no table.
        UnsupportedError: A column is of a type that cannot be what it is to be.
        InvalidIdError: A row has an id that no record can have.
        InvalidVectorError: A row has a vector that no record can have.
    """
    oid, schema, name = _table(session, wanted.table)
    columns = _columns(session, oid)
    asked = [wanted.id, wanted.embedding, wanted.document, wanted.metadata, *wanted.columns]
    named = [column for column in asked if column is not None]
    if missing := [column for column in named if column not in columns]:
        raise InvalidArgumentError(
            f"table {wanted.table} has no column {', '.join(map(repr, missing))}; it has {', '.join(sorted(columns))}"
        )
    if len(set(named)) < len(named):
        raise InvalidArgumentError(f"a column is named for two purposes: {', '.join(named)}; name each once")
    dimension, half = _dimension(wanted, columns[wanted.embedding], facts)
    adopted = Adopted(
        id=_id(wanted, columns[wanted.id]),
        unique=_unique(session, oid, wanted, columns[wanted.id]),
        generated=columns[wanted.id].identity == "a",
        sequence=columns[wanted.id].sequence,
        embedding=wanted.embedding,
        half=half,
        document=_document(wanted, columns),
        metadata=_metadata(wanted, columns),
        columns=tuple(_value(wanted, column, columns[column]) for column in wanted.columns),
    )
    _check_rows(session, quote(schema, name), facts, adopted, metric)
    index = _index(session, oid, columns[wanted.embedding], metric, half=half)
    return Found(schema, name, dimension, adopted, index)


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(
            f"{what} is the name of a {'table' if what == 'table' else 'column'}, not {short(value)}"
        )
    check_text(value, what)
    return value


def _table(session: Session, table: str) -> tuple[int, str, str]:
    try:
        with session.savepoint():
            rows = session.rows(
                Statement(
                    "SELECT pg_class.oid::bigint, nspname, relname, relkind::text, relhassubclass "
                    "FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace "
                    "WHERE pg_class.oid = to_regclass($1::text)",
                    [table],
                )
            )
    except (errors.SyntaxError, errors.InvalidName, errors.FeatureNotSupported) as error:
        raise InvalidArgumentError(
            f'{table!r} does not name a table: write it as in SQL, documents, app.documents or "My Table"'
        ) from error
    if not rows:
        raise InvalidArgumentError(
            f"there is no table {table}, in this database and the search path; write schema.table, in double quotes "
            "where it has capitals"
        )
    oid, schema, name, kind, divided = rows[0]
    if kind != "r" or divided:
        raise UnsupportedError(
            f"{table} is a view, partitioned, foreign, or inherited from; only a plain table can be adopted"
        )
    return oid, schema, name


def _columns(session: Session, oid: int) -> dict[str, _Column]:
    rows = session.rows(
        Statement(
            "SELECT attname, attnum, format_type(atttypid, -1), nspname, typname, atttypmod, attidentity::text, "
            "typtype = 'e', coalesce(collisdeterministic, true), "
            "pg_get_serial_sequence(attrelid::regclass::text, attname) "
            "FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_type ON pg_type.oid = atttypid "
            "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = typnamespace "
            "LEFT JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation "
            "WHERE attrelid = $1::bigint::oid AND attnum > 0 AND NOT attisdropped",
            [oid],
        )
    )
    return {row[0]: _Column(row) for row in rows}


def _dimension(wanted: Wanted, column: _Column, facts: Facts) -> tuple[int, bool]:
    if column.bare not in ("vector", "halfvec") or quote(column.schema) != facts.schema:
        raise UnsupportedError(f"column {wanted.embedding!r} is {column.type}; embeddings are a vector or a halfvec")
    if column.modifier < 1:
        raise UnsupportedError(
            f"column {wanted.embedding!r} does not say how long its vectors are; with 384 for the length, run: "
            f"ALTER TABLE {wanted.table} ALTER COLUMN {quote(wanted.embedding)} TYPE {column.bare}(384);"
        )
    return column.modifier, column.bare == "halfvec"


def _id(wanted: Wanted, column: _Column) -> AdoptedColumn:
    if column.type not in ID_TYPES or not column.deterministic:
        collation = "" if column.deterministic else ", whose collation takes different texts for equal"
        raise UnsupportedError(
            f"column {wanted.id!r} is {column.type}{collation}; ids are {', '.join(ID_TYPES)}, told apart exactly"
        )
    return AdoptedColumn(wanted.id, column.type, column.type)


def _unique(session: Session, oid: int, wanted: Wanted, column: _Column) -> str:
    rows = session.rows(
        Statement(
            "SELECT relname FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid "
            "WHERE indrelid = $1::bigint::oid AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL "
            "AND indnkeyatts = 1 AND indkey[0] = $2::int ORDER BY indisprimary DESC, relname LIMIT 1",
            [oid, column.number],
        )
    )
    if not rows:
        raise InvalidArgumentError(
            f"nothing keeps the ids in column {wanted.id!r} unique; run: "
            f"ALTER TABLE {wanted.table} ADD UNIQUE ({quote(wanted.id)}); or name another column"
        )
    return str(rows[0][0])


def _document(wanted: Wanted, columns: dict[str, _Column]) -> str | None:
    if wanted.document is not None and columns[wanted.document].type not in _TEXT_TYPES:
        raise UnsupportedError(
            f"column {wanted.document!r} is {columns[wanted.document].type}; documents are {' or '.join(_TEXT_TYPES)}"
        )
    return wanted.document


def _metadata(wanted: Wanted, columns: dict[str, _Column]) -> AdoptedColumn | None:
    if wanted.metadata is None:
        return None
    column = columns[wanted.metadata]
    if column.type not in METADATA_TYPES:
        raise UnsupportedError(
            f"column {wanted.metadata!r} is {column.type}; metadata is json or jsonb, or name columns=[…]"
        )
    return AdoptedColumn(wanted.metadata, column.type, column.type)


def _value(wanted: Wanted, name: str, column: _Column) -> AdoptedColumn:
    if column.kind is None:
        known = ", ".join(kind for kind in KINDS if kind not in ("array", "enum", "bpchar"))
        raise UnsupportedError(
            f"column {name!r} is {column.type}, of which no metadata can be made; leave it out: the types known are "
            f"{known}, character, enums, and arrays of these but of times with a zone"
        )
    return AdoptedColumn(name, column.cast, column.kind)


def _check_rows(session: Session, table: str, facts: Facts, adopted: Adopted, metric: Metric) -> None:
    """Look at all rows once, for one that is no record by the contract."""
    for id, what in session.rows(unsound_rows(table, facts, adopted, metric, limit=1)):
        if what == "id":
            raise InvalidIdError(f"the row with id {id!r} … cannot be a record: an id has 1 to 512 characters")
        if what == "norm":
            least = METRICS[metric].min_norm
            raise InvalidVectorError(
                f"the row {id!r} cannot be a record: the norm of its vector is not {least:.0e} to {MAX_NORM:.0e}, so "
                f"it has no distance by {metric!r}; set it to NULL, and the row is no record until it has another"
            )
        raise InvalidArgumentError(f"the metadata of row {id!r} is no JSON object; make it one, or NULL")


def unsound_rows(table: str, facts: Facts, adopted: Adopted, metric: Metric, limit: int) -> Statement:
    """Of rows that have a vector and are no records all the same: the id, cut, and which part is to blame."""
    wrong = adopted.faults(facts.schema, metric)
    chosen = " ".join(f"WHEN {condition} THEN '{what}'" for what, condition in wrong.items())
    id = f"left({stored(adopted.id.name)}::text, 100)"
    present = f"{stored(adopted.embedding)} IS NOT NULL AND {stored(adopted.id.name)} IS NOT NULL"
    return Statement(
        f"SELECT {id}, CASE {chosen} END FROM {table} AS stored WHERE {present} AND ({' OR '.join(wrong.values())}) "
        "LIMIT $1::bigint",
        [limit],
    )


def count_unsound(session: Session, table: str, facts: Facts, adopted: Adopted, metric: Metric) -> int:
    """How many rows have a vector and are no records all the same (rule 2.8)."""
    wrong = " OR ".join(adopted.faults(facts.schema, metric).values())
    present = f"{stored(adopted.embedding)} IS NOT NULL AND {stored(adopted.id.name)} IS NOT NULL"
    text = f"SELECT count(*) FROM {table} AS stored WHERE {present} AND ({wrong})"
    ((count,),) = session.rows(Statement(text))
    return int(count)


def _index(session: Session, oid: int, column: _Column, metric: Metric, *, half: bool) -> Index | None:
    """The index that there is on the column for this metric, as if it had been asked for."""
    rows = session.rows(
        Statement(
            "SELECT amname, (SELECT json_object_agg(option_name, option_value)::text "
            "FROM pg_catalog.pg_options_to_table(reloptions)) FROM pg_catalog.pg_index "
            "JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid JOIN pg_catalog.pg_am ON pg_am.oid = relam "
            "JOIN pg_catalog.pg_opclass ON pg_opclass.oid = indclass[0] "
            "WHERE indrelid = $1::bigint::oid AND indkey[0] = $2::int AND indnkeyatts = 1 AND indisvalid "
            "AND indpred IS NULL AND opcname = $3::text ORDER BY amname, relname LIMIT 1",
            [oid, column.number, f"{column.bare}_{metric}_ops"],
        )
    )
    if not rows:
        return None
    method, options = rows[0]
    given = {name: int(value) for name, value in json.loads(options or "{}").items()}
    quantization: Quantization | None = "half" if half else None
    if method == "ivfflat":
        return IVFFlat(lists=given.get("lists", 100), quantization=quantization)
    return HNSW(m=given.get("m", 16), ef_construction=given.get("ef_construction", 64), quantization=quantization)
