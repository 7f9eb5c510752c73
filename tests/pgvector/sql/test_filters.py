"""Filters as SQL: never NULL, never text of the caller's, and equal to the reference."""

import random
from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
import pytest

from vectorkit import Collection, MemoryBackend, VectorStore, filters
from vectorkit.filters import Filter, Not
from vectorkit_pgvector.sql.codec import Binary, BinaryDumper
from vectorkit_pgvector.sql.filters import condition

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 1.5, -1.5, 0.1, 1e15, 1e16,
    1e300, -1e300, 5e-324, float(2**53), float(2**63), "", "1", "a", "A", "b", "é", "e\u0301", "\U0001f600", "\uffff",
    "true", "null", "%", "'", "\\", "10000000000000000.0", [], [1], [1.0, "a"], [None], [True], [[1]], [{"k": 1}],
    [1e16], {}, {"k": 1}, {"k": [1]}, "0001-01-01", "2024-02-29", "2023-02-29", "2024-2-9", "2024-02-29T10:00:00",
    "2024", "0000-01-01", "9999-12-31", "10000-01-01", "2024-13-01", "２０２４-02-28", "2024-02-29\n", "z" * 511,
    "z" * 512, "z" * 513, "z" * 511 + "y", "z" * 512 + "y", "\U0001f600" * 3000,
]  # fmt: skip
BEYOND: list[Any] = [10**20, -(10**20), 10**400, -(10**400), 10**5000, 1.7e308]
OPERANDS: list[Any] = [value for value in VALUES if not isinstance(value, list | dict)] + BEYOND
COMPARED = [operand for operand in OPERANDS if operand is not None and not isinstance(operand, bool)]
PAYLOADS = [
    "'; DROP TABLE docs; --", '"; DROP TABLE docs; --', "$1", "$2::text", "%s", "%(x)s", "%%", "{}", "{0}", "\\", "\\'",
    "?", "?|", "@>", "$.a ? (@ > 1)", "a.b", "a->b", "a'b", 'a"b', "'||(SELECT 1)||'", "\n\t", "\x01", "日本語",
]  # fmt: skip


@pytest.fixture(params=[{}, {"k": int}, {"k": float}, {"k": str}, {"k": bool}, {"k": date, "other": int}], ids=str)
def pair(store: VectorStore, request: pytest.FixtureRequest) -> tuple[Collection, Collection]:
    """The collection, and the reference with the same records: every value under `k`, and one without it."""
    made = (
        VectorStore(MemoryBackend()).create_collection("docs", dimension=1, metric="l2"),
        store.create_collection("docs", dimension=1, metric="l2", columns=request.param),
    )
    metadatas: list[dict[str, Any]] = [{"k": value, "other": index % 3} for index, value in enumerate(VALUES)]
    for docs in made:
        docs.add(
            ids=[f"{index:02}" for index in range(len(VALUES) + 1)],
            documents=[None, "", *("text % 'x' \\n" for _ in VALUES[1:])],
            metadatas=[*metadatas, {"k ": 1}],
            embeddings=[[index] for index in range(len(VALUES) + 1)],
        )
    return made


def conditions() -> Iterator[dict[str, Any]]:
    for operator in ("$eq", "$ne", "$contains", "$not_contains"):
        yield from ({"k": {operator: operand}} for operand in OPERANDS)
    for operator in ("$gt", "$gte", "$lt", "$lte"):
        yield from ({"k": {operator: operand}} for operand in COMPARED)
    for operator in ("$in", "$nin"):
        yield from (
            {"k": {operator: operands}} for operands in ([], [None], [1], [1.5, None, "a"], OPERANDS, OPERANDS * 2)
        )
    yield from ({key: {"$exists": expected}} for key in ("k", "k ", "K") for expected in (True, False))


def test_every_operator_on_every_value_equals_the_reference(pair: tuple[Collection, Collection]) -> None:
    """5.2 And so does its complement, for which no condition may be NULL."""
    memory, docs = pair
    for where in conditions():
        for tree in (where, {"$not": where}, {"$not": {"$and": [where, {"other": {"$gte": 1}}]}}):
            assert [r.id for r in docs.get(where=tree)] == [r.id for r in memory.get(where=tree)], tree
        assert docs.count(where) + docs.count({"$not": where}) == len(VALUES) + 1


def test_random_trees_equal_the_reference(pair: tuple[Collection, Collection]) -> None:
    """5.2 De Morgan, nesting, documents among the conditions."""
    memory, docs = pair
    rng = random.Random(5)
    leaves = list(conditions())

    def tree(depth: int) -> dict[str, Any]:
        match rng.choice(["leaf", "$and", "$or", "$not"]) if depth else "leaf":
            case "leaf":
                return rng.choice(leaves)
            case "$not":
                return {"$not": tree(depth - 1)}
            case operator:
                return {operator: [tree(depth - 1) for _ in range(rng.randint(0, 3))]}

    for _ in range(300):
        where = tree(4)
        document = rng.choice([None, {"$contains": "%"}, {"$not_contains": "x"}, {"$contains": "\\n"}])
        expected = [record.id for record in memory.get(where=where, where_document=document)]
        assert [record.id for record in docs.get(where=where, where_document=document)] == expected, (where, document)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_are_data_wherever_they_stand(store: VectorStore, payload: str) -> None:
    """5.12 As id, key, value, list element, document and pattern."""
    docs = store.create_collection("docs", dimension=1, metric="l2")
    docs.upsert(
        ids=[payload, "other"],
        documents=[f"before {payload} after", "nothing"],
        metadatas=[
            {payload: payload, "list": [payload], "number": 1} if payload[0] != "$" else {"list": [payload]},
            {},
        ],
        embeddings=[[1], [2]],
    )
    wheres: list[dict[str, Any]] = [{"list": {"$contains": payload}}]
    if payload[0] != "$":  # no key begins with it
        wheres += [
            {payload: payload},
            {payload: {"$in": [payload, "x"]}},
            {payload: {"$gte": payload}},
            {payload: {"$exists": True}},
            {"$not": {payload: None}},
        ]
    for where in wheres:
        assert [record.id for record in docs.get(where=where)] == [payload], where
        assert [hit.id for hit in docs.search([2], where=where)] == [payload], where
    assert [record.id for record in docs.get(where_document={"$contains": payload})] == [payload]
    assert docs.get([payload])[0].document == f"before {payload} after"
    assert docs.delete(["other"], where={"$not": wheres[0]}) == 1
    assert docs.delete([payload], where=wheres[-1]) == 1
    assert docs.count() == 0


def test_keys_and_operands_are_never_text_of_the_statement() -> None:
    """5.12 Whatever stands in a filter, the SQL holds numbered parameters alone."""
    trees: list[Filter | None] = [filters.parse(where) for where in conditions()]
    for payload in PAYLOADS:
        if payload[0] != "$":
            trees.append(filters.parse({payload: {"$in": [payload, 1]}, "a": {"$gt": payload}}))
        trees.append(filters.parse_document({"$contains": payload}))
    texts: set[str] = set()
    for tree in trees:
        parameters: list[Any] = []
        texts.add(condition(tree if tree is None else Not(tree), parameters, {}))
    assert len(texts) <= 30  # as many as there are forms of conditions, whatever is in them


def test_a_hundred_thousand_values_are_looked_up_quickly(store: VectorStore) -> None:
    """5.10 Of mixed types; both ways round, and in a search."""
    docs = store.create_collection("docs", dimension=1, metric="l2")
    docs.add(
        ids=[f"{number:04}" for number in range(3000)],
        metadatas=[{"n": number if number % 2 else f"s{number}"} for number in range(3000)],
        embeddings=[[number] for number in range(3000)],
    )
    values: list[Any] = [*range(1000, 50_999), *(f"s{number}" for number in range(50_000)), None]
    expected = 1000 + 1500
    assert len(values) == 100_000
    assert docs.count({"n": {"$in": values}}) == expected
    assert docs.count({"n": {"$nin": values}}) == 3000 - expected
    assert len(docs.search([0], 3000, where={"n": {"$in": values}})) == expected


def test_equality_and_containment_use_the_index_on_metadata(store: VectorStore, admin: psycopg.Connection[Any]) -> None:
    """6.7 As far as the planner can: `$eq`, a short `$in` and `$contains`, alone and combined."""
    docs = store.create_collection("docs", dimension=1, metric="l2")
    docs.add(
        ids=[f"{number:05}" for number in range(4000)],
        metadatas=[{"n": number, "tags": [number, "x"]} for number in range(4000)],
        embeddings=[[number] for number in range(4000)],
    )
    admin.execute(f"VACUUM ANALYZE {docs.info().location}".encode())
    wheres: list[dict[str, Any]] = [
        {"n": 5},
        {"n": {"$in": [5, 6, 7.0]}},
        {"tags": {"$contains": 5}},
        {"$or": [{"n": 5}, {"tags": {"$contains": 6}}]},
        {"n": 5, "m": {"$gt": 3}},
    ]
    for where in wheres:
        parameters: list[Any] = []
        text = condition(filters.parse(where), parameters, {})
        with psycopg.RawCursor(admin) as cursor:
            cursor.adapters.register_dumper(Binary, BinaryDumper)
            cursor.execute(f"EXPLAIN SELECT FROM {docs.info().location} WHERE {text}".encode(), parameters)
            assert "metadata_idx" in "\n".join(line for (line,) in cursor), where
