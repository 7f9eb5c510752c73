"""The fixtures of the suite, and a small embedder of its own."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.errors import EmbeddingError
from vectorkit.protocol import VectorBackend
from vectorkit.store import VectorStore
from vectorkit.testing._preflight import Preflight
from vectorkit.types import EmbedderIdentity, FloatArray

__all__ = ["BackendFactory", "Fixtures", "StoreFactory", "TextEmbedder"]

BackendFactory: TypeAlias = Callable[[], VectorBackend]
StoreFactory: TypeAlias = Callable[[], VectorStore]


class Fixtures:
    """What the tests of every section are given."""

    @pytest.fixture
    def make_backend(self) -> BackendFactory:
        """Opens the store of one test; every subclass has its own."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a fixture make_backend that returns a function: called, it opens a backend "
            "on a store that is empty and belongs to this test alone"
        )

    @pytest.fixture
    def open_store(self, request: pytest.FixtureRequest) -> Iterator[StoreFactory]:
        """Opens the test's store, again where that is called again; all are closed at the end."""
        open_backend = Preflight.of(request.node).factory(request)
        with ExitStack() as opened:
            yield lambda: opened.enter_context(VectorStore(open_backend()))

    @pytest.fixture
    def store(self, open_store: StoreFactory) -> VectorStore:
        """The test's store, empty."""
        return open_store()

    @pytest.fixture
    def plane(self, store: VectorStore) -> Collection:
        """An empty collection of two dimensions under `l2`, where distances can be read off."""
        return store.create_collection("plane", dimension=2, metric="l2")

    @pytest.fixture
    def embedder(self) -> "TextEmbedder":
        """An embedder that needs nothing."""
        return TextEmbedder()

    @pytest.fixture
    def texts(self, store: VectorStore, embedder: "TextEmbedder") -> Collection:
        """An empty collection with an embedder, under `cosine`."""
        return store.create_collection("texts", embedder=embedder)


_IDENTITY = EmbedderIdentity("conformance", "sha256", 8)


@dataclass
class TextEmbedder:
    """Vectors of eight numbers that a hash of the text decides; the same text has the same one, always.

    Attributes:
        identity: What a collection stores of it.
        refuses: A text that it fails on.
        seen: Every text it was given, in order.
    """

    identity: EmbedderIdentity = _IDENTITY
    refuses: str | None = None
    seen: list[str] = field(default_factory=list[str])

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """One row a text."""
        if self.refuses is not None and self.refuses in texts:
            raise EmbeddingError("this text cannot be embedded; give another", index=list(texts).index(self.refuses))
        vectors = [self.embed_query(text) for text in texts]
        return np.array(vectors, dtype=np.float32).reshape(-1, self.identity.dimension)

    def embed_query(self, text: str) -> FloatArray:
        """The vector of one text."""
        if text == self.refuses:
            raise EmbeddingError(f"{text!r} cannot be embedded; give another text")
        self.seen.append(text)
        digest = hashlib.sha256(text.encode()).digest()
        vector = np.frombuffer(digest[:8], dtype=np.uint8).astype(np.float32) + 1.0
        return vector / np.linalg.norm(vector).astype(np.float32)
