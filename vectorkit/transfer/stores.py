"""A store as a source of collections, and as the target of a copy."""

from collections.abc import Iterator

from vectorkit.protocol import VectorBackend
from vectorkit.transfer.filling import Filling, begin, is_note, unfinished
from vectorkit.transfer.sources import Contents
from vectorkit.types import CollectionInfo, CollectionSpec, Record

__all__ = ["StoreSource", "StoreTarget"]


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
        return [self._content(info) for info in self.backend.list_collections() if not is_note(info)]

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
        origin = unfinished(self.backend, info)
        remarks = () if origin is None else (f"it is an unfinished copy of {origin}",)
        return Contents(info.name, info.spec, self.backend.count(info), remarks=remarks, identity=info.generation)


class StoreTarget(StoreSource):
    """A store that collections are copied into; arguments as of `StoreSource`."""

    def begin(self, spec: CollectionSpec, origin: str) -> Filling | None:
        """See `Target.begin`."""
        return begin(self.backend, spec, origin, f"collection {spec.name!r} of {self.label}")
