"""A store as a source of collections."""

from collections.abc import Iterator

from vectorkit.protocol import VectorBackend
from vectorkit.transfer.sources import Contents
from vectorkit.types import CollectionInfo, Record

__all__ = ["StoreSource"]


class StoreSource:
    """Reads the collections of a store.

    Args:
        backend: The store; closing the source does not close it.
        label: Where it is, for people, without passwords.
    """

    def __init__(self, backend: VectorBackend, label: str) -> None:
        self.backend = backend
        self._label = label

    @property
    def label(self) -> str:
        """See `Source.label`."""
        return self._label

    def contents(self) -> list[Contents]:
        """See `Source.contents`."""
        return [self._content(info) for info in self.backend.list_collections()]

    def content(self, name: str) -> Contents:
        """See `Source.content`."""
        return self._content(self.backend.open_collection(name))

    def read(self, name: str, *, after: str | None = None, batch_size: int = 1000) -> Iterator[list[Record]]:
        """See `Source.read`."""
        info = self.backend.open_collection(name)
        for batch in self.backend.scan(info, batch_size=batch_size, include_embeddings=True):
            later = batch if after is None else [record for record in batch if record.id > after]
            if later:
                yield later

    def get(self, name: str, ids: list[str]) -> list[Record]:
        """See `Source.get`."""
        return self.backend.get(self.backend.open_collection(name), ids=ids, include_embeddings=True)

    def close(self) -> None:
        """See `Source.close`."""

    def _content(self, info: CollectionInfo) -> Contents:
        return Contents(info.name, info.spec, self.backend.count(info))
