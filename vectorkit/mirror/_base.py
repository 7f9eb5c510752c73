"""What every part of the mirror stands on: its two stores, the journal, and the life of both."""

import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from vectorkit._collected import when_collected
from vectorkit.errors import BackendError, BackendTimeoutError, CollectionNotFoundError, InvalidArgumentError
from vectorkit.mirror._equality import Sides, twin
from vectorkit.mirror._following import Follower
from vectorkit.mirror._journal import Entry, Journal, mark_of
from vectorkit.mirror._sampling import Answers, MirrorReport, Sample, Sampler
from vectorkit.paths import local_path
from vectorkit.protocol import VectorBackend
from vectorkit.types import CollectionInfo
from vectorkit.validation import check_share

__all__ = ["Mirroring", "View", "Write"]

Found = TypeVar("Found")

_TURN: Final = " after promotion "

_PATIENCE: Final = 5.0
"""Seconds that `close` waits for the secondary."""

_LOOK: Final = 0.1
"""Seconds between two looks at the writes that a promotion waits for."""


@dataclass(frozen=True, slots=True)
class View:
    """Which store answers, and what handles mean there; replaced as a whole by a promotion.

    Attributes:
        sides: The stores.
        moved: Collections of the primary by name and generation of handles from before it was the primary.
        turns: How many promotions there were.
    """

    sides: Sides
    moved: Mapping[tuple[str, str], CollectionInfo] = field(default_factory=dict[tuple[str, str], CollectionInfo])
    turns: int = 0

    @property
    def first(self) -> VectorBackend:
        """The primary."""
        return self.sides.first

    def here(self, handle: CollectionInfo) -> CollectionInfo:
        """The collection of the primary that a handle stands for."""
        if moved := self.moved.get((handle.name, handle.generation)):
            return moved
        if not self.turns:
            return handle
        generation, _, turn = handle.generation.partition(_TURN)
        if turn != str(self.turns):
            raise CollectionNotFoundError(
                f"collection {handle.name!r} was dropped since it was opened; open or create it again"
            )
        return replace(handle, generation=generation)

    def handed(self, info: CollectionInfo) -> CollectionInfo:
        """A collection of the primary as a handle; two stores may count generations alike, so it tells of which one."""
        return replace(info, generation=f"{info.generation}{_TURN}{self.turns}") if self.turns else info

    def turned(self, journal: Journal) -> "View":
        """The view with the stores exchanged, in which the handles of this one stay good."""
        moved: dict[tuple[str, str], CollectionInfo] = {}
        for info in self.first.list_collections():
            other = twin(self.sides, journal, info)
            if other is None:
                raise BackendError(f"collection {info.name!r} was changed meanwhile by others; promote again")
            moved[info.name, self.handed(info).generation] = other
            moved |= {handle: other for handle, known in self.moved.items() if mark_of(known) == mark_of(info)}
        return View(Sides(self.sides.second, self.sides.first), moved, self.turns + 1)


class Write:
    """A write that is under way: what it notes is in the journal, and left alone until it is over.

    Args:
        view: Where it goes.
        journal: Where to note what it touches.
    """

    def __init__(self, view: View, journal: Journal) -> None:
        self.view = view
        self._journal = journal

    def ids(self, info: CollectionInfo, ids: Sequence[str]) -> None:
        """Note ids, before the store is given them."""
        self._journal.append(Entry.of_ids(info.name, mark_of(info), ids), self)

    def made(self, *infos: CollectionInfo) -> None:
        """Note collections that are new, or to be looked at anew."""
        self._journal.append([Entry(info.name, mark_of(info), "ids") for info in infos], self)

    def dropped(self, *infos: CollectionInfo) -> None:
        """Note collections, before the store drops them."""
        self._journal.append([Entry(info.name, mark_of(info), "drop") for info in infos], self)


def _release(follower: Follower, journal: Journal) -> None:
    """End the thread of a mirror that was not closed, and give up its journal; the stores may be in use elsewhere."""
    follower.stop(_PATIENCE)
    journal.close()


class Mirroring:
    """Two stores and a journal; see `MirrorBackend`."""

    def __init__(
        self, primary: VectorBackend, secondary: VectorBackend, *, journal: str | os.PathLike[str], sample: float = 0.01
    ) -> None:
        for store in (primary, secondary):
            if not isinstance(store, VectorBackend):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(
                    f"primary and secondary must be a VectorBackend, got {type(store).__name__}; of a VectorStore give "
                    "its attribute backend"
                )
        if primary is secondary:
            raise InvalidArgumentError("primary and secondary are one store; give two")
        share = check_share(sample, "sample")
        if not isinstance(journal, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"journal= is the path of a file, not {type(journal).__name__}")
        self._journal = Journal(local_path(journal, "journal"))
        self._sampler = Sampler(self._journal, share)
        self._view = View(Sides(primary, secondary))
        self._follower = Follower(self._journal, self._sampler, self._view.sides)
        self._preparing = threading.Lock()
        self._prepared = self._closed = False
        self._promoting: object = None  # who is
        self._writes: weakref.WeakSet[Write] = weakref.WeakSet()  # under way
        self._process = os.getpid()
        self._call_off_release = when_collected(self, partial(_release, self._follower, self._journal))

    @property
    def primary(self) -> VectorBackend:
        """The store that answers."""
        return self._view.first

    @property
    def secondary(self) -> VectorBackend:
        """The store that is kept equal to it."""
        return self._view.sides.second

    def report(self) -> MirrorReport:
        """How far the secondary is behind, and how its answers and times compare with those of the primary."""
        self._check_open()
        return self._sampler.report()

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the secondary has everything, and the sampled searches are compared.

        Args:
            timeout: The most seconds to wait.

        Raises:
            BackendTimeoutError: It has not, in that time; says how much is left, and what went wrong last.
        """
        self._ready()
        self._follower.flush(timeout, samples=True)

    def close(self) -> None:
        """See `VectorBackend.close`. Both stores are closed.

        What the journal holds is given to the secondary for up to 5 s, unless it fails; the rest is on disk, for the
        next mirror with this journal.
        """
        with self._preparing:
            self._closed = True  # again: what an interrupted call has left open is closed
        if self._process != os.getpid():
            return  # connections, thread and lock are the parent's
        with ExitStack() as closing:
            for each in (self.secondary, self.primary, self._journal):
                closing.callback(each.close)
            self._follower.stop(_PATIENCE)
        self._call_off_release()

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("this mirror was closed; connect again")
        if self._process != os.getpid():
            raise BackendError("this mirror was opened before the process forked; open one in the child")

    def _ready(self) -> View:
        """The view, once it is known how the collections of the primary stand with those of the secondary."""
        self._check_open()
        if not self._prepared:
            with self._preparing:
                if not self._prepared:
                    self._prepare()
                    self._prepared = True
        return self._view

    def _prepare(self) -> None:
        infos = self.primary.list_collections()
        if self._exchanged(infos):
            if depth := self._journal.depth:
                raise BackendError(
                    f"the journal holds {depth:,} entries for a mirror in which {self.secondary.name} is the primary, "
                    f"and {self.primary.name} lacks them; open it so, flush() and promote()"
                )
            self._journal.swap()
        self._journal.name_sides(repr(self.primary), repr(self.secondary))
        self._follower.sides = self._view.sides
        looked = Write(self._view, self._journal)
        looked.made(*infos)
        self._journal.finish(looked)
        self._follower.start()

    def _exchanged(self, infos: Sequence[CollectionInfo]) -> bool:
        """Whether the journal knows the primary as the secondary: by what they are called, or by their collections."""
        here, there = repr(self.primary), repr(self.secondary)
        if here != there and self._journal.sides() in ((here, there), (there, here)):
            return self._journal.sides() == (there, here)
        found = {(info.name, mark_of(info)) for info in infos}
        pairs = self._journal.pairs()
        return len(found & {(name, second) for (name, _), second in pairs.items()}) > len(found & pairs.keys())

    @contextmanager
    def _writing(self) -> Generator[Write]:
        """The time of a write; it waits while the stores are exchanged."""
        self._ready()
        with self._journal.lock:
            while self._promoting is not None:
                self._journal.changed.wait()
            write = Write(self._view, self._journal)
            self._writes.add(write)
        try:
            try:
                yield write
            finally:
                self._over(write)
        finally:
            self._over(write)  # again, as an interrupt may have come before the first

    def _over(self, write: Write) -> None:
        """Note that a write is over; again: nothing."""
        with self._journal.lock:
            self._writes.discard(write)
            self._journal.finish(write)

    def _asked(
        self,
        collection: CollectionInfo,
        ask: Callable[[VectorBackend, CollectionInfo], Found],
        scores: Callable[[Found], Answers],
    ) -> Found:
        """What a search on the primary finds; it is kept for the secondary if it is one of the sample."""
        view = self._ready()
        primary, info = view.first, view.here(collection)
        if not self._sampler.chosen():
            return ask(primary, info)
        version, _ = self._journal.state(info.name)
        began = time.perf_counter()
        found = ask(primary, info)
        seconds = time.perf_counter() - began
        self._sampler.put(Sample(info, lambda store, other: scores(ask(store, other)), scores(found), seconds, version))
        return found

    def _turn(self, timeout: float) -> None:
        """Exchange the stores; see `MirrorBackend.promote`."""
        self._ready()
        deadline = time.monotonic() + timeout
        me = object()
        try:
            try:
                with self._journal.lock:
                    if self._promoting is not None:
                        raise BackendError("another thread is promoting the secondary; wait for it")
                    self._promoting = me
                self._exchange(deadline, timeout)
            finally:
                self._promoted(me)
        finally:
            self._promoted(me)  # again, as an interrupt may have come before the first

    def _exchange(self, deadline: float, timeout: float) -> None:
        with self._journal.lock:
            while self._writes:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise BackendTimeoutError(f"a write was under way for more than {timeout:g} s; promote later")
                self._journal.changed.wait(min(left, _LOOK))  # one that was interrupted may end without saying so
        self._prepare()  # collections that others made in the primary
        self._follower.flush(max(0.0, deadline - time.monotonic()), samples=False)
        turned = self._view.turned(self._journal)
        self._prepared = False  # should an interrupt come before journal and stores agree, the next use sees to that
        self._journal.swap()
        self._view = turned
        self._follower.sides = turned.sides
        self._sampler.reset()
        self._prepared = True

    def _promoted(self, me: object) -> None:
        """Let writes go on, if they wait for this promotion; again: nothing."""
        with self._journal.lock:
            if self._promoting is me:
                self._promoting = None
            self._journal.changed.notify_all()
