"""Rules 5.9 and 5.10 of the contract: which filters are taken, how large they may be, which are refused."""

import math
from datetime import date
from decimal import Decimal
from functools import reduce
from typing import Any

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.errors import InvalidFilterError
from vectorkit.filters import F
from vectorkit.testing._asserts import assert_refused, ids_of
from vectorkit.testing._fixtures import Fixtures

__all__ = ["FilterLimitRules"]

_BAD_OPERANDS: list[Any] = [
    math.nan,
    math.inf,
    -math.inf,
    np.float64("nan"),
    b"a",
    date(2024, 1, 31),
    Decimal(1),
    1j,
    {1},
    object(),
]

_NO_BOOLS: list[Any] = [1, 0, "true", None, [True], {}]

# fmt: off
_MALFORMED: list[Any] = [
    # not a filter at all
    [], "v", 5, True, [{"v": 1}], {"v"}, {1: 2}, {None: 1}, {("v",): 1},
    # operators that do not exist, or not here
    {"$bad": 1}, {"$nor": [{"v": 1}]}, {"v": {"$bad": 1}}, {"v": {"$regex": "a"}}, {"v": {"eq": 1}}, {"v": {"$EQ": 1}},
    {"v": {"$and": [1]}}, {"v": {"$not": {"$eq": 1}}}, {"v": {"w": 1}}, {"v": {"": 1}}, {"v": {1: 2}}, {"$eq": 1},
    {"$": 1}, {"$contains": "a"}, {"v": {"$eq": 1, "$bad": 2}}, {"v": 1, "$bad": 2},
    {"$and": [{"v": 1}, {"w": {"$bad": 1}}]},
    # combinations of what is no list of filters
    {"$and": {"v": 1}}, {"$or": "v"}, {"$and": None}, {"$or": 1}, {"$and": [1]}, {"$or": ["v"]}, {"$and": [None]},
    {"$not": [{"v": 1}]}, {"$not": None}, {"$not": "v"}, {"$not": 1}, {"$and": [{"v": 1}, []]}, {"$or": {"v": 1}},
    # operands of the wrong kind
    {"v": {}}, {"v": [1]}, {"v": []}, {"v": (1,)}, {"v": {"$eq": [1]}}, {"v": {"$eq": {"a": 1}}}, {"v": {"$ne": [1]}},
    {"v": {"$contains": [1]}}, {"v": {"$not_contains": {}}}, {"v": {"$in": 1}}, {"v": {"$in": "ab"}},
    {"v": {"$in": None}}, {"v": {"$in": {"a": 1}}}, {"v": {"$in": [[1]]}}, {"v": {"$in": [{"a": 1}]}},
    {"v": {"$nin": 1}}, {"v": {"$nin": [[]]}}, *({"v": {op: None}} for op in ("$gt", "$gte", "$lt", "$lte")),
    *({"v": {op: flag}} for op in ("$gt", "$gte", "$lt", "$lte") for flag in (True, False)),
    *({"v": {op: [1]}} for op in ("$gt", "$gte", "$lt", "$lte")),
    *({"v": {"$exists": value}} for value in _NO_BOOLS),
    *({"v": {op: value}} for op in ("$eq", "$ne", "$gt", "$lte", "$contains") for value in _BAD_OPERANDS),
    *({"v": {op: [1, value]}} for op in ("$in", "$nin") for value in _BAD_OPERANDS),
    *({"v": value} for value in _BAD_OPERANDS),
    # keys that no record can have
    *({key: 1} for key in ("", "#v", "_vk", "_vk_v", "chroma:document", "x" * 257, "$v")),
]
# fmt: on

# fmt: off
_MALFORMED_DOCUMENT: list[Any] = [
    [], "a", 5, True, {"a": "b"}, {"": "a"}, {1: "a"}, {"$eq": "a"}, {"$regex": "a"}, {"$in": ["a"]},
    {"$CONTAINS": "a"}, {"$contains": ""}, {"$contains": None}, {"$contains": 1}, {"$contains": ["a"]},
    {"$contains": True}, {"$contains": b"a"}, {"$not_contains": ""}, {"$not_contains": 1}, {"$and": {"$contains": "a"}},
    {"$or": "a"}, {"$not": [{"$contains": "a"}]}, {"$not": "a"}, {"$not": None}, {"$and": ["a"]},
    {"$and": [{"$contains": ""}]}, {"v": {"$contains": "a"}}, {"$contains": {}}, {"$contains": "a", "$bad": "b"},
]
# fmt: on


def _filled(collection: Collection, count: int = 60) -> Collection:
    collection.add(
        ids=[f"{at:02}" for at in range(count)],
        embeddings=[[at, 0] for at in range(count)],
        documents=[f"text {at}" for at in range(count)],
        metadatas=[{"v": at, "s": f"value {at}"} for at in range(count)],
    )
    return collection


class FilterLimitRules(Fixtures):
    """Rules 5.9 and 5.10."""

    def test_a_malformed_filter_is_refused(self, plane: Collection) -> None:
        """5.10 By every method that takes one: `InvalidFilterError`, never another answer."""
        _filled(plane, 3)
        for where in _MALFORMED:
            assert_refused(InvalidFilterError, plane.get, where=where)
            assert_refused(InvalidFilterError, plane.get, where={"$not": where})
        for where in _MALFORMED[::7]:
            assert_refused(InvalidFilterError, plane.count, where)
            assert_refused(InvalidFilterError, plane.search, [1, 2], where=where)
            assert_refused(InvalidFilterError, plane.delete, where=where)
            assert_refused(InvalidFilterError, plane.scan, where)
            assert_refused(InvalidFilterError, plane.get, [], where=where)
        assert plane.count() == 3

    def test_a_malformed_document_filter_is_refused(self, plane: Collection) -> None:
        """5.11 Unknown operators, an empty string, what is no string: `InvalidFilterError`."""
        _filled(plane, 3)
        for where in _MALFORMED_DOCUMENT:
            assert_refused(InvalidFilterError, plane.get, where_document=where)
            assert_refused(InvalidFilterError, plane.get, where_document={"$not": where})
        for where in _MALFORMED_DOCUMENT[::5]:
            assert_refused(InvalidFilterError, plane.count, where_document=where)
            assert_refused(InvalidFilterError, plane.search, [1, 2], where_document=where)
            assert_refused(InvalidFilterError, plane.delete, where_document=where)
        assert plane.count() == 3

    def test_the_message_shows_the_offending_part(self, plane: Collection) -> None:
        """5.10 Not the whole filter, and not nothing."""
        cases: list[tuple[dict[str, Any], str]] = [
            ({"$and": [{"w": 1}, {"$or": [{"the key": {"$grater": 5}}]}]}, "$grater"),
            ({"the key": {"$gt": None}}, "the key"),
            ({"w": 1, "the key": {"$in": [1, [2]]}}, "the key"),
            ({"the key": {}}, "the key"),
            ({"$xor": [{"w": 1}]}, "$xor"),
            ({"the key": {"$eq": math.nan}}, "nan"),
        ]
        for where, part in cases:
            assert part in assert_refused(InvalidFilterError, plane.get, where=where)

    def test_the_builder_refuses_what_the_dict_form_does(self) -> None:
        """5.10 Keys, operands, and what is combined; and a filter has no truth value."""
        key: Any
        for key in ("", "$v", "#v", "_vk", "chroma:x", "x" * 257, 5, None):
            assert_refused(InvalidFilterError, F, key)
        v: Any = F("v")
        for made in (v.__eq__, v.__ne__, v.contains, v.not_contains, v.in_, v.not_in, v.exists, v.__gt__, v.__le__):
            assert_refused(InvalidFilterError, made, {"a": 1})
            assert_refused(InvalidFilterError, made, math.nan)
            assert_refused(InvalidFilterError, made, [[1]])
        for made in (v.__gt__, v.__ge__, v.__lt__, v.__le__, v.in_, v.not_in):
            assert_refused(InvalidFilterError, made, None)
            assert_refused(InvalidFilterError, made, True)
        assert_refused(InvalidFilterError, v.in_, "abc")
        assert_refused(InvalidFilterError, v.exists, 1)
        for junk in (object(), {"v": 1}, None, True):
            assert_refused(InvalidFilterError, (v == 1).__and__, junk)
            assert_refused(InvalidFilterError, (v == 1).__or__, junk)
        assert_refused(InvalidFilterError, bool, v == 1)
        assert_refused(InvalidFilterError, lambda: 1 < v < 5)

    @pytest.mark.parametrize("length", [300, 1100, 5000, 70_000])
    def test_long_texts_are_compared_whole(self, plane: Collection, length: int) -> None:
        """5.4 Values, elements, operands and parts of documents that differ in their last character are different."""
        start = "xé" * (length // 2)
        one, two, three = (start + last for last in "abc")
        plane.add(
            ids=["list", "one", "start", "two"],
            embeddings=[[at, 0] for at in range(4)],
            documents=[None, f"{one}.", f"{start}.", f"y{two}"],
            metadatas=[{"v": [1, one]}, {"v": one}, {"v": start}, {"v": two}],
        )
        cases: list[tuple[dict[str, Any], str]] = [
            *(({"$eq": one}, "one"), ({"$eq": start}, "start"), ({"$eq": three}, ""), ({"$ne": one}, "list start two")),
            *(({"$in": [one, three]}, "one"), ({"$nin": [one, three]}, "list start two")),
            *(({"$in": [start, two]}, "start two"), ({"$contains": one}, "list"), ({"$contains": two}, "")),
            *(({"$not_contains": one}, "one start two"), ({"$gt": one}, "two"), ({"$gte": one}, "one two")),
            *(({"$lt": two}, "one start"), ({"$lte": one}, "one start"), ({"$gt": two}, ""), ({"$gte": three}, "")),
        ]
        for said, ids in cases:
            assert ids_of(plane.get(where={"v": said})) == ids.split(), [*said]
            assert ids_of(plane.search([0, 0], where={"v": said})) == ids.split(), [*said]
        for text, ids in ((one, "one"), (two, "two"), (three, ""), (start, "one start two"), (f"{start}.", "start")):
            assert ids_of(plane.get(where_document={"$contains": text})) == ids.split(), text[-2:]
            assert plane.count(where_document={"$not_contains": text}) == 4 - len(ids.split()), text[-2:]

    def test_long_keys_are_told_apart_to_their_last_character(self, plane: Collection) -> None:
        """5.9 Keys of 64, 128 and 256 characters that begin alike are different keys."""
        for length in (64, 128, 256):
            one, two = (last.rjust(length, "k") for last in "ab")
            plane.upsert(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], metadatas=[{one: 1, two: 2}, {one: 2}])
            assert ids_of(plane.get(where={one: 1})) == ids_of(plane.get(where={two: 2})) == ["a"], length
            assert plane.count({one: 2, two: None}) == plane.count({two: {"$exists": False}}) == 1, length

    def test_deep_filters_are_taken(self, plane: Collection) -> None:
        """5.10 Nested 8 and 32 levels deep, in every combination of `$and`, `$or` and `$not`."""
        _filled(plane)
        for levels in (8, 31, 32):
            always: Any = {"v": {"$gte": 0}}
            alternating: Any = {"v": 7}
            negated: Any = {"v": {"$lt": 58}}
            documents: Any = {"$contains": "text 9"}
            for level in range(levels):
                op, other = ("$and", always) if level % 2 else ("$or", {"v": 8 + level % 3})
                alternating = {op: [other, alternating]}
                negated = {"$not": negated} if level % 3 else {"$and": [negated, always]}
                documents = {"$not": documents} if level % 2 else {"$or": [documents]}
            turned = sum(1 for level in range(levels) if level % 3) % 2  # how often `$not` stands in `negated`
            assert ids_of(plane.get(where=alternating)) == ["07", "08", "09", "10"]
            assert ids_of(plane.search([0, 0], 2, where=alternating)) == ["07", "08"]
            assert plane.count(negated) == (2 if turned else 58)
            assert plane.count(where_document=documents) == (59 if levels // 2 % 2 else 1)

    def test_what_is_too_deep_is_refused(self, plane: Collection) -> None:
        """5.10 With `InvalidFilterError`, at any depth, whichever way it is written."""
        _filled(plane, 3)
        for levels in (200, 5000):
            for op in ("$not", "$and", "$or"):
                where: Any = {"v": 1}
                document: Any = {"$contains": "a"}
                for _ in range(levels):
                    where = {op: where} if op == "$not" else {op: [where]}
                    document = {op: document} if op == "$not" else {op: [document]}
                assert_refused(InvalidFilterError, plane.get, where=where)
                assert_refused(InvalidFilterError, plane.get, where_document=document)
            built = reduce(lambda inner, _: ~(inner & (F("w") == 1)), range(levels), F("v") == 1)
            assert_refused(InvalidFilterError, plane.get, where=built)

    def test_five_hundred_conditions_are_taken(self, plane: Collection) -> None:
        """5.10 ORed, ANDed, on many keys, in the dict form and built; thousands are taken or refused, never wrong."""
        _filled(plane)
        order = [2 * (37 * at % 500) for at in range(500)]  # the even numbers below 1,000, well mixed
        either: Any = {"$or": [{"v": at} for at in order]}
        every: Any = {"$and": [{"v": {"$ne": at + 1}} for at in order]}
        keys: Any = {f"key {at}": {"$exists": False} for at in range(499)}
        even = [f"{at:02}" for at in range(0, 60, 2)]
        assert ids_of(plane.get(where=either)) == ids_of(plane.get(where=every)) == even
        assert ids_of(plane.search([0, 0], 30, where=either)) == ids_of(plane.search([0, 0], 30, where=every)) == even
        assert ids_of(plane.get(where={**keys, "v": 5})) == ["05"]
        built, both = F("v") == 0, F("s") != "value 1"
        for at in range(2, 1000, 2):
            built, both = built | (F("v") == at), both & (F("s") != f"value {at + 1}")
        assert ids_of(plane.get(where=built)) == ids_of(plane.get(where=both)) == even
        assert plane.count(where_document={"$or": [{"$contains": f"text {at}"} for at in range(50, 550)]}) == 10
        many: Any = {"$or": [{"v": at} for at in range(5000)]}
        assert_refused(InvalidFilterError, plane.get, where=many)

    def test_large_sets_are_taken(self, plane: Collection) -> None:
        """5.10 10,000 and 100,000 values in an `$in` or `$nin`, numbers and strings and mixed; more are refused."""
        _filled(plane)
        last, first = [f"{at:02}" for at in range(50, 60)], [f"{at:02}" for at in range(50)]
        for size in (100_000, 10_000):
            # Those that match stand at both ends: a set that was cut anywhere would miss some.
            values = [*range(50, 55), *range(100, 90 + size), *range(55, 60)]
            numbers: list[Any] = list(values)
            strings: list[Any] = [f"value {at}" for at in values]
            mixed: list[Any] = [None, 0.5, *numbers[: size // 2 - 1], *strings[size // 2 + 1 :]]
            assert ids_of(plane.get(where={"v": {"$in": numbers}})) == last
            assert ids_of(plane.search([0, 0], 3, where={"s": {"$in": strings}})) == last[:3]
            assert ids_of(plane.get(where={"s": {"$nin": strings}})) == first
            assert plane.count({"v": {"$in": mixed}}) == 5
        assert plane.count({"$or": [{"v": {"$in": mixed}}, {"s": {"$in": mixed}}]}) == 10
        too_many: Any = {"v": {"$in": list(range(100_001))}}
        assert_refused(InvalidFilterError, plane.get, where=too_many)
