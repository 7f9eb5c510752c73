import os
from collections.abc import Iterator
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

import pytest
from haystack import Document, Pipeline
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing import document_store as sync
from haystack.testing import document_store_async as asynchronous
from haystack.utils import Secret

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit.integrations.haystack import (
    VectorKitDocumentEmbedder,
    VectorKitDocumentStore,
    VectorKitEmbeddingRetriever,
    VectorKitHybridRetriever,
    VectorKitKeywordRetriever,
    VectorKitTextEmbedder,
)

EXTENDED = (
    sync.DocumentStoreBaseExtendedTests,
    sync.CountDocumentsByFilterTest,
    sync.CountUniqueMetadataByFilterTest,
    sync.GetMetadataFieldsInfoTest,
    sync.GetMetadataFieldMinMaxTest,
    sync.GetMetadataFieldUniqueValuesTest,
)
ASYNCHRONOUS = tuple(
    value for name, value in vars(asynchronous).items() if name.endswith("AsyncTest") and isinstance(value, type)
)


class TestStandardSuites(*EXTENDED, *ASYNCHRONOUS):  # type: ignore[misc]
    @pytest.fixture
    def document_store(self, url: str, name: str) -> Iterator[VectorKitDocumentStore]:
        store = VectorKitDocumentStore(url, collection_name=name, dimension=768)
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """Documents come in order of id, and embeddings are kept as float32: Haystack compares lists of float64."""
        by_id = sorted(expected, key=lambda document: document.id)
        assert [document.id for document in received] == [document.id for document in by_id]
        for one, other in zip(received, by_id, strict=True):
            assert (one.content, one.meta, one.blob) == (other.content, other.meta, other.blob)
            if other.embedding is None:
                assert one.embedding is None
            else:
                assert one.embedding == pytest.approx(other.embedding, abs=1e-6)

    def test_write_documents(self, document_store: VectorKitDocumentStore) -> None:
        """Every store must override this one: by default a stored id is refused."""
        document = Document(content="text")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])

    async def test_write_documents_async(self, document_store: VectorKitDocumentStore) -> None:
        """Every store must override this one too."""
        document = Document(content="text")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


EMBEDDER = HashEmbedder(dimension=64)
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a": ("how neural networks learn", {"lang": "en", "year": 2020}),
    "b": ("wie neuronale Netze lernen", {"lang": "de", "year": 2021}),
    "c": ("cooking pasta for a crowd", {"year": 2022}),
    "d": ("networks of rivers", {"lang": "en", "year": 2023.5}),
}


@pytest.fixture
def filled(url: str, name: str) -> Iterator[VectorKitDocumentStore]:
    store = VectorKitDocumentStore(url, collection_name=name, dimension=64)
    documents = [Document(id=id, content=text, meta=dict(meta)) for id, (text, meta) in TEXTS.items()]
    store.write_documents(VectorKitDocumentEmbedder(EMBEDDER).run(documents)["documents"])
    store.write_documents([Document(id="e", content="networks without a vector", meta={"lang": "en"})])
    yield store
    store.close()


def embedded(text: str) -> list[float]:
    vector: list[float] = VectorKitTextEmbedder(EMBEDDER).run(text)["embedding"]
    return vector


def test_scores_are_those_of_the_collection(filled: VectorKitDocumentStore) -> None:
    found = VectorKitEmbeddingRetriever(filled, top_k=3).run(embedded("networks learn"))["documents"]
    hits = filled.collection.search(EMBEDDER.embed_query("networks learn"), 3, where={"_haystack_unembedded": None})
    assert [(each.id, each.score) for each in found] == [(hit.id, hit.score) for hit in hits]
    assert found[0].meta == TEXTS[found[0].id][1]


def test_vectors_never_find_unembedded_documents(filled: VectorKitDocumentStore) -> None:
    found = VectorKitEmbeddingRetriever(filled, top_k=10).run(embedded("networks"))["documents"]
    assert sorted(each.id for each in found) == ["a", "b", "c", "d"]
    both = VectorKitHybridRetriever(filled, top_k=10).run("networks", embedded("networks"))["documents"]
    assert "e" not in [each.id for each in both]
    words = VectorKitKeywordRetriever(filled, top_k=10).run("networks")["documents"]
    assert sorted(each.id for each in words) == ["a", "d", "e"]
    assert filled.filter_documents({"field": "id", "operator": "==", "value": "e"})[0].embedding is None


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"field": "meta.lang", "operator": "!=", "value": "en"}, "bc"),
        ({"field": "meta.lang", "operator": "not in", "value": ["en", "de"]}, "c"),
        ({"field": "meta.year", "operator": ">", "value": 2021}, "cd"),
        ({"field": "year", "operator": "<=", "value": 2021.0}, "ab"),
        ({"field": "id", "operator": "in", "value": ["a", "e"]}, "ae"),
        ({"operator": "NOT", "conditions": [{"field": "meta.lang", "operator": "==", "value": "en"}]}, "bc"),
        ({"field": "meta.year", "operator": "==", "value": "2020"}, ""),
    ],
)
def test_filters_mean_the_same_everywhere(
    filled: VectorKitDocumentStore, filters: dict[str, Any], expected: str
) -> None:
    assert "".join(each.id for each in filled.filter_documents(filters)) == expected


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "content", "operator": "==", "value": "x"},
        {"field": "meta.a.b", "operator": "==", "value": 1},
        {"field": "meta.a", "operator": "~", "value": 1},
        {"field": "meta.a", "operator": "==", "value": [1]},
        {"operator": "XOR", "conditions": []},
        {"field": "meta.$a", "operator": "==", "value": 1},
    ],
)
def test_what_a_filter_cannot_say_is_refused(filters: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        VectorKitDocumentStore(dimension=2).filter_documents(filters)


def test_a_pipeline_survives_yaml(filled: VectorKitDocumentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTORKIT_TEST_STORE", "memory:")
    store = VectorKitDocumentStore(Secret.from_env_var("VECTORKIT_TEST_STORE"), dimension=64)
    pipeline = Pipeline()
    pipeline.add_component("retriever", VectorKitEmbeddingRetriever(store, top_k=2, filter_policy="merge"))
    text = pipeline.dumps()
    assert "memory:" not in text
    assert "type: vectorkit.integrations.haystack.document_store.VectorKitDocumentStore" in text
    loaded = Pipeline.loads(text, allowed_modules=["vectorkit.integrations.haystack.*"])
    assert loaded.dumps() == text
    retriever: Any = loaded.get_component("retriever")
    retriever.document_store.write_documents([Document(id="a", content="x", embedding=embedded("x"))])
    found = loaded.run({"retriever": {"query_embedding": embedded("x")}})["retriever"]["documents"]
    assert [each.id for each in found] == ["a"]


def test_a_token_is_never_serialised() -> None:
    store = VectorKitDocumentStore(Secret.from_token("postgresql://me:secret@localhost/db"))
    with pytest.raises(ValueError, match="Cannot serialize"):
        store.to_dict()
    assert "secret" not in repr(store)


def test_skip_keeps_the_first_and_overwrite_the_last() -> None:
    store = VectorKitDocumentStore(dimension=2)
    one, two = (Document(id="x", content=text, embedding=[1.0, 2.0]) for text in ("one", "two"))
    assert store.write_documents([one, two], DuplicatePolicy.SKIP) == 1
    assert store.filter_documents()[0].content == "one"
    assert store.write_documents([one, two], DuplicatePolicy.OVERWRITE) == 1
    assert store.filter_documents()[0].content == "two"


def test_another_embedder_is_refused(tmp_path: Any) -> None:
    url = f"chroma:{tmp_path / 'kb'}"
    first = VectorKitDocumentStore.from_url(url, EMBEDDER, collection_name="docs")
    assert first.count_documents() == 0
    first.close()
    with pytest.raises(vk.CollectionMismatchError):
        VectorKitDocumentStore.from_url(url, HashEmbedder(dimension=32), collection_name="docs").count_documents()
