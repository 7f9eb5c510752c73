"""Haystack's filters as filters of the contract. What these cannot say exactly is refused, never weakened."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from haystack.errors import FilterError

from vectorkit._narrow import is_list, is_mapping

__all__ = ["as_where", "field_key"]

_ORDER: Final = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_EQUAL: Final = {"==": "$eq", "!=": "$ne"}
_AMONG: Final = {"in": "$in", "not in": "$nin"}
_DOCUMENT_FIELDS: Final = frozenset({"content", "blob", "score", "embedding", "sparse_embedding", "meta"})
_LEVELS: Final = 64  # more than the contract takes; deeper filters, or such as hold themselves, are refused by then


def as_where(filters: Mapping[str, Any] | None, id_key: str) -> Mapping[str, Any] | None:
    """Translate a filter.

    Args:
        filters: Haystack's comparison or logical condition; None and `{}` match everything.
        id_key: The metadata key that holds a document's id.

    Raises:
        FilterError: It is malformed, or compares what the contract cannot; the message names field or operator.
    """
    return _condition(filters, id_key, 0) if filters else None


def field_key(field: str, id_key: str) -> str:
    """The metadata key of a field: `"meta.page"`, `"page"` or `"id"`.

    Raises:
        FilterError: The field is another one of the document's, or lies inside a value.
    """
    if field == "id":
        return id_key
    key = field.removeprefix("meta.")
    if key in _DOCUMENT_FIELDS and key == field:
        raise FilterError(f"a filter must name 'id' or a field of meta, got {field!r}")
    if "." in key:
        raise FilterError(f"field {field!r} lies inside a value of meta, which no filter reaches; keep it at the top")
    return key


def _condition(condition: Any, id_key: str, level: int) -> Mapping[str, Any]:
    if not is_mapping(condition):
        raise FilterError(f"a condition must be a dict, got {condition!r:.80}")
    if level > _LEVELS:
        raise FilterError(f"a filter must have at most {_LEVELS} levels")
    if "field" in condition:
        return _comparison(condition, id_key)
    for name in ("operator", "conditions"):
        if name not in condition:
            raise FilterError(f"a condition must have the key {name!r}, got {sorted(map(str, condition))}")
    conditions: Any = condition["conditions"]
    if not is_list(conditions):
        raise FilterError(f"the conditions of a filter must be a list, got {conditions!r:.80}")
    parts = [_condition(each, id_key, level + 1) for each in conditions]
    match condition["operator"]:
        case "AND":
            return {"$and": parts}
        case "OR":
            return {"$or": parts}
        case "NOT":  # as Haystack evaluates it: not all of them hold
            return {"$not": {"$and": parts}}
        case _:
            raise FilterError(f"a logical operator must be AND, OR or NOT, got {condition['operator']!r:.80}")


def _comparison(condition: Mapping[Any, Any], id_key: str) -> Mapping[str, Any]:
    for name in ("operator", "value"):
        if name not in condition:
            raise FilterError(f"a comparison must have the key {name!r}, got {sorted(map(str, condition))}")
    key = field_key(str(condition["field"]), id_key)
    operator, value = condition["operator"], condition["value"]
    if operator in _EQUAL:
        return {key: {_EQUAL[operator]: _scalar(value, operator)}}
    if operator in _AMONG:
        if not is_list(value):
            raise FilterError(f"the value of operator {operator!r} must be a list, got {value!r:.80}")
        return {key: {_AMONG[operator]: [_scalar(each, operator) for each in value]}}
    if operator in _ORDER:
        if value is None:
            return {"$or": []}  # Haystack: no document is greater or less than None
        return {key: {_ORDER[operator]: _ordered(value, operator)}}
    known = ", ".join((*_EQUAL, *_ORDER, *_AMONG))
    raise FilterError(f"a comparison operator must be one of {known}, got {operator!r:.80}")


def _scalar(value: Any, operator: str) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_list(value) or is_mapping(value) or isinstance(value, tuple | set):
        raise FilterError(f"operator {operator!r} must compare with a scalar, got a collection")
    return value


def _ordered(value: Any, operator: str) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise FilterError(
                f"operator {operator!r} must compare with a number or a date in ISO format, got {value!r:.80}"
            ) from error
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise FilterError(f"operator {operator!r} must compare with a number or a date, got {type(value).__name__}")
    return value
