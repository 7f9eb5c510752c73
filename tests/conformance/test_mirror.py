"""A mirror keeps the contract, whatever its two stores are; and at the end of each test both hold the same."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from vectorkit import MemoryBackend, VectorBackend
from vectorkit.backend.requests import Scan
from vectorkit.mirror import MirrorBackend
from vectorkit.testing import BackendConformance
from vectorkit.testing._asserts import assert_embedding, typed
from vectorkit_chroma import ChromaBackend


class Checked(MirrorBackend):
    """Compares all that its two stores hold before it is closed."""

    closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.flush(30)
            assert_equal(self.primary, self.secondary)
            assert self.report().failures == 0, self.report().last_error
        super().close()


def assert_equal(one: VectorBackend, other: VectorBackend) -> None:
    """Two stores hold the same collections of the same records; vectors up to rule 6.10."""
    infos = one.list_collections()
    assert [info.name for info in infos] == [info.name for info in other.list_collections()]
    for info in infos:
        here, there = (
            [
                record
                for page in store.scan(store.open_collection(info.name), Scan(include_embeddings=True))
                for record in page
            ]
            for store in (one, other)
        )
        assert [record.id for record in here] == [record.id for record in there]
        for expected, found in zip(here, there, strict=True):
            assert (expected.document, typed(expected.metadata)) == (found.document, typed(found.metadata))
            assert_embedding(found.embedding, np.asarray(expected.embedding))


Factory = Callable[[], VectorBackend]


def mirrors(folder: Path, primary: Factory, secondary: Factory) -> Callable[[], Checked]:
    """Opens mirrors of stores of their own, each with a journal of its own, that compare every search."""
    numbers = count()
    return lambda: Checked(primary(), secondary(), journal=folder / f"{next(numbers)}.journal", sample=1.0)


class TestMirrorAfterPromotion(BackendConformance):
    """What was the secondary answers."""

    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> Factory:
        make = mirrors(tmp_path, MemoryBackend, MemoryBackend)

        def promoted() -> VectorBackend:
            mirror = make()
            mirror.promote()
            return mirror

        return promoted


class TestMirrorOfMemoryToChroma(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> Factory:
        return mirrors(tmp_path, MemoryBackend, lambda: ChromaBackend("chroma:"))
