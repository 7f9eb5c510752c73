"""Settings of a single search, what explains it, and what measures it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest

from vectorkit import (
    HNSW,
    Collection,
    Hit,
    InvalidArgumentError,
    IVFFlat,
    UnsupportedError,
    VectorStore,
    connect,
)
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.connections.sessions import Session

COUNT = 5000


def scattered(count: int, dimension: int, seed: int) -> FloatArray:
    """Vectors without any structure: hard for an index, so that its settings show."""
    made: FloatArray = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def docs(postgres_url: str) -> Iterator[Collection]:
    name = "test_tuning"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
        with VectorStore(PgVectorBackend(postgres_url, schema=name)) as store:
            docs = store.create_collection("docs", dimension=32, index=HNSW(m=6, ef_construction=20))
            docs.add(
                ids=[f"{number:06}" for number in range(COUNT)],
                embeddings=scattered(COUNT, 32, seed=1),
                metadatas=[{"tenth": number % 10, "part": number % 1000} for number in range(COUNT)],
            )
            admin.execute(f"ANALYZE {docs.info().location}".encode())
            yield docs
        admin.execute(f"DROP SCHEMA {name} CASCADE".encode())


def found(docs: Collection, queries: FloatArray, **settings: Any) -> float:
    """How many of the nearest ten a search finds, in the mean."""
    exact = docs.search_many(queries, exact=True)
    index = docs.search_many(queries, **settings)
    both = [len({hit.id for hit in a} & {hit.id for hit in b}) for a, b in zip(exact, index, strict=True)]
    return float(np.mean(both)) / 10


# --- one search -------------------------------------------------------------------------------------------------


def test_a_search_looks_at_as_many_candidates_as_it_asks_for(docs: Collection) -> None:
    """6.7 Fewer find less, more find more, and k come back from one as well."""
    queries = scattered(60, 32, seed=2)
    assert found(docs, queries, ef_search=1) < 0.8
    assert found(docs, queries, ef_search=1000) > 0.98
    assert len(docs.search(queries[0], 500, ef_search=1)) == 500


def test_a_search_looks_at_as_many_lists_as_it_asks_for(postgres_url: str, schema: str) -> None:
    """6.7 As with candidates; all of them are an exact search."""
    with VectorStore(PgVectorBackend(postgres_url, schema=schema)) as store:
        docs = store.create_collection("docs", dimension=32, index=IVFFlat(lists=40, probes=3))
        docs.add(embeddings=scattered(3000, 32, seed=3))
        queries = scattered(30, 32, seed=4)
        assert found(docs, queries, probes=1) < found(docs, queries) < found(docs, queries, probes=40) == 1.0
        with pytest.raises(UnsupportedError, match=r"ef_search= is a setting of HNSW.*has IVFFlat"):
            docs.search(queries[0], ef_search=100)


def test_a_setting_of_one_search_is_not_that_of_another(docs: Collection, postgres_url: str) -> None:
    """9.3 Not of the next one, not of those of other threads, whatever connection they are lent."""
    queries = scattered(40, 32, seed=5)
    usual = [docs.search(query) for query in queries]
    narrow = [docs.search(query, ef_search=1) for query in queries]
    assert usual != narrow

    def search(at: int) -> list[Hit]:
        return docs.search(queries[at // 2], ef_search=1 if at % 2 else None)

    with ThreadPoolExecutor(6) as pool:
        mixed = list(pool.map(search, range(2 * len(queries))))
    assert mixed[::2] == usual
    assert mixed[1::2] == narrow
    with psycopg.connect(postgres_url) as connection:
        mine = VectorStore(PgVectorBackend(connection=connection, schema="test_tuning")).get_collection("docs")
        mine.search(queries[0], ef_search=1)
        shown = connection.execute("SELECT current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan')")
        assert shown.fetchone() == ("40", "off")


def test_a_setting_that_cannot_have_an_effect_is_refused(docs: Collection, postgres_url: str, schema: str) -> None:
    """9.2 Of another index, of none, of an exact search, out of range, or on a backend that has it not."""
    query = scattered(1, 32, seed=6)[0]
    for wrong in (0, 1001, 1.5, True, "100"):
        with pytest.raises(InvalidArgumentError, match="ef_search is"):
            docs.search(query, ef_search=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgumentError, match="probes is 1 to 32,768"):
        docs.search(query, probes=32_769)
    with pytest.raises(InvalidArgumentError, match="no index has both"):
        docs.search(query, probes=1, ef_search=1)
    with pytest.raises(InvalidArgumentError, match="exact search"):
        docs.search_many([query], exact=True, ef_search=10)
    with pytest.raises(InvalidArgumentError, match="mode='vector'"):
        docs.search("words", mode="text", ef_search=10)
    with pytest.raises(UnsupportedError, match=r"has HNSW.*create_index\(\)"):
        docs.search(query, probes=2)
    with VectorStore(PgVectorBackend(postgres_url, schema=schema)) as store:
        bare = store.create_collection("docs", dimension=32, index="none")
        with pytest.raises(UnsupportedError, match="has no index"):
            bare.search(query, ef_search=10)
    with pytest.raises(UnsupportedError, match="memory has no ef_search"):
        connect("memory:").create_collection("docs", dimension=32).search(query, ef_search=10)


# --- many searches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [{}, {"exact": True}, {"exact": False, "where": {"tenth": 3}}, {"where": {"part": 7}}], ids=str
)
def test_many_queries_are_sent_together(
    docs: Collection, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.8 One round trip for those of a connection; more than fit memory, k being large, take several."""
    sent: list[int] = []
    each = Session.each

    def counted(session: Session, statements: Any, take: Any) -> Any:
        sent.append(len(statements))
        return each(session, statements, take)

    queries = scattered(50, 32, seed=7)
    expected = [docs.search(query, **arguments) for query in queries]
    monkeypatch.setattr(Session, "each", counted)
    assert docs.search_many(queries, **arguments) == expected
    assert sorted(sent)[-4:] == [11, 13, 13, 13]
    assert sum(sent) < 100  # too few of the nearest match the filter: those are asked for once more
    sent.clear()
    assert docs.search_many(queries[:19], **arguments) == expected[:19]
    assert max(sent) == 19
    sent.clear()
    assert [len(hits) for hits in docs.search_many(queries[:4], 2500, exact=True)] == [2500] * 4
    assert sent == [1, 1, 1, 1]


def test_many_queries_take_part_in_the_callers_transaction(docs: Collection, postgres_url: str) -> None:
    """3.7 Which sees its own writes, and stays usable."""
    with psycopg.connect(postgres_url) as connection:
        mine = VectorStore(PgVectorBackend(connection=connection, schema="test_tuning")).get_collection("docs")
        mine.add(ids=["own"], embeddings=[[50] * 32])
        assert [hits[0].id for hits in mine.search_many([[50] * 32] * 3, 1, exact=True)] == ["own"] * 3
        connection.rollback()
    assert docs.get(["own"]) == []


# --- explain ----------------------------------------------------------------------------------------------------


def test_an_explanation_says_what_ran_and_why(docs: Collection) -> None:
    """6.7 Above the limit by the index, under its settings; the SQL is what the server was sent."""
    query = scattered(1, 32, seed=8)[0]
    plain = docs.explain(query, ef_search=77)
    assert plain.index is not None
    assert plain.index.endswith("embedding_idx")
    assert not plain.exact
    assert plain.reason == "more than 2,000 records match"
    assert plain.settings == {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": "77"}
    assert f"FROM {docs.info().location}" in plain.sql
    assert 10 <= plain.rows_scanned < COUNT
    assert plain.milliseconds > 0
    assert f"Index Scan on {plain.index}" in plain.plan
    few = docs.explain(query, where={"part": 7})
    assert (few.index, few.exact, few.reason) == (
        None,
        True,
        "at most 2,000 records match, and all of them were compared",
    )
    assert "metadata_idx" in few.plan
    assert few.rows_scanned < 50
    every = docs.explain(query, exact=True)
    assert (every.index, every.exact, every.settings) == (None, True, {})
    assert COUNT <= every.rows_scanned <= COUNT + 14  # what is found is fetched by its place
    assert "exact=True" in every.reason
    asked = docs.explain(query, 5, where={"part": {"$ne": 7}}, exact=False)
    assert (asked.index, asked.reason) == (plain.index, "exact=False asks for it")


def test_an_explanation_is_printed_without_vectors_or_operands(docs: Collection) -> None:
    """8.3 In lines that a person reads."""
    query = scattered(1, 32, seed=8)[0]
    shown = str(docs.explain(query, where={"secret": "hunter2"}))
    assert shown.startswith("index     not used: at most 2,000 records match")
    for line in ("answer    exact", "scanned   ", "settings  hnsw.iterative_scan = relaxed_order", "plan\n", "sql\n"):
        assert line in shown
    assert "hunter2" not in shown
    assert str(float(query[0]))[:6] not in shown


def test_an_explanation_tells_why_there_is_no_index(postgres_url: str, schema: str) -> None:
    """6.7 None wanted, none possible, none built yet, or one that reached too few records."""
    with VectorStore(PgVectorBackend(postgres_url, schema=schema)) as store:
        bare = store.create_collection("bare", dimension=2, index="none")
        assert bare.explain([1, 2]).reason == "the collection has no index; create_index() makes one"
        wide = store.create_collection("wide", dimension=4001, metric="ip")
        assert wide.explain([1] * 4001).reason == "pgvector has no index for 4,001 dimensions under 'ip'"
        fresh = store.create_collection("fresh", dimension=2)
        fresh.add(ids=["a"], embeddings=[[1, 2]])
        assert fresh.explain([1, 2], exact=False).reason.startswith("it is not built: that takes 2,001 records")
        store.create_collection("same", dimension=2).add(embeddings=[[1, 1]] * 2400 + [[1, 2]] * 100)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        same = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("same")
        fallen = same.explain([1, 2], 2450)
        assert fallen.exact
        assert fallen.index is not None
        assert "fewer records than were asked for" in fallen.reason
        assert fallen.sql.count(";\n") == 1


def test_a_backend_without_plans_explains_nothing() -> None:
    """9.2 And says so."""
    with pytest.raises(UnsupportedError, match="memory"):
        connect("memory:").create_collection("docs", dimension=2).explain([1, 2])


# --- recall -----------------------------------------------------------------------------------------------------


def test_recall_tells_good_settings_from_bad_ones(docs: Collection) -> None:
    """6.7 Measured beside the records, not on them."""
    narrow, usual, wide = docs.recall(ef_search=1), docs.recall(), docs.recall(ef_search=1000)
    assert narrow.mean < 0.93 < usual.mean <= wide.mean <= 1.0
    assert wide.mean > 0.98
    assert (narrow.k, narrow.queries, len(narrow.shares)) == (10, 100, 100)
    assert narrow.lowest == min(narrow.shares) < narrow.mean
    assert str(narrow).startswith(f"recall@10 {narrow.mean:.4f} over 100 queries")


def test_recall_is_of_the_records_that_match(docs: Collection) -> None:
    """6.7 A search among few is exact, and its recall therefore 1."""
    few = docs.recall(5, 20, where={"part": {"$lt": 3}})
    assert (few.mean, few.lowest, few.queries) == (1.0, 1.0, 15)
    with pytest.raises(InvalidArgumentError, match="no record matches"):
        docs.recall(where={"part": "none"})
    for wrong in (0, -1, 1.5, None):
        with pytest.raises(InvalidArgumentError):
            docs.recall(sample=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_recall_of_an_exact_backend_is_one(metric: Any) -> None:
    """6.7 Whatever the backend, also where records are the same."""
    docs = connect("memory:").create_collection("docs", dimension=4, metric=metric)
    docs.add(embeddings=np.concatenate([scattered(60, 4, seed=9), np.ones((40, 4))]).astype(np.float32))
    measured = docs.recall(sample=30)
    assert (measured.mean, measured.queries) == (1.0, 30)
