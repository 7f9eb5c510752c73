"""A Haystack document store on a `Collection`: the same documents, scores and filters on Chroma and on Postgres.

::

    from vectorkit.integrations.haystack import VectorKitDocumentStore, VectorKitEmbeddingRetriever

    store = VectorKitDocumentStore("chroma:./kb", collection_name="docs", dimension=384)
    store.write_documents(document_embedder.run(documents)["documents"])
    pipeline.add_component("retriever", VectorKitEmbeddingRetriever(document_store=store))
"""

from vectorkit.errors import MissingDependencyError

try:
    from vectorkit.integrations.haystack.document_store import VectorKitDocumentStore
    from vectorkit.integrations.haystack.embedders import VectorKitDocumentEmbedder, VectorKitTextEmbedder
    from vectorkit.integrations.haystack.retrievers import (
        VectorKitEmbeddingRetriever,
        VectorKitHybridRetriever,
        VectorKitKeywordRetriever,
    )
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "haystack":
        raise
    raise MissingDependencyError(
        "vectorkit.integrations.haystack needs haystack-ai; install it with: pip install 'vectorkit-db[haystack]'"
    ) from error

__all__ = [
    "VectorKitDocumentEmbedder",
    "VectorKitDocumentStore",
    "VectorKitEmbeddingRetriever",
    "VectorKitHybridRetriever",
    "VectorKitKeywordRetriever",
    "VectorKitTextEmbedder",
]
