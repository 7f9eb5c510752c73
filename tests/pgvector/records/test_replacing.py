"""Rule 1.7 on Postgres: a replacement is one transaction."""

import subprocess
import sys
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

import vectorkit as vk
from vectorkit_pgvector import PgVectorBackend

KILLED = """
import os, signal, sys
import vectorkit as vk
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.connections.sessions import Session

url, schema, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
backend = PgVectorBackend(url, schema=schema)
old, new = backend.open_collection("docs"), backend.open_collection("beside")
run, done = Session._execute, 0

def counted(session, statement):
    global done
    if done == steps:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1
    return run(session, statement)

Session._execute = counted
backend.replace_collection(old, new)
print(done)
"""


def test_a_process_that_dies_meanwhile_leaves_the_old_one(postgres_url: str, schema: str) -> None:
    """1.7 After whichever statement it dies, all is as before; when it does not, the new one is there."""
    store = vk.VectorStore(PgVectorBackend(postgres_url, schema=schema))
    store.create_collection("docs", dimension=2).add(ids=["old"], embeddings=[[1, 2]])
    store.create_collection("beside", dimension=3).add(ids=["new"], embeddings=[[1, 2, 3]])
    before = store.list_collections()
    steps = 0
    while True:
        command = [sys.executable, "-c", KILLED, postgres_url, schema, str(steps)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        assert store.list_collections() == before
        assert [record.id for record in store.get_collection("docs").get()] == ["old"]
        steps += 1
    assert steps == int(done.stdout) >= 4
    assert [record.id for record in store.get_collection("docs").get()] == ["new"]
    assert [info.name for info in store.list_collections()] == ["docs"]
    store.close()


def test_a_replacement_in_the_callers_transaction_is_the_callers(postgres_url: str, schema: str) -> None:
    """1.7 Rolled back, it did not happen; committed, it did."""
    for ending, names in (("rollback", ["beside", "docs"]), ("commit", ["docs"])):
        with psycopg.connect(postgres_url) as connection:
            store = vk.VectorStore(PgVectorBackend(connection=connection, schema=schema))
            docs = store.get_or_create_collection("docs", dimension=2)
            beside = store.get_or_create_collection("beside", dimension=2)
            connection.commit()
            store.backend.replace_collection(docs.info(), beside.info())
            getattr(connection, ending)()
            assert [info.name for info in store.list_collections()] == names


def test_the_registry_and_the_tables_agree_after_a_replacement(postgres_url: str, schema: str) -> None:
    """Plain SQL finds the records in the table that the registry names, and no table is left of the old one."""
    backend = PgVectorBackend(postgres_url, schema=schema)
    store = vk.VectorStore(backend)
    docs = store.create_collection("docs", dimension=2)
    beside = store.create_collection("beside", dimension=2)
    beside.add(ids=["new"], embeddings=[[1, 2]])
    info = backend.replace_collection(docs.info(), beside.info())
    store.close()
    tables: LiteralString = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
    with psycopg.connect(postgres_url) as connection:
        registry = sql.Identifier(schema, "vectorkit_collections")
        ((name,),) = connection.execute(sql.SQL("SELECT table_name FROM {}").format(registry)).fetchall()
        found = connection.execute(sql.SQL("SELECT id FROM {}").format(sql.Identifier(schema, name))).fetchall()
        assert found == [("new",)]
        assert info.location.endswith(f'"{name}"')
        assert connection.execute(tables, [schema]).fetchall() == [("vectorkit_collections",), (name,)]


@pytest.mark.parametrize("gone", ["docs", "beside"])
def test_a_replacement_of_what_is_gone_changes_nothing(store: vk.VectorStore, gone: str) -> None:
    """1.7 `CollectionNotFoundError`, and the other collection is as it was."""
    handles = {name: store.create_collection(name, dimension=2).info() for name in ("docs", "beside")}
    store.drop_collection(gone)
    with pytest.raises(vk.CollectionNotFoundError):
        store.backend.replace_collection(handles["docs"], handles["beside"])
    assert len(store.list_collections()) == 1
    assert store.list_collections()[0].name != gone
