"""Databases of a test's own, on the session's server."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict


@pytest.fixture
def make_postgres(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes an empty database and returns its URL."""
    made: list[sql.Identifier] = []
    with psycopg.connect(postgres_url, autocommit=True) as admin:

        def make() -> str:
            name = f"transfer_{uuid4().hex}"
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            made.append(sql.Identifier(name))
            given = {key: str(value) for key, value in conninfo_to_dict(postgres_url).items()}
            given.pop("dbname", None)
            user, password = given.pop("user", ""), given.pop("password", "")
            access = f"{user}:{password}@" if password else f"{user}@" if user else ""
            return f"postgresql://{access}/{name}?" + "&".join(f"{key}={value}" for key, value in given.items())

        yield make
        for name in made:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
