"""Embedders of vectorkit as Haystack's components."""

from dataclasses import replace
from typing import Any

from haystack import Document, component

from vectorkit.errors import InvalidArgumentError
from vectorkit.protocol import Embedder

__all__ = ["VectorKitDocumentEmbedder", "VectorKitTextEmbedder"]


def _checked(embedder: Embedder) -> Embedder:
    if not isinstance(embedder, Embedder):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"embedder must be a vectorkit Embedder, got {type(embedder).__name__}")
    return embedder


@component
class VectorKitTextEmbedder:
    """Embeds a query.

    Args:
        embedder: An embedder of vectorkit.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = _checked(embedder)
        self.model = embedder.identity.model

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Embed a text to search with.

        Args:
            text: The text.

        Returns:
            `embedding`, and `meta` with the model's name.
        """
        return {"embedding": self.embedder.embed_query(text).tolist(), "meta": {"model": self.model}}


@component
class VectorKitDocumentEmbedder:
    """Embeds documents.

    Args:
        embedder: An embedder of vectorkit.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = _checked(embedder)
        self.model = embedder.identity.model

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Embed the contents of documents.

        Args:
            documents: Those without content get the embedding of an empty text.

        Returns:
            `documents`, copies with their embeddings, and `meta` with the model's name.
        """
        vectors = self.embedder.embed_documents([document.content or "" for document in documents])
        embedded = [
            replace(document, embedding=vector.tolist()) for document, vector in zip(documents, vectors, strict=True)
        ]
        return {"documents": embedded, "meta": {"model": self.model}}
