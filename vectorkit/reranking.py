"""A second look at the hits of a search: by a slower model, or for variety (rules 7.6 and 7.7 of the contract).

Both work on hits alone, from any search on any backend, and can follow each other::

    hits = docs.search(query, 50, mode="hybrid", include_embeddings=True)
    hits = vk.rerank(query, hits, CrossEncoderReranker("cross-encoder/ms-marco-MiniLM-L6-v2"))
    hits = vk.diversify(hits, k=10, diversity=0.3)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectorkit._narrow import is_iterable, is_mapping
from vectorkit.errors import DimensionMismatchError, InvalidArgumentError, RerankingError, VectorKitError
from vectorkit.fusion import scaled
from vectorkit.types import Hit
from vectorkit.validation import as_list, check_natural, check_share, check_text, short

__all__ = ["Reranker", "diversify", "rerank"]

Reranker: TypeAlias = Callable[[str, list[str]], Sequence[float] | NDArray[Any]]
"""What is called with a query and documents, and returns one finite number a document: larger is better."""


def rerank(query: str, hits: Sequence[Hit], reranker: Reranker) -> list[Hit]:
    """Order hits anew by what a re-ranker says of their documents.

    A model that reads query and document together judges better than vectors made of each alone, and is too slow for a
    whole collection: give it the first hits of a search, such as 50.

    Args:
        query: The text that was searched for.
        hits: Hits that have documents; `where_document={"$contains": …}` or a filter of your own leaves others out.
        reranker: Called once, with the query and the documents in the order of the hits; not at all without hits.

    Returns:
        All the hits, each with its new score (`distance` stays), in descending order of it, equal scores by id.

    Raises:
        InvalidArgumentError: The query is no text, a hit is none or has no document, or the re-ranker is no function.
        RerankingError: The re-ranker failed, or did not return one finite number a document.
    """
    if not isinstance(query, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"query is the text that was searched for, not {type(query).__name__}")
    check_text(query, "the query")
    if not callable(reranker):
        raise InvalidArgumentError(f"reranker is a function of (query, documents), not {type(reranker).__name__}")
    found = _hits(hits)
    documents = [_document(hit) for hit in found]
    if not found:
        return []
    try:
        scores = reranker(query, documents)
    except VectorKitError:
        raise
    except Exception as error:
        raise RerankingError(f"the re-ranker failed: {type(error).__name__}: {error}") from error
    scored = [replace(hit, score=score) for hit, score in zip(found, _scores(scores, len(found)), strict=True)]
    return sorted(scored, key=lambda hit: (-hit.score, hit.id))


def diversify(hits: Sequence[Hit], k: int = 10, *, diversity: float = 0.3) -> list[Hit]:
    """Choose hits that are good and unlike each other, by maximal marginal relevance.

    Each next hit is the one with the largest `(1 - diversity) * r - diversity * s`: `r` is its score, scaled so that
    the candidates' go from 0 to 1 (1 if all are equal), which makes scores of every metric, mode and re-ranker count
    alike; `s` is the largest cosine of its vector with that of a hit chosen before (0 for the first one, and for a zero
    vector). Of values equal to nine decimals the one whose hit stands first counts as the largest. `1 - diversity` is
    lambda in Carbonell, Goldstein: The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries, SIGIR 1998.

    Args:
        hits: The candidates, best first, with vectors: `search(query, 50, include_embeddings=True)`. The more, the
            more variety there is to choose from; time grows with `len(hits) * k`.
        k: How many to choose, >= 0. Those of `k` are the first of those of `k + 1`.
        diversity: From 0, the order of the scores, to 1, where after the first one only unlikeness counts.

    Returns:
        `k` of the hits, or all if there are no more, as they were, in the order in which they were chosen.

    Raises:
        InvalidArgumentError: A hit is none or has no vector, or `k` or `diversity` is out of range.
        DimensionMismatchError: The vectors have different lengths.
    """
    k = check_natural(k, "k")
    diversity = check_share(diversity, "diversity")
    found = _hits(hits)
    vectors = _unit_vectors(found)
    relevance = (1.0 - diversity) * np.array(scaled([hit.score for hit in found]))
    likeness = np.full(len(found), -np.inf)
    left = np.ones(len(found), dtype=bool)
    chosen: list[Hit] = []
    while len(chosen) < min(k, len(found)):
        # Rounding errors decide no tie: the order of a search is kept, which is by id where records are alike.
        values = np.round(relevance - diversity * likeness if chosen else relevance, 9)
        row = int(np.argmax(np.where(left, values, -np.inf)))
        left[row] = False
        chosen.append(found[row])
        # Along rows, as in `vectorkit.ranking`: a value depends on its two vectors alone, not on their neighbours.
        likeness = np.maximum(likeness, (vectors * vectors[row]).sum(axis=1))
    return chosen


def _hits(hits: object) -> list[Hit]:
    found = as_list(hits, "hits")
    for hit in found:
        if not isinstance(hit, Hit):
            raise InvalidArgumentError(f"hits holds the hits of one search, not {type(hit).__name__}")
    return found


def _document(hit: Hit) -> str:
    if hit.document is None:
        raise InvalidArgumentError(
            f"hit {short(hit.id)} has no document that a re-ranker could read; leave such hits out: "
            "[hit for hit in hits if hit.document is not None]"
        )
    return hit.document


def _scores(scores: object, count: int) -> list[float]:
    if isinstance(scores, str | bytes) or is_mapping(scores) or not is_iterable(scores):
        raise RerankingError(f"the re-ranker returned {type(scores).__name__}, not a list of one number a document")
    found = list(scores)
    if len(found) != count:
        raise RerankingError(f"the re-ranker returned {len(found):,} scores for {count:,} documents")
    return [_score(score, at) for at, score in enumerate(found)]


def _score(score: object, at: int) -> float:
    if isinstance(score, bool) or not isinstance(score, Real):
        raise RerankingError(f"the re-ranker's score of document {at} is a number, not {type(score).__name__}")
    try:
        number = float(score)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RerankingError(f"the re-ranker's score of document {at} is a finite number, not {number}")
    return number


def _unit_vectors(hits: Sequence[Hit]) -> NDArray[np.float64]:
    """One row a hit, of norm 1; a zero vector stays one."""
    rows: list[NDArray[np.float64]] = []
    for hit in hits:
        if hit.embedding is None:
            raise InvalidArgumentError(
                f"hit {short(hit.id)} has no vector to compare; search with include_embeddings=True"
            )
        row = np.asarray(hit.embedding, dtype=np.float64)
        if rows and row.shape != rows[0].shape:
            raise DimensionMismatchError(
                f"hit {short(hit.id)} has a vector of {row.size:,} numbers, another one of {rows[0].size:,}; "
                "give the hits of one search"
            )
        rows.append(row / (np.sqrt(np.square(row).sum()) or 1.0))
    return np.array(rows).reshape(len(rows), -1) if rows else np.empty((0, 0))
