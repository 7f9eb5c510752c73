"""PostgreSQL keeps the contract: with a pool of the backend's own, in partitions, with a connection of the caller's."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from vectorkit.testing import BackendConformance
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
