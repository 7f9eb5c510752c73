"""The suite as a test file, on the store of a URL; `vectorkit.testing.report` runs it."""

from collections.abc import Iterator

import pytest

from vectorkit.protocol import VectorBackend
from vectorkit.registry import open_backend
from vectorkit.testing import BackendConformance
from vectorkit.testing._fixtures import BackendFactory
from vectorkit.testing.report import NAME, URL

__all__ = ["TestBackend"]


class TestBackend(BackendConformance):
    """Every test on one store, which is emptied after each."""

    @pytest.fixture
    def make_backend(self, request: pytest.FixtureRequest) -> Iterator[BackendFactory]:
        """Opens the URL; what was created is dropped at the end."""
        url = request.config.stash[URL]
        opened: list[VectorBackend] = []

        def make() -> VectorBackend:
            opened.append(open_backend(url))
            return opened[-1]

        yield make
        if opened:
            request.config.stash[NAME] = opened[0].name
        # A store that is a new one each time it is opened has nothing left to drop.
        if opened and (opened[0].capabilities.persistent or opened[0].capabilities.multi_process):
            last = open_backend(url)
            try:
                for info in last.list_collections():
                    last.drop_collection(info.name)
            finally:
                last.close()
