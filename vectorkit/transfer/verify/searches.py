"""The same searches on both sides: exact ones must agree by the contract, default ones are reported."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vectorkit import filters
from vectorkit._narrow import is_list
from vectorkit.backend.requests import VectorSearch
from vectorkit.filters import Scalar
from vectorkit.protocol import VectorBackend
from vectorkit.transfer.agreement import differences, overlap, score_difference, tolerance
from vectorkit.transfer.verify.report import Differences, SearchCheck
from vectorkit.types import CollectionInfo, FloatArray, Hit, Ranking, Record
from vectorkit.validation import short

__all__ = ["NamedQuery", "Side", "compare_searches", "filters_from"]


class Side(NamedTuple):
    """A collection that can be searched."""

    backend: VectorBackend
    info: CollectionInfo


class NamedQuery(NamedTuple):
    """A query, and what it is called in a report."""

    vector: FloatArray
    name: str


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
    given: Sequence[NamedQuery],
    sampled: Sequence[NamedQuery],
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
    queries: Sequence[NamedQuery],
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
        return side.backend.search(side.info, VectorSearch(vectors, k, tree, exact=True, include_embeddings=True))

    def by_default(side: Side) -> list[Ranking]:
        return side.backend.search(side.info, VectorSearch(vectors, k, tree))

    for query, ours, theirs in zip(queries, *both.map(exactly, sides), strict=True):

        def allowed(hit: Hit, vector: FloatArray = query.vector) -> float:
            assert hit.embedding is not None
            return tolerance(sides[0].info.metric, vector, hit.embedding)

        for text in differences(ours.hits, theirs.hits, ("the source", "the target"), _distance, allowed):
            found.add("search", f"{query.name}{under}: {text}")
        tally.shares.append(overlap(ours.hits, theirs.hits))
        tally.score_difference = max(tally.score_difference, score_difference(ours.hits, theirs.hits))
    for query, ours, theirs in zip(queries, *both.map(by_default, sides), strict=True):
        tally.default_shares.append(overlap(ours.hits, theirs.hits))
        if len(ours.hits) != len(theirs.hits):  # 6.1: never fewer because of an index
            counts = [len(ours.hits), len(theirs.hits)]
            text = f"{query.name}{under}, by default: {counts[0]} hits in the source, {counts[1]} in the target"
            found.add("search", text)


def _distance(hit: Hit) -> float:
    assert hit.distance is not None
    return hit.distance
