"""A LangChain vector store on a `Collection`: the same documents, scores and filters on Chroma and on Postgres.

::

    from vectorkit.integrations.langchain import VectorKitVectorStore

    store = VectorKitVectorStore.from_url("chroma:./kb", OpenAIEmbeddings(model="…"), collection_name="docs")
    store.add_documents(documents)
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.5})
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Collection as Sized
from typing import Any, ClassVar, Final, Self
from uuid import uuid4

import numpy as np

import vectorkit as vk
from vectorkit.collection import Collection
from vectorkit.embedders.adapted import as_embedder
from vectorkit.errors import InvalidArgumentError, InvalidFilterError, MissingDependencyError
from vectorkit.integrations._opening import open_collection
from vectorkit.protocol import Embedder
from vectorkit.types import Hit, Metric, Record
from vectorkit.validation import MetricName

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStore, VectorStoreRetriever
    from langchain_core.vectorstores.utils import maximal_marginal_relevance
except ImportError as error:
    raise MissingDependencyError(
        "vectorkit.integrations.langchain needs langchain-core; install it with: pip install 'vectorkit-db[langchain]'"
    ) from error

__all__ = ["VectorKitEmbeddings", "VectorKitRetriever", "VectorKitVectorStore"]


class VectorKitVectorStore(VectorStore):
    """A collection as a LangChain vector store.

    Scores mean the same on every backend:

    - `similarity_search_with_score` gives the collection's score (rule 6.3), larger for better: the cosine, for l2
      `1 / (1 + distance)`, for ip the inner product.
    - Relevance scores, and `score_threshold` with them, are in [0, 1] and rise with that score: for cosine the cosine,
      0 where it is negative; for l2 the score itself; for ip `1 / (1 + exp(-score))`.

    A `filter` is a filter of the contract, which LangChain's stores for Chroma and Postgres share:
    `{"year": {"$gte": 2020}, "lang": "en"}`, with `$and`, `$or`, `$not`, `$in`, `$exists`, … It decides before the cut
    which documents take part. An operator that the contract does not have raises `InvalidFilterError` that names it.

    Args:
        collection: An open collection. Its embedder makes the vectors.
    """

    def __init__(self, collection: Collection) -> None:
        if not isinstance(collection, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(
                f"collection must be a vectorkit Collection, got {type(collection).__name__}; open one with "
                "VectorKitVectorStore.from_url(url, embeddings, collection_name=...)"
            )
        self._collection = collection
        self._store: vk.VectorStore | None = None

    @classmethod
    def from_url(
        cls,
        url: str,
        embedding: Embeddings | Embedder,
        *,
        collection_name: str = "langchain",
        metric: MetricName | None = None,
        text_index: bool = False,
        model: str | None = None,
    ) -> Self:
        """Open a collection by URL, or create it if there is none.

        Args:
            url: As in `vectorkit.connect`; the one line that changes between Chroma and Postgres.
            embedding: LangChain's embeddings, or an embedder of vectorkit.
            collection_name: As in `VectorStore.create_collection`.
            metric: `"cosine"` (for a new collection if left out), `"l2"` or `"ip"`.
            text_index: Whether a new collection indexes words too, for `hybrid_search` and `text_search`.
            model: What to call the model if `embedding` does not say; see `vectorkit.as_embedder`.

        Raises:
            CollectionMismatchError: The collection was made with another model or metric.
            InvalidArgumentError: `embedding` does not say which model it runs: pass `model`.
        """
        embedder = as_embedder(embedding, model=model)
        store, collection = open_collection(url, collection_name, embedder, metric=metric, text_index=text_index)
        opened = cls(collection)
        opened._store = store
        return opened

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        url: str = "memory:",
        **options: Any,
    ) -> Self:
        """Open a collection and add texts to it.

        Args:
            texts: The texts.
            embedding: LangChain's embeddings.
            metadatas: One JSON object a text.
            ids: One a text; UUIDs if left out.
            url: As in `from_url`, which takes `options` too.
            **options: `collection_name`, `metric`, `text_index`, `model`.
        """
        store = cls.from_url(url, embedding, **options)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @property
    def collection(self) -> Collection:
        """The collection, for what LangChain has no words for."""
        return self._collection

    def close(self) -> None:
        """Close the store that `from_url` opened; one that was given is its owner's to close."""
        if self._store is not None:
            self._store.close()

    @property
    def embeddings(self) -> Embeddings | None:
        """The collection's embedder as LangChain's embeddings, or None if it was opened without one."""
        embedder = self._collection.embedder
        return None if embedder is None else VectorKitEmbeddings(embedder)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, replacing those of the same ids.

        Args:
            texts: The texts.
            metadatas: One JSON object a text.
            ids: One a text; None, or None for one of them, makes a UUID.
            **kwargs: None are known.

        Returns:
            The ids, in the order of the texts.

        Raises:
            InvalidArgumentError: Or a subclass: lists differ in length, or an id or a metadata object is not allowed.
            DuplicateIdError: An id is given twice.
            EmbeddingError: The texts could not be embedded; nothing was written.
        """
        _refuse(kwargs)
        texts = list(texts)
        for name, values in (("metadatas", metadatas), ("ids", ids)):
            if values and len(values) != len(texts):
                raise InvalidArgumentError(f"{name} must have one entry a text, {len(texts):,}, got {len(values):,}")
        no_metadatas: Sequence[dict[str, Any] | None] = [None] * len(texts)
        no_ids: Sequence[str | None] = [None] * len(texts)
        return self._collection.upsert(
            records=[
                Record(id=id or str(uuid4()), document=text, metadata=dict(metadata or {}))
                for text, metadata, id in zip(texts, metadatas or no_metadatas, ids or no_ids, strict=True)
            ]
        )

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, replacing those of the same ids; see `add_texts`.

        Args:
            documents: The documents; one without an id gets a UUID.
            **kwargs: `ids`, in place of the documents' own.
        """
        ids: Any = kwargs.pop("ids", None) or [document.id for document in documents]
        return self.add_texts(
            [document.page_content for document in documents],
            [document.metadata for document in documents],
            ids=ids,
            **kwargs,
        )

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents.

        Args:
            ids: Which; missing ones are ignored. None without a filter deletes all.
            **kwargs: `filter`, to delete those that match it, of `ids` if these are given too.

        Returns:
            True.
        """
        where = _where(kwargs.pop("filter", None))
        _refuse(kwargs)
        self._collection.delete(ids, where={"$and": []} if ids is None and where is None else where)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents of these ids that are stored, in the order asked."""
        return [_document(record) for record in self._collection.get(list(ids))]

    def similarity_search(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents nearest to a text.

        Args:
            query: The text.
            k: How many, at the most.
            filter: Which documents take part.
            **kwargs: `exact`, `ef_search`, `probes`, `where_document`, `min_score` of `Collection.search`.
        """
        return [_document(hit) for hit in self._search(query, k, filter, kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents nearest to a text with their scores, larger for better; see `similarity_search`."""
        return [(_document(hit), hit.score) for hit in self._search(query, k, filter, kwargs)]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents nearest to a vector of the collection's dimension; see `similarity_search`."""
        return [_document(hit) for hit in self._search(embedding, k, filter, kwargs)]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents nearest to a vector with their scores; see `similarity_search_with_score`."""
        return [(_document(hit), hit.score) for hit in self._search(embedding, k, filter, kwargs)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return documents that are near a text and unlike each other (LangChain's maximal marginal relevance).

        Args:
            query: The text.
            k: How many, at the most.
            fetch_k: Among how many of the nearest documents to choose.
            lambda_mult: From 0, the most unlike each other, to 1, the nearest.
            filter: Which documents take part.
            **kwargs: See `similarity_search`.
        """
        vector = self._embedder.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            vector.tolist(), k, fetch_k, lambda_mult, filter=filter, **kwargs
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, near a vector of the collection's dimension."""
        hits = self._search(embedding, fetch_k, filter, {**kwargs, "include_embeddings": True})
        vectors: list[Any] = [np.asarray(hit.embedding, dtype=np.float32) for hit in hits]
        if not vectors:
            return []
        query = np.asarray(embedding, dtype=np.float32)
        return [_document(hits[at]) for at in maximal_marginal_relevance(query, vectors, lambda_mult, k)]

    def text_search(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents that rank best by the words of a text (BM25); needs `text_index=True`.

        Args:
            query: The words.
            k: How many, at the most.
            filter: Which documents take part.
            **kwargs: `where_document`, `min_score` of `Collection.search`.

        Raises:
            UnsupportedError: The collection has no text index.
        """
        return [_document(hit) for hit in self._search(query, k, filter, {**kwargs, "mode": "text"})]

    def hybrid_search(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents that rank best by vectors and words together; needs `text_index=True`.

        Args:
            query: The text.
            k: How many, at the most.
            filter: Which documents take part.
            **kwargs: `weight`, `fusion`, `fetch_k`, `exact`, `where_document`, `min_score` of `Collection.search`.

        Raises:
            UnsupportedError: The collection has no text index.
        """
        return [_document(hit) for hit in self._search(query, k, filter, {**kwargs, "mode": "hybrid"})]

    async def atext_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """As `text_search`."""
        return await run_in_executor(None, self.text_search, query, k, **kwargs)

    async def ahybrid_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """As `hybrid_search`."""
        return await run_in_executor(None, self.hybrid_search, query, k, **kwargs)

    def search(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """Search in one of the ways of `VectorKitRetriever.allowed_search_types`; see the method of that name."""
        if search_type in _OWN_SEARCHES:
            found: list[Document] = getattr(self, _OWN_SEARCHES[search_type])(query, **kwargs)
            return found
        return super().search(query, search_type, **kwargs)

    async def asearch(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """As `search`."""
        if search_type in _OWN_SEARCHES:
            return await run_in_executor(None, self.search, query, search_type, **kwargs)
        return await super().asearch(query, search_type, **kwargs)

    def as_retriever(self, **kwargs: Any) -> "VectorKitRetriever":
        """Return a retriever.

        Args:
            **kwargs: `search_type`: `"similarity"` (default), `"similarity_score_threshold"`, `"mmr"`, `"hybrid"` or
                `"text"`; `search_kwargs`: the arguments of that search, such as `k`, `filter`, `score_threshold`.
        """
        tags = kwargs.pop("tags", None) or [*self._get_retriever_tags()]
        return VectorKitRetriever(vectorstore=self, tags=tags, **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return _RELEVANCE[self._collection.info().metric]

    @property
    def _embedder(self) -> Embedder:
        embedder = self._collection.embedder
        if embedder is None:
            raise InvalidArgumentError(
                f"collection {self._collection.name!r} must be opened with an embedder to search by text; "
                "pass embedder= to get_collection()"
            )
        return embedder

    def _search(
        self, query: str | list[float], k: int, filter: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> list[Hit]:
        if unknown := options.keys() - _SEARCH_OPTIONS:
            raise InvalidArgumentError(
                f"search options must be among {', '.join(sorted(_SEARCH_OPTIONS))}, got {', '.join(sorted(unknown))}"
            )
        return self._collection.search(query, k, where=_where(filter), **options)


class VectorKitRetriever(VectorStoreRetriever):
    """A retriever of a `VectorKitVectorStore`, with hybrid and text search besides LangChain's own."""

    allowed_search_types: ClassVar[Sized[str]] = (
        "similarity",
        "similarity_score_threshold",
        "mmr",
        "hybrid",
        "text",
    )

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if self.search_type in _OWN_SEARCHES:
            return self.vectorstore.search(query, self.search_type, **(self.search_kwargs | kwargs))
        return super()._get_relevant_documents(query, run_manager=run_manager, **kwargs)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if self.search_type in _OWN_SEARCHES:
            return await self.vectorstore.asearch(query, self.search_type, **(self.search_kwargs | kwargs))
        return await super()._aget_relevant_documents(query, run_manager=run_manager, **kwargs)


class VectorKitEmbeddings(Embeddings):
    """An embedder of vectorkit as LangChain's embeddings.

    Args:
        embedder: The embedder.
    """

    def __init__(self, embedder: Embedder) -> None:
        if not isinstance(embedder, Embedder):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"embedder must be a vectorkit Embedder, got {type(embedder).__name__}")
        self.embedder = embedder

    @property
    def model(self) -> str:
        """The model's name."""
        return self.embedder.identity.model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts to store."""
        vectors: list[list[float]] = self.embedder.embed_documents(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed a text to search with."""
        vector: list[float] = self.embedder.embed_query(text).tolist()
        return vector


_OWN_SEARCHES: Final = {"hybrid": "hybrid_search", "text": "text_search"}

_SEARCH_OPTIONS: Final = frozenset(
    {
        "exact",
        "ef_search",
        "fetch_k",
        "fusion",
        "include_embeddings",
        "min_score",
        "mode",
        "probes",
        "weight",
        "where_document",
    }
)

_RELEVANCE: Final[Mapping[Metric, Callable[[float], float]]] = {
    # Rounding can leave the cosine of a vector with itself a little above 1 (rule 6.5), and LangChain warns of that.
    "cosine": lambda score: min(1.0, max(0.0, score)),
    "l2": lambda score: score,
    "ip": lambda score: 1.0 / (1.0 + math.exp(-score)) if score > -700 else 0.0,
}


def _document(found: Hit | Record) -> Document:
    return Document(id=found.id, page_content=found.document or "", metadata=found.metadata)


def _refuse(options: Mapping[str, Any]) -> None:
    if options:
        raise InvalidArgumentError(f"unknown argument(s): {', '.join(sorted(options))}; leave them out")


def _where(filter: object) -> Mapping[str, Any] | None:
    if callable(filter):
        raise InvalidFilterError(
            "filter must be a dict such as {'year': {'$gte': 2020}}, got a function, which no database can run"
        )
    return filter  # type: ignore[return-value]  # what is no mapping is refused where filters are parsed
