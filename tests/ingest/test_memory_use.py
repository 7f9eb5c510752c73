"""An ingest of any length takes the memory of a few batches, measured in a fresh process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

COUNT = 200_000

CODE = """
import json, resource, sys
from collections.abc import Iterator
import numpy as np
import vectorkit as vk
from vectorkit_pgvector import PgVectorBackend

url, schema, ids, count = *sys.argv[1:4], int(sys.argv[4])
peaks = {}

class Embedder:
    identity = vk.EmbedderIdentity("test", "lengths", 8)
    def embed_documents(self, texts):
        return np.array([[len(text)] * 8 for text in texts], dtype=np.float32)
    def embed_query(self, text):
        return self.embed_documents([text])[0]

def source():
    for n in range(count):
        if n in (count // 10, count - 1):
            peaks[n] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        yield vk.Record(f"{n:08}", f"{n} " + "a document of a thousand characters or so " * 25)

with vk.VectorStore(PgVectorBackend(url, schema=schema)) as store:
    docs = store.create_collection("docs", embedder=Embedder(), index="none")
    done = docs.ingest(source(), ids=ids, batch_size=1000)
    assert done.written == docs.count() == count
print(json.dumps(list(peaks.values())))
"""


@pytest.fixture
def schema(postgres_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    yield name
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.mark.parametrize(("ids", "of_each_record"), [("content", 20), ("given", 200)])
def test_memory_stays_where_it_is(postgres_url: str, schema: str, ids: str, of_each_record: int) -> None:
    """3.9 From a tenth of 200,000 documents of 1 KB to the last of them, the peak grows by no more than given ids."""
    command = [sys.executable, "-c", CODE, postgres_url, schema, ids, str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    early, late = json.loads(done.stdout)
    print(f"ids={ids}: {early / 1e6:.1f} MB after a tenth, {late / 1e6:.1f} MB at the end")
    assert late - early <= of_each_record * COUNT
