"""What comes of asking two stores the same: the answers, and how they differ."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from vectorkit.searching import Mode
from vectorkit.types import Hit, Metric

__all__ = ["Answer", "Comparison", "QueryComparison", "Times"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a store said.

    Attributes:
        hits: Best first.
        milliseconds: How long the search took, without embedding the query.
    """

    hits: tuple[Hit, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class QueryComparison:
    """A query and both answers.

    Attributes:
        query: The text, or which vector it is.
        where: The filter, or None.
        first: The answer of the first store.
        second: Of the second.
        overlap: The share of hits that both have, 0 to 1.
        score_difference: The largest difference between the two scores of a hit that both have.
        differences: What goes beyond rules 6.5 and 7.5, a sentence each; A is the first store, B the second.
    """

    query: str
    where: Mapping[str, Any] | None
    first: Answer
    second: Answer
    overlap: float
    score_difference: float
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the answers are the same up to what the contract lets differ."""
        return not self.differences


class Times(NamedTuple):
    """How long the searches of a store took, in milliseconds.

    Attributes:
        p50: Half of them took no longer.
        p95: 95 of 100 took no longer.
    """

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All queries, and where they were asked.

    Attributes:
        first: The first store, without passwords.
        second: The second one.
        collection: The collection's name.
        metric: Its metric, in both.
        mode: What was ranked by.
        k: How many hits were asked for.
        queries: One each, in the order given.
    """

    first: str
    second: str
    collection: str
    metric: Metric
    mode: Mode
    k: int
    queries: tuple[QueryComparison, ...]

    @property
    def agrees(self) -> bool:
        """Whether all answers are the same up to what the contract lets differ."""
        return all(query.agrees for query in self.queries)

    @property
    def overlap(self) -> float:
        """The mean share of hits that both have."""
        return fmean(query.overlap for query in self.queries)

    @property
    def score_difference(self) -> float:
        """The largest difference between the two scores of a hit."""
        return max(query.score_difference for query in self.queries)

    @property
    def times(self) -> tuple[Times, Times]:
        """Of the first and the second store."""
        first = [query.first.milliseconds for query in self.queries]
        second = [query.second.milliseconds for query in self.queries]
        return Times(*np.percentile(first, [50, 95]).tolist()), Times(*np.percentile(second, [50, 95]).tolist())

    def to_json(self) -> dict[str, Any]:
        """All of it, without embeddings, as JSON has it."""
        first, second = self.times
        whole = asdict(self)
        for query in whole["queries"]:
            query["agrees"] = not query["differences"]
            for side in ("first", "second"):
                for hit in query[side]["hits"]:
                    del hit["embedding"]
        return {
            **whole,
            "agrees": self.agrees,
            "overlap": self.overlap,
            "score_difference": self.score_difference,
            "milliseconds": {"first": first._asdict(), "second": second._asdict()},
        }
