"""Searching Postgres, against raw psycopg doing the same: prepared, in binary, building the same objects."""

import json
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import psycopg
from measuring import Figure, clustered, seconds, side_by_side, texts
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg_pool import ConnectionPool

import vectorkit as vk

COUNT: Final = 50_000
DIMENSION: Final = 384
QUERIES: Final = 200
SETTINGS: Final = {"hnsw.ef_search": "200", "hnsw.iterative_scan": "relaxed_order"}  # as ours, for the same recall
SELECTIVITIES: Final[dict[str, dict[str, int]]] = {
    "10%": {"tenth": 3},
    "1%": {"hundredth": 33},
    "0.1%": {"thousandth": 333},
}
THREADS: Final = 8

Search = Callable[[int], list[vk.Hit]]


class Vector(bytes):
    """A vector in pgvector's binary format, sent as it is."""


class VectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Vector) -> bytes:
        return obj


def figures(folder: Path) -> Iterator[Figure]:
    url = f"postgresql+embedded:{folder / 'postgres'}"
    with vk.connect(url) as store:
        yield from of_few(store)
        vectors = clustered(COUNT + QUERIES, DIMENSION, seed=1)
        queries = vectors[COUNT:]
        collection = filled(store, vectors[:COUNT])
        with psycopg.connect(conninfo(store), autocommit=True) as connection:
            prepare(connection)
            connection.execute(f"VACUUM ANALYZE {collection.info().location}".encode())
            yield from of_one(collection, connection, queries)
            yield from of_filters(collection, connection, queries)
            yield of_many(collection, queries)
            yield of_threads(collection, conninfo(store), queries)


def of_few(store: vk.VectorStore) -> Iterator[Figure]:
    for dimension in (384, 1536):
        collection = store.create_collection(f"few-{dimension}", dimension=dimension)
        collection.add(
            ids=[f"id-{n}" for n in range(2000)],
            embeddings=clustered(2000, dimension, seed=1),
            documents=texts(2000),
            metadatas=[{"topic": f"t{n % 7}", "number": n, "weight": n / 3} for n in range(2000)],
        )
        queries = clustered(60, dimension, seed=2)
        taken, _ = side_by_side(partial(searched, collection, queries), lambda _: None, rounds=50)
        yield Figure(f"postgres: search of 2,000 x {dimension}, p50", "ms", taken, None, goal=10)


def filled(store: vk.VectorStore, vectors: Any) -> vk.Collection:
    collection = store.create_collection("search", dimension=DIMENSION)
    collection.add(
        ids=[f"id-{n}" for n in range(COUNT)],
        embeddings=vectors,
        documents=texts(COUNT),
        metadatas=[
            {"topic": f"t{n % 7}", "number": n, "tenth": n % 10, "hundredth": n % 100, "thousandth": n % 1000}
            for n in range(COUNT)
        ],
    )
    return collection


def of_one(collection: vk.Collection, connection: "psycopg.Connection[Any]", queries: Any) -> Iterator[Figure]:
    queries = np.tile(queries, (5, 1))  # the median of fewer varies by a tenth
    ours, raw = partial(searched, collection, queries), nearest(connection, collection.info().location, queries)
    times = side_by_side(ours, raw, rounds=len(queries))
    yield Figure(f"postgres: search k=10 of {COUNT:,} x {DIMENSION}, p50", "ms", *times, goal=1.10)
    more = median(cpu(ours) - cpu(raw) for _ in range(9))
    yield Figure("postgres: its CPU in the client, beyond raw", "µs", more, None, goal=60)
    recall = collection.recall()
    yield Figure("postgres: its recall@10", "recall", recall.mean, None, goal=0.99)


def cpu(search: Search) -> float:
    """Microseconds that the client is busy in one of many searches."""
    start = time.thread_time()
    for turn in range(QUERIES):
        search(turn)
    return (time.thread_time() - start) / QUERIES * 1e6


def of_filters(collection: vk.Collection, connection: "psycopg.Connection[Any]", queries: Any) -> Iterator[Figure]:
    """Against a statement that gives the same guarantee: exact where at most 2,000 match, else full k by the index."""
    for share, where in SELECTIVITIES.items():
        raw = guaranteed(connection, collection.info().location, queries, where)
        times = side_by_side(partial(searched, collection, queries, where=where), raw, rounds=60)
        yield Figure(f"postgres: search k=10, filter {share}, p50", "ms", *times, goal=1.25)
        recall = collection.recall(where=where)
        yield Figure(f"postgres: its recall@10, filter {share}", "recall", recall.mean, None, goal=0.99)


def of_many(collection: vk.Collection, queries: Any) -> Figure:
    some = queries[:100]
    rates: list[tuple[float, float]] = []
    for _ in range(5):
        singly = seconds(lambda: [collection.search(query) for query in some])
        together = seconds(lambda: collection.search_many(some))
        rates.append((100 / together, 100 / singly))
    ours, raw = sorted(rates, key=lambda pair: pair[0] / pair[1])[2]
    return Figure("postgres: search_many(100), against one at a time", "rec/s", ours, raw, goal=1.35)


def of_threads(collection: vk.Collection, url: str, queries: Any) -> Figure:
    """Searches a second of eight threads, against eight on a pool of psycopg's."""
    arguments = {"autocommit": True}
    with (
        ConnectionPool[Any](url, min_size=THREADS, max_size=THREADS, kwargs=arguments, configure=prepare) as pool,
        ThreadPoolExecutor(THREADS) as threads,
    ):

        def raw(turn: int) -> list[vk.Hit]:
            with pool.connection() as connection:
                return nearest(connection, collection.info().location, queries)(turn)

        def every(search: Search) -> None:
            list(threads.map(search, range(QUERIES)))

        ours = partial(searched, collection, queries)
        every(ours)
        every(raw)
        rates: list[tuple[float, float]] = []
        for _ in range(5):
            taken = [seconds(partial(every, search)) for search in (ours, raw)]
            rates.append((QUERIES / taken[0], QUERIES / taken[1]))
        one, other = sorted(rates, key=lambda pair: pair[0] / pair[1])[2]
        return Figure(f"postgres: search by {THREADS} threads", "rec/s", one, other, goal=0.93)


def searched(
    collection: vk.Collection, queries: Any, turn: int, *, where: dict[str, int] | None = None
) -> list[vk.Hit]:
    return collection.search(queries[turn], where=where)


# --- raw --------------------------------------------------------------------------------------------------------


def conninfo(store: vk.VectorStore) -> str:
    """Where the embedded server is."""
    return str(store.backend._sessions._source._open()[0])  # type: ignore[attr-defined]  # pyright: ignore


def prepare(connection: "psycopg.Connection[Any]") -> None:
    connection.adapters.register_dumper(Vector, VectorDumper)
    for name, value in SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])


def packed(query: Any) -> Vector:
    return Vector(struct.pack(">hh", DIMENSION, 0) + query.astype(">f4").tobytes())


def nearest(connection: "psycopg.Connection[Any]", table: str, queries: Any) -> Search:
    statement = (
        f"SELECT id, document, metadata, embedding <=> $1::vector FROM {table} "
        "ORDER BY embedding <=> $1::vector LIMIT 10"
    ).encode()
    cursor = psycopg.RawCursor(connection)

    def search(turn: int) -> list[vk.Hit]:
        cursor.execute(statement, [packed(queries[turn])], prepare=True, binary=True)
        return [hit(*row) for row in cursor]

    return search


def guaranteed(connection: "psycopg.Connection[Any]", table: str, queries: Any, where: Any) -> Search:
    """First count, up to one more than 2,000; then by the index or exactly. Planned for this filter each time."""
    counted = f"SELECT count(*) FROM (SELECT FROM {table} WHERE metadata @> $1::jsonb LIMIT 2001) AS some_"
    rest = f"FROM {table} WHERE metadata @> $2::jsonb ORDER BY"
    columns = "SELECT id, document, metadata, embedding <=> $1::vector AS distance"
    by_index = (
        f"{columns} {rest} embedding <=> $1::vector LIMIT 10"  # the quickest; right as far as the scan is in order
    )
    exactly = f"{columns} {rest} (embedding <=> $1::vector) + 0, id LIMIT 10"
    cursor = psycopg.RawCursor(connection)
    operand = json.dumps(where)

    def search(turn: int) -> list[vk.Hit]:
        ((number,),) = cursor.execute(counted.encode(), [operand], prepare=False, binary=True)
        statement = exactly if number <= 2000 else by_index
        cursor.execute(statement.encode(), [packed(queries[turn]), operand], prepare=False, binary=True)
        return [hit(*row) for row in cursor]

    return search


def hit(id: str, document: str, metadata: Any, distance: float) -> vk.Hit:
    return vk.Hit(id, 1.0 - distance, distance, document, metadata)
