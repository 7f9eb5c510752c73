"""Text search on Chroma: in step with whoever writes, over HTTP, too, and invisible to the caller."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import pytest
from chromadb.config import Settings

import vectorkit as vk
from vectorkit_chroma.records import stamps
from vectorkit_chroma.records.stamps import Stamps, newer, ticks


@pytest.fixture
def server(chroma_http_url: str) -> Iterator[vk.VectorStore]:
    with vk.connect(f"chroma+{chroma_http_url}") as store:
        yield store
        for collection in store.list_collections():
            store.drop_collection(collection.name)


def filled(store: vk.VectorStore, count: int = 20) -> vk.Collection:
    docs = store.create_collection("docs", dimension=2, text_index=True, language="none")
    docs.add(
        ids=[f"{at:03}" for at in range(count)],
        documents=[f"word{at} common" for at in range(count)],
        embeddings=[[1, at] for at in range(count)],
        metadatas=[{"at": at} for at in range(count)],
    )
    return docs


def found(docs: vk.Collection, query: str) -> dict[str, float]:
    return {hit.id: hit.score for hit in docs.search(query, 10_000, mode="text")}


def reference(docs: vk.Collection, query: str) -> Any:
    """What the reference finds among the records as they are now."""
    copy = vk.connect("memory:").create_collection("docs", dimension=2, text_index=True, language="none")
    copy.add(records=docs.get(include_embeddings=True))
    return pytest.approx(found(copy, query), abs=1e-9)


@pytest.fixture
def raw_client(chroma_http_url: str) -> Iterator[Any]:
    """A client of chromadb's own. Its `close` leaves sockets open, for the collector to find in some later test."""
    parts = urlsplit(chroma_http_url)
    settings = Settings(anonymized_telemetry=False)
    client: Any = chromadb.HttpClient(str(parts.hostname), parts.port or 80, settings=settings)
    yield client
    for server in (client._server, client._admin_client._server):  # each connects on its own
        server._session.close()
    client.close()


def test_many_stores_write_to_one_server_and_each_search_sees_it_all(
    server: vk.VectorStore, chroma_http_url: str
) -> None:
    """7.2 Writers that work at the same moment, while another one searches; then all agree with what is stored."""
    docs = filled(server)
    stores = [vk.connect(f"chroma+{chroma_http_url}") for _ in range(3)]

    def write(number: int) -> None:
        own = stores[number].get_collection("docs")
        for turn in range(6):
            id = f"{(7 * number + turn) % 20:03}"
            own.upsert(ids=[id, f"w{number}{turn}"], documents=[f"common by{number}"] * 2, embeddings=[[1, 1]] * 2)
            assert f"w{number}{turn}" in found(own, f"by{number}")
            if turn % 2:
                own.delete([f"w{number}{turn}"])
                assert f"w{number}{turn}" not in found(own, f"by{number}")

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(3)]
        while not all(each.done() for each in writing):
            assert docs.search("common", mode="text")
        for each in writing:
            each.result()
    for query in ("common", "by0", "by1 word3", "by2"):
        expected = reference(docs, query)
        for collection in (docs, *(store.get_collection("docs") for store in stores)):
            assert found(collection, query) == expected, query
    for store in stores:
        store.close()


def test_as_many_added_as_deleted_by_another_is_noticed(server: vk.VectorStore, chroma_http_url: str) -> None:
    """7.2 The number of records alone would not tell."""
    docs = filled(server)
    assert len(found(docs, "common")) == 20
    with vk.connect(f"chroma+{chroma_http_url}") as other:
        theirs = other.get_collection("docs")
        theirs.delete(["003", "004"])
        theirs.add(ids=["new", "none"], documents=["common", None], embeddings=[[1, 1]] * 2)
        assert found(docs, "common") == reference(docs, "common")
        theirs.delete(["new"])
        docs.add(ids=["newer"], documents=["common"], embeddings=[[1, 1]])
        assert found(docs, "common") == found(theirs, "common") == reference(docs, "common")


def test_rows_without_a_stamp_are_read_at_every_search(server: vk.VectorStore, raw_client: Any) -> None:
    """7.1 Those of an earlier version: they cost time, never a right answer."""
    docs = filled(server)
    assert len(found(docs, "common")) == 20
    raw = raw_client.get_collection("docs", embedding_function=None)
    (row,) = raw.get(ids=["003"], include=["metadatas"])["metadatas"]
    bare = {key: None for key in row if key.startswith(("_vkw", "_vkq"))}
    assert len(bare) == 2
    raw.update(ids=["003"], metadatas=[bare], documents=["rare"], embeddings=[[1, 1]])
    for word in ("rarer", "rarest"):
        assert len(found(docs, "common")) == 19
        raw.update(ids=["003"], documents=[word], embeddings=[[1, 1]])
        assert list(found(docs, word)) == ["003"]


def test_more_writers_than_can_be_asked_about_make_a_search_read_everything(
    server: vk.VectorStore, chroma_http_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "MAX_WRITERS", 2)
    docs = filled(server)
    for at in range(4):
        with vk.connect(f"chroma+{chroma_http_url}") as other:
            other.get_collection("docs").upsert(ids=[f"{at:03}"], documents=["common rare"], embeddings=[[1, 1]])
        assert found(docs, "common rare") == reference(docs, "common rare")


def test_a_call_that_failed_and_is_carried_out_later_is_seen() -> None:
    """A writer is another one after a failure: rows that turn up late are newer than any clock."""
    stamps = Stamps(exclusive=False)
    first, late = stamps.next(), stamps.next()
    stamps.renew()
    after = stamps.next()
    clock = {**ticks(first), **ticks(after)}
    assert ticks(late).keys() == ticks(first).keys() != ticks(after).keys()
    ((writer, tick),) = ticks(late).items()
    assert tick > clock[writer]
    assert {f"_vkq:{writer}": {"$gt": clock[writer]}} in (newer(clock) or {})["$or"]
    assert newer({}) is None


def test_what_is_stored_for_text_search_is_invisible(server: vk.VectorStore) -> None:
    """2.5 In metadata, whichever way it is read, in filters, and in what a merge keeps."""
    docs = filled(server)
    docs.update(ids=["001"], metadatas=[{"more": 1.5}], merge=True)
    assert docs.get(["001"])[0].metadata == {"at": 1, "more": 1.5}
    assert docs.search("word1", mode="text")[0].metadata == {"at": 1, "more": 1.5}
    assert next(docs.scan()).metadata == {"at": 0}
    with pytest.raises(vk.InvalidFilterError):
        docs.count({"_vkw": {"$exists": True}})
    assert docs.count({"$not": {"at": {"$exists": True}}}) == 0


@pytest.mark.parametrize("kind", ["memory", "http"])
def test_a_document_of_ten_megabytes_is_written_and_found(
    kind: str, chroma_http_url: str, server: vk.VectorStore
) -> None:
    """7.1 It holds 100,000 different words: more than Chroma takes elements in a record, which breaks a collection."""
    with vk.connect("chroma:") as memory:
        docs = filled(memory if kind == "memory" else server)
        text = " ".join(f"w{at % 100_000:05}" for at in range(1_400_000))
        docs.add(ids=["long"], documents=[text], embeddings=[[1, 1]])
        assert list(found(docs, "w00007")) == ["long"]
        assert docs.get(["long"])[0].document == text
        assert len(found(docs, "common")) == 20


def test_a_folder_that_is_served_later_keeps_its_words(tmp_path: Path) -> None:
    """7.1 Of one process after another, each with what the one before wrote."""
    for turn in range(3):
        with vk.connect(f"chroma:{tmp_path / 'kb'}") as store:
            docs = filled(store) if turn == 0 else store.get_collection("docs")
            docs.upsert(ids=[f"{turn:03}", f"new{turn}"], documents=["rare", "common"], embeddings=[[1, 1]] * 2)
            docs.delete([f"{turn + 10:03}"])
            assert found(docs, "common rare") == reference(docs, "common rare")


def test_hybrid_search_by_the_index_gives_every_candidate_both_scores(server: vk.VectorStore) -> None:
    """7.3 Above 2,000 records the vectors' side is approximate; distances and text scores are right all the same."""
    docs = server.create_collection("large", dimension=8, text_index=True, language="none")
    copy = vk.connect("memory:").create_collection("large", dimension=8, text_index=True, language="none")
    vectors = [[float((at * 7 + part * 13) % 31 - 15.5) for part in range(8)] for at in range(2500)]
    for each in (docs, copy):
        each.add(
            ids=[f"{at:04}" for at in range(2500)],
            documents=[f"w{at % 50} common" for at in range(2500)],
            embeddings=vectors,
        )
    query: dict[str, Any] = {"mode": "hybrid", "vector": [1.0] * 8, "k": 20}
    every: dict[str, Any] = {**query, "k": 2500}
    everything = {hit.id: hit for hit in copy.search("w7", **every)}
    for exact in (None, False, True):
        hits = docs.search("w7", **query, exact=exact)
        assert len(hits) == 20
        for hit in hits:
            assert hit.score == pytest.approx(everything[hit.id].score, abs=1e-6)
            assert hit.distance == pytest.approx(everything[hit.id].distance, abs=1e-6)
    assert [hit.id for hit in hits] == [hit.id for hit in copy.search("w7", **query)]
