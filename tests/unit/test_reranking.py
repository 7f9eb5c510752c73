"""Choosing among hits and ordering them anew: by hand, and every way in which that cannot be done."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit import Hit, diversify, rerank


def hit(id: str, score: float, vector: Sequence[float] | None = None, document: str | None = "text") -> Hit:
    return Hit(id, score, None, document, {}, None if vector is None else np.array(vector, dtype=np.float32))


# By hand: scaled 1, 0.9, 0.5, 0; a and b are alike (0.96), c is at right angles to a, d opposite to it.
HITS = [hit("a", 12, [5, 0]), hit("b", 11, [24, 7]), hit("c", 7, [0, 2]), hit("d", 2, [-1, 0])]


@pytest.mark.parametrize(
    ("diversity", "ids"),
    [
        (0, "abcd"),
        # After a: b 0.72 - 0.192, c 0.4 - 0, d 0 + 0.2; then c 0.4 - 0.056, d 0.2.
        (0.2, "abcd"),
        # After a: b 0.63 - 0.288 = 0.342, c 0.35, d 0.3; then b 0.342, d 0 - 0; then d.
        (0.3, "acbd"),
        # After a: b 0.45 - 0.48, c 0.25, d 0.5; then c 0.25, b -0.03; then b.
        (0.5, "adcb"),
        # After a (the best, though only unlikeness counts): d 1, c 0, b -0.96; then c 0, as it is to a.
        (1, "adcb"),
    ],
)
def test_the_next_hit_is_the_one_of_maximal_marginal_relevance(diversity: float, ids: str) -> None:
    """7.6 Worked by hand; the hits of k are the first of those of k + 1, and hits stay as they were."""
    chosen = diversify(HITS, diversity=diversity)
    assert "".join(each.id for each in chosen) == ids
    assert all(each in HITS for each in chosen)
    for k in range(6):
        assert diversify(HITS, k, diversity=diversity) == chosen[:k]


def test_scores_are_scaled_so_that_any_ranking_can_be_diversified() -> None:
    """7.6 BM25, reciprocal ranks and products choose alike where they are alike."""
    for factor, offset in ((1e-3, 0), (1e6, -5e5)):
        moved = [replace(each, score=each.score * factor + offset) for each in HITS]
        assert [each.id for each in diversify(moved, diversity=0.3)] == list("acbd")


def test_equal_scores_leave_the_choice_to_unlikeness() -> None:
    """7.6 Then r is 1 for all; ties in the order of the hits, also where rounding makes them differ."""
    same = [hit(id, 0.5, vector) for id, vector in (("a", [1, 0]), ("b", [1, 0]), ("c", [0, 1]), ("d", [0, 3]))]
    assert [each.id for each in diversify(same)] == ["a", "c", "b", "d"]
    thirds = [hit("a", 0.3, [1, 0]), hit("b", 0.1 + 0.2, [1, 0]), hit("c", 0, [1, 0])]
    assert [each.id for each in diversify(thirds, diversity=0)] == ["a", "b", "c"]


def test_a_zero_vector_is_like_nothing() -> None:
    """7.6 It has no direction; under `l2` and `ip` it may be stored."""
    hits = [hit("a", 3, [1, 0]), hit("b", 2, [1, 0]), hit("c", 2, [0, 0])]
    assert [each.id for each in diversify(hits, diversity=0.5)] == ["a", "c", "b"]


def test_no_hits_give_none() -> None:
    assert diversify([]) == []
    assert rerank("query", [], lambda query, documents: [1 / 0]) == []


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: diversify([hit("a", 1)]), vk.InvalidArgumentError, "include_embeddings=True"),
        (lambda: diversify([*HITS, hit("e", 1, [1, 2, 3])]), vk.DimensionMismatchError, "'e' has a vector of 3"),
        (lambda: diversify(HITS, -1), vk.InvalidArgumentError, "k is an int"),
        (lambda: diversify(HITS, diversity=1.5), vk.InvalidArgumentError, "diversity is a number from 0 to 1"),
        (lambda: diversify(HITS, diversity=10**400), vk.InvalidArgumentError, "diversity is a number from 0 to 1"),
        (lambda: diversify(HITS, diversity=float("nan")), vk.InvalidArgumentError, "diversity is a number"),
        (lambda: diversify(HITS, diversity=True), vk.InvalidArgumentError, "diversity is a number"),
        (lambda: diversify([vk.Record("a")]), vk.InvalidArgumentError, "not Record"),  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
        (lambda: diversify("hits"), vk.InvalidArgumentError, "hits is a list"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        (lambda: rerank(5, HITS, sized), vk.InvalidArgumentError, "not int"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        (lambda: rerank("a\0", HITS, sized), vk.InvalidArgumentError, "NUL"),
        (lambda: rerank("a", HITS, "model"), vk.InvalidArgumentError, "a function of"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        (lambda: rerank("a", [hit("b", 1, document=None)], sized), vk.InvalidArgumentError, "'b' has no document"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], object], error: type[Exception], said: str) -> None:
    """8.2 Each by the class for it."""
    with pytest.raises(error, match=said):
        call()


def sized(query: str, documents: list[str]) -> list[float]:
    return [float(len(document)) for document in documents]


@pytest.mark.parametrize(
    "scores", [[1, 3, 2, 3], (1, 3.0, 2, 3), np.array([1, 3, 2, 3]), np.array([1, 3, 2, 3], dtype=np.float16)]
)
def test_scores_come_as_any_list_of_numbers(scores: Any) -> None:
    """7.7 Python's numbers or NumPy's; the hits have them as float."""
    hits = rerank("query", HITS, lambda query, documents: scores)
    assert [(each.id, each.score) for each in hits] == [("b", 3.0), ("d", 3.0), ("c", 2.0), ("a", 1.0)]
    assert {type(each.score) for each in hits} == {float}


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([1, 2, 3], "3 scores for 4 documents"),
        ([1, 2, 3, 4, 5], "5 scores for 4 documents"),
        ([1, float("nan"), 3, 4], "document 1 is a finite number, not nan"),
        ([1, 2, 3, float("-inf")], "document 3 is a finite number, not -inf"),
        ([1, 2, 3, 10**400], "document 3 is a finite number, not inf"),
        ([1, "2", 3, 4], "document 1 is a number, not str"),
        ([1, 2, True, 4], "document 2 is a number, not bool"),
        ([1, 2, None, 4], "document 2 is a number, not NoneType"),
        ([Decimal(1), 2, 3, 4], "document 0 is a number, not Decimal"),
        (np.zeros((4, 2)), "document 0 is a number, not ndarray"),
        (np.array(1.0), "returned ndarray"),
        (None, "returned NoneType"),
        (4.5, "returned float"),
        ("1234", "returned str"),
        ({0: 1, 1: 2, 2: 3, 3: 4}, "returned dict"),
    ],
)
def test_what_is_no_score_a_document_is_a_reranking_error(scores: Any, said: str) -> None:
    """7.7"""
    with pytest.raises(vk.RerankingError, match=said):
        rerank("query", HITS, lambda query, documents: scores)


def test_what_a_reranker_raises_is_the_cause_of_a_reranking_error() -> None:
    """8.2 One of ours passes as it is."""
    with pytest.raises(vk.RerankingError, match="ZeroDivisionError") as caught:
        rerank("query", HITS, lambda query, documents: [1 / 0])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def unavailable(query: str, documents: list[str]) -> list[float]:
        raise vk.MissingDependencyError("pip install it")

    with pytest.raises(vk.MissingDependencyError, match="pip install it"):
        rerank("query", HITS, unavailable)
