"""`Searching`: the part of a collection that searches. Every argument is checked here, then the backend is called."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectorkit import filters, text
from vectorkit._narrow import is_array
from vectorkit.backend.requests import HybridSearch, TextSearch, VectorSearch
from vectorkit.errors import InvalidArgumentError, UnsupportedError
from vectorkit.filters import Filter
from vectorkit.fusion import FUSIONS, Fusion, fuse
from vectorkit.indexing import IndexMethods
from vectorkit.types import FloatArray, Hit, Metric, Ranking, Vector
from vectorkit.validation import as_list, check_choice, check_flag, check_natural, check_score, check_share, check_text

__all__ = ["Mode", "Searching", "Where", "as_count", "as_filter"]

Where: TypeAlias = Mapping[str, Any] | Filter
"""A filter, as a dict or built with `F` (section 5 of the contract)."""

Mode: TypeAlias = Literal["vector", "text", "hybrid"]
"""What a search ranks by."""

_MODES: Final[tuple[Mode, ...]] = ("vector", "text", "hybrid")

_MANY: Final = 2**31 - 1
"""More records than one result can hold."""


class Searching(IndexMethods):
    """Searching a collection."""

    def create_text_index(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Index the words of the documents, those stored and those written from now on, in the collection's language.

        Does nothing if the collection has a text index.

        Args:
            progress: Called now and then with the numbers of records done and of all; what it raises passes through,
                and leaves the collection without a text index.

        Raises:
            UnsupportedError: The backend has no text search.
            MissingDependencyError: The stemmers for the language are not installed.
        """
        if progress is not None and not callable(progress):
            raise InvalidArgumentError(f"progress is called with two numbers; it is no {type(progress).__name__}")
        if not self._backend.capabilities.text_search:
            raise UnsupportedError(f"{self._backend.name} has no text search, so no text index can be made")
        text.analyzer(self._info.spec.language)
        self._info = self._backend.create_text_index(self._info, progress)

    def search(
        self,
        query: str | Vector,
        k: int = 10,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        mode: Mode = "vector",
        min_score: float | None = None,
        exact: bool | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
        include_embeddings: bool = False,
        weight: float = 0.7,
        fusion: Fusion = "weighted",
        fetch_k: int | None = None,
        vector: Vector | None = None,
    ) -> list[Hit]:
        """Find the records that are nearest, or whose documents hold the words, or both.

        Args:
            query: A text, embedded by the collection's embedder, or, with `mode="vector"`, a vector of `dimension`
                numbers.
            k: How many, >= 0.
            where: Filter on metadata; decides before the cut which records take part.
            where_document: Filter on documents.
            mode: `"vector"`: by distance; `"text"`: by BM25, without an embedder; `"hybrid"`: by a fusion of both.
                The last two need a text index.
            min_score: Leave out hits with a lower score.
            exact: True: compare with every record that matches. None: do so if at most 2,000 match, else an index
                may be used. False: an index may be used at any size. A text ranking is always exact.
            ef_search: Candidates that this search looks at in an HNSW index, 1 to 1,000; with `mode="vector"`.
            probes: Lists that this search looks at in an IVFFlat index, 1 to 32,768; with `mode="vector"`.
            include_embeddings: Whether hits hold their vectors.
            weight: Of the vectors in a weighted hybrid search, from 0 to 1; the words have the rest.
            fusion: How a hybrid search makes one ranking of two: `"weighted"` by their scores, `"rrf"` by reciprocal
                ranks.
            fetch_k: How many records of each ranking a hybrid search fuses, >= k; `max(100, 4 * k)` if left out.
            vector: The query's vector in a hybrid search, in place of embedding the query.

        Returns:
            Hits, best first, equal ones by id; `k` of them if so many match (with `mode="text"`: if so many hold a
            word of the query).

        Raises:
            InvalidVectorError: The query vector is not allowed (`DimensionMismatchError`: it has another length).
            EmbeddingError: A text query, and no embedder; or it failed.
            InvalidFilterError: A filter is malformed.
            InvalidArgumentError: Another argument is.
            UnsupportedError: The mode needs a text index that the collection lacks, or `ef_search` or `probes` an index
                that it, or the backend, lacks.
        """
        return self.search_many(
            query[np.newaxis] if is_array(query) and query.ndim == 1 else [query],
            k,
            where=where,
            where_document=where_document,
            mode=mode,
            min_score=min_score,
            exact=exact,
            ef_search=ef_search,
            probes=probes,
            include_embeddings=include_embeddings,
            weight=weight,
            fusion=fusion,
            fetch_k=fetch_k,
            vectors=None if vector is None else [vector],
        )[0]

    def search_many(
        self,
        queries: Sequence[str | Vector] | NDArray[Any],
        k: int = 10,
        *,
        where: Where | None = None,
        where_document: Mapping[str, Any] | None = None,
        mode: Mode = "vector",
        min_score: float | None = None,
        exact: bool | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
        include_embeddings: bool = False,
        weight: float = 0.7,
        fusion: Fusion = "weighted",
        fetch_k: int | None = None,
        vectors: Sequence[Vector] | NDArray[Any] | None = None,
    ) -> list[list[Hit]]:
        """Search with several queries; equals `[search(query, …) for query in queries]`.

        Args:
            queries: Texts, or vectors, or a 2-d array of vectors.
            k: This and the other arguments, and the errors, are those of `search`.
            where: See `search`.
            where_document: See `search`.
            mode: See `search`.
            min_score: See `search`.
            exact: See `search`.
            ef_search: See `search`.
            probes: See `search`.
            include_embeddings: See `search`.
            weight: See `search`.
            fusion: See `search`.
            fetch_k: See `search`.
            vectors: One a query; see `vector` of `search`.

        Returns:
            One list of hits a query, in the order of the queries.
        """
        k = as_count(k, "k")
        check_choice(mode, _MODES, "mode")
        tree = as_filter(where, where_document)
        least = None if min_score is None else check_score(min_score)
        if exact is not None:
            check_flag(exact, "exact")
        effort = self._effort(exact, ef_search, probes)
        if effort is not None and mode != "vector":
            raise InvalidArgumentError(f"ef_search= and probes= are for mode='vector', not {mode!r}; leave them out")
        check_flag(include_embeddings, "include_embeddings")
        weight = check_share(weight, "weight")
        fusion = check_choice(fusion, FUSIONS, "fusion")
        fetch_k = _fetch_k(fetch_k, k)
        if vectors is not None and mode != "hybrid":
            raise InvalidArgumentError(
                f"a vector beside the query is for mode='hybrid', not {mode!r}; "
                "to search by a vector alone, give it as the query"
            )
        if mode == "vector":
            vectors = self._intake.queries(queries)
            return self._by_vector(vectors, k, tree, least, exact, include_embeddings, effort)
        self._check_text_index(mode)
        texts = [_text(query, mode) for query in as_list(queries, "queries")]
        if mode == "text":
            if k == 0 or not texts:
                return [[] for _ in texts]
            words = [self._words(query) for query in texts]
            found = self._backend.search_text(self._info, TextSearch(words, k, tree, include_embeddings))
        else:
            array = self._intake.queries(texts if vectors is None else _beside(vectors, len(texts)))
            if k == 0 or not texts:
                return [[] for _ in texts]
            words = [self._words(query) for query in texts]
            candidates = self._backend.search_hybrid(
                self._info, HybridSearch(array, words, fetch_k, tree, exact, include_embeddings)
            )
            found = [fuse(each, self._info.metric, fusion, weight)[:k] for each in candidates]
        if least is None:
            return found
        floor = least - 1e-6 * max(1.0, abs(least))  # rule 7.5
        return [[hit for hit in hits if hit.score >= floor] for hits in found]

    def _by_vector(
        self,
        queries: FloatArray,
        k: int,
        tree: Filter | None,
        least: float | None,
        exact: bool | None,
        include_embeddings: bool,
        effort: int | None,
    ) -> list[list[Hit]]:
        def run(vectors: FloatArray, exact: bool | None) -> list[Ranking]:
            request = VectorSearch(vectors, k, tree, exact, include_embeddings, None if exact else effort)
            return self._backend.search(self._info, request)

        if k == 0 or not len(queries):
            return [[] for _ in queries]
        rankings = run(queries, exact)
        if least is None:
            return [ranking.hits for ranking in rankings]
        return [
            _above(least, ranking, self._info.metric, partial(run, queries[row : row + 1], True))
            for row, ranking in enumerate(rankings)
        ]

    def _words(self, query: str) -> list[str]:
        """The words of a query, each once, in an order that depends on nothing else: sums of scores do not differ."""
        return sorted(set(text.analyzer(self._info.spec.language).words(query)))

    def _check_text_index(self, mode: Mode) -> None:
        if self._backend.capabilities.text_search and not self._info.spec.text_index:
            # Another handle may have made the index since this one was opened.
            info = self._backend.open_collection(self.name)
            if info.generation == self._info.generation:
                self._info = info
        if not self._info.spec.text_index:
            remedy = (
                "make one with create_text_index()"
                if self._backend.capabilities.text_search
                else f"{self._backend.name} cannot make one; use mode='vector'"
            )
            raise UnsupportedError(
                f"mode={mode!r} needs a text index, and collection {self._info.name!r} has none; {remedy}"
            )

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._info.name


def as_count(value: object, what: str) -> int:
    """A number of records; any int is taken, but backends see none that a database's integers cannot hold."""
    return min(check_natural(value, what), _MANY)


def as_filter(where: Where | None, where_document: Mapping[str, Any] | None) -> Filter | None:
    """Both filters as one tree; None if neither is given."""
    if where is None and where_document is None:
        return None
    parts = [part for part in (filters.parse(where), filters.parse_document(where_document)) if part is not None]
    return filters.simplify(filters.And(tuple(parts))) if parts else None


def _fetch_k(value: object, k: int) -> int:
    if value is None:
        return min(max(100, 4 * k), _MANY)
    fetch_k = as_count(value, "fetch_k")
    if fetch_k < k:
        raise InvalidArgumentError(f"fetch_k is at least k, which is {k:,}, not {fetch_k:,}; leave it out, or raise it")
    return fetch_k


def _text(query: object, mode: Mode) -> str:
    if not isinstance(query, str):
        more = "; give its vector beside it" if mode == "hybrid" else ""
        raise InvalidArgumentError(f"with mode={mode!r} a query is a str, not {type(query).__name__}{more}")
    check_text(query, "the query")
    return query


def _beside(vectors: object, count: int) -> list[Any]:
    rows = as_list(vectors, "vectors")
    if len(rows) != count:
        raise InvalidArgumentError(f"vectors has one vector a query: {count:,}, not {len(rows):,}")
    if any(isinstance(row, str) for row in rows):
        raise InvalidArgumentError("vectors holds vectors; a text is embedded if they are left out")
    return rows


def _above(least: float, ranking: Ranking, metric: Metric, exactly: Callable[[], list[Ranking]]) -> list[Hit]:
    """The hits that reach `min_score`: as score falls with distance, the first ones.

    If an index found hits below it among its k, it may have missed some above: then all records are compared (6.1).
    """
    floor = least - 1e-6 * (1.0 if metric == "cosine" else abs(least))  # rule 6.6: within what 6.5 lets scores differ
    kept = list(takewhile(lambda hit: hit.score >= floor, ranking.hits))
    if ranking.exact or len(kept) == len(ranking.hits):
        return kept
    return list(takewhile(lambda hit: hit.score >= floor, exactly()[0].hits))
