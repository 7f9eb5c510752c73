"""PostgreSQL keeps the contract: pooled, in partitions, with typed columns, and with a connection of the caller's."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from vectorkit import CollectionInfo, CollectionSpec, EmbedderIdentity, FloatArray, UnsupportedError
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


@dataclass(frozen=True)
class _Identified:
    """What an adopted table's vectors are said to come from."""

    identity: EmbedderIdentity

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        raise NotImplementedError

    def embed_query(self, text: str) -> FloatArray:
        raise NotImplementedError


class _Adopting(PgVectorBackend):
    """Has an application make the tables, and adopts them."""

    def __init__(self, url: str, schema: str) -> None:
        super().__init__(url, schema=schema)
        self._url = url
        self._application = sql.Identifier(schema)

    def create_collection(self, spec: CollectionSpec) -> CollectionInfo:
        if spec.text_index:
            return super().create_collection(spec)  # refuses
        table = sql.Identifier(f"App {uuid4().hex}")
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                sql.SQL(
                    'CREATE TABLE {}.{} (number serial, "Key" text UNIQUE, body text, vec vector({}) NOT NULL, '
                    "at timestamptz DEFAULT now(), meta jsonb)"
                ).format(self._application, table, spec.dimension)
            )
        info = self.adopt(
            spec.name,
            table=sql.SQL("{}.{}").format(self._application, table).as_string(),
            id="Key",
            document="body",
            embedding="vec",
            metadata="meta",
            metric=spec.metric,
            embedder=None if spec.embedder is None else _Identified(spec.embedder),
        )
        try:
            return info if spec.index is None else self.create_index(info, spec.index)
        except UnsupportedError:  # IVFFlat, for which an application's table has to have rows
            self.drop_collection(spec.name)
            raise


class TestPostgresWithAdoptedTables(BackendConformance):
    """In tables that an application made, under names of its own, with columns that records have not."""

    @pytest.fixture
    def make_backend(self, postgres_url: str, schema: str) -> Callable[[], PgVectorBackend]:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        return lambda: _Adopting(postgres_url, schema)
