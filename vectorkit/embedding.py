"""Asking an embedder for vectors, and checking what it answers: a fault of its own is an `EmbeddingError`."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from vectorkit.errors import EmbeddingError, InvalidArgumentError, VectorKitError
from vectorkit.protocol import Embedder
from vectorkit.types import CollectionSpec, EmbedderIdentity, FloatArray
from vectorkit.vectors import as_embeddings

__all__ = ["embed_documents", "embed_query", "identity_of"]


def identity_of(embedder: Embedder) -> EmbedderIdentity:
    """Return the identity of an embedder.

    Raises:
        InvalidArgumentError: It is no embedder, or an asynchronous one.
        EmbeddingError: Its identity is none.
    """
    if inspect.iscoroutinefunction(getattr(type(embedder), "embed_documents", None)):
        raise InvalidArgumentError(
            f"{type(embedder).__name__} is asynchronous, and this store calls its embedder synchronously; give "
            "its synchronous form (OpenAIEmbedder in place of AsyncOpenAIEmbedder), or await it and give embeddings="
        )
    if not isinstance(embedder, Embedder):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(
            f"{type(embedder).__name__} is no embedder: it needs identity, embed_documents and embed_query"
        )
    identity = embedder.identity
    if not isinstance(identity, EmbedderIdentity):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise EmbeddingError(f"the embedder's identity is an EmbedderIdentity, not {type(identity).__name__}")
    return identity


def embed_documents(embedder: Embedder, spec: CollectionSpec, texts: list[str], ids: Sequence[str]) -> FloatArray:
    """Return the vectors of documents for a collection, float32 of shape `(len(texts), dimension)`.

    Args:
        embedder: Makes them.
        spec: The collection's settings.
        texts: The documents.
        ids: Those of their records, for the message.

    Raises:
        EmbeddingError: It failed, or what it made is not a vector each that the collection takes; says of which record.
    """
    try:
        vectors = _call(embedder.embed_documents, texts)
    except EmbeddingError as error:
        raise EmbeddingError(f"{_blamed(error, ids)}: {error}", index=error.index) from error.__cause__ or error
    return _checked(vectors, spec, len(texts), lambda index: f"the embedding made for record {ids[index]!r}")


def embed_query(embedder: Embedder, spec: CollectionSpec, query: str) -> FloatArray:
    """Return the vector of a text query, float32 of shape `(1, dimension)`.

    Raises:
        EmbeddingError: The embedder failed, or what it made is no vector that the collection takes.
    """
    return _checked([_call(embedder.embed_query, query)], spec, 1, lambda _: "the embedding of the query")


def _checked(vectors: object, spec: CollectionSpec, count: int, what: Callable[[int], str]) -> FloatArray:
    return as_embeddings(vectors, count, spec.dimension, what, spec.metric)


def _blamed(error: EmbeddingError, ids: Sequence[str]) -> str:
    """Which records an embedder failed on, as far as it knows."""
    if len(ids) == 1 or (error.index is not None and 0 <= error.index < len(ids)):
        return f"record {ids[error.index or 0]!r} could not be embedded"
    return f"embedding {len(ids):,} records, {ids[0]!r} to {ids[-1]!r}, failed"


def _call(embed: Callable[[Any], object], argument: Any) -> object:
    """Call an embedder; whatever it raises that is not ours becomes an `EmbeddingError` (rule 8.2)."""
    try:
        return embed(argument)
    except VectorKitError:
        raise
    except Exception as error:
        raise EmbeddingError(f"the embedder failed: {type(error).__name__}: {error}") from error
