"""Stores in a schema or a database of their own, on the session's server."""

from collections.abc import Callable, Iterator
from typing import Any, LiteralString, TypeAlias
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from vectorkit import VectorStore
from vectorkit_pgvector import PgVectorBackend

Connection: TypeAlias = psycopg.Connection[Any]


@pytest.fixture
def admin(postgres_url: str) -> Iterator[Connection]:
    """The superuser's connection, in autocommit mode."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def schema(admin: Connection) -> Iterator[str]:
    """Name of a schema that is not there yet, and of the test's own."""
    name = f"test_{uuid4().hex}"
    yield name
    admin.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def backend(postgres_url: str, schema: str) -> Iterator[PgVectorBackend]:
    """A backend with a pool of its own."""
    backend = PgVectorBackend(postgres_url, schema=schema)
    yield backend
    backend.close()


@pytest.fixture
def store(backend: PgVectorBackend) -> VectorStore:
    """A store on `backend`."""
    return VectorStore(backend)


@pytest.fixture
def make_database(postgres_url: str, admin: Connection) -> Iterator[Callable[..., str]]:
    """Makes an empty database, without the extension, and returns where to connect to."""
    made: list[sql.Identifier] = []

    def make(options: LiteralString = "") -> str:
        name = f"test_{uuid4().hex}"
        admin.execute(sql.SQL(f"CREATE DATABASE {{}} {options}").format(sql.Identifier(name)))
        made.append(sql.Identifier(name))
        return make_conninfo(postgres_url, dbname=name)

    yield make
    for name in made:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def database(make_database: Callable[..., str]) -> str:
    """Where to connect to for an empty database, without the extension, of the test's own."""
    return make_database()


@pytest.fixture
def role(admin: Connection) -> Iterator[str]:
    """Name of a role that may log in, with the password `secret`, and nothing else."""
    name = f"test_{uuid4().hex}"
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
    yield name
    admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))
