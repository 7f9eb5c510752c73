"""Text and hybrid search on Postgres, against its own full-text search on the same passages."""

import json
import lzma
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from measuring import Figure, clustered, side_by_side
from numpy.typing import NDArray

import vectorkit as vk
from vectorkit.text import analyzer
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.embedded.server import EmbeddedServer

CORPUS = Path(__file__).parents[1] / "data" / "cranfield" / "corpus.jsonl.xz"
COUNT = 100_000
INGESTED = 20_000
DIMENSION = 384
ROUNDS = 30
RAW = "raw_texts"


def figures(folder: Path) -> Iterator[Figure]:
    server = EmbeddedServer.start(str(folder / "postgres-text"))
    try:
        with vk.VectorStore(PgVectorBackend(server.conninfo)) as store:
            yield from of_store(store, server.conninfo)
    finally:
        server.close()
        while (server.path / "data" / "postmaster.pid").exists():  # it stops by and by, and its folder is removed next
            time.sleep(0.1)


def of_store(store: vk.VectorStore, conninfo: str) -> Iterator[Figure]:
    common = words_of_corpus()
    passages = made_passages(common, COUNT)
    vectors = clustered(COUNT + ROUNDS, DIMENSION, seed=1)
    rates = [loaded(store, f"ingest-{text}", passages[:INGESTED], vectors, text)[1] for text in (False, True)]
    yield Figure(f"postgres: ingest of {INGESTED:,} with a text index, over without", "rec/s", rates[1], rates[0], 0.4)
    docs, _ = loaded(store, "passages", passages, vectors, True)

    random = np.random.default_rng(3)
    content = [word for word in common if analyzer("english").words(word)]
    queries = [" ".join(random.choice(content, 5)) for _ in range(ROUNDS)]  # in proportion to how common they are
    with psycopg.connect(conninfo) as connection:
        fill_raw(connection, passages)

        def own(turn: int) -> object:
            return docs.search(queries[turn], mode="text")

        def rare(turn: int) -> object:
            return docs.search(f"id{turn * 7}", mode="text")

        five = side_by_side(own, lambda turn: ranked_by_postgres(connection, queries[turn]), ROUNDS)
        yield Figure(f"postgres: five words in {COUNT:,} passages, p50", "ms", five[0], None, 60)
        yield Figure("postgres: five words, over ts_rank of any of them", "ms", *five, 1)
        one = side_by_side(rare, lambda turn: ranked_by_postgres(connection, f"id{turn * 7}"), ROUNDS)
        yield Figure(f"postgres: a rare word in {COUNT:,} passages, p50", "ms", one[0], None, 5)
        yield Figure("postgres: a rare word, over ts_rank", "ms", *one, None)

    def hybrid(turn: int) -> object:
        return docs.search(queries[turn], mode="hybrid", vector=vectors[COUNT + turn])

    def apart(turn: int) -> object:  # what the candidates of a hybrid search are made of
        return docs.search(queries[turn], 100, mode="text"), docs.search(vectors[COUNT + turn], 100)

    yield Figure("postgres: hybrid, over text and vector apart", "ms", *side_by_side(hybrid, apart, ROUNDS), 1.2)


def words_of_corpus() -> list[str]:
    """The words of real abstracts, as often as they stand there."""
    with lzma.open(CORPUS, "rt", encoding="utf-8") as packed:
        return [word for line in packed for word in re.findall(r"\w+", json.loads(line)["text"])]


def made_passages(common: list[str], count: int) -> list[str]:
    """Passages of 100 words: common ones, as often as in real text, rare ones, and one of its own."""
    random = np.random.default_rng(2)
    pool: NDArray[Any] = np.array(common, dtype=object)
    return [
        " ".join([*random.choice(pool, 85), *(f"term{n % 200_000}" for n in random.zipf(1.3, 14)), f"id{number}"])
        for number in range(count)
    ]


def loaded(
    store: vk.VectorStore, name: str, passages: list[str], vectors: NDArray[np.float32], text: bool
) -> tuple[vk.Collection, float]:
    """A collection of the passages, with its vector index, and the records a second that it took."""
    docs = store.create_collection(name, dimension=DIMENSION, text_index=text)
    start = time.perf_counter()
    docs.add(
        ids=[f"id-{number:06}" for number in range(len(passages))],
        documents=passages,
        embeddings=vectors[: len(passages)],
    )
    return docs, len(passages) / (time.perf_counter() - start)


def fill_raw(connection: "psycopg.Connection[Any]", passages: list[str]) -> None:
    connection.execute(f"CREATE TABLE {RAW} (id text PRIMARY KEY, document text, words tsvector)".encode())
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {RAW} (id, document) FROM STDIN".encode()) as copy:
            for number, passage in enumerate(passages):
                copy.write_row((f"id-{number:06}", passage))
        cursor.execute(f"UPDATE {RAW} SET words = to_tsvector('english', document)".encode())
        cursor.execute(f"CREATE INDEX ON {RAW} USING gin (words)".encode())
    connection.commit()
    connection.autocommit = True
    connection.execute(f"VACUUM FULL ANALYZE {RAW}".encode())


def ranked_by_postgres(connection: "psycopg.Connection[Any]", query: str) -> list[tuple[Any, ...]]:
    """Ten passages that hold any of the words, by PostgreSQL's own rank."""
    return connection.execute(
        f"SELECT id, document, ts_rank(words, query) AS rank FROM {RAW}, to_tsquery('english', %s) AS query "
        "WHERE words @@ query ORDER BY rank DESC, id LIMIT 10".encode(),
        [" | ".join(query.split())],
    ).fetchall()
