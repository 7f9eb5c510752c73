"""Searches that are run on the second store too, in the background, and what comes of comparing the answers."""

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from vectorkit.errors import VectorKitError
from vectorkit.mirror._equality import Sides, twin
from vectorkit.mirror._journal import Journal
from vectorkit.protocol import VectorBackend
from vectorkit.types import CollectionInfo

__all__ = ["Answers", "Latency", "MirrorReport", "Sample", "Sampler"]

Answers: TypeAlias = list[dict[str, float]]
"""Of each query, the score of every hit by its id."""

_QUEUE: Final = 100
"""Searches that wait to be compared; more are dropped, since a search waits for nobody."""

_TIMES: Final = 10_000
"""Times that latencies are computed from, the last ones."""


class Latency(NamedTuple):
    """How long searches take, in milliseconds.

    Attributes:
        p50: Half of them take no longer.
        p95: 95 of 100 take no longer.
    """

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class MirrorReport:
    """How far the secondary is, and how its answers compare, since the mirror was opened or promoted.

    Attributes:
        journal: Entries of the journal that the secondary has yet to take over, of up to 500 records each; 0 if it is
            up to date.
        failures: How often the secondary failed.
        last_error: What it said last; None if it has caught up since.
        compared: Searches whose answers were compared; a call with several queries is one.
        skipped: Searches that could not be compared, since the collection was written to meanwhile.
        dropped: Searches that were not compared, since too many were waiting.
        overlap: Mean share of a query's hits that both found, 0 to 1; None if nothing was compared.
        lowest_overlap: The lowest share of a query.
        score_difference: The largest difference between the two scores of a hit that both found.
        primary: How long the compared searches took on the primary; None if nothing was compared.
        secondary: And on the secondary.
    """

    journal: int
    failures: int
    last_error: str | None
    compared: int
    skipped: int
    dropped: int
    overlap: float | None
    lowest_overlap: float | None
    score_difference: float | None
    primary: Latency | None
    secondary: Latency | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A search that was answered by the first store.

    Attributes:
        info: The collection, of the first store.
        ask: Runs the search on a store.
        answers: What the first store said.
        seconds: How long it took.
        version: Of the collection (`Journal.state`), when the search began.
    """

    info: CollectionInfo
    ask: Callable[[VectorBackend, CollectionInfo], Answers]
    answers: Answers
    seconds: float
    version: int


class Sampler:
    """Chooses searches, keeps them until they are compared, and the figures. Guarded by the journal's lock.

    Args:
        journal: The journal.
        share: Of the searches, from 0 to 1.
    """

    def __init__(self, journal: Journal, share: float) -> None:
        self._journal = journal
        self._share = share
        self._random = random.Random()
        self._waiting: deque[Sample] = deque()
        self._comparing = False
        self._period = 0
        self.reset()

    def reset(self) -> None:
        """Forget all figures, and the searches that wait."""
        with self._journal.lock:
            self._waiting.clear()
            self._period += 1
            self.failures = 0
            self.last_error: str | None = None
            self._compared = self._skipped = self._dropped = 0
            self._overlap, self._queries, self._lowest, self._difference = 0.0, 0, 1.0, 0.0
            self._times: deque[tuple[float, float]] = deque(maxlen=_TIMES)

    @property
    def busy(self) -> bool:
        """Whether a search is waiting, or being compared."""
        with self._journal.lock:
            return bool(self._waiting) or self._comparing

    def chosen(self) -> bool:
        """Whether the next search is to be compared."""
        return self._share > 0 and self._random.random() < self._share

    def put(self, sample: Sample) -> None:
        """Keep a search until its turn comes, or drop it if too many are waiting."""
        with self._journal.lock:
            if len(self._waiting) < _QUEUE:
                self._waiting.append(sample)
                self._journal.changed.notify_all()
            else:
                self._dropped += 1

    def failed(self, what: str, error: Exception) -> None:
        """Note that the second store failed; of an error that is not ours only its class, as it may tell secrets."""
        said = str(error) if isinstance(error, VectorKitError) else "an error of the client's own"
        with self._journal.lock:
            self.failures += 1
            self.last_error = f"{what}: {type(error).__name__}: {said}"

    def compare_next(self, sides: Sides) -> None:
        """Compare one search, if one is waiting."""
        with self._journal.lock:
            if not self._waiting:
                return
            sample = self._waiting.popleft()
            self._comparing = True
        try:
            self._compare(sides, sample)
        except Exception as error:  # of whatever kind: the thread must go on
            self.failed(f"a search in collection {sample.info.name!r}", error)
        finally:
            with self._journal.lock:
                self._comparing = False
                self._journal.changed.notify_all()

    def _compare(self, sides: Sides, sample: Sample) -> None:
        period = self._period
        _, behind = self._journal.state(sample.info.name)
        other = None if behind else twin(sides, self._journal, sample.info)
        found: Answers = []
        seconds = 0.0
        if other is not None:
            began = time.perf_counter()
            found = sample.ask(sides.second, other)
            seconds = time.perf_counter() - began
        with self._journal.lock:
            if period != self._period:
                return
            # Nothing was written since the first store was asked, and nothing was waiting: the stores were equal.
            if other is None or self._journal.state(sample.info.name) != (sample.version, False):
                self._skipped += 1
                return
            self._compared += 1
            self._times.append((sample.seconds, seconds))
            for here, there in zip(sample.answers, found, strict=True):
                both = here.keys() & there.keys()
                share = len(both) / max(len(here), len(there)) if here or there else 1.0
                self._overlap += share
                self._queries += 1
                self._lowest = min(self._lowest, share)
                self._difference = max(self._difference, *(abs(here[id] - there[id]) for id in both), 0.0)

    def report(self) -> MirrorReport:
        """The figures."""
        with self._journal.lock:
            some = self._compared > 0
            depth = self._journal.depth
            return MirrorReport(
                journal=depth,
                failures=self.failures,
                last_error=self.last_error,
                compared=self._compared,
                skipped=self._skipped,
                dropped=self._dropped,
                overlap=self._overlap / self._queries if some else None,
                lowest_overlap=self._lowest if some else None,
                score_difference=self._difference if some else None,
                primary=_latency([first for first, _ in self._times]) if some else None,
                secondary=_latency([second for _, second in self._times]) if some else None,
            )


def _latency(seconds: Sequence[float]) -> Latency:
    p50, p95 = np.percentile(seconds, [50, 95]).tolist()
    return Latency(1000 * p50, 1000 * p95)
