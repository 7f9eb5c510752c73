"""A mirror keeps the contract, whatever its two stores are; and at the end of each test both hold the same."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql

from vectorkit import MemoryBackend, VectorBackend
from vectorkit.mirror import MirrorBackend
from vectorkit.testing import BackendConformance
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend


class Checked(MirrorBackend):
    """Compares all that its two stores hold before it is closed."""

    closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.flush(30)
            assert contents(self.primary) == contents(self.secondary)
            assert self.report().failures == 0, self.report().last_error
        super().close()


def contents(store: VectorBackend) -> dict[str, list[tuple[object, ...]]]:
    """Every record of every collection, by name, with its bits."""
    return {
        info.name: [
            (each.id, each.document, repr(sorted(each.metadata.items())), np.asarray(each.embedding).tobytes())
            for page in store.scan(info, include_embeddings=True)
            for each in page
        ]
        for info in store.list_collections()
    }


Factory = Callable[[], VectorBackend]


def mirrors(folder: Path, primary: Factory, secondary: Factory) -> Factory:
    """Opens mirrors of stores of their own, each with a journal of its own, that compare every search."""
    numbers = count()
    return lambda: Checked(primary(), secondary(), journal=folder / f"{next(numbers)}.journal", sample=1.0)


class TestMirrorOfMemoryToMemory(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> Factory:
        return mirrors(tmp_path, MemoryBackend, MemoryBackend)


class TestMirrorOfMemoryToChroma(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> Factory:
        return mirrors(tmp_path, MemoryBackend, lambda: ChromaBackend("chroma:"))


class TestMirrorOfChromaToPostgres(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path: Path, postgres_url: str) -> Iterator[Factory]:
        schema = f"test_{uuid4().hex}"
        yield mirrors(tmp_path, lambda: ChromaBackend("chroma:"), lambda: PgVectorBackend(postgres_url, schema=schema))
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
