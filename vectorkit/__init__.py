"""Prototype on Chroma, switch to Postgres by changing one line, get the same results, provably.

::

    import vectorkit as vk

    store = vk.connect("chroma:./kb")  # the one line that changes
    docs = store.get_or_create_collection("docs", embedder=embedder)
    docs.upsert(ids=["a"], documents=["How networks learn"], metadatas=[{"year": 2020}])
    for hit in docs.search("learning", k=3, where={"year": {"$gte": 2020}}):
        print(hit.id, hit.score, hit.document)
"""

from vectorkit.collection import Collection
from vectorkit.errors import (
    BackendError,
    BackendPermissionError,
    BackendTimeoutError,
    BackendUnavailableError,
    CollectionExistsError,
    CollectionMismatchError,
    CollectionNotFoundError,
    DimensionMismatchError,
    DuplicateIdError,
    EmbeddingError,
    InvalidArgumentError,
    InvalidFilterError,
    InvalidIdError,
    InvalidMetadataError,
    InvalidNameError,
    InvalidVectorError,
    MissingDependencyError,
    PartialWriteError,
    RecordNotFoundError,
    UnsupportedError,
    VectorKitError,
)
from vectorkit.filters import F, Filter
from vectorkit.memory import MemoryBackend
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.store import EmbedderRevisionWarning, VectorStore, connect
from vectorkit.types import (
    Batch,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    EmbedderIdentity,
    Hit,
    Metric,
    Patch,
    Ranking,
    Record,
)

__all__ = [
    "BackendError",
    "BackendPermissionError",
    "BackendTimeoutError",
    "BackendUnavailableError",
    "Batch",
    "Capabilities",
    "Collection",
    "CollectionExistsError",
    "CollectionInfo",
    "CollectionMismatchError",
    "CollectionNotFoundError",
    "CollectionSpec",
    "DimensionMismatchError",
    "DuplicateIdError",
    "Embedder",
    "EmbedderIdentity",
    "EmbedderRevisionWarning",
    "EmbeddingError",
    "F",
    "Filter",
    "Hit",
    "InvalidArgumentError",
    "InvalidFilterError",
    "InvalidIdError",
    "InvalidMetadataError",
    "InvalidNameError",
    "InvalidVectorError",
    "MemoryBackend",
    "Metric",
    "MissingDependencyError",
    "PartialWriteError",
    "Patch",
    "Ranking",
    "Record",
    "RecordNotFoundError",
    "UnsupportedError",
    "VectorBackend",
    "VectorKitError",
    "VectorStore",
    "connect",
]
