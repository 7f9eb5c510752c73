"""Filling a collection of a store so that it can be gone on with after the process was killed.

While a collection is filled there is a second one beside it, `copying-NAME-…`, with one record that notes what is being
copied into which collection. Only what every store can do is asked for, so that this works with all of them. Every
step can be the last one before the process dies:

1. the collection is made: empty and without a note, it is taken as if the caller had made it;
2. the note is written: from now on what the collection holds is known to be of this copy;
3. records are written in ascending order of id, so those that are there tell where to go on;
4. the indexes are built, which happens once, however often it is asked for;
5. the note is dropped: the collection is whole.
"""

import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import Final
from uuid import uuid4

import numpy as np

from vectorkit.backend.requests import Read
from vectorkit.errors import (
    CollectionExistsError,
    CollectionMismatchError,
    CollectionNotFoundError,
    DuplicateIdError,
)
from vectorkit.indexes import index_text, read_index
from vectorkit.indexing import create_with_an_index
from vectorkit.protocol import VectorBackend
from vectorkit.transfer.locking import TargetLock
from vectorkit.transfer.sources import MAX_BATCH
from vectorkit.types import Batch, CollectionInfo, CollectionSpec, Metadata

__all__ = ["Filling", "begin", "is_note", "note_name", "unfinished"]

_PREFIX: Final = "copying-"
_ID: Final = "copy"


def begin(backend: VectorBackend, spec: CollectionSpec, origin: str, what: str) -> "Filling | None":
    """See `Target.begin`.

    Args:
        backend: The store.
        spec: The collection.
        origin: What is copied.
        what: What the collection is called in messages.
    """
    try:
        info = backend.open_collection(spec.name)
    except CollectionNotFoundError:
        info = _created(backend, spec)
    _check(info.spec, spec, what)
    note = _noted(backend, info)
    if note is None and not backend.count(info):
        _note(backend, info, spec, origin)
        note = _noted(backend, info)
    if note is None:
        return None
    # Not by the generation: two databases may number their collections alike.
    lock = TargetLock(str(note["token"]), what)
    try:
        if _noted(backend, info) != note:  # the copy that wrote it has just been finished
            lock.release()
            return None
        if note["origin"] != origin:
            raise CollectionExistsError(
                f"{what} is half-filled by an unfinished copy of {note['origin']}; finish that one by running it "
                f"again, drop the collection, or give this copy another name"
            )
        return Filling(backend, info, spec, note, lock)
    except BaseException:
        lock.release()
        raise


class Filling:
    """See `Writing`; made by `begin`."""

    def __init__(
        self, backend: VectorBackend, info: CollectionInfo, spec: CollectionSpec, note: Metadata, lock: TargetLock
    ) -> None:
        self._backend = backend
        self._info = info
        self._note = note
        self._lock = lock
        wanted, index = spec.index, read_index(str(note["index"]))
        self._index = index
        self._remarks = (
            () if wanted == index else (f"its index is {index or 'none'}, not {wanted}: the store has no such one",)
        )
        if backend.capabilities.index_changes and info.spec.index is not None:
            self._info = backend.drop_index(info)
        # Of the last batch, a store without atomic writes may have kept any part, so it is gone through again.
        unsure = 0 if backend.capabilities.atomic_writes else MAX_BATCH
        held = backend.count(info)
        tail = backend.get(info, Read(offset=max(0, held - unsure - 1))) if held else []
        self._last = tail[0].id if held > unsure else None
        self._stored = tail[-1].id if tail else None

    @property
    def last(self) -> str | None:
        """See `Writing.last`."""
        return self._last

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `Writing.remarks`."""
        return self._remarks

    def count(self) -> int:
        """See `Writing.count`."""
        return self._backend.count(self._info)

    def write(self, batch: Batch) -> None:
        """See `Writing.write`."""
        if self._stored is not None and batch.ids[0] <= self._stored:
            batch = self._missing(batch)
        if batch.ids:
            self._backend.add(self._info, [batch])

    def finish(self) -> None:
        """See `Writing.finish`."""
        if self._backend.capabilities.index_changes and self._index is not None:
            self._info = self._backend.create_index(self._info, self._index)
        if self._note["text_index"] and self._backend.capabilities.text_search:
            self._info = self._backend.create_text_index(self._info)
        self._backend.drop_collection(note_name(self._info.name))

    def close(self) -> None:
        """See `Writing.close`."""
        self._lock.release()

    def _missing(self, batch: Batch) -> Batch:
        """Those of the records that are not stored."""
        stored = {record.id for record in self._backend.get(self._info, Read(batch.ids))}
        rows = [row for row, id in enumerate(batch.ids) if id not in stored]
        return Batch(
            [batch.ids[row] for row in rows],
            [batch.documents[row] for row in rows],
            batch.embeddings[rows],
            [batch.metadatas[row] for row in rows],
        )


def is_note(info: CollectionInfo) -> bool:
    """Whether a collection is the note beside one that is being filled."""
    return info.name.startswith(_PREFIX) and info.dimension == 1


def unfinished(backend: VectorBackend, info: CollectionInfo) -> str | None:
    """What a collection is an unfinished copy of; None if it is whole."""
    note = _noted(backend, info)
    return None if note is None else str(note["origin"])


def _created(backend: VectorBackend, spec: CollectionSpec) -> CollectionInfo:
    late = backend.capabilities.text_search  # then the text index is made at the end, when all documents are there
    try:
        return create_with_an_index(backend, replace(spec, text_index=spec.text_index and not late))
    except CollectionExistsError:  # another process was faster
        return backend.open_collection(spec.name)


def _check(held: CollectionSpec, spec: CollectionSpec, what: str) -> None:
    """Raise `CollectionMismatchError` if records would not mean the same there."""
    for name in ("metric", "dimension", "embedder", "language"):
        there, here = getattr(held, name), getattr(spec, name)
        if name == "embedder" and here is None:
            continue
        if name == "language" and not (held.text_index or spec.text_index):
            continue
        if there != here:
            raise CollectionMismatchError(
                f"{what} is there with {name} {there!r}, and what is to be copied has {here!r}; give the copy another "
                "name, or drop that collection"
            )


def note_name(name: str) -> str:
    """The name of the note beside a collection."""
    return f"{_PREFIX}{name[:22]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _noted(backend: VectorBackend, info: CollectionInfo) -> Metadata | None:
    """What is noted of a collection; None if nothing is, or of another one that had the name before."""
    try:
        found = backend.get(backend.open_collection(note_name(info.name)), Read([_ID]))
    except CollectionNotFoundError:
        return None
    return found[0].metadata if found and found[0].metadata["generation"] == info.generation else None


def _note(backend: VectorBackend, info: CollectionInfo, spec: CollectionSpec, origin: str) -> None:
    """Note that the collection is being filled; if another process does so at the same time, the note is that one's."""
    note: Metadata = {
        "origin": origin,
        "generation": info.generation,
        "token": str(uuid4()),
        "index": index_text(info.spec.index),
        "text_index": spec.text_index,
    }
    beside = CollectionSpec(note_name(info.name), "l2", 1, index=None)
    try:
        place = backend.create_collection(beside)
    except CollectionExistsError:
        place = backend.open_collection(beside.name)
        if (stale := backend.get(place, Read([_ID]))) and stale[0].metadata["generation"] != info.generation:
            backend.delete(place, ids=[_ID])
    with suppress(DuplicateIdError):
        backend.add(place, [Batch([_ID], [None], np.ones((1, 1), dtype=np.float32), [note])])
