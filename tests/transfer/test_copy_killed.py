"""Copies that are killed with kill -9: run again, they are complete, and equal in every record."""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import sql

import vectorkit as vk

COUNT = 6000
KILLS = 10
INDEX = vk.HNSW(m=4, ef_construction=8)  # built in no time

# Each copy runs in a process of its own, forked from one that has imported all this but opened nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["vectorkit.transfer.copying", "vectorkit_chroma", "vectorkit_pgvector"])


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


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """Have the process that others are forked from import everything, which is no part of a copy."""
    process = FORKS.Process(target=time.monotonic)
    process.start()
    process.join()


def killed(source: str, target: str, moment: float) -> bool:
    """Run the copy, kill it at a moment; return whether it had not ended."""
    process = FORKS.Process(target=vk.copy, args=(source, target))
    process.start()
    process.join(moment)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def held(url: str) -> int:
    """How many records are there, -1 before there is a collection; asked without the stores, which take their time."""
    if url.startswith("chroma:"):
        with closing(sqlite3.connect(Path(url.removeprefix("chroma:")) / "chroma.sqlite3")) as file:
            return int(file.execute("SELECT count(*) FROM embeddings").fetchone()[0])
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^vk_docs_[0-9]+$'").fetchall()
        for (table,) in tables:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            assert row is not None
            return int(row[0])
    return -1


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
    begun = time.monotonic()
    assert not killed(urls[source], urls[target], 60)
    whole = time.monotonic() - begun
    kills, stages = 0, set[int]()
    while kills < KILLS:
        if killed(urls[source], urls[target], chance.uniform(0.1, 0.8) * whole):
            kills += 1
            stages.add(held(urls[target]))
        else:
            with vk.connect(urls[target]) as store:
                store.drop_collection("docs")  # it was complete: begin again
    assert len(stages) > 1, f"at several stages, not only {stages}"
    report = vk.copy(urls[source], urls[target])
    assert report.complete
    assert report.collections[0].count == COUNT
    assert everything(urls[target]) == everything(urls[source])
    assert vk.copy(urls[source], urls[target]).collections[0].written == 0


def test_a_server_that_goes_away_in_the_middle_is_a_typed_error_and_the_copy_goes_on_after_it(
    tmp_path: Path,
) -> None:
    source, url = vk.connect("memory:"), f"postgresql+embedded:{tmp_path / 'pg'}"
    fill(source)

    def stop_server(progress: vk.CopyProgress) -> None:
        if 3000 <= progress.done < 4000:
            pid = int((tmp_path / "pg" / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGQUIT)  # at once, as in a crash

    with pytest.raises(vk.BackendError) as caught:
        vk.copy(source, url, progress=stop_server)
    assert isinstance(caught.value.__cause__, psycopg.Error)
    (copied,) = vk.copy(source, url).collections
    assert copied.count == COUNT
    assert copied.written < COUNT
    (again,) = vk.copy(source, url).collections
    assert again.written == 0
