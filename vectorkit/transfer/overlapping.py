"""Reading ahead: one thread takes from an iterator while the caller works on what came before."""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Final, TypeVar

__all__ = ["reading_ahead"]

T = TypeVar("T")

_TICK: Final = 0.1
"""Seconds after which the thread looks whether anybody still waits for what it reads."""


@contextmanager
def reading_ahead(source: Iterable[T], ahead: int = 2) -> Generator[Iterator[T]]:
    """Iterate in another thread, so that reading and what the caller does overlap; the thread ends with the context.

    Args:
        source: What to iterate over; what it raises is raised in the caller's thread, at its place.
        ahead: How many elements wait at most.
    """
    queue: Queue[tuple[T | None, BaseException | None]] = Queue(ahead)
    ended = threading.Event()

    def put(element: T | None, error: BaseException | None) -> bool:
        while not ended.is_set():
            try:
                queue.put((element, error), timeout=_TICK)
            except Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for element in source:
                if not put(element, None):
                    return
        except BaseException as error:  # of whatever kind: it is the caller's
            put(None, error)
        else:
            put(None, StopIteration())

    def elements() -> Iterator[T]:
        while True:
            element, error = _taken(queue)
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield element  # type: ignore[misc]  # pyright: ignore[reportReturnType]

    thread = threading.Thread(target=read, name="vectorkit-reading-ahead")
    thread.start()
    try:
        yield elements()
    finally:
        ended.set()
        thread.join()


def _taken(queue: Queue[T]) -> T:
    while True:
        try:
            return queue.get(timeout=_TICK)  # in between, a signal such as Ctrl-C is heard on every system
        except Empty:
            continue
