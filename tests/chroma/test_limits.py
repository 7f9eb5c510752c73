"""Beyond the limits of the client: its batches, SQLite's variables, SQLite's expressions, a server's bodies."""

from collections.abc import Iterator
from pathlib import Path

import chromadb
import numpy as np
import pytest

import vectorkit as vk
from vectorkit_chroma import ChromaBackend


@pytest.fixture(scope="module", params=["memory", "disk", "http"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, chroma_http_url: str
) -> Iterator[vk.VectorStore]:
    url = {
        "memory": "chroma:",
        "disk": f"chroma:{tmp_path_factory.mktemp('limits')}",
        "http": f"chroma+{chroma_http_url}",
    }[request.param]
    with vk.connect(url) as opened:
        yield opened
        for collection in opened.list_collections():
            opened.drop_collection(collection.name)


def test_a_call_may_write_more_than_the_client_takes_at_once(store: vk.VectorStore) -> None:
    """3.7 The client's limit is 5,461 records; 6,000 are written, replaced, read and deleted in one call each."""
    collection = store.get_or_create_collection("many-records", dimension=4)
    ids = [f"{n:05}" for n in range(6000)]
    vectors = np.random.default_rng(3).normal(size=(6000, 4))
    collection.add(ids=ids, embeddings=vectors)
    assert collection.count() == 6000
    collection.upsert(ids=ids, embeddings=vectors, metadatas=[{"n": n} for n in range(6000)])
    assert [record.metadata["n"] for record in collection.get(ids)] == list(range(6000))
    assert collection.delete(where={"n": {"$lt": 5900}}) == 5900


def test_a_record_with_the_longest_list_and_most_keys_harms_no_other(store: vk.VectorStore) -> None:
    """2.5 More than 5,461 entries in one record break a collection of Chroma for good; what is allowed stays below."""
    collection = store.get_or_create_collection("wide-records", dimension=2)
    metadata: vk.Metadata = {f"key-{n}": n / 7 for n in range(255)}
    metadata["list"] = [f"element {n}" for n in range(1000)]
    collection.add(ids=["wide"], embeddings=[[1, 0]], metadatas=[metadata], documents=["word " * 20_000])
    collection.add(ids=["next"], embeddings=[[0, 1]])
    assert collection.get(["wide"])[0].metadata == metadata
    assert collection.count({"list": {"$contains": "element 999"}}) == 1
    assert collection.count() == 2


def test_elements_of_a_list_that_is_gone_are_found_no_more(store: vk.VectorStore) -> None:
    """3.3 Replacing and dropping leave nothing behind that a later filter could see."""
    for _ in range(2):
        collection = store.create_collection("forgetful", dimension=2)
        collection.add(
            ids=["a", "b"], embeddings=[[1, 0], [0, 1]], metadatas=[{"tags": ["x", 1, None]}, {"tags": ["y"]}]
        )
        assert collection.count({"tags": {"$contains": "x"}}) == 1
        collection.upsert(ids=["a"], embeddings=[[1, 0]], metadatas=[{"tags": ["z"]}])
        assert collection.count({"tags": {"$contains": "x"}}) == 0
        assert collection.count({"tags": {"$not_contains": "x"}}) == 2
        store.drop_collection("forgetful")


def test_a_write_that_fails_half_way_says_what_was_written(tmp_path: Path) -> None:
    """3.7 The second part is refused by the client; `PartialWriteError` names the ids of the first."""
    client = chromadb.PersistentClient(str(tmp_path))
    backend = ChromaBackend(client=client)
    collection = vk.VectorStore(backend).create_collection("docs", dimension=2)
    size = client.get_max_batch_size()
    ids = [f"{n:05}" for n in range(size + 10)]

    def records() -> Iterator[vk.Record]:
        yield from (vk.Record(id, embedding=[1, 0]) for id in ids)

    written = collection.add(records=records())
    assert written == ids
    # Another dimension is what Chroma itself refuses, once our own checks are passed by.
    good = vk.Batch(["new"], [None], np.ones((1, 2), dtype=np.float32), [{}])
    bad = vk.Batch(["worse"], [None], np.ones((1, 3), dtype=np.float32), [{}])
    with pytest.raises(vk.PartialWriteError) as caught:
        backend.upsert(collection.info(), [good, bad])
    assert caught.value.written == ("new",)
    assert isinstance(caught.value.__cause__, vk.BackendError)


def test_a_call_over_http_may_be_larger_than_a_body(chroma_http_url: str) -> None:
    """3.7 A server refuses bodies above 40 MB; this call sends 50 MB of vectors and of documents."""
    with vk.connect(f"chroma+{chroma_http_url}") as store:
        collection = store.create_collection("large-bodies", dimension=16_000)
        vectors = np.random.default_rng(8).normal(size=(500, 16_000)).astype(np.float32)
        ids = [f"{n:03}" for n in range(500)]
        collection.add(ids=ids, embeddings=vectors, metadatas=[{"text": "\u2028" * 3000} for _ in ids])
        assert collection.count() == 500
        assert collection.search(vectors[321], k=1)[0].id == "321"
        store.drop_collection("large-bodies")
