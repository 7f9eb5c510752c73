"""Chroma: search and upsert against raw chromadb doing the same, on every kind of client."""

import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import chromadb
import numpy as np
from chromadb.api import ClientAPI
from measuring import Figure, clustered, passages, seconds, side_by_side, texts

import vectorkit as vk

METADATAS: Callable[[int], list[Mapping[str, Any]]] = lambda count: [  # noqa: E731
    {"topic": f"t{n % 7}", "number": n, "weight": n / 3} for n in range(count)
]


def figures(folder: Path) -> Iterator[Figure]:
    yield from of_client("in memory", "chroma:", chromadb.EphemeralClient())
    raw = chromadb.PersistentClient(str(folder / "raw"))
    yield from of_client("on disk", f"chroma:{folder / 'ours'}", raw)
    with server(folder / "server") as port:
        yield from of_client("HTTP", f"chroma+http://127.0.0.1:{port}", chromadb.HttpClient("127.0.0.1", port))


def of_client(kind: str, url: str, client: ClientAPI) -> Iterator[Figure]:
    with vk.connect(url) as store:
        for dimension in (384, 1536):
            ours, raw, queries = filled(store, client, 2000, dimension)

            def everything(turn: int, raw: Any = raw, queries: Any = queries) -> object:
                return raw.query(query_embeddings=queries[turn % 50][None], n_results=2000, include=["distances"])

            def default(turn: int, ours: Any = ours, queries: Any = queries) -> object:
                return ours.search(queries[turn % 50])

            times = side_by_side(default, everything, rounds=40)
            yield Figure(f"chroma {kind}: exact search of 2,000 x {dimension}, p50", "ms", *times, goal=1.6)

        ours, raw, queries = filled(store, client, 20_000, 384)

        def nearest(turn: int) -> object:
            return raw.query(query_embeddings=queries[turn % 50][None], n_results=10)

        times = side_by_side(lambda turn: ours.search(queries[turn % 50]), nearest, rounds=60)
        yield Figure(f"chroma {kind}: search of 20,000 x 384, p50", "ms", *times, goal=1.15)
        yield Figure(f"chroma {kind}: its recall@10", "recall", recall(ours, queries), None, goal=0.99)
        yield upserts(kind, store, client)
        yield from by_words(kind, store)


def filled(store: vk.VectorStore, client: ClientAPI, count: int, dimension: int) -> tuple[Any, Any, Any]:
    """The same records in our collection and in a raw one with its defaults, and queries."""
    name = f"search-{count}-{dimension}"
    ours = store.create_collection(name, dimension=dimension)
    raw = client.create_collection(f"raw-{name}", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    vectors = clustered(count + 50, dimension, seed=1)
    for start in range(0, count, 5000):
        part = columns(start, min(count, start + 5000), vectors)
        ours.add(**part)
        raw.add(**part)
    return ours, raw, vectors[count:]


def upserts(kind: str, store: vk.VectorStore, client: ClientAPI) -> Figure:
    count = 10_000
    vectors = clustered(count, 384, seed=3)
    parts = [columns(start, start + 5000, vectors) for start in range(0, count, 5000)]
    rates: list[tuple[float, float]] = []
    for turn in range(3):
        ours = store.create_collection(f"upsert-{turn}", dimension=384)
        raw = client.create_collection(
            f"raw-upsert-{turn}", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        calls = [lambda c=ours: [c.upsert(**part) for part in parts], lambda c=raw: [c.add(**part) for part in parts]]
        taken = [seconds(call) for call in (calls if turn % 2 else reversed(calls))]
        rates.append((count / taken[0], count / taken[1]) if turn % 2 else (count / taken[1], count / taken[0]))
    ours_rate, raw_rate = sorted(rates, key=lambda pair: pair[0] / pair[1])[1]
    return Figure(f"chroma {kind}: upsert of 10,000 x 384", "rec/s", ours_rate, raw_rate, goal=0.75)


def by_words(kind: str, store: vk.VectorStore) -> Iterator[Figure]:
    """Text and hybrid search; raw Chroma has none to compare with."""
    documents, questions = passages(10_000)
    vectors = clustered(10_050, 384, seed=4)
    docs = store.create_collection("passages", dimension=384, text_index=True)
    docs.add(ids=[f"{n:05}" for n in range(10_000)], documents=documents, embeddings=vectors[:10_000])

    def text(turn: int) -> object:
        return docs.search(questions[turn % 50], mode="text")

    def hybrid(turn: int) -> object:
        return docs.search(questions[turn % 50], mode="hybrid", vector=vectors[10_000 + turn % 50])

    for name, taken in zip(("text", "hybrid"), side_by_side(text, hybrid, rounds=40), strict=True):
        yield Figure(f"chroma {kind}: {name} search of 10,000 passages, p50", "ms", taken, None, goal=150)


def columns(start: int, end: int, vectors: Any) -> dict[str, Any]:
    return {
        "ids": [f"id-{n}" for n in range(start, end)],
        "embeddings": vectors[start:end],
        "documents": texts(end)[start:],
        "metadatas": METADATAS(end)[start:],
    }


def recall(collection: vk.Collection, queries: Any) -> float:
    """Share of the first ten that are no farther than the tenth of an exact search."""
    found: list[float] = []
    for query in queries:
        exact = collection.search(query, exact=True)
        limit = (exact[-1].distance or 0.0) + 1e-6
        found.append(sum((hit.distance or 0.0) <= limit for hit in collection.search(query)) / len(exact))
    return float(np.mean(found))


@contextmanager
def server(folder: Path) -> Generator[int]:
    """`chroma run` on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [f"{sysconfig.get_path('scripts')}/chroma", "run", "--path", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                with urlopen(f"http://127.0.0.1:{port}/api/v2/heartbeat"):
                    break
            except (URLError, OSError):
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()
