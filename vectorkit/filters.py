"""The filter language (section 5 of the contract): one AST, two ways to write it, one reference evaluator.

A filter is a dict (`{"year": {"$gte": 2020}, "lang": "en"}`) or is built (`(F("year") >= 2020) & (F("lang") == "en")`);
`parse` turns either into the same tree of `Compare`, `Contains`, `And`, `Or` and `Not`. The negative operators are
not in the tree: `$ne` is `Not(Compare("$eq", …))`, and so on, so that a backend has eight leaves to translate and
two-valued logic holds by construction. `matches` is the meaning of the tree; every backend is compared with it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np

from vectorkit._narrow import is_list, is_mapping, is_sequence
from vectorkit.errors import InvalidArgumentError, InvalidFilterError, InvalidMetadataError
from vectorkit.types import Json
from vectorkit.validation import check_metadata_key, check_text

__all__ = [
    "FALSE",
    "MAX_CONDITIONS",
    "MAX_DEPTH",
    "MAX_SET_VALUES",
    "TRUE",
    "And",
    "Compare",
    "Contains",
    "F",
    "Filter",
    "Not",
    "Or",
    "Scalar",
    "evaluate",
    "matches",
    "negate",
    "parse",
    "parse_document",
    "simplify",
    "walk",
]

Scalar: TypeAlias = bool | int | float | str | None
"""What an operand can be, outside `$in` and `$nin`."""

Operator: TypeAlias = Literal["$eq", "$gt", "$gte", "$lt", "$lte", "$in", "$exists", "$contains"]

MAX_DEPTH: Final = 64
"""Levels of nesting taken (the contract guarantees 32)."""
MAX_CONDITIONS: Final = 1000
"""Conditions (leaves) taken in one filter (the contract guarantees 500)."""
MAX_SET_VALUES: Final = 100_000
"""Values taken in one `$in` or `$nin`."""


class Filter:
    """A node of the tree. `&`, `|` and `~` combine filters."""

    __slots__ = ()

    def __and__(self, other: "Filter") -> "Filter":
        return And((self, _filter(other)))

    def __or__(self, other: "Filter") -> "Filter":
        return Or((self, _filter(other)))

    def __invert__(self) -> "Filter":
        return Not(self)

    def __bool__(self) -> bool:
        raise InvalidFilterError("a filter has no truth value: combine filters with &, | and ~, not and, or and not")


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """A condition on the value of one metadata key.

    Attributes:
        key: The whole key; a dot in it is a dot.
        op: `$eq`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$exists` or `$contains`.
        operand: A scalar; for `$in` a tuple of scalars; for `$exists` always True (False is a `Not`).
    """

    key: str
    op: Operator
    operand: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """The document contains `text`, compared by code point."""

    text: str


@dataclass(frozen=True, slots=True)
class And(Filter):
    """All of `parts` hold; true if there are none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """One of `parts` holds; false if there are none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The complement of `part`."""

    part: Filter


TRUE: Final = And(())
FALSE: Final = Or(())


# --- writing: the builder ---------------------------------------------------------------------------------------


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


# --- reading: the dict form -------------------------------------------------------------------------------------


def parse(where: Mapping[str, Any] | Filter | None) -> Filter | None:
    """Turn a metadata filter as the caller wrote it into a tree.

    Args:
        where: The dict form, a built filter, or None.

    Returns:
        The tree, simplified (see `simplify`), or None if the filter matches everything.

    Raises:
        InvalidFilterError: The filter is malformed or beyond a limit; the message shows the offending part.
    """
    return _finish(_parse_where(where, 0) if not isinstance(where, Filter) else where) if where is not None else None


def parse_document(where: Mapping[str, Any] | None) -> Filter | None:
    """Turn a `where_document` filter (rule 5.11) into a tree; arguments, result and errors as in `parse`."""
    return _finish(_parse_document(where, 0)) if where is not None else None


def _finish(tree: Filter) -> Filter | None:
    _check_limits(tree)
    tree = simplify(tree)
    return None if tree == TRUE else tree


def _parse_where(where: object, depth: int) -> Filter:
    if isinstance(where, Filter):
        return where
    entries = _entries(where, depth, 'such as {"year": {"$gte": 2020}}')
    return _all(_parse_entry(key, value, depth) for key, value in entries)


def _parse_entry(key: str, value: object, depth: int) -> Filter:
    if key == "$and":
        return And(tuple(_parse_where(part, depth + 1) for part in _list_of_filters(key, value)))
    if key == "$or":
        return Or(tuple(_parse_where(part, depth + 1) for part in _list_of_filters(key, value)))
    if key == "$not":
        return Not(_parse_where(value, depth + 1))
    key = _checked_key(key)
    if not is_mapping(value):
        return _condition(key, "$eq", value)
    if not value:
        raise InvalidFilterError(f"{_show({key: value})}: no operator given; for equality write {{{key!r}: value}}")
    return _all(_condition(key, op, operand) for op, operand in value.items())


def _parse_document(where: object, depth: int) -> Filter:
    entries = _entries(where, depth, 'such as {"$contains": "text"}')
    return _all(_parse_document_entry(key, value, depth) for key, value in entries)


def _parse_document_entry(key: str, value: object, depth: int) -> Filter:
    match key:
        case "$and":
            return And(tuple(_parse_document(part, depth + 1) for part in _list_of_filters(key, value)))
        case "$or":
            return Or(tuple(_parse_document(part, depth + 1) for part in _list_of_filters(key, value)))
        case "$not":
            return Not(_parse_document(value, depth + 1))
        case "$contains" | "$not_contains":
            if not isinstance(value, str) or not value:
                raise InvalidFilterError(f"{_show({key: value})}: {key} takes a string that is not empty")
            _checked_text(value, f"{key} of where_document")
            return Contains(str(value)) if key == "$contains" else Not(Contains(str(value)))
        case _:
            raise InvalidFilterError(
                f"{_show({key: value})}: unknown operator {_show(key)} in where_document; "
                "known are $contains, $not_contains, $and, $or and $not"
            )


def _entries(where: object, depth: int, example: str) -> list[tuple[str, object]]:
    if depth > MAX_DEPTH:
        raise InvalidFilterError(f"a filter may be nested to {MAX_DEPTH} levels, this one is deeper")
    if not is_mapping(where):
        raise InvalidFilterError(f"a filter is a dict {example}, not {_show(where)} ({type(where).__name__})")
    entries: list[tuple[str, object]] = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise InvalidFilterError(f"a key of a filter is a str, not {_show(key)} ({type(key).__name__})")
        entries.append((key, value))
    return entries


def _list_of_filters(op: str, value: object) -> Sequence[object]:
    if not is_sequence(value):
        raise InvalidFilterError(f"{_show({op: value})}: {op} takes a list of filters, not {type(value).__name__}")
    return value


def _all(parts: Iterator[Filter]) -> Filter:
    found = tuple(parts)
    return found[0] if len(found) == 1 else And(found)


# --- checking: one place for both forms -------------------------------------------------------------------------

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
                raise InvalidFilterError(f"{_show(shown)}: {op} takes a number or a string, not {_show(value)}")
            return Compare(key, cast("Operator", op), value)
        case "$in":
            if not is_sequence(operand):
                raise InvalidFilterError(f"{_show(shown)}: {op} takes a list of scalars, not {type(operand).__name__}")
            if len(operand) > MAX_SET_VALUES:
                raise InvalidFilterError(
                    f"{op} on {key!r} takes at most {MAX_SET_VALUES:,} values, not {len(operand):,}; split the filter"
                )
            return Compare(key, "$in", tuple(_scalar(value, shown) for value in operand))
        case "$exists":
            if not isinstance(operand, bool):
                raise InvalidFilterError(f"{_show(shown)}: $exists takes True or False, not {_show(operand)}")
            return Compare(key, "$exists", True) if operand else Not(Compare(key, "$exists", True))
        case "$ne" | "$nin" | "$not_contains":
            return Not(_condition(key, _NEGATIVE[cast("str", op)], operand))
        case _:
            raise InvalidFilterError(f"{_show(shown)}: unknown operator {_show(op)}; known are {_KNOWN}")


def _scalar(value: object, shown: object) -> Scalar:
    if isinstance(value, np.generic):
        return _scalar(cast("Any", value).item(), shown)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidFilterError(f"{_show(shown)}: {value} cannot be compared; an operand is a finite number")
        return float(value)
    if isinstance(value, str):
        return _checked_text(str(value), f"an operand of {_show(shown)}")
    raise InvalidFilterError(
        f"{_show(shown)}: an operand is None, a bool, a number or a str, not {type(value).__name__}"
    )


def _checked_text(text: str, what: str) -> str:
    try:
        check_text(text, what)
    except InvalidArgumentError as error:
        raise InvalidFilterError(str(error)) from None
    return text


def _checked_key(key: object) -> str:
    if isinstance(key, str) and key.startswith("$"):
        raise InvalidFilterError(f"unknown operator {_show(key)}; operators that combine are $and, $or and $not")
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
        if conditions > MAX_CONDITIONS:
            raise InvalidFilterError(f"a filter may hold {MAX_CONDITIONS} conditions, this one holds more; use $in")
        level = [part for node in level for part in _parts(node)]
        depth += 1


def _show(part: object) -> str:
    text = repr(part)
    return text if len(text) <= 200 else text[:197] + "..."


def _filter(other: object) -> Filter:
    if not isinstance(other, Filter):
        raise InvalidFilterError(f"a filter combines with a filter, not with {_show(other)} ({type(other).__name__})")
    return other


# --- rewriting --------------------------------------------------------------------------------------------------


def _parts(node: Filter) -> tuple[Filter, ...]:
    if isinstance(node, And | Or):
        return node.parts
    return (node.part,) if isinstance(node, Not) else ()


def walk(tree: Filter) -> Iterator[Filter]:
    """Every node of the tree, parents first."""
    yield tree
    for part in _parts(tree):
        yield from walk(part)


def negate(tree: Filter) -> Filter:
    """The complement, with `Not` pushed down to the leaves (De Morgan)."""
    if isinstance(tree, And):
        return Or(tuple(negate(part) for part in tree.parts))
    if isinstance(tree, Or):
        return And(tuple(negate(part) for part in tree.parts))
    return tree.part if isinstance(tree, Not) else Not(tree)


def simplify(tree: Filter) -> Filter:
    """An equal tree in normal form.

    `Not` stands on leaves alone, nested `And`s and `Or`s are flattened, constants are folded (an empty `$in` is
    false), one-element `And`s and `Or`s are gone. The result is `TRUE`, `FALSE`, or holds neither.
    """
    if isinstance(tree, Not):
        if isinstance(tree.part, Compare | Contains):
            inner = simplify(tree.part)
            return TRUE if inner == FALSE else Not(inner)
        return simplify(negate(tree.part))
    if isinstance(tree, Compare) and tree.op == "$in":
        return tree if tree.operand else FALSE
    if not isinstance(tree, And | Or):
        return tree
    kind, neutral, absorbing = (And, TRUE, FALSE) if isinstance(tree, And) else (Or, FALSE, TRUE)
    parts: list[Filter] = []
    for part in map(simplify, tree.parts):
        if part == absorbing:
            return absorbing
        if isinstance(part, kind):
            parts.extend(part.parts)
        elif part != neutral:
            parts.append(part)
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


# --- meaning ----------------------------------------------------------------------------------------------------


def matches(where: Filter | None, document: str | None, metadata: Mapping[str, Json]) -> bool:
    """Whether a record matches: the reference every backend is compared with."""
    return where is None or evaluate(where)(document, metadata)


def evaluate(tree: Filter) -> Callable[[str | None, Mapping[str, Json]], bool]:
    """Compile the tree into a function of a record's document and metadata."""
    match tree:
        case And(parts):
            tests = [evaluate(part) for part in parts]
            return lambda document, metadata: all(test(document, metadata) for test in tests)
        case Or(parts):
            tests = [evaluate(part) for part in parts]
            return lambda document, metadata: any(test(document, metadata) for test in tests)
        case Not(part):
            inner = evaluate(part)
            return lambda document, metadata: not inner(document, metadata)
        case Contains(text):
            return lambda document, _: document is not None and text in document
        case Compare(key, "$exists"):
            return lambda _, metadata: key in metadata
        case Compare(key, op, operand):
            test = _value_test(op, operand)
            return lambda _, metadata: test(metadata.get(key))
        case _:
            raise TypeError(f"not a filter: {tree!r}")


def _value_test(op: Operator, operand: Any) -> Callable[[Any], bool]:
    match op:
        case "$eq":
            wanted = _typed(operand)
            return lambda value: _typed(value) == wanted
        case "$in":
            among = {_typed(value) for value in operand}
            return lambda value: _typed(value) in among
        case "$contains":
            wanted = _typed(operand)
            return lambda value: is_list(value) and any(_typed(item) == wanted for item in value)
        case "$gt":
            return lambda value: _ordered(value, operand) and value > operand
        case "$gte":
            return lambda value: _ordered(value, operand) and value >= operand
        case "$lt":
            return lambda value: _ordered(value, operand) and value < operand
        case "$lte":
            return lambda value: _ordered(value, operand) and value <= operand
        case "$exists":
            raise TypeError("$exists is a test of the key, not of its value")


def _typed(value: object) -> object:
    """A key under which exactly the values that rule 5.4 calls equal are equal.

    Python compares int with float exactly, and strings by code point; it is only bools that must not be numbers.
    Lists and dicts equal no operand; they are made unequal to everything, themselves included.
    """
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list | dict):
        return object()
    return value


def _ordered(value: object, operand: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(operand, str):
        return isinstance(value, str)
    return isinstance(value, int | float)
