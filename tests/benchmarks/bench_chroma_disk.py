"""Chroma on disk: writes, opening and space against raw chromadb doing the same, with many collection sizes."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import chromadb
from chromadb.api import ClientAPI
from measuring import Figure, clustered, taken, texts

import vectorkit as vk

SIZES = ((1_000, 384), (10_000, 384), (10_000, 1536))
LARGE = ((50_000, 384), (100_000, 384))
CALL = 500

OPENED = """
import sys, time
import numpy as np
import chromadb, vectorkit as vk, vectorkit_chroma
kind, folder, dimension = sys.argv[1], sys.argv[2], int(sys.argv[3])
query = np.random.default_rng(1).normal(size=dimension).astype(np.float32)
start, worked = time.perf_counter(), time.process_time()
if kind == "ours":
    store = vk.connect("chroma:" + folder)
    assert len(store.get_collection("docs").search(query, k=10, exact=False)) == 10
else:
    docs = chromadb.PersistentClient(folder).get_collection("docs", embedding_function=None)
    assert len(docs.query(query_embeddings=[query], n_results=10)["ids"][0]) == 10
print(time.perf_counter() - start, time.process_time() - worked)
if sys.argv[4:] == ["killed"]:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "ours":
    store.close()
"""


def figures(folder: Path) -> Iterator[Figure]:
    yield from of_sizes(folder, SIZES)


def large_figures(folder: Path) -> Iterator[Figure]:
    yield from of_sizes(folder, LARGE)


def of_sizes(folder: Path, sizes: tuple[tuple[int, int], ...]) -> Iterator[Figure]:
    for count, dimension in sizes:
        place = folder / f"{count}-{dimension}"
        yield from of_size(place, count, dimension)
        shutil.rmtree(place)


def of_size(folder: Path, count: int, dimension: int) -> Iterator[Figure]:
    what = f"chroma on disk, {count:,} x {dimension}"
    vectors = clustered(count + 200, dimension, seed=count)
    parts = [columns(start, min(count, start + CALL), vectors) for start in range(0, count, CALL)]
    client = chromadb.PersistentClient(str(folder / "raw"))
    raw = client.create_collection("docs", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    store = vk.connect(f"chroma:{folder / 'ours'}")
    ours = store.create_collection("docs", dimension=dimension)

    def load(collection: Any) -> tuple[float, float]:
        return taken(lambda: [collection.add(**part) for part in parts])

    loaded = {"raw": load(raw), "ours": load(ours)}
    yield Figure(f"{what}: load in calls of 500", "ms", loaded["ours"][0] * 1e3, loaded["raw"][0] * 1e3, goal=1.3)
    yield Figure(f"{what}: the same, CPU", "ms", loaded["ours"][1] * 1e3, loaded["raw"][1] * 1e3, goal=1.3)
    for name, call in single_writes(count, vectors):
        yield Figure(f"{what}: one {name}", "ms", *mean_times(call, ours, raw), goal=1.3)

    store.close()
    close(client)
    yield from opening(what, folder, dimension)
    yield Figure(f"{what}: disk", "MB", megabytes(folder / "ours"), megabytes(folder / "raw"), goal=2.0)


def single_writes(count: int, vectors: Any) -> Iterator[tuple[str, Callable[[Any, int], object]]]:
    """Writes of one record, by the number of the turn, which is at least -3."""

    def upsert(collection: Any, turn: int) -> object:
        return collection.upsert(**columns(count + turn + 3, count + turn + 4, vectors))

    def update(collection: Any, turn: int) -> object:
        return collection.update(ids=[f"id-{turn + 3}"], embeddings=vectors[count + turn + 3][None])

    def delete(collection: Any, turn: int) -> object:
        return collection.delete(ids=[f"id-{turn + 103}"])

    yield from (("upsert", upsert), ("update", update), ("delete", delete))


def mean_times(call: Callable[[Any, int], object], ours: Any, raw: Any) -> tuple[float, float]:
    """Milliseconds of CPU of the process, the saves that fall into the turns shared out among them."""
    spent = {id(ours): 0.0, id(raw): 0.0}
    for turn in range(-3, 150):
        for collection in (ours, raw) if turn % 2 else (raw, ours):
            before = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            call(collection, turn)
            if turn >= 0:
                spent[id(collection)] += sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - before
    return spent[id(ours)] / 0.150, spent[id(raw)] / 0.150


def opening(what: str, folder: Path, dimension: int) -> Iterator[Figure]:
    """Each time in a process of its own, after the last one closed the store, and after it was killed."""
    for after, goal in (("a clean close", 1.5), ("a kill", 2.5)):
        times: dict[str, list[float]] = {"ours": [], "raw": []}
        for turn in range(-1, 5):
            for kind in times if turn % 2 else reversed(times):
                killed = ["killed"] if after == "a kill" else []
                command = [sys.executable, "-c", OPENED, kind, str(folder / kind), str(dimension), *killed]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
                if turn >= 0:
                    times[kind].append(float(done.stdout.split()[1]) * 1e3)
        ours, raw = median(times["ours"]), median(times["raw"])
        yield Figure(f"{what}: open and search after {after}, CPU", "ms", ours, raw, goal=goal)


def columns(start: int, end: int, vectors: Any) -> dict[str, Any]:
    return {
        "ids": [f"id-{n}" for n in range(start, end)],
        "embeddings": vectors[start:end],
        "documents": texts(end)[start:] if end < 2000 else [f"passage {n} of many" for n in range(start, end)],
        "metadatas": [{"topic": f"t{n % 7}", "number": n, "weight": n / 3} for n in range(start, end)],
    }


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def close(client: ClientAPI) -> None:
    client._system.stop()  # type: ignore[attr-defined]  # pyright: ignore
    client.clear_system_cache()
