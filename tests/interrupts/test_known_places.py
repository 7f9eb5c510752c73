"""Places of calls at which an interrupt, or an error of a callback, once left something behind."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from vectorkit import Collection, MemoryBackend, Record, VectorStore, copy, rerank
from vectorkit.embedders import HashEmbedder
from vectorkit.errors import EmbeddingError, RerankingError, UnsupportedError
from vectorkit.types import EmbedderIdentity
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.connections.permits import Permits
from vectorkit_pgvector.connections.sessions import Session
from vectorkit_pgvector.sql.tables import Statement


def test_an_abandoned_copy_lets_go_of_the_lock(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE filled (number int)")
        session = Session(connection, joins=True)

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        kind = type(session._cursor.copy("COPY filled FROM STDIN"))  # pyright: ignore[reportPrivateUsage]
        with monkeypatch.context() as patch:
            patch.setattr(kind, "__exit__", interrupted)
            with pytest.raises(KeyboardInterrupt) as kept:  # its traceback holds what was suspended
                session.copy("COPY filled FROM STDIN (FORMAT binary)", iter([]))
        free = connection.lock.acquire(timeout=0)
        if free:
            connection.lock.release()
        assert free
        assert session.rows(Statement("SELECT count(*) FROM filled")) == [(0,)]
        assert kept.value is not None


def test_an_error_in_a_pipeline_leaves_no_unmade_statement(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        session = Session(connection, joins=True)
        good, bad = (Statement(f"SELECT 6 / $1::int + {n}", [n], True) for n in (1, 0))
        with pytest.raises(psycopg.errors.DivisionByZero):
            session.each([bad, good], lambda _, rows: rows)
        assert session.rows(good) == [(7,)]


def test_a_permit_that_nobody_has_is_back() -> None:
    permits = Permits(2)
    with permits.taken(1) as one, permits.taken(3) as two, permits.taken(1) as none:
        assert (one, two, none) == (1, 1, 0)
    for _ in range(5):
        lent = permits.taken(2)
        assert lent.__enter__() == 2
        del lent  # never left
    with permits.taken(3) as taken:
        assert taken == 2


# --- callbacks ------------------------------------------------------------------------------------------------------


class Failing:
    """An embedder that fails at its second batch."""

    def __init__(self) -> None:
        self._good = HashEmbedder(16)
        self._left = 1

    @property
    def identity(self) -> EmbedderIdentity:
        return self._good.identity

    def embed_documents(self, texts: Sequence[str]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ArithmeticError("on purpose")
        return self._good.embed_documents(texts)

    def embed_query(self, text: str) -> Any:
        raise ArithmeticError("on purpose")


def _fail(*_: object) -> None:
    raise ArithmeticError("on purpose")


def _records() -> Iterator[Record]:
    yield Record("new", "white")
    raise ArithmeticError("on purpose")


def _fail_to_rank(*_: object) -> list[float]:
    raise ArithmeticError("on purpose")


CALLS: dict[str, Callable[[VectorStore, Collection], object]] = {
    "ingest, records": lambda store, docs: docs.ingest(_records(), batch_size=1),
    "ingest, progress": lambda store, docs: docs.ingest([Record("new", "white")], progress=_fail),
    "add, records": lambda store, docs: docs.add(records=_records()),
    "upsert, records": lambda store, docs: docs.upsert(records=_records()),
    "reembed, embedder": lambda store, docs: docs.reembed(Failing(), batch_size=2),
    "reembed, progress": lambda store, docs: docs.reembed(HashEmbedder(16), batch_size=2, progress=_fail),
    "create_text_index": lambda store, docs: docs.create_text_index(progress=_fail),
    "copy, progress": lambda store, docs: copy(store, VectorStore(MemoryBackend()), progress=_fail),
    "rerank": lambda store, docs: rerank("red", docs.search("red"), _fail_to_rank),
    "create_index": lambda store, docs: (
        docs.create_index("hnsw", progress=_fail) if store.backend.capabilities.index_changes else _fail()
    ),
}


@pytest.fixture(params=["memory", "chroma", "on disk", "postgres", "caller's"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    if request.param == "memory":
        yield VectorStore(MemoryBackend())
    elif request.param in ("chroma", "on disk"):
        with VectorStore(ChromaBackend("chroma:" if request.param == "chroma" else f"chroma:{tmp_path}")) as store:
            yield store
    else:
        url, schema = request.getfixturevalue("postgres_url"), f"test_{uuid4().hex}"
        with psycopg.connect(url, autocommit=True) as connection:
            given: Any = {"url": url} if request.param == "postgres" else {"connection": connection}
            with VectorStore(PgVectorBackend(**given, schema=schema)) as store:
                yield store
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def test_the_call_after_an_error_of_a_callback_is_right(store: VectorStore) -> None:
    docs = store.create_collection("docs", embedder=HashEmbedder(8), language="none")
    docs.add(ids=["a", "b", "c"], documents=["red", "red blue", "green"])
    for name, call in CALLS.items():
        # The last: progress of an index takes a second connection.
        with pytest.raises((ArithmeticError, EmbeddingError, RerankingError, UnsupportedError)):
            call(store, docs)
        # A read in a thread of its own would wait for ever for a lock that is left behind.
        found: list[list[str]] = []
        thread = Thread(target=_note_hits, args=(docs, found), daemon=True)
        thread.start()
        thread.join(20)
        assert found == [["a", "b"]], name
        docs.upsert(ids=["z"], documents=["white"])
        docs.delete(ids=["z", "new"])
        assert [record.id for record in docs.scan()] == ["a", "b", "c"], name
    docs.create_text_index()
    assert [hit.id for hit in docs.search("blue", mode="text")] == ["b"]
    docs = docs.reembed(HashEmbedder(16))
    assert [hit.id for hit in docs.search("red", 2)] == ["a", "b"]


def _note_hits(docs: Collection, found: list[list[str]]) -> None:
    found.append([hit.id for hit in docs.search("red", 2)])
