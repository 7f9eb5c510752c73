"""PostgreSQL keeps the contract: pooled, in partitions, with typed columns, and with a connection of the caller's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from vectorkit import CollectionInfo, CollectionSpec
from vectorkit.testing import BackendConformance
from vectorkit.types import ColumnType
from vectorkit_pgvector import PgVectorBackend


@pytest.fixture
def schema(postgres_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    yield name
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


class TestPostgres(BackendConformance):
    @pytest.fixture
    def make_backend(self, postgres_url: str, schema: str) -> Callable[[], PgVectorBackend]:
        return lambda: PgVectorBackend(postgres_url, schema=schema)


class TestPostgresInPartitions(BackendConformance):
    """Every collection's table is three."""

    @pytest.fixture
    def make_backend(self, postgres_url: str, schema: str) -> Callable[[], PgVectorBackend]:
        return lambda: PgVectorBackend(postgres_url, schema=schema, partitions=3)


class TestPostgresWithTheCallersConnection(BackendConformance):
    """In one transaction of the caller's, which is never committed."""

    @pytest.fixture
    def make_backend(self, postgres_url: str, schema: str) -> Iterator[Callable[[], PgVectorBackend]]:
        with psycopg.connect(postgres_url) as connection:
            yield lambda: PgVectorBackend(connection=connection, schema=schema)
            connection.rollback()


_COLUMNS: Final[dict[str, ColumnType]] = {
    "v": "int", "a": "str", "b": "bool", "w": "str", "l": "str", "k": "int", "K": "str", "k.l": "date", "even": "bool",
    "at": "date", "the key": "float", "n": "float", "place": "int",
}  # fmt: skip
"""Keys that the suite uses, of types that their values sometimes have."""


class _WithColumns(PgVectorBackend):
    """Promotes keys that nobody asked for."""

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        return super().create_collection(replace(spec, columns=_COLUMNS))


class TestPostgresWithTypedColumns(BackendConformance):
    """In which most values are of another type than their column."""

    @pytest.fixture
    def make_backend(self, postgres_url: str, schema: str) -> Callable[[], PgVectorBackend]:
        return lambda: _WithColumns(postgres_url, schema=schema)
