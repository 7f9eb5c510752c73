"""The two ways to write a filter, a dict and the `F` builder, and the checks that both pass (rule 5.10)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from vectorkit._narrow import is_mapping, is_scalar, is_sequence
from vectorkit.errors import InvalidArgumentError, InvalidFilterError, InvalidMetadataError
from vectorkit.filters.tree import (
    MAX_CONDITIONS,
    TRUE,
    And,
    Compare,
    Contains,
    Filter,
    Not,
    Operator,
    Or,
    Scalar,
    parts,
    show,
    simplify,
    too_many,
)
from vectorkit.metadata import check_metadata_key
from vectorkit.validation import check_text, plain_text

__all__ = ["MAX_CONDITIONS", "MAX_DEPTH", "MAX_SET_VALUES", "F", "parse", "parse_document"]

MAX_DEPTH: Final = 64
"""Levels of nesting taken (the contract guarantees 32)."""
MAX_SET_VALUES: Final = 100_000
"""Values taken in one `$in` or `$nin`."""
_MAX_VALUES: Final = 10 * MAX_SET_VALUES
"""Values taken in all `$in` and `$nin` of one filter: a list may be named many times."""


class F:
    """Builds conditions on a metadata key.

    `F("year") >= 2020`, `F("lang").in_(["en", "de"])`, `F("tags").contains("x")`; `&`, `|` and `~` combine them.

    Args:
        key: The whole metadata key, as rule 2.5 allows it.

    Raises:
        InvalidFilterError: The key is one that no record can have, or an operand is not allowed (rule 5.10).
    """

    __slots__ = ("_key",)
    __hash__ = None  # type: ignore[assignment]  # == builds a filter

    def __init__(self, key: str) -> None:
        self._key = _checked_key(key)

    def __eq__(self, other: object) -> Filter:  # type: ignore[override]
        return _condition(self._key, "$eq", other)

    def __ne__(self, other: object) -> Filter:  # type: ignore[override]
        return _condition(self._key, "$ne", other)

    def __gt__(self, other: float | str) -> Filter:
        return _condition(self._key, "$gt", other)

    def __ge__(self, other: float | str) -> Filter:
        return _condition(self._key, "$gte", other)

    def __lt__(self, other: float | str) -> Filter:
        return _condition(self._key, "$lt", other)

    def __le__(self, other: float | str) -> Filter:
        return _condition(self._key, "$lte", other)

    def in_(self, values: Sequence[Scalar]) -> Filter:
        """The value equals one of `values` (`$in`); an empty list matches nothing."""
        return _condition(self._key, "$in", values)

    def not_in(self, values: Sequence[Scalar]) -> Filter:
        """The value equals none of `values`, or there is no value (`$nin`)."""
        return _condition(self._key, "$nin", values)

    def exists(self, expected: bool = True) -> Filter:
        """The record has the key, be its value None; or, with False, does not have it (`$exists`)."""
        return _condition(self._key, "$exists", expected)

    def contains(self, element: Scalar) -> Filter:
        """The value is a list, and one of its elements equals `element` (`$contains`)."""
        return _condition(self._key, "$contains", element)

    def not_contains(self, element: Scalar) -> Filter:
        """The complement of `contains` (`$not_contains`)."""
        return _condition(self._key, "$not_contains", element)


def parse(where: Mapping[str, Any] | Filter | None) -> Filter | None:
    """Turn a metadata filter as the caller wrote it into a tree.

    Args:
        where: The dict form, a built filter, or None.

    Returns:
        The tree, simplified (see `simplify`), or None if the filter matches everything.

    Raises:
        InvalidFilterError: The filter is malformed or beyond a limit; the message shows the offending part.
    """
    if where is None:
        return None
    return _finish(where if isinstance(where, Filter) else _Reader().where(where, 0))


def parse_document(where: Mapping[str, Any] | None) -> Filter | None:
    """Turn a `where_document` filter (rule 5.11) into a tree; arguments, result and errors as in `parse`."""
    return _finish(_Reader().document(where, 0)) if where is not None else None


def _finish(tree: Filter) -> Filter | None:
    _check_limits(tree)
    tree = simplify(tree)
    return None if tree == TRUE else tree


class _Reader:
    """Reads the dict form of one filter.

    What it visits is counted, before it goes on: a dict may be part of another one many times over, so that a small
    filter would be exponentially long.
    """

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0

    def where(self, where: object, depth: int) -> Filter:
        """A filter of metadata, or a part of one."""
        if isinstance(where, Filter):
            self._count()
            return where
        entries = self._entries(where, depth, 'such as {"year": {"$gte": 2020}}')
        return _all(self._entry(key, value, depth) for key, value in entries)

    def document(self, where: object, depth: int) -> Filter:
        """A filter of documents, or a part of one."""
        entries = self._entries(where, depth, 'such as {"$contains": "text"}')
        return _all(self._document_entry(key, value, depth) for key, value in entries)

    def _count(self) -> None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise too_many()

    def _entry(self, key: str, value: object, depth: int) -> Filter:
        if key == "$and":
            return And(tuple(self.where(part, depth + 1) for part in self._list(key, value)))
        if key == "$or":
            return Or(tuple(self.where(part, depth + 1) for part in self._list(key, value)))
        if key == "$not":
            return Not(self.where(value, depth + 1))
        key = _checked_key(key)
        if not is_mapping(value):
            return self._condition(key, "$eq", value)
        if not value:
            raise InvalidFilterError(f"{show({key: value})}: no operator given; for equality write {{{key!r}: value}}")
        return _all(self._condition(key, op, operand) for op, operand in value.items())

    def _condition(self, key: str, op: object, operand: object) -> Filter:
        self._count()
        if op in ("$in", "$nin") and is_sequence(operand):
            self._values += len(operand)
            if self._values > _MAX_VALUES >= len(operand):
                raise InvalidFilterError(f"the $in and $nin of a filter take at most {_MAX_VALUES:,} values in all")
        return _condition(key, op, operand)

    def _document_entry(self, key: str, value: object, depth: int) -> Filter:
        match key:
            case "$and":
                return And(tuple(self.document(part, depth + 1) for part in self._list(key, value)))
            case "$or":
                return Or(tuple(self.document(part, depth + 1) for part in self._list(key, value)))
            case "$not":
                return Not(self.document(value, depth + 1))
            case "$contains" | "$not_contains":
                self._count()
                if not isinstance(value, str) or not value:
                    raise InvalidFilterError(f"{show({key: value})}: {key} takes a string that is not empty")
                contains = Contains(_checked_text(value, "its operand", {key: value}))
                return contains if key == "$contains" else Not(contains)
            case _:
                raise InvalidFilterError(
                    f"{show({key: value})}: unknown operator {show(key)} in where_document; "
                    "known are $contains, $not_contains, $and, $or and $not"
                )

    def _list(self, op: str, value: object) -> Sequence[object]:
        parts = _list_of_filters(op, value)
        if not parts:
            self._count()
        return parts

    def _entries(self, where: object, depth: int, example: str) -> list[tuple[str, object]]:
        if depth > MAX_DEPTH:
            raise InvalidFilterError(f"a filter may be nested to {MAX_DEPTH} levels, this one is deeper")
        if not is_mapping(where):
            raise InvalidFilterError(f"a filter is a dict {example}, not {show(where)} ({type(where).__name__})")
        if not where:
            self._count()
        entries: list[tuple[str, object]] = []
        for key, value in where.items():
            if not isinstance(key, str):
                raise InvalidFilterError(f"a key of a filter is a str, not {show(key)} ({type(key).__name__})")
            entries.append((key, value))
        return entries


def _list_of_filters(op: str, value: object) -> Sequence[object]:
    if not is_sequence(value):
        raise InvalidFilterError(f"{show({op: value})}: {op} takes a list of filters, not {type(value).__name__}")
    return value


def _all(parts: Iterator[Filter]) -> Filter:
    found = tuple(parts)
    return found[0] if len(found) == 1 else And(found)


_NEGATIVE: Final[dict[str, Operator]] = {"$ne": "$eq", "$nin": "$in", "$not_contains": "$contains"}
_KNOWN: Final = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $contains, $not_contains"


def _condition(key: str, op: object, operand: object) -> Filter:
    """One condition with a checked operand (rule 5.10), negative operators as `Not` of the positive ones."""
    shown = {key: {op: operand}}
    match op:
        case "$eq" | "$contains":
            return Compare(key, cast("Operator", op), _scalar(operand, shown))
        case "$gt" | "$gte" | "$lt" | "$lte":
            value = _scalar(operand, shown)
            if value is None or isinstance(value, bool):
                raise InvalidFilterError(f"{show(shown)}: {op} takes a number or a string, not {show(value)}")
            return Compare(key, cast("Operator", op), value)
        case "$in":
            if not is_sequence(operand):
                raise InvalidFilterError(f"{show(shown)}: {op} takes a list of scalars, not {type(operand).__name__}")
            if len(operand) > MAX_SET_VALUES:
                raise InvalidFilterError(
                    f"{op} on {key!r} takes at most {MAX_SET_VALUES:,} values, not {len(operand):,}; split the filter"
                )
            return Compare(key, "$in", tuple(_scalar(value, shown) for value in operand))
        case "$exists":
            if not isinstance(operand, bool):
                raise InvalidFilterError(f"{show(shown)}: $exists takes True or False, not {show(operand)}")
            return Compare(key, "$exists", True) if operand else Not(Compare(key, "$exists", True))
        case "$ne" | "$nin" | "$not_contains":
            return Not(_condition(key, _NEGATIVE[cast("str", op)], operand))
        case _:
            raise InvalidFilterError(f"{show(shown)}: unknown operator {show(op)}; known are {_KNOWN}")


def _scalar(value: object, shown: object) -> Scalar:
    if is_scalar(value):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidFilterError(f"{show(shown)}: {value} cannot be compared; an operand is a finite number")
        return float(value)
    if isinstance(value, str):
        return _checked_text(value, "an operand", shown)
    raise InvalidFilterError(
        f"{show(shown)}: an operand is None, a bool, a number or a str, not {type(value).__name__}"
    )


def _checked_text(text: str, what: str, shown: object) -> str:
    try:
        check_text(text, what)
    except InvalidArgumentError as error:
        raise InvalidFilterError(f"{show(shown)}: {error}") from None
    return plain_text(text)


def _checked_key(key: object) -> str:
    if isinstance(key, str) and key.startswith("$"):
        raise InvalidFilterError(f"unknown operator {show(key)}; operators that combine are $and, $or and $not")
    try:
        return check_metadata_key(key)
    except InvalidMetadataError as error:
        raise InvalidFilterError(f"no record can have this key: {error}") from None


def _check_limits(tree: Filter) -> None:
    """Bound the work of every later step; the tree may come from the builder, so its depth is not yet known."""
    conditions = 0
    level = [tree]
    depth = 0
    while level:
        if depth > 2 * MAX_DEPTH:  # a `$not_…` or `$exists: false` leaf is two nodes
            raise InvalidFilterError(f"a filter may be nested to {MAX_DEPTH} levels, this one is deeper")
        conditions += sum(isinstance(node, Compare | Contains) for node in level)
        if max(conditions, len(level)) > MAX_CONDITIONS:  # nodes may be shared, and double from level to level
            raise too_many()
        level = [part for node in level for part in parts(node)]
        depth += 1
