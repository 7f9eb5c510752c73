"""What the registry keeps, read back as data: whoever may write to it must not get SQL of theirs run by who reads it.

Names become quoted identifiers, types are those of the tables in `vectorkit_pgvector.adopted.types`, and whatever this
library would not have written there is an error.
"""

import re
from collections.abc import Mapping
from typing import Final

from vectorkit._json import parse_json
from vectorkit._narrow import is_dict, is_list
from vectorkit.errors import InvalidArgumentError
from vectorkit.metadata import check_metadata_key
from vectorkit.stored import damaged, read_text
from vectorkit.validation import check_flag, short
from vectorkit_pgvector.adopted.description import Adopted, AdoptedColumn
from vectorkit_pgvector.adopted.types import ELEMENTS, ID_TYPES, KINDS, METADATA_TYPES
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql.codec import text_array
from vectorkit_pgvector.sql.quoting import quote
from vectorkit_pgvector.sql.tables import Statement

__all__ = ["check_adopted", "read_adopted", "read_kept", "read_table"]

_QUALIFIED: Final = re.compile(r'([a-z_][a-z0-9_]*|"(?:[^"]|"")+")\.([a-z_][a-z0-9_]*|"(?:[^"]|"")+")')
"""Schema and name, as PostgreSQL's `quote_identifier` writes them, and as `quote` does."""


def read_kept(text: str, where: str, field: str) -> object:
    """A JSON value of the registry."""
    try:
        value: object = parse_json(text)
    except ValueError:
        raise damaged(where, field, "it cannot be read as JSON") from None
    return value


def read_table(schema: object, table: object, where: str) -> str:
    """The name of a table of the application's, qualified and quoted."""
    try:
        return f"{quote(_name(schema))}.{quote(_name(table))}"
    except InvalidArgumentError as error:
        raise damaged(where, "adopted table", str(error)) from None


def read_adopted(text: str, where: str) -> Adopted:
    """What `vectorkit_pgvector.adopted.description.as_json` gave.

    Args:
        text: JSON of the column `adopted`.
        where: Where it is from, for the message.

    Raises:
        BackendError: A field is not what this library writes.
    """
    stored = read_kept(text, where, "adopted")
    columns = stored.get("columns") if is_dict(stored) else None
    if not is_dict(columns) or set(columns) != set(Adopted.__slots__):
        raise damaged(where, "adopted", "it does not tell of the columns of a table")
    try:
        return _adopted({str(name): value for name, value in columns.items()})
    except InvalidArgumentError as error:
        raise damaged(where, "adopted", str(error)) from None


def check_adopted(session: Session, table: str, adopted: Adopted, where: str) -> None:
    """See that the names are those of what they were adopted as; a view or a domain in their place would run code.

    What is gone altogether is left to the statements that need it.

    Raises:
        BackendError: There is something else of that name.
    """
    enums = [column.type for column in adopted.columns if column.kind == "enum"]
    ((is_table, is_sequence, are_enums),) = session.rows(
        Statement(
            "SELECT (SELECT relkind = 'r' FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)), "
            "(SELECT relkind = 'S' FROM pg_catalog.pg_class WHERE oid = to_regclass($2::text)), "
            "(SELECT bool_and(typtype = 'e') FROM unnest($3::text[]) AS stored(name) "
            "JOIN pg_catalog.pg_type ON pg_type.oid = to_regtype(stored.name))",
            [table, adopted.sequence, text_array(enums)],
        )
    )
    if is_table is False:
        raise damaged(where, "adopted table", f"{table} is not a plain table")
    if is_sequence is False:
        raise damaged(where, "sequence", f"{adopted.sequence} is not a sequence")
    if are_enums is False:
        raise damaged(where, "columns", "a type is not an enum")


def _adopted(stored: Mapping[str, object]) -> Adopted:
    metadata, columns = stored["metadata"], stored["columns"]
    if not is_list(columns):
        raise InvalidArgumentError(f"columns must be a list, got {short(columns)}")
    id = _column(stored["id"])
    if id.type not in ID_TYPES:
        raise InvalidArgumentError(f"{short(id.type)} is not a type of ids")
    kept = None if metadata is None else _column(metadata)
    if kept is not None and kept.type not in METADATA_TYPES:
        raise InvalidArgumentError(f"{short(kept.type)} is not a type of metadata")
    return Adopted(
        id=id,
        unique=_name(stored["unique"]),
        generated=check_flag(stored["generated"], "generated"),
        sequence=None if stored["sequence"] is None else _qualified(stored["sequence"]),
        embedding=_name(stored["embedding"]),
        half=check_flag(stored["half"], "half"),
        document=None if stored["document"] is None else _name(stored["document"]),
        metadata=kept,
        columns=tuple(_key(_column(column)) for column in columns),
    )


def _column(stored: object) -> AdoptedColumn:
    if not is_list(stored) or len(stored) != len(AdoptedColumn._fields):
        raise InvalidArgumentError(f"a column must be name, type and kind, got {short(stored)}")
    name, type, kind = _name(stored[0]), read_text(stored[1]), read_text(stored[2])
    match kind:
        case "enum":
            return AdoptedColumn(name, _qualified(type), kind)
        case "array":
            known = type.endswith("[]") and type.removesuffix("[]") in ELEMENTS
        case _:
            known = type == kind and kind in KINDS
    if not known:
        raise InvalidArgumentError(f"{short(type)} is not a type of kind {short(kind)}")
    return AdoptedColumn(name, type, kind)


def _key(column: AdoptedColumn) -> AdoptedColumn:
    check_metadata_key(column.name)
    return column


def _name(stored: object) -> str:
    name = read_text(stored)
    if not name:
        raise InvalidArgumentError("a name must not be empty")
    return name


def _qualified(stored: object) -> str:
    """A qualified name, quoted anew."""
    text = read_text(stored)
    found = _QUALIFIED.fullmatch(text)
    if found is None:
        raise InvalidArgumentError(f"{short(text)} is not a qualified name")
    return ".".join(quote(_unquoted(part)) for part in found.groups())


def _unquoted(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier
