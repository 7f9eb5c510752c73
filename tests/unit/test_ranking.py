"""Distances, scores and order: the one place where every backend's numbers are made."""

import math

import numpy as np
import pytest

from vectorkit.ranking import Ranked, float32_error, measure, rank
from vectorkit.types import FloatArray, Metric

METRICS: list[Metric] = ["cosine", "l2", "ip"]


def vectors(count: int, dimension: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "distance", "score"),
    [("cosine", 0.04, 0.96), ("l2", math.sqrt(2), 1 / (1 + math.sqrt(2))), ("ip", -24.0, 24.0)],
)
def test_the_formulas_are_those_of_the_contract(metric: Metric, distance: float, score: float) -> None:
    """6.2, 6.3 Worked out by hand for (3, 4) and (4, 3)."""
    found = measure(metric, np.array([3, 4], dtype=np.float32), np.array([[4, 3]], dtype=np.float32))
    assert found[0].tolist() == pytest.approx([distance], abs=1e-15)
    assert found[1].tolist() == pytest.approx([score], abs=1e-15)
    assert found[0].dtype == found[1].dtype == np.float64


def test_parallel_vectors_of_small_integers_are_at_distance_zero() -> None:
    """6.4 Exactly, so that they tie, whatever their lengths."""
    rows = np.array([[at, 2 * at, -3 * at] for at in range(1, 200)], dtype=np.float32)
    distances, scores = measure("cosine", np.array([7, 14, -21], dtype=np.float32), rows)
    assert set(distances.tolist()) == {0.0}
    assert set(scores.tolist()) == {1.0}


def test_cosines_stay_in_their_range() -> None:
    """6.2 Rounding takes none out of it."""
    rows = vectors(500, 17, seed=1)
    for row in rows[:50]:
        distances, scores = measure("cosine", row, np.concatenate([rows, -rows]))
        assert distances.min() >= 0
        assert distances.max() <= 2
        assert abs(scores).max() <= 1


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_is_measured_alike_alone_and_among_thousands(metric: Metric) -> None:
    """6.8 To the last bit: a distance depends on the two vectors alone, or backends would differ by batch size."""
    rows, query = vectors(9000, 33, seed=2), vectors(1, 33, seed=3)[0]
    together = measure(metric, query, rows)
    for at in (0, 1, 4095, 4096, 8999):
        alone = measure(metric, query, rows[at : at + 1])
        assert alone[0][0] == together[0][at]
        assert alone[1][0] == together[1][at]


@pytest.mark.parametrize("metric", METRICS)
def test_vectors_at_the_ends_of_the_range_are_measured(metric: Metric) -> None:
    """2.3 Norms of 1e15 and 1e-12 neither overflow nor vanish in float64."""
    rows = np.array([[1e15, 0], [1e-12, 0], [0, 1e15]], dtype=np.float32)
    for query in rows:
        distances, scores = measure(metric, query, rows)
        assert np.isfinite(distances).all()
        assert np.isfinite(scores).all()
    assert measure("cosine", rows[1], rows)[0].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("metric", METRICS)
def test_the_nearest_are_those_of_a_full_sort(metric: Metric) -> None:
    """6.4 By distance, then id, for every k, with many ties across the cut."""
    rng = np.random.default_rng(4)
    rows = rng.integers(-2, 3, size=(300, 3)).astype(np.float32)
    rows[~rows.any(axis=1)] = 1
    ids = [f"{at:03}" for at in rng.permutation(300)]
    query = np.array([1, -1, 2], dtype=np.float32)
    distances, scores = measure(metric, query, rows)
    order = sorted(range(300), key=lambda row: (distances[row], ids[row]))
    for k in (*range(12), 100, 299, 300, 301, 10**6):
        expected = [Ranked(row, float(distances[row]), float(scores[row])) for row in order[:k]]
        assert rank(metric, query, ids, rows, k) == expected


def test_ties_go_by_code_point() -> None:
    """6.4 Not by UTF-16 order, in which an astral character comes before U+FF5E."""
    ids = ["\U00010000", "\uff5e", "é", "e\u0301", "a", "Z"]
    found = rank("l2", np.zeros(2, dtype=np.float32), ids, np.ones((6, 2), dtype=np.float32), 6)
    assert [ids[each.row] for each in found] == ["Z", "a", "e\u0301", "é", "\uff5e", "\U00010000"]


def test_nothing_is_ranked_where_there_is_nothing() -> None:
    """6.1 No candidates, or none asked for."""
    query = np.ones(2, dtype=np.float32)
    assert rank("cosine", query, [], np.empty((0, 2), dtype=np.float32), 5) == []
    assert rank("cosine", query, ["a"], np.ones((1, 2), dtype=np.float32), 0) == []


@pytest.mark.parametrize("dimension", [2, 64, 1536])
@pytest.mark.parametrize("metric", METRICS)
def test_sums_in_float32_err_by_less_than_the_bound(metric: Metric, dimension: int) -> None:
    """6.5 What a store ranks by is never farther from the true distance than an adapter allows for."""
    rows, queries = vectors(400, dimension, seed=5) * np.float32(3), vectors(10, dimension, seed=6)
    largest = float(np.linalg.norm(rows.astype(np.float64), axis=1).max())
    for query in queries:
        true, _ = measure(metric, query, rows)
        if metric == "l2":
            short = np.sqrt(np.square(rows - query).sum(axis=1))
        else:
            short = -(rows @ query)
            if metric == "cosine":
                short = 1 + short / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))
        assert short.dtype == np.float32
        assert np.abs(short - true).max() <= float32_error(metric, query, largest)
