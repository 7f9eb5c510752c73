"""Behind a transaction pooler, where each transaction may run in another session: nothing is kept in one."""

import os
import queue
import select
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from vectorkit import HNSW, BackendError, Collection, InvalidArgumentError, Record, VectorStore
from vectorkit_pgvector import PgVectorBackend

Connection = psycopg.Connection[Any]

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
REPORTED = ["server_version", "server_encoding", "client_encoding", "standard_conforming_strings", "integer_datetimes"]
STATE = (
    "SELECT (SELECT count(*) FROM pg_prepared_statements), array_agg(name) FILTER (WHERE source = 'session') "
    "FROM pg_settings"
)


class TransactionPooler:
    """Does what PgBouncer does with `pool_mode = transaction`: each transaction runs in the next of a few sessions."""

    def __init__(self, url: str, sessions: int = 3) -> None:
        direct = make_conninfo(url, sslmode="disable", gssencmode="disable")
        self.sessions = [psycopg.connect(direct, autocommit=True) for _ in range(sessions)]
        self._idle: queue.Queue[Connection] = queue.Queue()
        for session in self.sessions:
            self._idle.put(session)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for session in self.sessions:
            session.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            if not self._welcome(client):
                return
            while select.select([client], [], [])[0] and client.recv(1, socket.MSG_PEEK) not in (b"", b"X"):
                session = self._idle.get()  # the one that has waited longest
                with socket.socket(fileno=os.dup(session.pgconn.socket)) as server:
                    server.setblocking(True)
                    transaction(client, server)
                self._idle.put(session)

    def _welcome(self, client: socket.socket) -> bool:
        while True:
            head = client.recv(4, socket.MSG_WAITALL)
            if len(head) < 4:
                return False
            (length,) = struct.unpack(">i", head)
            body = client.recv(length - 4, socket.MSG_WAITALL)
            (code,) = struct.unpack(">i", body[:4])
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            client.sendall(b"N")
        reply = [message(b"R", struct.pack(">i", 0))]
        for name in REPORTED:
            value = self.sessions[0].info.parameter_status(name) or ""
            reply.append(message(b"S", f"{name}\0{value}\0".encode()))
        reply += [message(b"K", struct.pack(">ii", 1, 1)), message(b"Z", b"I")]
        client.sendall(b"".join(reply))
        return True


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", 4 + len(body)) + body


class Messages:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def of(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._rest += data
        while len(self._rest) >= 5:
            (length,) = struct.unpack(">i", self._rest[1:5])
            if len(self._rest) <= length:
                return
            whole, self._rest = self._rest[: length + 1], self._rest[length + 1 :]
            yield whole[:1], whole[5:]


def transaction(client: socket.socket, server: socket.socket) -> None:
    """Carry messages both ways until the server is ready for the next transaction."""
    asked, answered = Messages(), Messages()
    awaited, last = 0, b""
    while True:
        for ready in select.select([client, server], [], [])[0]:
            data = ready.recv(1 << 16)
            if ready is client:
                for kind, _ in asked.of(data):
                    if kind in (b"Q", b"S"):
                        awaited, last = awaited + 1, kind
                server.sendall(data)
                continue
            client.sendall(data)
            for kind, body in answered.of(data):
                # While rows are copied in, the server passes over the Sync of the statement that began it.
                awaited -= kind == b"Z" or (kind == b"G" and last == b"S")
                if kind == b"Z" and body == b"I" and not awaited:
                    return


@pytest.fixture
def pooler(postgres_url: str) -> Iterator[TransactionPooler]:
    """A pooler before the session's server."""
    with closing(TransactionPooler(postgres_url)) as pooler:
        yield pooler


@pytest.fixture
def pooled_url(postgres_url: str, pooler: TransactionPooler) -> str:
    """Where to connect to, to reach the server through the pooler."""
    return make_conninfo(postgres_url, host="127.0.0.1", port=str(pooler.port), sslmode="disable")


def use(store: VectorStore, rounds: int = 8) -> None:
    """Everything, and some of it often enough for statements to be prepared, were it not for the pooler."""
    docs = store.create_collection("docs", dimension=8, index=HNSW())
    vectors = np.random.default_rng(1).normal(size=(1500, 8)).astype(np.float32)
    docs.add(records=(Record(f"{n:04}", f"text {n}", vector, {"n": n}) for n, vector in enumerate(vectors)))

    def turn(number: int) -> None:
        docs.upsert(ids=[f"{number:04}", f"new {number}"], embeddings=vectors[:2])
        for exact in (None, True, False):
            assert len(docs.search(vectors[number], k=20, exact=exact)) == 20
        assert [len(hits) for hits in docs.search_many(vectors[:3], k=5, where={"n": {"$gte": 100}})] == [5, 5, 5]
        assert docs.get([f"{number + 20:04}"])[0].metadata == {"n": number + 20}
        docs.update(ids=[f"new {number}"], metadatas=[{"n": -1}], merge=True)
        assert docs.delete([f"new {number}"]) == 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(turn, range(rounds)))
    assert {len(docs.search(vectors[0], k=3)) + docs.count({"n": 7}) for _ in range(20)} == {3 + (rounds <= 7)}
    assert [record.id for record in docs.scan(batch_size=400)] == [f"{n:04}" for n in range(1500)]
    assert rebuilt(docs).count({"n": {"$lt": 1000}}) == 1000 - rounds
    store.drop_collection("docs")


def rebuilt(docs: Collection) -> Collection:
    docs.reindex()
    docs.drop_index()
    docs.create_index(HNSW(m=8))
    return docs


def test_a_pooler_is_found_out(pooler: TransactionPooler, pooled_url: str, schema: str) -> None:
    """9.3 Everything works, over several sessions; none of them keeps a statement or a setting."""
    with VectorStore(PgVectorBackend(pooled_url, schema=schema)) as store:
        use(store)
    for session in pooler.sessions:
        statements, settings = session.execute(STATE).fetchall()[0]
        assert statements == 0
        assert not {"hnsw.ef_search", "hnsw.iterative_scan", "maintenance_work_mem"} & set(settings or [])


def test_what_is_kept_without_a_pooler_would_not_do_behind_one(pooled_url: str, schema: str) -> None:
    """8.1 Which is why it is switched: told that there is none, a statement is prepared, and looked for elsewhere."""
    with VectorStore(PgVectorBackend(pooled_url, schema=schema)) as store:
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1.0, 0.0]])
    with VectorStore(PgVectorBackend(pooled_url, schema=schema, pooler=False)) as store:
        docs = store.get_collection("docs")
        with pytest.raises(BackendError, match="prepared statement"):
            # One alone: of two, one may be found under the other's name, and any error or answer may come of it.
            [docs.search([1.0, 0.0], k=1, exact=True) for _ in range(50)]


def test_without_a_pooler_nothing_is_kept_if_so_told(postgres_url: str, admin: Connection, schema: str) -> None:
    """9.3 A connection of the caller's shows it: prepared statements are seen by their own session alone."""
    with psycopg.connect(postgres_url, prepare_threshold=None) as connection:
        use(VectorStore(PgVectorBackend(connection=connection, schema=schema)), rounds=1)
        assert connection.execute(STATE).fetchall()[0][0] == 0
        connection.rollback()
    with VectorStore(PgVectorBackend(postgres_url, schema=schema, pooler=True)) as store:
        use(store)


def test_a_pool_of_the_callers_behind_a_pooler(pooled_url: str, pooler: TransactionPooler, schema: str) -> None:
    """9.3 With psycopg's own switch; it is the caller's to set."""
    kwargs = {"prepare_threshold": None}
    with ConnectionPool[Connection](pooled_url, kwargs=kwargs, min_size=2, max_size=4) as pool:
        use(VectorStore(PgVectorBackend(pool=pool, schema=schema)))
    for session in pooler.sessions:
        assert session.execute(STATE).fetchall()[0][0] == 0


def test_the_switch_is_checked(postgres_url: str, admin: Connection) -> None:
    """8.2 It is for a URL: what the caller brings has its own."""
    wrong: Any = "yes"
    with pytest.raises(InvalidArgumentError, match="pooler is True or False"):
        PgVectorBackend(postgres_url, pooler=wrong)
    with pytest.raises(InvalidArgumentError, match="prepare_threshold=None"):
        PgVectorBackend(connection=admin, pooler=True)
