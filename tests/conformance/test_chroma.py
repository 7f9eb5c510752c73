"""Chroma keeps the contract: in memory, on disk, over HTTP."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from vectorkit.testing import BackendConformance
from vectorkit_chroma import ChromaBackend


class TestChromaInMemory(BackendConformance):
    @pytest.fixture
    def make_backend(self) -> Callable[[], ChromaBackend]:
        return lambda: ChromaBackend("chroma:")


class TestChromaOnDisk(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> Callable[[], ChromaBackend]:
        return lambda: ChromaBackend(f"chroma:{tmp_path / 'store'}")


class TestChromaOverHttp(BackendConformance):
    @pytest.fixture
    def make_backend(self, chroma_http_url: str) -> Iterator[Callable[[], ChromaBackend]]:
        database = f"db-{uuid4().hex}"
        databases = f"{chroma_http_url}/api/v2/tenants/default_tenant/databases"
        headers = {"Content-Type": "application/json"}
        urlopen(Request(databases, json.dumps({"name": database}).encode(), headers)).close()
        yield lambda: ChromaBackend(f"chroma+{chroma_http_url}", database=database)
        urlopen(Request(f"{databases}/{database}", method="DELETE")).close()
