"""Fusion of two rankings, as pure functions over candidates."""

import pytest

from vectorkit.fusion import fuse
from vectorkit.types import Candidate, Hit


def candidate(
    id: str, score: float, text_score: float = 0.0, vector_rank: int | None = 1, text_rank: int | None = None
) -> Candidate:
    return Candidate(Hit(id, score, 1.0 - score, None, {}), text_score, vector_rank, text_rank)


def test_nothing_fused_is_nothing() -> None:
    assert fuse([], "cosine", "weighted", 0.7) == fuse([], "l2", "weighted", 0.7) == fuse([], "ip", "rrf", 0.7) == []


def test_the_order_of_candidates_makes_no_difference() -> None:
    several = [candidate("b", 0.5, 2.0), candidate("a", 0.5, 2.0), candidate("c", 0.9), candidate("d", 0.1, 4.0)]
    for metric in ("cosine", "l2", "ip"):
        fused = fuse(several, metric, "weighted", 0.5)
        assert fused == fuse(several[::-1], metric, "weighted", 0.5)
        assert [hit.id for hit in fused].index("a") + 1 == [hit.id for hit in fused].index("b")


def test_a_weight_of_one_is_the_vector_ranking_and_of_none_the_text_ranking() -> None:
    several = [candidate("a", 0.1, 3.0), candidate("b", 0.9, 1.0), candidate("c", 0.5, 2.0)]
    assert [hit.id for hit in fuse(several, "cosine", "weighted", 1.0)] == ["b", "c", "a"]
    assert [hit.id for hit in fuse(several, "cosine", "weighted", 0.0)] == ["a", "c", "b"]


def test_cosines_are_fused_as_they_are_and_other_scores_scaled() -> None:
    several = [candidate("a", -0.5, 2.0), candidate("b", 0.5, 1.0)]
    assert {hit.id: hit.score for hit in fuse(several, "cosine", "weighted", 0.8)} == pytest.approx(
        {"a": 0.8 * -0.5 + 0.2, "b": 0.8 * 0.5 + 0.1}
    )
    assert {hit.id: hit.score for hit in fuse(several, "ip", "weighted", 0.8)} == pytest.approx({"a": 0.2, "b": 0.9})


def test_products_near_the_largest_float_are_scaled() -> None:
    several = [candidate("a", -1e30), candidate("b", 1e30), candidate("c", 0.0)]
    assert {hit.id: hit.score for hit in fuse(several, "ip", "weighted", 1.0)} == {"a": 0.0, "b": 1.0, "c": 0.5}


def test_a_fused_hit_keeps_the_rest() -> None:
    (hit,) = fuse([candidate("a", 0.25, 2.0, 3, 2)], "cosine", "rrf", 0.7)
    assert (hit.id, hit.distance) == ("a", 0.75)
    assert hit.score == pytest.approx(1 / 63 + 1 / 62)
