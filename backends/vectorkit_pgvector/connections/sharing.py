"""Many searches in one call: beside the connection of the call, others of the pool do some of them.

PostgreSQL runs the statements of one connection one after another, on one core, and most of the time of many searches
is its own.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from vectorkit_pgvector.connections.sessions import Session, Sessions

__all__ = ["shared"]

T = TypeVar("T")
Item = TypeVar("Item")

_LEAST: Final = 10
"""Items that are worth a connection: it may have to be made first, in some milliseconds."""
_MOST: Final = 50
"""Items that are begun together; those that are begun are waited for, also after Ctrl-C."""


def shared(
    sessions: Sessions,
    items: Sequence[Item],
    work: Callable[[Session, Sequence[Item]], list[T]],
    settings: Mapping[str, str],
) -> list[T]:
    """Do work that only reads, in parts, on as many connections as are to spare, up to four.

    Args:
        sessions: Where to do it.
        items: What to do it with.
        work: What to do with some of them, one result each.
        settings: As for `Sessions.read`.

    Returns:
        The results, in the order of the items.
    """
    if len(items) < 2 * _LEAST:
        return sessions.read(lambda session: work(session, items), settings)
    with sessions.helpers(len(items) // _LEAST - 1) as helpers:
        if not helpers:
            return sessions.read(lambda session: work(session, items), settings)
        size = min(_MOST, -(-len(items) // (1 + helpers)))
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        done: list[list[T]] = [[] for _ in parts]
        waiting = deque(range(len(parts)))

        def some(session: Session) -> None:
            while (at := _first(waiting)) is not None:
                try:
                    done[at] = work(session, parts[at])
                except BaseException:
                    waiting.appendleft(at)
                    raise

        def begun(session: Session) -> None:
            """Have the others begin once this call has a connection, so that they do not take it."""
            nonlocal helpers
            while helpers:
                helpers -= 1
                with suppress(RuntimeError):  # no thread begins any more once the interpreter's main thread has ended
                    threads.submit(sessions.read, some, settings)
            some(session)

        with ThreadPoolExecutor(helpers, "vectorkit-search") as threads:
            try:
                sessions.read(begun, settings)
            except BaseException:
                waiting.clear()  # or the others would go on
                raise
        if waiting:  # what another one failed to do is done here, and raises what there is to raise
            sessions.read(some, settings)
        return [result for part in done for result in part]


def _first(waiting: deque[int]) -> int | None:
    try:
        return waiting.popleft()
    except IndexError:  # another one was faster
        return None
