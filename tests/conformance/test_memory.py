"""The reference keeps the contract."""

import pytest

from vectorkit import MemoryBackend
from vectorkit.testing import BackendConformance


class TestMemory(BackendConformance):
    @pytest.fixture
    def make_backend(self) -> type[MemoryBackend]:
        return MemoryBackend
