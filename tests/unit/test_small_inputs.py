"""Small inputs that are exponentially long, or nested without end: refused before they are walked (rules 2.5, 5.10)."""

import time
from collections.abc import Callable
from typing import Any

import pytest

import vectorkit as vk
from vectorkit import F
from vectorkit.cli._shown import filter_of
from vectorkit.filters import Filter, Not, Or
from vectorkit.validation import short


def _both(one: Filter, other: Filter) -> Filter:
    return one & other


def _either(one: Filter, other: Filter) -> Filter:
    return one | other


def shared(part: Any, wrap: Callable[[Any], Any], times: int = 60) -> Any:
    """`2**times` parts, for `times` objects."""
    for _ in range(times):
        part = wrap(part)
    return part


WIDE: list[Any] = [
    shared({"a": 1}, lambda part: {"$and": [part, part]}),
    shared({}, lambda part: {"$or": [part, part]}),
    shared({"$and": []}, lambda part: {"$or": [part, part]}),
    shared({"a": 1}, lambda part: {"$not": {"$or": (part, part)}}, 30),
    {"a": shared([1], lambda part: [part, part])},
    {"a": {"$gt": shared({"a": 1}, lambda part: {"x": part, "y": part})}},
    {"a": {"$in": [shared([1], lambda part: (part, part))]}},
    {"$and": shared([1], lambda part: [part, part])},
    {"$and": shared({"a": 1}, lambda part: {"x": part, "y": part})},
    {"$or": [{"a": {"$in": [1] * 100_000}}] * 900},
    shared(F("a") == 1, lambda part: Not(Or((part, part)))),
]


@pytest.fixture
def docs() -> vk.Collection:
    return vk.connect("memory:").create_collection("docs", dimension=2)


@pytest.mark.parametrize("at", range(len(WIDE)))
def test_a_filter_that_shares_its_parts_is_refused_at_once(docs: vk.Collection, at: int) -> None:
    """5.10"""
    with quickly(), pytest.raises(vk.InvalidFilterError) as raised:
        docs.count(WIDE[at])
    assert len(str(raised.value)) < 1000


def test_a_document_filter_that_shares_its_parts_is_refused(docs: vk.Collection) -> None:
    """5.11"""
    where = shared({"$contains": "a"}, lambda part: {"$and": [part, part]})
    with quickly(), pytest.raises(vk.InvalidFilterError, match="1000 conditions"):
        docs.count(where_document=where)


@pytest.mark.parametrize("joined", [_both, _either])
def test_a_filter_joined_with_itself_stops_at_the_limit(joined: Callable[[Filter, Filter], Filter]) -> None:
    """5.10"""
    with quickly(), pytest.raises(vk.InvalidFilterError, match="1000 conditions"):
        shared(F("a") == 1, lambda part: joined(part, part))


def test_metadata_that_share_their_parts_are_refused(docs: vk.Collection) -> None:
    """2.5"""
    wraps: list[Callable[[Any], Any]] = [lambda part: {"x": part, "y": part}, lambda part: [part, part]]
    for wrap in wraps:
        with quickly(), pytest.raises(vk.InvalidMetadataError):
            docs.upsert(ids=["a"], embeddings=[[1, 2]], metadatas=[{"v": shared({"a": 1}, wrap, 31)}])
    assert docs.count() == 0


def test_a_long_value_is_cut_before_it_is_shown() -> None:
    long: list[object] = ["x" * 10**8, b"x" * 10**8, [0] * 10**7, {"x" * 10**8: 1}, 10**100_000]
    with quickly():
        assert max(len(short(value)) for value in long) <= 80


@pytest.mark.parametrize("value", [1, "a'b", b"a", [], [1, "x"], (), (1,), (1, 2), {}, {"a": [None, {1: 2.5}]}, {1, 2}])
def test_a_short_value_is_shown_as_python_shows_it(value: object) -> None:
    assert short(value) == repr(value)


def test_a_filter_is_shown_as_python_shows_it() -> None:
    tree = (F("a") == 1) | ~(F("b") > 2)
    assert short(tree, 1000) == repr(tree)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_json_nested_without_end_is_no_filter(text: str) -> None:
    with pytest.raises(vk.InvalidFilterError, match="nested deeper than"):
        filter_of(text)


class quickly:
    """Fails if what stands in it took more than a second of CPU; walked whole it would take days."""

    def __enter__(self) -> None:
        self._before = time.process_time()

    def __exit__(self, *_: object) -> None:
        assert time.process_time() - self._before < 5  # walked again at each sharing, they take hours
