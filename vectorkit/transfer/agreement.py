"""Whether two stores' answers to a query are the same, as far as the contract says what that is (6.4, 6.5, 7.5)."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from vectorkit.metrics import METRICS
from vectorkit.transfer.records import same_json
from vectorkit.types import FloatArray, Hit, Metric
from vectorkit.validation import short

__all__ = ["TOLERANCE", "differences", "overlap", "score_difference", "tolerance"]

TOLERANCE: Final = 1e-6
"""Of distances and scores, relative to the scale of the metric."""


def overlap(ours: Sequence[Hit], theirs: Sequence[Hit]) -> float:
    """The share of the hits that both have, of those of the longer list; 1 if both are empty."""
    most = max(len(ours), len(theirs))
    return len({hit.id for hit in ours} & {hit.id for hit in theirs}) / most if most else 1.0


def score_difference(ours: Sequence[Hit], theirs: Sequence[Hit]) -> float:
    """The largest difference between the two scores of a hit that both have; 0 if there is none."""
    scores = {hit.id: hit.score for hit in theirs}
    return max((abs(hit.score - scores[hit.id]) for hit in ours if hit.id in scores), default=0.0)


def differences(
    ours: Sequence[Hit],
    theirs: Sequence[Hit],
    names: tuple[str, str],
    place: Callable[[Hit], float],
    allowed: Callable[[Hit], float],
) -> list[str]:
    """What is not the same in two answers, a sentence each; nothing if they agree.

    Two records that are placed closer to each other than is allowed may swap, and at the cut one may stand for the
    other; nothing else may.

    Args:
        ours: The hits of the first store.
        theirs: Of the second.
        names: What the stores are called in the sentences.
        place: What the hits are ordered by, ascending.
        allowed: How far places and scores of a hit may differ (`tolerance`).
    """
    first, second = names
    found: list[str] = []
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} hits in {first}, {len(theirs)} in {second}")
    mine, yours = {hit.id: hit for hit in ours}, {hit.id: hit for hit in theirs}
    for name, hits, others, cut in ((first, ours, yours, theirs[-1:]), (second, theirs, mine, ours[-1:])):
        alone = [hit for hit in hits if hit.id not in others]
        if len(ours) == len(theirs):
            alone = [hit for hit in alone if place(hit) < place(cut[0]) - allowed(hit)]
        found += [f"{short(hit.id)} is found in {name} alone" for hit in alone]
    for hit in ours:
        if hit.id in yours:
            found += _unlike(hit, yours[hit.id], allowed(hit), names)
    farthest: Hit | None = None
    for hit in (mine[hit.id] for hit in theirs if hit.id in mine):
        if farthest is not None and place(hit) < place(farthest) - allowed(hit):
            found.append(f"{short(farthest.id)} comes before {short(hit.id)} in {second}, not in {first}")
        if farthest is None or place(hit) > place(farthest):
            farthest = hit
    return found


def _unlike(hit: Hit, other: Hit, allowed: float, names: tuple[str, str]) -> list[str]:
    found: list[str] = []
    if abs(hit.score - other.score) > allowed:
        found.append(
            f"the score of {short(hit.id)} is {hit.score:.9g} in {names[0]}, {other.score:.9g} in {names[1]}; "
            f"{allowed:.1g} is allowed"
        )
    if hit.document != other.document:
        found.append(f"the document of {short(hit.id)} differs")
    if not same_json(hit.metadata, other.metadata):
        found.append(f"the metadata of {short(hit.id)} differs")
    return found


def tolerance(metric: Metric, query: FloatArray, vector: FloatArray) -> float:
    """How far distances and scores may differ between stores (rule 6.5).

    Args:
        metric: The metric.
        query: Array of shape `(dimension,)`.
        vector: The record's.
    """
    a, b = (float(np.linalg.norm(each.astype(np.float64))) for each in (query, vector))
    return TOLERANCE * METRICS[metric].magnitude(a, b)
