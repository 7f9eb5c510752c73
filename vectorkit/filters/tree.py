"""The tree that a filter becomes, and its rewriting."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from vectorkit.errors import InvalidFilterError
from vectorkit.validation import short

__all__ = [
    "FALSE",
    "MAX_CONDITIONS",
    "TRUE",
    "And",
    "Compare",
    "Contains",
    "Filter",
    "Not",
    "Operator",
    "Or",
    "Scalar",
    "negate",
    "parts",
    "show",
    "simplify",
    "too_many",
    "walk",
]

MAX_CONDITIONS: Final = 1000
"""Conditions (leaves) taken in one filter (the contract guarantees 500)."""

Scalar: TypeAlias = bool | int | float | str | None
"""What an operand can be, outside `$in` and `$nin`."""

Operator: TypeAlias = Literal["$eq", "$gt", "$gte", "$lt", "$lte", "$in", "$exists", "$contains"]


class Filter:
    """A node of the tree. `&`, `|` and `~` combine filters."""

    __slots__ = ()

    def __and__(self, other: "Filter") -> "Filter":
        return And(_joined(And, self, other))

    def __or__(self, other: "Filter") -> "Filter":
        return Or(_joined(Or, self, other))

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


def parts(node: Filter) -> tuple[Filter, ...]:
    """The nodes right below one."""
    if isinstance(node, And | Or):
        return node.parts
    return (node.part,) if isinstance(node, Not) else ()


def walk(tree: Filter) -> Iterator[Filter]:
    """Every node of the tree, parents first."""
    yield tree
    for part in parts(tree):
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
    kept: list[Filter] = []
    for part in map(simplify, tree.parts):
        if part == absorbing:
            return absorbing
        if isinstance(part, kind):
            kept.extend(part.parts)
        elif part != neutral:
            kept.append(part)
    return kept[0] if len(kept) == 1 else kind(tuple(kept))


def _joined(kind: type[And] | type[Or], left: Filter, right: object) -> tuple[Filter, ...]:
    """The parts of the node that `&` or `|` makes; a chain of them is one node, however long."""
    if not isinstance(right, Filter):
        raise InvalidFilterError(f"a filter combines with a filter, not with {show(right)} ({type(right).__name__})")
    sides = [side.parts if isinstance(side, kind) else (side,) for side in (left, right)]
    if sum(map(len, sides)) > MAX_CONDITIONS:  # of a filter joined with itself the parts double every time
        raise too_many()
    return (*sides[0], *sides[1])


def too_many() -> InvalidFilterError:
    """The error for a filter of more than `MAX_CONDITIONS`."""
    return InvalidFilterError(f"a filter may hold {MAX_CONDITIONS} conditions, this one holds more; use $in")


def show(part: object) -> str:
    """Part of a filter for a message, cut where it is long."""
    return short(part, 200)
