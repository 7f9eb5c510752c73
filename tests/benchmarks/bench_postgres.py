"""Default search on Postgres."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from measuring import Figure, clustered, texts

import vectorkit as vk


def figures(folder: Path) -> Iterator[Figure]:
    with vk.connect(f"postgresql+embedded:{folder / 'postgres'}") as store:
        for dimension in (384, 1536):
            count = 2000
            vectors = clustered(count, dimension, seed=1)
            collection = store.create_collection(f"search-{dimension}", dimension=dimension)
            collection.add(
                ids=[f"id-{n}" for n in range(count)],
                embeddings=vectors,
                documents=texts(count),
                metadatas=[{"topic": f"t{n % 7}", "number": n, "weight": n / 3} for n in range(count)],
            )
            queries = clustered(60, dimension, seed=2)
            times: list[float] = []
            for query in queries:
                start = time.perf_counter()
                collection.search(query)
                times.append((time.perf_counter() - start) * 1000)
            yield Figure(f"postgres: search of 2,000 x {dimension}, p50", "ms", median(times[10:]), None, goal=10)
