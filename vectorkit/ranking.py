"""Distances, scores and order (section 6 of the contract): computed here for every backend.

A backend finds candidates in whatever way it can; it then scores their float32 vectors here, in float64, and orders
them here. The same bits scored by the same arithmetic give the same numbers, whatever the backend. Only what an index
gave may keep distances of the store's own, if their error is known to be within rule 6.5.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vectorkit.metrics import METRICS
from vectorkit.types import FloatArray, Metric

__all__ = ["EXACT_LIMIT", "Ranked", "float32_error", "measure", "rank", "relative_error", "score_of"]

EXACT_LIMIT: Final = 2000
"""A search whose filter leaves at most this many records is exact by default (rule 6.7)."""

_SORTED: Final = 100
"""Up to so many candidates are sorted without leaving out first what is too far."""

_CHUNK: Final = 4096
"""Rows widened to float64 at once: bounds the memory of a scan over everything."""


class Ranked(NamedTuple):
    """One place in a ranking.

    Attributes:
        row: Row of the candidate.
        distance: Smaller is nearer.
        score: Larger is better.
    """

    row: int
    distance: float
    score: float


def measure(metric: Metric, query: FloatArray, vectors: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances and scores by rules 6.2 and 6.3.

    Args:
        metric: `cosine`: `1 - cos(a, b)` and `cos(a, b)`, clamped to [0, 2] and [-1, 1]; `l2`:
            `sqrt(sum((a - b)^2))` and `1 / (1 + distance)`; `ip`: `-(a·b)` and `a·b`.
        query: float32 array of shape `(dimension,)`.
        vectors: float32 array of shape `(n, dimension)`.

    Returns:
        Two float64 arrays of shape `(n,)`. A row's values depend on that row and the query alone, not on its
        neighbours: sums run along rows, as BLAS (`vectors @ query`) does not promise.
    """
    measure_rows = METRICS[metric].measure
    wide = query.astype(np.float64)
    if len(vectors) <= _CHUNK:
        return measure_rows(wide, vectors.astype(np.float64))
    distances = np.empty(len(vectors))
    scores = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        distances[part], scores[part] = measure_rows(wide, vectors[part].astype(np.float64))
    return distances, scores


def score_of(metric: Metric, distance: float) -> float:
    """The score that goes with a distance by rule 6.3."""
    return METRICS[metric].score(distance)


def rank(metric: Metric, query: FloatArray, ids: Sequence[str], vectors: FloatArray, k: int) -> list[Ranked]:
    """The `k` nearest candidates, by distance, equal distances by id (rule 6.4).

    Args:
        metric: The metric.
        query: float32 array of shape `(dimension,)`.
        ids: Ids of the candidates, in the order of `vectors`.
        vectors: float32 array of shape `(n, dimension)`.
        k: How many at the most, >= 0.
    """
    distances, scores = measure(metric, query, vectors)
    rows: list[int] = list(range(len(distances)))
    if k < len(rows) and len(rows) > _SORTED:
        within = distances <= np.partition(distances, k - 1)[k - 1] if k else np.zeros(len(rows), dtype=bool)
        rows = np.flatnonzero(within).tolist()
    places: list[float] = distances.tolist()
    marks: list[float] = scores.tolist()
    best = sorted([(places[row], ids[row], row) for row in rows])[:k]
    return [Ranked(row, distance, marks[row]) for distance, _, row in best]


def float32_error(metric: Metric, query: FloatArray, largest_norm: float) -> float:
    """How far a distance that a store summed in float32 may be from the one computed here.

    A store's k nearest by its own distances hold the true k nearest if the next one is farther than twice this.

    Args:
        metric: The metric; for `l2` the distance itself, not its square.
        query: float32 array of shape `(dimension,)`.
        largest_norm: The largest norm among the candidates.

    Returns:
        The error, in the unit of the metric's distance.
    """
    norm = float(np.sqrt(np.square(query, dtype=np.float64).sum()))
    return relative_error(len(query)) * METRICS[metric].magnitude(norm, largest_norm)


def relative_error(dimension: int) -> float:
    """How far a sum of so many products in float32 may be off, as a part of its size.

    It errs by about sqrt(n) roundings of 2**-24 when they are independent (Higham, Accuracy and Stability of Numerical
    Algorithms, 2.8); eight times that is allowed for.
    """
    return 8.0 * math.sqrt(dimension) * 2.0**-24
