"""Rule 2.5 of the contract: metadata is JSON, within limits, and comes back with its types."""

import datetime
import decimal
import enum
import fractions
import math
import uuid
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vectorkit.collection import Collection
from vectorkit.errors import InvalidMetadataError
from vectorkit.testing._asserts import assert_refused, contents, ids_of, typed
from vectorkit.testing._examples import examples
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing._records import ODD_TEXTS
from vectorkit.testing.strategies import metadata
from vectorkit.types import Metadata

__all__ = ["MetadataRules"]


class _Colour(str, enum.Enum):  # noqa: UP042  (whose `str()` is not its value)
    RED = "red"


class _Level(enum.IntEnum):
    HIGH = 3


def _nested(levels: int, *, of: str = "list") -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if of == "list" else {"a": value}
    return value


# fmt: off
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 10**18, 0.0,
    -0.0, 1.0, -1.0, 0.1, 1 / 3, 1e15, 1e16, 1e17, 1e22, 1e23, 123456789012345680.0, 2.0**53, 2.0**63, -(2.0**63),
    1e300, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1e-7, 100.0, 0.30000000000000004,
    9007199254740993.0, "", "1", "1.0", "true", "null", "[1]", '{"a": 1}', "2024-01-31", "x" * 100_000, *ODD_TEXTS, [],
    [[]], [None], [True, 1, 1.0, "1", None, [], {}], [1, 2.5, "a"], [[1, [2, [3]]]], [{"a": [1.0]}, {"b": {}}],
    [1.0, 2.0], [1, 1, 1], ["b", "a"], [0.1, 1e16, -0.0], list(range(500)), ["é", "e\u0301"], {}, {"": 1}, {"$ne": 1},
    {"#": 1}, {"_vk": {"chroma:": [None]}}, {"a.b": {"a": {"b": 1}}}, {"b": 1, "a": 1.0}, {"x" * 1000: 1},
    {"'": {'"': {"\\": "\n"}}},
]
# fmt: on


class MetadataRules(Fixtures):
    """Rule 2.5."""

    def test_metadata_comes_back_equal_and_of_the_same_types(self, plane: Collection) -> None:
        """2.5 By every way of reading; each value here breaks some store: floats without a fraction, big integers."""
        metadatas: list[dict[str, Any]] = [{"v": value, "w": {"v": value}} for value in _VALUES]
        metadatas += [{text: text} for text in ODD_TEXTS if not text.startswith(("$", "#")) and len(text) <= 256]
        metadatas += [{}, {"x" * 256: 1}, {"chroma": 1, "vk": 2, "_v": 3, "a$": 4, "a#": 5}]
        ids = plane.add(
            ids=[f"{at:04}" for at in range(len(metadatas))],
            embeddings=[[1, at] for at in range(len(metadatas))],
            metadatas=metadatas,
        )
        ways: list[list[Any]] = [plane.get(), plane.get(ids), list(plane.scan()), plane.search([1, 0], k=len(ids))]
        for found in ways:
            for item, expected in zip(found, metadatas, strict=True):
                assert typed(item.metadata) == typed(expected), f"{str(expected)[:200]} came back otherwise"

    def test_any_metadata_comes_back(self, plane: Collection) -> None:
        """2.5 Whatever the contract allows comes back equal with its types, and scalars are found by `$eq`."""

        @examples(15)
        @given(st.lists(metadata(), min_size=1, max_size=12))
        def comes_back(metadatas: list[Metadata]) -> None:
            ids = [f"{at:02}" for at in range(len(metadatas))]
            plane.upsert(ids=ids, embeddings=[[1, 1]] * len(ids), metadatas=metadatas)
            for record, expected in zip(plane.get(ids), metadatas, strict=True):
                assert typed(record.metadata) == typed(expected)
            key, value = next(
                ((k, v) for m in metadatas for k, v in m.items() if not isinstance(v, list | dict)), ("", 0)
            )
            if key:
                expected_ids = [id for id, m in zip(ids, metadatas, strict=True) if _equal(m.get(key), value)]
                assert ids_of(plane.get(ids, where={key: value})) == expected_ids

        comes_back()

    def test_no_metadata_is_an_empty_dict(self, plane: Collection) -> None:
        """2.5 None, `{}` and nothing given are the same, and what comes back is always a dict."""
        plane.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], metadatas=[None, {}])
        plane.add(ids=["c"], embeddings=[[3, 0]])
        for found in (plane.get(), list(plane.scan()), plane.search([0, 0])):
            assert [item.metadata for item in found] == [{}, {}, {}]

    def test_numpy_scalars_and_enums_are_taken_as_their_python_value(self, plane: Collection) -> None:
        """2.5 Whatever the width, also inside lists."""
        given: Any = {
            "int": np.int64(2**62),
            "uint": np.uint8(255),
            "float": np.float32(0.5),
            "half": np.float16(2.0),
            "bool": np.bool_(True),
            "str": np.str_("text"),
            "list": [np.int8(-1), [np.float64(1e16)], {"a": np.bool_(False)}],
            "enum": _Colour.RED,
            _Colour.RED: _Level.HIGH,
        }
        expected = {
            "int": 2**62,
            "uint": 255,
            "float": 0.5,
            "half": 2.0,
            "bool": True,
            "str": "text",
            "list": [-1, [1e16], {"a": False}],
            "enum": "red",
            "red": 3,
        }
        plane.add(ids=["a"], embeddings=[[1, 2]], metadatas=[given])
        assert typed(plane.get()[0].metadata) == typed(expected)
        assert plane.count({"enum": _Colour.RED}) == plane.count({_Colour.RED: np.int16(3)}) == 1

    def test_what_is_within_the_limits_is_taken(self, plane: Collection) -> None:
        """2.5 256 keys, 10,000 nested ones, 1,000 list elements in all, 32 levels, keys of 256 characters."""
        metadatas: list[Metadata] = [
            {f"key {at}": at for at in range(256)},
            {"v": list(range(1000)), "nested": {str(at): at for at in range(10_000)}},
            {f"k{at}": [str(value) for value in range(100)] for at in range(10)},
            {"v": _nested(32), "w": _nested(32, of="dict")},
            {"😀" * 256: 1},
        ]
        ids = plane.add(ids=list("abcde"), embeddings=[[1, at] for at in range(5)], metadatas=metadatas)
        for record, expected in zip(plane.get(ids), metadatas, strict=True):
            assert typed(record.metadata) == typed(expected)
        assert ids_of(plane.get(where={"key 255": 255})) == ["a"]
        assert ids_of(plane.get(where={"v": {"$contains": 999}})) == ["b"]
        assert ids_of(plane.get(where={"k9": {"$contains": "99"}})) == ["c"]

    def test_what_is_beyond_the_limits_is_refused(self, plane: Collection) -> None:
        """2.5 One more of each is refused, and nothing of the call is written."""
        bad: list[Any] = [
            {f"key {at}": at for at in range(257)},
            {"v": list(range(1001))},
            {f"k{at}": list(range(100)) for at in range(11)},
            {f"k{at}": {str(nested): at for nested in range(5000)} for at in range(2)} | {"last": {"one": 1}},
            _doubled(24),
            {"v": {"w": [1] * 600, "x": [[1] * 401]}},
            {"v": _nested(33)},
            {"v": _nested(33, of="dict")},
            {"v": _nested(5000)},
            *({key: 1} for key in ("", "x" * 257, "$v", "$", "#v", "#", "_vk", "_vk_v", "chroma:", "chroma:document")),
            *({key: 1} for key in (1, None, True, 1.5, b"v", ("v",))),
            *({"v": {key: 1}} for key in (1, None, True)),
        ]
        before = _one_record(plane)
        for value in bad:
            _assert_refused(plane, value)
        assert contents(plane) == before

    def test_what_is_no_json_is_refused(self, plane: Collection) -> None:
        """2.5 The message names the record, the key and the type, and nothing of the call is written."""
        bad: list[Any] = [
            *(datetime.datetime(2024, 1, 31), datetime.date(2024, 1, 31), datetime.timedelta(1)),
            *(decimal.Decimal(1), fractions.Fraction(1, 2), 1j, b"bytes", bytearray(b"b"), {1, 2}, frozenset([1])),
            (1, 2),
            *(uuid.UUID(int=1), object(), range(3), np.array([1, 2]), np.datetime64("2024-01-31")),
            *(np.datetime64("2024-01-31", "ns"), np.timedelta64(1, "s")),
        ]
        before = _one_record(plane)
        for value in bad:
            for place in (value, [1, value], {"nested": [value]}):
                message = _assert_refused(plane, {"fine": 1, "the key": place})
                assert "'b'" in message, message
                assert "'the key'" in message, message
                assert type(value).__name__ in message, message
        for value in (
            math.nan,
            math.inf,
            -math.inf,
            np.float32("nan"),
            2**63,
            -(2**63) - 1,
            10**5000,
            np.uint64(2**63),
        ):
            for place in (value, [1, value], {"nested": [value]}):
                message = _assert_refused(plane, {"fine": 1, "the key": place})
                assert "'the key'" in message, message
        no_objects: list[Any] = [[], [("v", 1)], "text", 1, True, {"v"}, object()]
        for value in no_objects:
            _assert_refused(plane, value)
        assert contents(plane) == before


def _one_record(collection: Collection) -> dict[str, object]:
    collection.add(ids=["b"], embeddings=[[1, 2]], metadatas=[{"v": 1}])
    return contents(collection)


def _assert_refused(collection: Collection, value: Any) -> str:
    """`add`, `upsert` and `update` all refuse the metadata for record `b`; the last message is returned."""
    rows: dict[str, Any] = {"ids": ["a", "b"], "embeddings": [[1, 2], [3, 4]], "metadatas": [{"v": 2}, value]}
    for write in (collection.add, collection.upsert):
        assert_refused(InvalidMetadataError, write, **rows)
    row: dict[str, Any] = {"ids": ["b"], "metadatas": [value]}
    assert_refused(InvalidMetadataError, collection.update, **row, merge=True)
    return assert_refused(InvalidMetadataError, collection.update, **row)


def _equal(stored: object, operand: object) -> bool:
    """Rule 5.4, for a scalar operand."""
    if isinstance(stored, list | dict):
        return False
    return isinstance(stored, bool) == isinstance(operand, bool) and stored == operand


def _doubled(times: int) -> Metadata:
    """Small in memory, as each dict is held twice by the next one, and of `2**times` parts."""
    part: Metadata = {"a": 1}
    for _ in range(times):
        part = {"x": part, "y": part}
    return part
