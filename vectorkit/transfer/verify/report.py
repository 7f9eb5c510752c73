"""What a verification found: the differences, counted and the first of them kept, and how the searches compare."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

__all__ = ["CollectionCheck", "Difference", "Differences", "Kind", "SearchCheck", "Verification"]

Kind: TypeAlias = Literal[
    "collection",
    "metric",
    "dimension",
    "embedder",
    "language",
    "text index",
    "count",
    "malformed",
    "missing",
    "extra",
    "document",
    "metadata",
    "vector",
    "filter",
    "search",
]
"""What differs. Of a collection: that it is there, its settings, its number of records, lines of a file that hold none.
Of a record: `missing` from the target, `extra` in it, or one of its parts. Of searches: how many records a filter
matches; which hits come back, their scores, their order."""

_SHOWN: Final = 5
"""Differences of a kind that are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides.

    Attributes:
        kind: What differs.
        text: A sentence for people; texts in it are cut, and no vector is in it but for one of its numbers.
        id: Of which record, if of one.
    """

    kind: Kind
    text: str
    id: str | None = None


class Differences:
    """Counts differences, and keeps the first few of each kind: memory is bounded however many there are."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.first: list[Difference] = []

    def add(self, kind: Kind, text: str, id: str | None = None) -> None:
        """Take one."""
        if self.counts[kind] < _SHOWN:
            self.first.append(Difference(kind, text, id))
        self.counts[kind] += 1


@dataclass(frozen=True, slots=True)
class SearchCheck:
    """How the same searches compare on both sides.

    Attributes:
        queries: How many queries. Those that were given are asked without a filter and with every one of `filters`; of
            those that were sampled each is asked in one of these ways, in turn.
        searches: How many exact searches that made, and how many default ones.
        filters: Filters taken from the data.
        k: How many hits were asked for.
        overlap: Mean share of the hits that exact searches (6.7) find on both sides; below 1 with no difference counted
            only where records tie at the cut.
        lowest_overlap: The lowest of a search.
        score_difference: The largest difference between the scores of a hit on both sides.
        default_overlap: As `overlap`, of searches that may use an index: reported, and no difference, since such a
            search promises recall and not a set of hits.
    """

    queries: int
    searches: int
    filters: tuple[Mapping[str, Any], ...]
    k: int
    overlap: float
    lowest_overlap: float
    score_difference: float
    default_overlap: float


@dataclass(frozen=True, slots=True)
class CollectionCheck:
    """One collection compared with its counterpart.

    Attributes:
        name: What it is called in the source.
        target_name: What it is called in the target.
        counts: The number of records in the source and in the target.
        compared: How many records are on both sides, and were compared.
        vector_error: The largest distance between the two vectors of a record, relative to the norm.
        differences: How many there are of each kind; empty if the two agree.
        first: The first of each kind.
        searches: How searches compare; None if there were none, and `remarks` says why.
        remarks: What to know that is no difference.
        seconds: What it took.
    """

    name: str
    target_name: str
    counts: tuple[int, int]
    compared: int
    vector_error: float
    differences: Mapping[Kind, int]
    first: tuple[Difference, ...]
    searches: SearchCheck | None
    remarks: tuple[str, ...]
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether there is no difference."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Verification:
    """A source compared with a target.

    Attributes:
        source: Where the source is, without passwords.
        target: Where the target is, without passwords.
        collections: One check each.
    """

    source: str
    target: str
    collections: tuple[CollectionCheck, ...]

    @property
    def agrees(self) -> bool:
        """Whether all collections agree."""
        return all(check.agrees for check in self.collections)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON, with `agrees` for the whole and for each collection."""
        checks = [{"agrees": check.agrees, **asdict(check)} for check in self.collections]
        return {"agrees": self.agrees, "source": self.source, "target": self.target, "collections": checks}
