"""Filters as Chroma's `where`: exact wherever Chroma can be, and else a superset that the caller narrows down exactly.

Chroma compares ints with ints and strings with strings exactly, lacks `$not` and `$exists` and an order of strings, and
of its operators on metadata only `$ne` and `$nin` match a record without the key. With the columns of `codec`
that is enough for all but the order of strings and expressions beyond SQLite's limits: a number is compared as an int
or as the image of a double, whichever its column holds, and whether a record has a key, and of what type, is asked as
`$in` and `$nin` over the signatures that occur.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from vectorkit._narrow import is_list
from vectorkit.filters import And, Compare, Contains, Filter, Not, Or, Scalar
from vectorkit_chroma.records.codec import SIGNATURE, Kind, Signature, element_key, float_image, float_key

__all__ = ["MAX_SIGNATURES", "Plan", "Where", "plan"]

Where: TypeAlias = "dict[str, Any] | bool"
"""A `where` of Chroma, or one that is true or false for every record, which Chroma cannot express."""

MAX_SIGNATURES: Final = 4000
"""Above this many different signatures, questions to them are answered by reading the records instead."""

_MAX_CLAUSES: Final = 800
"""SQLite refuses expressions from about 990 clauses on ("Expression tree is too large (maximum depth 1000)")."""
_MAX_VALUES: Final = 12_000
"""SQLite takes 32,766 variables in a statement, Chroma binds a number twice, and ids may stand beside the filter."""
_MAX_DEPTH: Final = 40
"""Chroma refuses `$and` and `$or` nested deeper than 62."""
_MAX_TEXT: Final = 10_000
"""SQLite refuses a LIKE pattern of more than 50,000 bytes."""

_VALUE_KINDS: Final = frozenset[Kind](("b", "i", "f", "s", "l", "d"))
_NUMBER_KINDS: Final = frozenset[Kind](("i", "f"))
_ALL_KINDS: Final = _VALUE_KINDS | frozenset[Kind](("n",))
_STRING_KINDS: Final = frozenset[Kind](("s",))
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_OPPOSITE: Final = {"$gt": "$lte", "$gte": "$lt", "$lt": "$gte", "$lte": "$gt"}

Signatures: TypeAlias = Callable[[], "Sequence[Signature] | None"]
"""Returns all signatures that occur in the collection, or None if they are too many; asked only if needed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a filter is answered.

    Attributes:
        where: What Chroma is asked.
        exact: Whether that is the filter. If not, it matches the filter's records and others, and the records it
            matches must be read and evaluated.
    """

    where: Where
    exact: bool


def plan(tree: Filter, signatures: Signatures) -> Plan:
    """Return how a filter is answered.

    Args:
        tree: The filter, simplified.
        signatures: Returns the signatures that occur.
    """
    compiler = _Compiler(signatures)
    parts = tree.parts if isinstance(tree, And) else (tree,)
    kept: Where = True
    exact = True
    for part in parts:
        both = _all([kept, compiler.compile(part)])
        if _fits(both):
            kept = both
        else:
            exact = False
    return Plan(kept, exact and compiler.exact)


class _Compiler:
    """Compiles one filter; `exact` says afterwards whether every part became what it means, or something wider."""

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures
        self.exact = True

    def compile(self, node: Filter) -> Where:
        match node:
            case And(parts):
                return _all(self.compile(part) for part in parts)
            case Or(parts):
                return _any(self.compile(part) for part in parts)
            case Not(part):
                return self._leaf(part, positive=False)
            case _:
                return self._leaf(node, positive=True)

    def _leaf(self, node: Filter, *, positive: bool) -> Where:
        if isinstance(node, Contains):
            if len(node.text) > _MAX_TEXT:
                return self._wider(True)
            return {"#document": {"$contains" if positive else "$not_contains": node.text}}
        if not isinstance(node, Compare):
            raise TypeError(f"not a leaf: {node!r}")
        key, op, operand = node.key, node.op, node.operand
        if op == "$exists":
            return self._has(key, _ALL_KINDS, positive)
        if op == "$eq" or op == "$in":
            values = cast("tuple[Scalar, ...]", operand if op == "$in" else (operand,))
            return self._one_of(key, values, positive)
        if op == "$contains":
            return {element_key(key, cast("Scalar", operand)): {"$eq" if positive else "$ne": 1}}
        if isinstance(operand, str):
            return self._wider(self._has(key, _STRING_KINDS, True) if positive else True)
        if positive:
            return _range(key, op, cast("float", operand))
        # What is no number is in no range: it belongs to the complement, and the other numbers do.
        return _any(
            [_range(key, _OPPOSITE[op], cast("float", operand)), self._has(key, _NUMBER_KINDS, False)],
        )

    def _one_of(self, key: str, values: Sequence[Scalar], positive: bool) -> Where:
        columns: dict[str, list[Any]] = {}
        for value in values:
            if isinstance(value, bool):
                columns.setdefault("bool", []).append(value)
            elif isinstance(value, str):
                columns.setdefault("str", []).append(value)
            elif value is not None:
                if value == (whole := _whole(value)) and _LEAST <= whole <= _MOST:
                    columns.setdefault("int", []).append(whole)
                if (near := _nearest(value)) == value:
                    columns.setdefault("float", []).append(float_image(near))
        parts: list[Where] = [
            _among(float_key(key) if column == "float" else key, column_values, positive)
            for column, column_values in columns.items()
        ]
        if None in values:
            parts.append(self._has(key, _VALUE_KINDS, not positive))
        return _any(parts) if positive else _all(parts)

    def _has(self, key: str, kinds: frozenset[Kind], positive: bool) -> Where:
        """The record has (or has not) a value of one of these kinds under the key."""
        signatures = self._signatures()
        if signatures is None:
            return self._wider(True)
        return _among(SIGNATURE, [one.text for one in signatures if one.kinds.get(key) in kinds], positive)

    def _wider(self, where: Where) -> Where:
        self.exact = False
        return where


def _among(key: str, values: Sequence[Any], positive: bool) -> Where:
    if not values:
        return not positive
    return {key: {"$in" if positive else "$nin": list(dict.fromkeys(values))}}


def _range(key: str, op: str, operand: float) -> Where:
    """Numbers on one side of a number: ints by the nearest int, floats by the image of the nearest double."""
    near = _nearest(operand)
    if op in ("$gt", "$gte"):
        least = math.ceil(operand) if op == "$gte" else _whole(operand) + 1
        ints: Where = {key: {"$gte": max(least, _LEAST)}} if least <= _MOST else False
        # The doubles beyond the operand are those beyond its nearest double, and that one if it lies beyond.
        beyond = "$gte" if near > operand or (op == "$gte" and near == operand) else "$gt"
    else:
        most = _whole(operand) if op == "$lte" else math.ceil(operand) - 1
        ints = {key: {"$lte": min(most, _MOST)}} if most >= _LEAST else False
        beyond = "$lte" if near < operand or (op == "$lte" and near == operand) else "$lt"
    return _any([ints, {float_key(key): {beyond: float_image(near)}}])


def _whole(number: float) -> int:
    return math.floor(number)


def _nearest(number: float) -> float:
    """The double nearest to an int of any size."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _all(parts: Iterable[Where]) -> Where:
    return _combined("$and", True, parts)


def _any(parts: Iterable[Where]) -> Where:
    return _combined("$or", False, parts)


def _combined(op: Literal["$and", "$or"], neutral: bool, parts: Iterable[Where]) -> Where:
    """Combine, folding what is true or false anyway; Chroma wants at least two parts, and few levels."""
    kept: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, bool):
            if part is not neutral:
                return part
        elif op in part:
            kept.extend(part[op])
        else:
            kept.append(part)
    if not kept:
        return neutral
    return kept[0] if len(kept) == 1 else {op: kept}


def _fits(where: Where) -> bool:
    """Whether SQLite and Chroma take an expression of this size."""
    clauses = values = depth = 0
    level: list[Any] = [] if isinstance(where, bool) else [where]
    while level:
        depth += 1
        below: list[Any] = []
        for node in level:
            for key, value in node.items():
                if key in ("$and", "$or"):
                    below.extend(value)
                else:
                    clauses += 1
                    (operand,) = value.values()
                    values += len(operand) if is_list(operand) else 1
        level = below
    return clauses <= _MAX_CLAUSES and values <= _MAX_VALUES and depth <= _MAX_DEPTH
