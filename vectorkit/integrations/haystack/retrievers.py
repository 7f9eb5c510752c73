"""Retrievers of a `VectorKitDocumentStore`: by vectors, by words, by both."""

import asyncio
from typing import Any, Self

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from vectorkit.errors import InvalidArgumentError
from vectorkit.integrations.haystack.document_store import VectorKitDocumentStore
from vectorkit.validation import check_between

__all__ = ["VectorKitEmbeddingRetriever", "VectorKitHybridRetriever", "VectorKitKeywordRetriever"]

_MANY = 2**31 - 1


class _Retriever:
    """What the retrievers share: a store, filters, and how many documents to return."""

    def __init__(
        self,
        document_store: VectorKitDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        return_embedding: bool = False,
    ) -> None:
        if not isinstance(document_store, VectorKitDocumentStore):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(
                f"document_store must be a VectorKitDocumentStore, got {type(document_store).__name__}"
            )
        self.document_store = document_store
        self.filters = filters
        self.top_k = check_between(top_k, 1, _MANY, "top_k")
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy
        self.return_embedding = return_embedding

    def to_dict(self) -> dict[str, Any]:
        """Serialise the settings and those of the store."""
        return default_to_dict(self, document_store=self.document_store.to_dict(), **self._settings())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Construct a retriever from what `to_dict` gave."""
        settings = data["init_parameters"]
        if isinstance(settings["document_store"], dict):  # Haystack hands it over either way, by its version
            settings["document_store"] = VectorKitDocumentStore.from_dict(settings["document_store"])
        made: Self = default_from_dict(cls, data)
        return made

    def _settings(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "top_k": self.top_k,
            "filter_policy": self.filter_policy.value,
            "return_embedding": self.return_embedding,
        }

    def _options(self, filters: dict[str, Any] | None, top_k: int | None) -> dict[str, Any]:
        return {
            "filters": apply_filter_policy(self.filter_policy, self.filters, filters),
            "top_k": self.top_k if top_k is None else top_k,
            "return_embedding": self.return_embedding,
        }


@component
class VectorKitEmbeddingRetriever(_Retriever):
    """Retrieves the documents nearest to an embedding.

    Args:
        document_store: The store.
        filters: Which documents take part, unless `run` says otherwise.
        top_k: How many documents at the most, at least 1.
        filter_policy: Whether filters given to `run` replace these or are merged with them.
        return_embedding: Whether the documents come with their embeddings.
    """

    @component.output_types(documents=list[Document])
    def run(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Retrieve documents.

        Args:
            query_embedding: The vector of the query, of the collection's dimension.
            filters: Which documents take part.
            top_k: How many at the most.

        Returns:
            `documents`, the best first, `score` as rule 6.3 has it: the same on every backend.
        """
        return {
            "documents": self.document_store.retrieve_by_embedding(query_embedding, **self._options(filters, top_k))
        }

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As `run`."""
        return await asyncio.to_thread(self.run, query_embedding, filters, top_k)


@component
class VectorKitKeywordRetriever(_Retriever):
    """Retrieves the documents that rank best by the words of a query (BM25).

    Arguments are those of `VectorKitEmbeddingRetriever`.
    """

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Retrieve documents, whether they have an embedding or not.

        Args:
            query: The words.
            filters: Which documents take part.
            top_k: How many at the most.

        Returns:
            `documents`, the best first.

        Raises:
            UnsupportedError: The collection has no text index.
        """
        return {"documents": self.document_store.retrieve_by_words(query, **self._options(filters, top_k))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As `run`."""
        return await asyncio.to_thread(self.run, query, filters, top_k)


@component
class VectorKitHybridRetriever(_Retriever):
    """Retrieves the documents that rank best by vectors and words together.

    Args:
        document_store: The store.
        weight: Share of the vectors in the score, from 0 to 1; the rest is the words'.
        **settings: As of `VectorKitEmbeddingRetriever`.
    """

    def __init__(self, document_store: VectorKitDocumentStore, *, weight: float = 0.7, **settings: Any) -> None:
        _Retriever.__init__(self, document_store, **settings)  # `component` makes the class anew: no super()
        self.weight = weight

    def _settings(self) -> dict[str, Any]:
        return {**_Retriever._settings(self), "weight": self.weight}

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Retrieve documents that have an embedding.

        Args:
            query: The words.
            query_embedding: The vector of the query.
            filters: Which documents take part.
            top_k: How many at the most.

        Returns:
            `documents`, the best first.

        Raises:
            UnsupportedError: The collection has no text index.
        """
        options = self._options(filters, top_k)
        return {
            "documents": self.document_store.retrieve_by_both(query, query_embedding, weight=self.weight, **options)
        }

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`."""
        return await asyncio.to_thread(self.run, query, query_embedding, filters, top_k)
