"""Typed columns: what plain SQL sees of them, and that filters use their indexes. That they change no result is shown
by the filters' tests and by the conformance suite, which run with columns declared too."""

from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

from vectorkit import Collection, VectorStore, filters
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.sql.codec import Binary, BinaryDumper
from vectorkit_pgvector.sql.columns import promoted
from vectorkit_pgvector.sql.filters import condition

Connection = psycopg.Connection[Any]

COLUMNS: dict[str, Any] = {"year": int, "price": float, "lang": str, "draft": bool, "published": date}


def select(admin: Connection, docs: Collection, what: str) -> list[tuple[Any, ...]]:
    return admin.execute(f"SELECT {what} FROM {docs.info().location} ORDER BY id".encode()).fetchall()


def test_promoted_keys_are_columns_that_plain_sql_reads(store: VectorStore, admin: Connection) -> None:
    """Of the SQL type that holds the declared one; a value of another type is NULL there, and comes back equal."""
    docs = store.create_collection("docs", dimension=1, columns=COLUMNS)
    metadatas: list[dict[str, Any]] = [
        {"year": 2024, "price": 9.5, "lang": "de", "draft": True, "published": "2024-02-29", "more": [1]},
        {"year": "MMXXIV", "price": None, "lang": 5, "draft": 1, "published": "2023-02-29"},
        {"year": 2024.5, "price": 10**18 + 1, "lang": "x" * 10_000, "draft": "true", "published": "soon"},
        {"year": True, "lang": ["de"], "draft": None, "published": 20240229},
    ]
    docs.add(ids=list("abcd"), metadatas=metadatas, embeddings=[[1]] * 4)
    assert select(admin, docs, "year, price, left(lang, 5), draft, published") == [
        (Decimal(2024), Decimal("9.5"), "de", True, date(2024, 2, 29)),
        (None, None, None, None, None),
        (Decimal("2024.5"), Decimal(10**18 + 1), "xxxxx", None, None),
        (None, None, None, None, None),
    ]
    types = "pg_typeof(year)::text, pg_typeof(lang)::text, pg_typeof(draft)::text, pg_typeof(published)::text"
    assert select(admin, docs, types)[0] == ("numeric", "text", "boolean", "date")
    read = [record.metadata for record in docs.get()]
    assert read == metadatas
    for before, after in zip(metadatas, read, strict=True):
        assert {key: type(value) for key, value in after.items()} == {key: type(before[key]) for key in before}


def test_a_promoted_key_follows_every_write(store: VectorStore, admin: Connection) -> None:
    """Also one of plain SQL on the metadata, since the server makes the column."""
    docs = store.create_collection("docs", dimension=1, columns={"year": int})
    docs.add(ids=["a", "b"], metadatas=[{"year": 1}, {"year": 2}], embeddings=[[1], [2]])
    docs.upsert(ids=["a"], metadatas=[{"year": 3}], embeddings=[[1]])
    docs.update(ids=["b"], metadatas=[{"year": 4, "more": 0}])
    assert select(admin, docs, "year") == [(3,), (4,)]
    docs.update(ids=["b"], metadatas=[{"year": 5}], merge=True)
    admin.execute(f"UPDATE {docs.info().location} SET metadata = '{{}}' WHERE id = 'a'".encode())
    assert select(admin, docs, "year") == [(None,), (5,)]
    assert [record.id for record in docs.get(where={"year": {"$gte": 3}})] == ["b"]


def test_columns_are_stored_with_the_collection(backend: PgVectorBackend, schema: str, postgres_url: str) -> None:
    """1.2 Another process uses them too; opening does not compare them."""
    store = VectorStore(backend)
    made = store.create_collection("docs", dimension=1, columns=COLUMNS)
    assert made.info().spec.columns == {
        "year": "int", "price": "float", "lang": "str", "draft": "bool", "published": "date"
    }  # fmt: skip
    with VectorStore(PgVectorBackend(postgres_url, schema=schema)) as other:
        assert other.get_or_create_collection("docs", dimension=1, columns={"x": int}).info() == made.info()
        assert other.create_collection("plain", dimension=1).info().spec.columns == {}


@pytest.mark.parametrize(
    "key",
    ["Year of issue", 'quo"te', "it's", "back\\slash", "\\'", "select", "日本語", "é" * 31, "a.b", "%s", "$1"[1:]],
)
def test_any_key_that_is_an_identifier_makes_a_column(store: VectorStore, key: str) -> None:
    """5.12 Whatever is in it: it is a name in one place and a string in another."""
    docs = store.create_collection("docs", dimension=1, columns={key: int})
    docs.add(ids=["a", "b", "c"], metadatas=[{key: 1}, {key: "1"}, {}], embeddings=[[1]] * 3)
    assert [record.id for record in docs.get(where={key: 1})] == ["a"]
    assert [record.id for record in docs.get(where={key: {"$lte": "1"}})] == ["b"]
    assert [record.id for record in docs.get(where={key: None})] == ["c"]


@pytest.fixture
def many(store: VectorStore) -> Collection:
    """4,000 records in which every value of a key differs, but for a few of another type than the column's."""
    docs = store.create_collection("docs", dimension=1, metric="l2", columns=COLUMNS)
    docs.add(
        ids=[f"{number:05}" for number in range(4000)],
        metadatas=[
            {
                "year": number if number % 1000 else "none",
                "price": number / 8,
                "lang": f"l{number:05}" + "x" * (1000 if number % 500 == 0 else 0),
                "draft": number == 7,
                "published": date.fromordinal(700_000 + number).isoformat() if number % 1000 else "soon",
            }
            for number in range(4000)
        ],
        embeddings=[[number] for number in range(4000)],
    )
    return docs


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ({"year": {"$gte": 3990}}, "year"),
        ({"year": {"$gt": 17.5, "$lt": 20.5}}, "year"),
        ({"year": 5.0}, "year"),
        ({"year": {"$in": [5, 6, 7.0]}}, "year"),
        ({"price": {"$lt": 1}}, "price"),
        ({"lang": {"$gte": "l0399"}}, "lang"),
        ({"lang": "l00005"}, "lang"),
        ({"draft": True}, "draft"),
        ({"published": {"$gte": date.fromordinal(703_990).isoformat()}}, "published"),
        ({"published": date.fromordinal(700_010).isoformat()}, "published"),
        ({"$or": [{"year": 5}, {"price": {"$lt": 0.5}}]}, "price"),
    ],
    ids=str,
)
def test_filters_use_the_columns_index(many: Collection, admin: Connection, where: dict[str, Any], index: str) -> None:
    """6.7 After a first large write, without another command; the result is the reference's."""
    parameters: list[Any] = []
    text = condition(filters.parse(where), parameters, promoted(many.info().spec.columns))
    with psycopg.RawCursor(admin) as cursor:
        cursor.adapters.register_dumper(Binary, BinaryDumper)
        cursor.execute(f"EXPLAIN SELECT id FROM {many.info().location} WHERE {text}".encode(), parameters)
        assert f"_{index}_idx" in "\n".join(line for (line,) in cursor)
    expected = [record.id for record in many.scan() if filters.matches(filters.parse(where), None, record.metadata)]
    assert 0 < len(expected) <= 20
    assert [record.id for record in many.get(where=where)] == expected
    assert [hit.id for hit in many.search([0], 20, where=where)] == expected


def test_a_search_over_few_of_many_is_exact_through_the_column(many: Collection) -> None:
    """6.7 Ordering has no index but the column's, and the search uses it."""
    explanation = many.explain([4000], 10, where={"year": {"$gte": 3900}})
    assert explanation.exact
    assert explanation.rows_scanned < 1000, explanation
    assert "_year_idx" in explanation.plan


def test_names_that_statements_use_make_columns_too(backend: PgVectorBackend) -> None:
    """5.12 Aliases, functions and columns of system tables: none is mistaken for the other."""
    names = ("place", "places", "wanted", "few", "probe", "key", "total", "stored", "new", "excluded", "matching")
    docs = VectorStore(backend).create_collection("docs", dimension=1, metric="ip", columns=dict.fromkeys(names, int))
    metadatas: list[Any] = [dict.fromkeys(names, number) for number in range(5)]
    docs.upsert(ids=list("abcde"), metadatas=metadatas, embeddings=[[1]] * 5)
    docs.update(ids=["e"], metadatas=[dict.fromkeys(names, 9)])
    for name in names:
        where: dict[str, Any] = {name: {"$gt": 2}}
        assert [record.id for record in docs.get(["e", "a", "d"], where=where)] == ["e", "d"]
        assert [record.id for record in docs.scan(where)] == ["d", "e"]
        for exact in (None, True, False):
            assert [hit.id for hit in docs.search([1], 1, where=where, exact=exact)] == ["d"]
    assert docs.delete(["a", "b"], where={"place": 0}) == 1


def test_the_registry_says_which_columns_there_are(store: VectorStore, admin: Connection, schema: str) -> None:
    store.create_collection("docs", dimension=1, columns={"year": int, "lang": str})
    found = admin.execute(
        sql.SQL("SELECT columns FROM {}.vectorkit_collections").format(sql.Identifier(schema))
    ).fetchone()
    assert found == ({"year": "int", "lang": "str"},)
