"""What every part of the mirror stands on: its two stores, the journal, and the life of both."""

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from vectorkit.errors import BackendError, BackendTimeoutError, CollectionNotFoundError, InvalidArgumentError
from vectorkit.mirror._equality import Sides, twin
from vectorkit.mirror._following import Follower
from vectorkit.mirror._journal import Entry, Journal, mark_of
from vectorkit.mirror._sampling import Answers, MirrorReport, Sample, Sampler
from vectorkit.protocol import VectorBackend
from vectorkit.types import CollectionInfo
from vectorkit.validation import check_share

__all__ = ["Mirroring", "Write"]

Found = TypeVar("Found")

_TURN: Final = " after promotion "

_PATIENCE: Final = 5.0
"""Seconds that `close` waits for the secondary."""


class Write:
    """A write that is under way.

    Args:
        first: The store to write to.
        info: The collection there.
        journal: Where to note what it touches.
        noted: The numbers of its entries.
    """

    def __init__(self, first: VectorBackend, info: CollectionInfo, journal: Journal, noted: list[int]) -> None:
        self.first = first
        self.info = info
        self._journal = journal
        self._noted = noted

    def note(self, ids: Sequence[str]) -> None:
        """Put ids into the journal, before the store is given them."""
        self._noted += self._journal.append(Entry.of_ids(self.info.name, mark_of(self.info), ids))


class Mirroring:
    """Two stores and a journal; see `MirrorBackend`."""

    def __init__(
        self, primary: VectorBackend, secondary: VectorBackend, *, journal: str | os.PathLike[str], sample: float
    ) -> None:
        for store in (primary, secondary):
            if not isinstance(store, VectorBackend):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(
                    f"{type(store).__name__} is no VectorBackend; of a VectorStore give the attribute backend"
                )
        if primary is secondary:
            raise InvalidArgumentError("primary and secondary are one store; give two")
        share = check_share(sample, "sample")
        if not isinstance(journal, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"journal= is the path of a file, not {type(journal).__name__}")
        self._journal = Journal(Path(journal))
        self._sampler = Sampler(self._journal, share)
        self._follower = Follower(self._journal, self._sampler, Sides(primary, secondary))
        self._moved: dict[tuple[str, str], CollectionInfo] = {}
        self._turns = 0
        self._preparing = threading.Lock()
        self._prepared = self._closed = self._promoting = False
        self._writing = 0
        self._process = os.getpid()

    @property
    def primary(self) -> VectorBackend:
        """The store that answers."""
        return self._follower.sides.first

    @property
    def secondary(self) -> VectorBackend:
        """The store that is kept equal to it."""
        return self._follower.sides.second

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
            if self._closed:
                return
            self._closed = True
        if self._process != os.getpid():
            return  # connections, thread and lock are the parent's
        with ExitStack() as closing:
            for each in (self.secondary, self.primary, self._journal):
                closing.callback(each.close)
            self._follower.stop(_PATIENCE)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("this mirror was closed; connect again")
        if self._process != os.getpid():
            raise BackendError("this mirror was opened before the process forked; open one in the child")

    def _ready(self) -> VectorBackend:
        """The primary, once it is known how its collections stand with those of the secondary."""
        self._check_open()
        if not self._prepared:
            with self._preparing:
                if not self._prepared:
                    self._prepare()
                    self._prepared = True
        return self.primary

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
        self._journal.finish(self._journal.append(Entry(info.name, mark_of(info), "ids") for info in infos))
        self._follower.start()

    def _exchanged(self, infos: Sequence[CollectionInfo]) -> bool:
        """Whether the journal knows the primary as the secondary: by what they are called, or by their collections."""
        here, there = repr(self.primary), repr(self.secondary)
        if here != there and self._journal.sides() in ((here, there), (there, here)):
            return self._journal.sides() == (there, here)
        found = {(info.name, mark_of(info)) for info in infos}
        pairs = self._journal.pairs()
        return len(found & {(name, second) for (name, _), second in pairs.items()}) > len(found & pairs.keys())

    def _here(self, collection: CollectionInfo) -> CollectionInfo:
        """A collection in the primary, also for a handle from before it was one."""
        if moved := self._moved.get((collection.name, collection.generation)):
            return moved
        generation, _, turn = collection.generation.partition(_TURN) if self._turns else (collection.generation, "", "")
        if self._turns and turn != str(self._turns):
            raise CollectionNotFoundError(
                f"collection {collection.name!r} was dropped since it was opened; open or create it again"
            )
        return replace(collection, generation=generation)

    def _handed(self, info: CollectionInfo) -> CollectionInfo:
        """A collection of the primary as a handle that tells after how many promotions it was opened."""
        return replace(info, generation=f"{info.generation}{_TURN}{self._turns}") if self._turns else info

    @contextmanager
    def _noting(self) -> Generator[list[int]]:
        """The time of a write. The entries whose numbers are put into the list are left alone until it is over."""
        self._ready()
        with self._journal.changed:
            while self._promoting:
                self._journal.changed.wait()
            self._writing += 1
        noted: list[int] = []
        try:
            yield noted
        finally:
            with self._journal.changed:
                self._writing -= 1
            self._journal.finish(noted)

    @contextmanager
    def _written(self, collection: CollectionInfo) -> Generator[Write]:
        """A write to the records of a collection."""
        with self._noting() as noted:
            yield Write(self.primary, self._here(collection), self._journal, noted)

    def _asked(
        self,
        collection: CollectionInfo,
        ask: Callable[[VectorBackend, CollectionInfo], Found],
        scores: Callable[[Found], Answers],
    ) -> Found:
        """What a search on the primary finds; it is kept for the secondary if it is one of the sample."""
        primary, info = self._ready(), self._here(collection)
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
        with self._journal.changed:
            if self._promoting:
                raise BackendError("another thread is promoting the secondary; wait for it")
            self._promoting = True
        try:
            with self._journal.changed:
                while self._writing:
                    if not self._journal.changed.wait(deadline - time.monotonic()):
                        raise BackendTimeoutError(f"a write was under way for more than {timeout:g} s; promote later")
            self._prepare()  # collections that others made in the primary
            self._follower.flush(max(0.0, deadline - time.monotonic()), samples=False)
            sides = self._follower.sides
            moved: dict[tuple[str, str], CollectionInfo] = {}
            for info in sides.first.list_collections():
                other = twin(sides, self._journal, info)
                if other is None:
                    raise BackendError(f"collection {info.name!r} was changed meanwhile by others; promote again")
                moved[info.name, self._handed(info).generation] = other
                moved |= {handle: other for handle, known in self._moved.items() if mark_of(known) == mark_of(info)}
            self._journal.swap()
            self._moved = moved
            self._turns += 1
            self._follower.sides = Sides(sides.second, sides.first)
            self._sampler.reset()
        finally:
            with self._journal.changed:
                self._promoting = False
                self._journal.changed.notify_all()
