"""The filter language in itself: parsing, the tree, its rewriting, its evaluation."""

import enum
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorkit import F, Filter, InvalidFilterError
from vectorkit.filters import (
    FALSE,
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_SET_VALUES,
    TRUE,
    And,
    Compare,
    Contains,
    Not,
    Or,
    evaluate,
    matches,
    negate,
    parse,
    parse_document,
    simplify,
    walk,
)
from vectorkit.testing.strategies import filters
from vectorkit.types import Metadata

A, B, C = Compare("a", "$eq", 1), Compare("b", "$gt", 2), Contains("text")


class Colour(str, enum.Enum):  # noqa: UP042  (whose `str()` is not its value)
    RED = "red"


class Unshown(list[Any]):
    """A list that is too long to be shown."""

    def __repr__(self) -> str:
        raise AssertionError("shown")


NUMBERS: list[Any] = [True, False, 0, 1, 1.0, 0.5, 2**53, 2**53 + 1]
VALUES = [*NUMBERS, None, "", "a", "A", "1", [], [1, "a", None], {"l": 1}]


def metadatas() -> st.SearchStrategy[Metadata]:
    return st.dictionaries(st.sampled_from(["k", "K", "k.l"]), st.sampled_from(VALUES), max_size=3)


def whole(tree: Filter | None) -> Filter:
    return TRUE if tree is None else tree


deterministic = settings(max_examples=300, derandomize=True, database=None, deadline=None)


TREES: list[tuple[Any, Filter]] = [
    ({"a": 1}, A),
    ({"a": {"$eq": 1}}, A),
    ({"a": {"$ne": 1}}, Not(A)),
    ({"a": {"$in": [1, "x"]}}, Compare("a", "$in", (1, "x"))),
    ({"a": {"$nin": (1,)}}, Not(Compare("a", "$in", (1,)))),
    ({"a": {"$not_contains": 1}}, Not(Compare("a", "$contains", 1))),
    ({"a": {"$exists": False}}, Not(Compare("a", "$exists", True))),
    ({"a": 1, "b": {"$gt": 2}}, And((A, B))),
    ({"b": {"$gt": 2, "$ne": 5}}, And((B, Not(Compare("b", "$eq", 5))))),
    ({"$and": [{"a": 1}, {"$and": [{"b": {"$gt": 2}}]}]}, And((A, B))),
    ({"$or": [{"a": 1}, {"$or": [{"b": {"$gt": 2}}, {"a": 1}]}]}, Or((A, B, A))),
    ({"$not": {"a": 1, "b": {"$gt": 2}}}, Or((Not(A), Not(B)))),
    ({"$not": {"$or": [{"a": 1}, {"$not": {"b": {"$gt": 2}}}]}}, And((Not(A), B))),
    ({"$or": [{"$or": []}, {"a": 1}]}, A),
    ({"$or": []}, FALSE),
    ({"a": {"$in": []}}, FALSE),
    ({"a": 1, "b": {"$in": []}}, FALSE),
    ({"a": 1, "b": {"$nin": []}}, A),
    (A & B, And((A, B))),
]
EVERYTHING: list[Any] = [None, {}, {"$and": []}, {"$or": [{}]}, {"a": {"$nin": []}}, {"$not": {"$or": []}}]
UNSHOWABLE: list[Any] = [{"$exists": 10**5000}, {"$in": 10**5000}, {"$bad": 10**5000}, {"$in": [10**5000, []]}]


@pytest.mark.parametrize(("where", "tree"), TREES)
def test_a_filter_becomes_one_normal_tree(where: Any, tree: Filter) -> None:
    """5.1 Negative operators are complements, `$not` stands on leaves, combinations are flat, constants are folded."""
    assert parse(where) == tree


@pytest.mark.parametrize("where", EVERYTHING)
def test_a_filter_that_matches_everything_is_none(where: Any) -> None:
    """5.10 So that no backend runs it."""
    assert parse(where) is None


def test_a_document_filter_becomes_the_same_kind_of_tree() -> None:
    """5.11 The document is a leaf like others."""
    assert parse_document(None) is None
    assert parse_document({}) is None
    assert parse_document({"$contains": "text"}) == C
    assert parse_document({"$not": {"$or": [{"$not_contains": "text"}, {"$contains": "x"}]}}) == And(
        (C, Not(Contains("x")))
    )


@deterministic
@given(filters(), metadatas())
def test_rewriting_never_changes_what_a_filter_means(where: dict[str, Any], metadata: Metadata) -> None:
    """5.2 Simplified or not, negated or not: two-valued logic, and De Morgan holds."""
    tree = whole(parse(where))
    expected = evaluate(tree)(None, metadata)
    assert matches(parse(where), None, metadata) is expected
    assert evaluate(negate(tree))(None, metadata) is not expected
    assert matches(parse({"$not": where}), None, metadata) is not expected
    assert matches(parse({"$not": {"$not": where}}), None, metadata) is expected


@deterministic
@given(filters())
def test_a_simplified_tree_is_in_normal_form(where: dict[str, Any]) -> None:
    """Adapters rely on it: `Not` on leaves, no constant inside, no And in And, none of one part."""
    tree = whole(parse({"$not": where}))
    assert simplify(tree) == tree
    if tree in (TRUE, FALSE):
        return
    for node in walk(tree):
        if isinstance(node, Not):
            assert isinstance(node.part, Compare)
        if isinstance(node, And | Or):
            assert len(node.parts) > 1
            assert not any(type(part) is type(node) for part in node.parts)


def test_long_chains_of_the_builder_are_flat() -> None:
    """5.10 500 conditions joined by `&` or `|` are one node of 500 parts, not 500 levels."""
    conditions = [F("v") != at for at in range(500)]
    assert reduce(lambda left, right: left & right, conditions) == And(tuple(conditions))
    assert reduce(lambda left, right: left | right, conditions) == Or(tuple(conditions))
    assert And((A, B, C)) == (A & (B & C))
    assert And((Or((A, B)), C)) == ((A | B) & C)
    assert Not(And((A, B))) == ~(A & B)


def test_what_is_beyond_a_limit_is_refused() -> None:
    """5.10 More values, conditions or levels than are taken."""
    assert parse({"v": {"$in": list(range(MAX_SET_VALUES))}}) is not None
    assert parse({"$or": [{"v": at} for at in range(MAX_CONDITIONS)]}) is not None
    with pytest.raises(InvalidFilterError, match="100,000"):
        parse({"v": {"$in": list(range(MAX_SET_VALUES + 1))}})
    with pytest.raises(InvalidFilterError, match="conditions"):
        parse({"$or": [{"v": at} for at in range(MAX_CONDITIONS + 1)]})
    deep: dict[str, Any] = {"v": 1}
    for _ in range(MAX_DEPTH):
        deep = {"$or": [{"w": 1}, {"$and": [deep]}]}
    with pytest.raises(InvalidFilterError, match="levels"):
        parse(deep)


def test_the_values_of_a_set_are_not_shown_one_by_one() -> None:
    """5.10 A set of many strings is checked in one pass: nothing is formatted that is not wrong."""
    values = Unshown(f"value {at}" for at in range(1000))
    assert parse({"v": {"$in": values}}) == Compare("v", "$in", tuple(values))


def test_operands_become_python_values() -> None:
    """5.4 NumPy scalars and enums stand for their values; huge integers stay what they are."""
    assert parse({"v": np.int64(5)}) == Compare("v", "$eq", 5)
    assert parse({"v": {"$in": [np.float32(0.5), np.str_("a"), np.bool_(True)]}}) == Compare(
        "v", "$in", (0.5, "a", True)
    )
    tree = parse({Colour.RED: {"$gte": Colour.RED}})
    assert isinstance(tree, Compare)
    assert [type(tree.key), type(tree.operand), tree.key, tree.operand] == [str, str, "red", "red"]
    document: Any = {"$contains": Colour.RED}
    assert parse_document(document) == Contains("red")
    assert matches(parse({"v": {"$lt": 10**5000}}), None, {"v": 1e308})


@pytest.mark.parametrize("operand", [np.datetime64("2024-01-31", "ns"), np.timedelta64(1, "ns"), np.complex128(1)])
def test_numpy_scalars_that_are_no_json_are_refused(operand: Any) -> None:
    """5.10 Though `item()` makes integers of some of them."""
    with pytest.raises(InvalidFilterError):
        parse({"v": operand})


@pytest.mark.parametrize("said", UNSHOWABLE, ids=["exists", "in", "unknown", "element"])
def test_what_cannot_be_shown_is_still_refused_with_the_right_error(said: Any) -> None:
    """5.10 `repr` of an integer of more than 4,300 digits raises."""
    with pytest.raises(InvalidFilterError):
        parse({"v": said})


def test_a_filter_is_a_value() -> None:
    """Filters can be compared, hashed, shown and matched; a condition on a key cannot be mistaken for one."""
    assert {A, Compare("a", "$eq", 1)} == {A}
    assert repr(A) == "Compare(key='a', op='$eq', operand=1)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(F("v"))
    with pytest.raises(TypeError, match="not a filter"):
        evaluate(Filter())


def test_a_filter_that_doubles_at_each_level_is_refused_at_once() -> None:
    """5.10 A built filter may use the same part twice; what would grow beyond the limit raises before it does."""
    tree: Filter = F("k") == 1
    for _ in range(30):
        tree = ~(tree & ~tree)
    with pytest.raises(InvalidFilterError, match="conditions"):
        parse(tree)
