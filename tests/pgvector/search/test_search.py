"""Search: what the index finds, what it does not, and that no answer is the poorer for it."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from vectorkit import Collection, Hit, IVFFlat, MemoryBackend, Metric, VectorStore, filters
from vectorkit.backend.requests import VectorSearch
from vectorkit.ranking import measure, score_of
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.search import plan_cache
from vectorkit_pgvector.search.vectors import index_settings
from vectorkit_pgvector.sql import search as search_sql
from vectorkit_pgvector.sql.codec import Binary, BinaryDumper
from vectorkit_pgvector.sql.tables import Facts, Statement, Table

Connection = psycopg.Connection[Any]
COUNT = 6000


def clustered(count: int, dimension: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(60, dimension))
    vectors: FloatArray = (centres[rng.integers(60, size=count)] + 0.6 * rng.normal(size=(count, dimension))).astype(
        np.float32
    )
    return vectors


@pytest.fixture(scope="module")
def large(postgres_url: str) -> Iterator[Collection]:
    """So many records that a search may use the index."""
    name = "test_large"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
        with VectorStore(PgVectorBackend(postgres_url, schema=name)) as store:
            docs = store.create_collection("docs", dimension=16)
            docs.add(
                ids=[f"{number:06}" for number in range(COUNT)],
                documents=[f"document {number} about {'cats' if number % 2 else 'dogs'}" for number in range(COUNT)],
                embeddings=clustered(COUNT, 16, seed=1),
                metadatas=[
                    {"number": number, "tenth": number % 10, "kind": f"k{number % 1000}"} for number in range(COUNT)
                ],
            )
            admin.execute(f"ANALYZE {docs.info().location}".encode())
            yield docs
        admin.execute(f"DROP SCHEMA {name} CASCADE".encode())


@pytest.fixture(scope="module")
def reference(large: Collection) -> Collection:
    """The same records in memory."""
    docs = VectorStore(MemoryBackend()).create_collection("docs", dimension=16)
    docs.add(records=large.get(include_embeddings=True))
    return docs


def numbers(hits: list[Hit]) -> list[tuple[str, float | None, float]]:
    return [(hit.id, hit.distance, hit.score) for hit in hits]


def plan(connection: Connection, statement: Statement) -> str:
    cursor = psycopg.RawCursor(connection, row_factory=tuple_row)
    cursor.adapters.register_dumper(Binary, BinaryDumper)
    text = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) {statement.text}"
    return "\n".join(line for (line,) in cursor.execute(text.encode(), statement.parameters).fetchall())


def table_of(docs: Collection, connection: Connection) -> Table:
    row = connection.execute("SELECT oid FROM pg_type WHERE typname = 'vector'").fetchone()
    assert row is not None
    return Table(docs.info().location, docs.info().spec, Facts((0, 8, 0), "public", row[0]))


def test_the_default_search_uses_the_index_above_the_limit(large: Collection, admin: Connection) -> None:
    """6.7 In one statement: the exact branch is not begun, and the other way round where few records match."""
    query = clustered(1, 16, seed=2)[0]
    table = table_of(large, admin)
    for name, value in index_settings(10).items():
        admin.execute("SELECT set_config(%s, %s, false)", [name, value])
    many = plan(admin, search_sql.exact_or_index(table, query, 14, 10, 14, embeddings=False))
    assert "Index Scan using" in many
    assert "embedding_idx" in many
    assert "Tid Scan" not in many.replace("Tid Scan on", "never") or "(never executed)" in many
    where = filters.parse({"kind": "k7"})
    few = plan(admin, search_sql.exact_if_few(table, query, where, 14))
    assert "metadata_idx" in few
    scan = next(line for line in few.splitlines() if "Bitmap Heap Scan" in line)
    assert "actual rows=6" in scan
    assert "embedding_idx" not in few


@pytest.mark.parametrize("exact", [None, True, False])
def test_operators_that_a_user_defined_are_not_used(
    large: Collection, reference: Collection, postgres_url: str, schema: str, exact: bool | None
) -> None:
    """6.2 Which fit an integer better than PostgreSQL's own."""
    path = make_conninfo(postgres_url, options=f"-c search_path={schema},public")
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
        wrong = f"{schema}.wrong(float8, int) RETURNS float8 IMMUTABLE LANGUAGE sql AS 'SELECT 5.0::float8'"
        admin.execute(f"CREATE FUNCTION {wrong}".encode())
        for name in "^/*+-":
            sides = f"LEFTARG = float8, RIGHTARG = int, FUNCTION = {schema}.wrong"
            admin.execute(f"CREATE OPERATOR {schema}.{name} ({sides})".encode())
    with VectorStore(PgVectorBackend(path, schema="test_large")) as store:
        docs = store.get_collection("docs")
        for where in (None, {"tenth": {"$ne": 3}}):
            query = clustered(1, 16, seed=15)[0]
            found, expected = (each.search(query, 10, where=where, exact=exact) for each in (docs, reference))
            assert [hit.id for hit in found] == [hit.id for hit in expected]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=5e-7)


def test_an_exact_search_passes_the_index_by(large: Collection, admin: Connection) -> None:
    """6.7 Beside an index, for every metric's operator."""
    table = table_of(large, admin)
    shown = plan(admin, search_sql.exact(table, clustered(1, 16, seed=2)[0], None, 14))
    assert "embedding_idx" not in shown
    assert "Seq Scan" in shown


@pytest.mark.parametrize(
    "where",
    [
        None,
        {"kind": "k7"},  # 0.1%
        {"number": {"$lt": 60}},  # 1%, no index serves it
        {"tenth": 3},  # 10%
        {"tenth": {"$ne": 3}},
        {"$or": [{"kind": "k7"}, {"number": {"$gte": 5990}}]},
    ],
)
@pytest.mark.parametrize("exact", [None, True, False])
def test_k_come_back_and_are_what_they_say(
    large: Collection, reference: Collection, where: dict[str, Any] | None, exact: bool | None
) -> None:
    """6.1, 6.2, 6.5 Whatever is left by the filter; exact searches equal the reference to the last bit (6.7)."""
    for query in clustered(6, 16, seed=3):
        for k in (1, 10, 300):
            found = large.search(query, k, where=where, exact=exact)
            expected = reference.search(query, k, where=where)
            assert len(found) == len(expected)
            if exact or (exact is None and large.count(where) <= 2000):
                assert numbers(found) == numbers(expected)
            else:
                scored = {hit.id: hit.score for hit in reference.search(query, COUNT, where=where)}
                assert [hit.score for hit in found] == pytest.approx([scored[hit.id] for hit in found], abs=5e-7)
                assert [(hit.distance, hit.id) for hit in found] == sorted((hit.distance, hit.id) for hit in found)


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("dimension", [3, 2000])
def test_distances_of_what_the_index_gives_are_right_whatever_the_vectors(
    store: VectorStore, metric: Metric, dimension: int
) -> None:
    """6.2, 6.5 Made so that roundings add up: numbers all positive and nearly equal, opposite, far apart in norm."""
    rng = np.random.default_rng(18)
    alike = 1 + 1e-3 * rng.random((700, dimension))
    unlike = rng.normal(size=(700, dimension))
    lengths = 10.0 ** rng.uniform(-8, 12, size=(700, 1))
    stored = np.concatenate([alike, -alike, unlike, lengths * alike]).astype(np.float32)
    docs = store.create_collection("docs", dimension=dimension, metric=metric, index=IVFFlat(lists=2, probes=2))
    docs.add(ids=[f"{number:04}" for number in range(len(stored))], embeddings=stored)
    assert not docs.explain(stored[5], 2800, exact=False).exact
    norms = np.linalg.norm(stored.astype(np.float64), axis=1)
    for query in (stored[5], stored[1500], stored[2200], 3 * stored[1500]):
        found = docs.search(query, 2800, exact=False)
        assert len(found) == 2800
        rows = [int(hit.id) for hit in found]
        distances, _ = measure(metric, query, stored[rows])
        asked = float(np.linalg.norm(query.astype(np.float64)))
        scales = {"cosine": np.ones(len(rows)), "l2": asked + norms[rows], "ip": asked * norms[rows]}[metric]
        errors = np.abs(np.array([hit.distance for hit in found]) - distances)
        assert (errors <= 4.8e-7 * scales).all()
        assert [hit.score for hit in found] == [score_of(metric, hit.distance or 0.0) for hit in found]
        if metric == "cosine":
            assert all(0 <= (hit.distance or 0.0) <= 2 for hit in found)
    hit, *_ = docs.search(unlike[3].astype(np.float32), 1, exact=False, include_embeddings=True)
    assert hit.embedding is not None
    if metric != "ip":
        assert hit.distance == 0
        assert np.array_equal(hit.embedding, stored[1403])


@pytest.mark.parametrize("exact", [None, True, False])
def test_typed_columns_of_any_name_are_not_mistaken_for_ours(store: VectorStore, exact: bool | None) -> None:
    """6.2 Such as the search has names for."""
    names = ["key", "place", "total", "number", "few", "stored", "nearest", "distance"]
    docs = store.create_collection("docs", dimension=8, columns=dict.fromkeys(names, int))
    vectors = clustered(2100, 8, seed=14)
    docs.add(
        ids=[f"{number:04}" for number in range(2100)],
        embeddings=vectors,
        metadatas=[dict.fromkeys(names, 2100 - number) for number in range(2100)],
    )
    for where in (None, {"key": {"$gt": 5}}, {"place": 7}):
        for query in (vectors[3], vectors[2093]):
            found = docs.search(query, 10, where=where, exact=exact)
            assert numbers(found) == numbers(sorted(found, key=lambda hit: (hit.distance or 0.0, hit.id)))
            assert all(hit.metadata == dict.fromkeys(names, 2100 - int(hit.id)) for hit in found)
            assert len(found) == (1 if where == {"place": 7} else 10)


def test_a_table_that_was_large_a_moment_ago_is_seen_to_be_small(
    store: VectorStore, postgres_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.7 At once after deletes of this store, a tenth of a second after those of others."""
    docs = store.create_collection("docs", dimension=8)
    vectors = clustered(2300, 8, seed=13)
    ids = [f"{number:04}" for number in range(2300)]
    docs.add(ids=ids, embeddings=vectors)

    def exact() -> bool:
        (found,) = store.backend.search(docs.info(), VectorSearch(vectors[:1], 10))
        assert len(found.hits) == 10
        return found.exact

    with monkeypatch.context() as patch:
        patch.setattr(plan_cache, "_LASTS", 60.0)
        assert [exact(), exact()] == [False, False]
        docs.delete(ids[:150])
        assert not exact()
        docs.delete(ids[150:300])
        assert exact()
    docs.add(ids=ids[:300], embeddings=vectors[:300])
    assert [exact(), exact()] == [False, False]
    with VectorStore(PgVectorBackend(postgres_url, schema=schema)) as other:
        other.get_collection("docs").delete(ids[:300])
    time.sleep(0.11)
    assert exact()


def test_a_filter_that_matched_many_records_a_moment_ago_is_seen_to_match_few(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.7 At once after changes by this store; a filter is told from one that Python takes for equal."""
    monkeypatch.setattr(plan_cache, "_LASTS", 60.0)
    docs = store.create_collection("docs", dimension=8)
    vectors = clustered(2310, 8, seed=13)
    ids = [f"{number:04}" for number in range(2310)]
    docs.add(ids=ids, embeddings=vectors, metadatas=[{"on": 1}] * 2300 + [{"on": True}] * 10)

    def exact(on: int) -> bool:
        (found,) = store.backend.search(docs.info(), VectorSearch(vectors[:1], 10, filters.parse({"on": on})))
        assert len(found.hits) == 10
        return found.exact

    assert [exact(1), exact(1), exact(True)] == [False, False, True]
    docs.update(ids=ids[:150], metadatas=[{"on": 0}] * 150)
    assert not exact(1)
    docs.update(ids=ids[150:300], metadatas=[{"on": 0}] * 150)
    assert exact(1)
    docs.upsert(ids=ids[:300], embeddings=vectors[:300], metadatas=[{"on": 1}] * 300)
    assert [exact(1), exact(1)] == [False, False]
    docs.upsert(ids=ids[:300], embeddings=vectors[:300])
    assert exact(1)


def test_the_nearest_records_answer_a_filter_that_many_of_them_match(
    large: Collection, reference: Collection, postgres_url: str
) -> None:
    """6.7 The index is asked for the nearest of all."""
    where: dict[str, Any] = {"tenth": {"$ne": 3}}
    by_index = make_conninfo(postgres_url, options="-c enable_seqscan=off")  # which is quicker for so few records
    backend = PgVectorBackend(by_index, schema="test_large")
    docs = VectorStore(backend).get_collection("docs")
    for query in clustered(5, 16, seed=15):
        explained = docs.explain(query, 10, where=where)
        assert explained.index is not None
        assert not explained.exact
        assert explained.rows_scanned < 3000  # 2,001 of them to see that there are so many
        found, expected = docs.search(query, 10, where=where), reference.search(query, 10, where=where)
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=5e-7)
    backend.close()


def test_what_the_index_gives_for_a_filter_is_sorted_whole(large: Collection) -> None:
    """6.4 A scan that goes on until there are enough is not quite in order, though PostgreSQL takes it to be."""
    explained = large.explain(clustered(1, 16, seed=15)[0], 10, where={"number": {"$lt": 300}}, exact=False)
    assert explained.index is not None
    assert "Sort" in explained.plan
    assert "Incremental Sort" not in explained.plan


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("exact", [None, False])
def test_where_none_of_the_nearest_match_the_filter_others_are_found(
    postgres_url: str, schema: str, partitions: int, exact: bool | None
) -> None:
    """6.1, 6.7 However many records match it elsewhere."""
    with VectorStore(PgVectorBackend(postgres_url, schema=schema, partitions=partitions)) as store:
        docs = store.create_collection("docs", dimension=8)
        here, there = clustered(2500, 8, seed=16) / 20 + 1, clustered(2500, 8, seed=17) / 20 - 1
        docs.add(
            ids=[f"{number:04}" for number in range(5000)],
            embeddings=np.concatenate([here, there]),
            metadatas=[{"side": "here"}] * 2500 + [{"side": "there"}] * 2500,
        )
        for side in ("here", "there"):
            found = docs.search(here[0], 10, where={"side": side}, exact=exact)
            expected = docs.search(here[0], 10, where={"side": side}, exact=True)
            assert len(found) == 10
            assert all(hit.metadata == {"side": side} for hit in found)
            assert len({hit.id for hit in found} & {hit.id for hit in expected}) >= 9


SELECTIVE: list[Any] = [
    *({"tenth": "t3"}, {"hundredth": "h7"}, {"kind": "k7"}),  # a string: 10%, 1%, 0.1%
    *({"number": {"$lt": 600}}, {"number": {"$gte": 5940}}, {"number": {"$in": [1, 5, 9, 4000, 5999, 17]}}),
    *({"tags": {"$contains": 3}}, {"tags": {"$contains": "h7"}}, {"tags": {"$contains": "k7"}}),
    *({"$or": [{"tenth": "t3"}, {"tenth": "t4"}]}, {"$or": [{"kind": "k7"}, {"kind": "k8"}, {"number": -1}]}),
    *({"$not": {"number": {"$gte": 600}}}, {"$not": {"$or": [{"number": {"$gt": 5}}, {"tenth": None}]}}),
    *({"$document": " 33"}, {"$document": "about c"}, {"$document": "of nothing"}),
]


@pytest.mark.parametrize("mode", ["auto", "force_generic_plan", "force_custom_plan"])
def test_a_selective_filter_never_comes_back_short(
    selective: tuple[Collection, Collection], postgres_url: str, mode: str
) -> None:
    """6.1, 6.7 Whatever plan PostgreSQL keeps for a statement that was prepared, for every kind of filter."""
    docs, reference = selective
    schema = docs.info().location.split('"')[1]
    queries = clustered(2, 16, seed=12)
    with psycopg.connect(postgres_url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute(f"SET plan_cache_mode = {mode}".encode())
        mine = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
        shares: list[float] = []
        for filter in SELECTIVE:
            text = filter.get("$document")
            arguments: dict[str, Any] = {"where": filter} if text is None else {"where_document": {"$contains": text}}
            matching = reference.count(**arguments)
            for query in queries:
                everything = reference.search(query, 10_000, **arguments)
                assert len(everything) == matching
                for k, exact in ((10, None), (10, False), (1000, None), (10_000, None), (10_000, False)):
                    found = mine.search(query, k, exact=exact, **arguments)
                    assert len(found) == min(k, matching), (filter, k, exact)
                    if matching <= 2000 and exact is None:
                        assert numbers(found) == numbers(everything[:k])
                    elif k == 10 and matching:
                        near = {hit.id for hit in everything[:k]}
                        shares.append(len({hit.id for hit in found} & near) / len(near))
    assert np.mean(shares) >= 0.99


@pytest.fixture(scope="module")
def selective(postgres_url: str) -> Iterator[tuple[Collection, Collection]]:
    """Records that strings, numbers, lists and documents tell apart; the same in memory."""
    name = "test_selective"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
        with VectorStore(PgVectorBackend(postgres_url, schema=name)) as store:
            docs = store.create_collection("docs", dimension=16)
            reference = VectorStore(MemoryBackend()).create_collection("docs", dimension=16)
            shuffled = np.random.default_rng(11).permutation(COUNT).tolist()
            for each in (docs, reference):
                each.add(
                    ids=[f"{number:06}" for number in range(COUNT)],
                    documents=[f"document {n} about {'cats' if n % 2 else 'dogs'}" for n in shuffled],
                    embeddings=clustered(COUNT, 16, seed=11),
                    metadatas=[
                        {
                            "number": n,
                            "tenth": f"t{n % 10}",
                            "hundredth": f"h{n % 100}",
                            "kind": f"k{n % 1000}",
                            "tags": [n % 10, f"h{n % 100}", f"k{n % 1000}"],
                        }
                        for n in shuffled
                    ],
                )
            admin.execute(f"ANALYZE {docs.info().location}".encode())
            yield docs, reference
        admin.execute(f"DROP SCHEMA {name} CASCADE".encode())


def test_deleting_the_nearest_leaves_no_gap(store: VectorStore) -> None:
    """6.1 Dead entries of the index, not yet vacuumed, do not count."""
    docs = store.create_collection("docs", dimension=8)
    vectors = clustered(2500, 8, seed=4)
    docs.add(ids=[f"{number:04}" for number in range(2500)], embeddings=vectors)
    for exact in (None, False):
        nearest = [hit.id for hit in docs.search(vectors[0], k=45, exact=True)]
        assert docs.delete(nearest[:40]) == 40
        found = [hit.id for hit in docs.search(vectors[0], k=10, exact=exact)]
        assert len(found) == 10
        assert nearest[40] in found


def test_many_identical_vectors_lose_no_other(store: VectorStore) -> None:
    """6.1 The graph of an index falls apart where most vectors are the same; then all records are compared."""
    docs = store.create_collection("docs", dimension=4)
    others = clustered(100, 4, seed=5)
    vectors = np.concatenate([np.ones((2400, 4), dtype=np.float32), others])
    docs.add(ids=[f"{number:04}" for number in range(2500)], embeddings=vectors)
    for exact in (None, False):
        for k in (10, 2450, 2500, 9999):
            assert len({hit.id for hit in docs.search(others[0], k, exact=exact)}) == min(k, 2500)


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_ties_at_the_cut_go_to_the_smallest_ids(store: VectorStore, metric: Metric) -> None:
    """6.4 Identical and parallel vectors, more than are fetched at first; each k is the beginning of the next."""
    rng = np.random.default_rng(6)
    directions = rng.normal(size=(3, 8)).astype(np.float32)
    scales = 2.0 ** rng.integers(-2, 3, size=(900, 1))
    vectors: FloatArray = (directions[rng.integers(3, size=900)] * scales).astype(np.float32)
    ids = [f"{number:03}" for number in rng.permutation(900)]
    memory = VectorStore(MemoryBackend()).create_collection("docs", dimension=8, metric=metric)
    docs = store.create_collection("docs", dimension=8, metric=metric)
    for collection in (memory, docs):
        collection.add(ids=ids, embeddings=vectors)
    for k in (1, 2, 7, 50, 299, 899, 900):
        assert numbers(docs.search(directions[0], k)) == numbers(memory.search(directions[0], k))


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_what_float32_cannot_tell_apart_is_told_apart(store: VectorStore, metric: Metric) -> None:
    """6.4 Vectors nearer to each other than the server's rounding, and norms from 1e-10 to 1e14."""
    rng = np.random.default_rng(7)
    base = rng.normal(size=16)
    near = base + rng.choice([0.0, 1e-7, 3e-7], size=(500, 16))
    far = rng.normal(size=(500, 16)) * 10.0 ** rng.uniform(-10, 14, size=(500, 1))
    vectors: FloatArray = np.concatenate([near, far]).astype(np.float32)
    memory = VectorStore(MemoryBackend()).create_collection("docs", dimension=16, metric=metric)
    docs = store.create_collection("docs", dimension=16, metric=metric, index="none")
    for collection in (memory, docs):
        collection.add(ids=[f"{number:03}" for number in range(1000)], embeddings=vectors)
    for query in (base, near[1], far[1], far[2]):
        for k in (1, 5, 100, 501):
            assert numbers(docs.search(query, k)) == numbers(memory.search(query, k))


def test_many_queries_equal_single_ones(large: Collection) -> None:
    """6.8 Filtered and not, exact and not."""
    queries = clustered(5, 16, seed=8)
    cases: list[dict[str, Any]] = [{}, {"exact": True}, {"where": {"tenth": 1}}]
    for arguments in cases:
        many = large.search_many(queries, 5, **arguments)
        assert [numbers(hits) for hits in many] == [numbers(large.search(query, 5, **arguments)) for query in queries]


def test_settings_of_a_search_do_not_stay_behind(large: Collection, postgres_url: str) -> None:
    """6.7 A search for many hits widens the index scan for itself alone."""
    query = clustered(1, 16, seed=9)[0]
    backend = PgVectorBackend(postgres_url, schema="test_large")
    docs = VectorStore(backend).get_collection("docs")
    before = numbers(docs.search(query, 10))
    assert len(docs.search(query, 900)) == 900
    with backend._sessions._source.connection() as connection:  # pyright: ignore[reportPrivateUsage]
        shown = connection.execute("SHOW hnsw.ef_search").fetchone()
    assert shown == (index_settings(10)["hnsw.ef_search"],)
    assert numbers(docs.search(query, 10)) == before
    backend.close()


def test_above_four_thousand_dimensions_only_cosine_has_an_index(store: VectorStore) -> None:
    """6.7 Under l2 and ip every search is exact; the collection can be made all the same."""
    docs = store.create_collection("docs", dimension=4001, metric="l2")
    vectors = clustered(30, 4001, seed=10)
    docs.add(ids=[f"{number:02}" for number in range(30)], embeddings=vectors)
    (found,) = store.backend.search(docs.info(), VectorSearch(vectors[:1], 3, exact=False))
    assert found.exact
    assert found.hits[0].id == "00"


def test_several_queries_can_follow_a_stream_on_one_connection(postgres_url: str) -> None:
    """6.8 A scan has rows sent in parts; the pipeline after it, on the same connection of the pool, has them whole."""
    with VectorStore(PgVectorBackend(postgres_url)) as store:
        docs = store.create_collection("after-a-stream", dimension=2)
        docs.add(ids=[f"{at:04}" for at in range(3000)], embeddings=[[1, at] for at in range(3000)])
        for read in (list(docs.scan()), [next(docs.scan(batch_size=500))]):
            assert read[0].id == "0000"
            found = docs.search_many([[1, 0], [1, 5], [1, 9]], 3, exact=True)
            assert [hits[0].id for hits in found] == ["0000", "0005", "0009"]
        store.drop_collection("after-a-stream")
