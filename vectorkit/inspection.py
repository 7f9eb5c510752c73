"""What a search does, and what it misses: `Collection.explain` and `Collection.recall`."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from vectorkit.backend.requests import Read, VectorSearch
from vectorkit.errors import InvalidArgumentError
from vectorkit.searching import Searching, Where, as_filter
from vectorkit.types import Explanation, FloatArray, Hit, Metric, Record, Storage, Vector
from vectorkit.validation import check_between, check_flag

__all__ = ["InspectionMethods", "Recall", "found_share"]

_MANY: Final = 2**31 - 1

_SLICES: Final = 20
"""Records are sampled in so many slices of neighbouring ids: reading one record at a random place costs as much."""


@dataclass(frozen=True, slots=True)
class Recall:
    """How much of what an exact search finds the default search finds too.

    Attributes:
        mean: Mean share over the queries, 0 to 1.
        lowest: The lowest share of a query.
        k: How many hits were asked for.
        queries: How many queries were asked, each the vector of a record.
        shares: The share of each query.
    """

    mean: float
    lowest: float
    k: int
    queries: int
    shares: Sequence[float] = field(repr=False)

    def __str__(self) -> str:
        return f"recall@{self.k} {self.mean:.4f} over {self.queries} queries, {self.lowest:.2f} at the lowest"


class InspectionMethods(Searching):
    """Looking at how a collection is stored and searched."""

    def storage(self) -> Storage:
        """Return how many bytes the collection takes, and how far its vector index is.

        Raises:
            UnsupportedError: The backend does not say.
        """
        return self._backend.measure_storage(self._info)

    def explain(
        self,
        query: str | Vector,
        k: int = 10,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        exact: bool | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
    ) -> Explanation:
        """Search, and say how: which SQL ran under which settings, whether the index was used and why, how long.

        Args:
            query: These arguments are those of `search`.
            k: See `search`; >= 1.
            where: See `search`.
            where_document: See `search`.
            exact: See `search`.
            ef_search: See `search`.
            probes: See `search`.

        Returns:
            An object to print.

        Raises:
            UnsupportedError: The backend cannot explain its searches, or has no such setting.
            InvalidArgumentError: Or a subclass, as for `search`.
        """
        k = check_between(k, 1, _MANY, "k")
        tree = as_filter(where, where_document)
        if exact is not None:
            check_flag(exact, "exact")
        effort = self._effort(exact, ef_search, probes)
        vector = self._intake.query(query)
        return self._backend.explain(self._info, VectorSearch(vector[None], k, tree, exact, effort=effort))

    def recall(
        self,
        k: int = 10,
        sample: int = 100,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
    ) -> Recall:
        """Measure what the default search misses, on the data of the collection.

        The queries lie near a sample of the records that match: each as far from its record as that is from its k-th
        neighbour, in a random direction, since a stored vector itself is found by almost any index. What `search` finds
        is compared with an exact search by distance, so that ties count as hits. Sample and directions are the same
        each time.

        Args:
            k: How many hits to ask for, >= 1.
            sample: How many queries, >= 1; each takes two exact searches of everything that matches.
            where: Filter on metadata, of the sample and of the searches.
            where_document: Filter on documents.
            ef_search: See `search`: measure before you set it.
            probes: See `search`.

        Raises:
            InvalidArgumentError: Or a subclass, as for `search`; or no record matches.
            UnsupportedError: There is no such setting.
        """
        k = check_between(k, 1, _MANY, "k")
        sample = check_between(sample, 1, _MANY, "sample")
        tree = as_filter(where, where_document)
        effort = self._effort(None, ef_search, probes)

        def get(limit: int, offset: int) -> list[Record]:
            return self._backend.get(self._info, Read(None, tree, limit, offset, include_embeddings=True))

        records = _sampled(get, self._backend.count(self._info, tree), sample)
        if not records:
            raise InvalidArgumentError("no record matches, so there is nothing to measure recall with")
        noise = np.random.default_rng(0)
        shares: list[float] = []
        for record in records:
            place = np.asarray(record.embedding, dtype=np.float32)
            (near,) = self._backend.search(self._info, VectorSearch(place[None], k + 1, tree, True, True))
            query = _beside(place, near.hits[-1].embedding, self._info.metric, noise)
            (expected,) = self._backend.search(self._info, VectorSearch(query[None], k, tree, True))
            (found,) = self._backend.search(self._info, VectorSearch(query[None], k, tree, effort=effort))
            shares.append(found_share(found.hits, expected.hits, self._info.metric, query))
        return Recall(float(np.mean(shares)), min(shares), k, len(shares), tuple(shares))


def _beside(place: FloatArray, neighbour: FloatArray | None, metric: Metric, noise: np.random.Generator) -> FloatArray:
    """A vector as far from a place as a neighbour is, in a random direction; on unit vectors where angles count."""
    assert neighbour is not None
    centre, other = place.astype(np.float64), neighbour.astype(np.float64)
    if metric == "cosine":
        centre, other = centre / np.linalg.norm(centre), other / np.linalg.norm(other)
    direction = noise.normal(size=len(centre))
    query: FloatArray = (centre + np.linalg.norm(other - centre) / np.linalg.norm(direction) * direction).astype(
        np.float32
    )
    return query


def found_share(found: Sequence[Hit], expected: Sequence[Hit], metric: Metric, query: FloatArray) -> float:
    """Recall by distance: the share of the expected number of hits that are no farther than the last one expected.

    By distance, so that of records equally far any is as good; up to what rule 6.5 lets distances differ.
    """
    farthest = expected[-1].distance
    assert farthest is not None
    scale = 1.0 if metric == "cosine" else 1.0 + abs(farthest) + float(np.linalg.norm(query.astype(np.float64)))
    limit = farthest + 1e-6 * scale
    return sum(hit.distance is not None and hit.distance <= limit for hit in found) / len(expected)


def _sampled(get: Callable[[int, int], list[Record]], count: int, wanted: int) -> list[Record]:
    """About `wanted` of `count` records, all of them if there are no more; the same ones of the same records.

    Args:
        get: Reads so many records (first argument) from a place in the order of ids (second argument).
        count: How many records there are.
        wanted: How many to take.
    """
    if count <= wanted:
        return get(wanted, 0)
    size = -(-wanted // _SLICES)
    slots = count // size
    chosen = random.Random(0).sample(range(slots), min(slots, -(-wanted // size)))
    return [record for slot in sorted(chosen) for record in get(size, slot * size)][:wanted]
