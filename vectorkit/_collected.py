"""Releasing what an object holds when it is collected without having been closed."""

import os
import threading
import weakref
from collections.abc import Callable

__all__ = ["when_collected"]


def when_collected(owner: object, release: Callable[[], object]) -> Callable[[], object]:
    """Have `release` called once `owner` is collected, in a thread of its own.

    The garbage collector runs in whatever thread comes along: one that `release` would wait for, or one that holds a
    lock that it takes. Nothing is called at the end of the interpreter, or in a process that was forked off.

    Args:
        owner: What may be forgotten unclosed.
        release: Gives up what it holds. It must not refer to `owner`, which then would never be collected.

    Returns:
        Calls it off, for when `owner` is closed after all.
    """
    finalizer = weakref.finalize(owner, _begin, release, os.getpid())
    finalizer.atexit = False
    return finalizer.detach


def _begin(release: Callable[[], object], process: int) -> None:
    if os.getpid() == process:
        threading.Thread(target=release, name="vectorkit-release").start()
