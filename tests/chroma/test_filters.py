"""Filters that Chroma cannot be asked as they stand."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit import filters
from vectorkit_chroma import ChromaBackend
from vectorkit_chroma.records import filters as plans
from vectorkit_chroma.records.codec import read_signature

VALUES: list[Any] = [
    *(0, 1, -1, 2, 1.5, -1.5, 1.0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), float(2**63), 1e300, 5e-324),
    *("", "a", "b", "A", "é", "1", "2024-01-31", "2024-02-01T00:00"),
    *(True, False, None, ["a", 1, None, [1]], [], [1.0, True], {"a": 1}),
]
OPERANDS: list[Any] = [value for value in VALUES if not isinstance(value, list | dict)] + [10**400, -(2**70), 0.5]


@pytest.fixture(scope="module")
def table() -> Iterator[vk.Collection]:
    """A record of each value, one without the key, each with and without a document."""
    with vk.VectorStore(ChromaBackend("chroma:")) as store:
        collection = store.create_collection("values", dimension=2)
        metadatas = [*({"k": value, "n": n} for n, value in enumerate(VALUES)), {"n": -1}] * 2
        collection.add(
            ids=[f"{n:03}" for n in range(len(metadatas))],
            embeddings=np.ones((len(metadatas), 2)),
            documents=["100% of_it" if n % 2 else None for n in range(len(metadatas))],
            metadatas=metadatas,
        )
        yield collection


def expected(collection: vk.Collection, where: filters.Filter | None) -> list[str]:
    return [record.id for record in collection.get() if filters.matches(where, record.document, record.metadata)]


@pytest.mark.parametrize("op", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains", "$not_contains"])
def test_every_operator_on_every_operand_equals_the_reference(table: vk.Collection, op: str) -> None:
    """5.4 to 5.8 Numbers of both types past 2**53, strings, bools and None, on every kind of stored value."""
    for operand in OPERANDS:
        if op in ("$gt", "$gte", "$lt", "$lte") and (operand is None or isinstance(operand, bool)):
            continue
        where = {"k": {op: operand}}
        found = [record.id for record in table.get(where=where)]
        assert found == expected(table, filters.parse(where)), where


def test_random_trees_equal_the_reference(table: vk.Collection) -> None:
    """5.2 `$and`, `$or` and `$not` over all operators, with lists of mixed operands."""
    choose = random.Random(5)

    def tree(depth: int) -> dict[str, Any]:
        roll = choose.random()
        if depth and roll < 0.5:
            return {choose.choice(["$and", "$or"]): [tree(depth - 1) for _ in range(choose.randrange(4))]}
        if depth and roll < 0.7:
            return {"$not": tree(depth - 1)}
        key = choose.choice(["k", "k", "n", "missing"])
        if roll < 0.8:
            return {key: {choose.choice(["$in", "$nin"]): choose.sample(OPERANDS, choose.randrange(6))}}
        if roll < 0.9:
            return {key: {"$exists": choose.random() < 0.5}}
        return {key: {choose.choice(["$gt", "$lte"]): choose.choice([0, 1.5, "a", "2024-02", -(2**70)])}}

    for _ in range(120):
        where = tree(4)
        assert [record.id for record in table.get(where=where)] == expected(table, filters.parse(where)), where


def test_what_chroma_can_be_asked_is_not_read_and_evaluated() -> None:
    """Only an order of strings, and what is beyond SQLite's limits, costs reading the records."""
    signatures = [read_signature('[1,[["k","i"],["s","s"]]]'), read_signature("[0,[]]")]

    def exact(where: dict[str, Any]) -> bool:
        tree = filters.parse(where)
        assert tree is not None
        return plans.plan(tree, lambda: signatures).exact

    assert exact({"$not": {"$or": [{"k": {"$gt": 1.5}}, {"s": {"$in": ["a", 1, None]}}]}})
    assert exact({"s": {"$exists": False}, "k": {"$contains": "x"}})
    assert exact({"$or": [{"k": n} for n in range(300)]})
    assert not exact({"s": {"$gt": "a"}})
    assert not exact({"$or": [{"k": {"$gt": n}} for n in range(600)]})
    assert not exact({"k": {"$in": list(range(20_000))}})


def test_a_wide_filter_narrows_what_is_read_by_the_parts_that_fit() -> None:
    big = {"k": {"$in": list(range(20_000))}}
    tree = filters.parse({"$and": [big, {"s": "x"}]})
    assert tree is not None
    plan = plans.plan(tree, list)
    assert plan == plans.Plan({"s": {"$in": ["x"]}}, exact=False)


def test_filters_beyond_sqlites_variables_equal_the_reference(table: vk.Collection) -> None:
    """5.10 100,000 values, alone and beside others, under search too."""
    values = [*range(100, 100_000), "a", 1.5, None]
    for where in ({"k": {"$in": values}}, {"k": {"$nin": values}, "n": {"$gte": 3}}):
        ids = expected(table, filters.parse(where))
        assert [record.id for record in table.get(where=where)] == ids
        assert table.count(where) == len(ids)
        assert sorted(hit.id for hit in table.search([1, 1], k=100, where=where)) == ids


def test_records_of_many_shapes_are_told_apart() -> None:
    """5.7 `$exists` where nearly every record has other keys: past what Chroma is asked for."""
    with vk.VectorStore(ChromaBackend("chroma:")) as store:
        collection = store.create_collection("shapes", dimension=2)
        count = plans.MAX_SIGNATURES + 200
        collection.add(
            ids=[f"{n:05}" for n in range(count)],
            embeddings=np.ones((count, 2)),
            metadatas=[{f"k{n}": n, **({"even": True} if n % 2 == 0 else {})} for n in range(count)],
        )
        assert collection.count({"even": {"$exists": True}}) == count // 2
        assert collection.count({"even": {"$exists": False}}) == count // 2
        assert [record.id for record in collection.get(where={"k7": {"$exists": True}})] == ["00007"]
        assert collection.count({"$not": {"k7": {"$gte": 7}}}) == count - 1


def test_lists_of_a_dropped_collection_do_not_turn_up_in_another() -> None:
    """1.5 Chroma leaves the elements of its own lists behind, for the records that later get the same row numbers."""
    with vk.VectorStore(ChromaBackend("chroma:")) as store:
        first = store.create_collection("first", dimension=2)
        first.add(ids=["a"], embeddings=[[1, 0]], metadatas=[{"tags": ["x", "y"]}])
        store.drop_collection("first")
        second = store.create_collection("second", dimension=2)
        second.add(ids=["b"], embeddings=[[1, 0]], metadatas=[{}])
        assert second.count({"tags": {"$contains": "x"}}) == 0
        assert second.get()[0].metadata == {}
