"""Postgres: writing and reading records in bulk, against COPY BINARY by raw psycopg into and from the same table."""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from measuring import Figure, clustered, seconds, taken, texts
from raw_postgres import Connection, copy_in, copy_out

import vectorkit as vk
from vectorkit_pgvector.embedded.server import EmbeddedServer

COUNT, DIMENSION, ROUNDS = 10_000, 1536, 7
STREAMED = (50_000, 100_000, 200_000)
SETTINGS = ("shared_buffers", "max_wal_size", "maintenance_work_mem", "fsync", "synchronous_commit", "wal_level")


def figures(folder: Path) -> Iterator[Figure | str]:
    with (
        server(folder / "postgres-records") as url,
        vk.connect(url) as store,
        psycopg.connect(url, autocommit=True) as raw,
    ):
        shown = [raw.execute("SELECT current_setting(%s)", [name]).fetchone() for name in SETTINGS]
        yield "postgres: " + ", ".join(f"{name} {row[0]}" for name, row in zip(SETTINGS, shown, strict=True) if row)
        columns = records()
        yield from writing(store, raw, columns)
        yield from reading(store, raw, columns)
        yield from memory(url)


@contextmanager
def server(folder: Path) -> Generator[str]:
    """A server of one's own, which is down afterwards: `close` only tells it that its last user is gone."""
    with EmbeddedServer.start(folder) as running:
        yield running.conninfo
    while (folder / "data" / "postmaster.pid").exists():
        time.sleep(0.1)


def writing(store: vk.VectorStore, raw: Connection, columns: dict[str, Any]) -> Iterator[Figure]:
    lists = {**columns, "embeddings": columns["embeddings"].tolist()}
    wall: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    for turn in range(ROUNDS + 1):
        into = {
            kind: store.create_collection(f"{kind}-{turn}", dimension=DIMENSION, index="none")
            for kind in ("copy", "add", "upsert", "bare", "lists")
        }
        drop_metadata_index(raw, into["bare"].info().location)
        calls: dict[str, Callable[[], object]] = {
            "copy": partial(copy_in, raw, into["copy"].info().location, columns),
            "add": partial(into["add"].add, **columns),
            "upsert": partial(into["upsert"].upsert, **columns),
            "overwrite": partial(into["upsert"].upsert, **columns),
            "bare": partial(into["bare"].add, **columns),
            "lists": partial(into["lists"].add, **lists),
        }
        if turn == ROUNDS:  # takes as long as all others together
            indexed = store.create_collection("indexed", dimension=DIMENSION)
            calls["hnsw"] = partial(indexed.add, **columns)
        order = list(calls) if turn % 2 else ["upsert", "add", "copy", *list(calls)[3:]]
        for kind in order:
            raw.execute("CHECKPOINT")
            times = taken(calls[kind])
            if turn > 0:  # the first one warms up
                wall[kind].append(times[0])
                cpu[kind].append(times[1])
        for collection in store.list_collections():
            store.drop_collection(collection.name)
    for kind, what, goal in (
        ("add", "add", 0.85),
        ("bare", "add, metadata not indexed", None),
        ("hnsw", "add, with an HNSW index", None),
        ("upsert", "upsert, new", 0.65),
        ("overwrite", "upsert, overwriting", 0.45),
    ):
        rates = middle(wall[kind], wall["copy"][-len(wall[kind]) :])
        yield Figure(f"postgres: {what}, {COUNT:,} x {DIMENSION:,}", "rec/s", *rates, goal)
    yield Figure(
        "postgres: add of lists of float, client CPU per record",
        "µs",
        median(cpu["lists"]) / COUNT * 1e6,
        None,
        goal=60,
    )


def middle(ours: list[float], raw: list[float]) -> tuple[float, float]:
    """Both rates, in records a second, in the round with the median ratio: the load of the machine is one there."""
    pairs = sorted(zip(ours, raw, strict=True), key=lambda pair: pair[0] / pair[1])
    a, b = pairs[len(pairs) // 2]
    return COUNT / a, COUNT / b


def drop_metadata_index(raw: Connection, table: str) -> None:
    found = raw.execute(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass AND NOT indisprimary", [table]
    )
    for (index,) in found.fetchall():
        raw.execute(f"DROP INDEX {index}".encode())


def reading(store: vk.VectorStore, raw: Connection, columns: dict[str, Any]) -> Iterator[Figure]:
    stored = store.create_collection("stored", dimension=DIMENSION, index="none")
    stored.add(**columns)
    raw.execute(f"VACUUM ANALYZE {stored.info().location}".encode())
    calls: tuple[Callable[[], object], ...] = (
        lambda: list(stored.scan(include_embeddings=True)),
        lambda: copy_out(raw, stored.info().location),
    )
    times = [[seconds(call) for call in calls] for _ in range(ROUNDS + 1)][1:]
    rates = middle([ours for ours, _ in times], [theirs for _, theirs in times])
    yield Figure(f"postgres: scan, {COUNT:,} x {DIMENSION:,}", "rec/s", *rates, goal=0.85)


def memory(url: str) -> Iterator[Figure]:
    """Client memory while a generator is added, in a fresh process, and what each further record costs."""
    command = [sys.executable, str(Path(__file__).with_name("streaming.py")), url, *map(str, STREAMED)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    sizes: dict[str, float] = json.loads(done.stdout)
    for count in STREAMED:
        yield Figure(f"postgres: memory, add of {count:,} x 384", "MB", sizes[str(count)], None, goal=300)
    more = (sizes[str(STREAMED[-1])] - sizes[str(STREAMED[0])]) * 1e6 / (STREAMED[-1] - STREAMED[0])
    yield Figure("postgres: memory, each further record (its id)", "bytes", more, None, goal=200)


def records() -> dict[str, Any]:
    return {
        "ids": [f"id-{n:06}" for n in range(COUNT)],
        "documents": texts(COUNT),
        "embeddings": clustered(COUNT, DIMENSION, seed=1),
        "metadatas": [
            {"topic": f"t{n % 7}", "number": n, "weight": n / 3, "lang": "en", "draft": n % 2 == 0}
            for n in range(COUNT)
        ],
    }
