"""Tables, registry and extension: how they come about, who may make them, and what plain SQL reads of them."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from vectorkit import (
    BackendError,
    BackendPermissionError,
    CollectionNotFoundError,
    UnsupportedError,
    VectorStore,
)
from vectorkit.backend.requests import VectorSearch
from vectorkit.embedders import HashEmbedder
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.collections.catalog import not_installed

Connection = psycopg.Connection[Any]


def test_a_collection_is_a_table_that_plain_sql_reads(store: VectorStore, admin: Connection, schema: str) -> None:
    """1.2 Columns id, document, metadata and embedding; the registry says which table, made with what."""
    embedder = HashEmbedder(8)
    docs = store.create_collection("My-docs_1", embedder=embedder, metric="l2", index="none")
    docs.add(
        ids=["a"],
        documents=["text"],
        metadatas=[{"year": 2024, "tags": ["x"]}],
        embeddings=[[1, 2.5, -3, 0, 0, 0, 0, 0]],
    )
    registry = admin.execute(
        sql.SQL(
            "SELECT name, table_name, metric, dimension, embedder->>'model', language, text_index, vector_index, "
            "schema_version, created_at <= now() FROM {}.vectorkit_collections"
        ).format(sql.Identifier(schema))
    ).fetchall()
    assert len(registry) == 1
    name, table, *rest = registry[0]
    assert (name, rest) == ("My-docs_1", ["l2", 8, embedder.identity.model, "english", False, "none", 1, True])
    assert docs.info().location == f'"{schema}"."{table}"'
    row = admin.execute(
        sql.SQL("SELECT id, document, metadata->>'year', embedding::text, pg_typeof(embedding)::text FROM {}").format(
            sql.Identifier(schema, table)
        )
    ).fetchone()
    assert row == ("a", "text", "2024", "[1,2.5,-3,0,0,0,0,0]", "vector")


@pytest.mark.parametrize("name", ["a" + "-" * 46 + "z", "Select", "A_b", "123"])
def test_any_name_makes_a_table(store: VectorStore, name: str) -> None:
    """1.1 The longest, key words, digits; names that differ in case are two tables."""
    docs = store.create_collection(name, dimension=1)
    other = store.create_collection(name.swapcase() + "x" if len(name) < 48 else "B" + name[1:], dimension=1)
    docs.add(ids=["a"], embeddings=[[1]])
    assert (docs.count(), other.count()) == (1, 0)
    assert len(docs.info().location.split('"')[3].encode()) <= 63
    store.drop_collection(name)
    assert other.count() == 0


def test_many_processes_create_the_same_collection_at_once(database: str) -> None:
    """1.3 In a database that has neither extension nor registry: one of them makes it, no call fails otherwise."""
    script = f"""
import sys
from vectorkit import CollectionExistsError, VectorStore
from vectorkit_pgvector import PgVectorBackend
with VectorStore(PgVectorBackend({database!r}, schema="made")) as store:
    sys.stdin.readline()
    try:
        store.create_collection("docs", dimension=2)
        print("made")
    except CollectionExistsError:
        print("exists")
    for number in range(5):
        store.get_or_create_collection(f"docs-{{number}}", dimension=2).add(embeddings=[[1, 2]])
"""
    command = [sys.executable, "-c", script]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    processes = [subprocess.Popen(command, **pipes) for _ in range(6)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in answers] == [""] * 6
    assert sorted(answer.strip() for answer, _ in answers) == ["exists"] * 5 + ["made"]
    with VectorStore(PgVectorBackend(database, schema="made")) as store:
        assert [info.name for info in store.list_collections()] == ["docs", *(f"docs-{n}" for n in range(5))]
        assert all(store.get_collection(f"docs-{n}").count() == 6 for n in range(5))


def test_a_stale_handle_never_reaches_the_collection_made_since(store: VectorStore) -> None:
    """1.6 Every method of it, through a backend that has statements prepared."""
    stale = store.create_collection("docs", dimension=2)
    stale.add(ids=["a"], embeddings=[[1, 2]])
    for _ in range(8):
        stale.search([1, 2])
        stale.count()
    store.drop_collection("docs")
    fresh = store.create_collection("docs", dimension=2)
    calls: list[Callable[[], object]] = [
        lambda: stale.add(ids=["b"], embeddings=[[1, 2]]),
        lambda: stale.add(records=iter([])),
        lambda: stale.upsert(ids=["b"], embeddings=[[1, 2]]),
        lambda: stale.upsert(records=iter([])),
        lambda: stale.update(ids=["a"], metadatas=[{}]),
        lambda: stale.get(["a"]),
        stale.get,
        lambda: next(stale.scan()),
        stale.count,
        lambda: stale.delete(["a"]),
        lambda: stale.search([1, 2]),
        lambda: stale.search([1, 2], exact=True),
        lambda: stale.search([1, 2], exact=False),
    ]
    for call in calls:
        with pytest.raises(CollectionNotFoundError, match="dropped"):
            call()
    assert fresh.count() == 0


def test_a_schema_that_is_gone_takes_its_collections_along(store: VectorStore, admin: Connection, schema: str) -> None:
    """1.6 And can be made anew by the same store."""
    docs = store.create_collection("docs", dimension=2)
    admin.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
    for call in (docs.count, lambda: docs.add(ids=["a"], embeddings=[[1, 2]]), lambda: store.get_collection("docs")):
        with pytest.raises(CollectionNotFoundError):
            call()
    assert store.list_collections() == []
    store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])


def test_reading_makes_nothing(database: str) -> None:
    """1.3 Neither the extension nor the registry."""
    with VectorStore(PgVectorBackend(database)) as store:
        assert store.list_collections() == []
        with pytest.raises(CollectionNotFoundError):
            store.get_collection("docs")
        store.drop_collection("docs", missing_ok=True)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


# --- the extension ----------------------------------------------------------------------------------------------


def test_where_the_extension_is_denied_the_line_to_run_is_said(database: str, role: str) -> None:
    """8.3 One line for an administrator; after it, the same call works without any right beyond the schema's."""
    url = make_conninfo(database, user=role, password="secret")
    with psycopg.connect(database, autocommit=True) as admin, VectorStore(PgVectorBackend(url)) as store:
        admin.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(role)))
        with pytest.raises(BackendPermissionError, match="CREATE EXTENSION vector;") as caught:
            store.create_collection("docs", dimension=2)
        assert role in str(caught.value)
        admin.execute("CREATE EXTENSION vector")
        docs = store.create_collection("docs", dimension=2)
        docs.add(ids=["a"], embeddings=[[1, 2]])
        assert docs.search([1, 2])[0].id == "a"
        admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))


def test_without_rights_on_the_schema_there_is_no_permission(database: str, role: str) -> None:
    """8.1 The message names the schema."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION vector")
        url = make_conninfo(database, user=role, password="secret")
        with VectorStore(PgVectorBackend(url)) as store:
            with pytest.raises(BackendPermissionError, match="schema public"):
                store.create_collection("docs", dimension=2)
            assert store.list_collections() == []
        with VectorStore(PgVectorBackend(url, schema="own")) as store, pytest.raises(BackendPermissionError):
            store.create_collection("docs", dimension=2)


def test_without_right_to_a_table_there_is_no_permission(
    store: VectorStore, postgres_url: str, role: str, schema: str, admin: Connection
) -> None:
    """8.1 Not to the collection's records, while the registry may be read."""
    docs = store.create_collection("docs", dimension=2)
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    admin.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
    admin.execute(sql.SQL("GRANT SELECT ON {schema}.vectorkit_collections TO {role}").format(**names))
    url = make_conninfo(postgres_url, user=role, password="secret")
    with VectorStore(PgVectorBackend(url, schema=schema)) as others:
        theirs = others.get_collection("docs")
        for call in (theirs.count, lambda: theirs.search([1, 2]), lambda: theirs.add(ids=["a"], embeddings=[[1, 2]])):
            with pytest.raises(BackendPermissionError, match="grant"):
                call()
    assert docs.count() == 0


def test_where_pgvector_is_not_installed_it_is_said_how_to(database: str) -> None:
    """8.3 The server does not have the extension's files: they are looked for elsewhere here."""
    with psycopg.connect(database, autocommit=True) as admin:
        if admin.info.server_version < 180000:
            pytest.skip("extension_control_path came with PostgreSQL 18")
        name, major = sql.Identifier(admin.info.dbname), admin.info.server_version // 10_000
        admin.execute(sql.SQL("ALTER DATABASE {} SET extension_control_path = '/nonexistent'").format(name))
    said = f"pgvector/pgvector:pg{major}, .*postgresql-{major}-pgvector"
    with VectorStore(PgVectorBackend(database)) as store, pytest.raises(BackendError, match=said):
        store.create_collection("docs", dimension=2)


@pytest.mark.parametrize(("server_version", "major"), [(150017, 15), (170005, 17), (180004, 18)])
def test_the_package_that_is_missing_is_of_the_servers_version(server_version: int, major: int) -> None:
    """8.3 Whatever the server's version, the message names the files made for it."""
    said = str(not_installed(server_version))
    assert f"pgvector/pgvector:pg{major}," in said
    assert f"(postgresql-{major}-pgvector)" in said


def test_the_extension_may_be_in_any_schema(database: str) -> None:
    """1.2 As managed services have it, off the search path, under a name that needs quotes."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute('CREATE SCHEMA "my Ext"; CREATE EXTENSION vector SCHEMA "my Ext"')
    with VectorStore(PgVectorBackend(database, schema='odd "name"')) as store:
        for metric in ("cosine", "l2", "ip"):
            docs = store.create_collection(f"docs-{metric}", dimension=2, metric=metric)
            docs.upsert(ids=["a", "b"], embeddings=[[1, 2], [2, 1]])
            docs.update(ids=["a"], embeddings=[[1, 3]])
            for exact in (None, True, False):
                assert docs.search([1, 3], k=1, exact=exact, include_embeddings=True)[0].id == "a"


def test_an_old_pgvector_is_searched_exactly_or_refused(database: str) -> None:
    """6.1 Before 0.8 a scan of the index cannot go on: every search is exact. Before 0.7 nothing is promised."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION vector")
        admin.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
        with VectorStore(PgVectorBackend(database)) as store:
            docs = store.create_collection("docs", dimension=2)
            docs.add(ids=["a", "b"], embeddings=[[1, 2], [2, 1]])
            (found,) = store.backend.search(
                docs.info(), VectorSearch(np.array([[1, 2]], dtype=np.float32), 1, exact=False)
            )
            assert found.exact
        admin.execute("UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'")
        with VectorStore(PgVectorBackend(database)) as store, pytest.raises(UnsupportedError, match="vector UPDATE;"):
            store.create_collection("more", dimension=2)


def test_a_database_of_another_encoding_is_refused(make_database: Callable[..., str]) -> None:
    """2.6 It could not hold every text."""
    url = make_database("ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    with VectorStore(PgVectorBackend(url)) as store, pytest.raises(UnsupportedError, match="UTF8"):
        store.create_collection("docs", dimension=2)


def test_tables_of_a_newer_release_are_not_touched(store: VectorStore, admin: Connection, schema: str) -> None:
    """8.3 The message says to update."""
    store.create_collection("docs", dimension=2)
    admin.execute(sql.SQL("UPDATE {}.vectorkit_collections SET schema_version = 99").format(sql.Identifier(schema)))
    for call in (lambda: store.get_collection("docs"), store.list_collections, lambda: store.drop_collection("docs")):
        with pytest.raises(BackendError, match="newer release"):
            call()
