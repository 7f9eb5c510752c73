"""Ctrl-C and `MemoryError` at any moment of any call: the next call is right. See `conftest` for what is raised where.

`VECTORKIT_EVERY_INTERRUPT=1` interrupts every call at every place it passes.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from vectorkit import BackendUnavailableError, MemoryBackend, MirrorBackend, VectorStore
from vectorkit.backend.requests import Scan
from vectorkit_chroma import ChromaBackend
from vectorkit_chroma.connections.lock import FolderLock
from vectorkit_pgvector import PgVectorBackend

Run = Callable[..., None]


def test_memory_is_right_after_an_interrupt(interrupt: Run) -> None:
    interrupt(VectorStore(MemoryBackend()), share=20)


def test_a_mirror_is_right_after_an_interrupt(interrupt: Run, tmp_path: Path) -> None:
    mirror = MirrorBackend(MemoryBackend(), MemoryBackend(), journal=tmp_path / "journal", sample=1.0)

    def sound() -> None:
        mirror.flush(10)
        assert mirror.report().last_error is None
        assert all(
            [record.id for page in mirror.secondary.scan(info, Scan()) for record in page]
            == [record.id for page in mirror.primary.scan(other, Scan()) for record in page]
            for info, other in zip(mirror.secondary.list_collections(), mirror.primary.list_collections(), strict=True)
        )

    interrupt(VectorStore(mirror), sound=sound, within="mirror", share=8)
    mirror.promote(5)  # which waits for writes that are under way: none is
    mirror.close()


def test_chroma_is_right_after_an_interrupt(interrupt: Run) -> None:
    backend = ChromaBackend("chroma:")
    interrupt(VectorStore(backend), share=700, atomic=False)
    backend.close()


def test_an_interrupt_leaves_no_chroma_folder_locked(
    interrupted: Callable[..., Iterator[object]], tmp_path: Path
) -> None:
    folder, opened = tmp_path / "store", list[ChromaBackend]()
    with VectorStore(ChromaBackend(f"chroma:{folder}")) as store:
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])

    def open_and_close() -> None:
        opened.append(ChromaBackend(f"chroma:{folder}"))
        opened[0].close()

    within = ("vectorkit_chroma/connections/", "vectorkit_chroma/_backend.py")
    for place in interrupted(open_and_close, share=5, within=within):
        while opened:
            opened.pop().close()  # which may have been interrupted before
        lock = FolderLock(folder, "the folder")
        try:
            lock.acquire()
        except BackendUnavailableError:
            pytest.fail(f"interrupted at {place}, the folder stays locked")
        lock.release()
    with VectorStore(ChromaBackend(f"chroma:{folder}")) as store:
        assert store.get_collection("docs").count() == 1


def test_a_chroma_folder_opens_after_a_close_that_was_interrupted(
    interrupted: Callable[..., Iterator[object]], tmp_path: Path
) -> None:
    url, kept = f"chroma:{tmp_path}", list[ChromaBackend]()
    with VectorStore(ChromaBackend(url)) as store:
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])

    def open_and_close() -> None:
        kept.append(ChromaBackend(url))  # kept, so that the collector does not repeat the close either
        kept[-1].close()

    for place in interrupted(open_and_close, share=1, within=("connections/folders.py",)):
        with VectorStore(ChromaBackend(url)) as store:
            assert store.get_collection("docs").count() == 1, str(place)
        while kept:
            kept.pop().close()


@pytest.fixture
def pool(postgres_url: str) -> Iterator["ConnectionPool[Any]"]:
    """A pool of three connections of the caller's."""
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it says of each connection that it is discarded
    with ConnectionPool(postgres_url, min_size=0, max_size=3, timeout=5) as pool:
        yield pool
    logging.getLogger("psycopg.pool").setLevel(logging.NOTSET)


def test_no_connection_of_a_pool_is_lost_by_errors_in_calls(pool: "ConnectionPool[Any]") -> None:
    schema = f"test_{uuid4().hex}"
    docs = VectorStore(PgVectorBackend(pool=pool, schema=schema)).create_collection("docs", dimension=2)
    for error in (KeyboardInterrupt, MemoryError, ValueError):
        for _ in range(4):  # one more than there are connections

            def records(error: type[BaseException] = error) -> Iterator[Any]:
                raise error
                yield

            with pytest.raises(error):
                docs.add(records=records())
    docs.add(ids=["a"], embeddings=[[1, 2]])
    assert docs.count() == 1
    deadline = time.monotonic() + 5
    while (found := pool.get_stats())["pool_available"] != found["pool_size"] and time.monotonic() < deadline:
        time.sleep(0.01)  # a connection that was discarded is being replaced
    assert found["pool_available"] == found["pool_size"]
    with pool.connection() as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
