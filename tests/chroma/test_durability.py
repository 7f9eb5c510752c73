"""Rules 9.3 to 9.5 on disk: what was acknowledged survives, a folder has one process, no collection loses its index."""

import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vectorkit as vk

WRITER = """
import sys
import numpy as np
import vectorkit as vk

folder, first, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
collection = vk.connect(f"chroma:{folder}").get_or_create_collection("kept", dimension=64)
random = np.random.default_rng(first)
print("ready", flush=True)
while True:
    ids = [f"{first + n:06}" for n in range(size)]
    vectors = random.normal(size=(size, 64))
    collection.add(ids=ids, embeddings=vectors, documents=ids, metadatas=[{"n": id} for id in ids])
    first += size
    print(first, flush=True)
"""


def test_acknowledged_writes_survive_kill_9_at_any_moment(tmp_path: Path) -> None:
    """9.4 Six writers in turn are killed at random moments; the store opens with every batch they acknowledged.

    Batches are small and large in turn: a large one spends most of its time in the graph, a small one in the log.
    """
    moments = random.Random(9)
    acknowledged = 0
    for turn in range(6):
        size = 2500 if turn % 2 else 400
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(acknowledged), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            for _ in range(moments.randrange(1, 4) if size == 400 else 1):
                acknowledged = int(writer.stdout.readline())
            try:
                writer.wait(moments.uniform(0.0, size / 1000))
            except subprocess.TimeoutExpired:
                writer.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        with vk.connect(f"chroma:{tmp_path}") as store:
            collection = store.get_collection("kept")
            records = collection.get(include_embeddings=True)
            ids = [record.id for record in records]
            # A batch that was under way when the process died is there whole or not at all.
            assert ids == [f"{n:06}" for n in range(len(ids))]
            assert len(ids) in (acknowledged, acknowledged + size)
            for record in records[:: len(records) // 7]:
                assert record.embedding is not None
                assert collection.search(record.embedding, k=1, exact=True)[0].id == record.id
            acknowledged = len(ids)


def test_a_second_process_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """9.5 A folder is one process's; the message names `chroma run`, and the first process is none the worse."""
    with vk.connect(f"chroma:{tmp_path}") as store:
        collection = store.create_collection("mine", dimension=2)
        collection.add(ids=["a"], embeddings=[[1, 0]])
        code = f"import vectorkit as vk; vk.connect({f'chroma:{tmp_path}'!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode == 1
        assert "BackendUnavailableError" in other.stderr
        assert "chroma run --path" in other.stderr
        collection.add(ids=["b"], embeddings=[[0, 1]])
        assert collection.count() == 2


def test_a_folder_is_free_again_once_it_is_closed(tmp_path: Path) -> None:
    """9.5 The lock lasts as long as a store is open: several stores of one process share it."""
    first, second = vk.connect(f"chroma:{tmp_path}"), vk.connect(f"chroma:{tmp_path}")
    first.create_collection("shared", dimension=2).add(ids=["a"], embeddings=[[1, 0]])
    assert second.get_collection("shared").count() == 1
    first.close()
    second.get_collection("shared").add(ids=["b"], embeddings=[[0, 1]])
    second.close()
    code = f"import vectorkit as vk; print(vk.connect({f'chroma:{tmp_path}'!r}).get_collection('shared').count())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "2\n"


@pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "on disk"])
def test_more_collections_than_chroma_keeps_open_lose_nothing(tmp_path: Path, on_disk: bool) -> None:
    """9.3 Chroma of its own drops indexes from some 60 on, and cannot open files for more than 200."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 300
    assert limit // 5 < 10_000, "raise the number of collections with the limit"
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
import numpy as np
import vectorkit as vk

store = vk.connect({f"chroma:{tmp_path}" if on_disk else "chroma:"!r})
vectors = np.eye(8, dtype=np.float32)
ids = [str(n) for n in range(8)]
collections = [store.create_collection(f"number-{{n}}", dimension=8) for n in range({count})]
for collection in collections:
    collection.add(ids=ids, embeddings=vectors, documents=ids)
for exact in (None, False):
    for collection in collections:
        assert [hit.id for hit in collection.search(vectors[3], k=3, exact=exact)][0] == "3", (collection, exact)
        assert len(collection.search(vectors[3], k=8, exact=exact)) == 8, (collection, exact)
for collection in collections[:20]:
    collection.upsert(ids=["3"], embeddings=[-vectors[3]])
    assert collection.search(vectors[3], k=8)[-1].id == "3"
    assert np.array_equal(collection.get(["5"], include_embeddings=True)[0].embedding, vectors[5])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_forked_child_opens_its_own_and_leaves_the_parents_lock_alone(tmp_path: Path) -> None:
    """9.3 The child of a fork is told to open its own; it is refused the folder, which its parent has open."""
    code = f"""
import os
import vectorkit as vk

store = vk.connect({f"chroma:{tmp_path}"!r})
collection = store.create_collection("mine", dimension=2)
collection.add(ids=["a"], embeddings=[[1, 0]])
child = os.fork()
if child == 0:
    for attempt in (collection.count, lambda: vk.connect({f"chroma:{tmp_path}"!r})):
        try:
            attempt()
        except vk.BackendError:
            continue
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
collection.add(ids=["b"], embeddings=[[0, 1]])
assert collection.count() == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_store_on_disk_opens_with_what_it_held(tmp_path: Path) -> None:
    """9.4 Closing and opening changes nothing: records, vectors bit for bit, and search."""
    vectors = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    ids = [f"{n:02}" for n in range(50)]
    with vk.connect(f"chroma:{tmp_path}") as store:
        store.create_collection("docs", dimension=16, metric="l2").add(ids=ids, embeddings=vectors, documents=ids)
    with vk.connect(f"chroma:{tmp_path}") as store:
        collection = store.get_collection("docs")
        found = [record.embedding for record in collection.get(include_embeddings=True)]
        assert np.array_equal(np.array(found), vectors)
        assert collection.search(vectors[7], k=1)[0].id == "07"
