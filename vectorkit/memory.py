"""`MemoryBackend`: everything in this process, exact. It is the reference the other backends are compared with."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from vectorkit.errors import (
    BackendError,
    CollectionExistsError,
    CollectionNotFoundError,
    DuplicateIdError,
    InvalidArgumentError,
    RecordNotFoundError,
    UnsupportedError,
)
from vectorkit.filters import Filter, evaluate
from vectorkit.ranking import rank
from vectorkit.types import (
    Batch,
    Capabilities,
    CollectionInfo,
    CollectionSpec,
    FloatArray,
    Hit,
    Json,
    Metadata,
    Patch,
    Ranking,
    Record,
)

__all__ = ["MemoryBackend"]


class _Row(NamedTuple):
    document: str | None
    embedding: FloatArray
    metadata: Metadata


@dataclass(slots=True)
class _Stored:
    info: CollectionInfo
    rows: dict[str, _Row] = field(default_factory=dict[str, _Row])


class MemoryBackend:
    """Collections in the memory of this process, gone with it.

    Every search compares all records that match, in float64; `exact` makes no difference.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stored: dict[str, _Stored] = {}
        self._closed = False

    @classmethod
    def from_url(cls, url: str) -> "MemoryBackend":
        """Open `memory:`; each call makes a store of its own.

        Raises:
            InvalidArgumentError: Something follows the colon.
        """
        if url != "memory:":
            raise InvalidArgumentError(f"the URL of a store in memory is 'memory:', not {url!r}")
        return cls()

    def __repr__(self) -> str:
        return "MemoryBackend()"

    @property
    def name(self) -> str:
        """`"memory"`."""
        return "memory"

    @property
    def capabilities(self) -> Capabilities:
        """All or nothing in every call, no index, no text index, one process."""
        return Capabilities(
            atomic_writes=True,
            atomic_add=True,
            approximate_search=False,
            text_search=False,
            persistent=False,
            multi_process=False,
        )

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        """See `VectorBackend.create_collection`."""
        if spec.text_index:
            raise UnsupportedError("a store in memory has no text index; create the collection with text_index=False")
        with self._lock:
            if spec.name in self._open():
                raise CollectionExistsError(f"collection {spec.name!r} exists; open it with get_collection")
            info = CollectionInfo(spec, generation=str(uuid4()), location="in memory")
            self._stored[spec.name] = _Stored(info)
            return info

    def open_collection(self, name: str) -> CollectionInfo:
        """See `VectorBackend.open_collection`."""
        with self._lock:
            return self._named(name).info

    def list_collections(self) -> list[CollectionInfo]:
        """See `VectorBackend.list_collections`."""
        with self._lock:
            return [self._stored[name].info for name in sorted(self._open())]

    def drop_collection(self, name: str) -> None:
        """See `VectorBackend.drop_collection`."""
        with self._lock:
            self._named(name)
            del self._stored[name]

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.add`."""
        new = _rows(batches)
        with self._lock:
            rows = self._rows(collection)
            if taken := sorted(new.keys() & rows.keys()):
                raise DuplicateIdError(
                    f"{len(taken):,} id(s) are stored already: {', '.join(map(repr, taken[:10]))}; "
                    "nothing was written; use upsert to replace records"
                )
            rows.update(new)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """See `VectorBackend.upsert`."""
        new = _rows(batches)
        with self._lock:
            self._rows(collection).update(new)

    def update(self, collection: CollectionInfo, patches: Sequence[Patch]) -> None:
        """See `VectorBackend.update`."""
        with self._lock:
            rows = self._rows(collection)
            ids = [id for patch in patches for id in patch.ids]
            if missing := sorted(id for id in ids if id not in rows):
                raise RecordNotFoundError(
                    f"{len(missing):,} id(s) are not stored: {', '.join(map(repr, missing[:10]))}; "
                    "nothing was written; use upsert to add records"
                )
            for patch in patches:
                for index, id in enumerate(patch.ids):
                    rows[id] = _patched(rows[id], patch, index)

    def get(
        self,
        collection: CollectionInfo,
        *,
        ids: Sequence[str] | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        offset: int = 0,
        include_embeddings: bool = False,
    ) -> list[Record]:
        """See `VectorBackend.get`."""
        with self._lock:
            rows = self._rows(collection)
            found = islice(self._matching(rows, ids, where), offset, None if limit is None else offset + limit)
            return [_record(id, rows[id], include_embeddings) for id in found]

    def scan(
        self,
        collection: CollectionInfo,
        *,
        where: Filter | None = None,
        batch_size: int = 1000,
        include_embeddings: bool = False,
    ) -> Iterator[list[Record]]:
        """See `VectorBackend.scan`."""
        with self._lock:
            ids = list(self._matching(self._rows(collection), None, where))
        for start in range(0, len(ids), batch_size):
            page = ids[start : start + batch_size]
            yield self.get(collection, ids=page, where=where, include_embeddings=include_embeddings)

    def count(self, collection: CollectionInfo, where: Filter | None = None) -> int:
        """See `VectorBackend.count`."""
        with self._lock:
            return sum(1 for _ in self._matching(self._rows(collection), None, where))

    def delete(
        self, collection: CollectionInfo, *, ids: Sequence[str] | None = None, where: Filter | None = None
    ) -> int:
        """See `VectorBackend.delete`."""
        with self._lock:
            rows = self._rows(collection)
            found = list(self._matching(rows, ids, where))
            for id in found:
                del rows[id]
            return len(found)

    def search(
        self,
        collection: CollectionInfo,
        queries: FloatArray,
        k: int,
        *,
        where: Filter | None = None,
        exact: bool | None = None,  # always exact
        include_embeddings: bool = False,
    ) -> list[Ranking]:
        """See `VectorBackend.search`."""
        with self._lock:
            rows = self._rows(collection)
            ids = list(self._matching(rows, None, where))
            found = [rows[id] for id in ids]
        vectors = np.array([row.embedding for row in found], dtype=np.float32).reshape(-1, collection.dimension)
        return [
            Ranking(
                [
                    Hit(
                        ids[row],
                        score,
                        distance,
                        found[row].document,
                        _copied(found[row].metadata),
                        found[row].embedding.copy() if include_embeddings else None,
                    )
                    for row, distance, score in rank(collection.metric, query, ids, vectors, k)
                ],
                exact=True,
            )
            for query in queries
        ]

    def close(self) -> None:
        """See `VectorBackend.close`. The collections are gone."""
        with self._lock:
            self._closed = True
            self._stored.clear()

    def _open(self) -> dict[str, _Stored]:
        if self._closed:
            raise BackendError("this store was closed; connect again")
        return self._stored

    def _named(self, name: str) -> _Stored:
        if name not in self._open():
            raise CollectionNotFoundError(f"there is no collection {name!r}; create it with create_collection")
        return self._stored[name]

    def _rows(self, collection: CollectionInfo) -> dict[str, _Row]:
        stored = self._open().get(collection.name)
        if stored is None or stored.info.generation != collection.generation:
            raise CollectionNotFoundError(
                f"collection {collection.name!r} was dropped since it was opened; open or create it again"
            )
        return stored.rows

    def _matching(self, rows: Mapping[str, _Row], ids: Sequence[str] | None, where: Filter | None) -> Iterator[str]:
        names = sorted(rows) if ids is None else [id for id in ids if id in rows]
        if where is None:
            return iter(names)
        test = self._test(where)
        return (id for id in names if test(rows[id].document, rows[id].metadata))

    def _test(self, where: Filter) -> Callable[[str | None, Metadata], bool]:
        """What a filter means; the faults of `vectorkit.testing` mean something else by it."""
        return evaluate(where)


def _rows(batches: Iterable[Batch]) -> dict[str, _Row]:
    return {
        id: _Row(document, embedding.copy(), metadata)
        for batch in batches
        for id, document, embedding, metadata in zip(
            batch.ids, batch.documents, batch.embeddings, batch.metadatas, strict=True
        )
    }


def _patched(row: _Row, patch: Patch, index: int) -> _Row:
    if patch.documents is not None:
        row = row._replace(document=patch.documents[index])
    if patch.embeddings is not None:
        row = row._replace(embedding=patch.embeddings[index].copy())
    if patch.metadatas is not None:
        new = patch.metadatas[index]
        row = row._replace(metadata={**row.metadata, **new} if patch.merge else new)
    return row


def _record(id: str, row: _Row, include_embeddings: bool) -> Record:
    return Record(id, row.document, row.embedding.copy() if include_embeddings else None, _copied(row.metadata))


def _copied(metadata: Metadata) -> Metadata:
    return {key: _copy(value) for key, value in metadata.items()}


def _copy(value: Json) -> Json:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value
