"""`copy` from Chroma to Postgres against Chroma's own fastest read, and its memory over the number of records."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings
from measuring import Figure, clustered, seconds, texts

import vectorkit as vk

COUNT = 20_000
DIMENSION = 384
PAGE = 1000
SMALL_PAGE = 256  # the fastest of 32 to 4,000 at this dimension: Python's garbage collector has least to do
ROUNDS = 7
SMALL, LARGE = 20_000, 100_000

MEASURED = """
import sys
from streaming import megabytes
import vectorkit as vk

source, target, name = sys.argv[1:]
vk.copy(source, target, collections=[name])
print(megabytes())
"""


def figures(folder: Path) -> Iterator[Figure]:
    target_url = f"postgresql+embedded:{folder / 'target'}"
    with vk.connect(f"chroma:{folder / 'chroma'}") as source, vk.connect(target_url) as target:
        vectors = clustered(COUNT, DIMENSION, seed=1)
        # The indexes are built after the load, and are no part of it.
        source.create_collection("docs", dimension=DIMENSION, index="none").upsert(
            ids=[f"{n:06}" for n in range(COUNT)],
            documents=texts(COUNT),
            embeddings=vectors,
            metadatas=[{"n": n, "topic": f"topic {n % 20}", "share": n / 7} for n in range(COUNT)],
        )
        client = chromadb.PersistentClient(str(folder / "chroma"), settings=Settings(anonymized_telemetry=False))
        raw = client.get_collection("docs", embedding_function=None)
        target.create_collection("warm", dimension=2)
        times: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS):
            target.drop_collection("docs", missing_ok=True)
            read, read_fast = (seconds(partial(read_all, raw, page)) for page in (PAGE, SMALL_PAGE))
            times.append((seconds(lambda: vk.copy(source, target, collections=["docs"])), read, read_fast))
        copied, read, read_fast = (median(each) for each in zip(*times, strict=True))
        yield Figure("chroma to postgres: copy, against reading", "rec/s", COUNT / copied, COUNT / read, goal=0.85)
        name = f"chroma to postgres: copy, against reading by {SMALL_PAGE}"
        yield Figure(name, "rec/s", COUNT / copied, COUNT / read_fast, goal=None)
        again = seconds(lambda: vk.copy(source, target, collections=["docs"]))
        yield Figure("chroma to postgres: copy again, against copy", "rec/s", COUNT / again, COUNT / copied, goal=0.9)
    yield from memory(folder, target_url)


def read_all(raw: Any, size: int) -> int:
    """All of a collection by Chroma's own client: the ids, then pages of records in a thread."""
    ids: list[str] = raw.get(include=[])["ids"]
    pages = [ids[start : start + size] for start in range(0, len(ids), size)]

    def read(page: Sequence[str]) -> int:
        found = raw.get(ids=list(page), include=["documents", "metadatas", "embeddings"])
        return len(found["ids"])

    with ThreadPoolExecutor(1) as reader:
        return sum(reader.map(read, pages))


def memory(folder: Path, target: str) -> Iterator[Figure]:
    """The most memory of a process that copies many records, against one that copies fewer."""
    source = f"postgresql+embedded:{folder / 'source'}"
    random = np.random.default_rng(2)
    with vk.connect(source) as store:
        for count in (SMALL, LARGE):
            store.create_collection(f"of-{count}", dimension=32, index="none").add(
                records=(vk.Record(f"{n:07}", f"document {n}", random.normal(size=32), {"n": n}) for n in range(count))
            )
    sizes: list[float] = []
    for count in (SMALL, LARGE):
        run = subprocess.run(
            [sys.executable, "-c", MEASURED, source, target, f"of-{count}"],
            cwd=Path(__file__).parent,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        sizes.append(float(run.stdout))
    yield Figure(f"copy: memory at {LARGE:,} over {SMALL:,}", "MB", sizes[1], sizes[0], goal=1.1)
