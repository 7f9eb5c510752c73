"""Stores in memory that can be held up or made to fail, and what both sides of a mirror hold."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql

from vectorkit import BackendUnavailableError, Batch, CollectionInfo, MemoryBackend, Record, VectorBackend, VectorStore
from vectorkit.backend.requests import Scan
from vectorkit.mirror import MirrorBackend

Contents: TypeAlias = dict[str, list[tuple[object, ...]]]
Mirrors: TypeAlias = Callable[..., MirrorBackend]


class Unsteady(MemoryBackend):
    """A store in memory that is away while `away` is set, and keeps the ids of every write that reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.away = threading.Event()
        self.written: list[tuple[str, tuple[str, ...]]] = []

    def open_collection(self, name: str) -> CollectionInfo:
        if self.away.is_set():
            raise BackendUnavailableError("this store is away")
        return super().open_collection(name)

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        batches = list(batches)
        super().upsert(collection, batches)
        self.written.append((collection.name, tuple(id for batch in batches for id in batch.ids)))


@pytest.fixture
def unsteady() -> Unsteady:
    return Unsteady()


@pytest.fixture
def contents() -> Callable[[VectorBackend], Contents]:
    """What a store holds: every record of every collection, by name, with its bits."""

    def read(store: VectorBackend) -> Contents:
        return {
            info.name: [row(record) for page in store.scan(info, Scan(include_embeddings=True)) for record in page]
            for info in store.list_collections()
        }

    return read


def row(record: Record) -> tuple[object, ...]:
    return (
        record.id,
        record.document,
        repr(sorted(record.metadata.items())),
        np.asarray(record.embedding, np.float32).tobytes(),
    )


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[Mirrors]:
    """Opens a mirror with the test's journal, and closes it."""
    opened: list[MirrorBackend] = []

    def open_mirror(primary: VectorBackend, secondary: VectorBackend, *, sample: float = 0.0) -> MirrorBackend:
        opened.append(MirrorBackend(primary, secondary, journal=tmp_path / "journal", sample=sample))
        return opened[-1]

    yield open_mirror
    for mirror in opened:
        mirror.close()


@pytest.fixture
def schemas(postgres_url: str) -> Iterator[tuple[str, str]]:
    """Names of two schemas that are not there yet."""
    names = f"test_{uuid4().hex}", f"test_{uuid4().hex}"
    yield names
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def fill() -> Callable[..., None]:
    """Writes records of two numbers."""

    def write(mirror: VectorBackend, name: str = "docs", numbers: Iterable[int] = range(3), text: str = "text") -> None:
        docs = VectorStore(mirror).get_or_create_collection(name, dimension=2, metric="l2")
        chosen = list(numbers)
        docs.upsert(
            ids=[f"{number:05}" for number in chosen],
            embeddings=[[number, 1] for number in chosen],
            documents=[f"{text} {number}" for number in chosen],
            metadatas=[{"number": number, "even": number % 2 == 0} for number in chosen],
        )

    return write
