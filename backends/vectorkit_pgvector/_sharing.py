"""Many searches in one call: beside the connection of the call, others of the pool do some of them.

PostgreSQL runs the statements of one connection one after another, on one core, and most of the time of many searches
is its own.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from vectorkit_pgvector._sessions import Session, Sessions

__all__ = ["shared"]

T = TypeVar("T")
Item = TypeVar("Item")

_LEAST: Final = 10
"""Items that are worth a connection: it may have to be made first, in some milliseconds."""
_HELPERS: Final = 3


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
    most = min(_HELPERS, len(items) // _LEAST - 1)
    helpers = min(most, sessions.spare) if most > 0 else 0
    if not helpers:
        return sessions.read(lambda session: work(session, items), settings)
    size = -(-len(items) // (1 + helpers))
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

    with ThreadPoolExecutor(helpers, "vectorkit-search") as threads:
        for _ in range(helpers):
            threads.submit(sessions.read, some, settings)
        try:
            sessions.read(some, settings)
        except BaseException:
            waiting.clear()  # or the helpers would go on
            raise
    if waiting:  # what a helper failed to do is done here, and raises what there is to raise
        sessions.read(some, settings)
    return [result for part in done for result in part]


def _first(waiting: deque[int]) -> int | None:
    try:
        return waiting.popleft()
    except IndexError:  # another one was faster
        return None
