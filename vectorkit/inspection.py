"""What a search misses: `Collection.recall`."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from vectorkit.backend.requests import Read, VectorSearch
from vectorkit.errors import InvalidArgumentError
from vectorkit.filters import Filter
from vectorkit.metrics import METRICS
from vectorkit.protocol import VectorBackend
from vectorkit.types import CollectionInfo, FloatArray, Hit, Metric, Record

__all__ = ["Recall", "found_share", "measure_recall"]

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


def measure_recall(
    backend: VectorBackend, info: CollectionInfo, k: int, sample: int, tree: Filter | None, effort: int | None
) -> Recall:
    """See `Collection.recall`; the arguments are checked."""

    def get(limit: int, offset: int) -> list[Record]:
        return backend.get(info, Read(None, tree, limit, offset, include_embeddings=True))

    records = _sampled(get, backend.count(info, tree), sample)
    if not records:
        raise InvalidArgumentError("no record matches, so there is nothing to measure recall with")
    noise = np.random.default_rng(0)
    shares: list[float] = []
    for record in records:
        place = np.asarray(record.embedding, dtype=np.float32)
        (near,) = backend.search(info, VectorSearch(place[None], k + 1, tree, True, True))
        query = _neighbour(place, near.hits[-1].embedding, info.metric, noise)
        (expected,) = backend.search(info, VectorSearch(query[None], k, tree, True))
        (found,) = backend.search(info, VectorSearch(query[None], k, tree, effort=effort))
        shares.append(found_share(found.hits, expected.hits, info.metric, query))
    return Recall(float(np.mean(shares)), min(shares), k, len(shares), tuple(shares))


def _neighbour(
    place: FloatArray, neighbour: FloatArray | None, metric: Metric, noise: np.random.Generator
) -> FloatArray:
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
    scale = 1.0 if METRICS[metric].is_bounded else 1.0 + abs(farthest) + float(np.linalg.norm(query.astype(np.float64)))
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
