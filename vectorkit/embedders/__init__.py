"""Embedders: what turns texts into vectors. Importing this package loads no model library; using one does.

::

    from vectorkit.embedders import SentenceTransformerEmbedder

    docs = store.get_or_create_collection("docs", embedder=SentenceTransformerEmbedder())

Anything with `identity`, `embed_documents` and `embed_query` is an embedder: see `vectorkit.Embedder`. Of any function
of texts, `vectorkit.embedder` makes one.
"""

from vectorkit.embedders._texts import TruncationWarning
from vectorkit.embedders.cached import CachedEmbedder
from vectorkit.embedders.function import FunctionEmbedder
from vectorkit.embedders.hashing import HashEmbedder
from vectorkit.embedders.openai import AsyncOpenAIEmbedder, OpenAIEmbedder
from vectorkit.embedders.sentence_transformers import SentenceTransformerEmbedder

__all__ = [
    "AsyncOpenAIEmbedder",
    "CachedEmbedder",
    "FunctionEmbedder",
    "HashEmbedder",
    "OpenAIEmbedder",
    "SentenceTransformerEmbedder",
    "TruncationWarning",
]
