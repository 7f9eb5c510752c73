"""The thread that brings the second store up to date, and compares searches when it has nothing else to do."""

import threading
import time
from typing import Final

from vectorkit.errors import BackendTimeoutError, CollectionNotFoundError
from vectorkit.mirror._equality import Sides, follow
from vectorkit.mirror._journal import Entry, Journal
from vectorkit.mirror._sampling import Sampler

__all__ = ["Follower"]

_FIRST_REST: Final = 0.1
_LONGEST_REST: Final = 30.0
"""Seconds between two attempts at a collection that failed; doubled each time."""


class Follower:
    """Applies the journal, a collection's entries in their order; one that fails rests while others go on.

    Args:
        journal: What to apply.
        sampler: What to compare.
        sides: The stores.
    """

    def __init__(self, journal: Journal, sampler: Sampler, sides: Sides) -> None:
        self._journal = journal
        self._sampler = sampler
        self.sides = sides
        self._resting: dict[str, tuple[float, float]] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if it is not running."""
        with self._journal.lock:
            begun = self._thread is not None and self._thread.is_alive()  # not so if an interrupt came between the two
            if not begun and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="vectorkit-mirror", daemon=True)
                self._thread.start()

    def flush(self, timeout: float, *, samples: bool) -> None:
        """Wait until the second store has everything.

        Args:
            timeout: Seconds.
            samples: Whether to wait until the searches that were put aside are compared, too.

        Raises:
            BackendTimeoutError: It has not, in that time; says how much is left, and what went wrong last.
        """
        deadline = time.monotonic() + timeout
        with self._journal.lock:
            self._resting.clear()  # try again now
            self._journal.changed.notify_all()
            while self._journal.depth or (samples and self._sampler.busy):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise BackendTimeoutError(
                        f"after {timeout:g} s the journal holds {self._journal.depth:,} entries that the secondary has "
                        f"not taken over; the last error was: {self._sampler.last_error or 'none'}; wait longer, or "
                        "see why it is slow"
                    )
                self._journal.changed.wait(left)

    def stop(self, patience: float) -> None:
        """End the thread, after what it is doing; before, let it go on for a while unless the second store fails."""
        if self._thread is None or not self._thread.is_alive():
            return
        deadline = time.monotonic() + patience
        with self._journal.lock:
            while self._journal.depth and not self._resting and time.monotonic() < deadline:
                self._journal.changed.wait(0.1)
            self._stopping = True
            self._journal.changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._journal.lock:
                if self._stopping or self._thread is not threading.current_thread():
                    return
                work, wait = self._next()
                if not work and not self._sampler.busy:
                    self._journal.changed.wait(wait)
                    continue
            if work:
                self._apply(work)
            else:
                self._sampler.compare_next(self.sides)

    def _next(self) -> tuple[list[tuple[int, Entry]], float | None]:
        """What can be applied now, and how long to wait if nothing can: None for until something happens."""
        now = time.monotonic()
        resting = {name: until - now for name, (until, _) in self._resting.items() if until > now}
        try:
            return self._journal.next(resting), min(resting.values(), default=None)
        except Exception as error:
            self._sampler.failed("the journal", error)
            return [], _LONGEST_REST

    def _apply(self, work: list[tuple[int, Entry]]) -> None:
        name = work[0][1].name
        try:
            for _ in follow(self.sides, self._journal, [entry for _, entry in work]):
                if self._stopping:
                    return
            self._journal.remove([number for number, _ in work], name)
        except CollectionNotFoundError:  # dropped meanwhile: the next attempt looks what is there
            self._rest(name)
        except Exception as error:  # of whatever kind: what a store raises must not end the thread
            self._sampler.failed(f"collection {name!r}", error)
            self._rest(name)
        else:
            with self._journal.lock:
                self._resting.pop(name, None)
                if not self._journal.depth:
                    self._sampler.last_error = None

    def _rest(self, name: str) -> None:
        with self._journal.lock:
            _, rest = self._resting.get(name, (0.0, _FIRST_REST / 2))
            rest = min(2 * rest, _LONGEST_REST)
            self._resting[name] = time.monotonic() + rest, rest
            self._journal.changed.notify_all()
