"""Collections that others made in Chroma: with its own client, with LangChain, with LlamaIndex; by the real ones."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import VectorStoreQuery
from llama_index.vector_stores.chroma import (  # pyright: ignore[reportMissingTypeStubs]
    ChromaVectorStore,
)

import vectorkit as vk
from vectorkit.backend.requests import Read
from vectorkit.embedders import HashEmbedder
from vectorkit.transfer.opening import open_source
from vectorkit_chroma import ChromaBackend

DIMENSION = 16


class Hashed(Embeddings):
    """Vectors for LangChain that need no model."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [vector.tolist() for vector in HashEmbedder(DIMENSION).embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    client: Any = chromadb.PersistentClient(str(tmp_path / "chroma"), settings=Settings(anonymized_telemetry=False))
    yield client
    client.close()


@pytest.fixture
def source(client: Any) -> vk.VectorStore:
    return vk.VectorStore(ChromaBackend(client=client))


@pytest.fixture(params=["memory", "chroma", "postgres"])
def target(
    request: pytest.FixtureRequest, tmp_path: Path, make_postgres: Callable[[], str]
) -> Iterator[vk.VectorStore]:
    urls = {"memory": lambda: "memory:", "chroma": lambda: f"chroma:{tmp_path / 'target'}", "postgres": make_postgres}
    with vk.connect(urls[request.param]()) as store:
        yield store


def fill(collection: Any, count: int = 30) -> None:
    collection.add(
        ids=[f"id {n}" for n in range(count)],
        documents=[f"text {n}" for n in range(count)],
        metadatas=[
            {"n": n, "share": n / 7, "yes": n % 2 == 0, "tags": ["a", "b"], "when": "2024"} for n in range(count)
        ],
        embeddings=np.random.default_rng(1).normal(size=(count, DIMENSION)).astype(np.float32),
    )


def test_what_chromadbs_own_client_made_is_copied_exactly(
    client: Any, source: vk.VectorStore, target: vk.VectorStore
) -> None:
    raw = client.create_collection("raw", embedding_function=None)
    fill(raw)
    raw.add(ids=["bare"], embeddings=[[0.5] * DIMENSION])
    (copied,) = vk.copy(source, target).collections
    assert (copied.written, copied.skipped) == (31, 0)
    held = target.get_collection("raw")
    assert (held.info().metric, held.info().dimension) == ("l2", DIMENSION)
    theirs = raw.get(include=["documents", "metadatas", "embeddings"])
    for id, document, metadata, vector in zip(
        theirs["ids"], theirs["documents"], theirs["metadatas"], theirs["embeddings"], strict=True
    ):
        (record,) = held.get([id], include_embeddings=True)
        assert record.document == document
        assert json.dumps(record.metadata, sort_keys=True) == json.dumps(metadata or {}, sort_keys=True)
        assert np.asarray(record.embedding).tobytes() == vector.astype(np.float32).tobytes()
    assert any("squared l2" in remark for remark in copied.remarks)
    assert vk.copy(source, target).collections[0].written == 0


def test_squared_l2_of_chroma_is_l2_in_the_same_order(client: Any, source: vk.VectorStore) -> None:
    raw = client.create_collection("raw", embedding_function=None)
    fill(raw)
    query = np.random.default_rng(2).normal(size=DIMENSION).astype(np.float32)
    with vk.connect("memory:") as target:
        vk.copy(source, target)
        hits = target.get_collection("raw").search(query, k=10)
        found = raw.query(query_embeddings=[query], n_results=10)
    assert [hit.id for hit in hits] == found["ids"][0]
    np.testing.assert_allclose([hit.distance or 0 for hit in hits], np.sqrt(found["distances"][0]), rtol=1e-5)


@pytest.mark.parametrize("space", ["cosine", "ip"])
@pytest.mark.parametrize("way", ["configuration", "metadata"])
def test_any_space_however_it_was_set_is_the_metric(client: Any, source: vk.VectorStore, space: str, way: str) -> None:
    settings: dict[str, Any] = (
        {"configuration": {"hnsw": {"space": space}}} if way == "configuration" else {"metadata": {"hnsw:space": space}}
    )
    fill(client.create_collection("raw", embedding_function=None, **settings))
    with vk.connect("memory:") as target:
        vk.copy(source, target)
        assert target.get_collection("raw").info().metric == space


def test_what_langchain_made_is_copied_exactly(client: Any, source: vk.VectorStore, target: vk.VectorStore) -> None:
    configuration: Any = {"hnsw": {"space": "cosine"}}
    chain = Chroma(
        client=client,
        collection_name="langchain",
        embedding_function=Hashed(),
        collection_configuration=configuration,
    )
    texts = [f"page {n} about {'cats' if n % 2 else 'dogs'}" for n in range(20)]
    chain.add_documents(
        [Document(text, metadata={"source": f"{n}.pdf", "page": n}) for n, text in enumerate(texts)],
        ids=[f"doc-{n}" for n in range(20)],
    )
    vk.copy(source, target)
    held = target.get_collection("langchain")
    assert held.info().metric == "cosine"
    found: dict[str, Any] = {record.id: (record.document, record.metadata) for record in held.get()}
    assert found == {f"doc-{n}": (text, {"source": f"{n}.pdf", "page": n}) for n, text in enumerate(texts)}
    query = Hashed().embed_query("page 3 about cats")
    where: Any = {"page": {"$gte": 3}}
    theirs = chain.similarity_search_by_vector(query, k=1, filter=where)
    (ours,) = held.search(query, k=1, where=where)
    assert (ours.document, ours.metadata) == (theirs[0].page_content, theirs[0].metadata)


def test_what_llama_index_made_is_copied_exactly(client: Any, source: vk.VectorStore, target: vk.VectorStore) -> None:
    raw = client.create_collection("llama", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    index: Any = ChromaVectorStore(chroma_collection=raw)
    vectors = Hashed().embed_documents([f"node {n}" for n in range(20)])
    index.add(
        [
            TextNode(id_=f"node-{n}", text=f"node {n}", metadata={"page": n, "kind": "text"}, embedding=vector)
            for n, vector in enumerate(vectors)
        ]
    )
    vk.copy(source, target)
    held = target.get_collection("llama")
    theirs = raw.get(include=["documents", "metadatas"])
    assert {record.id: (record.document, record.metadata) for record in held.get()} == {
        id: (document, metadata)
        for id, document, metadata in zip(theirs["ids"], theirs["documents"], theirs["metadatas"], strict=True)
    }
    assert json.loads(str(held.get(["node-3"])[0].metadata["_node_content"]))["id_"] == "node-3"
    found = index.query(VectorStoreQuery(query_embedding=vectors[3], similarity_top_k=1))
    assert found.ids == [hit.id for hit in held.search(vectors[3], k=1)] == ["node-3"]


def test_a_name_that_the_rules_forbid_gets_one_that_they_allow(client: Any, source: vk.VectorStore) -> None:
    long = "x" * 100
    for name in ("my.docs.v2", long):
        fill(client.create_collection(name, embedding_function=None), 3)
    with vk.connect("memory:") as target:
        report = vk.copy(source, target)
        named = {each.name: each.target_name for each in report.collections}
        assert named["my.docs.v2"] == "my-docs-v2"
        assert named[long].startswith("x" * 39 + "-")
        vk.copy(source, target, collections=["my.docs.v2"], names={"my.docs.v2": "docs"})
        assert [info.name for info in target.list_collections()] == sorted(["docs", *named.values()])


def test_two_names_that_become_the_same_are_asked_for(client: Any, source: vk.VectorStore) -> None:
    for name in ("my.docs", "my-docs"):
        fill(client.create_collection(name, embedding_function=None), 3)
    with vk.connect("memory:") as target:
        with pytest.raises(vk.InvalidNameError, match="would both be called 'my-docs'"):
            vk.copy(source, target)
        vk.copy(source, target, names={"my.docs": "other"})
        assert [info.name for info in target.list_collections()] == ["my-docs", "other"]


def test_what_a_target_cannot_hold_of_it_is_put_aside(client: Any, source: vk.VectorStore, tmp_path: Path) -> None:
    raw = client.create_collection("raw", embedding_function=None)
    fill(raw, 5)
    raw.add(ids=["zero"], embeddings=[[0.0] * DIMENSION], metadatas=[{"_vk": "reserved"}])
    with vk.connect("memory:") as target:
        with pytest.raises(vk.InvalidMetadataError, match=r"'zero'.*_vk.*skip_bad"):
            vk.copy(source, target)
        report = vk.copy(source, target, skip_bad=tmp_path / "bad.jsonl")
        assert not report.complete
        assert target.get_collection("raw").count() == 5
    (line,) = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert (line["id"], line["metadata"]) == ("zero", {"_vk": "reserved"})


def test_an_empty_one_has_no_dimension_and_nothing_to_copy(client: Any, source: vk.VectorStore) -> None:
    client.create_collection("raw", embedding_function=None)
    with vk.connect("memory:") as target:
        (copied,) = vk.copy(source, target).collections
        assert copied.written == 0
        assert "nothing to copy" in copied.remarks[-1]
        assert target.list_collections() == []


def test_they_are_listed_with_ours_and_stay_closed_to_ordinary_use(client: Any, source: vk.VectorStore) -> None:
    raw = client.create_collection("theirs", metadata={"hnsw:space": "cosine"}, embedding_function=None)
    fill(raw)
    source.create_collection("ours", dimension=2)
    with open_source(source) as opened:
        assert [(each.name, each.foreign, each.count) for each in opened.contents()] == [
            ("ours", False, 0),
            ("theirs", True, 30),
        ]
        assert opened.content("theirs").identity == str(raw.id)
        assert [record.id for record in opened.get("theirs", ["id 7", "none", "id 1"])] == ["id 7", "id 1"]
        pages = list(opened.read("theirs", after="id 5", batch_size=2))
        assert [record.id for page in pages for record in page] == ["id 6", "id 7", "id 8", "id 9"]
        assert [len(page) for page in pages] == [2, 2]
        with pytest.raises(vk.CollectionNotFoundError):
            opened.content("none")
    assert [info.name for info in source.list_collections()] == ["ours"]
    with pytest.raises(vk.CollectionMismatchError, match="not made by vectorkit"):
        source.get_collection("theirs")


def test_what_others_made_is_no_target(client: Any, source: vk.VectorStore) -> None:
    fill(client.create_collection("theirs", embedding_function=None))
    with vk.connect("memory:") as other:
        other.create_collection("theirs", dimension=DIMENSION, metric="l2").upsert(ids=["x"], embeddings=[[1] * 16])
        with pytest.raises(vk.CollectionMismatchError, match="not made by vectorkit"):
            vk.copy(other, source)
    assert client.get_collection("theirs", embedding_function=None).count() == 30


def test_uris_are_kept_in_the_metadata(client: Any, source: vk.VectorStore, tmp_path: Path) -> None:
    """As of images; where the key is taken, the record is put aside whole, and neither value is lost."""
    made = client.create_collection("images", embedding_function=None)
    made.add(
        ids=["1", "2", "3"],
        uris=["s3://b/cat.png", "s3://b/dog.png", "s3://b/cow.png"],
        embeddings=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
        metadatas=[{"kind": "cat"}, {"uri": "s3://b/dog.png"}, {"uri": "mine"}],
    )
    made.add(ids=["0"], embeddings=[[1.0, 2.0]])
    target, aside = vk.MemoryBackend(), tmp_path / "aside.jsonl"
    with pytest.raises(vk.InvalidMetadataError, match="'chroma:uri'"):
        vk.copy(source, target)
    report = vk.copy(source, target, skip_bad=aside)
    assert any("kept in the metadata, under the key 'uri'" in remark for remark in report.collections[0].remarks)
    assert [(each.id, each.metadata) for each in target.get(target.open_collection("images"), Read())] == [
        ("0", {}),
        ("1", {"kind": "cat", "uri": "s3://b/cat.png"}),
        ("2", {"uri": "s3://b/dog.png"}),
    ]
    assert json.loads(aside.read_text())["metadata"] == {"uri": "mine", "chroma:uri": "s3://b/cow.png"}
    assert {each.code for each in vk.lint(source).findings} >= {"uris", "key"}
    check = vk.verify(source, target).collections[0]
    assert any("URIs" in remark for remark in check.remarks)
    assert check.differences == {"count": 1, "missing": 1}
