"""Searches without I/O: arguments are checked, requests made of them, and answers finished."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from vectorkit import filters, text
from vectorkit.backend.requests import HybridSearch, TextSearch, VectorSearch
from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.filters import Filter
from vectorkit.fusion import FUSIONS, Fusion
from vectorkit.indexes import HNSW, MAX_EF_SEARCH, MAX_PROBES, IVFFlat
from vectorkit.metrics import METRICS
from vectorkit.protocol import VectorBackend
from vectorkit.types import CollectionInfo, FloatArray, Hit, Metric, Ranking
from vectorkit.validation import (
    as_list,
    check_between,
    check_choice,
    check_flag,
    check_natural,
    check_score,
    check_share,
    check_text,
)

__all__ = [
    "MANY",
    "MODES",
    "Mode",
    "SearchOptions",
    "Where",
    "as_count",
    "as_filter",
    "as_texts",
    "as_vectors",
    "check_effort",
    "check_search",
    "check_text_index",
    "finish_texts",
    "finish_vectors",
    "words_of",
]

Where: TypeAlias = Mapping[str, Any] | Filter
"""A filter, as a dict or built with `F` (section 5 of the contract)."""

Mode: TypeAlias = Literal["vector", "text", "hybrid"]
"""What a search ranks by."""

MODES: Final[tuple[Mode, ...]] = ("vector", "text", "hybrid")
"""All of them."""

MANY: Final = 2**31 - 1
"""More records than one result can hold."""


def as_count(value: object, what: str) -> int:
    """A number of records; any int is taken, but backends see none that a database's integers cannot hold."""
    return min(check_natural(value, what), MANY)


def as_filter(where: Where | None, where_document: Mapping[str, Any] | None) -> Filter | None:
    """Both filters as one tree; None if neither is given."""
    if where is None and where_document is None:
        return None
    parts = [part for part in (filters.parse(where), filters.parse_document(where_document)) if part is not None]
    if len(parts) < 2:  # what was parsed is in normal form
        return parts[0] if parts else None
    return filters.simplify(filters.And(tuple(parts)))


def _fetch_k(value: object, k: int) -> int:
    if value is None:
        return min(max(100, 4 * k), MANY)
    fetch_k = as_count(value, "fetch_k")
    if fetch_k < k:
        raise InvalidArgumentError(f"fetch_k is at least k, which is {k:,}, not {fetch_k:,}; leave it out, or raise it")
    return fetch_k


def as_texts(queries: object, mode: Mode) -> list[str]:
    """The queries of a text or hybrid search, checked."""
    return [_text(query, mode) for query in as_list(queries, "queries")]


def _text(query: object, mode: Mode) -> str:
    if not isinstance(query, str):
        more = "; give its vector beside it" if mode == "hybrid" else ""
        raise InvalidArgumentError(f"with mode={mode!r} a query is a str, not {type(query).__name__}{more}")
    check_text(query, "the query")
    return query


def as_vectors(vectors: object, count: int) -> list[Any]:
    """The vectors beside the queries of a hybrid search, one a query."""
    rows = as_list(vectors, "vectors")
    if len(rows) != count:
        raise InvalidArgumentError(f"vectors has one vector a query: {count:,}, not {len(rows):,}")
    if any(isinstance(row, str) for row in rows):
        raise InvalidArgumentError("vectors holds vectors; a text is embedded if they are left out")
    return rows


class SearchOptions(NamedTuple):
    """What a search is to do, apart from its queries; checked.

    Attributes:
        k: How many hits, >= 0.
        mode: What it ranks by.
        where: The filter; None: all records take part.
        least: The lowest score of a hit, None for any.
        exact: See `VectorSearch`.
        effort: See `VectorSearch`.
        include_embeddings: Whether hits hold their vectors.
        weight: Of the vectors in a weighted hybrid search.
        fusion: How a hybrid search makes one ranking of two.
        fetch_k: How many records of each ranking it fuses.
    """

    k: int
    mode: Mode
    where: Filter | None
    least: float | None
    exact: bool | None
    effort: int | None
    include_embeddings: bool
    weight: float
    fusion: Fusion
    fetch_k: int

    def by_vector(self, queries: FloatArray) -> VectorSearch:
        """The request of a search by vectors."""
        return VectorSearch(queries, self.k, self.where, self.exact, self.include_embeddings, self.effort)

    def by_text(self, words: list[list[str]]) -> TextSearch:
        """The request of a search by words."""
        return TextSearch(words, self.k, self.where, self.include_embeddings)

    def by_both(self, vectors: FloatArray, words: list[list[str]]) -> HybridSearch:
        """The request of a hybrid search."""
        return HybridSearch(vectors, words, self.fetch_k, self.where, self.exact, self.include_embeddings)


def check_search(
    backend: VectorBackend,
    info: CollectionInfo,
    *,
    k: object,
    mode: Mode,
    where: Where | None,
    where_document: Mapping[str, Any] | None,
    min_score: float | None,
    exact: bool | None,
    ef_search: int | None,
    probes: int | None,
    include_embeddings: bool,
    weight: float,
    fusion: Fusion,
    fetch_k: int | None,
    vectors: object,
) -> SearchOptions:
    """Check the arguments of `Collection.search_many`, apart from the queries; errors as there."""
    count = as_count(k, "k")
    check_choice(mode, MODES, "mode")
    tree = as_filter(where, where_document)
    least = None if min_score is None else check_score(min_score)
    if exact is not None:
        check_flag(exact, "exact")
    effort = check_effort(backend, info, exact, ef_search, probes)
    if effort is not None and mode != "vector":
        raise InvalidArgumentError(f"ef_search= and probes= are for mode='vector', not {mode!r}; leave them out")
    check_flag(include_embeddings, "include_embeddings")
    weight = check_share(weight, "weight")
    fusion = check_choice(fusion, FUSIONS, "fusion")
    fetched = _fetch_k(fetch_k, count)
    if vectors is not None and mode != "hybrid":
        raise InvalidArgumentError(
            f"a vector beside the query is for mode='hybrid', not {mode!r}; "
            "to search by a vector alone, give it as the query"
        )
    return SearchOptions(count, mode, tree, least, exact, effort, include_embeddings, weight, fusion, fetched)


def check_effort(
    backend: VectorBackend, info: CollectionInfo, exact: bool | None, ef_search: int | None, probes: int | None
) -> int | None:
    """What a single search asks of the index, checked: `ef_search` or `probes`."""
    if ef_search is None and probes is None:
        return None
    if ef_search is not None and probes is not None:
        raise InvalidArgumentError("ef_search= is a setting of HNSW, probes= of IVFFlat: no index has both")
    kind: type[HNSW] | type[IVFFlat] = IVFFlat if ef_search is None else HNSW
    name, most = ("probes", MAX_PROBES) if ef_search is None else ("ef_search", MAX_EF_SEARCH)
    effort = check_between(probes if ef_search is None else ef_search, 1, most, name)
    if exact is True:
        raise InvalidArgumentError(f"an exact search uses no index, so {name}= has no effect; leave it out")
    if not backend.capabilities.index_changes:
        raise UnsupportedError(f"{backend.name} has no {name} for a single search; leave it out")
    if not isinstance(info.spec.index, kind):
        held = "no index" if info.spec.index is None else type(info.spec.index).__name__
        raise UnsupportedError(
            f"{name}= is a setting of {kind.__name__}, and collection {info.name!r} has {held}; leave it "
            "out, or give it another index with create_index()"
        )
    return effort


def check_text_index(backend: VectorBackend, info: CollectionInfo, mode: Mode) -> None:
    """Refuse a search by words where there is no text index."""
    if not info.spec.text_index:
        remedy = (
            "make one with create_text_index()"
            if backend.capabilities.text_search
            else f"{backend.name} cannot make one; use mode='vector'"
        )
        raise UnsupportedError(f"mode={mode!r} needs a text index, and collection {info.name!r} has none; {remedy}")


def words_of(info: CollectionInfo, queries: Sequence[str]) -> list[list[str]]:
    """The words of each query, each once, in an order that depends on nothing else: sums of scores do not differ."""
    analyzer = text.analyzer(info.spec.language)
    return [sorted(set(analyzer.words(query))) for query in queries]


def finish_vectors(options: SearchOptions, metric: Metric, rankings: Sequence[Ranking]) -> list[list[Hit] | None]:
    """The hits of each query; None where an index may have missed some that reach `min_score`.

    If an index found hits below it among its k, it may have missed some above: then all records are to be compared
    (6.1), and the answer to that is finished in turn.
    """
    if options.least is None:
        return [ranking.hits for ranking in rankings]
    # Rule 6.6: within what 6.5 lets scores differ.
    floor = options.least - 1e-6 * (1.0 if METRICS[metric].is_bounded else abs(options.least))
    found: list[list[Hit] | None] = []
    for ranking in rankings:
        kept = list(takewhile(lambda hit: hit.score >= floor, ranking.hits))  # as score falls with distance
        found.append(kept if ranking.exact or len(kept) == len(ranking.hits) else None)
    return found


def finish_texts(options: SearchOptions, found: list[list[Hit]]) -> list[list[Hit]]:
    """The hits of a search by words, or of both, that reach `min_score`."""
    if options.least is None:
        return found
    floor = options.least - 1e-6 * max(1.0, abs(options.least))  # rule 7.5
    return [[hit for hit in hits if hit.score >= floor] for hits in found]
