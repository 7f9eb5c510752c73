"""Typed columns: values of metadata keys in columns of their own, and the conditions that these can decide.

A promoted key stays in the metadata, which is what is read; its column is generated from there by the server, whoever
writes the row, so the two cannot differ. The column holds the value if it is of the column's type and is NULL if not.
A comparison with an operand of that type is then the column's alone to decide (rules 5.4 and 5.5: a value of another
type is neither equal nor ordered); all others are made on the metadata as ever.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from vectorkit.filters import Scalar
from vectorkit.types import ColumnType
from vectorkit_pgvector.sql.codec import dump_json, text_array
from vectorkit_pgvector.sql.quoting import literal, quote

__all__ = [
    "Column",
    "among",
    "bool_text",
    "bounded",
    "compare",
    "date_text",
    "definition",
    "number_text",
    "promoted",
]

_LARGEST: Final = 10**309
"""Beyond every stored number (64-bit integers and floats), and within what `numeric` holds."""

_MOST_TEXT: Final = 512
"""Characters of a string that its column holds: 2,048 bytes at the most, where an entry of a btree takes 2,704."""

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that conditions on a metadata key can use.

    Attributes:
        name: Its name, quoted where it needs to be.
        type: The SQL type that operands are compared in.
        text: An operand as text of that type, or None where the column cannot decide (it is of another type).
        whole: Whether a record whose column is NULL has no value that is ordered with such an operand. Else the
            metadata decides there: a string that is no date is ordered with one that is, though never equal to it.
        bounds: What the column's value is to fulfil where it is compared as smaller, or as larger, than an operand:
            `>= …` and `< …`, for values beyond that are none in the metadata; empty where there are no such values.
    """

    name: str
    type: str
    text: Callable[[Scalar], str | None]
    whole: bool = True
    bounds: tuple[str, str] = ("", "")


def compare(column: Column, operator: str, operand: str, parameters: list[Any]) -> str:
    """The condition that the column's value and an operand, as `Column.text` gives it, compare so; never NULL."""
    collated = ' COLLATE "C"' if column.type == "text" and operator != "=" else ""
    least, most = column.bounds
    bound = {"<": least, "<=": least, ">": most, ">=": most}.get(operator)
    within = f" AND {column.name} {bound}" if bound else ""
    parameters.append(operand)
    compared = f"{column.name}{collated} {operator} ${len(parameters)}::{column.type}"
    return f"({column.name} IS NOT NULL AND {compared}{within})"


def among(column: Column, operands: Sequence[str], parameters: list[Any]) -> str:
    """The condition that the column's value equals one of the operands; never NULL."""
    parameters.append(text_array(operands))
    return f"({column.name} IS NOT NULL AND {column.name} = ANY (${len(parameters)}::text[]::{column.type}[]))"


def bounded(operand: Scalar) -> Scalar:
    """An integer beyond what `numeric` takes compares with every stored number as any other large one does."""
    if isinstance(operand, int) and abs(operand) > _LARGEST:
        return _LARGEST if operand > 0 else -_LARGEST
    return operand


# --- operands ---------------------------------------------------------------------------------------------------


def number_text(operand: Scalar) -> str | None:
    """A number for a `numeric` column."""
    return dump_json(bounded(operand)) if isinstance(operand, int | float) and not isinstance(operand, bool) else None


def _short_text(operand: Scalar) -> str | None:
    """A string for a column that holds the beginnings of strings: shorter ones compare with the whole alike."""
    return operand if isinstance(operand, str) and len(operand) < _MOST_TEXT else None


def bool_text(operand: Scalar) -> str | None:
    """A bool for a `boolean` column."""
    return str(operand).lower() if isinstance(operand, bool) else None


def date_text(operand: Scalar) -> str | None:
    """A date as ISO 8601 writes it in full, `2024-12-31`: such strings order as the dates do."""
    if not isinstance(operand, str) or not _DATE.fullmatch(operand):
        return None
    try:
        date.fromisoformat(operand)
    except ValueError:
        return None
    return operand


# --- promoted keys ----------------------------------------------------------------------------------------------

_PROMOTED: Final[dict[ColumnType, tuple[str, Callable[[Scalar], str | None]]]] = {
    # A JSON number may be a 64-bit integer or a float, of which neither SQL type holds the other's exactly.
    "int": ("numeric", number_text),
    "float": ("numeric", number_text),
    "str": ("text", _short_text),
    "bool": ("boolean", bool_text),
    "date": ("date", date_text),
}


def promoted(columns: Mapping[str, ColumnType]) -> dict[str, Column]:
    """The columns of promoted keys, by key."""
    return {key: Column(quote(key), *_PROMOTED[kind], whole=kind != "date") for key, kind in columns.items()}


def definition(key: str, kind: ColumnType) -> str:
    """A promoted key's column in `CREATE TABLE`."""
    value = f"metadata -> {literal(key)}"
    text = f"metadata ->> {literal(key)}"
    json_type, expression = {
        "int": ("number", f"({value})::numeric"),
        "float": ("number", f"({value})::numeric"),
        "str": ("string", f"left({text}, {_MOST_TEXT})"),
        "bool": ("boolean", f"({value})::boolean"),
        "date": ("string", _date_of(text)),
    }[kind]
    collation = ' COLLATE "C"' if kind == "str" else ""
    return (
        f"{quote(key)} {_PROMOTED[kind][0]}{collation} GENERATED ALWAYS AS "
        f"(CASE WHEN jsonb_typeof({value}) = '{json_type}' THEN {expression} END) STORED"
    )


def _date_of(text: str) -> str:
    """The date that a text is, or NULL; a cast would fail for `2023-02-30`, and obey `DateStyle`."""
    year, month, day = f"substr({text}, 1, 4)::int", f"substr({text}, 6, 2)::int", f"substr({text}, 9, 2)::int"
    counted = f"make_date({year}, {month}, 1) + ({day} - 1)"
    form = "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
    return f"CASE WHEN {text} ~ '{form}' THEN CASE WHEN date_part('month', {counted}) = {month} THEN {counted} END END"
