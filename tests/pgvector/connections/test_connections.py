"""Connecting: own pool, the caller's pool, what goes wrong, and what is shown of it."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import vectorkit as vk
from vectorkit import (
    BackendError,
    BackendPermissionError,
    BackendTimeoutError,
    BackendUnavailableError,
    InvalidArgumentError,
    Record,
    VectorStore,
)
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.embedded.server import EmbeddedServer

SECRET = "hunter2-s3cret"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server of the test's own, to be stopped and locked at will."""
    with EmbeddedServer.start(tmp_path_factory.mktemp("server") / "pg") as server:
        yield server


def postmaster(server: EmbeddedServer) -> int:
    return int((server.path / "data" / "postmaster.pid").read_text().split("\n")[0])


def eventually(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the time allowed"
        time.sleep(0.02)


# --- what is given ----------------------------------------------------------------------------------------------


def test_one_of_url_pool_and_connection_is_given(postgres_url: str, admin: psycopg.Connection[Any]) -> None:
    """8.2 Neither none nor two of them."""
    with pytest.raises(InvalidArgumentError, match="one of"):
        PgVectorBackend()
    with pytest.raises(InvalidArgumentError, match="one of"):
        PgVectorBackend(postgres_url, connection=admin)


def test_other_types_are_refused() -> None:
    """8.2 An asynchronous pool, an engine, a path."""
    wrong: list[dict[str, Any]] = [
        {"url": 5},
        {"url": Path("x")},
        {"connection": "postgresql://h"},
        {"pool": AsyncConnectionPool("", open=False)},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidArgumentError, match="not"):
            PgVectorBackend(**arguments)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{SECRET}@host:port/db",
        f"postgresql://user:pa@{SECRET}@host/db",
        f"postgresql://user:12/{SECRET}@host/db",
        f"postgresql://user:{SECRET}/x@host/db",
        f"postgresql:user:{SECRET}",
    ],
)
def test_a_malformed_url_is_refused_without_showing_it(url: str) -> None:
    """8.3 A password that was not percent-encoded may have slipped into any part of it."""
    with pytest.raises(InvalidArgumentError, match="percent-encoded") as caught:
        vk.connect(url)
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_an_unknown_option_of_a_url_is_named() -> None:
    """8.3"""
    with pytest.raises(InvalidArgumentError, match="'no_such_option' is unknown") as caught:
        vk.connect(f"postgresql://user:{SECRET}@host/db?no_such_option=1")
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me%40work:p%2Fw%40x@host,other:5432/db%40x?host=/tmp/a@b&port=5433",
        "postgres:///db?host=/run/a@b",
        "postgresql://[::1]:5432/db?sslmode=require&options=-c%20statement_timeout%3D5s",
        "host=localhost dbname=db@x",
    ],
)
def test_what_libpq_takes_is_taken(url: str) -> None:
    """8.2 Sockets in folders, several hosts, options, and percent-encoded characters."""
    PgVectorBackend(url).close()


def test_the_embedded_server_needs_a_path() -> None:
    with pytest.raises(InvalidArgumentError, match="needs the path"):
        vk.connect("postgresql+embedded:")


def test_the_embedded_server_runs_as_long_as_there_is_a_store(tmp_path: Path) -> None:
    """9.4, 9.5 Two stores on one path share it; what was written is there when it is started again."""
    url = f"postgresql+embedded:{tmp_path / 'kb'}"
    with vk.connect(url) as first, vk.connect(url) as second:
        docs = first.create_collection("docs", dimension=2)
        docs.add(ids=["a"], documents=["text"], embeddings=[[1, 2]])
        assert second.get_collection("docs").search([1, 2])[0].document == "text"
        assert str(tmp_path) in repr(first)
    state = tmp_path / "kb" / "data" / "postmaster.pid"
    eventually(lambda: not state.exists())
    with pytest.raises(BackendError, match="closed"):
        docs.count()
    with vk.connect(url) as again:
        assert again.get_collection("docs").count() == 1
    eventually(lambda: not state.exists())


def test_the_name_tells_the_versions_once_they_are_known(store: VectorStore) -> None:
    assert store.backend.name == "postgresql"
    store.create_collection("docs", dimension=2)
    assert re.fullmatch(r"postgresql [\d.]+, pgvector [\d.]+", store.backend.name)


def test_repr_tells_the_place_and_no_secret(postgres_url: str) -> None:
    """8.3 It holds no password, whichever way the backend was made, and needs no connection."""
    secret = f"postgresql://someone:{SECRET}@db.example:6432/app?sslmode=require"
    assert repr(PgVectorBackend(secret)) == "PgVectorBackend('db.example:6432/app')"
    assert SECRET not in repr(VectorStore(PgVectorBackend(secret)))
    with psycopg.connect(postgres_url, password=SECRET) as connection:
        assert SECRET not in repr(PgVectorBackend(connection=connection))
    pool = ConnectionPool(secret, open=False)
    assert SECRET not in repr(PgVectorBackend(pool=pool))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory in use is read from /proc")
def test_an_idle_connection_does_not_hold_what_was_read(store: VectorStore) -> None:
    """9.1 Though the next call on it goes on with its cursor."""

    def in_use() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    docs = store.create_collection("docs", dimension=2)
    docs.add(ids=["a"], embeddings=[[1, 0]], documents=["x" * 60_000_000])
    assert docs.count() == 1
    before = in_use()
    for _ in range(2):
        assert len(docs.search([1, 0])[0].document or "") == 60_000_000
    assert in_use() - before < 90_000_000  # libpq's buffer stays as large as the largest row


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_named() -> None:
    """8.1 Host and port, at once, and no password."""
    backend = PgVectorBackend(f"postgresql://someone:{SECRET}@127.0.0.1:1/db")
    started = time.monotonic()
    with pytest.raises(BackendUnavailableError, match=r"127\.0\.0\.1:1") as caught:
        backend.list_collections()
    assert time.monotonic() - started < 5
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_wrong_password_is_no_permission(server: EmbeddedServer) -> None:
    """8.3 The message names neither the password that was tried nor the right one."""
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute("CREATE ROLE locked LOGIN PASSWORD 'the right one'")
        rules = server.path / "data" / "pg_hba.conf"
        rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
        admin.execute("SELECT pg_reload_conf()")
        eventually(lambda: admin.execute("SELECT count(*) FROM pg_hba_file_rules").fetchone() == (2,))
        for password in ({"password": SECRET}, {}):
            backend = PgVectorBackend(make_conninfo(server.conninfo, user="locked", **password))
            with pytest.raises(BackendPermissionError, match="password") as caught:
                backend.list_collections()
            text = f"{caught.value!r} {caught.value.__cause__!r} {backend!r}"
            assert SECRET not in text
            assert "the right one" not in text
        backend = PgVectorBackend(make_conninfo(server.conninfo, user="locked", password="the right one"))
        assert backend.list_collections() == []
        backend.close()


def test_a_missing_database_is_named(postgres_url: str) -> None:
    with pytest.raises(BackendError, match='"nowhere" does not exist'):
        PgVectorBackend(make_conninfo(postgres_url, dbname="nowhere")).list_collections()


def test_a_missing_role_is_no_permission(postgres_url: str) -> None:
    with pytest.raises(BackendPermissionError, match="nobody_here"):
        PgVectorBackend(make_conninfo(postgres_url, user="nobody_here")).list_collections()


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_a_timeout_of_the_server_is_a_timeout(postgres_url: str, store: VectorStore, schema: str, setting: str) -> None:
    """8.1 `statement_timeout` and `lock_timeout` come through the URL as libpq takes them."""
    collection = store.create_collection("docs", dimension=2)
    table = collection.info().location
    impatient = PgVectorBackend(make_conninfo(postgres_url, options=f"-c {setting}=100"), schema=schema)
    with psycopg.connect(postgres_url) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        with pytest.raises(BackendTimeoutError, match=setting):
            impatient.count(collection.info())
    assert impatient.count(collection.info()) == 0
    impatient.close()


def test_a_session_that_may_only_read_reads(postgres_url: str, store: VectorStore, schema: str) -> None:
    """8.1 As on a replica: reading works, writing is no permission, and says where to write."""
    collection = store.create_collection("docs", dimension=2)
    collection.add(ids=["a"], embeddings=[[1, 2]])
    url = make_conninfo(postgres_url, options="-c default_transaction_read_only=on")
    reader = VectorStore(PgVectorBackend(url, schema=schema))
    docs = reader.get_collection("docs")
    assert docs.search([1, 2])[0].id == "a"
    for call in (
        lambda: docs.add(ids=["b"], embeddings=[[1, 2]]),
        lambda: docs.upsert(ids=["b"], embeddings=[[1, 2]]),
        lambda: docs.update(ids=["a"], metadatas=[{}]),
        lambda: docs.delete(["a"]),
        lambda: reader.create_collection("more", dimension=2),
        lambda: reader.drop_collection("docs"),
    ):
        with pytest.raises(BackendPermissionError, match="primary"):
            call()
    reader.close()
    assert collection.count() == 1


# --- own pool ---------------------------------------------------------------------------------------------------


def test_close_ends_the_connections_and_may_be_called_again(
    postgres_url: str, admin: psycopg.Connection[Any], schema: str
) -> None:
    mark = f"vk-{schema[-12:]}"
    backend = PgVectorBackend(make_conninfo(postgres_url, application_name=mark), schema=schema)
    ours = sql.SQL("SELECT count(*) FROM pg_stat_activity WHERE application_name = {}").format(mark)
    assert admin.execute(ours).fetchone() == (0,)  # the first use connects
    backend.list_collections()
    assert admin.execute(ours).fetchone() != (0,)
    backend.close()
    backend.close()
    eventually(lambda: admin.execute(ours).fetchone() == (0,))
    for call in (
        backend.list_collections,
        lambda: backend.open_collection("docs"),
        lambda: backend.drop_collection("d"),
    ):
        with pytest.raises(BackendError, match="closed"):
            call()


def test_a_lost_connection_is_replaced(store: VectorStore, admin: psycopg.Connection[Any], schema: str) -> None:
    """9.3 All connections of the pool are ended by the server; neither reads nor writes notice."""
    docs = store.create_collection("docs", dimension=2)

    def add(number: int) -> list[str]:
        return docs.add(ids=[f"a{number}"], embeddings=[[number, 1]])

    with ThreadPoolExecutor(4) as threads:  # over several connections
        list(threads.map(add, range(20)))

    def end_all() -> None:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'vectorkit' AND pid <> pg_backend_pid()"
        )

    calls: list[Callable[[], object]] = [
        docs.count,
        lambda: docs.search([1, 1]),
        lambda: docs.add(ids=["new"], embeddings=[[1, 1]]),
        lambda: docs.upsert(ids=["new"], embeddings=[[1, 1]]),
        lambda: docs.update(ids=["new"], metadatas=[{"x": 1}]),
        lambda: docs.delete(["new"]),
        lambda: list(docs.scan()),
    ]
    for call in calls:
        end_all()
        call()
    assert docs.count() == 20


def test_a_restart_of_the_server_is_survived(server: EmbeddedServer) -> None:
    """9.4 What was acknowledged is there afterwards, and the same store goes on."""
    with VectorStore(PgVectorBackend(server.conninfo)) as store:
        docs = store.create_collection("docs", dimension=2)
        docs.add(ids=["a"], embeddings=[[1, 2]])
        before = postmaster(server)
        os.kill(before, signal.SIGINT)

        def is_back() -> bool:
            try:
                psycopg.connect(server.conninfo).close()
                return postmaster(server) != before
            except (psycopg.OperationalError, FileNotFoundError, ValueError):
                return False

        eventually(is_back)
        docs.add(ids=["b"], embeddings=[[1, 2]])
        assert [record.id for record in docs.get()] == ["a", "b"]


def test_a_server_that_goes_away_is_said_to_be_away(server: EmbeddedServer) -> None:
    """8.1 At once, as the connection is found lost, and not after the pool's patience."""
    store = VectorStore(PgVectorBackend(server.conninfo))
    docs = store.create_collection("docs", dimension=2)
    socket_folder = Path(psycopg.conninfo.conninfo_to_dict(server.conninfo)["host"])  # type: ignore[arg-type]
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        (socket_folder / ".s.PGSQL.5432").rename(socket_folder / "hidden")
        try:
            admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            started = time.monotonic()
            with pytest.raises(BackendUnavailableError, match="cannot be reached"):
                docs.count()
            assert time.monotonic() - started < 5
        finally:
            (socket_folder / "hidden").rename(socket_folder / ".s.PGSQL.5432")
    assert docs.count() == 0
    store.close()


def test_many_threads_use_one_backend(store: VectorStore) -> None:
    """9.3 More of them than the pool has connections."""
    docs = store.create_collection("docs", dimension=2)

    def use(number: int) -> int:
        docs.upsert(ids=[f"{number % 7}", f"own {number}"], embeddings=[[number, 1], [1, number]])
        return len(docs.search([number, 1], k=3)) + docs.count({"x": 1})

    with ThreadPoolExecutor(32) as threads:
        assert sum(threads.map(use, range(1, 200))) > 0
    assert docs.count() == 7 + 199


def test_a_forked_child_opens_its_own_connections(postgres_url: str, store: VectorStore, schema: str) -> None:
    """9.3 The parent's stay usable; what the caller brought is refused in the child."""
    store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
    script = f"""
import os, threading, warnings
warnings.simplefilter("error")
import psycopg
from psycopg_pool import ConnectionPool
from vectorkit import BackendError, VectorStore
from vectorkit_pgvector import PgVectorBackend

url, schema = {postgres_url!r}, {schema!r}
store = VectorStore(PgVectorBackend(url, schema=schema))
docs = store.get_collection("docs")
assert docs.count() == 1
if os.fork() == 0:  # a child that ends as any program does, using nothing
    raise SystemExit(0)
assert os.wait()[1] == 0
assert docs.count() == 1
connection = psycopg.connect(url)
pool = ConnectionPool(url, open=True, min_size=1)
given = [VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs"),
         VectorStore(PgVectorBackend(pool=pool, schema=schema)).get_collection("docs")]
assert [each.count() for each in given] == [1, 1]
child = os.fork()
if child == 0:
    code = 1
    try:
        docs.add(ids=["child"], embeddings=[[3, 4]])
        assert docs.count() == 2
        for each in given:
            try:
                each.count()
            except BackendError as error:
                assert "fork" in str(error)
            else:
                raise AssertionError("not refused")
        store.close()
        code = 0
    finally:
        os._exit(code)
assert os.waitpid(child, 0)[1] == 0
assert docs.count() == 2
assert [each.count() for each in given] == [2, 2]
connection.close()
pool.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_store_that_is_never_closed_ends_quietly(postgres_url: str, schema: str) -> None:
    """9.3 Neither a warning nor a thread that keeps the interpreter."""
    script = f"""
import warnings
warnings.simplefilter("error")
import vectorkit_pgvector
backend = vectorkit_pgvector.PgVectorBackend({postgres_url!r}, schema={schema!r})
assert backend.list_collections() == []
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_store_out_of_scope_gives_its_connections_up(postgres_url: str, admin: psycopg.Connection[Any]) -> None:
    """9.3 As when the cell of a notebook is run again: neither connections nor threads are left."""
    mark = f"vk-{uuid4().hex[:8]}"
    threads = threading.active_count()

    def cell() -> "weakref.ref[object]":
        store = VectorStore(PgVectorBackend(make_conninfo(postgres_url, application_name=mark)))
        store.list_collections()
        return weakref.ref(store.backend)

    def connections() -> int:
        row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [mark]).fetchone()
        assert row is not None
        return int(row[0])

    backends = [cell() for _ in range(3)]
    gc.collect()
    assert [backend() for backend in backends] == [None] * 3
    eventually(lambda: (connections(), threading.active_count()) == (0, threads))


def test_streams_that_wait_leave_connections_to_others(store: VectorStore) -> None:
    """3.1, 3.7 Twelve calls wait for their input, more than there are connections; each is all or nothing still."""
    docs = store.create_collection("docs", dimension=2)
    read, go_on = threading.Semaphore(0), threading.Event()

    def slow(name: str) -> Iterator[Record]:
        for number in range(2500):
            yield Record(f"{name}-{number}", embedding=np.array([1, 2], dtype=np.float32))
        read.release()
        assert go_on.wait(30)
        if name == "11":
            raise LookupError("the source ended")
        yield Record(f"{name}-last", embedding=np.array([1, 2], dtype=np.float32))

    with ThreadPoolExecutor(12) as threads:
        calls = [threads.submit(docs.upsert, records=slow(str(call))) for call in range(12)]
        try:
            for _ in calls:
                assert read.acquire(timeout=30)
            started = time.monotonic()
            assert docs.search([1, 2], k=3) == []
            docs.upsert(ids=["other"], embeddings=[[1, 2]])
            assert time.monotonic() - started < 5
        finally:
            go_on.set()
        assert [len(call.result()) for call in calls[:11]] == [2501] * 11
        with pytest.raises(LookupError):
            calls[11].result()
    assert docs.count() == 11 * 2501 + 1


def test_without_psycopg_the_pip_line_is_said() -> None:
    """8.1 `MissingDependencyError`, which is an ImportError too."""
    script = """
import sys
sys.modules["psycopg_pool"] = None
import vectorkit as vk
try:
    vk.connect("postgresql://host/db")
except vk.MissingDependencyError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'vectorkit-db[pgvector]'" in done.stdout


# --- the caller's pool ------------------------------------------------------------------------------------------


def test_the_callers_pool_is_left_as_it_was(postgres_url: str, schema: str) -> None:
    """9.3 Row factory, autocommit, settings and adapters of its connections; and it is not closed."""
    kwargs = {"row_factory": dict_row, "autocommit": False}
    with ConnectionPool[psycopg.Connection[Any]](postgres_url, kwargs=kwargs, min_size=1, max_size=1) as pool:
        with pool.connection() as connection:
            connection.execute("SET hnsw.ef_search = 77")
        store = VectorStore(PgVectorBackend(pool=pool, schema=schema))
        docs = store.create_collection("docs", dimension=2)
        docs.add(ids=["a", "b"], embeddings=[[1, 2], [2, 1]])
        for exact in (None, True, False):
            assert [hit.id for hit in docs.search([1, 2], k=2, exact=exact)] == ["a", "b"]
        store.close()
        with pytest.raises(BackendError, match="closed"):
            docs.count()
        with pool.connection() as connection:
            assert connection.execute("SHOW hnsw.ef_search").fetchone() == {"hnsw.ef_search": "77"}
            assert connection.execute("SHOW hnsw.iterative_scan").fetchone() == {"hnsw.iterative_scan": "off"}
            assert connection.autocommit is False


def test_a_lost_connection_of_the_callers_pool_is_replaced(
    postgres_url: str, admin: psycopg.Connection[Any], schema: str
) -> None:
    mark = f"vk-{schema[-12:]}"
    url = make_conninfo(postgres_url, application_name=mark)
    with ConnectionPool[psycopg.Connection[Any]](url, min_size=2, max_size=2) as pool:
        pool.wait()
        docs = VectorStore(PgVectorBackend(pool=pool, schema=schema)).create_collection("docs", dimension=2)
        for call in (docs.count, lambda: docs.add(ids=["a"], embeddings=[[1, 2]]), docs.count):
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", [mark]
            )
            call()
        assert docs.count() == 1


def test_a_pool_that_is_used_up_is_a_timeout(postgres_url: str, schema: str) -> None:
    with ConnectionPool[psycopg.Connection[Any]](postgres_url, min_size=1, max_size=1, timeout=0.2) as pool:
        backend = PgVectorBackend(pool=pool, schema=schema)
        with pool.connection(), pytest.raises(BackendTimeoutError, match="in use"):
            backend.list_collections()
        assert backend.list_collections() == []


def test_a_pool_that_is_not_open_is_an_error_of_the_backend(postgres_url: str) -> None:
    backend = PgVectorBackend(pool=ConnectionPool(postgres_url, open=False))
    with pytest.raises(BackendError, match="not open"):
        backend.list_collections()
