"""A LlamaIndex vector store on a `Collection`: the same nodes, similarities and filters on Chroma and on Postgres.

::

    from vectorkit.integrations.llama_index import VectorKitVectorStore

    store = VectorKitVectorStore.from_url("chroma:./kb", embed_model, collection_name="docs")
    index = VectorStoreIndex.from_documents(
        documents, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embed_model
    )
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from vectorkit.collection import Collection
from vectorkit.embedders.adapted import as_embedder
from vectorkit.errors import InvalidArgumentError, InvalidFilterError, MissingDependencyError, UnsupportedError
from vectorkit.integrations._opening import open_collection
from vectorkit.protocol import Embedder
from vectorkit.store import VectorStore
from vectorkit.types import Hit, Record
from vectorkit.validation import MetricName

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.indices.query.embedding_utils import (
        get_top_k_mmr_embeddings,  # pyright: ignore[reportUnknownVariableType]
    )
    from llama_index.core.schema import BaseNode, MetadataMode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import (
        metadata_dict_to_node,  # pyright: ignore[reportUnknownVariableType]
        node_to_metadata_dict,
    )
except ImportError as error:
    raise MissingDependencyError(
        "vectorkit.integrations.llama_index needs llama-index-core; install it with: "
        "pip install 'vectorkit-db[llama-index]'"
    ) from error

__all__ = ["VectorKitEmbedding", "VectorKitVectorStore"]

_NODE_ID: Final = "_node_id"
"""The key that holds a node's id again, so that a search can be restricted to some nodes by a filter."""

_EVERYTHING: Final[Mapping[str, Any]] = {"$and": []}

_MMR_PREFETCH: Final = 4
"""Of so many times `similarity_top_k` hits maximal marginal relevance chooses, as in LlamaIndex's own stores."""


class VectorKitVectorStore(BasePydanticVectorStore):
    """A collection as a LlamaIndex vector store.

    Similarities are the collection's scores (rule 6.3), larger for better, the same on every backend: the cosine; for
    l2 `1 / (1 + distance)`; for ip the inner product. Query modes: `default`, `text_search` and `sparse` (BM25),
    `hybrid` (`alpha` weighs the vectors, from 0 to 1), `mmr`. The last but the first need a text index, save for `mmr`.

    Filters are those of LlamaIndex, of the same meaning on every backend (section 5 of the contract): `!=` and `nin`
    match nodes without the key, and values of different types are not equal. `contains`, `any` and `all` look into
    lists.

    Args:
        collection: An open collection.
    """

    stores_text: bool = True
    flat_metadata: bool = False

    _collection: Collection = PrivateAttr()
    _store: VectorStore | None = PrivateAttr(default=None)

    def __init__(self, collection: Collection) -> None:
        super().__init__(stores_text=True)
        if not isinstance(collection, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(
                f"collection must be a vectorkit Collection, got {type(collection).__name__}; open one with "
                "VectorKitVectorStore.from_url(url, embed_model, collection_name=...)"
            )
        self._collection = collection

    @classmethod
    def from_url(
        cls,
        url: str,
        embed_model: BaseEmbedding | Embedder,
        *,
        collection_name: str = "llama-index",
        metric: MetricName | None = None,
        text_index: bool = False,
        model: str | None = None,
    ) -> Self:
        """Open a collection by URL, or create it if there is none.

        Args:
            url: As in `vectorkit.connect`; the one line that changes between Chroma and Postgres.
            embed_model: LlamaIndex's embedding model, or an embedder of vectorkit. Its identity is stored with the
                collection.
            collection_name: As in `VectorStore.create_collection`.
            metric: `"cosine"` (for a new collection if left out), `"l2"` or `"ip"`.
            text_index: Whether a new collection indexes words too, for text and hybrid search.
            model: What to call the model if `embed_model` does not say; see `vectorkit.as_embedder`.

        Raises:
            CollectionMismatchError: The collection was made with another model or metric.
            InvalidArgumentError: `embed_model` does not say which model it runs: pass `model`.
        """
        embedder = as_embedder(embed_model, model=model)
        store, collection = open_collection(url, collection_name, embedder, metric=metric, text_index=text_index)
        opened = cls(collection)
        opened._store = store
        return opened

    @classmethod
    def class_name(cls) -> str:
        """The class's name in serialised indexes."""
        return "VectorKitVectorStore"

    @property
    def client(self) -> Collection:
        """The collection."""
        return self._collection

    def close(self) -> None:
        """Close the store that `from_url` opened; one that was given is its owner's to close."""
        if self._store is not None:
            self._store.close()

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Write nodes with their embeddings, replacing those of the same ids.

        Args:
            nodes: Nodes that have an embedding.
            **kwargs: Not used.

        Returns:
            The ids of the nodes.

        Raises:
            InvalidArgumentError: Or a subclass: a node has no embedding, or one that the collection does not take.
        """
        return self._collection.upsert(records=[_record(node) for node in nodes])

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document."""
        self._collection.delete(where={"ref_doc_id": ref_doc_id})

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes of these ids that match the filters; with neither nothing is deleted."""
        if node_ids is None and filters is None:
            return
        self._collection.delete(node_ids, where=_where(filters) or _EVERYTHING)

    def clear(self) -> None:
        """Delete all nodes."""
        self._collection.delete(where=_EVERYTHING)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Return the nodes of these ids that match the filters; by default all."""
        return [_node(record) for record in self._collection.get(node_ids, where=_where(filters))]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search; see the class for modes and filters.

        Args:
            query: `similarity_top_k` nodes are wanted; for hybrid search `hybrid_top_k`, for text search
                `sparse_top_k`, if these are given.
            **kwargs: `exact`, `ef_search`, `probes`, `min_score`, `where_document` of `Collection.search`.

        Raises:
            UnsupportedError: The mode is not one of these, or needs a text index and there is none.
            InvalidFilterError: A filter cannot be said exactly; the message names its operator.
        """
        run = _MODES.get(query.mode)
        if run is None:
            raise UnsupportedError(
                f"mode must be one of {', '.join(mode.value for mode in _MODES)}, got {query.mode.value!r}"
            )
        hits = run(self._collection, query, {**kwargs, "where": _query_filter(query)})
        return VectorStoreQueryResult(
            nodes=[_node(hit) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.id for hit in hits],
        )

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """As `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """As `clear`."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)


class VectorKitEmbedding(BaseEmbedding):
    """An embedder of vectorkit as LlamaIndex's embedding model.

    Args:
        embedder: The embedder.
    """

    _embedder: Embedder = PrivateAttr()

    def __init__(self, embedder: Embedder) -> None:
        if not isinstance(embedder, Embedder):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"embedder must be a vectorkit Embedder, got {type(embedder).__name__}")
        super().__init__(model_name=embedder.identity.model)
        self._embedder = embedder

    @classmethod
    def class_name(cls) -> str:
        """The class's name in serialised settings."""
        return "VectorKitEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._embedder.embed_query(query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embedder.embed_documents(texts).tolist()
        return vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def _record(node: BaseNode) -> Record:
    metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
    # The node comes back from `_node_content`; these keys are for filters alone. LlamaIndex's `is_empty` takes an empty
    # list for no value, so here it is none.
    plain = {key: None if value == [] else value for key, value in metadata.items()}
    if node.embedding is None:
        raise InvalidArgumentError(
            f"node {node.node_id!r} must have an embedding, got None; add it through a VectorStoreIndex, "
            "or embed it first"
        )
    return Record(
        id=node.node_id,
        document=node.get_content(metadata_mode=MetadataMode.NONE),
        embedding=node.embedding,
        metadata={**plain, _NODE_ID: node.node_id},
    )


def _node(found: Hit | Record) -> BaseNode:
    return metadata_dict_to_node(found.metadata, found.document)


def _by_vector(collection: Collection, query: VectorStoreQuery, options: dict[str, Any]) -> list[Hit]:
    return collection.search(_vector(query), query.similarity_top_k, **options)


def _by_words(collection: Collection, query: VectorStoreQuery, options: dict[str, Any]) -> list[Hit]:
    return collection.search(_text(query), query.sparse_top_k or query.similarity_top_k, mode="text", **options)


def _by_both(collection: Collection, query: VectorStoreQuery, options: dict[str, Any]) -> list[Hit]:
    if query.alpha is not None:
        options = {"weight": query.alpha, **options}
    k = query.hybrid_top_k or query.similarity_top_k
    return collection.search(_text(query), k, mode="hybrid", vector=query.query_embedding, **options)


def _by_mmr(collection: Collection, query: VectorStoreQuery, options: dict[str, Any]) -> list[Hit]:
    factor = options.pop("mmr_prefetch_factor", _MMR_PREFETCH)
    fetched = options.pop("mmr_prefetch_k", None) or query.similarity_top_k * factor
    hits = collection.search(_vector(query), fetched, **options, include_embeddings=True)
    chosen: list[int] = get_top_k_mmr_embeddings(  # pyright: ignore[reportUnknownVariableType]
        _vector(query),
        [hit.embedding.tolist() for hit in hits if hit.embedding is not None],
        similarity_top_k=query.similarity_top_k,
        embedding_ids=list(range(len(hits))),
        mmr_threshold=query.mmr_threshold,
    )[1]
    return [hits[at] for at in chosen]


_MODES: Final[Mapping[VectorStoreQueryMode, Callable[[Collection, VectorStoreQuery, dict[str, Any]], list[Hit]]]] = {
    VectorStoreQueryMode.DEFAULT: _by_vector,
    VectorStoreQueryMode.TEXT_SEARCH: _by_words,
    VectorStoreQueryMode.SPARSE: _by_words,
    VectorStoreQueryMode.HYBRID: _by_both,
    VectorStoreQueryMode.MMR: _by_mmr,
}


def _vector(query: VectorStoreQuery) -> list[float]:
    if query.query_embedding is None:
        raise InvalidArgumentError(f"mode {query.mode.value!r} must have query_embedding, got None")
    return query.query_embedding


def _text(query: VectorStoreQuery) -> str:
    if query.query_str is None:
        raise InvalidArgumentError(f"mode {query.mode.value!r} must have query_str, got None")
    return query.query_str


def _query_filter(query: VectorStoreQuery) -> Mapping[str, Any] | None:
    parts: list[Mapping[str, Any]] = []
    if (where := _where(query.filters)) is not None:
        parts.append(where)
    # An index that keeps its text in the store asks with an empty list when it means all nodes.
    if query.node_ids:
        parts.append({_NODE_ID: {"$in": list(query.node_ids)}})
    if query.doc_ids:
        parts.append({"ref_doc_id": {"$in": list(query.doc_ids)}})
    return {"$and": parts} if parts else None


def _where(filters: MetadataFilters | None) -> Mapping[str, Any] | None:
    if filters is None or not filters.filters:
        return None
    parts = [
        _where(each) or _EVERYTHING if isinstance(each, MetadataFilters) else _one(each) for each in filters.filters
    ]
    match filters.condition or FilterCondition.AND:
        case FilterCondition.AND:
            return {"$and": parts}
        case FilterCondition.OR:
            return {"$or": parts}
        case FilterCondition.NOT:  # as LlamaIndex evaluates it: none of the filters match
            return {"$not": {"$or": parts}}


def _one(filter: MetadataFilter) -> Mapping[str, Any]:
    key, operator, value = filter.key, filter.operator, filter.value
    if operator in _SAME:
        return {key: {_SAME[operator]: value}}
    match operator:
        case FilterOperator.ANY | FilterOperator.ALL:
            if not isinstance(value, list):
                raise InvalidFilterError(f"the value of operator {operator.value!r} must be a list, got {value!r:.80}")
            joined = "$or" if operator is FilterOperator.ANY else "$and"
            return {joined: [{key: {"$contains": each}} for each in value]}
        case FilterOperator.IS_EMPTY:
            return {key: {"$in": [None, ""]}}
        case _:
            raise InvalidFilterError(f"operator {operator.value!r} has no counterpart in vectorkit's filters")


_SAME: Final = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.CONTAINS: "$contains",
}
