"""From the filter tree to a SQL condition on the columns `document` and `metadata` (section 5 of the contract).

Every condition is true or false, never NULL, so that NOT is the complement (5.2). Keys and operands are parameters,
never part of the text (5.12). Equality and `$contains` are containment (`@>`), which the GIN index on the metadata
serves; containment compares type and value as rule 5.4 does, numbers as exact decimals, and a scalar inside an
object is contained in that very scalar alone, not in a list that holds it. Where a key has a typed column that can
decide, the condition is one on that column.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from vectorkit.filters import And, Compare, Contains, Filter, Not, Or, Scalar
from vectorkit_pgvector.sql import columns as typed_columns
from vectorkit_pgvector.sql.codec import dump_json, jsonb_array
from vectorkit_pgvector.sql.columns import Column, bounded

__all__ = ["condition"]

_FEW: Final = 64
"""So many values of an `$in` are looked up in the index one by one; more are hashed, and each row's value looked up."""

_TRIGRAM: Final = 3
"""Characters from which on a text has something that pg_trgm indexes."""

_COMPARISONS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=", "$eq": "="}
_NOT_TYPED: Final = ("$exists", "$contains")


def condition(where: Filter | None, parameters: list[Any], columns: Mapping[str, Column]) -> str:
    """The condition as SQL, in parentheses where needed.

    Args:
        where: The filter; None matches everything.
        parameters: Those of the statement so far; those of the condition are appended, and it refers to them by
            number (`$3`).
        columns: The typed columns, by key.
    """
    match where:
        case None | And(()):
            return "true"
        case Or(()):
            return "false"
        case And(parts):
            return "(" + " AND ".join(condition(part, parameters, columns) for part in parts) + ")"
        case Or(parts):
            return "(" + " OR ".join(condition(part, parameters, columns) for part in parts) + ")"
        case Not(part):
            return f"(NOT {condition(part, parameters, columns)})"
        case Contains(text):
            return _contains(text, parameters)
        case Compare():
            return _compare(where, parameters, columns.get(where.key))
        case _:
            raise TypeError(f"not a filter: {where!r}")


def _contains(text: str, parameters: list[Any]) -> str:
    """Substring. `LIKE` says the same, twice as slowly, but of three characters and more a trigram index finds it.

    What is cheaper by the planner's reckoning is tried first; `concat`, which is not worked out before, makes it a tie.
    """
    found = f"strpos(document, {_parameter(text, parameters)}::text) > 0"
    if len(text) < _TRIGRAM:
        return f"coalesce({found}, false)"
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return f"(document IS NOT NULL AND {found} AND document LIKE concat({_parameter(pattern, parameters)}::text))"


def _compare(leaf: Compare, parameters: list[Any], column: Column | None) -> str:
    key, operand = leaf.key, cast("Any", leaf.operand)
    if leaf.op == "$in":
        return _in(key, operand, parameters, column)
    typed = None if column is None or leaf.op in _NOT_TYPED else column.text(operand)
    if column is None or typed is None:
        return _on_metadata(leaf, parameters)
    decided = typed_columns.compare(column, _COMPARISONS[leaf.op], typed, parameters)
    if column.whole or leaf.op == "$eq":
        return decided
    return f"({decided} OR ({column.name} IS NULL AND {_on_metadata(leaf, parameters)}))"


def _on_metadata(leaf: Compare, parameters: list[Any]) -> str:
    key, operand = leaf.key, cast("Any", leaf.operand)
    match leaf.op:
        case "$exists":
            return f"(metadata ? {_parameter(key, parameters)}::text)"
        case "$eq" if operand is None:
            return _no_value(key, parameters)
        case "$eq":
            return f"(metadata @> {_parameter(dump_json({key: bounded(operand)}), parameters)}::jsonb)"
        case "$contains":
            return f"(metadata @> {_parameter(dump_json({key: [bounded(operand)]}), parameters)}::jsonb)"
        case _:
            return _ordered(key, _COMPARISONS[leaf.op], operand, parameters)


def _ordered(key: str, operator: str, operand: Any, parameters: list[Any]) -> str:
    name = f"{_parameter(key, parameters)}::text"
    if isinstance(operand, str):
        value = f'(metadata ->> {name}) COLLATE "C" {operator} {_parameter(operand, parameters)}::text'
        kind = "string"
    else:
        value = f"(metadata -> {name}) {operator} {_parameter(dump_json(bounded(operand)), parameters)}::jsonb"
        kind = "number"
    # CASE, unlike AND, fixes the order of evaluation; jsonb would compare values of different types.
    return f"(CASE WHEN jsonb_typeof(metadata -> {name}) = '{kind}' THEN {value} ELSE false END)"


def _in(key: str, operands: Sequence[Scalar], parameters: list[Any], column: Column | None) -> str:
    values = [operand for operand in operands if operand is not None]
    parts = [_no_value(key, parameters)] if len(values) < len(operands) else []
    if column is not None:
        texts = [(value, column.text(value)) for value in values]
        if typed := [text for _, text in texts if text is not None]:
            parts.append(typed_columns.among(column, typed, parameters))
        values = [value for value, text in texts if text is None]
    if values:
        parts.append(_among(key, [bounded(value) for value in values], parameters))
    return "(" + (" OR ".join(parts) or "false") + ")"


def _among(key: str, values: Sequence[Scalar], parameters: list[Any]) -> str:
    if len(values) > _FEW:
        name = _parameter(key, parameters)
        listed = _parameter(jsonb_array(values), parameters)
        return f"coalesce((metadata -> {name}::text) = ANY ({listed}::jsonb[]), false)"
    listed = _parameter(jsonb_array([{key: value} for value in values]), parameters)
    return f"(metadata @> ANY ({listed}::jsonb[]))"


def _no_value(key: str, parameters: list[Any]) -> str:
    """Absent or null: `->>` makes both of them NULL (rule 5.3)."""
    return f"((metadata ->> {_parameter(key, parameters)}::text) IS NULL)"


def _parameter(value: Any, parameters: list[Any]) -> str:
    parameters.append(value)
    return f"${len(parameters)}"
