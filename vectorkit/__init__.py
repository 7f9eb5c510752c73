"""Prototype on Chroma, switch to Postgres by changing one line, get the same results, provably.

::

    import vectorkit as vk

    store = vk.connect("chroma:./kb")  # the one line that changes
    docs = store.get_or_create_collection("docs", embedder=embedder)
    docs.upsert(ids=["a"], documents=["How networks learn"], metadatas=[{"year": 2020}])
    for hit in docs.search("learning", k=3, where={"year": {"$gte": 2020}}):
        print(hit.id, hit.score, hit.document)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vectorkit.collection import Collection
    from vectorkit.embedders.adapted import as_embedder
    from vectorkit.embedders.function import embedder
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
        RerankingError,
        UnsupportedError,
        VectorKitError,
    )
    from vectorkit.filters import F, Filter
    from vectorkit.indexes import HNSW, IndexProgress, IVFFlat
    from vectorkit.inspection import Recall
    from vectorkit.memory import MemoryBackend
    from vectorkit.mirror import MirrorBackend, MirrorReport
    from vectorkit.progress import Ingested
    from vectorkit.protocol import (
        AsyncEmbedder,
        Embedder,
        VectorBackend,
    )
    from vectorkit.reranking import Reranker, diversify, rerank
    from vectorkit.store import EmbedderRevisionWarning, VectorStore, connect
    from vectorkit.transfer.compare.queries import Query
    from vectorkit.transfer.compare.report import Comparison
    from vectorkit.transfer.compare.run import compare
    from vectorkit.transfer.copy.run import Copied, CopyProgress, CopyReport, copy
    from vectorkit.transfer.lint.findings import Finding, LintReport
    from vectorkit.transfer.lint.run import lint
    from vectorkit.transfer.verify.report import Verification
    from vectorkit.transfer.verify.run import verify
    from vectorkit.types import (
        Batch,
        Candidate,
        Capabilities,
        CollectionInfo,
        CollectionSpec,
        EmbedderIdentity,
        Explanation,
        FloatArray,
        ForeignCollection,
        Hit,
        Json,
        Metadata,
        Metric,
        Patch,
        Ranking,
        Record,
        Storage,
    )

__all__ = [  # noqa: RUF022 - in plain order, names in capitals among the others
    "AsyncEmbedder",
    "BackendError",
    "BackendPermissionError",
    "BackendTimeoutError",
    "BackendUnavailableError",
    "Batch",
    "Candidate",
    "Capabilities",
    "Collection",
    "CollectionExistsError",
    "CollectionInfo",
    "CollectionMismatchError",
    "CollectionNotFoundError",
    "CollectionSpec",
    "Comparison",
    "Copied",
    "CopyProgress",
    "CopyReport",
    "DimensionMismatchError",
    "DuplicateIdError",
    "Embedder",
    "EmbedderIdentity",
    "EmbedderRevisionWarning",
    "EmbeddingError",
    "Explanation",
    "F",
    "Filter",
    "Finding",
    "FloatArray",
    "ForeignCollection",
    "HNSW",
    "Hit",
    "IVFFlat",
    "IndexProgress",
    "Ingested",
    "InvalidArgumentError",
    "InvalidFilterError",
    "InvalidIdError",
    "InvalidMetadataError",
    "InvalidNameError",
    "InvalidVectorError",
    "Json",
    "LintReport",
    "MemoryBackend",
    "Metadata",
    "Metric",
    "MirrorBackend",
    "MirrorReport",
    "MissingDependencyError",
    "PartialWriteError",
    "Patch",
    "Query",
    "Ranking",
    "Recall",
    "Record",
    "RecordNotFoundError",
    "Reranker",
    "RerankingError",
    "Storage",
    "UnsupportedError",
    "VectorBackend",
    "VectorKitError",
    "VectorStore",
    "Verification",
    "as_embedder",
    "compare",
    "connect",
    "copy",
    "diversify",
    "embedder",
    "lint",
    "rerank",
    "verify",
]

# Public names are imported when they are first used: dataclasses and typing make them a quarter of `import numpy`,
# which a program that only may need a vector store should not pay for.
_MODULES = {
    "AsyncEmbedder": "vectorkit.protocol",
    "BackendError": "vectorkit.errors",
    "BackendPermissionError": "vectorkit.errors",
    "BackendTimeoutError": "vectorkit.errors",
    "BackendUnavailableError": "vectorkit.errors",
    "Batch": "vectorkit.types",
    "Candidate": "vectorkit.types",
    "Capabilities": "vectorkit.types",
    "Collection": "vectorkit.collection",
    "CollectionExistsError": "vectorkit.errors",
    "CollectionInfo": "vectorkit.types",
    "CollectionMismatchError": "vectorkit.errors",
    "CollectionNotFoundError": "vectorkit.errors",
    "CollectionSpec": "vectorkit.types",
    "Comparison": "vectorkit.transfer.compare.report",
    "Copied": "vectorkit.transfer.copy.run",
    "CopyProgress": "vectorkit.transfer.copy.run",
    "CopyReport": "vectorkit.transfer.copy.run",
    "DimensionMismatchError": "vectorkit.errors",
    "DuplicateIdError": "vectorkit.errors",
    "Embedder": "vectorkit.protocol",
    "EmbedderIdentity": "vectorkit.types",
    "EmbedderRevisionWarning": "vectorkit.store",
    "EmbeddingError": "vectorkit.errors",
    "Explanation": "vectorkit.types",
    "F": "vectorkit.filters",
    "Filter": "vectorkit.filters",
    "Finding": "vectorkit.transfer.lint.findings",
    "FloatArray": "vectorkit.types",
    "ForeignCollection": "vectorkit.types",
    "HNSW": "vectorkit.indexes",
    "Hit": "vectorkit.types",
    "IVFFlat": "vectorkit.indexes",
    "Json": "vectorkit.types",
    "LintReport": "vectorkit.transfer.lint.findings",
    "Metadata": "vectorkit.types",
    "IndexProgress": "vectorkit.indexes",
    "Ingested": "vectorkit.progress",
    "InvalidArgumentError": "vectorkit.errors",
    "InvalidFilterError": "vectorkit.errors",
    "InvalidIdError": "vectorkit.errors",
    "InvalidMetadataError": "vectorkit.errors",
    "InvalidNameError": "vectorkit.errors",
    "InvalidVectorError": "vectorkit.errors",
    "MemoryBackend": "vectorkit.memory",
    "Metric": "vectorkit.types",
    "MirrorBackend": "vectorkit.mirror",
    "MirrorReport": "vectorkit.mirror",
    "MissingDependencyError": "vectorkit.errors",
    "PartialWriteError": "vectorkit.errors",
    "Patch": "vectorkit.types",
    "Query": "vectorkit.transfer.compare.queries",
    "Ranking": "vectorkit.types",
    "Recall": "vectorkit.inspection",
    "Record": "vectorkit.types",
    "RecordNotFoundError": "vectorkit.errors",
    "Reranker": "vectorkit.reranking",
    "RerankingError": "vectorkit.errors",
    "Storage": "vectorkit.types",
    "UnsupportedError": "vectorkit.errors",
    "VectorBackend": "vectorkit.protocol",
    "VectorKitError": "vectorkit.errors",
    "VectorStore": "vectorkit.store",
    "as_embedder": "vectorkit.embedders.adapted",
    "Verification": "vectorkit.transfer.verify.report",
    "compare": "vectorkit.transfer.compare.run",
    "connect": "vectorkit.store",
    "copy": "vectorkit.transfer.copy.run",
    "diversify": "vectorkit.reranking",
    "embedder": "vectorkit.embedders.function",
    "lint": "vectorkit.transfer.lint.run",
    "rerank": "vectorkit.reranking",
    "verify": "vectorkit.transfer.verify.run",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
