"""The same queries asked of two stores, side by side: `compare`."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias

import numpy as np

from vectorkit.collection import Collection
from vectorkit.embedding import identity_of
from vectorkit.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    EmbeddingError,
    InvalidArgumentError,
)
from vectorkit.intake import Intake
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.searching import MODES, Mode, as_filter
from vectorkit.store import VectorStore, connect
from vectorkit.transfer.agreement import TOLERANCE, differences, overlap, score_difference, tolerance
from vectorkit.transfer.arguments import check_progress
from vectorkit.transfer.compare.queries import Query
from vectorkit.transfer.compare.report import Answer, Comparison, QueryComparison
from vectorkit.types import EmbedderIdentity, FloatArray, Hit
from vectorkit.urls import shown_url
from vectorkit.validation import as_list, check_between, check_choice, short

__all__ = ["compare"]

Store: TypeAlias = str | VectorStore | VectorBackend
"""A URL, a store or a backend."""

_MANY: Final = 10_000
"""The most hits that are compared."""


def compare(
    first: Store,
    second: Store,
    queries: Sequence[str | Query],
    *,
    collection: str | None = None,
    k: int = 10,
    mode: Mode = "vector",
    where: Mapping[str, Any] | None = None,
    embedder: Embedder | str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Comparison:
    """Ask two stores the same, and compare their answers.

    Each query is embedded once, so that both stores are given the very same vector. Both are asked the first query
    once before time is taken.

    Args:
        first: A URL as for `connect`, a store or a backend; what is handed in stays open.
        second: The same.
        queries: At least one: texts, or queries with a vector or a filter of their own.
        collection: The name of a collection that both have; may be left out if the first store has one alone.
        k: How many hits, 1 to 10,000.
        mode: See `Collection.search`; `"text"` needs no vectors.
        where: A filter on metadata for all queries.
        embedder: Makes vectors of texts, or the name or folder of a local model; left out, it is made from the identity
            that the collection was created with.
        progress: Called with the numbers of queries done and of all.

    Raises:
        InvalidArgumentError: Or a subclass: there is no query, or one is malformed, or another argument is.
        CollectionNotFoundError: A store has no such collection.
        CollectionMismatchError: Metric, dimension or embedder of the two differ, so that answers do not compare.
        EmbeddingError: A text is to be embedded, and the collection's embedder is not known or cannot be made here;
            give vectors, or an embedder.
        BackendError: What a store reports.
    """
    k = check_between(k, 1, _MANY, "k")
    check_choice(mode, MODES, "mode")
    as_filter(where, None)  # which refuses one that is malformed
    check_progress(progress)
    if not isinstance(embedder, str | None):
        identity_of(embedder)
    asked = [_asked(query) for query in as_list(queries, "queries")]
    if not asked:
        raise InvalidArgumentError("there is no query to compare answers to; give at least one")
    with _opened(first) as (one, one_label), _opened(second) as (other, other_label):
        name = _only(one, one_label) if collection is None else collection
        sides = one.get_collection(name), other.get_collection(name)
        _check_alike(*sides)
        vectors = _vectors(asked, sides, mode, embedder)
        compared: list[QueryComparison] = []
        for at, (query, vector) in enumerate(zip(asked, vectors, strict=True)):
            if progress is not None:
                progress(at, len(asked))
            given: dict[str, Any] = {"k": k, "mode": mode, "where": _both(where, query.where)}
            given |= {"query": vector} if mode == "vector" else {"query": query.text}
            if mode == "hybrid":
                given["vector"] = vector
            if not at:
                for side in sides:
                    side.search(**given)
            answers = _answer(sides[0], given), _answer(sides[1], given)
            label = query.text if query.text is not None else f"vector of query {at + 1:,}"
            compared.append(_compared(label, given, answers, sides[0]))
        if progress is not None:
            progress(len(asked), len(asked))
        return Comparison(one_label, other_label, name, sides[0].info().metric, mode, k, tuple(compared))


def _asked(query: object) -> Query:
    if isinstance(query, str):
        return Query(query)
    if isinstance(query, Query):
        return query
    raise InvalidArgumentError(
        f"queries must hold texts and Query objects, got {short(query)} ({type(query).__name__}); "
        "for a vector give Query(vector=...)"
    )


@contextmanager
def _opened(where: Store) -> Generator[tuple[VectorStore, str]]:
    with ExitStack() as opened:
        if isinstance(where, str):
            yield opened.enter_context(connect(where)), shown_url(where)
        else:
            store = where if isinstance(where, VectorStore) else VectorStore(where)
            yield store, store.backend.name


def _only(store: VectorStore, label: str) -> str:
    names = [info.name for info in store.list_collections()]
    if not names:
        raise CollectionNotFoundError(f"{label} holds no collection")
    if len(names) > 1:
        raise InvalidArgumentError(f"{label} holds {len(names):,} collections: name one of {short(names, 400)}")
    return names[0]


def _check_alike(one: Collection, other: Collection) -> None:
    for what in ("metric", "dimension", "embedder"):
        here, there = getattr(one.info().spec, what), getattr(other.info().spec, what)
        if here != there and None not in (here, there):
            raise CollectionMismatchError(
                f"collection {one.name!r} has {what} {here!r} in the first store, {there!r} in the second: what they "
                "answer does not compare"
            )


def _vectors(
    queries: Sequence[Query], sides: tuple[Collection, Collection], mode: Mode, embedder: Embedder | str | None
) -> list[FloatArray | None]:
    """The vector of each query; None where there is to be none."""
    for at, query in enumerate(queries, 1):
        if query.text is None and (query.vector is None or mode != "vector"):
            raise InvalidArgumentError(
                f"query {at:,} has no text"
                + ("" if query.vector is None else f", and mode={mode!r} ranks by words; use mode='vector'")
            )
    if mode == "text":
        return [None] * len(queries)
    spec = next((side.info().spec for side in sides if side.info().spec.embedder), sides[0].info().spec)
    if isinstance(embedder, str | None) and any(query.vector is None for query in queries):
        embedder = _made(spec.embedder, embedder, sides[0].name)
    intake = Intake(spec, None if isinstance(embedder, str) else embedder)
    return [intake.query(query.text if query.vector is None else query.vector) for query in queries]


def _made(identity: EmbedderIdentity | None, model: str | None, name: str) -> Embedder:
    from vectorkit.embedders import SentenceTransformerEmbedder
    from vectorkit.embedders._by_identity import embedder_of

    if identity is not None:
        return embedder_of(identity, model=model)
    if model is None:
        raise EmbeddingError(
            f"collection {name!r} was made without an embedder, so it is not known what makes vectors of texts: name "
            "the model, or give queries as vectors, or compare by words alone"
        )
    return SentenceTransformerEmbedder(model)


def _both(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return {"$and": [one, other]} if one and other else one or other


def _answer(side: Collection, given: Mapping[str, Any]) -> Answer:
    began = time.perf_counter()
    hits = side.search(**given)
    return Answer(tuple(hits), 1000 * (time.perf_counter() - began))


def _compared(
    label: str, given: Mapping[str, Any], answers: tuple[Answer, Answer], side: Collection
) -> QueryComparison:
    ours, theirs = answers[0].hits, answers[1].hits
    by_distance, metric = given["mode"] == "vector", side.info().metric
    vectors: dict[str, FloatArray] = {}
    if by_distance and metric != "cosine":  # what is allowed depends on the norms; read after the time was taken
        found = side.get([hit.id for hit in ours], include_embeddings=True)
        vectors = {record.id: np.asarray(record.embedding, dtype=np.float32) for record in found}

    def place(hit: Hit) -> float:
        return hit.distance if by_distance and hit.distance is not None else -hit.score

    def allowed(hit: Hit) -> float:
        if by_distance:
            query: FloatArray = given["query"]
            return tolerance(metric, query, vectors.get(hit.id, query))
        return TOLERANCE * max(1.0, abs(hit.score))

    return QueryComparison(
        query=label,
        where=given["where"],
        first=answers[0],
        second=answers[1],
        overlap=overlap(ours, theirs),
        score_difference=score_difference(ours, theirs),
        differences=tuple(differences(ours, theirs, ("A", "B"), place, allowed)),
    )
