"""On the caller's connection: in the caller's transaction, which is neither ended nor spoiled, nor is the session."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from vectorkit import (
    BackendError,
    Collection,
    CollectionExistsError,
    CollectionNotFoundError,
    DimensionMismatchError,
    DuplicateIdError,
    Record,
    RecordNotFoundError,
    VectorStore,
)
from vectorkit_pgvector import PgVectorBackend

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(postgres_url: str, store: VectorStore) -> Iterator[Connection]:
    """A connection as `psycopg.connect` makes it; the schema and one collection exist."""
    store.create_collection("docs", dimension=2).add(ids=["a"], documents=["first"], embeddings=[[1, 2]])
    with psycopg.connect(postgres_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def docs(connection: Connection, schema: str) -> Collection:
    """The collection, through that connection; the transaction is committed."""
    docs = VectorStore(PgVectorBackend(connection=connection, schema=schema)).get_collection("docs")
    connection.commit()
    return docs


def status(connection: Connection) -> TransactionStatus:
    return connection.info.transaction_status


def test_vectors_and_rows_of_the_application_commit_together(
    connection: Connection, docs: Collection, store: VectorStore, schema: str
) -> None:
    """3.7 One transaction over both; before its end, no one else sees either."""
    connection.execute(f"CREATE TABLE {schema}.articles (id text PRIMARY KEY, title text)".encode())
    connection.commit()
    others = store.get_collection("docs")

    for outcome, seen in ((connection.rollback, 1), (connection.commit, 2)):
        connection.execute(f"INSERT INTO {schema}.articles VALUES ('b', 'Second')".encode())
        docs.add(ids=["b"], documents=["second"], embeddings=[[2, 1]])
        assert docs.count() == 2
        assert others.count() == 1
        joined = connection.execute(
            f"SELECT title, document FROM {schema}.articles JOIN {docs.info().location} USING (id)".encode()
        )
        assert joined.fetchall() == [("Second", "second")]
        outcome()
        assert others.count() == docs.count() == seen
        assert connection.execute(f"SELECT count(*) FROM {schema}.articles".encode()).fetchone() == (seen - 1,)
        connection.commit()


APPLICATION = """
CREATE TABLE {schema}.authors (name text PRIMARY KEY, articles int NOT NULL DEFAULT 0);
CREATE TABLE {schema}.articles (
    id text PRIMARY KEY REFERENCES {records} DEFERRABLE INITIALLY DEFERRED,
    author text NOT NULL REFERENCES {schema}.authors,
    title text NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED,
    price numeric NOT NULL CHECK (price >= 0)
);
INSERT INTO {schema}.authors VALUES ('Ada'), ('Bob');
"""


@pytest.fixture
def application(connection: Connection, docs: Collection, schema: str) -> Callable[..., None]:
    """Publishes an article of a real application: a row, a count in another table, and a record with its vector."""
    connection.execute(APPLICATION.format(schema=schema, records=docs.info().location).encode())
    connection.commit()

    def publish(id: str, title: str = "", price: int = 1, author: str = "Ada", vector: Any = (1, 2)) -> None:
        connection.execute(
            f"INSERT INTO {schema}.articles VALUES (%s, %s, %s, %s)".encode(), [id, author, title or id, 0]
        )
        docs.add(ids=[id], documents=[f"text of {id}"], embeddings=[vector], metadatas=[{"author": author}])
        connection.execute(f"UPDATE {schema}.articles SET price = %s WHERE id = %s".encode(), [price, id])
        connection.execute(f"UPDATE {schema}.authors SET articles = articles + 1 WHERE name = %s".encode(), [author])
        connection.commit()

    return publish


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"vector": [1, 2, 3]}, DimensionMismatchError),  # before anything is sent
        ({"id": "a"}, DuplicateIdError),  # the store refuses it
        ({"price": -1}, psycopg.errors.CheckViolation),  # the application's table does, after the vector
        ({"author": "Eve"}, psycopg.errors.ForeignKeyViolation),
        ({"title": "one"}, psycopg.errors.UniqueViolation),  # at COMMIT alone
    ],
    ids=["vector", "id", "price", "author", "title"],
)
def test_an_application_that_fails_anywhere_leaves_neither_row_nor_vector(
    connection: Connection,
    docs: Collection,
    schema: str,
    application: Callable[..., None],
    wrong: dict[str, Any],
    error: type[Exception],
) -> None:
    """3.7 Whoever refuses it, and when: what plain SQL joins afterwards is what was committed as a whole."""
    application("one", price=5)
    with pytest.raises(error):
        application(**{"id": "two", **wrong})
    connection.rollback()
    application("three", price=7, author="Bob")
    joined = connection.execute(
        f"""
        SELECT article.id, price, stored.document, stored.metadata ->> 'author', articles
        FROM {schema}.articles AS article JOIN {docs.info().location} AS stored USING (id)
        JOIN {schema}.authors AS author ON author.name = article.author
        WHERE stored.metadata @> '{{"author": "Ada"}}' OR price > 6
        ORDER BY stored.embedding <-> '[1, 2]', article.id
        """.encode()
    )
    assert joined.fetchall() == [("one", 5, "text of one", "Ada", 1), ("three", 7, "text of three", "Bob", 1)]
    assert connection.execute(f"SELECT count(*) FROM {schema}.articles".encode()).fetchone() == (2,)
    assert [record.id for record in docs.get()] == ["a", "one", "three"]


def test_a_foreign_key_of_the_applications_holds(
    connection: Connection, docs: Collection, application: Callable[..., None], schema: str
) -> None:
    """8.2 A record that a row refers to is not deleted alone; with the row it is, in one transaction."""
    application("one")
    docs.delete(["one"])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):  # deferred to the caller's own COMMIT
        connection.commit()
    assert docs.count() == 2
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(BackendError, match="articles"):
        docs.delete(["one"])
    assert docs.count() == 2
    connection.execute(f"DELETE FROM {schema}.articles WHERE id = 'one'".encode())
    assert docs.delete(["one"]) == 1
    connection.commit()
    assert docs.count() == 1


def test_the_example_of_one_transaction_says_what_is_stored(database: str) -> None:
    """3.7 `examples/own_transaction.py`, as the README has it run."""
    script = Path(__file__).parents[3] / "examples" / "own_transaction.py"
    done = subprocess.run([sys.executable, script, database], check=True, capture_output=True, text=True, timeout=60)
    for line in (
        "published: Bread, Pizza, Chess, Cake; 4 vectors",
        'refused by the table: new row for relation "articles" violates check constraint',
        "refused by the store: the document of record '6' holds a lone surrogate",
        "neither of them is anywhere: Bread, Pizza, Chess, Cake; 4 vectors",
        "  Bread    12.50  0.",
        "'Pizza' retracted: Bread, Chess, Cake; 3 vectors",
    ):
        assert f"\n{line}" in f"\n{done.stdout}"
    with psycopg.connect(database) as connection:
        gone = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'vectorkit_example'")
        assert gone.fetchone() == (0,)


def test_a_collection_created_in_a_transaction_goes_with_it(
    connection: Connection, docs: Collection, schema: str
) -> None:
    """3.7 Also the extension, the schema and the registry; a handle to it is stale then (1.6)."""
    mine = VectorStore(PgVectorBackend(connection=connection, schema=schema))
    made = mine.create_collection("made", dimension=2)
    made.add(ids=["x"], embeddings=[[1, 2]])
    connection.rollback()
    with pytest.raises(CollectionNotFoundError):
        made.count()
    assert [info.name for info in mine.list_collections()] == ["docs"]
    mine.create_collection("made", dimension=2).upsert(ids=["x"], embeddings=[[1, 2]])
    connection.commit()
    mine.drop_collection("made")
    connection.rollback()
    assert mine.get_collection("made").count() == 1


def test_everything_works_where_nothing_is_committed_yet(database: str) -> None:
    """3.7 In a database without the extension: all of it is made, used, and undone, twice."""
    with psycopg.connect(database) as connection:
        store = VectorStore(PgVectorBackend(connection=connection))
        for _ in range(2):
            assert store.list_collections() == []
            docs = store.create_collection("docs", dimension=2)
            docs.upsert(ids=["a"], embeddings=[[1, 2]])
            assert [hit.id for hit in docs.search([1, 2])] == ["a"]
            connection.rollback()
            assert connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").fetchone() == (0,)
            with pytest.raises(CollectionNotFoundError):
                docs.count()
            connection.rollback()


def test_a_failed_call_leaves_the_transaction_usable(connection: Connection, docs: Collection, schema: str) -> None:
    """3.7 What was done before the call and after it is there."""
    mine = VectorStore(PgVectorBackend(connection=connection, schema=schema))
    gone = mine.create_collection("gone", dimension=2)
    mine.drop_collection("gone")
    connection.execute("CREATE TEMP TABLE notes (text text)")
    connection.execute("INSERT INTO notes VALUES ('before')")

    def failing() -> Iterator[Record]:
        for number in range(2500):
            yield Record(f"n{number}", embedding=[1, 2])
        raise OSError("the input ended")

    docs.add(ids=["c"], embeddings=[[3, 4]])
    for error, call in (
        (DuplicateIdError, lambda: docs.add(ids=["b", "a"], embeddings=[[1, 2], [1, 2]])),
        (RecordNotFoundError, lambda: docs.update(ids=["b"], metadatas=[{}])),
        (CollectionExistsError, lambda: mine.create_collection("docs", dimension=2)),
        (CollectionNotFoundError, lambda: mine.get_collection("none")),
        (CollectionNotFoundError, gone.count),
        (CollectionNotFoundError, lambda: gone.search([1, 2])),
        (CollectionNotFoundError, lambda: gone.add(ids=["b"], embeddings=[[1, 2]])),
        (OSError, lambda: docs.add(records=failing())),
        (OSError, lambda: docs.upsert(records=failing())),
    ):
        with pytest.raises(error):
            call()
        assert status(connection) == TransactionStatus.INTRANS
        assert docs.count() == 2
    connection.execute("INSERT INTO notes VALUES ('after')")
    connection.commit()
    assert connection.execute("SELECT count(*) FROM notes").fetchone() == (2,)
    assert [record.id for record in docs.get()] == ["a", "c"]


def test_a_transaction_that_failed_before_is_said_to_have_failed(connection: Connection, docs: Collection) -> None:
    """8.3 The message says to roll it back."""
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1/0")
    with pytest.raises(BackendError, match="roll it back"):
        docs.count()
    connection.rollback()
    assert docs.count() == 1


def test_in_autocommit_mode_each_call_is_its_own_transaction(
    postgres_url: str, connection: Connection, store: VectorStore, schema: str
) -> None:
    """3.7 And in a transaction that the caller began there, part of it."""
    others = store.get_collection("docs")
    with psycopg.connect(postgres_url, autocommit=True) as mine:
        docs = VectorStore(PgVectorBackend(connection=mine, schema=schema)).get_collection("docs")
        docs.add(ids=["b"], embeddings=[[2, 1]])
        assert others.count() == 2
        with pytest.raises(DuplicateIdError):
            docs.add(ids=["c", "b"], embeddings=[[2, 1], [2, 1]])
        assert status(mine) == TransactionStatus.IDLE
        with mine.transaction(force_rollback=True):
            docs.delete(["b"])
            assert docs.count() == 1
            assert others.count() == 2
        assert docs.count() == 2


def test_the_session_is_left_as_it_was(connection: Connection, docs: Collection) -> None:
    """3.7 Settings, prepared statements, adapters, row factory: also within the transaction, after any call."""
    connection.row_factory = dict_row
    connection.adapters.register_loader("jsonb", TextLoader)
    docs.upsert(ids=[f"{n}" for n in range(50)], embeddings=np.arange(2, 102).reshape(50, 2))
    connection.execute("SET hnsw.ef_search = 55")
    connection.execute("PREPARE kept AS SELECT 1 AS one")

    def state() -> tuple[object, ...]:
        settings = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name !~ '^(transaction_|in_hot_standby)' ORDER BY name"
        ).fetchall()
        prepared = connection.execute("SELECT name FROM pg_prepared_statements WHERE from_sql")
        return settings, prepared.fetchall(), connection.autocommit, connection.row_factory

    before = state()
    for _ in range(8):  # often enough for statements to be prepared
        for exact in (None, True, False):
            assert docs.search([1, 2], k=3, where={"x": None}, exact=exact)[0].id == "a"
        docs.count()
        docs.get(["a"])
        docs.update(ids=["a"], metadatas=[None])
        list(docs.scan(batch_size=20))
    assert state() == before
    assert connection.execute("EXECUTE kept").fetchone() == {"one": 1}
    assert docs.search([1, 2])[0].document == "first"


def test_one_connection_serves_many_threads_in_turn(docs: Collection) -> None:
    """9.3 A call of another thread waits for the one under way."""
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            for step in range(10):
                docs.upsert(ids=[f"{number}", f"{number}-{step}"], embeddings=[[1, number], [2, number]])
                assert docs.search([1, number], k=1)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert docs.count() == 1 + 8 * 11


def test_a_stream_may_come_from_the_same_connection(docs: Collection, connection: Connection, schema: str) -> None:
    """3.1 Read by pages, written by batches, both in one transaction."""
    docs.upsert(ids=[f"{n:05}" for n in range(2500)], embeddings=np.ones((2500, 2)))
    copy = VectorStore(PgVectorBackend(connection=connection, schema=schema)).create_collection("copy", dimension=2)
    copy.add(records=docs.scan(include_embeddings=True))
    copy.upsert(records=docs.scan(include_embeddings=True))
    assert copy.count() == 2501
    connection.rollback()


def test_an_encoding_that_cannot_hold_every_text_is_refused(connection: Connection, docs: Collection) -> None:
    """8.3 The connection is the caller's: it is not changed, the message says how to."""
    connection.execute("SET client_encoding TO 'LATIN1'")
    with pytest.raises(BackendError, match="UTF8"):
        docs.get(["日本語"])
    connection.execute("SET client_encoding TO 'UTF8'")
    assert docs.get(["日本語"]) == []


def test_a_connection_in_pipeline_mode_is_refused(connection: Connection, docs: Collection) -> None:
    """8.3 Results that come late cannot be returned."""
    with connection.pipeline(), pytest.raises(BackendError, match="pipeline"):
        docs.delete(["a"])
    assert docs.count() == 1


def test_the_search_path_is_the_callers_business(connection: Connection, docs: Collection) -> None:
    """3.7 Types and operators are found with an empty one."""
    connection.execute("SET LOCAL search_path TO ''")
    docs.upsert(ids=["b"], embeddings=[[2, 1]], metadatas=[{"x": [1]}])
    docs.update(ids=["b"], embeddings=[[2, 2]])
    for exact in (None, True, False):
        assert docs.search([2, 2], k=1, where={"x": {"$contains": 1}}, exact=exact)[0].id == "b"
    assert docs.delete(["b"]) == 1
