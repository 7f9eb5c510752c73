"""A store as a source of collections, and as the target of a copy."""

from collections.abc import Callable, Iterator

from vectorkit.backend.requests import Read, Scan
from vectorkit.errors import CollectionMismatchError, CollectionNotFoundError
from vectorkit.protocol import VectorBackend
from vectorkit.transfer.copy.filling import Filling, begin, is_note, note_name, unfinished
from vectorkit.transfer.sources import Contents, Malformed
from vectorkit.types import CollectionInfo, CollectionSpec, Record
from vectorkit.validation import allowed_name

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
        found = self.backend.list_collections()
        names = {info.name for info in found}
        ours = [self._content(info, noted=note_name(info.name) in names) for info in found if not is_note(info)]
        return sorted([*ours, *self._foreign()], key=lambda each: each.name)

    def content(self, name: str) -> Contents:
        """See `Source.content`."""
        found = self._info(name)
        return found if isinstance(found, Contents) else self._content(found)

    def read(
        self,
        name: str,
        *,
        after: str | None = None,
        batch_size: int = 1000,
        malformed: Callable[[Malformed], object] | None = None,
    ) -> Iterator[list[Record]]:
        """See `Source.read`."""
        info = self._info(name)
        if isinstance(info, Contents):
            yield from self.backend.scan_foreign(name, after=after, batch_size=batch_size)
            return
        yield from self.backend.scan(info, Scan(after=after, batch_size=batch_size, include_embeddings=True))

    def get(self, name: str, ids: list[str]) -> list[Record]:
        """See `Source.get`."""
        info = self._info(name)
        if isinstance(info, Contents):
            return self.backend.get_foreign(name, ids)
        return self.backend.get(info, Read(ids, include_embeddings=True))

    def close(self) -> None:
        """See `Source.close`."""

    def _info(self, name: str) -> CollectionInfo | Contents:
        """A collection of ours, or one that others made."""
        try:
            return self.backend.open_collection(name)
        except (CollectionNotFoundError, CollectionMismatchError):
            for content in self._foreign():
                if content.name == name:
                    return content
            raise

    def _foreign(self) -> list[Contents]:
        if not self.backend.capabilities.foreign_collections:
            return []
        return [
            Contents(
                each.name,
                None
                if each.dimension is None
                else CollectionSpec(allowed_name(each.name), each.metric, each.dimension),
                each.count,
                foreign=True,
                remarks=each.remarks,
                identity=each.identity,
                has_uris=each.has_uris,
            )
            for each in self.backend.foreign_collections()
        ]

    def _content(self, info: CollectionInfo, *, noted: bool = True) -> Contents:
        origin = unfinished(self.backend, info) if noted else None
        remarks = () if origin is None else (f"it is an unfinished copy of {origin}",)
        return Contents(info.name, info.spec, self.backend.count(info), remarks=remarks, identity=info.generation)


class StoreTarget(StoreSource):
    """A store that collections are copied into; arguments as of `StoreSource`."""

    def begin(self, spec: CollectionSpec, origin: str) -> Filling | None:
        """See `Target.begin`."""
        return begin(self.backend, spec, origin, f"collection {spec.name!r} of {self.label}")
