"""A collection in four partitions, and one with half of it on a second server, against the same in one table."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from measuring import Figure, clustered, seconds, side_by_side, texts

import vectorkit as vk
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend
from vectorkit_pgvector.embedded.server import EmbeddedServer

COUNT: Final = 50_000
DIMENSION: Final = 384
QUERIES: Final = 100
PARTITIONS: Final = 4
PAGE: Final = Path(__file__).parents[2] / "docs" / "SCALING.md"
SEARCHES: Final[dict[str, dict[str, Any] | None]] = {
    "search k=10": None,
    "search k=10, 10% match": {"tenth": 3},
    "search k=10, 1% match": {"hundredth": 33},
    "search k=10, half match, by range": {"n": {"$gte": COUNT // 2}},
}


def figures(folder: Path) -> Iterator[Figure]:
    vectors = clustered(COUNT + QUERIES, DIMENSION, seed=1)
    with EmbeddedServer.start(folder / "first") as first, EmbeddedServer.start(folder / "second") as second:
        whole, four, two = (
            vk.VectorStore(PgVectorBackend(first.conninfo, schema=schema, partitions=partitions)).create_collection(
                "docs", dimension=DIMENSION, index="none"
            )
            for schema, partitions in (("whole", 1), ("partitions", PARTITIONS), ("public", 2))
        )
        yield from of_filling(whole, four, vectors[:COUNT])
        yield from of_searches(f"{PARTITIONS} partitions", whole, four, vectors[COUNT:])
        two.add(**rows(vectors[:COUNT]))
        spread(first, second)
        two = vk.VectorStore(PgVectorBackend(first.conninfo)).get_collection("docs")
        two.create_index()
        yield from of_searches("2 servers", whole, two, vectors[COUNT:])


def rows(vectors: FloatArray) -> dict[str, Any]:
    numbers = range(len(vectors))
    return {
        "ids": [f"{number:06}" for number in numbers],
        "embeddings": vectors,
        "documents": texts(len(vectors)),
        "metadatas": [{"n": number, "tenth": number % 10, "hundredth": number % 100} for number in numbers],
    }


def of_filling(whole: vk.Collection, four: vk.Collection, vectors: FloatArray) -> Iterator[Figure]:
    name, everything, some = f"{PARTITIONS} partitions", rows(vectors), rows(vectors[:2000])
    theirs, ours = (COUNT / seconds(partial(each.add, **everything)) for each in (whole, four))
    yield Figure(f"{name}: add {COUNT:,} x {DIMENSION}", "rec/s", ours, theirs, None)
    theirs, ours = (1000 * seconds(each.create_index) for each in (whole, four))
    yield Figure(f"{name}: create_index", "ms", ours, theirs, None)
    theirs, ours = (2000 / seconds(partial(each.upsert, **some)) for each in (whole, four))
    yield Figure(f"{name}: overwrite 2,000, with the index", "rec/s", ours, theirs, None)


def of_searches(name: str, whole: vk.Collection, ours: vk.Collection, queries: FloatArray) -> Iterator[Figure]:
    def search(collection: vk.Collection, where: dict[str, Any] | None, turn: int) -> object:
        return collection.search(queries[turn], 10, where=where)

    for what, where in SEARCHES.items():
        times = side_by_side(partial(search, ours, where), partial(search, whole, where), 40)
        yield Figure(f"{name}: {what}", "ms", *times, None)
    yield Figure(f"{name}: recall@10", "recall", recall(ours, queries), recall(whole, queries), None)
    ids = [f"{number:06}" for number in range(0, COUNT, COUNT // 100)]
    times = side_by_side(lambda _: ours.get(ids), lambda _: whole.get(ids), 10)
    yield Figure(f"{name}: get 100 ids", "ms", *times, None)
    scanned, theirs = (COUNT / seconds(partial(scan, each)) for each in (ours, whole))
    yield Figure(f"{name}: scan of everything", "rec/s", scanned, theirs, None)


def scan(collection: vk.Collection) -> None:
    assert sum(1 for _ in collection.scan(include_embeddings=True)) == COUNT


def recall(collection: vk.Collection, queries: FloatArray) -> float:
    """By distance, so that ties count as found."""
    found = 0
    for query in queries[:50]:
        last = collection.search(query, 10, exact=True)[-1].distance
        assert last is not None
        found += sum(hit.distance is not None and hit.distance <= last + 1e-6 for hit in collection.search(query, 10))
    return found / 500


def spread(first: EmbeddedServer, second: EmbeddedServer) -> None:
    """Move a partition of the collection `docs` to the second server, as docs/SCALING.md says."""
    blocks = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with (
        psycopg.connect(first.conninfo, autocommit=True) as one,
        psycopg.connect(second.conninfo, autocommit=True) as two,
    ):
        row = two.execute("SHOW hba_file").fetchone()
        assert row is not None
        access = Path(row[0])  # such a server lets in its owner alone; the other server shall come with a password
        access.write_text(f"local all vectorkit scram-sha-256\n{access.read_text()}")
        two.execute("SELECT pg_reload_conf()")
        for connection, block in zip((two, one, two), blocks, strict=True):
            connection.execute(block.replace("second.example", two.info.host).encode())
