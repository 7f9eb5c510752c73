"""Fusion of a vector ranking and a text ranking into one (rule 7.3 of the contract), the same for every backend."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from vectorkit.metrics import METRICS
from vectorkit.types import Candidate, Hit, Metric

__all__ = ["FUSIONS", "RRF_OFFSET", "Fusion", "fuse", "scaled"]

Fusion: TypeAlias = Literal["weighted", "rrf"]
"""How two rankings become one: by their scores, or by the places alone."""

FUSIONS: Final[tuple[Fusion, ...]] = ("weighted", "rrf")

RRF_OFFSET: Final = 60
"""k of reciprocal rank fusion (Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet, SIGIR 2009)."""


def fuse(candidates: Sequence[Candidate], metric: Metric, fusion: Fusion, weight: float) -> list[Hit]:
    """Fuse the candidates of one query.

    Args:
        candidates: The union of what both rankings found, in any order; each with both scores.
        metric: The metric of the collection: cosines are fused as they are, other scores scaled to [0, 1] first.
        fusion: `"weighted"`: `weight * s + (1 - weight) * t / t_max`; `"rrf"`: the sum of `1 / (60 + rank)`.
        weight: Of the vector side, from 0 to 1; only `"weighted"` uses it.

    Returns:
        One hit a candidate, its score the fused one, in descending order of it; equal scores by id.
    """
    scores = _reciprocal(candidates) if fusion == "rrf" else _weighted(candidates, metric, weight)
    hits = [replace(each.hit, score=score) for each, score in zip(candidates, scores, strict=True)]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _weighted(candidates: Sequence[Candidate], metric: Metric, weight: float) -> list[float]:
    nearness = [each.hit.score for each in candidates]
    if not METRICS[metric].is_bounded:
        nearness = scaled(nearness)
    largest = max((each.text_score for each in candidates), default=0.0) or 1.0
    return [
        weight * near + (1.0 - weight) * (each.text_score / largest)
        for near, each in zip(nearness, candidates, strict=True)
    ]


def scaled(scores: Sequence[float]) -> list[float]:
    """Scores from 0, the least of them, to 1, the largest; 1 if all are equal."""
    least, largest = min(scores, default=0.0), max(scores, default=0.0)
    if least == largest:
        return [1.0] * len(scores)
    return [(score - least) / (largest - least) for score in scores]


def _reciprocal(candidates: Sequence[Candidate]) -> list[float]:
    return [
        sum(1.0 / (RRF_OFFSET + rank) for rank in (each.vector_rank, each.text_rank) if rank is not None)
        for each in candidates
    ]
