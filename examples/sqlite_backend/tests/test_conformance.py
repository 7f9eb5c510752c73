"""vectorkit's conformance suite: the whole contract, held against this backend."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vectorkit.testing import BackendConformance
from vectorkit_sqlite import SqliteBackend


class TestSqlite(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> Callable[[], SqliteBackend]:
        return lambda: SqliteBackend(tmp_path / "store.db")
