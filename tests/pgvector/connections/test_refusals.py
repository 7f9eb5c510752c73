"""What a connection is refused for is said once, with what to do about it."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import vectorkit as vk
from vectorkit_pgvector import PgVectorBackend


def with_option(postgres_url: str, **options: str) -> str:
    return make_conninfo(postgres_url, **options)


def refusal(url: str) -> str:
    backend = PgVectorBackend(url)
    with pytest.raises(vk.BackendError) as raised:
        backend.list_collections()
    backend.close()
    return str(raised.value)


def test_an_option_with_a_wrong_value_is_named(postgres_url: str) -> None:
    message = refusal(with_option(postgres_url, sslmode="bogus"))
    assert "sslmode" in message
    assert "bogus" in message
    assert "is the server running" not in message.lower()


def test_a_server_without_ssl_is_said_to_have_none(postgres_url: str, make_tcp_url: Callable[[], str]) -> None:
    message = refusal(make_tcp_url())
    assert "SSL" in message
    assert "sslmode=" in message
    assert "is the server running" not in message.lower()


def test_whether_the_server_runs_is_asked_once() -> None:
    message = refusal("postgresql://127.0.0.1:1/db")
    assert message.lower().count("is the server running") == 1


@pytest.fixture
def make_tcp_url() -> Any:
    """A URL that wants SSL of a server that answers, as PostgreSQL does, that it has none."""
    import socket
    import threading

    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(8)  # SSLRequest
                connection.sendall(b"N")
                connection.recv(1)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield lambda: f"postgresql://127.0.0.1:{listening.getsockname()[1]}/db?sslmode=require"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(10)


@pytest.mark.parametrize("schema", ["a\ud800", "a\0b", "", "x" * 64, "é" * 32, "pg_mine", 7])
def test_what_cannot_name_a_schema_is_refused(postgres_url: str, schema: Any) -> None:
    with pytest.raises(vk.InvalidArgumentError, match="schema"):
        PgVectorBackend(postgres_url, schema=schema)


@pytest.mark.parametrize("public", [True, False])
def test_the_extension_is_made_where_the_search_path_is_empty(database: str, public: bool) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(sql.SQL("ALTER DATABASE {} SET search_path = ''").format(sql.Identifier(name)))
        if not public:
            admin.execute("DROP SCHEMA public")
    backend = PgVectorBackend(database, schema="app")
    docs = vk.VectorStore(backend).create_collection("docs", dimension=2)
    docs.add(ids=["a"], embeddings=[[1.0, 0.0]])
    assert [hit.id for hit in docs.search([1.0, 0.0])] == ["a"]
    backend.close()
