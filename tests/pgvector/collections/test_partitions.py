"""A collection in partitions of one server: laid out, written, indexed and searched as one."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from vectorkit import (
    HNSW,
    Collection,
    F,
    IndexProgress,
    InvalidArgumentError,
    IVFFlat,
    MemoryBackend,
    VectorStore,
)
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend

Connection = psycopg.Connection[Any]
DIMENSION = 64


def vectors(count: int, seed: int = 1) -> FloatArray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, DIMENSION))
    noise = 0.5 * random.normal(size=(count, DIMENSION))
    made: FloatArray = (centres[random.integers(40, size=count)] + noise).astype(np.float32)
    return made


def rows(start: int, end: int) -> dict[str, Any]:
    numbers = range(start, end)
    return {
        "ids": [f"{number:06}" for number in numbers],
        "embeddings": vectors(end)[start:],
        "documents": [f"text {number % 7}" for number in numbers],
        "metadatas": [{"third": number % 3, "n": number} for number in numbers],
    }


@pytest.fixture
def parted(postgres_url: str, schema: str) -> Callable[..., VectorStore]:
    def make(partitions: int = 3) -> VectorStore:
        return VectorStore(PgVectorBackend(postgres_url, schema=schema, partitions=partitions))

    return make


def partitions(docs: Collection, admin: Connection) -> list[str]:
    found = admin.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1",
        [docs.info().location],
    ).fetchall()
    return [name for (name,) in found]


def built(docs: Collection, admin: Connection) -> list[str]:
    """The definitions of the vector indexes, partition by partition, "invalid" before those that are."""
    found = admin.execute(
        "SELECT CASE WHEN indisvalid THEN '' ELSE 'invalid ' END || split_part(pg_get_indexdef(indexrelid), ' USING ', "
        "2) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "JOIN pg_am ON pg_am.oid = relam AND amname IN ('hnsw', 'ivfflat') "
        "WHERE indrelid = %s::regclass OR indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass)"
        " ORDER BY indrelid",
        [docs.info().location] * 2,
    ).fetchall()
    return [definition for (definition,) in found]


HNSW_BUILT = "hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='128')"


def test_a_collection_is_spread_over_its_partitions_by_id(
    parted: Callable[..., VectorStore], admin: Connection, backend: PgVectorBackend
) -> None:
    """1.3 Whoever opens it need not know; rows stand as plain SQL expects them, and a drop leaves none behind."""
    docs = parted(3).create_collection("docs", dimension=DIMENSION)
    docs.add(**rows(0, 300))
    names = partitions(docs, admin)
    assert [name.rpartition("_")[2] for name in names] == ["p0", "p1", "p2"]
    spread = admin.execute(
        sql.SQL("SELECT count(*) FROM {} GROUP BY tableoid").format(
            sql.Identifier(*docs.info().location.strip('"').split('"."'))
        )
    ).fetchall()
    assert min(spread) > (50,)
    layout = admin.execute(
        "SELECT DISTINCT attstorage::text, reloptions::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE attname = 'embedding' AND attrelid = ANY (%s::regclass[])",
        [names],
    ).fetchall()
    assert layout == [("p", "{toast_tuple_target=8160}")]
    opened = VectorStore(backend).get_collection("docs")
    assert opened.info() == docs.info()
    assert [record.id for record in opened.scan()] == rows(0, 300)["ids"]
    parted(1).drop_collection("docs")
    assert (
        admin.execute(
            "SELECT FROM pg_class WHERE relname ~ 'vk_docs' AND relnamespace = %s::regnamespace",
            [docs.info().location.partition(".")[0]],
        ).fetchall()
        == []
    )


def test_where_rows_stand_in_one_partition_says_nothing_of_the_others(parted: Callable[..., VectorStore]) -> None:
    """6.7 Rows of different partitions have the same places (ctid), of which a filtered search takes note."""
    docs = parted().create_collection("docs", dimension=DIMENSION)
    memory = VectorStore(MemoryBackend()).create_collection("docs", dimension=DIMENSION)
    for each in (docs, memory):
        each.add(**rows(0, 5000))
    for where in ({"third": 1}, {"n": {"$lt": 40}}, {"$not": {"third": {"$in": [0, 2]}}}, F("n") >= 4990):
        for query in vectors(5, seed=9):
            found = docs.search(query, 25, where=where)
            expected = memory.search(query, 25, where=where)
            assert [(hit.id, hit.metadata) for hit in found] == [(hit.id, hit.metadata) for hit in expected]


def test_a_write_that_makes_indexes_useful_builds_one_of_each_partition(
    parted: Callable[..., VectorStore], admin: Connection
) -> None:
    """6.1, 6.4 Full k; the searches of the partitions are merged."""
    cheap = HNSW(m=8, ef_construction=32, ef_search=40)
    docs = parted().create_collection("docs", dimension=DIMENSION, index=cheap)
    docs.add(**rows(0, 2000))
    assert built(docs, admin) == []
    docs.upsert(**rows(1990, 9000))
    assert built(docs, admin) == ["hnsw (embedding vector_cosine_ops) WITH (m='8', ef_construction='32')"] * 3
    query = vectors(1, seed=3)[0]
    distances = {hit.id: hit.distance for hit in docs.search(query, 9000, exact=True)}
    found = docs.search(query, 50, exact=False)
    assert len(found) == 50
    assert [hit.distance for hit in found] == sorted(hit.distance or 0.0 for hit in found)
    assert [hit.distance for hit in found] == pytest.approx([distances[hit.id] for hit in found], abs=5e-7)
    explained = docs.explain(query, 10)
    assert explained.index is not None
    assert not explained.exact
    assert "Merge Append" in explained.plan
    assert explained.plan.count("Index Scan on") == 3


def test_what_a_filter_leaves_in_all_partitions_is_weighed_against_their_indexes(
    parted: Callable[..., VectorStore], postgres_url: str, schema: str
) -> None:
    """6.7 By what PostgreSQL expects of each, and by the size of all of them."""
    parted().create_collection("docs", dimension=DIMENSION, index="ivfflat").add(**rows(0, 9000))
    by_index = make_conninfo(postgres_url, options="-c enable_seqscan=off")  # which is quicker for so few records
    with VectorStore(PgVectorBackend(by_index, schema=schema)) as store:
        docs = store.get_collection("docs")
        explained = docs.explain(vectors(1)[0], 500, where={"third": 1})
        assert explained.exact
        assert "less time than the index" in explained.reason
        assert explained.plan.count("Bitmap Heap Scan") >= 3
        assert not docs.explain(vectors(1)[0], 500, where={"n": {"$gte": 10}}).exact


def test_indexes_are_made_changed_and_dropped_while_the_collection_is_in_use(
    parted: Callable[..., VectorStore], admin: Connection
) -> None:
    """6.7 Of every partition at once, and never more than one of each; lists are shared among them."""
    docs = parted().create_collection("docs", dimension=DIMENSION, index="none")
    docs.add(**rows(0, 4000))
    told: list[IndexProgress] = []
    failures: list[Exception] = []
    done = threading.Event()

    def write() -> None:
        number = 4000
        try:
            while not done.is_set():
                docs.upsert(**rows(number, number + 1))
                docs.search(vectors(1)[0], 5)
                number += 1
        except Exception as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        docs.create_index(progress=told.append)
        assert built(docs, admin) == [HNSW_BUILT] * 3
        docs.create_index(HNSW(m=4))
        assert built(docs, admin) == ["hnsw (embedding vector_cosine_ops) WITH (m='4', ef_construction='128')"] * 3
        docs.create_index(IVFFlat(lists=10))
        assert built(docs, admin) == ["ivfflat (embedding vector_cosine_ops) WITH (lists='4')"] * 3
        docs.create_index("ivfflat")
        assert built(docs, admin) == ["ivfflat (embedding vector_cosine_ops) WITH (lists='1')"] * 3
        docs.reindex()
        docs.drop_index()
        assert built(docs, admin) == []
    finally:
        done.set()
        writer.join()
    assert failures == []
    assert told[-1].phase == "ready"


def test_an_index_that_one_partition_lacks_is_built_there_alone(
    parted: Callable[..., VectorStore], admin: Connection, schema: str
) -> None:
    """6.1 Until then searches are right; the same index of all of them is not built twice."""
    docs = parted().create_collection("docs", dimension=DIMENSION)
    docs.add(**rows(0, 3000))

    def indexes() -> dict[int, str]:
        return dict(
            admin.execute(
                "SELECT indexrelid, relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
                "WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw') AND relnamespace = %s::regnamespace",
                [schema],
            ).fetchall()
        )

    before = indexes()
    docs.create_index()
    assert indexes() == before
    lost = sorted(before)[1]
    admin.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, before[lost])))
    assert len(docs.search(vectors(1)[0], 100, exact=False)) == 100
    docs.upsert(**rows(10, 11))
    assert set(before) - set(indexes()) == {lost}
    assert built(docs, admin) == [HNSW_BUILT] * 3


def test_in_the_callers_transaction_all_of_it_comes_or_goes_at_once(
    parted: Callable[..., VectorStore], admin: Connection, postgres_url: str, schema: str
) -> None:
    """3.7 Rows of every partition and their indexes."""
    docs = parted().create_collection("docs", dimension=DIMENSION)
    with psycopg.connect(postgres_url) as connection:
        mine = VectorStore(PgVectorBackend(connection=connection, schema=schema, partitions=2))
        theirs = mine.get_collection("docs")
        theirs.add(**rows(0, 2500))
        assert len(theirs.search(vectors(1)[0], 10, exact=False)) == 10
        assert len(mine.create_collection("other", dimension=2).get()) == 0
        connection.rollback()
        assert (docs.count(), built(docs, admin)) == (0, [])
        theirs.add(**rows(0, 2500))
        connection.commit()
    assert (docs.count(), built(docs, admin)) == (2500, [HNSW_BUILT] * 3)


@pytest.mark.parametrize("wrong", [0, -1, 101, 2.0, True, "3"], ids=repr)
def test_a_number_of_partitions_is_checked(postgres_url: str, wrong: Any) -> None:
    """8.3"""
    with pytest.raises(InvalidArgumentError, match="partitions"):
        PgVectorBackend(postgres_url, partitions=wrong)


def test_names_of_partitions_fit_and_are_no_collections(parted: Callable[..., VectorStore], admin: Connection) -> None:
    """1.5 The longest name, and one that looks like a partition of another."""
    store = parted(100)
    long = store.create_collection("a" * 48, dimension=2)
    assert len(partitions(long, admin)) == 100
    long.add(ids=[str(number) for number in range(500)], embeddings=[[1, number] for number in range(500)])
    assert long.count() == 500
    few = parted(2)
    for name in ("docs", "docs_1", "docs_2_p0", "docs_3_p1"):
        few.create_collection(name, dimension=2).add(ids=[name], embeddings=[[1, 1]])
    assert [few.get_collection(info.name).get()[0].id for info in few.list_collections()[1:]] == [
        "docs", "docs_1", "docs_2_p0", "docs_3_p1",
    ]  # fmt: skip
