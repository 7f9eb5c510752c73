"""Processes that are killed with kill -9 while they ingest or embed anew: what is left is whole, and can go on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend

# Under l2 every store keeps the bits of a vector, so that contents can be compared.
COUNT = 3000
BATCH = 100

OPENING = """
import json, os, signal, sys, time
import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend

kind, where, schema = sys.argv[1:4]
backend = ChromaBackend(f"chroma:{where}") if kind == "chroma" else PgVectorBackend(where, schema=schema)
store = vk.VectorStore(backend)

class Slow(HashEmbedder):
    def embed_documents(self, texts):
        time.sleep(0.03)  # so that reading, embedding and writing all take part of the time
        return super().embed_documents(texts)

def say(counts):
    print(json.dumps([counts.read, counts.unchanged, counts.embedded, counts.written]), flush=True)

print("ready", flush=True)
"""

INGEST = (
    OPENING
    + f"""
docs = store.get_or_create_collection("docs", embedder=Slow(32), metric="l2")
source = (vk.Record(f"{{n:05}}", f"text {{n}} of {{n % 7}}", metadata={{"n": n}}) for n in range({COUNT}))
say(docs.ingest(source, ids=sys.argv[4], batch_size={BATCH}, progress=say))
"""
)

REEMBED = (
    OPENING
    + f"""
docs = store.get_collection("docs")
docs.reembed(Slow(16), batch_size={BATCH}, progress=say)
"""
)


class Place:
    """A store that several processes open, one after the other."""

    def __init__(self, kind: str, where: str, schema: str) -> None:
        self.arguments = [kind, where, schema]
        self._open: Callable[[], vk.VectorBackend] = (
            (lambda: ChromaBackend(f"chroma:{where}"))
            if kind == "chroma"
            else (lambda: PgVectorBackend(where, schema=schema))
        )

    def open(self) -> AbstractContextManager[vk.VectorStore]:
        return vk.VectorStore(self._open())

    def run(self, code: str, *arguments: str, until: int, wait: float) -> bool:
        """Run until it says that so many are there and a time has passed, kill it; return whether it had ended."""
        command = [sys.executable, "-c", code, *self.arguments, *arguments]
        environment = {**os.environ, "PGAPPNAME": self.arguments[2]}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for line in process.stdout:
                _, unchanged, _, written = json.loads(line)
                if unchanged + written >= until:
                    break
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        assert process.returncode in (0, -signal.SIGKILL)
        kind, where, schema = self.arguments
        if kind == "postgres":  # the server may still be committing what it had received
            with psycopg.connect(where, autocommit=True) as connection:
                while connection.execute("SELECT FROM pg_stat_activity WHERE application_name = %s", [schema]).rowcount:
                    time.sleep(0.01)
        return process.returncode == 0


@pytest.fixture(params=["chroma", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "chroma":
        yield Place("chroma", str(tmp_path / "store"), "")
        return
    url, schema = request.getfixturevalue("postgres_url"), f"test_{uuid4().hex}"
    yield Place("postgres", url, schema)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def contents(collection: vk.Collection) -> dict[str, tuple[Any, ...]]:
    return {
        record.id: (record.document, record.metadata, np.asarray(record.embedding).tobytes())
        for record in collection.get(include_embeddings=True)
    }


def source() -> Iterator[vk.Record]:
    return (vk.Record(f"{n:05}", f"text {n} of {n % 7}", metadata={"n": n}) for n in range(COUNT))


@pytest.mark.parametrize("ids", ["given", "content"])
def test_an_ingest_that_is_killed_goes_on_where_it_stopped(place: Place, ids: Any) -> None:
    """9.4, 3.9 Whole batches after each kill, nothing twice, in the end what a run without a kill writes."""
    whole = vk.connect("memory:").create_collection("docs", embedder=HashEmbedder(32), metric="l2")
    whole.ingest(source(), ids=ids)
    expected = contents(whole)
    moments = random.Random(39)
    stored = 0
    for _ in range(4):
        more = stored + BATCH * moments.randrange(1, 5)
        ended = place.run(INGEST, ids, until=more, wait=moments.uniform(0, 0.15))
        assert not ended
        with place.open() as store:
            left = contents(store.get_collection("docs"))
        assert len(left) >= more
        assert len(left) % BATCH == 0
        assert {id: expected[id] for id in left} == left
        stored = len(left)
    with place.open() as store:
        docs = store.get_collection("docs", embedder=HashEmbedder(32))
        done = docs.ingest(source(), ids=ids, batch_size=BATCH)
        assert (done.unchanged, done.embedded, done.written) == (stored, COUNT - stored, COUNT - stored)
        assert contents(docs) == expected


def test_a_reembed_that_is_killed_goes_on_where_it_stopped(place: Place) -> None:
    """9.4, 1.7 The old collection is as it was after each kill, and in the end all is as without a kill."""
    whole = vk.connect("memory:").create_collection("docs", embedder=HashEmbedder(32), metric="l2")
    whole.ingest(source())
    expected = contents(whole.reembed(HashEmbedder(16)))
    with place.open() as store:
        docs = store.create_collection("docs", embedder=HashEmbedder(32), metric="l2")
        docs.ingest(source())
        before = contents(docs)
    moments = random.Random(17)
    stored = 0
    for _ in range(3):
        more = stored + BATCH * moments.randrange(1, 6)
        ended = place.run(REEMBED, until=more, wait=moments.uniform(0, 0.15))
        assert not ended
        with place.open() as store:
            assert contents(store.get_collection("docs", embedder=HashEmbedder(32))) == before
            (beside,) = [info.name for info in store.list_collections() if info.name != "docs"]
            left = store.get_collection(beside).count()
        assert left >= more
        assert left % BATCH == 0
        stored = left
    with place.open() as store:
        anew = store.get_collection("docs").reembed(HashEmbedder(16), batch_size=BATCH)
        assert contents(anew) == expected
        assert [info.name for info in store.list_collections()] == ["docs"]
