"""The same searches on both sides: exact ones must agree by the contract, default ones are reported."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from vectorkit import filters
from vectorkit._narrow import is_list
from vectorkit.filters import Scalar
from vectorkit.protocol import VectorBackend
from vectorkit.transfer.verification import Differences, SearchCheck
from vectorkit.types import CollectionInfo, FloatArray, Hit, Metric, Ranking, Record
from vectorkit.validation import short

__all__ = ["Query", "Side", "compare_searches", "filters_from"]

_TOLERANCE: Final = 1e-6
"""Of distances and scores, relative to the scale of the metric (rule 6.5)."""


class Side(NamedTuple):
    """A collection that can be searched."""

    backend: VectorBackend
    info: CollectionInfo


class Query(NamedTuple):
    """A query, and what it is called in a report."""

    vector: FloatArray
    name: str


class _Asked(NamedTuple):
    """What a search is called in a report, and what its tolerance depends on."""

    name: str
    metric: Metric
    vector: FloatArray


def filters_from(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Filters that find some of the records: by equality, a range, a complement and an element of a list.

    Of the values that records share, the one that most have is taken (but not one that all have, if there is another);
    the range begins at the middle of the values of the key that most have.
    """
    scalars: Counter[tuple[str, Scalar, type]] = Counter()
    elements: Counter[tuple[str, Scalar, type]] = Counter()
    ordered: dict[tuple[str, bool], list[Any]] = {}
    for record in records:
        for key, value in record.metadata.items():
            if isinstance(value, bool | int | float | str):
                scalars[key, value, type(value)] += 1
                if not isinstance(value, bool):
                    ordered.setdefault((key, isinstance(value, str)), []).append(value)
            elif is_list(value):
                for item in value:
                    if isinstance(item, bool | int | float | str):
                        elements[key, item, type(item)] += 1
    made: list[dict[str, Any]] = []
    if scalars:
        key, value, _ = _commonest(scalars, len(records))
        made += [{key: value}, {key: {"$ne": value}}]
    if ordered:
        # Numbers before strings: of the same many, they are more of a range.
        (key, _), values = max(ordered.items(), key=lambda item: (len(item[1]), not item[0][1], item[0][0]))
        made.append({key: {"$gte": sorted(values)[len(values) // 2]}})
    if elements:
        key, value, _ = _commonest(elements, len(records))
        made.append({key: {"$contains": value}})
    return made


def _commonest(counted: "Counter[tuple[str, Scalar, type]]", everywhere: int) -> tuple[str, Scalar, type]:
    best = max(counted.items(), key=lambda item: (item[1] < everywhere, item[1], item[0][0], str(item[0][1])))
    return best[0]


def compare_searches(
    source: Side,
    target: Side,
    given: Sequence[Query],
    sampled: Sequence[Query],
    wheres: Sequence[Mapping[str, Any]],
    k: int,
    found: Differences,
    report: Callable[[int, int], object],
) -> SearchCheck:
    """Search both sides, without a filter and with each, exactly and by default.

    Args:
        source: One side.
        target: The other, of the same metric and dimension.
        given: Queries that are asked in each of these ways.
        sampled: Queries of which each is asked in one of these ways, in turn: an exact search reads all records, and
            so many of them would take longer than comparing them all. There is at least one query of the two kinds.
        wheres: The filters.
        k: How many hits, >= 1.
        found: Takes the differences.
        report: Called with the searches done and all.
    """
    ways: list[Mapping[str, Any] | None] = [None, *wheres]
    asked = [[*given, *sampled[at :: len(ways)]] for at in range(len(ways))]
    tally, total = _Tally(), sum(map(len, asked))
    report(0, total)
    with ThreadPoolExecutor(2, thread_name_prefix="vectorkit-verify") as both:
        for where, queries in zip(ways, asked, strict=True):
            if queries:
                _compare_way((source, target), queries, where, k, found, tally, both)
            report(len(tally.shares), total)
    return SearchCheck(
        queries=len(given) + len(sampled),
        searches=total,
        filters=tuple(wheres),
        k=k,
        overlap=float(np.mean(tally.shares)),
        lowest_overlap=min(tally.shares),
        score_difference=tally.score_difference,
        default_overlap=float(np.mean(tally.default_shares)),
    )


@dataclass(slots=True)
class _Tally:
    """What the searches so far had in common."""

    shares: list[float] = field(default_factory=list[float])
    default_shares: list[float] = field(default_factory=list[float])
    score_difference: float = 0.0


def _compare_way(
    sides: tuple[Side, Side],
    queries: Sequence[Query],
    where: Mapping[str, Any] | None,
    k: int,
    found: Differences,
    tally: _Tally,
    both: Executor,
) -> None:
    """Ask queries on both sides at once, with a filter or without."""
    vectors = np.stack([query.vector for query in queries])
    tree = None if where is None else filters.parse(where)
    under = "" if where is None else f" where {short(where)}"

    def count(side: Side) -> int:
        return side.backend.count(side.info, tree)

    if tree is not None:
        counts = list(both.map(count, sides))
        if counts[0] != counts[1]:
            text = f"{short(where)} matches {counts[0]:,} records of the source, {counts[1]:,} of the target"
            found.add("filter", text)

    def exactly(side: Side) -> list[Ranking]:
        return side.backend.search(side.info, vectors, k, where=tree, exact=True, include_embeddings=True)

    def by_default(side: Side) -> list[Ranking]:
        return side.backend.search(side.info, vectors, k, where=tree)

    for query, ours, theirs in zip(queries, *both.map(exactly, sides), strict=True):
        asked = _Asked(f"{query.name}{under}", sides[0].info.metric, query.vector)
        tally.shares.append(_overlap(ours.hits, theirs.hits))
        tally.score_difference = max(tally.score_difference, _compare(asked, ours.hits, theirs.hits, found))
    for query, ours, theirs in zip(queries, *both.map(by_default, sides), strict=True):
        tally.default_shares.append(_overlap(ours.hits, theirs.hits))
        if len(ours.hits) != len(theirs.hits):  # 6.1: never fewer because of an index
            counts = [len(ours.hits), len(theirs.hits)]
            text = f"{query.name}{under}, by default: {counts[0]} hits in the source, {counts[1]} in the target"
            found.add("hits", text)


def _overlap(ours: Sequence[Hit], theirs: Sequence[Hit]) -> float:
    most = max(len(ours), len(theirs))
    return len({hit.id for hit in ours} & {hit.id for hit in theirs}) / most if most else 1.0


def _compare(asked: _Asked, ours: Sequence[Hit], theirs: Sequence[Hit], found: Differences) -> float:
    """Hold the hits of two exact searches to rules 6.4 and 6.5, and return the largest difference of their scores."""
    if len(ours) != len(theirs):
        found.add("hits", f"{asked.name}: {len(ours)} hits in the source, {len(theirs)} in the target")
        return 0.0
    mine, yours = {hit.id: hit for hit in ours}, {hit.id: hit for hit in theirs}
    for side, hits, others, cut in (("source", ours, yours, theirs[-1:]), ("target", theirs, mine, ours[-1:])):
        for hit in hits:
            # At the cut, of two that are equally far either may be the one that comes back.
            if hit.id not in others and _distance(hit) < _distance(cut[0]) - _allowed(asked, hit):
                found.add("hits", f"{asked.name}: {short(hit.id)} is found in the {side} alone", hit.id)
    largest = 0.0
    for id in mine.keys() & yours.keys():
        off = abs(mine[id].score - yours[id].score)
        largest = max(largest, off)
        if off > (allowed := _allowed(asked, mine[id])):
            scores = f"{mine[id].score:.9g} in the source, {yours[id].score:.9g} in the target"
            found.add("score", f"{asked.name}: the score of {short(id)} is {scores}; {allowed:.1g} is allowed", id)
    farthest: Hit | None = None
    for hit in (mine[hit.id] for hit in theirs if hit.id in mine):
        if farthest is not None and _distance(hit) < _distance(farthest) - _allowed(asked, hit):
            text = f"{asked.name}: {short(farthest.id)} comes before {short(hit.id)} in the target, not in the source"
            found.add("order", text, hit.id)
        if farthest is None or _distance(hit) > _distance(farthest):
            farthest = hit
    return largest


def _distance(hit: Hit) -> float:
    assert hit.distance is not None
    return hit.distance


def _allowed(asked: _Asked, hit: Hit) -> float:
    """How far distance and score of a hit may differ between the sides (rule 6.5)."""
    if asked.metric == "cosine":
        return _TOLERANCE
    a, b = (float(np.linalg.norm(np.asarray(each, dtype=np.float64))) for each in (asked.vector, hit.embedding))
    return _TOLERANCE * (a * b if asked.metric == "ip" else a + b)
