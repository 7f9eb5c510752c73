"""Building indexes: after a load, on a table in use, and what is left when that fails."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from vectorkit import (
    HNSW,
    BackendError,
    BackendTimeoutError,
    Collection,
    Hit,
    IndexProgress,
    InvalidVectorError,
    IVFFlat,
    MemoryBackend,
    Metric,
    Record,
    UnsupportedError,
    VectorStore,
)
from vectorkit.backend.requests import VectorSearch
from vectorkit.indexes import Index
from vectorkit.ranking import score_of
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend

Connection = psycopg.Connection[Any]


def same(found: list[Hit], expected: list[Hit]) -> bool:
    """Whether hits are the same, with distances within rule 6.5."""
    return [hit.id for hit in found] == [hit.id for hit in expected] and [
        hit.distance for hit in found
    ] == pytest.approx([hit.distance for hit in expected], abs=1e-6)


def vectors(count: int, dimension: int = 8, seed: int = 1) -> FloatArray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, dimension))
    made: FloatArray = (centres[random.integers(40, size=count)] + 0.5 * random.normal(size=(count, dimension))).astype(
        np.float32
    )
    return made


def ids(start: int, end: int) -> list[str]:
    return [f"{number:06}" for number in range(start, end)]


def built(docs: Collection, admin: Connection) -> list[str]:
    """The definitions of the vector indexes of a collection, without names; "invalid" before those that are."""
    rows = admin.execute(
        "SELECT CASE WHEN indisvalid THEN '' ELSE 'invalid ' END || pg_get_indexdef(indexrelid) FROM pg_index "
        "JOIN pg_class ON oid = indexrelid JOIN pg_am ON pg_am.oid = relam AND amname IN ('hnsw', 'ivfflat') "
        "WHERE indrelid = %s::regclass",
        [docs.info().location],
    ).fetchall()
    return [text.partition(" USING ")[2] if text.startswith("CREATE") else text for (text,) in rows]


# --- when there are records -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("hnsw", "hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='128')"),
        (HNSW(m=5, ef_construction=20), "hnsw (embedding vector_cosine_ops) WITH (m='5', ef_construction='20')"),
        ("ivfflat", "ivfflat (embedding vector_cosine_ops) WITH (lists='2')"),
        (IVFFlat(lists=7), "ivfflat (embedding vector_cosine_ops) WITH (lists='7')"),
    ],
    ids=str,
)
def test_the_index_is_built_by_the_write_that_makes_it_useful(
    store: VectorStore, admin: Connection, index: Any, expected: str
) -> None:
    """6.7 Not before there are more records than an exact search takes, and in the same transaction."""
    docs = store.create_collection("docs", dimension=8, index=index)
    stored = vectors(2001)
    docs.add(ids=ids(0, 1999), embeddings=stored[:1999])
    docs.upsert(ids=ids(1998, 2000), embeddings=stored[1998:2000])
    assert built(docs, admin) == []
    docs.add(ids=ids(2000, 2001), embeddings=stored[2000:])
    assert built(docs, admin) == [expected]
    assert docs.search(stored[2000], 1, exact=False)[0].id == "002000"


def test_a_list_has_records_to_learn_from(store: VectorStore, admin: Connection) -> None:
    """6.1 IVFFlat with many lists waits for fifty records a list; until then every search is exact."""
    docs = store.create_collection("docs", dimension=8, index=IVFFlat(lists=50))
    stored = vectors(2500)
    docs.add(ids=ids(0, 2499), embeddings=stored[:2499])
    assert built(docs, admin) == []
    assert len(docs.search(stored[0], 100)) == 100
    docs.add(ids=ids(2499, 2500), embeddings=stored[2499:])
    assert built(docs, admin) == ["ivfflat (embedding vector_cosine_ops) WITH (lists='50')"]
    assert len(docs.search(stored[0], 2500)) == 2500


def test_a_load_that_fails_leaves_neither_records_nor_index(store: VectorStore, admin: Connection) -> None:
    """3.1 One transaction: the next call starts where the first one did."""
    docs = store.create_collection("docs", dimension=8)
    stored = vectors(5000)

    def broken() -> Iterator[Record]:
        for id, vector in zip(ids(0, 5000), stored, strict=True):
            yield Record(id, embedding=vector)
        yield Record("x", embedding=[np.nan] * 8)

    with pytest.raises(InvalidVectorError):
        docs.add(records=broken())
    assert (docs.count(), built(docs, admin)) == (0, [])
    docs.add(ids=ids(0, 5000), embeddings=stored)
    assert len(built(docs, admin)) == 1


def test_of_writers_at_the_same_time_the_last_one_builds(
    store: VectorStore, admin: Connection, postgres_url: str
) -> None:
    """9.3 None waits for another, none fails; while one is at work, searches compare all records."""
    docs = store.create_collection("docs", dimension=8)
    stored = vectors(6000)
    with psycopg.connect(postgres_url) as other:
        theirs = VectorStore(PgVectorBackend(connection=other, schema=docs.info().location.split('"')[1]))
        theirs.get_collection("docs").add(ids=ids(0, 10), embeddings=stored[:10])
        docs.add(ids=ids(10, 3000), embeddings=stored[10:3000])
        assert built(docs, admin) == []
        assert len(docs.search(stored[0], 50)) == 50
    docs.add(ids=ids(3000, 3001), embeddings=stored[3000:3001])
    assert len(built(docs, admin)) == 1

    failures: list[Exception] = []

    def write(start: int) -> None:
        try:
            docs.upsert(ids=ids(start, start + 300), embeddings=stored[start : start + 300])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[start]) for start in range(3300, 5700, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(built(docs, admin)) == 1
    assert docs.count() == 3001 + 8 * 300


def test_in_the_callers_transaction_the_index_comes_with_the_records(
    store: VectorStore, admin: Connection, postgres_url: str
) -> None:
    """3.7 Rolled back with them, too; the settings that the build was given are gone with it."""
    docs = store.create_collection("docs", dimension=8)
    schema = docs.info().location.split('"')[1]
    stored = vectors(2500)
    with psycopg.connect(postgres_url) as connection:
        mine = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
        before = connection.execute("SHOW maintenance_work_mem").fetchone()
        mine.add(ids=ids(0, 2500), embeddings=stored)
        assert len(mine.search(stored[0], 10, exact=False)) == 10
        assert connection.execute("SHOW maintenance_work_mem").fetchone() == before
        connection.rollback()
        assert (docs.count(), built(docs, admin)) == (0, [])
        mine.add(ids=ids(0, 2500), embeddings=stored)
        connection.commit()
    assert (docs.count(), len(built(docs, admin))) == (2500, 1)


def test_who_does_not_own_the_table_writes_all_the_same(
    store: VectorStore, admin: Connection, postgres_url: str, schema: str, role: str
) -> None:
    """3.8 Only the owner may build an index: the next write of theirs does."""
    docs = store.create_collection("docs", dimension=8)
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    admin.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
    admin.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}").format(**names))
    stored = vectors(3000)
    with VectorStore(
        PgVectorBackend(make_conninfo(postgres_url, user=role, password="secret"), schema=schema)
    ) as other:
        theirs = other.get_collection("docs")
        theirs.add(ids=ids(0, 2500), embeddings=stored[:2500])
        assert len(theirs.search(stored[0], 5)) == 5
    assert (docs.count(), built(docs, admin)) == (2500, [])
    docs.add(ids=ids(2500, 2501), embeddings=stored[2500:2501])
    assert len(built(docs, admin)) == 1


# --- on a table in use ------------------------------------------------------------------------------------------


@pytest.fixture
def docs(store: VectorStore) -> Collection:
    docs = store.create_collection("docs", dimension=8, index="none")
    docs.add(ids=ids(0, 3000), embeddings=vectors(3000), metadatas=[{"tenth": n % 10} for n in range(3000)])
    return docs


def test_an_index_is_made_changed_built_anew_and_dropped(
    store: VectorStore, docs: Collection, admin: Connection
) -> None:
    """6.7 There is never more than one; whoever opens the collection next knows which."""
    query = vectors(1, seed=2)[0]
    exact = docs.search(query, 20, exact=True)

    def is_now(index: Index | None, *definitions: str) -> None:
        assert built(docs, admin) == list(definitions)
        assert docs.info().spec.index == store.get_collection("docs").info().spec.index == index
        (found,) = store.backend.search(docs.info(), VectorSearch(query[None], 20))
        assert found.exact == (index is None)
        assert len(found.hits) == 20
        assert docs.search(query, 20, exact=True) == exact

    is_now(None)
    docs.create_index()
    is_now(HNSW(), "hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='128')")
    docs.create_index(IVFFlat(lists=5, probes=2))
    is_now(IVFFlat(lists=5, probes=2), "ivfflat (embedding vector_cosine_ops) WITH (lists='5')")
    docs.create_index("ivfflat")
    is_now(IVFFlat(), "ivfflat (embedding vector_cosine_ops) WITH (lists='3')")
    docs.add(ids=ids(3000, 6000), embeddings=vectors(3000, seed=3))
    exact = docs.search(query, 20, exact=True)
    docs.reindex()
    is_now(IVFFlat(), "ivfflat (embedding vector_cosine_ops) WITH (lists='6')")
    docs.drop_index()
    is_now(None)
    docs.drop_index()
    docs.add(ids=ids(6000, 9000), embeddings=vectors(3000, seed=4))
    assert built(docs, admin) == []
    with pytest.raises(UnsupportedError, match=r"create_index\(\)"):
        docs.reindex()


def test_the_same_index_is_not_built_twice(docs: Collection, admin: Connection) -> None:
    docs.create_index(HNSW(m=8))

    def index() -> object:
        return admin.execute(
            "SELECT indexrelid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = %s::regclass "
            "AND relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw')",
            [docs.info().location],
        ).fetchall()

    first = index()
    docs.create_index(HNSW(m=8))
    docs.create_index()
    assert index() == first
    docs.reindex()
    assert index() != first


def test_an_index_that_another_store_dropped_is_not_built_by_ours(
    docs: Collection, admin: Connection, postgres_url: str, schema: str
) -> None:
    """9.5 And one that it made serves us; answers are right before and after we know."""
    docs.create_index()
    with VectorStore(PgVectorBackend(postgres_url, schema=schema)) as other:
        other.get_collection("docs").drop_index()
        docs.add(ids=ids(3000, 3010), embeddings=vectors(10))
        assert built(docs, admin) == []
        assert same(docs.search(vectors(1)[0], 20), docs.search(vectors(1)[0], 20, exact=True))
        other.get_collection("docs").create_index("ivfflat")
        assert len(docs.search(vectors(1)[0], 200, exact=False)) == 200
        docs.create_index("hnsw")
        assert len(built(docs, admin)) == 1


@pytest.mark.parametrize("kind", ["pool", "pool in transactions", "connection", "connection in autocommit"])
def test_whatever_it_was_opened_with(
    docs: Collection, admin: Connection, postgres_url: str, schema: str, kind: str
) -> None:
    """3.7 In the caller's transaction it is part of that; settings of the session are as before."""
    settings = "SELECT current_setting('maintenance_work_mem'), current_setting('max_parallel_maintenance_workers')"
    if kind.startswith("pool"):
        arguments: dict[str, Any] = {"autocommit": kind == "pool"}
        with ConnectionPool[Connection](postgres_url, kwargs=arguments, min_size=1, max_size=1) as pool:
            mine = VectorStore(PgVectorBackend(pool=pool, schema=schema)).get_collection("docs")
            with pool.connection() as connection:
                before = connection.execute(settings).fetchone()
            mine.create_index(HNSW(m=4))
            assert len(built(docs, admin)) == 1
            with pool.connection() as connection:
                assert connection.autocommit == (kind == "pool")
                assert connection.execute(settings).fetchone() == before
            mine.drop_index()
            assert built(docs, admin) == []
        return
    with psycopg.connect(postgres_url, autocommit=kind.endswith("autocommit")) as connection:
        before = connection.execute(settings).fetchone()
        mine = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
        mine.create_index(HNSW(m=4))
        assert connection.execute(settings).fetchone() == before
        assert len(built(docs, admin)) == (1 if connection.autocommit else 0)
        connection.commit()
        assert len(built(docs, admin)) == 1
        if connection.autocommit:
            with connection.transaction(force_rollback=True):
                mine.drop_index()
                mine.create_index("ivfflat")
            assert built(docs, admin)[0].startswith("hnsw")


@contextmanager
def open_transaction(postgres_url: str, docs: Collection) -> Generator[Connection]:
    """One that has written: an index cannot be finished until it ends."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            sql.SQL("UPDATE {} SET document = 'x' WHERE id = '000001'").format(
                sql.Identifier(*docs.info().location.strip('"').split('"."'))
            )
        )
        yield connection
        connection.rollback()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_while_an_index_is_built_the_collection_is_used_and_no_other_is_begun(
    docs: Collection, admin: Connection, postgres_url: str
) -> None:
    """8.3 The error says who builds it, how far it is, and how to end that."""
    with open_transaction(postgres_url, docs):
        builder = threading.Thread(target=docs.create_index)
        builder.start()
        until(lambda: admin.execute("SELECT FROM pg_stat_progress_create_index").fetchall())
        assert len(docs.search(vectors(1)[0], 10)) == 10
        docs.add(ids=["new"], embeddings=[[9] * 8])
        assert docs.search([9] * 8, 1, exact=False)[0].id == "new"
        for change in (docs.create_index, docs.drop_index, lambda: docs.create_index(HNSW(m=3))):
            with pytest.raises(BackendError, match=r"being built already.*pg_cancel_backend"):
                change()
    builder.join()
    assert docs.info().spec.index == HNSW()
    assert len(built(docs, admin)) == 1
    assert docs.search([9] * 8, 1, exact=False)[0].id == "new"


def test_a_build_that_is_cancelled_leaves_nothing_and_can_be_done_again(
    docs: Collection, admin: Connection, postgres_url: str
) -> None:
    """8.2 The index that PostgreSQL leaves invalid is dropped, and the collection has none as before."""
    failures: list[Exception] = []

    def build() -> None:
        try:
            docs.create_index()
        except Exception as error:
            failures.append(error)

    with open_transaction(postgres_url, docs):
        builder = threading.Thread(target=build)
        builder.start()
        until(lambda: admin.execute("SELECT FROM pg_stat_progress_create_index WHERE phase ~ 'waiting'").fetchall())
        assert built(docs, admin)[0].startswith("invalid")
        admin.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index")
    builder.join()
    assert [type(failure) for failure in failures] == [BackendTimeoutError]
    assert built(docs, admin) == []
    assert docs.info().spec.index is None
    docs.create_index()
    assert len(built(docs, admin)) == 1


def test_an_invalid_index_is_replaced(docs: Collection, admin: Connection) -> None:
    """6.1 One that a server left when it stopped in the middle of building."""
    docs.create_index()
    admin.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indrelid = %s::regclass AND indexrelid IN "
        "(SELECT oid FROM pg_class WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw'))",
        [docs.info().location],
    )
    assert built(docs, admin)[0].startswith("invalid")
    assert same(docs.search(vectors(1)[0], 20, exact=False), docs.search(vectors(1)[0], 20, exact=True))
    docs.create_index()
    assert built(docs, admin) == ["hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='128')"]


def test_progress_is_told_and_can_end_the_building(docs: Collection, admin: Connection, postgres_url: str) -> None:
    """8.2 What the callback raises comes out as it is, and nothing is left that could be used."""
    told: list[IndexProgress] = []
    docs.create_index(progress=told.append)
    assert told[-1] == IndexProgress("ready", 1, 1)
    docs.drop_index()

    class Enough(Exception):
        pass

    def refuse(progress: IndexProgress) -> None:
        told.append(progress)
        if "waiting" in progress.phase:
            raise Enough

    with open_transaction(postgres_url, docs), pytest.raises(Enough):
        docs.create_index(progress=refuse)
    assert "waiting" in told[-1].phase
    assert docs.info().spec.index is None
    assert all(each.startswith("invalid") for each in built(docs, admin))  # what the open transaction kept there
    docs.create_index()
    assert built(docs, admin) == ["hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='128')"]


def test_progress_needs_a_connection_of_its_own(docs: Collection, postgres_url: str, schema: str) -> None:
    """9.2 With the caller's only one there is none."""
    with psycopg.connect(postgres_url) as connection:
        mine = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
        with pytest.raises(UnsupportedError, match="second connection"):
            mine.create_index(progress=print)


def test_a_build_has_memory_for_k_means(database: str) -> None:
    """9.1 pgvector refuses to begin with less than it reckons, however few the rows are of which it takes a sample."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1MB'")
        backend = PgVectorBackend(connection=connection)
        for at, (dimension, index) in enumerate(
            ((64, IVFFlat(lists=40)), (512, IVFFlat(quantization="half")), (64, IVFFlat(40, quantization="binary")))
        ):
            docs = VectorStore(backend).create_collection(f"docs-{at}", dimension=dimension, index="none")
            docs.add(ids=ids(0, 2100), embeddings=vectors(2100, dimension))
            docs.create_index(index)
            assert docs.storage().index_state == "ready"


def test_a_build_has_memory_for_its_graph(
    store: VectorStore, admin: Connection, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """9.1 The server's own 1 MB would do for a fraction of it, and building would take several times as long."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1MB'")
        notices: list[str] = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        docs = VectorStore(PgVectorBackend(connection=connection)).create_collection("docs", dimension=64)
        stored = vectors(6000, 64)
        docs.add(ids=ids(0, 6000), embeddings=stored)
        docs.create_index(HNSW(m=40))
        docs.create_index(HNSW(quantization="half"))
        assert notices == []
        connection.execute(
            sql.SQL("CREATE INDEX ON {} USING hnsw (embedding vector_l2_ops)").format(
                sql.Identifier(*docs.info().location.strip('"').split('"."'))
            )
        )
        assert "no longer fits" in notices[0]


# --- what an index holds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [HNSW, IVFFlat])
@pytest.mark.parametrize(
    ("metric", "dimension", "quantization", "held"),
    [
        *((metric, 2001, None, f"halfvec_{metric}_ops") for metric in ("cosine", "l2", "ip")),
        *((metric, 16, "half", f"halfvec_{metric}_ops") for metric in ("cosine", "l2", "ip")),
        ("cosine", 4001, None, "bit_hamming_ops"),
        ("cosine", 512, "binary", "bit_hamming_ops"),
    ],
)
def test_an_index_of_less_than_the_vectors_finds_them_with_their_own_distances(
    store: VectorStore,
    admin: Connection,
    method: type[Index],
    metric: Metric,
    dimension: int,
    quantization: Any,
    held: str,
) -> None:
    """6.1, 6.2, 6.5 Full k, the scores of the vectors, and the order by them."""
    count = 2100
    *queries, stored = np.split(vectors(count + 3, dimension), [1, 2, 3])
    docs = store.create_collection("docs", dimension=dimension, metric=metric, index=method(quantization=quantization))
    docs.add(ids=ids(0, count), embeddings=stored, metadatas=[{"half": n % 2} for n in range(count)])
    (definition,) = built(docs, admin)
    assert held in definition
    for (query,) in queries:
        asked, longest = float(np.linalg.norm(query)), float(np.linalg.norm(stored, axis=1).max())
        scale = {"cosine": 1.0, "l2": asked + longest, "ip": asked * longest}[metric]
        for where in (None, {"half": 1}):
            exact = docs.search(query, 10, where=where, exact=True)
            found = docs.search(query, 10, where=where, exact=False)
            assert len(found) == 10
            distances = {hit.id: hit.distance for hit in docs.search(query, count, where=where, exact=True)}
            right = [distances[hit.id] for hit in found]
            assert [hit.distance for hit in found] == pytest.approx(right, abs=1e-6 * scale)
            assert [hit.score for hit in found] == [score_of(metric, hit.distance or 0.0) for hit in found]
            assert found == sorted(found, key=lambda hit: (hit.distance, hit.id))
            assert len({hit.id for hit in exact} & {hit.id for hit in found}) >= 9


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_numbers_beyond_16_bits_are_no_trouble_to_an_index_of_16_bits(store: VectorStore, metric: Metric) -> None:
    """2.3 From norms of 1e-9 to 1e15; the search asks with such vectors too."""
    docs = store.create_collection("docs", dimension=4, metric=metric, index=HNSW(quantization="half"))
    memory = VectorStore(MemoryBackend()).create_collection("docs", dimension=4, metric=metric)
    stored = vectors(2100, 4)
    stored[:50] *= np.float32(1e14)
    stored[50:100] *= np.float32(1e-9)
    for each in (docs, memory):
        each.add(ids=ids(0, 2100), embeddings=stored)
    for query in (stored[3], stored[60], stored[500]):
        assert [hit.id for hit in docs.search(query, exact=True)] == [hit.id for hit in memory.search(query)]
        assert len(docs.search(query, 30, exact=False)) == 30


def test_quantization_beyond_its_dimensions_is_refused(store: VectorStore) -> None:
    """9.2 Nothing is made; without it, the collection has the index that its dimension allows."""
    with pytest.raises(UnsupportedError, match="4,000"):
        store.create_collection("docs", dimension=4001, index=HNSW(quantization="half"))
    assert store.list_collections() == []
    docs = store.create_collection("docs", dimension=4001)
    with pytest.raises(UnsupportedError, match="4,000"):
        docs.create_index(IVFFlat(quantization="half"))
    assert docs.info().spec.index == HNSW()
