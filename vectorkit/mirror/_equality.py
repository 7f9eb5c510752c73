"""Making the second store equal to the first, a collection or some records at a time."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vectorkit.backend.requests import Read, Scan
from vectorkit.errors import CollectionMismatchError, CollectionNotFoundError
from vectorkit.indexing import create_with_an_index
from vectorkit.mirror._journal import Entry, Journal, mark_of
from vectorkit.protocol import VectorBackend
from vectorkit.types import Batch, CollectionInfo, FloatArray, Record

__all__ = ["Sides", "follow", "twin"]

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Sides:
    """The two stores.

    Attributes:
        first: The primary: what it holds is right.
        second: The secondary, that is made equal to it.
    """

    first: VectorBackend
    second: VectorBackend


def follow(sides: Sides, journal: Journal, entries: Sequence[Entry]) -> Iterator[None]:
    """Make the second store equal to the first where entries say that it may not be, step by step.

    Args:
        sides: The stores.
        journal: Knows which collections belong together.
        entries: Of one collection and one kind, in order.

    Yields:
        After each step, so that a long work can be stopped: when it is done again, what is equal is passed over.
    """
    entry = entries[0]
    info = _there(sides.first, entry.name, entry.mark)
    if entry.kind == "drop":
        if info is None:
            _drop(sides, journal, entry)
    elif info is not None:  # else it was dropped since, or is known by another name: an entry of its own follows
        other = _opened(sides, journal, info)
        if entry.kind == "whole":
            yield from _fill(sides, info, other)
        else:
            _equalize(sides, info, other, list(dict.fromkeys(id for each in entries for id in each.ids)))
            yield


def twin(sides: Sides, journal: Journal, info: CollectionInfo) -> CollectionInfo | None:
    """The collection of the second store that is kept equal to one of the first; None if there is none."""
    paired = journal.pairs().get((info.name, mark_of(info)))
    return None if paired is None else _there(sides.second, info.name, paired)


def _there(backend: VectorBackend, name: str, mark: str) -> CollectionInfo | None:
    found = _named(backend, name)
    return found if found is not None and mark_of(found) == mark else None


def _named(backend: VectorBackend, name: str) -> CollectionInfo | None:
    try:
        return backend.open_collection(name)
    except CollectionNotFoundError:
        return None


def _drop(sides: Sides, journal: Journal, entry: Entry) -> None:
    paired = journal.pairs().get((entry.name, entry.mark))
    if paired is not None and _there(sides.second, entry.name, paired) is not None:
        sides.second.drop_collection(entry.name)
    journal.forget(entry.name, entry.mark)


def _opened(sides: Sides, journal: Journal, info: CollectionInfo) -> CollectionInfo:
    """The collection of the second store; it is made, or taken as it is if it holds nothing of its own."""
    other = twin(sides, journal, info)
    if other is None:
        other = _named(sides.second, info.name)
        if other is None:
            words = info.spec.text_index and sides.second.capabilities.text_search
            other = create_with_an_index(sides.second, replace(info.spec, text_index=words))
        else:
            _check_harmless(sides, info, other)
        journal.pair(info.name, mark_of(info), mark_of(other))
    if info.spec.text_index and not other.spec.text_index and sides.second.capabilities.text_search:
        other = sides.second.create_text_index(other)
    return other


def _check_harmless(sides: Sides, info: CollectionInfo, other: CollectionInfo) -> None:
    """Refuse to take a collection as the mirror of another if that would lose, or mistake, what it holds."""
    both_words = info.spec.text_index and other.spec.text_index
    for what in ("metric", "dimension", "embedder", *(["language"] if both_words else [])):
        here, there = getattr(info.spec, what), getattr(other.spec, what)
        if here != there:
            raise CollectionMismatchError(
                f"collection {info.name!r} of the secondary, {sides.second.name}, has {what} {there!r}, that of the "
                f"primary {here!r}; drop it there, or give another secondary"
            )
    for page in sides.second.scan(other, Scan(batch_size=_PAGE)):
        if extra := _missing(sides.first, info, [record.id for record in page]):
            raise CollectionMismatchError(
                f"collection {info.name!r} of the secondary, {sides.second.name}, holds records that the primary has "
                f"not, {extra[0]!r} among them, and this journal did not put them there: primary and secondary may be "
                "exchanged; if not, delete them or drop the collection there"
            )


def _fill(sides: Sides, info: CollectionInfo, other: CollectionInfo) -> Iterator[None]:
    for page in sides.first.scan(info, Scan(batch_size=_PAGE)):
        _equalize(sides, info, other, [record.id for record in page])
        yield
    for page in sides.second.scan(other, Scan(batch_size=_PAGE)):
        _equalize(sides, info, other, _missing(sides.first, info, [record.id for record in page]))
        yield


def _missing(backend: VectorBackend, info: CollectionInfo, ids: list[str]) -> list[str]:
    held = {record.id for record in backend.get(info, Read(ids))}
    return [id for id in ids if id not in held]


def _equalize(sides: Sides, info: CollectionInfo, other: CollectionInfo, ids: list[str]) -> None:
    """Make records of the second store what they are in the first; what is equal is left alone."""
    if not ids:
        return
    wanted = {record.id: record for record in sides.first.get(info, Read(ids, include_embeddings=True))}
    held = {record.id: record for record in sides.second.get(other, Read(ids, include_embeddings=True))}
    if gone := [id for id in held if id not in wanted]:
        sides.second.delete(other, ids=gone)
    changed = [record for id, record in wanted.items() if id not in held or _bits(held[id]) != _bits(record)]
    if changed:
        sides.second.upsert(other, [_batch(changed)])


def _bits(record: Record) -> tuple[str | None, str, bytes]:
    """A record as a value to compare, with the types of its metadata."""
    return record.document, json.dumps(record.metadata, sort_keys=True), _vector(record).tobytes()


def _vector(record: Record) -> FloatArray:
    return np.asarray(record.embedding, dtype=np.float32)


def _batch(records: Sequence[Record]) -> Batch:
    return Batch(
        ids=[record.id for record in records],
        documents=[record.document for record in records],
        embeddings=np.stack([_vector(record) for record in records]),
        metadatas=[record.metadata for record in records],
    )
