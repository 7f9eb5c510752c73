"""A collection of which one partition lies on a second server, joined by `postgres_fdw` as docs/SCALING.md says.

The recipe of that page is what is run here, statement by statement, for servers of the test's own.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import psycopg
import pytest

from vectorkit import (
    BackendUnavailableError,
    Collection,
    DuplicateIdError,
    InvalidVectorError,
    MemoryBackend,
    Record,
    VectorStore,
    filters,
)
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.embedded.server import EmbeddedServer
from vectorkit_pgvector.search.vectors import index_settings
from vectorkit_pgvector.sql import search as search_sql
from vectorkit_pgvector.sql.tables import Facts, Layout, Statement, Table

Connection = psycopg.Connection[Any]

PAGE: Final = Path(__file__).parents[3] / "docs" / "SCALING.md"
DIMENSION: Final = 384
COUNT: Final = 4500
FILTERS: Final[list[dict[str, Any]]] = [
    {},
    {"third": 1},
    {"third": {"$in": [0, 2]}, "n": {"$lt": 300}},
    {"$not": {"n": {"$gte": 12}}},
    {"missing": None, "n": {"$gt": COUNT - 9}},
    {"tags": {"$contains": "t3"}, "n": {"$exists": True}},
    {"n": COUNT},
]


class Servers(NamedTuple):
    """The two of them, each by its superuser's connection, in autocommit mode."""

    url: str
    first: Connection
    second: Connection


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    with (
        EmbeddedServer.start(folder / "first") as first,
        EmbeddedServer.start(folder / "second") as second,
        psycopg.connect(first.conninfo, autocommit=True) as one,
        psycopg.connect(second.conninfo, autocommit=True) as two,
    ):
        row = two.execute("SHOW hba_file").fetchone()
        assert row is not None
        access = Path(row[0])  # such a server lets in its owner alone; the other server shall come with a password
        access.write_text(f"local all vectorkit scram-sha-256\n{access.read_text()}")
        two.execute("SELECT pg_reload_conf()")
        yield Servers(first.conninfo, one, two)


def recipe(servers: Servers) -> list[str]:
    """The blocks of SQL of the page, for the test's second server."""
    blocks = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [block.replace("second.example", servers.second.info.host) for block in blocks]


def vectors(count: int, seed: int = 1) -> FloatArray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(60, DIMENSION))
    noise = 0.6 * random.normal(size=(count, DIMENSION))
    made: FloatArray = (centres[random.integers(60, size=count)] + noise).astype(np.float32)
    return made


def rows(start: int, end: int) -> dict[str, Any]:
    numbers = range(start, end)
    return {
        "ids": [f"{number:06}" for number in numbers],
        "embeddings": vectors(COUNT)[start:end],
        "documents": [f"text {number % 7}" if number % 5 else None for number in numbers],
        "metadatas": [{"third": number % 3, "n": number, "tags": [f"t{number % 9}"]} for number in numbers],
    }


@pytest.fixture(scope="module")
def store(servers: Servers) -> Iterator[VectorStore]:
    """The first server's, with the collection `docs`, whose second partition the recipe has moved."""
    table, move, index = recipe(servers)
    with VectorStore(PgVectorBackend(servers.url, partitions=2)) as store:
        store.create_collection("docs", dimension=DIMENSION).add(**rows(0, COUNT))
    servers.second.execute(table.encode())
    servers.first.execute(move.encode())
    servers.second.execute(index.encode())
    with VectorStore(PgVectorBackend(servers.url)) as store:
        yield store


@pytest.fixture
def docs(store: VectorStore) -> Collection:
    return store.get_collection("docs")


@pytest.fixture(scope="module")
def memory() -> Collection:
    collection = VectorStore(MemoryBackend()).create_collection("docs", dimension=DIMENSION)
    collection.add(**rows(0, COUNT))
    return collection


@pytest.fixture
def there(servers: Servers) -> Callable[[], set[str]]:
    """The ids that the second server holds."""

    def ids() -> set[str]:
        return {id for (id,) in servers.second.execute("SELECT id FROM public.vk_docs_1_p1").fetchall()}

    return ids


# --- the same results -------------------------------------------------------------------------------------------


def test_half_of_the_records_lie_on_the_second_server(
    docs: Collection, servers: Servers, there: Callable[[], set[str]]
) -> None:
    """1.3 Both read as one collection, in order of id."""
    assert 0.45 * COUNT < len(there()) < 0.55 * COUNT
    assert servers.first.execute("SELECT relkind FROM pg_class WHERE relname = 'vk_docs_1_p1'").fetchone() == ("f",)
    assert [record.id for record in docs.scan()] == rows(0, COUNT)["ids"]
    assert docs.count() == COUNT


@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_results_are_those_of_one_server(docs: Collection, memory: Collection, where: dict[str, Any]) -> None:
    """6.7, 4.2 Of searches, reads and counts, whatever of the filter the second server is asked for."""
    for query in vectors(3, seed=7):
        found = docs.search(query, 25, where=where, exact=True, include_embeddings=True)
        expected = memory.search(query, 25, where=where, exact=True, include_embeddings=True)
        assert [(hit.id, hit.metadata, hit.document) for hit in found] == [
            (hit.id, hit.metadata, hit.document) for hit in expected
        ]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-6)
        assert len(docs.search(query, 25, where=where)) == len(expected)
    ids = rows(40, 80)["ids"][::-1]
    assert docs.get(ids, where=where) == memory.get(ids, where=where)
    assert docs.get(where=where, limit=30, offset=5) == memory.get(where=where, limit=30, offset=5)
    assert docs.count(where) == memory.count(where)
    contains = {"$contains": "text 3"}
    assert docs.count(where, where_document=contains) == memory.count(where, where_document=contains)


def test_recall_over_both_indexes_is_high(docs: Collection) -> None:
    """6.7 Full k of both; by distance, so that ties count as found."""
    found_of_exact = 0
    for query in vectors(40, seed=11):
        farthest = docs.search(query, 10, exact=True)[-1].distance
        assert farthest is not None
        hits = docs.search(query, 10, exact=False)
        assert len(hits) == 10
        found_of_exact += sum(hit.distance is not None and hit.distance <= farthest + 1e-6 for hit in hits)
    assert found_of_exact >= 0.99 * 400


# --- what the second server is asked for ------------------------------------------------------------------------


def plan(servers: Servers, statement: Statement) -> str:
    """What happens when the first server runs a statement."""
    text = f"EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF) {statement.text}"
    session = Session(servers.first, joins=False)
    with session.settings_outside(index_settings(10)):
        return "\n".join(line for (line,) in session.rows(statement._replace(text=text, prepare=False)))


@pytest.fixture
def table(docs: Collection, servers: Servers) -> Table:
    row = servers.first.execute("SELECT 'vector'::regtype::oid").fetchone()
    assert row is not None
    info = docs.info()
    return Table(info.location, info.spec, Facts((0, 8, 0), '"public"', row[0]), Layout(2, unique=False))


def asked(plan: str) -> list[str]:
    """The statements that the second server is sent."""
    return re.findall(r"Remote SQL: (.*)", plan)


def test_the_second_server_searches_its_own_index_and_sends_a_hundred_rows(servers: Servers, table: Table) -> None:
    """6.1 The order of the distances is asked for, and the rest of it is never fetched: the limit is ours."""
    query = vectors(1, seed=5)[0]
    found = plan(servers, search_sql.index(table, query, None, 10, 14, embeddings=False))
    (remote,) = asked(found)
    assert re.search(r" FROM public\.vk_docs_1_p1 ORDER BY \(embedding OPERATOR\(public\.<=>\) '\[.*\]'\)", remote)
    assert "LIMIT" not in remote
    fetched = re.search(r"Foreign Scan on public\.vk_docs_1_p1.*actual rows=(\d+)", found)
    assert fetched is not None
    assert int(fetched[1]) <= 14
    with psycopg.connect(servers.second.info.dsn, user="vectorkit", password="secret") as connection:
        connection.execute("SET enable_seqscan = off")  # which is quicker for so few records
        lines = connection.execute(f"EXPLAIN DECLARE c CURSOR FOR {remote}".encode()).fetchall()
    assert any("Index Scan using vk_docs_1_p1_embedding_idx" in line for (line,) in lines)


def test_distances_are_computed_there_only_if_the_extension_is_declared(servers: Servers, table: Table) -> None:
    """9.1 Without `extensions 'vector'` every row that matches is sent; the results are the same."""
    statement = search_sql.exact(table, vectors(1, seed=5)[0], None, 14)
    with servers.first.transaction(force_rollback=True):
        assert "ORDER BY" in asked(plan(servers, statement))[0]
        servers.first.execute("ALTER SERVER second OPTIONS (DROP extensions)")
        assert "ORDER BY" not in asked(plan(servers, statement))[0]


@pytest.mark.parametrize(
    ("where", "condition"),
    [
        ({"third": 1}, """ WHERE ((metadata @> '{"third": 1}')) ORDER BY"""),
        ({"third": {"$in": [0, 1]}}, " WHERE ((metadata @> ANY ("),
        ({"$not": {"third": 1}}, """ WHERE ((NOT (metadata @> '{"third": 1}'))) ORDER BY"""),
        ({"tags": {"$contains": "t3"}}, """ WHERE ((metadata @> '{"tags": ["t3"]}')) ORDER BY"""),
        ({"n": {"$lt": 40}}, None),
        ({"n": {"$exists": True}}, None),
        ({"n": None}, None),
    ],
    ids=str,
)
def test_of_filters_the_second_server_is_asked_for_equality(
    servers: Servers, table: Table, where: dict[str, Any], condition: str | None
) -> None:
    """9.1 The others have an expression that postgres_fdw does not send: they are decided here."""
    statement = search_sql.exact(table, vectors(1, seed=5)[0], filters.parse(where), 14)
    (remote,) = asked(plan(servers, statement))
    assert (condition in remote) if condition is not None else ("WHERE" not in remote)


# --- writing ----------------------------------------------------------------------------------------------------


def test_writes_reach_both_servers_and_stay_whole(docs: Collection, there: Callable[[], set[str]]) -> None:
    """3.2 to 3.5 As on one; ids that are stored on either are refused."""
    ids = [f"w{number:03}" for number in range(60)]
    docs.add(ids=ids, embeddings=vectors(60), documents=ids)
    stored = there().intersection(ids)
    assert 10 < len(stored) < 50
    for taken in (min(stored), min(set(ids) - stored)):
        with pytest.raises(DuplicateIdError, match=taken):
            docs.add(ids=["new 1", "new 2", "new 3", "new 4", taken], embeddings=vectors(5))
    docs.upsert(ids=ids[:40], embeddings=vectors(40, seed=2), metadatas=[{"v": 2}] * 40)
    docs.update(ids=ids[20:], metadatas=[{"late": True}] * 40, merge=True)
    assert [(record.document, record.metadata) for record in docs.get(ids)] == [
        *[(None, {"v": 2})] * 20,
        *[(None, {"v": 2, "late": True})] * 20,
        *((id, {"late": True}) for id in ids[40:]),
    ]
    np.testing.assert_array_equal(docs.get([ids[3]], include_embeddings=True)[0].embedding, vectors(40, seed=2)[3])
    assert docs.delete(where={"late": True}) == 40
    assert docs.delete(ids) == 20
    assert docs.count() == COUNT
    assert len(there()) < COUNT


def test_a_call_that_fails_half_way_has_written_to_neither(docs: Collection, there: Callable[[], set[str]]) -> None:
    """3.1"""
    before = there()

    def broken() -> Iterator[Record]:
        for number, vector in enumerate(vectors(1500)):
            yield Record(f"b{number}", embedding=vector)
        yield Record("b", embedding=[float("nan")] * DIMENSION)

    for write in (docs.add, docs.upsert):
        with pytest.raises(InvalidVectorError):
            write(records=broken())
    assert docs.count() == COUNT
    assert there() == before


def test_many_writers_of_the_same_new_ids_leave_one_of_each(docs: Collection) -> None:
    """3.3 No index keeps them unique over both servers, so one writer waits for another."""
    ids = [f"s{number}" for number in range(40)]

    def write(writer: int) -> None:
        docs.upsert(ids=ids, embeddings=vectors(40, seed=writer), metadatas=[{"by": writer}] * 40)

    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(write, range(6)))
        found = docs.get(where={"by": {"$gte": 0}})
        assert sorted(record.id for record in found) == sorted(ids)
        assert [record.metadata for record in found] == [found[0].metadata] * 40
        assert docs.delete(ids) == 40


def test_an_index_is_built_here_for_what_lies_here(docs: Collection, servers: Servers) -> None:
    """6.7 That of the second server is its own: it stays as it is, and serves."""
    docs.drop_index()
    assert len(docs.search(vectors(1)[0], 30, exact=False)) == 30
    docs.create_index()
    query = (
        "SELECT indrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON relam"
    )
    built = [
        connection.execute(f"{query} = pg_am.oid WHERE amname = 'hnsw'").fetchall()
        for connection in (servers.first, servers.second)
    ]
    assert built == [[("vk_docs_1_p0",)], [("vk_docs_1_p1",)]]


def test_a_second_server_that_cannot_be_reached_is_an_error_of_its_own_kind(servers: Servers, docs: Collection) -> None:
    """8.2 Nothing is left out in silence; once it is back, so are the results."""
    servers.first.execute("ALTER SERVER second OPTIONS (SET port '1')")
    try:
        with pytest.raises(BackendUnavailableError):
            docs.search(vectors(1)[0], 5)
        with pytest.raises(BackendUnavailableError):
            docs.count()
    finally:
        servers.first.execute("ALTER SERVER second OPTIONS (SET port '5432')")
    assert len(docs.search(vectors(1)[0], 5)) == 5
