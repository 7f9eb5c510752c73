"""What a backend is asked for: a request of each kind holds all that decides its answer.

The facade makes requests of arguments that it has checked; a backend only reads them. What a search can be asked for is
declared here and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vectorkit.filters import Filter
from vectorkit.types import FloatArray

__all__ = ["HybridSearch", "Read", "Scan", "TextSearch", "VectorSearch"]


@dataclass(frozen=True, slots=True)
class Read:
    """Which records to return (rule 4.1).

    Attributes:
        ids: Each once; None means all records.
        where: None matches everything.
        limit: How many at the most, >= 1; None for all.
        offset: How many to pass over first.
        include_embeddings: Whether the records hold their vectors, float32 arrays of shape `(dimension,)` equal to what
            was written within 1e-6 of its norm (6.10).
    """

    ids: Sequence[str] | None = None
    where: Filter | None = None
    limit: int | None = None
    offset: int = 0
    include_embeddings: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """Which records to stream, in ascending order of id by code point (rule 4.3).

    Attributes:
        where: None matches everything.
        after: Only records whose ids are greater; None: all. No such record need be there.
        batch_size: The most records of a page, >= 1.
        include_embeddings: See `Read`.
    """

    where: Filter | None = None
    after: str | None = None
    batch_size: int = 1000
    include_embeddings: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class VectorSearch:
    """What to find by distance (section 6).

    Attributes:
        queries: float32 array of shape `(m, dimension)`, m >= 1, checked like written vectors.
        k: How many hits of each query, >= 1.
        where: Decides before the cut which records take part; None: all do.
        exact: True: every record that matches is compared. None: as True if at most `vectorkit.ranking.EXACT_LIMIT`
            records match, else an index may be used. False: it may at any size.
        include_embeddings: Whether the hits hold their vectors.
        effort: A setting of the index for these queries alone: `ef_search` of an HNSW index, 1 to 1,000; `probes` of an
            IVFFlat one, 1 to 32,768. None: the collection's own; always so without `index_changes` in the
            capabilities, and where `exact` is True.
    """

    queries: FloatArray
    k: int
    where: Filter | None = None
    exact: bool | None = None
    include_embeddings: bool = False
    effort: int | None = None


@dataclass(frozen=True, slots=True)
class TextSearch:
    """What to find by the words of the documents (rule 7.2).

    Attributes:
        queries: The words of each query, after analysis, each word once; maybe none.
        k: How many hits of each query, >= 1.
        where: Decides before the cut which records take part, but not what a word weighs (7.4); None: all do.
        include_embeddings: Whether the hits hold their vectors.
    """

    queries: Sequence[Sequence[str]]
    k: int
    where: Filter | None = None
    include_embeddings: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class HybridSearch:
    """What to find by both (rule 7.3).

    Attributes:
        vectors: float32 array of shape `(m, dimension)`, one row a query, m >= 1.
        queries: The words of each query, as in `TextSearch`, m of them.
        fetch_k: How many of each ranking, >= 1.
        where: As in both.
        exact: As in `VectorSearch`.
        include_embeddings: As in both.
    """

    vectors: FloatArray
    queries: Sequence[Sequence[str]]
    fetch_k: int
    where: Filter | None = None
    exact: bool | None = None
    include_embeddings: bool = False
