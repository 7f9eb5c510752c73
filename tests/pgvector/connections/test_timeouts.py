"""How long a call waits: for a server that is silent, for a lock, and for an index, which takes as long as it takes."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import vectorkit as vk
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.connections.options import Options
from vectorkit_pgvector.connections.sources import OwnPool, RemoteServer

Connection = psycopg.Connection[Any]

AT_EACH_BUILD = """
CREATE FUNCTION at_build() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; END $$;
CREATE EVENT TRIGGER at_build ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION at_build();
"""
QUICK = vk.HNSW(m=2, ef_construction=4)


@pytest.fixture
def mine(database: str) -> Iterator[Connection]:
    """A connection to a database of the test's own, with the collection `docs`."""
    with vk.VectorStore(PgVectorBackend(database)) as store:
        store.create_collection("docs", dimension=2, index=QUICK)
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def many() -> dict[str, Any]:
    return {"ids": [f"{n:05}" for n in range(2001)], "embeddings": [[1.0, n] for n in range(2001)]}


def waiting(connection: Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def until(connection: Connection, count: int) -> None:
    """Wait until so many sessions wait for a lock, at most 20 seconds."""
    deadline = time.monotonic() + 20
    while waiting(connection) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- silence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_url", [True, False])
def test_a_statement_without_an_answer_is_given_up(database: str, mine: Connection, by_url: bool) -> None:
    """8.1 8.3 It is cancelled on the server, and the store works on."""
    with psycopg.connect(database) as other:
        server = f"postgresql://?host={other.info.host}&port={other.info.port}&dbname={other.info.dbname}"
        user = f"&user={other.info.user}" + (f"&password={other.info.password}" if other.info.password else "")
    url = server + user + ("&timeout=0.4" if by_url else "")
    with vk.VectorStore(PgVectorBackend(url, timeout=None if by_url else 0.4)) as store:
        docs = store.get_collection("docs")
        docs.add(ids=["a"], embeddings=[[1, 2]])
        with psycopg.connect(database) as other:
            other.execute(f"LOCK TABLE {docs.info().location}".encode())
            for call in (docs.count, lambda: docs.upsert(ids=["a"], embeddings=[[2, 1]])):
                begun = time.monotonic()
                with pytest.raises(vk.BackendTimeoutError, match=r"no sign of the server for 0\.4 s.* raise timeout"):
                    call()
                assert time.monotonic() - begun < 10
            until(mine, 0)
        assert docs.get(["a"], include_embeddings=True)[0].embedding == pytest.approx([1, 2])
        docs.upsert(ids=["a"], embeddings=[[2, 1]])


def test_a_server_that_accepts_and_is_silent_is_given_up() -> None:
    """8.1 Connecting has a limit too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = PgVectorBackend(f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/db?timeout=1")
        begun = time.monotonic()
        with pytest.raises(vk.BackendUnavailableError, match="cannot be reached"):
            backend.list_collections()
        assert time.monotonic() - begun < 10
        backend.close()


def test_a_host_that_is_gone_is_noticed_by_tcp(database: str) -> None:
    """8.1 Unless the URL has settings of its own for that."""
    url = make_conninfo(database, keepalives_idle=7)
    with closing(OwnPool(lambda: RemoteServer(url), {}, Options(timeout=5))) as pool, pool.connection() as connection:
        found = connection.info.get_parameters()
    assert found["tcp_user_timeout"] == "5000"
    assert found["keepalives_idle"] == "7"
    assert found["keepalives_interval"] == "10"
    assert found["connect_timeout"] == "5"


# --- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("pool_size=0", "pool_size is 1 to 1,000, not 0"),
        ("pool_size=five", "pool_size must be a whole number, got 'five'"),
        ("timeout=0", r"timeout must be 0\.1 to 86,400 seconds, got 0"),
        ("timeout=nan", r"timeout must be 0\.1 to 86,400 seconds, got nan"),
        ("timeout=soon", "timeout must be a number of seconds, got 'soon'"),
        ("timeout=1&timeout=2", "timeout is given twice"),
        ("schema=", "schema must be the name of a schema"),
        ("pooler=maybe", "pooler must be true or false, got 'maybe'"),
        ("partitions=101", "partitions is 1 to 100, not 101"),
        ("poolsize=5", "'poolsize' is unknown; vectorkit's are pool_size, schema, timeout, pooler, partitions"),
    ],
)
@pytest.mark.parametrize("place", ["postgresql://me@host/db", "postgresql+embedded:./folder"])
def test_an_option_of_a_url_that_is_wrong_is_named(place: str, query: str, said: str) -> None:
    """8.3 Before anything is connected to."""
    with pytest.raises(vk.InvalidArgumentError, match=said):
        PgVectorBackend(f"{place}?{query}")


def test_an_option_is_given_once() -> None:
    """8.3 In the URL, or as an argument."""
    with pytest.raises(vk.InvalidArgumentError, match="timeout is given in the URL and as an argument"):
        PgVectorBackend("postgresql://host/db?timeout=5", timeout=6)


def test_options_of_a_url_are_what_the_arguments_are(postgres_url: str, schema: str, admin: Connection) -> None:
    """1.1 `schema` and `partitions`, say, with libpq's own options beside them."""
    info = admin.info
    password = f"&password={info.password}" if info.password else ""
    place = f"postgresql://?host={info.host}&port={info.port}&dbname={info.dbname}&user={info.user}{password}"
    with vk.connect(f"{place}&schema={schema}&partitions=2&pool_size=1&application_name=mine") as store:
        docs = store.create_collection("docs", dimension=2)
        assert schema in docs.info().location
        docs.search_many([[1.0, 2.0]] * 40)
        row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mine'").fetchone()
        assert row == (1,)
    parts = admin.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass", [docs.info().location])
    assert parts.fetchone() == (2,)


# --- building an index ------------------------------------------------------------------------------------------


def test_a_build_is_not_ended_by_statement_timeout(database: str, mine: Connection) -> None:
    """3.7 Nor by the store's own limit: every managed service sets the first one."""
    mine.execute(AT_EACH_BUILD.format(statement="PERFORM pg_sleep(1.5)").encode())
    url = make_conninfo(database, options="-c statement_timeout=1s")
    with vk.VectorStore(PgVectorBackend(url, timeout=0.9)) as store:
        docs = store.get_collection("docs")
        docs.add(**many())
        assert docs.count() == 2001
        docs.reindex()


def test_a_build_that_the_server_ends_leaves_what_was_written(database: str, mine: Connection) -> None:
    """3.7 A later write builds it; until then, every search compares all records."""
    mine.execute(AT_EACH_BUILD.format(statement="RAISE 'no room' USING ERRCODE = 'disk_full'").encode())
    with vk.VectorStore(PgVectorBackend(database)) as store:
        docs = store.get_collection("docs")
        with pytest.warns(UserWarning, match=r"index of 'docs' was not built \(no room\): what was written is kept"):
            docs.add(**many())
        assert docs.count() == 2001
        mine.execute("DROP EVENT TRIGGER at_build")
        docs.upsert(ids=["a"], embeddings=[[1, 2]])
        found = mine.execute("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchone()
        assert found == (1,)


def test_a_second_build_at_the_same_time_is_refused(database: str, mine: Connection) -> None:
    """8.3 It would end in a deadlock; the first one goes on."""
    mine.execute(AT_EACH_BUILD.format(statement="PERFORM pg_advisory_xact_lock_shared(42)").encode())
    with vk.VectorStore(PgVectorBackend(database)) as store, ThreadPoolExecutor(1) as thread:
        large = store.create_collection("large", dimension=2, index="none")
        large.add(**many())
        mine.execute("SELECT pg_advisory_lock(42)")
        first = thread.submit(large.create_index, QUICK)
        try:
            until(mine, 1)
            refused: list[Callable[[], None]] = [lambda: large.create_index(QUICK), large.drop_index]
            for call in refused:
                with pytest.raises(vk.BackendError, match="another call is building or dropping an index of 'large'"):
                    call()
        finally:
            mine.execute("SELECT pg_advisory_unlock(42)")
        first.result()
        large.create_index(QUICK)
        large.drop_index()
