"""What a filter means: the reference that every backend is compared with."""

from collections.abc import Callable, Mapping
from typing import Any

from vectorkit._narrow import is_list
from vectorkit.filters.tree import And, Compare, Contains, Filter, Not, Operator, Or
from vectorkit.types import Json

__all__ = ["evaluate", "matches"]


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
