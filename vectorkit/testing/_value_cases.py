"""Truth tables on values: each type against each other, numbers of every size, lists (rules 5.3 to 5.8)."""

from typing import Any, Final

from vectorkit.testing._tables import Case, Table

__all__ = ["LISTS", "NUMBERS", "TYPES"]

# fmt: off
_TYPED: Final[dict[str, Any]] = {
    "null": None, "true": True, "false": False,
    "zero": 0, "one": 1, "onef": 1.0, "two": 2, "minus": -1, "half": 0.5, "three-halves": 1.5, "minus-half": -0.5,
    "s-empty": "", "s-0": "0", "s-1": "1", "s-1.0": "1.0", "s-a": "a", "s-A": "A", "s-b": "b",
    "s-true": "true", "s-null": "null", "s-None": "None",
    "l-empty": [], "l-1": [1], "l-s": ["1"], "l-null": [None], "l-true": [True], "l-mixed": [1, "a", None, 2.5, False],
    "l-list": [[1], [], {"a": 1}, "x"], "d-empty": {}, "d": {"a": 1}, "d-op": {"$eq": 1},
}
# fmt: on
_NUMBERS = "zero one onef two minus half three-halves minus-half"
_STRINGS = "s-empty s-0 s-1 s-1.0 s-a s-A s-b s-true s-null s-None"

# fmt: off
TYPES: Final = Table(
    # `absent` has no key at all, and `other` has another one.
    {**{id: {"v": value} for id, value in _TYPED.items()}, "absent": {}, "other": {"w": 1}},
    [
        Case({"v": said}, ids)
        for said, ids in [
            # 5.4: types and values
            (1, "one onef"), (1.0, "one onef"), (0, "zero"), (0.0, "zero"), (-0.0, "zero"), (-1, "minus"),
            (0.5, "half"), (1.5, "three-halves"), (-0.5, "minus-half"), (2.0, "two"), (3, ""), (2.5, ""), (-1.5, ""),
            (True, "true"), (False, "false"), ("", "s-empty"), ("0", "s-0"), ("1", "s-1"), ("1.0", "s-1.0"),
            ("a", "s-a"), ("A", "s-A"), ("true", "s-true"), ("True", ""), ("null", "s-null"), ("None", "s-None"),
            (None, "null absent other"), ({"$eq": None}, "null absent other"), ({"$ne": None}, "!null absent other"),
            ({"$eq": 1}, "one onef"), ({"$eq": True}, "true"), ({"$eq": "1"}, "s-1"), ({"$eq": 0.5}, "half"),
            ({"$ne": 1}, "!one onef"), ({"$ne": 1.5}, "!three-halves"), ({"$ne": True}, "!true"),
            ({"$ne": "a"}, "!s-a"), ({"$ne": False}, "!false"), ({"$ne": ""}, "!s-empty"), ({"$ne": 3}, "!"),
            ({"$ne": "x"}, "!"),
            # 5.5: numbers with numbers
            ({"$gt": 0}, "one onef two half three-halves"), ({"$gte": 0}, "zero one onef two half three-halves"),
            ({"$gt": 1}, "two three-halves"), ({"$gte": 1}, "one onef two three-halves"), ({"$gt": 2}, ""),
            ({"$gt": 0.5}, "one onef two three-halves"), ({"$gte": 0.5}, "half one onef two three-halves"),
            ({"$gt": 1.5}, "two"), ({"$gte": 1.5}, "two three-halves"), ({"$gte": 1.25}, "two three-halves"),
            ({"$gt": -0.5}, "zero one onef two half three-halves"), ({"$gte": -0.5}, _NUMBERS.replace("minus ", "")),
            ({"$gt": -1.5}, _NUMBERS), ({"$lt": 0}, "minus minus-half"), ({"$lte": 0}, "minus minus-half zero"),
            ({"$lt": 1}, "minus minus-half zero half"), ({"$lte": 1}, "minus minus-half zero half one onef"),
            ({"$lt": 1.5}, "minus minus-half zero half one onef"), ({"$lt": 0.25}, "minus minus-half zero"),
            ({"$lte": 1.5}, "minus minus-half zero half one onef three-halves"), ({"$lt": -0.5}, "minus"),
            ({"$lte": -0.5}, "minus minus-half"), ({"$lte": -1.5}, ""), ({"$lt": -1}, ""), ({"$lt": 100}, _NUMBERS),
            # 5.5: strings with strings, by code point
            ({"$gt": ""}, _STRINGS.replace("s-empty ", "")), ({"$gte": ""}, _STRINGS), ({"$lt": ""}, ""),
            ({"$lte": ""}, "s-empty"), ({"$gt": "a"}, "s-b s-true s-null"), ({"$gte": "a"}, "s-a s-b s-true s-null"),
            ({"$lt": "a"}, "s-empty s-0 s-1 s-1.0 s-A s-None"), ({"$lte": "A"}, "s-empty s-0 s-1 s-1.0 s-A"),
            ({"$lte": "1"}, "s-empty s-0 s-1"), ({"$gt": "1"}, _STRINGS.replace("s-empty s-0 s-1 ", "")),
            ({"$gt": "true"}, ""), ({"$gte": "true"}, "s-true"), ({"$lt": "zz"}, _STRINGS),
            # 5.6: sets
            ({"$in": []}, ""), ({"$nin": []}, "!"), ({"$in": [1]}, "one onef"), ({"$in": [True]}, "true"),
            ({"$in": [1, "a", None, True]}, "one onef s-a null absent other true"),
            ({"$in": [None]}, "null absent other"), ({"$in": ["1", 1]}, "s-1 one onef"),
            ({"$in": [0, False]}, "zero false"), ({"$in": [0]}, "zero"),
            ({"$in": [1.5, -0.5, 7.5]}, "three-halves minus-half"), ({"$in": [0.5, "0.5", "half"]}, "half"),
            ({"$in": [1, 1, 1.0]}, "one onef"), ({"$in": ["", "x"]}, "s-empty"), ({"$in": ("a", "b")}, "s-a s-b"),
            ({"$nin": [1]}, "!one onef"), ({"$nin": [None]}, "!null absent other"),
            ({"$nin": [True, 1.5]}, "!true three-halves"),
            ({"$nin": [1, "a", None, True]}, "!one onef s-a null absent other true"), ({"$nin": ["x"]}, "!"),
            # 5.7: the key itself
            ({"$exists": True}, "!absent other"), ({"$exists": False}, "absent other"),
            # 5.8: elements of lists, with the equality of 5.4
            ({"$contains": 1}, "l-1 l-mixed"), ({"$contains": 1.0}, "l-1 l-mixed"), ({"$contains": "1"}, "l-s"),
            ({"$contains": True}, "l-true"), ({"$contains": False}, "l-mixed"), ({"$contains": None}, "l-null l-mixed"),
            ({"$contains": 2.5}, "l-mixed"), ({"$contains": 2}, ""), ({"$contains": "a"}, "l-mixed"),
            ({"$contains": ""}, ""), ({"$contains": "x"}, "l-list"), ({"$contains": "A"}, ""), ({"$contains": 0}, ""),
            ({"$not_contains": 1}, "!l-1 l-mixed"), ({"$not_contains": None}, "!l-null l-mixed"),
            ({"$not_contains": "1"}, "!l-s"), ({"$not_contains": "nowhere"}, "!"), ({"$not_contains": True}, "!l-true"),
            # 5.1: several operators on a key are ANDed
            ({"$gte": 0, "$lt": 1}, "zero half"), ({"$gt": 0, "$ne": 1}, "half two three-halves"),
            ({"$gte": 0, "$lte": "z"}, ""), ({"$exists": True, "$eq": None}, "null"), ({"$gt": 1, "$lt": 1}, ""),
            ({"$exists": True, "$ne": 1}, "!absent other one onef"), ({"$exists": False, "$ne": 1}, "absent other"),
            ({"$exists": True, "$in": [None, 2]}, "null two"), ({"$gte": "a", "$lt": "b"}, "s-a"),
            ({"$contains": 1, "$not_contains": None}, "l-1"), ({"$ne": 1, "$nin": [2], "$gt": 0}, "half three-halves"),
        ]
    ],
)
# fmt: on

# On the axis, from the smallest to the largest; `=` beside a number means the same number in the other type.
_AXIS: Final[dict[str, Any]] = {
    "-big": -1e300,
    "-f63": -(2.0**63),  # = -i63
    "-i63": -(2**63),
    "-i53+1": -(2**53) - 1,
    "-f53": -(2.0**53),
    "-1": -1,
    "0": 0,
    "0f": 0.0,
    "-0f": -0.0,
    "tiny": 5e-324,
    "0.1": 0.1,
    "0.3": 0.3,
    "0.1+0.2": 0.1 + 0.2,
    "1": 1,
    "1+": 1.0000000000000002,
    "i53-1": 2**53 - 1,
    "i53": 2**53,  # = f53
    "f53": 2.0**53,
    "i53+1": 2**53 + 1,
    "i53+2": 2**53 + 2,  # = f53+2
    "f53+2": 2.0**53 + 2,
    "i16": 10**16,  # = f16
    "f16": 1e16,
    "i63-2": 2**63 - 2,
    "i63-1": 2**63 - 1,
    "f63": 2.0**63,
    "big": 1e300,
}
_ORDER: Final = list(_AXIS)


def _above(id: str) -> str:
    """The ids after one on the axis."""
    return " ".join(_ORDER[_ORDER.index(id) + 1 :])


def _up_to(id: str) -> str:
    """The ids up to one on the axis, and that one."""
    return " ".join(_ORDER[: _ORDER.index(id) + 1])


# fmt: off
NUMBERS: Final = Table.of_key(
    "n",
    {**_AXIS, "list": [2**53 + 1, 1e16, 0.1], "list-f": [2.0**63, -0.0], "str": str(2**53)},
    [
        (2**53, "i53 f53"), (2.0**53, "i53 f53"), (2**53 + 1, "i53+1"), (2**53 + 2, "i53+2 f53+2"),
        (2**53 - 1, "i53-1"), (2.0**53 + 2, "i53+2 f53+2"), (-(2**53) - 1, "-i53+1"), (-(2.0**53), "-f53"),
        (-(2**53), "-f53"), (2**63 - 1, "i63-1"), (2**63 - 2, "i63-2"), (2.0**63, "f63"), (2**63, "f63"),
        (-(2**63), "-f63 -i63"), (-(2.0**63), "-f63 -i63"), (-(2**63) - 1, ""), (2**63 + 1, ""), (2**64, ""),
        (10**30, ""), (10**400, ""), (1e16, "i16 f16"), (10**16, "i16 f16"), (10**16 + 1, ""), (1e300, "big"),
        (-1e300, "-big"), (10**300, ""), (5e-324, "tiny"), (1e-323, ""), (0, "0 0f -0f"), (0.0, "0 0f -0f"),
        (-0.0, "0 0f -0f"), (0.1, "0.1"), (0.3, "0.3"), (0.30000000000000004, "0.1+0.2"), (1, "1"),
        (1.0000000000000002, "1+"), (1e-300, ""), ({"$gt": 2**53}, _above("f53")), ({"$gte": 2**53}, _above("i53-1")),
        ({"$gt": 2.0**53}, _above("f53")), ({"$gt": 2**53 + 1}, _above("i53+1")), ({"$gte": 2**53 + 1}, _above("f53")),
        ({"$lt": 2**53 + 1}, _up_to("f53")), ({"$lte": 2**53}, _up_to("f53")), ({"$lt": 2.0**53}, _up_to("i53-1")),
        ({"$lte": 2.0**53 + 2}, _up_to("f53+2")), ({"$lt": 2**53 + 2}, _up_to("i53+1")),
        ({"$gt": 2**53 + 2}, _above("f53+2")), ({"$gte": 1e16}, _above("f53+2")), ({"$lt": -(2**53)}, _up_to("-i53+1")),
        ({"$lte": -(2**53) - 1}, _up_to("-i53+1")), ({"$lt": -(2**53) - 1}, _up_to("-i63")),
        ({"$gt": 2**63 - 1}, "f63 big"), ({"$gte": 2**63 - 1}, "i63-1 f63 big"), ({"$gt": 2**63 - 2}, "i63-1 f63 big"),
        ({"$lt": 2**63 - 1}, _up_to("i63-2")), ({"$lte": 2**63 - 1}, _up_to("i63-1")),
        ({"$lt": 2.0**63}, _up_to("i63-1")), ({"$gte": 2.0**63}, "f63 big"), ({"$gt": 2.0**63}, "big"),
        ({"$gte": 2**63}, "f63 big"), ({"$gt": 2**63}, "big"), ({"$lt": 2**63}, _up_to("i63-1")),
        ({"$lte": 2**63}, _up_to("f63")), ({"$gt": 2**64}, "big"), ({"$lt": 2**64}, _up_to("f63")),
        ({"$gte": -(2**63)}, _above("-big")), ({"$gt": -(2**63)}, _above("-i63")), ({"$lt": -(2**63)}, "-big"),
        ({"$lt": -(2.0**63)}, "-big"), ({"$lte": -(2**63) - 1}, "-big"), ({"$gt": -(2**63) - 1}, _above("-big")),
        ({"$gt": 10**30}, "big"), ({"$lt": 10**30}, _up_to("f63")), ({"$gt": -(10**30)}, _above("-big")),
        ({"$gt": 10**400}, ""), ({"$lt": 10**400}, _up_to("big")), ({"$gte": -(10**400)}, _up_to("big")),
        ({"$gt": 1e300}, ""), ({"$gte": 1e300}, "big"), ({"$lte": -1e300}, "-big"), ({"$lt": 1.7e308}, _up_to("big")),
        ({"$gt": 0}, _above("-0f")), ({"$gt": -0.0}, _above("-0f")), ({"$gte": 0}, _above("-1")),
        ({"$lt": 0}, _up_to("-1")), ({"$lte": -0.0}, _up_to("-0f")), ({"$gt": 5e-324}, _above("tiny")),
        ({"$gte": 5e-324}, _above("-0f")), ({"$gt": -5e-324}, _above("-1")), ({"$lt": 5e-324}, _up_to("-0f")),
        ({"$lt": 1e-300}, _up_to("tiny")), ({"$gt": 0.3}, _above("0.3")),
        ({"$gte": 0.30000000000000004}, _above("0.3")), ({"$lt": 0.30000000000000004}, _up_to("0.3")),
        ({"$gt": 1}, _above("1")), ({"$gte": 1.0000000000000002}, _above("1")), ({"$lte": 1}, _up_to("1")),
        ({"$lt": 1}, _up_to("0.1+0.2")), ({"$gt": 2.0**51 + 0.5}, _above("1+")), ({"$lt": 2.0**51 + 0.5}, _up_to("1+")),
        (2.0**51 + 0.5, ""), ({"$in": [2**53 + 1, 1e16]}, "i53+1 i16 f16"), ({"$in": [2**64, 2**63, 10**400]}, "f63"),
        ({"$in": [0.3, -(2**63)]}, "0.3 -f63 -i63"), ({"$nin": [2**53]}, "!i53 f53"), ({"$ne": 2**53 + 1}, "!i53+1"),
        ({"$ne": 2**64}, "!"), ({"$nin": [10**30]}, "!"), ({"$contains": 2**53}, ""),
        ({"$contains": 2**53 + 1}, "list"), ({"$contains": 10**16}, "list"), ({"$contains": 0.1}, "list"),
        ({"$contains": 2**63}, "list-f"), ({"$contains": 0}, "list-f"), ({"$contains": 10**30}, ""),
        ({"$not_contains": 2**63 - 1}, "!"), ({"$gte": 2**53, "$lt": 2**53 + 1}, "i53 f53"),
        ({"$gt": 2**53, "$lt": 2**53 + 2}, "i53+1"), (str(2**53), "str"), ({"$gt": 0.1, "$lt": 1}, "0.3 0.1+0.2"),
        ({"$gte": 2**63 - 1, "$lt": 2**63}, "i63-1"), ({"$ne": 0}, "!0 0f -0f"),
    ],
)
# fmt: on

# fmt: off
LISTS: Final = Table.of_key(
    "l",
    {
        "empty": [], "one": ["a"], "two": ["a", "b"], "upper": ["A"], "long": [f"item {at}" for at in range(300)],
        "twice": ["b", "b"], "blank": ["", " "], "joined": ["a,b", '"a"', "[a]"], "nested": [["a"], {"a": "a"}, [[]]],
        "number": [1, 2.5, -0.0, 2**63 - 1], "bool": [False, True], "null": [None, "null"], "string": "a",
        "dict": {"a": 1},
        "wild": ["%", "_", "a%b", "a_b", "*"], "nfc": ["é"], "nfd": ["e\u0301"],
        "numeral": ["1", "2.5", "true", "None"],
    },
    [
        ({"$contains": "a"}, "one two"), ({"$contains": "b"}, "two twice"), ({"$contains": "A"}, "upper"),
        ({"$contains": ""}, "blank"), ({"$contains": " "}, "blank"), ({"$contains": "a,b"}, "joined"),
        ({"$contains": '"a"'}, "joined"), ({"$contains": "[a]"}, "joined"), ({"$contains": "item 299"}, "long"),
        ({"$contains": "item"}, ""), ({"$contains": "item 30"}, "long"), ({"$contains": "%"}, "wild"),
        ({"$contains": "a%b"}, "wild"), ({"$contains": "a_b"}, "wild"), ({"$contains": "axb"}, ""),
        ({"$contains": "é"}, "nfc"), ({"$contains": "e\u0301"}, "nfd"), ({"$contains": "e"}, ""),
        ({"$contains": 1}, "number"), ({"$contains": "1"}, "numeral"), ({"$contains": 2.5}, "number"),
        ({"$contains": "2.5"}, "numeral"), ({"$contains": 0}, "number"), ({"$contains": 2**63 - 1}, "number"),
        ({"$contains": True}, "bool"), ({"$contains": False}, "bool"), ({"$contains": "true"}, "numeral"),
        ({"$contains": None}, "null"), ({"$contains": "null"}, "null"), ({"$contains": "None"}, "numeral"),
        ({"$contains": "[]"}, ""), ({"$contains": "{}"}, ""), ({"$not_contains": "a"}, "!one two"),
        ({"$not_contains": "z"}, "!"), ({"$not_contains": None}, "!null"), ({"$not_contains": 1.0}, "!number"),
        # A list, or a dict, equals nothing, orders with nothing, and is in nothing.
        ("a", "string"), ({"$eq": "a"}, "string"), ({"$in": ["a", "b"]}, "string"), ({"$gte": ""}, "string"),
        ({"$lt": 10}, ""), ({"$ne": "a"}, "!string"), ({"$nin": ["a", "b", 1]}, "!string"), (None, ""),
        ({"$exists": True}, "!"), ({"$ne": None}, "!"), (True, ""), (1, ""), ("['a']", ""), ('["a"]', ""), ("", ""),
        ({"$gt": 0}, ""), ({"$lte": "zzz"}, "string"), ({"$contains": "a", "$not_contains": "b"}, "one"),
        ({"$contains": "a", "$ne": 1}, "one two"), ({"$contains": "a", "$gt": ""}, ""),
    ],
)
# fmt: on
