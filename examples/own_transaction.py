"""Rows of your application and their vectors in one transaction: either both are stored, or neither is.

    python examples/own_transaction.py postgresql://user:password@host/database

With `PgVectorBackend(connection=…)` everything takes place on your connection and in your transaction, and nothing is
committed but by you. A collection is a table, so plain SQL joins it with yours. What this makes is in a schema of its
own, `vectorkit_example`, and gone at the end. Needs `pip install 'vectorkit-db[pgvector]'`.
"""

import sys
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit_pgvector import PgVectorBackend

SCHEMA = "vectorkit_example"
Connection: TypeAlias = psycopg.Connection[Any]

TABLE = f"""
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.articles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL UNIQUE,
    author text NOT NULL,
    price numeric(8, 2) NOT NULL CHECK (price >= 0)
)
"""


@dataclass(frozen=True)
class Article:
    title: str
    author: str
    price: float
    text: str


ARTICLES = [
    Article("Bread", "Ada", 12.5, "A sourdough starter is flour and water; wild yeast makes the dough rise overnight."),
    Article("Pizza", "Bob", 9.0, "Let the dough rise in the cold for two days, then bake it on a very hot stone."),
    Article(
        "Chess", "Ada", 30.0, "Control the centre of the board, develop the knights, and castle before you attack."
    ),
    Article("Cake", "Eve", 55.0, "Beat butter and sugar, fold in flour, and bake the dough for forty minutes."),
]
FREE_LUNCH = Article("Lunch", "Bob", -1.0, "The price of this dough breaks the table's rule.")
LONE_SURROGATE = Article("Broken", "Eve", 5.0, "This text was cut in the middle of a character: \ud83d")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/own_transaction.py postgresql://user:password@host/database")
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        store = vk.VectorStore(PgVectorBackend(connection=connection, schema=SCHEMA))
        with connection.transaction():  # the table and the collection, both or neither
            connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())
            connection.execute(TABLE.encode())
            docs = store.create_collection("articles", embedder=HashEmbedder())  # or SentenceTransformerEmbedder()
        register_vector(connection)

        for article in ARTICLES:
            publish(connection, docs, article)
        show(connection, docs, "published")

        try:
            publish(connection, docs, FREE_LUNCH)
        except errors.CheckViolation as error:
            print(f"\nrefused by the table: {error.diag.message_primary}")
        try:
            publish(connection, docs, LONE_SURROGATE)
        except vk.InvalidArgumentError as error:
            print(f"refused by the store: {error}")
        show(connection, docs, "neither of them is anywhere")

        print("\n'how does dough rise', below 20.00, in plain SQL:")
        for title, price, score in cheap_and_near(connection, docs, "how does dough rise", 20):
            print(f"  {title:<8}{price:>6}  {score:.3f}")

        retract(connection, docs, "Pizza")
        show(connection, docs, "'Pizza' retracted")
        connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE".encode())


def publish(connection: Connection, docs: vk.Collection, article: Article) -> None:
    """Store an article and its vector, or neither."""
    with connection.transaction():
        cursor = connection.execute(
            f"INSERT INTO {SCHEMA}.articles (title, author, price) VALUES (%s, %s, 0) RETURNING id".encode(),
            [article.title, article.author],
        )
        ((id,),) = cursor.fetchall()
        docs.add(ids=[str(id)], documents=[article.text], metadatas=[{"author": article.author}])
        # What fails after the vector was written takes it along.
        connection.execute(f"UPDATE {SCHEMA}.articles SET price = %s WHERE id = %s".encode(), [article.price, id])


def retract(connection: Connection, docs: vk.Collection, title: str) -> None:
    """Delete an article and its vector."""
    with connection.transaction():
        cursor = connection.execute(
            f"DELETE FROM {SCHEMA}.articles WHERE title = %s RETURNING id::text".encode(), [title]
        )
        docs.delete([id for (id,) in cursor.fetchall()])


def cheap_and_near(connection: Connection, docs: vk.Collection, query: str, below: float) -> list[tuple[Any, ...]]:
    """Title, price and score of the articles nearest to a query: their rows and their vectors in one JOIN."""
    assert docs.embedder is not None
    statement = (
        "SELECT title, price, 1 - (embedding <=> %(query)s) AS score "
        f"FROM {SCHEMA}.articles AS article JOIN {docs.info().location} AS stored ON stored.id = article.id::text "
        "WHERE price < %(below)s ORDER BY embedding <=> %(query)s LIMIT 3"
    )
    return connection.execute(
        statement.encode(), {"query": docs.embedder.embed_query(query), "below": below}
    ).fetchall()


def show(connection: Connection, docs: vk.Collection, what: str) -> None:
    titles = connection.execute(f"SELECT title FROM {SCHEMA}.articles ORDER BY id".encode()).fetchall()
    print(f"{what}: {', '.join(title for (title,) in titles)}; {docs.count()} vectors")


if __name__ == "__main__":
    main()
