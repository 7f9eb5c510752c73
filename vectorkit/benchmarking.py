"""Measuring what a vector index brings on a store: how long a query takes, and how much of the right answer it finds.

Approximate search trades one for the other, so each index is measured over the setting that moves it along this trade:
`ef_search` of HNSW, `probes` of IVFFlat; and against comparing all records, which finds everything.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from uuid import uuid4

import numpy as np

from vectorkit.collection import Collection
from vectorkit.errors import UnsupportedError
from vectorkit.indexes import HNSW, Index, IVFFlat
from vectorkit.inspection import found_share
from vectorkit.protocol import VectorBackend
from vectorkit.ranking import EXACT_LIMIT
from vectorkit.store import VectorStore
from vectorkit.types import FloatArray, Hit
from vectorkit.validation import check_between, check_dimension, check_flag

__all__ = ["Benchmark", "Build", "K", "Kind", "Point", "run"]

K: Final = 10
"""How many hits each query asks for."""

Kind: TypeAlias = Literal["none", "ivfflat", "hnsw"]

_EF_SEARCH: Final = (10, 20, 40, 80, 160, 320, 640)
_PROBES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_ROWS_PER_LIST: Final = 50
"""Fewer leave k-means too little to find a list's centre by."""

_BATCH: Final = 2000  # records that are made and written at once
_WARM: Final = 20  # queries that are asked before the clock is started
_PER_CLUSTER: Final = 100  # records
_DIRECTIONS: Final = 32
"""In which clustered vectors differ, as embeddings differ in far fewer than they have dimensions."""


@dataclass(frozen=True, slots=True)
class Build:
    """An index that was built.

    Attributes:
        index: Which.
        settings: What it was built with; empty: the store's own defaults.
        seconds: How long that took; None where the store builds it while records are written.
        bytes: What it takes; None where the store does not say.
    """

    index: Kind
    settings: dict[str, int]
    seconds: float | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured of one way to search.

    Attributes:
        index: Which index; `"none"`: all records are compared.
        setting: The setting that was varied, `"ef_search"` or `"probes"`; None: there is none, or it cannot be set.
        value: Its value.
        p50: The median time of a query in milliseconds, as the caller sees it.
        p95: The time in milliseconds that 95% of the queries stay below.
        recall: Mean share of the right hits that were found, 0 to 1, by distance.
    """

    index: Kind
    setting: str | None
    value: int | None
    p50: float
    p95: float
    recall: float


@dataclass(slots=True)
class Benchmark:
    """What a run has measured.

    Attributes:
        backend: The store, with its version.
        count: Records.
        dimension: Length of their vectors.
        data: How the vectors lie.
        queries: How many different queries were asked, each for `K` hits.
        seed: Of the random numbers.
        load_seconds: How long writing the records took, without an index where that can be chosen.
        builds: The indexes, in the order of their building.
        points: What was measured, the way without an index first.
        left_out: What this store cannot do, a sentence each.
    """

    backend: str
    count: int
    dimension: int
    data: Literal["random", "clustered"]
    queries: int
    seed: int
    load_seconds: float = 0.0
    builds: list[Build] = field(default_factory=list[Build])
    points: list[Point] = field(default_factory=list[Point])
    left_out: list[str] = field(default_factory=list[str])


def run(
    store: VectorStore,
    *,
    count: int = 10_000,
    dimension: int = 384,
    clustered: bool = False,
    queries: int = 100,
    seed: int = 0,
    on_step: Callable[[str, int, int], object] | None = None,
) -> Benchmark:
    """Measure search without an index, with IVFFlat over `probes` and with HNSW over `ef_search`, by cosine.

    The vectors are normally distributed, in every direction alike: the hardest case for an index, as everything is
    about equally far from everything else. `clustered=True` puts a hundred about each of as many centres as that takes,
    all within 32 directions, which is nearer to what embedding models make. Queries are drawn as the records are.
    IVFFlat has as many lists as the square root of `count`, HNSW the settings that collections have by default.

    The records are in a collection of their own, `bench-…`, which is dropped at the end, whatever happens.

    Args:
        store: Where to measure; what it holds is left alone.
        count: How many records, 1 to 10,000,000.
        dimension: Length of the vectors, 1 to 16,000.
        clustered: How they lie.
        queries: How many queries, 1 to 100,000.
        seed: Of the random numbers: the same seed gives the same records and queries, >= 0.
        on_step: Called with what is being done, and the numbers of steps of it that are done and of all.

    Raises:
        InvalidArgumentError: An argument is of another type or out of range.
    """
    count = check_between(count, 1, 10_000_000, "count")
    dimension = check_dimension(dimension)
    asked = check_between(queries, 1, 100_000, "queries")
    seed = check_between(seed, 0, 2**32 - 1, "seed")
    kind: Literal["random", "clustered"] = "clustered" if check_flag(clustered, "clustered") else "random"
    data = _Data(count, dimension, kind, seed)
    report = on_step or _silent
    name = f"bench-{uuid4().hex[:12]}"
    indexed = store.backend.capabilities.index_changes
    docs = store.create_collection(name, dimension=dimension, index="none" if indexed else "hnsw")
    try:
        found = Benchmark(store.backend.name, count, dimension, kind, asked, seed)
        begun = time.perf_counter()
        for done, (ids, vectors) in enumerate(data.batches()):
            report("writing records", done * _BATCH, count)
            docs.add(ids=ids, embeddings=vectors)
        found.load_seconds = time.perf_counter() - begun
        _Measuring(store.backend, docs, data.vectors(asked, "queries"), found, report).run()
        found.backend = store.backend.name  # some know their version only once they were used
    finally:
        store.drop_collection(name)
    return found


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


_What: TypeAlias = Literal["records", "queries"]


class _Data:
    """Records and queries, the same ones of the same seed."""

    def __init__(self, count: int, dimension: int, kind: str, seed: int) -> None:
        self._count, self._dimension = count, dimension
        records, queries, shape = np.random.default_rng(seed).spawn(3)
        self._random: dict[_What, np.random.Generator] = {"records": records, "queries": queries}
        self._centres: FloatArray | None = None
        if kind == "clustered":
            directions = min(_DIRECTIONS, dimension)
            self._centres = _normal(shape, -(-count // _PER_CLUSTER), directions)
            self._directions = _normal(shape, directions, dimension)

    def batches(self) -> Iterator[tuple[list[str], FloatArray]]:
        for start in range(0, self._count, _BATCH):
            ids = [f"{number:08}" for number in range(start, min(start + _BATCH, self._count))]
            yield ids, self.vectors(len(ids), "records")

    def vectors(self, count: int, what: _What) -> FloatArray:
        random = self._random[what]
        if self._centres is None:
            return _normal(random, count, self._dimension)
        chosen = random.integers(len(self._centres), size=count)
        placed: FloatArray = self._centres[chosen] + _normal(random, count, self._centres.shape[1])
        return placed @ self._directions


def _normal(random: np.random.Generator, count: int, dimension: int) -> FloatArray:
    return random.standard_normal((count, dimension), dtype=np.float32)


class _Measuring:
    def __init__(
        self,
        backend: VectorBackend,
        docs: Collection,
        queries: FloatArray,
        found: Benchmark,
        report: Callable[[str, int, int], object],
    ) -> None:
        self._backend, self._docs, self._queries = backend, docs, queries
        self._found, self._report = found, report
        self._right: list[list[Hit]] = []

    def run(self) -> None:
        """Measure whatever the store can do, and note what it cannot."""
        backend, left_out = self._backend, self._found.left_out
        self._measure("none", exact=True)
        if not backend.capabilities.approximate_search:
            left_out.append(f"{backend.name} has no index: every search compares all records")
        elif not backend.capabilities.index_changes:
            self._found.builds.append(Build("hnsw", {}, None, self._bytes()))
            self._measure("hnsw", exact=False)
            left_out.append(f"{backend.name} has no IVFFlat")
            left_out.append(f"{backend.name} has no ef_search for a single search: HNSW was measured as it is")
        elif self._found.count <= EXACT_LIMIT:
            left_out.append(
                f"up to {EXACT_LIMIT:,} records no index is built here, as comparing them all is quick: "
                "measure more of them"
            )
        else:
            lists = min(math.isqrt(self._found.count), self._found.count // _ROWS_PER_LIST)
            probes = [each for each in _PROBES if each < lists]
            self._sweep("ivfflat", IVFFlat(lists=lists), {"lists": lists}, "probes", [*probes, lists])
            hnsw = HNSW()
            settings = {"m": hnsw.m, "ef_construction": hnsw.ef_construction}
            self._sweep("hnsw", hnsw, settings, "ef_search", _EF_SEARCH)

    def _sweep(self, kind: Kind, index: Index, settings: dict[str, int], setting: str, values: Sequence[int]) -> None:
        self._report(f"building {kind}", 0, 1)
        begun = time.perf_counter()
        self._docs.create_index(index)
        self._found.builds.append(Build(kind, settings, time.perf_counter() - begun, self._bytes()))
        for done, value in enumerate(values):
            self._report(f"searching with {kind}", done, len(values))
            self._measure(kind, setting, value, exact=False)

    def _measure(self, kind: Kind, setting: str | None = None, value: int | None = None, *, exact: bool) -> None:
        given: dict[str, Any] = {"exact": exact} if setting is None else {"exact": exact, setting: value}
        if exact:
            self._report("searching without an index", 0, 1)
        for query in self._queries[:_WARM]:
            self._docs.search(query, K, **given)
        times: list[float] = []
        answers: list[list[Hit]] = []
        for query in self._queries:
            begun = time.perf_counter()
            answers.append(self._docs.search(query, K, **given))
            times.append(1000 * (time.perf_counter() - begun))
        if exact:
            self._right = answers
        shares = [
            found_share(hits, right, "cosine", query)
            for hits, right, query in zip(answers, self._right, self._queries, strict=True)
        ]
        p50, p95 = np.percentile(times, [50, 95])
        self._found.points.append(Point(kind, setting, value, float(p50), float(p95), float(np.mean(shares))))

    def _bytes(self) -> int | None:
        try:
            return self._docs.storage().vector_index
        except UnsupportedError:
            return None
