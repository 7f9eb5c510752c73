"""A process that is killed with kill -9 between the two stores: the next mirror makes them equal."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vectorkit import VectorBackend
from vectorkit.mirror import MirrorBackend
from vectorkit_pgvector import PgVectorBackend

Contents = Callable[[VectorBackend], dict[str, list[tuple[object, ...]]]]

WRITER = """
import os, signal, sys
import vectorkit as vk
from vectorkit.mirror import MirrorBackend
from vectorkit_pgvector import PgVectorBackend

url, first, second, journal, moment = sys.argv[1:]
armed = False

def die(here):
    if armed and here == moment:
        os.kill(os.getpid(), signal.SIGKILL)

def dying(name):
    written = getattr(PgVectorBackend, name)

    def write(self, *given, **named):
        die(f"{self.role} {name} before")
        result = written(self, *given, **named)
        die(f"{self.role} {name} after")
        return result

    return write

names = ("create_collection", "drop_collection", "add", "upsert", "update", "delete", "replace_collection")
Dying = type("Dying", (PgVectorBackend,), {name: dying(name) for name in names})
stores = [Dying(url, schema=schema) for schema in (first, second)]
stores[0].role, stores[1].role = "primary", "secondary"
mirror = MirrorBackend(*stores, journal=journal, sample=0)
store = vk.VectorStore(mirror)
"""

STEPS = (
    WRITER
    + """
docs = store.create_collection("docs", dimension=2, metric="l2")
docs.add(ids=["a", "b", "c", "d"], embeddings=[[1, 1]] * 4, metadatas=[{"v": v} for v in range(4)])
store.create_collection("old", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
new = store.create_collection("new", dimension=3)
new.add(ids=["n"], embeddings=[[1, 2, 3]])
mirror.flush()
armed = True
docs.add(ids=["e"], embeddings=[[5, 5]])
docs.upsert(ids=["a", "f"], embeddings=[[7, 7]] * 2, documents=["new", None])
docs.update(ids=["b"], metadatas=[{"late": True}], merge=True)
docs.delete(where={"v": {"$gte": 2}})
store.drop_collection("old")
made = store.create_collection("made", dimension=4)
made.add(ids=["x"], embeddings=[[1, 2, 3, 4]])
mirror.replace_collection(docs.info(), new.info())
mirror.flush()
print("done", flush=True)
"""
)

FOREVER = (
    WRITER
    + """
import random
numbers = random.Random(int(moment))
docs = store.get_or_create_collection("docs", dimension=2, metric="l2")
print("ready", flush=True)
while True:
    chosen = numbers.sample(range(300), 20)
    docs.upsert(
        ids=[f"{n:03}" for n in chosen],
        embeddings=[[n, numbers.random()] for n in chosen],
        metadatas=[{"n": n, "at": numbers.random()} for n in chosen],
    )
    docs.delete(where={"n": {"$gte": numbers.randrange(300)}, "at": {"$lt": 0.3}})
    if numbers.random() < 0.05 and moment != "7":
        store.drop_collection("docs")
        docs = store.create_collection("docs", dimension=2, metric="l2")
"""
)


@pytest.mark.parametrize(
    "moment",
    [
        "primary add before",
        "primary add after",
        "primary upsert after",
        "primary update after",
        "primary delete before",
        "primary delete after",
        "primary drop_collection before",
        "primary drop_collection after",
        "primary create_collection after",
        "primary replace_collection before",
        "primary replace_collection after",
        "secondary upsert before",
        "secondary upsert after",
        "secondary delete before",
        "secondary create_collection after",
        "secondary drop_collection after",
    ],
)
def test_killed_between_the_stores_nothing_is_lost(
    moment: str, postgres_url: str, schemas: tuple[str, str], tmp_path: Path, contents: Contents
) -> None:
    """9.4 Whatever the primary has when its process is gone, the secondary gets from the next mirror."""
    arguments = [postgres_url, *schemas, str(tmp_path / "journal"), moment]
    done = subprocess.run([sys.executable, "-c", STEPS, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    primary, secondary = (PgVectorBackend(postgres_url, schema=schema) for schema in schemas)
    mirror = MirrorBackend(primary, secondary, journal=tmp_path / "journal", sample=0)
    try:
        assert contents(primary)
        mirror.flush()
        assert contents(secondary) == contents(primary)
    finally:
        mirror.close()


def test_killed_at_any_time_again_and_again_nothing_is_lost(
    postgres_url: str, schemas: tuple[str, str], tmp_path: Path, contents: Contents
) -> None:
    """9.4 Eight times, at moments that nobody chose, each process going on with the journal of the one before."""
    waiting = random.Random(0)
    for turn in range(8):
        arguments = [postgres_url, *schemas, str(tmp_path / "journal"), str(turn)]
        with subprocess.Popen([sys.executable, "-c", FOREVER, *arguments], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(waiting.uniform(0.05, 0.5))
            os.kill(writer.pid, signal.SIGKILL)
    primary, secondary = (PgVectorBackend(postgres_url, schema=schema) for schema in schemas)
    mirror = MirrorBackend(primary, secondary, journal=tmp_path / "journal", sample=0)
    try:
        mirror.flush()
        assert list(contents(primary)) == ["docs"]
        assert contents(secondary) == contents(primary)
    finally:
        mirror.close()
