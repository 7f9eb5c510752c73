import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit.integrations.langchain import VectorKitEmbeddings, VectorKitVectorStore


class TestStandardSuite(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, url: str, name: str) -> Iterator[VectorStore]:
        store = VectorKitVectorStore.from_url(url, self.get_embeddings(), collection_name=name, model="fake")
        yield store
        store.close()


EMBEDDER = HashEmbedder(dimension=64)
DOCUMENTS = [
    Document(id="a", page_content="how neural networks learn", metadata={"lang": "en", "year": 2020}),
    Document(id="b", page_content="wie neuronale Netze lernen", metadata={"lang": "de", "year": 2021}),
    Document(id="c", page_content="cooking pasta for a crowd", metadata={"year": 2022}),
    Document(id="d", page_content="networks of rivers", metadata={"lang": "en", "year": 2023.5}),
]


@pytest.fixture(params=["cosine", "l2", "ip"])
def filled(request: pytest.FixtureRequest, url: str, name: str) -> Iterator[VectorKitVectorStore]:
    store = VectorKitVectorStore.from_url(url, EMBEDDER, collection_name=name, metric=request.param, text_index=True)
    store.add_documents(DOCUMENTS)
    yield store
    store.close()


def test_scores_are_those_of_the_reference(filled: VectorKitVectorStore) -> None:
    metric = filled.collection.info().metric
    with vk.connect("memory:") as opened:
        reference = VectorKitVectorStore(opened.create_collection("docs", embedder=EMBEDDER, metric=metric))
        reference.add_documents(DOCUMENTS)
        for found, expected in zip(
            filled.similarity_search_with_score("networks learn", k=4),
            reference.similarity_search_with_score("networks learn", k=4),
            strict=True,
        ):
            assert found[0] == expected[0]
            assert found[1] == pytest.approx(expected[1], abs=1e-6)
        for found, expected in zip(
            filled.similarity_search_with_relevance_scores("networks learn", k=4),
            reference.similarity_search_with_relevance_scores("networks learn", k=4),
            strict=True,
        ):
            assert found[1] == pytest.approx(expected[1], abs=1e-6)
            assert 0 <= found[1] <= 1


def test_a_threshold_keeps_the_same_documents(filled: VectorKitVectorStore) -> None:
    scored = filled.similarity_search_with_relevance_scores("networks learn", k=4)
    threshold = (scored[0][1] + scored[1][1]) / 2
    retriever = filled.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": threshold}
    )
    assert [document.id for document in retriever.invoke("networks learn")] == [scored[0][0].id]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"lang": "en"}, "ad"),
        ({"lang": {"$ne": "en"}}, "bc"),
        ({"lang": {"$nin": ["en", "de"]}}, "c"),
        ({"lang": "en", "year": {"$gt": 2020}}, "d"),
        ({"$not": {"year": {"$gte": 2021, "$lte": 2022}}}, "ad"),
    ],
)
def test_filters_mean_the_same_everywhere(filled: VectorKitVectorStore, filter: dict[str, Any], expected: str) -> None:
    found = filled.similarity_search("networks", k=10, filter=filter)
    assert sorted(str(document.id) for document in found) == list(expected)


def test_every_search_type_retrieves(filled: VectorKitVectorStore) -> None:
    for kind in ("similarity", "mmr", "hybrid", "text"):
        retriever = filled.as_retriever(search_type=kind, search_kwargs={"k": 2, "filter": {"lang": "en"}})
        found = retriever.invoke("networks")
        assert sorted(str(document.id) for document in found) == ["a", "d"], kind
        assert asyncio.run(retriever.ainvoke("networks")) == found
    with pytest.raises(ValueError, match="not allowed"):
        filled.as_retriever(search_type="magic")


def test_maximal_marginal_relevance_needs_no_luck(filled: VectorKitVectorStore) -> None:
    nearest = filled.max_marginal_relevance_search("networks learn", k=2, lambda_mult=1.0)
    assert nearest == filled.similarity_search("networks learn", k=2)
    assert len(filled.max_marginal_relevance_search("networks", k=10, fetch_k=3)) == 3


def test_deleting_by_filter_and_all(filled: VectorKitVectorStore) -> None:
    filled.delete(filter={"lang": "en"})
    assert filled.collection.count() == 2
    filled.delete()
    assert filled.collection.count() == 0


def test_from_texts_opens_and_adds() -> None:
    store = VectorKitVectorStore.from_texts(
        ["one", "two"], VectorKitEmbeddings(EMBEDDER), [{"n": 1}, {"n": 2}], ids=["1", "2"]
    )
    assert [document.metadata for document in store.get_by_ids(["2", "1", "3"])] == [{"n": 2}, {"n": 1}]
    store.close()


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("similarity_search", {"query": "x", "filter": len}),
        ("similarity_search", {"query": "x", "filter": {"a": {"$regex": "x"}}}),
        ("similarity_search", {"query": "x", "kk": 3}),
        ("add_texts", {"texts": ["a", "b"], "metadatas": [{"n": 1}]}),
        ("add_texts", {"texts": ["a"], "bulk": True}),
    ],
)
def test_what_it_cannot_do_is_a_typed_error(method: str, arguments: dict[str, Any]) -> None:
    with vk.connect("memory:") as opened:
        store = VectorKitVectorStore(opened.create_collection("docs", embedder=EMBEDDER))
        with pytest.raises(vk.InvalidArgumentError):
            getattr(store, method)(**arguments)


def test_only_a_collection_becomes_a_store() -> None:
    with pytest.raises(vk.InvalidArgumentError, match="must be a vectorkit Collection"):
        VectorKitVectorStore(cast("vk.Collection", "docs"))
