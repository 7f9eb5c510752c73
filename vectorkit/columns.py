"""Typed columns: metadata keys that a store keeps in columns of their own, for its indexes and for plain SQL."""

from collections.abc import Mapping
from datetime import date
from typing import Final, TypeAlias

from vectorkit._narrow import is_mapping
from vectorkit.errors import InvalidArgumentError
from vectorkit.metadata import check_metadata_key
from vectorkit.types import ColumnType
from vectorkit.validation import check_choice, short

__all__ = ["Columns", "as_columns", "read_columns"]

Columns: TypeAlias = Mapping[str, type[int] | type[float] | type[str] | type[bool] | type[date]]
"""Metadata keys, and of which type their values mostly are."""

_TYPES: Final[dict[object, ColumnType]] = {int: "int", float: "float", str: "str", bool: "bool", date: "date"}

_MAX_BYTES: Final = 63
"""The longest identifier of PostgreSQL (its manual, "Identifiers and Key Words")."""

_TAKEN: Final = frozenset(
    ("id", "document", "metadata", "embedding", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
)
"""What a table has already: a record's own parts, and PostgreSQL's system columns."""


def as_columns(columns: object) -> dict[str, ColumnType]:
    """Return the columns that a mapping of metadata keys to types declares; None means none.

    Args:
        columns: Keys that rule 2.5 allows, of at most 63 bytes in UTF-8, and none of `id`, `document`, `metadata`,
            `embedding` and the names of PostgreSQL's system columns; to `int`, `float`, `str`, `bool` or
            `datetime.date`.

    Raises:
        InvalidArgumentError: They are no such mapping (`InvalidMetadataError` for a key that no metadata can have).
    """
    if columns is None:
        return {}
    if not is_mapping(columns):
        raise InvalidArgumentError(
            f"columns is a dict of metadata keys and types, such as {{'year': int}}, not {type(columns).__name__}"
        )
    return {_checked(key): _type(key, kind) for key, kind in columns.items()}


def read_columns(stored: object) -> dict[str, ColumnType]:
    """Return columns as a store keeps them, by the names of their types.

    Raises:
        InvalidArgumentError: They are not what `as_columns` returns.
    """
    if not is_mapping(stored):
        raise InvalidArgumentError(f"columns are an object of metadata keys and types, not {short(stored)}")
    return {_checked(key): check_choice(kind, tuple(_TYPES.values()), "the type") for key, kind in stored.items()}


def _checked(key: object) -> str:
    name = check_metadata_key(key)
    if name in _TAKEN or len(name.encode()) > _MAX_BYTES:
        raise InvalidArgumentError(
            f"the metadata key {short(name)} cannot be a column: its name is taken, or longer than {_MAX_BYTES} bytes; "
            "leave it in the metadata, where filters find it as well"
        )
    return name


def _type(key: object, kind: object) -> ColumnType:
    for known, name in _TYPES.items():
        if kind is known:
            return name
    raise InvalidArgumentError(
        f"column {short(key)} is of type int, float, str, bool or datetime.date, not {short(kind)}; "
        "declare no column for a key with other values"
    )
