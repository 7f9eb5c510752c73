"""The metrics, a row each: what differs between them in section 6 of the contract and in the checks of vectors.

A metric is added by a name in `vectorkit.types.Metric`, a row here, and in each adapter what its store calls it. A
metric that has no row is a `KeyError`, never silently another one's formula.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectorkit.types import Metric

__all__ = ["METRICS", "MetricDefinition"]

_MIN_COSINE_NORM: Final = 1e-12
"""Below it, squares summed in float32 come near its smallest normal number, 1.2e-38."""

_Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What one metric computes, and how precisely.

    Attributes:
        measure: Takes a query of shape `(dimension,)` and vectors of shape `(n, dimension)`, both float64, and returns
            distances and scores of shape `(n,)` (rules 6.2 and 6.3). It may overwrite the vectors.
        score: The score that goes with a distance (rule 6.3).
        magnitude: The size of what is summed for a distance, from the norms of the two vectors: the scale of the
            tolerance of rule 6.5, and of what a sum in float32 errs by.
        min_norm: The smallest norm that a vector must have.
        is_bounded: Whether scores have the same range in every collection, so that they can be compared and weighed
            as they are.
    """

    measure: Callable[[_Float64, _Float64], tuple[_Float64, _Float64]]
    score: Callable[[float], float]
    magnitude: Callable[[float, float], float]
    min_norm: float = 0.0
    is_bounded: bool = False


def _measure_cosine(query: _Float64, vectors: _Float64) -> tuple[_Float64, _Float64]:
    products = np.add.reduce(vectors * query, axis=1)
    # One root over the product, not two: cos of parallel vectors of small integers is then 1.0 exactly, and they tie.
    squares = np.add.reduce(np.square(vectors, out=vectors), axis=1)
    cosines = products / np.sqrt(squares * np.add.reduce(np.square(query)))
    cosines = np.minimum(np.maximum(cosines, -1.0), 1.0)  # a third of the time of np.clip on a few rows
    return 1.0 - cosines, cosines


def _measure_l2(query: _Float64, vectors: _Float64) -> tuple[_Float64, _Float64]:
    np.subtract(vectors, query, out=vectors)
    distances = np.sqrt(np.add.reduce(np.square(vectors, out=vectors), axis=1))
    return distances, 1.0 / (1.0 + distances)


def _measure_ip(query: _Float64, vectors: _Float64) -> tuple[_Float64, _Float64]:
    products = np.add.reduce(vectors * query, axis=1)
    return -products, products


METRICS: Final[dict[Metric, MetricDefinition]] = {
    "cosine": MetricDefinition(
        measure=_measure_cosine,
        score=lambda distance: 1.0 - distance,
        magnitude=lambda a, b: 1.0,
        min_norm=_MIN_COSINE_NORM,
        is_bounded=True,
    ),
    "l2": MetricDefinition(
        measure=_measure_l2,
        score=lambda distance: 1.0 / (1.0 + distance),
        magnitude=lambda a, b: a + b,
    ),
    "ip": MetricDefinition(
        measure=_measure_ip,
        score=lambda distance: -distance,
        magnitude=lambda a, b: a * b,
    ),
}
