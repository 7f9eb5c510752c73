"""Work of one call that several connections share."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from vectorkit_pgvector._sessions import Session, Sessions
from vectorkit_pgvector._sharing import shared
from vectorkit_pgvector._sources import CallersConnection, CallersPool, OwnPool
from vectorkit_pgvector._sql import Statement

NUMBERS = list(range(50))


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[Sessions]:
    made = Sessions(OwnPool(lambda: (postgres_url, lambda: None), {}, pooler=None))
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
        assert sessions.spare == 0
        doubling = Doubling()
        assert shared(sessions, NUMBERS, doubling, {}) == [2 * number for number in NUMBERS]
        assert len(doubling.processes) == 1
    finally:
        release.set()
        for thread in threads:
            thread.join()
