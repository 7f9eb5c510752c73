"""Empty stores of each kind, for the frameworks' own test suites."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

import vectorkit as vk

KINDS = ["memory", "chroma", "chroma-disk", "postgres"]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL of each kind of store."""
    if request.param == "postgres":
        dsn: str = request.getfixturevalue("postgres_url")
        return dsn if "://" in dsn else as_url(dsn)
    return {"memory": "memory:", "chroma": "chroma:", "chroma-disk": f"chroma:{tmp_path / 'kb'}"}[request.param]


def as_url(conninfo: str) -> str:
    """A conninfo of keywords as a URL."""
    from urllib.parse import urlencode

    from psycopg.conninfo import conninfo_to_dict

    return "postgresql://?" + urlencode(conninfo_to_dict(conninfo))


@pytest.fixture
def name() -> str:
    """A collection's name that no other test has."""
    return f"t-{uuid4().hex[:12]}"


@pytest.fixture
def store(url: str) -> Iterator[vk.VectorStore]:
    """An open store of each kind."""
    with vk.connect(url) as opened:
        yield opened
