"""Copies that are killed with kill -9: run again, they are complete, and equal in every record."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.transfer.sources import MAX_BATCH

COUNT = 4000
BATCHES = COUNT // MAX_BATCH
KILLS = 10
INDEX = vk.HNSW(m=4, ef_construction=8)  # built in no time

# Each copy runs in a process of its own, forked from one that has imported all this but opened nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["vectorkit.transfer.copy.run", "vectorkit_chroma", "vectorkit_pgvector"])


def fill(store: vk.VectorStore) -> None:
    # Under l2 every store keeps the bits of a vector, so that contents can be compared.
    docs = store.create_collection("docs", dimension=8, metric="l2", text_index=True, index=INDEX)
    vectors = np.random.default_rng(3).normal(size=(COUNT, 8)).astype(np.float32)
    docs.upsert(
        ids=[f"{n * 7919 % COUNT:05}" for n in range(COUNT)],
        documents=[None if n % 5 == 0 else f"text {n} of {n % 7} words" for n in range(COUNT)],
        metadatas=[{"n": n, "share": n / 7, "list": [n, 1.0, None]} for n in range(COUNT)],
        embeddings=vectors,
    )


def everything(url: str) -> list[object]:
    with vk.connect(url) as store:
        (info,) = store.list_collections()
        assert (info.name, info.metric, info.spec.text_index, info.spec.index) == ("docs", "l2", True, INDEX)
        return [
            (record.id, record.document, repr(sorted(record.metadata.items())), np.asarray(record.embedding).tobytes())
            for record in store.get_collection("docs").scan(include_embeddings=True)
        ]


def run(source: str, target: str, steps: int, moment: float) -> tuple[bool, list[int]]:
    """Run the copy, and kill it some time after so many reports of progress; 0: after its start.

    Returns:
        Whether it was killed before it ended, and how many records it reported, each time.
    """
    receiver, sender = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=vk.copy, args=(source, target), kwargs={"progress": sender.send})
    process.start()
    sender.close()
    done: list[int] = []
    with receiver, suppress(EOFError):
        while len(done) < steps:
            done.append(receiver.recv().done)
    process.join(moment)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive, done


@pytest.fixture
def urls(tmp_path: Path, make_postgres: Callable[[], str]) -> dict[str, str]:
    return {"chroma": f"chroma:{tmp_path / 'chroma'}", "postgres": make_postgres()}


@pytest.mark.parametrize(("source", "target"), [("chroma", "postgres"), ("postgres", "chroma")])
def test_a_copy_that_is_killed_again_and_again_is_complete_in_the_end(
    urls: dict[str, str], source: str, target: str
) -> None:
    chance = random.Random(f"{source} to {target}")
    with vk.connect(urls[source]) as store:
        fill(store)
    kills, begun_at = 0, set[int]()
    while kills < KILLS:
        killed, done = run(urls[source], urls[target], chance.randrange(BATCHES + 2), chance.uniform(0, 0.1))
        begun_at.update(done[:1])
        kills += killed
        if not killed:
            with vk.connect(urls[target]) as store:
                store.drop_collection("docs")  # it was complete: begin again
    assert len(begun_at) > 2, f"they went on from where others were killed, not only from {begun_at}"
    report = vk.copy(urls[source], urls[target])
    assert report.complete
    assert report.collections[0].count == COUNT
    assert everything(urls[target]) == everything(urls[source])
    assert vk.copy(urls[source], urls[target]).collections[0].written == 0


def test_a_copy_is_whole_though_its_server_dies_in_the_middle(tmp_path: Path) -> None:
    source, url = vk.connect("memory:"), f"postgresql+embedded:{tmp_path / 'pg'}"
    fill(source)
    killed: list[int] = []

    def stop_server(progress: vk.CopyProgress) -> None:
        if 2000 <= progress.done < 3000 and not killed:
            killed.append(int((tmp_path / "pg" / "data" / "postmaster.pid").read_text().split()[0]))
            os.kill(killed[0], signal.SIGQUIT)  # at once, as in a crash

    # The server is started again, and a batch that had not begun is written to it; one under way is in doubt.
    with suppress(vk.BackendError):
        vk.copy(source, url, progress=stop_server)
    assert killed
    (copied,) = vk.copy(source, url).collections
    assert copied.count == COUNT
    assert copied.written < COUNT
    (again,) = vk.copy(source, url).collections
    assert again.written == 0


def test_a_disk_that_is_full_is_a_typed_error_and_the_copy_goes_on_after_it(tmp_path: Path) -> None:
    kept, url = f"file:{tmp_path / 'docs.jsonl'}", f"chroma:{tmp_path / 'chroma'}"
    with vk.connect("memory:") as source:
        fill(source)
        vk.copy(source, kept)
    # To the store, a file that may not grow is a disk that is full; the limit is that of one process.
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({3 << 20}, {3 << 20})); import vectorkit.__main__"
    )
    command = [sys.executable, "-c", f"{code}; vectorkit.__main__.main()", "copy", kept, url]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr
    (copied,) = vk.copy(kept, url).collections
    assert copied.count == COUNT
    assert copied.written < COUNT
    assert vk.copy(kept, url).collections[0].written == 0
