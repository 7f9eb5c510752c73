"""`verify` against the `copy` that it checks, from Chroma on disk to Postgres; and its memory over the records."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from measuring import Figure, clustered, seconds, texts

import vectorkit as vk

COUNT = 20_000
MORE = 100_000


def figures(folder: Path) -> Iterator[Figure]:
    source = f"chroma:{folder / 'verified'}"
    vectors, documents = clustered(COUNT, 384, seed=4), texts(COUNT)
    with vk.connect(source) as store:
        store.create_collection("docs", dimension=384, index="hnsw").add(
            ids=[f"id-{n:06}" for n in range(COUNT)],
            documents=documents,
            embeddings=vectors,
            metadatas=[{"n": n, "topic": f"t{n % 10}", "share": n / 7} for n in range(COUNT)],
        )
        with vk.connect(f"postgresql+embedded:{folder / 'verifying'}") as target:
            # Made without an index, so that the copy does nothing but copy.
            target.create_collection("docs", dimension=384, index="none")
            copied = seconds(lambda: vk.copy(store, target))
            agreed: list[bool] = []
            verified = seconds(lambda: agreed.append(vk.verify(store, target).agrees))
            assert agreed == [True]
            name = f"verify Chroma with Postgres, {COUNT:,} × 384 (raw: copy)"
            yield Figure(name, "rec/s", COUNT / verified, COUNT / copied, goal=0.5)
    program = Path(__file__).with_name("verifying.py")
    sizes: list[float] = []
    for count in (COUNT, MORE):
        run = [sys.executable, str(program), str(folder / f"memory-{count}.parquet"), str(count)]
        sizes.append(json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout))
    yield Figure(f"verify two files: memory at {MORE:,} over {COUNT:,}", "MB", sizes[1], sizes[0], goal=1.1)
