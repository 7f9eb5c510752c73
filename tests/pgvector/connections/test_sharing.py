"""Work of one call that several connections share."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from vectorkit_pgvector.connections.options import Options
from vectorkit_pgvector.connections.sessions import Session, Sessions
from vectorkit_pgvector.connections.sharing import shared
from vectorkit_pgvector.connections.sources import CallersConnection, CallersPool, OwnPool, RemoteServer
from vectorkit_pgvector.sql.tables import Statement

NUMBERS = list(range(50))


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[Sessions]:
    made = Sessions(OwnPool(lambda: RemoteServer(postgres_url), {}, Options()))
    yield made
    made.close()


class Doubling:
    """Has the server double numbers, and notes which of its processes did; all begin when `together` of them are there.

    Args:
        together: How many connections must take part.
    """

    def __init__(self, together: int = 1) -> None:
        self.processes: list[int] = []
        self.threads: set[str] = set()
        self._all = threading.Barrier(together)
        self._met = threading.local()

    def __call__(self, session: Session, numbers: Sequence[int]) -> list[int]:
        self.threads.add(threading.current_thread().name)
        if not hasattr(self._met, "done"):
            self._all.wait(30)
            self._met.done = True
        statement = Statement("SELECT 2 * n, pg_backend_pid() FROM unnest($1::int[]) AS n", [list(numbers)])
        rows = session.rows(statement)
        self.processes += {process for _, process in rows}
        return [number for number, _ in rows]


def test_several_connections_do_the_work_and_the_results_keep_their_order(sessions: Sessions) -> None:
    """6.8 Up to four of them; fewer items than are worth a second one are done by the one."""
    doubling = Doubling(together=4)
    assert shared(sessions, NUMBERS, doubling, {}) == [2 * number for number in NUMBERS]
    assert len(set(doubling.processes)) == 4
    few = Doubling()
    assert shared(sessions, NUMBERS[:19], few, {}) == [2 * number for number in NUMBERS[:19]]
    assert len(few.processes) == 1


def test_what_another_connection_fails_at_is_done_by_that_of_the_call(sessions: Sessions) -> None:
    """8.2 The connection may have been lost, or none was free in time."""
    doubling, failed = Doubling(), threading.Semaphore(0)

    def work(session: Session, numbers: Sequence[int]) -> list[int]:
        if threading.current_thread() is not threading.main_thread():
            failed.release()
            raise psycopg.errors.QueryCanceled("on another connection")
        assert failed.acquire(timeout=30)  # so that the others have begun
        failed.release()
        return doubling(session, numbers)

    assert shared(sessions, NUMBERS, work, {}) == [2 * number for number in NUMBERS]
    assert doubling.threads == {threading.main_thread().name}


def test_an_error_of_the_call_ends_the_work_of_the_others(sessions: Sessions) -> None:
    """8.2 Ctrl-C among them: what was not begun is not done."""
    begun: list[int] = []
    interrupted = threading.Event()

    def work(session: Session, numbers: Sequence[int]) -> list[int]:
        begun.extend(numbers)
        if threading.current_thread() is threading.main_thread():
            interrupted.set()
            raise KeyboardInterrupt
        assert interrupted.wait(30)
        session.rows(Statement("SELECT 1 FROM pg_sleep(0.2)"))
        return list(numbers)

    with pytest.raises(KeyboardInterrupt):
        shared(sessions, NUMBERS, work, {})
    assert interrupted.is_set()
    assert len(begun) == len(set(begun))
    assert sessions.read(lambda session: session.rows(Statement("SELECT 1"))) == [(1,)]


def test_connections_of_the_caller_are_not_taken_for_it(postgres_url: str) -> None:
    """3.7 A pool of the caller's is for the caller's own threads, a connection for its transaction."""
    with ConnectionPool[Any](postgres_url, min_size=2, max_size=4) as pool, psycopg.connect(postgres_url) as connection:
        for source in (CallersPool(pool), CallersConnection(connection)):
            doubling = Doubling()
            assert shared(Sessions(source), NUMBERS, doubling, {}) == [2 * number for number in NUMBERS]
            assert len(doubling.processes) == 1
        connection.rollback()


def test_calls_at_once_leave_connections_for_others(sessions: Sessions) -> None:
    """8.2 All of them together take three more than one each, so that no other call waits for one in vain."""
    with sessions.helpers(3) as first, sessions.helpers(3) as second:
        assert (first, second) == (3, 0)
    with sessions.helpers(2) as first, sessions.helpers(3) as second:
        assert (first, second) == (2, 1)
    with sessions.helpers(-1) as none:
        assert none == 0


def test_many_items_are_begun_in_parts_that_end_soon(sessions: Sessions) -> None:
    """8.2 What was begun is waited for after Ctrl-C: never a quarter of everything."""
    sizes: list[int] = []

    def work(session: Session, numbers: Sequence[int]) -> list[int]:
        sizes.append(len(numbers))
        return Doubling()(session, numbers)

    assert shared(sessions, range(1000), work, {}) == [2 * number for number in range(1000)]
    assert max(sizes) == 50


OUTLIVING = """
import sys, threading
import numpy as np
import vectorkit as vk

store = vk.connect(sys.argv[1])
vectors = np.random.default_rng(0).normal(size=(2500, 4)).astype(np.float32)
docs = store.create_collection(sys.argv[2], dimension=4)
docs.add(ids=[f"{n:04}" for n in range(2500)], embeddings=vectors)

def serve():
    threading.main_thread().join()
    print(len(docs.get(include_embeddings=True)), sum(1 for _ in docs.scan()), len(docs.search_many(vectors[:50], 3)))
    store.close()

threading.Thread(target=serve).start()
"""


@pytest.mark.parametrize("kind", ["postgres", "chroma"])
def test_a_thread_that_outlives_the_main_one_reads_and_searches(postgres_url: str, tmp_path: Path, kind: str) -> None:
    """8.2 No thread can be begun any more then; the work is done without."""
    url = postgres_url if kind == "postgres" else f"chroma:{tmp_path}"
    name = f"outliving-{uuid4().hex}"
    done = subprocess.run([sys.executable, "-c", OUTLIVING, url, name], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("2500 2500 50\n", "", 0)


def test_connections_that_others_use_are_not_waited_for(sessions: Sessions) -> None:
    """8.2 With all but one in use, that one does all of the work."""
    held, release = threading.Semaphore(0), threading.Event()

    def hold(_: Session) -> None:
        held.release()
        assert release.wait(30)

    threads = [threading.Thread(target=sessions.read, args=[hold]) for _ in range(9)]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            assert held.acquire(timeout=30)
        with sessions.helpers(3) as spare:
            assert spare == 0
        doubling = Doubling()
        assert shared(sessions, NUMBERS, doubling, {}) == [2 * number for number in NUMBERS]
        assert len(doubling.processes) == 1
    finally:
        release.set()
        for thread in threads:
            thread.join()
