"""The network fails at every message of every call that writes, before and after the server has it.

What was acknowledged is stored, what was not is stored whole or not at all, the error says when it may be stored, and
the same store works on.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal, cast

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit_pgvector import PgVectorBackend

Moment = Literal["before", "after"]
Counted = Literal["message", "COMMIT"]
MOMENTS: Final[tuple[Moment, ...]] = ("before", "after")
COUNTED: Final[tuple[Counted, ...]] = ("message", "COMMIT")

MANY: Final = 2001
"""Records from which on the end of a write builds the index."""
QUICK: Final = vk.HNSW(m=2, ef_construction=4)
STEP: Final = int(os.environ.get("VECTORKIT_CUT_STEP", "20"))
"""Of messages one in so many is cut, and every COMMIT: all take minutes; set it to 1 after a change to writes."""
IN_DOUBT: Final = "before the server answered COMMIT"


class Proxy:
    """Stands between client and server, and ends the connection at one message of the client's.

    Args:
        conninfo: Where the server is.
    """

    def __init__(self, conninfo: str) -> None:
        place = conninfo_to_dict(conninfo)
        self._family, self._server = _address(place)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._left: int | None = None
        self._moment: Moment = "before"
        self._counted: Counted = "message"
        self.url = make_conninfo(
            conninfo,
            host="127.0.0.1",
            port=self._listener.getsockname()[1],
            user=place.get("user", "postgres"),
            sslmode="disable",
            gssencmode="disable",
        )
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self, at: int | None, moment: Moment = "before", counted: Counted = "message") -> None:
        """Cut at this message, or at this COMMIT, from now on, counted from 1; None: none."""
        with self._lock:
            self._left, self._moment, self._counted = at, moment, counted

    @property
    def pending(self) -> bool:
        """Whether there were not so many of them."""
        return self._left is not None

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(self._family)
            server.connect(self._server)
            threading.Thread(target=_Link(self, client, server).run, daemon=True).start()

    def due(self, message: bytes) -> Moment | None:
        """Count a message, and say whether the connection ends at it."""
        with self._lock:
            if self._left is None or (self._counted == "COMMIT" and b"COMMIT\0" not in message):
                return None
            self._left -= 1
            if self._left:
                return None
            self._left = None
            return self._moment


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._withhold = threading.Event()

    def run(self) -> None:
        """Until one of the two sides ends."""
        with self._client, self._server:
            answering = threading.Thread(target=self.answer, daemon=True)
            answering.start()
            self.forward()
            answering.join()

    def forward(self) -> None:
        """Pass on what the client sends: statement by statement, and of a COPY message by message."""
        held = b""  # a Parse, a Bind or an Execute does nothing that lasts before a Sync
        with suppress(OSError), self._client.makefile("rb") as stream:
            self._server.sendall(_message(stream))
            while kind := stream.read(1):
                held += kind + _message(stream)
                if kind not in b"QSdcfpX":
                    continue
                moment = self._proxy.due(held) if kind in b"QSdcf" else None
                if moment == "before":
                    break
                if moment == "after":
                    self._withhold.set()
                    self._server.sendall(held)
                    if kind in b"QSc":
                        return  # there is an answer, and `answer` ends the connection when it comes
                    break
                self._server.sendall(held)
                held = b""
        self._end()

    def answer(self) -> None:
        """Pass on what the server sends; or keep it, and end the connection."""
        with suppress(OSError):
            while data := self._server.recv(65536):
                if self._withhold.is_set():
                    break
                self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _address(place: dict[str, Any]) -> tuple[int, Any]:
    host, port = str(place.get("host", "localhost")), int(place.get("port", 5432))
    if host.startswith("/"):
        return socket.AF_UNIX, f"{host}/.s.PGSQL.{port}"
    return socket.AF_INET, (host, port)


def _message(stream: Any) -> bytes:
    length = stream.read(4)
    return cast(bytes, length + stream.read(int.from_bytes(length) - 4))


# --- the calls --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """A call that writes.

    Attributes:
        prepare: Brings what is stored to where the call finds it, by a store that is not cut.
        call: The call, on the store that is.
        look: What is stored then.
        atomic: Whether it is one transaction.
        repeated: What the same call may raise if it was stored before.
    """

    prepare: Callable[[vk.VectorStore], object]
    call: Callable[[vk.VectorStore], object]
    look: Callable[[vk.VectorStore], object]
    atomic: bool = True
    repeated: tuple[type[vk.VectorKitError], ...] = ()


EMBEDDER: Final = HashEmbedder(dimension=8)
OTHER_EMBEDDER: Final = HashEmbedder(dimension=16)
NEW: Final = [
    vk.Record(f"new{n}", f"fresh words {n}", metadata={"n": n}, embedding=[1, n, 0, 0, 0, 0, 0, 1]) for n in range(3)
]
OLD: Final = [
    vk.Record(f"new{n}", f"stale words {n}", metadata={"old": True}, embedding=[n, 1, 0, 0, 0, 0, 0, 1])
    for n in range(2)
]


def records(store: vk.VectorStore) -> object:
    """What may change of the large collection, by id, by vector and by word; and how many records there are."""
    docs = store.get_collection("docs")
    return (
        [str(record) for record in docs.get([record.id for record in NEW], include_embeddings=True)],
        sorted(hit.id for hit in docs.search("fresh stale words", mode="text", k=10)),
        docs.count(),
    )


def without(store: vk.VectorStore) -> None:
    store.get_collection("docs").delete([record.id for record in NEW])


def with_old(store: vk.VectorStore) -> None:
    without(store)
    store.get_collection("docs").add(records=OLD)


def everything(store: vk.VectorStore) -> object:
    """Names, and what they hold."""
    found = [info for info in store.list_collections() if info.name not in KEPT]
    return [
        (info.spec, [str(record) for record in vk.Collection(store.backend, info, None).scan(include_embeddings=True)])
        for info in found
    ]


KEPT: Final = ("docs", "source", "bystander")


def only_kept(store: vk.VectorStore) -> None:
    for info in store.list_collections():
        if info.name not in KEPT:
            store.drop_collection(info.name)


def small(*names: str, embedder: HashEmbedder | None = EMBEDDER) -> Callable[[vk.VectorStore], None]:
    def prepare(store: vk.VectorStore) -> None:
        only_kept(store)
        for name in names:
            made = store.create_collection(name, embedder=embedder, index="none", text_index=name == "bbb")
            made.add(ids=[f"{name}{n}" for n in range(2)], documents=[f"words of {name} {n}" for n in range(2)])

    return prepare


def adopt(store: vk.VectorStore) -> None:
    backend = store.backend
    assert isinstance(backend, PgVectorBackend)
    backend.adopt("theirs", table="theirs", id="id", embedding="embedding")


CASES: Final[dict[str, Case]] = {
    "add": Case(without, lambda s: s.get_collection("docs").add(records=NEW), records, repeated=(vk.DuplicateIdError,)),
    "upsert": Case(with_old, lambda s: s.get_collection("docs").upsert(records=NEW), records),
    "update": Case(
        with_old,
        lambda s: s.get_collection("docs").update(
            ids=["new0", "new1"], documents=["fresh 0", None], embeddings=[[1.0] * 8] * 2
        ),
        records,
    ),
    "delete": Case(with_old, lambda s: s.get_collection("docs").delete(["new0", "new1"]), records),
    "ingest": Case(without, lambda s: s.get_collection("docs").ingest(NEW, batch_size=2), records, atomic=False),
    "create_collection": Case(
        only_kept,
        lambda s: s.create_collection("aaa", dimension=2, text_index=True),
        everything,
        repeated=(vk.CollectionExistsError,),
    ),
    "drop_collection": Case(
        small("aaa", "bbb"), lambda s: s.drop_collection("bbb"), everything, repeated=(vk.CollectionNotFoundError,)
    ),
    "create_text_index": Case(small("aaa"), lambda s: s.get_collection("aaa").create_text_index(), everything),
    "create_index": Case(small("aaa"), lambda s: s.get_collection("aaa").create_index(QUICK), everything, atomic=False),
    "adopt": Case(only_kept, adopt, everything, repeated=(vk.CollectionExistsError,)),
    "reembed": Case(small("aaa"), lambda s: s.get_collection("aaa").reembed(OTHER_EMBEDDER), everything, atomic=False),
    "copy": Case(
        only_kept, lambda s: vk.copy(s, s, collections=["source"], names={"source": "aaa"}), everything, atomic=False
    ),
}


@pytest.fixture(scope="module")
def proxy(postgres_url: str) -> Iterator[Proxy]:
    """Between the tests and a database of their own."""
    name = "test_cuts"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            with closing(Proxy(make_conninfo(postgres_url, dbname=name))) as proxy:
                yield proxy
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def direct(postgres_url: str, proxy: Proxy) -> Iterator[vk.VectorStore]:
    """The store without the proxy; `docs` has records enough for an index, and a text index."""
    conninfo = make_conninfo(postgres_url, dbname="test_cuts")
    with vk.VectorStore(PgVectorBackend(conninfo)) as store:
        docs = store.create_collection("docs", dimension=8, text_index=True, index=QUICK, embedder=EMBEDDER)
        docs.add(ids=[f"{n:05}" for n in range(MANY)], embeddings=[[1.0, n, 0, 0, 0, 0, 0, 0] for n in range(MANY)])
        source = store.create_collection("source", embedder=EMBEDDER, text_index=True, index=QUICK)
        source.add(ids=["s1", "s2"], documents=["some words", "more words"])
        store.create_collection("bystander", dimension=8)
        with psycopg.connect(conninfo) as connection:
            connection.execute("CREATE TABLE theirs (id text PRIMARY KEY, embedding vector(8) NOT NULL)")
            connection.execute("INSERT INTO theirs VALUES ('t1', '[1,2,3,4,5,6,7,8]')")
        yield store


@pytest.fixture
def other(postgres_url: str, direct: vk.VectorStore) -> Iterator[psycopg.Connection[Any]]:
    """Another writer's connection."""
    with psycopg.connect(make_conninfo(postgres_url, dbname="test_cuts")) as connection:
        yield connection


def without_index(store: vk.VectorStore, other: psycopg.Connection[Any]) -> None:
    """Let the index be due, which the next write builds at its end."""
    other.rollback()
    found = other.execute(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indexrelid "
        "WHERE indrelid = %s::regclass AND relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw')",
        [store.get_collection("docs").info().location],
    ).fetchall()
    for (name,) in found:
        other.execute(f"DROP INDEX {name}".encode())
    other.commit()


def at_work(store: vk.VectorStore, other: psycopg.Connection[Any]) -> None:
    """Have another writer at work, in this collection and in another one, and in the registry."""
    for name in ("docs", "bystander"):
        location = store.get_collection(name).info().location
        other.execute(f"LOCK TABLE {location} IN ROW EXCLUSIVE MODE".encode())
    other.execute("LOCK TABLE vectorkit_collections IN ROW EXCLUSIVE MODE")


@pytest.mark.parametrize(
    ("name", "busy"),
    [(name, busy) for name, case in CASES.items() for busy in (True, False) if busy or case.look is records],
)
def test_what_a_cut_leaves_is_what_was_acknowledged(
    name: str, busy: bool, proxy: Proxy, direct: vk.VectorStore, other: psycopg.Connection[Any]
) -> None:
    """3.7 3.8 At a message that is not passed on, or whose answer is withheld."""
    case = CASES[name]
    proxy.cut(None)
    with vk.VectorStore(PgVectorBackend(proxy.url)) as store:

        def ready() -> object:
            other.rollback()
            case.prepare(direct)
            if case.look is records:
                without_index(direct, other)
            if busy:
                at_work(direct, other)
            store.get_collection("docs").count()  # a connection is there
            return case.look(direct)

        ready()
        case.call(store)
        stored = case.look(direct)
        for first, (counted, moment) in enumerate(product(COUNTED, MOMENTS), start=1):
            cuts = acknowledged = 0
            while True:
                nothing = ready()
                assert nothing != stored
                at = 1 + cuts if counted == "COMMIT" else first + cuts * STEP
                proxy.cut(at, moment, counted)
                try:
                    case.call(store)
                    allowed = [stored]
                except vk.BackendUnavailableError as error:
                    allowed = [nothing, stored] if IN_DOUBT in str(error) else [nothing]
                else:
                    if proxy.pending:
                        break
                    acknowledged += 1
                cuts += 1
                assert not proxy.pending
                left = case.look(direct)
                assert left in allowed or (not case.atomic and allowed != [stored]), (counted, moment, at, allowed)
                with suppress(*case.repeated):
                    case.call(store)
                assert case.look(direct) == stored, (counted, moment, at)
            print(f"{name} {moment} {counted}: {cuts} cuts, {acknowledged} acknowledged")
            assert cuts or (name, counted) == ("create_index", "COMMIT")  # each of its statements commits itself
    other.rollback()
