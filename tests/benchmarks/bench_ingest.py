"""`ingest`, which embeds a batch while it writes the one before, against embedding and writing in turn."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from measuring import Figure, seconds, texts

import vectorkit as vk
from vectorkit.embedders import HashEmbedder, SentenceTransformerEmbedder
from vectorkit.types import EmbedderIdentity, FloatArray


class Service:
    """An embedder of somebody else's: it takes a quarter of a second a batch, and none of this machine's time."""

    identity = EmbedderIdentity("benchmark", "service", 384)

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        time.sleep(0.25)
        return np.random.default_rng(len(texts[0])).normal(size=(len(texts), 384)).astype(np.float32)

    def embed_query(self, text: str) -> FloatArray:
        vector: FloatArray = self.embed_documents([text])[0]
        return vector


def figures(folder: Path) -> Iterator[Figure]:
    for place, url in (
        ("postgres", f"postgresql+embedded:{folder / 'postgres'}"),
        ("chroma on disk", f"chroma:{folder / 'chroma'}"),
    ):
        with vk.connect(url) as store:
            yield compared(f"{place}: ingest, a service embeds", store, Service(), 8 * 500, 500, goal=1.3)
            model = SentenceTransformerEmbedder()
            yield compared(f"{place}: ingest, MiniLM embeds here", store, model, 5 * 64, 64, goal=1)
            yield again(f"{place}: ingest again, nothing has changed", store)


def compared(name: str, store: vk.VectorStore, embedder: vk.Embedder, count: int, batch: int, *, goal: float) -> Figure:
    records = [vk.Record(f"{n:06}", text) for n, text in enumerate(texts(count))]
    embedder.embed_documents(["loads the model, if there is one"])

    def in_turn(docs: vk.Collection) -> None:
        for start in range(0, count, batch):
            docs.upsert(records=records[start : start + batch])

    def taken(overlapping: bool) -> float:
        store.drop_collection("bench", missing_ok=True)
        docs = store.create_collection("bench", embedder=embedder)
        return seconds((lambda: docs.ingest(records, batch_size=batch)) if overlapping else (lambda: in_turn(docs)))

    pairs = [(taken(True), taken(False)) for _ in range(3)]
    ours, raw = (count / median(column) for column in zip(*pairs, strict=True))
    return Figure(name, "rec/s", ours, raw, goal=goal)


def again(name: str, store: vk.VectorStore) -> Figure:
    """A second ingest of the same source, against one that embeds and writes: what going on costs."""
    records = [vk.Record(f"{n:06}", text) for n, text in enumerate(texts(5000))]
    store.drop_collection("bench", missing_ok=True)
    docs = store.create_collection("bench", embedder=HashEmbedder(384))
    first = seconds(lambda: docs.ingest(records))
    return Figure(name, "rec/s", len(records) / seconds(lambda: docs.ingest(records)), len(records) / first, goal=2)
