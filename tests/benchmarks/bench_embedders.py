"""Embedders: what they add to a local model, and to a server of the embeddings API."""

import asyncio
import base64
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from measuring import Figure, side_by_side, texts

from vectorkit.embedders import CachedEmbedder, OpenAIEmbedder, SentenceTransformerEmbedder
from vectorkit.embedders._files import shipped_folder

DIMENSION = 1536
IN_FLIGHT = 8
A_REQUEST = 100
REQUESTS = 64
ANSWER_TIME = 0.25  # seconds a request: 3,200 texts a second, more than most accounts and GPUs are good for


def figures(folder: Path) -> Iterator[Figure]:
    yield from local_model()
    yield from api(folder)


def local_model() -> Iterator[Figure]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library: Any = import_module("sentence_transformers")
        import_module("torch").set_num_threads(1)  # threads that wait for each other would be measured, too
        import_module("transformers.utils.logging").disable_progress_bar()
    model = library.SentenceTransformer(str(shipped_folder("sentence-transformers/all-MiniLM-L6-v2")), device="cpu")
    embedder = SentenceTransformerEmbedder(device="cpu")
    for count, length, rounds in ((1, 40, 40), (32, 200, 9)):
        batch = [text[:length] for text in texts(count)]

        def ours(turn: int, batch: list[str] = batch) -> object:
            return embedder.embed_documents(batch)

        def raw(turn: int, batch: list[str] = batch) -> object:
            return model.encode(batch, normalize_embeddings=True, show_progress_bar=False)

        times = side_by_side(ours, raw, rounds=rounds, clock=time.process_time)
        yield Figure(f"local model: {count} text(s) of {length} characters, CPU, p50", "ms", *times, goal=1.03)


def api(folder: Path) -> Iterator[Figure]:
    batch = texts(A_REQUEST * REQUESTS)
    bodies = [
        json.dumps({"model": "m", "input": batch[start : start + A_REQUEST], "encoding_format": "base64"}).encode()
        for start in range(0, len(batch), A_REQUEST)
    ]
    with server() as port:
        url = f"http://127.0.0.1:{port}/v1"
        with (
            OpenAIEmbedder(base_url=url, api_key="none", batch_size=A_REQUEST, concurrency=IN_FLIGHT) as embedder,
            ThreadPoolExecutor(IN_FLIGHT) as pool,
        ):
            connections = local()

            def post(body: bytes) -> int:
                """Send a request and read the answer, without looking into it."""
                if not hasattr(connections, "one"):
                    connections.one = HTTPConnection("127.0.0.1", port)
                connections.one.request("POST", "/v1/embeddings", body)
                return len(connections.one.getresponse().read())

            ours, raw = side_by_side(
                lambda _: embedder.embed_documents(batch), lambda _: sum(pool.map(post, bodies)), rounds=3
            )
            count = len(batch)
            yield Figure(
                "API: 100 texts a request, 8 under way", "rec/s", count / ours * 1000, count / raw * 1000, goal=0.9
            )
            with CachedEmbedder(embedder, folder / "cache.sqlite") as cached:
                cached.embed_documents(batch)
                times = side_by_side(lambda _: cached.embed_documents(batch), lambda _: None, rounds=5)
                yield Figure("API, cached: the same texts again", "rec/s", count / times[0] * 1000, None, goal=None)


@contextmanager
def server() -> Generator[int]:
    """A server in a process of its own, whose answers are made before they are asked for."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        with process.stdout as output:
            yield int(output.readline())
    finally:
        process.terminate()
        process.wait()


async def serve() -> None:
    vectors = np.random.default_rng(1).normal(size=(A_REQUEST, DIMENSION)).astype("<f4")
    data = [
        {"object": "embedding", "index": index, "embedding": base64.b64encode(vector.tobytes()).decode()}
        for index, vector in enumerate(vectors)
    ]
    content = json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                (length,) = (line.partition(":")[2] for line in lines if line.startswith("content-length:"))
                await reader.readexactly(int(length))
                await asyncio.sleep(ANSWER_TIME)
                writer.write(head.encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
