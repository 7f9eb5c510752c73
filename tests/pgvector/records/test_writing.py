"""Writing: one transaction a call, whatever happens in the middle, and whoever writes at the same time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from vectorkit import BackendUnavailableError, DuplicateIdError, Record, RecordNotFoundError, VectorStore
from vectorkit_pgvector import PgVectorBackend

Connection = psycopg.Connection[Any]


def records(count: int, failure: BaseException | None = None) -> Iterator[Record]:
    for number in range(count):
        yield Record(f"{number:06}", f"document {number}", [1, number], {"number": number})
    if failure is not None:
        raise failure


@pytest.mark.parametrize("method", ["add", "upsert"])
def test_a_stream_that_fails_leaves_nothing(store: VectorStore, method: str) -> None:
    """3.7 What it raised passes through as it is; an error of psycopg's own is the input's there (8.2)."""
    docs = store.create_collection("docs", dimension=2, index="none")
    write = getattr(docs, method)
    for failure in (OSError("disk"), psycopg.errors.UniqueViolation("theirs"), psycopg.OperationalError("theirs")):
        with pytest.raises(type(failure)) as caught:
            write(records=records(3500, failure))
        assert caught.value is failure
        assert docs.count() == 0
    write(records=records(3500))
    assert docs.count() == 3500


def test_an_id_that_is_stored_refuses_a_stream_as_a_whole(store: VectorStore) -> None:
    """3.2 The message names those that were read until it was found."""
    docs = store.create_collection("docs", dimension=2, index="none")
    docs.add(ids=["002500", "002501"], embeddings=[[1, 2], [3, 4]])
    with pytest.raises(DuplicateIdError, match=r"2 id.* '002500', '002501'"):
        docs.add(records=records(3000))
    assert docs.count() == 2
    with pytest.raises(DuplicateIdError, match="2 id"):
        docs.add(ids=["x", "002501", "002500"], embeddings=[[1, 2]] * 3)
    assert docs.get(["x"]) == []


def test_at_most_ten_ids_are_named(store: VectorStore) -> None:
    """3.2 In ascending order, with the number of all."""
    docs = store.create_collection("docs", dimension=2, index="none")
    docs.add(records=records(100))
    with pytest.raises(DuplicateIdError, match="100 id") as caught:
        docs.add(records=records(120))
    assert "'000009'" in str(caught.value)
    assert "'000010'" not in str(caught.value)
    with pytest.raises(RecordNotFoundError, match="20 id") as missing:
        docs.update(ids=[record.id for record in records(120)], metadatas=[None] * 120)
    assert "'000109'" in str(missing.value)
    assert "'000110'" not in str(missing.value)


def test_the_same_ids_added_at_once_are_added_once(store: VectorStore) -> None:
    """3.2 Every call but one is refused, and writes nothing."""
    docs = store.create_collection("docs", dimension=2, index="none")

    def add(number: int) -> int:
        try:
            docs.add(ids=["shared", f"own {number}"], embeddings=[[1, 2], [1, number]])
        except DuplicateIdError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(add, range(8))) == 1
    assert docs.count() == 2


def test_writers_of_the_same_ids_in_any_order_do_not_deadlock(store: VectorStore) -> None:
    """3.7 Upserts, updates and deletes, each naming the ids in another order."""
    docs = store.create_collection("docs", dimension=2, index="none")
    ids = [f"{number}" for number in range(300)]
    docs.add(ids=ids, embeddings=np.ones((300, 2)))

    def write(seed: int) -> None:
        order: list[str] = np.random.default_rng(seed).permutation(ids).tolist()
        for _ in range(4):
            docs.upsert(ids=order, embeddings=np.ones((300, 2)))
            docs.update(ids=ids, metadatas=[{"seed": seed}] * 300, merge=True)
            docs.delete(order[:100], where={"nothing": True})
            docs.delete(where={"seed": -1})

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(6)))
    assert docs.count() == 300


def test_a_deadlock_with_another_program_is_tried_again(store: VectorStore, postgres_url: str) -> None:
    """3.7 The server ends one of the two transactions; if it is ours, and the input is at hand, it runs once more."""
    docs = store.create_collection("docs", dimension=2, index="none")
    docs.add(ids=["a", "b"], embeddings=[[1, 2], [1, 2]])
    table = docs.info().location
    with psycopg.connect(postgres_url) as other:
        other.execute("SET LOCAL deadlock_timeout = '60s'")  # so that the server ends ours
        other.execute(f"SELECT FROM {table} WHERE id = 'b' FOR UPDATE".encode())
        waiting = threading.Thread(target=lambda: docs.upsert(ids=["a", "b"], embeddings=[[3, 4], [5, 6]]))
        waiting.start()
        wait_for_a_lock(other)
        other.execute(f"SELECT FROM {table} WHERE id = 'a' FOR UPDATE".encode())
        other.rollback()
    waiting.join(20)
    assert not waiting.is_alive()
    assert docs.search([5, 6], k=1)[0].id == "b"


def test_a_serialization_failure_is_tried_again(postgres_url: str, store: VectorStore, schema: str) -> None:
    """3.7 Where the server's default isolation has them."""
    docs = store.create_collection("docs", dimension=2, index="none")
    docs.add(ids=["a"], embeddings=[[1, 2]])
    url = make_conninfo(
        postgres_url, options="-c default_transaction_isolation=serializable -c application_name=strict"
    )
    with VectorStore(PgVectorBackend(url, schema=schema)) as strict, ThreadPoolExecutor(4) as threads:
        theirs = strict.get_collection("docs")

        def count_up(number: int) -> None:
            theirs.update(ids=["a"], metadatas=[{f"k{number}": number}], merge=True)

        list(threads.map(count_up, range(12)))
    assert len(docs.get(["a"])[0].metadata) == 12


def test_a_connection_lost_in_mid_write_writes_nothing(store: VectorStore, admin: Connection) -> None:
    """3.7 The error is typed, and the next call has a new connection."""
    docs = store.create_collection("docs", dimension=2, index="none")

    def cut_off() -> Iterator[Record]:
        yield from records(2500)
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'vectorkit'"
        )
        yield from (Record(f"late {number}", embedding=[1, 2]) for number in range(2500))

    for write in (docs.add, docs.upsert):
        with pytest.raises(BackendUnavailableError, match="call again"):
            write(records=cut_off())
        assert docs.count() == 0


def test_a_merge_by_many_at_once_loses_no_key(store: VectorStore) -> None:
    """3.4 It is one statement, on the row as it is then."""
    docs = store.create_collection("docs", dimension=2, index="none")
    docs.add(ids=["a"], embeddings=[[1, 2]], metadatas=[{"kept": 1.0}])

    def merge(number: int) -> None:
        docs.update(ids=["a"], metadatas=[{f"k{number}": number}], merge=True)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(merge, range(60)))
    assert docs.get()[0].metadata == {"kept": 1.0, **{f"k{number}": number for number in range(60)}}


@pytest.mark.parametrize("dimension", [1, 2000, 2001, 16_000])
def test_rows_of_any_size_fit(store: VectorStore, dimension: int) -> None:
    """2.1, 2.4 The longest ids, documents that do not compress, and the largest vectors that stay in the row."""
    docs = store.create_collection("docs", dimension=dimension, metric="l2")
    rng = np.random.default_rng(dimension)
    ids = ["".join(map(chr, rng.integers(0x10000, 0x10FFFF, 512))) for _ in range(3)]
    texts = ["".join(map(chr, rng.integers(0x4E00, 0x9FFF, size))) for size in (0, 1000, 200_000)]
    vectors = rng.normal(size=(3, dimension)).astype(np.float32)
    metadatas: list[dict[str, Any]] = [{"text": text, "list": [0.5] * 1000} for text in texts]
    for write in (docs.add, docs.upsert):
        write(ids=ids, documents=texts, embeddings=vectors, metadatas=metadatas)
        found = docs.get(ids, include_embeddings=True)
        assert [(record.document, record.metadata) for record in found] == list(zip(texts, metadatas, strict=True))
        assert all(np.array_equal(record.embedding, vector) for record, vector in zip(found, vectors, strict=True))  # type: ignore[arg-type]
    assert docs.search(vectors[1], k=1)[0].id == ids[1]


def wait_for_a_lock(other: Connection) -> None:
    """Until another session waits for one that `other` holds."""
    with psycopg.connect(other.info.dsn, password=other.info.password, autocommit=True) as watching:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {other.info.backend_pid} = ANY (pg_blocking_pids(pid))"
        eventually(lambda: watching.execute(query.encode()).fetchone() != (0,))


def eventually(condition: Callable[[], bool]) -> None:
    clock = threading.Event()
    for _ in range(1000):
        if condition():
            return
        clock.wait(0.02)
    raise AssertionError("not within the time allowed")
