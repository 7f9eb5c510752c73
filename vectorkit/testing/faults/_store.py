"""The facade, with places where a fault bends it."""

from typing import Any

from vectorkit.collection import Collection
from vectorkit.protocol import Embedder, VectorBackend
from vectorkit.store import VectorStore

__all__ = ["FaultyCollection", "FaultyStore"]


class FaultyCollection(Collection):
    """Keeps the contract, until a subclass bends a method."""

    def add(self, **columns: Any) -> list[str]:
        """Write the bent columns."""
        return super().add(**self._bent_columns(columns))

    def upsert(self, **columns: Any) -> list[str]:
        """Write the bent columns."""
        return super().upsert(**self._bent_columns(columns))

    def _bent_columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        """What is written of columns that are given."""
        return columns


class FaultyStore(VectorStore):
    """Keeps the contract, until a subclass bends a method or hands out collections that are faulty.

    Args:
        backend: What stores the records.
        kind: The class of its collections.
    """

    def __init__(self, backend: VectorBackend, kind: type[Collection] = Collection) -> None:
        super().__init__(backend)
        self._kind = kind

    def create_collection(self, name: str, **options: Any) -> Collection:
        """Create a collection and hand it out as the faulty one."""
        return self._as_kind(super().create_collection(name, **options))

    def _opened(self, name: str, embedder: Embedder | None) -> Collection:
        return self._as_kind(super()._opened(name, embedder))

    def _as_kind(self, collection: Collection) -> Collection:
        return self._kind(self.backend, collection.info(), collection.embedder)
