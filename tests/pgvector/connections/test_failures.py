"""What goes wrong on the server in the middle of a call: typed errors that say what to do, nothing half-written."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from vectorkit import (
    BackendError,
    BackendPermissionError,
    BackendTimeoutError,
    BackendUnavailableError,
    Collection,
    Record,
    VectorStore,
)
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.embedded.server import EmbeddedServer

Connection = psycopg.Connection[Any]

TRIGGER = """
CREATE SEQUENCE {schema}.attempts;
CREATE FUNCTION {schema}.on_write() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('{schema}.attempts') <= {failing} THEN
            PERFORM {failure};
        END IF;
        RETURN NEW;
    END
$$;
"""
BEFORE_THE_ROW = "CREATE TRIGGER failing BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.on_write()"
AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER failing AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION {schema}.on_write()"
)
LOSE_THE_CONNECTION = "pg_terminate_backend(pg_backend_pid(), 5000)"


@pytest.fixture
def docs(store: VectorStore) -> Collection:
    """An empty collection."""
    return store.create_collection("docs", dimension=2, index="none")


@pytest.fixture
def fail(admin: Connection, docs: Collection, schema: str) -> Callable[..., None]:
    """Makes the first `failing` rows that are written from now on fail, in their statement or when it is committed."""

    def fail(failing: int, failure: str = LOSE_THE_CONNECTION, trigger: str = BEFORE_THE_ROW) -> None:
        admin.execute(TRIGGER.format(schema=schema, failing=failing, failure=failure).encode())
        admin.execute(trigger.format(table=docs.info().location, schema=schema).encode())

    return fail


def attempts(admin: Connection, schema: str) -> int:
    row = admin.execute(f"SELECT last_value FROM {schema}.attempts".encode()).fetchone()
    assert row is not None
    return int(row[0])


def stream(count: int, pause: float = 0) -> Iterator[Record]:
    for number in range(count):
        if number == count - 100:
            time.sleep(pause)
        yield Record(f"{number:06}", embedding=[1, number])


# --- a lost connection ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["add", "upsert"])
def test_a_write_that_was_not_to_be_committed_yet_runs_again(
    docs: Collection, fail: Callable[..., None], admin: Connection, schema: str, method: str
) -> None:
    """3.7 The server ended its connection in the middle: it can have written nothing, so it is run once more."""
    fail(1)
    getattr(docs, method)(ids=["a"], embeddings=[[1, 2]])
    assert docs.count() == 1
    assert attempts(admin, schema) == 2


def test_it_runs_again_once(docs: Collection, fail: Callable[..., None], admin: Connection, schema: str) -> None:
    """8.1 And says then that the server ended the connection."""
    fail(1000)
    with pytest.raises(BackendUnavailableError, match="ended this connection: call again"):
        docs.add(ids=["a"], embeddings=[[1, 2]])
    assert docs.count() == 0
    assert attempts(admin, schema) == 2


def test_a_stream_that_was_read_does_not_run_again(
    docs: Collection, fail: Callable[..., None], admin: Connection, schema: str
) -> None:
    """3.7 What was read of it is gone."""
    fail(1)
    with pytest.raises(BackendUnavailableError):
        docs.add(records=stream(3000))
    assert docs.count() == 0
    assert attempts(admin, schema) == 1


def test_a_lost_commit_does_not_run_again(
    docs: Collection, fail: Callable[..., None], admin: Connection, schema: str
) -> None:
    """3.7 It may have been carried out; only the caller can tell what to do then."""
    fail(1, trigger=AT_COMMIT)
    with pytest.raises(BackendUnavailableError):
        docs.upsert(ids=["a"], embeddings=[[1, 2]])
    assert docs.count() == 0
    assert attempts(admin, schema) == 1


def test_in_the_callers_transaction_nothing_runs_again(
    docs: Collection, fail: Callable[..., None], admin: Connection, schema: str, postgres_url: str
) -> None:
    """3.7 What the caller did before the call is lost too."""
    fail(1)
    with psycopg.connect(postgres_url) as connection:
        mine = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
        with pytest.raises(BackendUnavailableError):
            mine.add(ids=["a"], embeddings=[[1, 2]])
        assert connection.closed
    assert attempts(admin, schema) == 1
    assert docs.count() == 0


def test_a_scan_goes_on_after_its_connections_were_lost(docs: Collection, admin: Connection) -> None:
    """4.3 Between two of its pages; none is read twice."""
    docs.add(records=stream(300))
    seen: list[str] = []
    for record in docs.scan(batch_size=100):
        if len(seen) % 100 == 50:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'vectorkit'"
            )
        seen.append(record.id)
    assert seen == [record.id for record in stream(300)]


# --- timeouts ---------------------------------------------------------------------------------------------------


def test_a_write_that_takes_too_long_leaves_nothing(
    docs: Collection, fail: Callable[..., None], postgres_url: str, schema: str
) -> None:
    """8.1 `statement_timeout` is the caller's to set, and is not tried again."""
    fail(1, "pg_sleep(30)")
    url = make_conninfo(postgres_url, options="-c statement_timeout=300")
    with VectorStore(PgVectorBackend(url, schema=schema)) as impatient:
        theirs = impatient.get_collection("docs")
        with pytest.raises(BackendTimeoutError, match="raise statement_timeout"):
            theirs.add(ids=["a"], embeddings=[[1, 2]])
        assert theirs.count() == 0
        theirs.add(ids=["a"], embeddings=[[1, 2]])
        assert docs.count() == 1


@pytest.mark.parametrize("method", ["add", "upsert"])
def test_an_input_that_is_too_slow_leaves_nothing(
    docs: Collection, postgres_url: str, schema: str, method: str
) -> None:
    """8.3 The server ends a transaction that waits for longer than a setting allows, which the message names."""
    url = make_conninfo(postgres_url, options="-c idle_in_transaction_session_timeout=200")
    with VectorStore(PgVectorBackend(url, schema=schema)) as impatient:
        theirs = impatient.get_collection("docs")
        with pytest.raises(BackendTimeoutError, match="raise idle_in_transaction_session_timeout"):
            getattr(theirs, method)(records=stream(3100, pause=1))
        assert theirs.count() == 0
        getattr(theirs, method)(records=stream(3100))
    assert docs.count() == 3100


# --- a server of the test's own ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a server of the test's own keeps its data."""
    return tmp_path_factory.mktemp("server") / "pg"


def stopped(folder: Path) -> Path:
    """The data of a server, once it is down."""
    deadline = time.monotonic() + 20
    while (folder / "data" / "postmaster.pid").exists():
        assert time.monotonic() < deadline, "the server does not stop"
        time.sleep(0.02)
    return folder / "data"


@pytest.mark.parametrize("method", ["add", "upsert"])
def test_a_full_disk_is_named_and_leaves_nothing(folder: Path, method: str) -> None:
    """8.3 The table's file is Linux's `/dev/full` for a while, on which every write fails as on a full disk."""
    with EmbeddedServer.start(folder) as server:
        with VectorStore(PgVectorBackend(server.conninfo)) as store:
            table = store.create_collection("docs", dimension=2, index="none").info().location
        with psycopg.connect(server.conninfo) as connection:
            row = connection.execute("SELECT pg_relation_filepath(%s)", [table]).fetchone()
            assert row is not None
        file = server.path / "data" / row[0]
        kept = file.with_suffix(".kept")
        file.rename(kept)
        file.symlink_to("/dev/full")
        with VectorStore(PgVectorBackend(server.conninfo)) as store:
            docs = store.get_collection("docs")
            with pytest.raises(BackendError, match="disk is full: free space there; the call wrote nothing"):
                getattr(docs, method)(ids=["a", "b"], embeddings=[[1, 2], [2, 1]])
        file.unlink()
        kept.rename(file)
        with VectorStore(PgVectorBackend(server.conninfo)) as store:
            docs = store.get_collection("docs")
            assert docs.count() == 0
            assert getattr(docs, method)(ids=["a"], embeddings=[[1, 2]]) == ["a"]
            assert docs.count() == 1


def test_a_replica_reads_and_says_where_to_write(folder: Path) -> None:
    """8.3 A hot standby: a server in recovery, which takes no write at all."""
    with EmbeddedServer.start(folder) as server, VectorStore(PgVectorBackend(server.conninfo)) as store:
        docs = store.create_collection("docs", dimension=2)
        docs.add(ids=["a"], documents=["text"], embeddings=[[1, 2]], metadatas=[{"x": 1}])
    data = stopped(folder)
    signal = data / "standby.signal"
    signal.touch()
    shutil.chown(signal, data.stat().st_uid, data.stat().st_gid)
    with EmbeddedServer.start(folder) as server, VectorStore(PgVectorBackend(server.conninfo)) as store:
        with psycopg.connect(server.conninfo) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        replica = store.get_collection("docs")
        assert replica.search([1, 2], where={"x": 1})[0].document == "text"
        assert [record.id for record in replica.scan()] == ["a"]
        assert replica.count() == 1
        for write in (
            lambda: replica.add(ids=["b"], embeddings=[[1, 2]]),
            lambda: replica.add(records=stream(2500)),
            lambda: replica.upsert(ids=["b"], embeddings=[[1, 2]]),
            lambda: replica.update(ids=["a"], metadatas=[{}]),
            lambda: replica.delete(["a"]),
            lambda: replica.create_index(),
            lambda: store.create_collection("more", dimension=2),
            lambda: store.drop_collection("docs"),
        ):
            with pytest.raises(BackendPermissionError, match="connect to the primary server"):
                write()
    (stopped(folder) / "standby.signal").unlink()
    with EmbeddedServer.start(folder) as server, VectorStore(PgVectorBackend(server.conninfo)) as store:
        assert store.get_collection("docs").get()[0].metadata == {"x": 1}
