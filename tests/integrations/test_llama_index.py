import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.schema import ImageNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit.integrations.llama_index import VectorKitEmbedding, VectorKitVectorStore

EMBEDDER = HashEmbedder(dimension=64)
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a": ("how neural networks learn", {"lang": "en", "year": 2020, "tags": ["ml", "nets"]}),
    "b": ("wie neuronale Netze lernen", {"lang": "de", "year": 2021, "tags": ["ml"]}),
    "c": ("cooking pasta for a crowd", {"year": 2022, "tags": []}),
    "d": ("networks of rivers", {"lang": "en", "year": 2023.5, "lead": ""}),
}


def nodes() -> list[TextNode]:
    made: list[TextNode] = []
    for id, (text, metadata) in TEXTS.items():
        node = TextNode(id_=id, text=text, metadata=metadata, embedding=EMBEDDER.embed_query(text).tolist())
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc-{id}")
        made.append(node)
    return made


@pytest.fixture
def store(url: str, name: str) -> Iterator[VectorKitVectorStore]:
    opened = VectorKitVectorStore.from_url(url, EMBEDDER, collection_name=name, text_index=True)
    opened.add(nodes())
    yield opened
    opened.close()


def query(text: str, **options: Any) -> VectorStoreQuery:
    return VectorStoreQuery(
        query_embedding=EMBEDDER.embed_query(text).tolist(), query_str=text, similarity_top_k=4, **options
    )


def test_nodes_come_back_whole(store: VectorKitVectorStore) -> None:
    whole = {node.node_id: node for node in nodes()}
    for node in store.get_nodes():
        expected = whole.pop(node.node_id)
        expected.embedding = None
        assert node.to_dict() == expected.to_dict()
    assert not whole


def test_an_image_node_comes_back_as_one(store: VectorKitVectorStore) -> None:
    node = ImageNode(id_="i", text="a cat", image="aGk=", embedding=EMBEDDER.embed_query("cat").tolist())
    store.add([node])
    (found,) = store.get_nodes(["i"])
    assert isinstance(found, ImageNode)
    assert found.image == "aGk="


def test_similarities_are_the_collections_scores(store: VectorKitVectorStore) -> None:
    result = store.query(query("networks learn"))
    hits = store.client.search("networks learn", 4)
    assert (result.ids, result.similarities) == ([hit.id for hit in hits], [hit.score for hit in hits])


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("lang", FilterOperator.EQ, "en", "ad"),
        ("lang", FilterOperator.NE, "en", "bc"),
        ("year", FilterOperator.GT, 2021, "cd"),
        ("year", FilterOperator.GTE, 2021, "bcd"),
        ("year", FilterOperator.LT, 2021, "a"),
        ("year", FilterOperator.LTE, 2021, "ab"),
        ("lang", FilterOperator.IN, ["de", "fr"], "b"),
        ("lang", FilterOperator.NIN, ["de", "fr"], "acd"),
        ("tags", FilterOperator.CONTAINS, "ml", "ab"),
        ("tags", FilterOperator.ANY, ["nets", "x"], "a"),
        ("tags", FilterOperator.ALL, ["ml", "nets"], "a"),
        ("tags", FilterOperator.IS_EMPTY, None, "cd"),
        ("lead", FilterOperator.IS_EMPTY, None, "abcd"),
    ],
)
def test_operators_mean_the_same_everywhere(
    store: VectorKitVectorStore, key: str, operator: FilterOperator, value: Any, expected: str
) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])
    assert "".join(node.node_id for node in store.get_nodes(filters=filters)) == expected
    result = store.query(query("networks", filters=filters))
    assert sorted(result.ids or []) == list(expected)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [(FilterCondition.AND, "a"), (FilterCondition.OR, "abd"), (FilterCondition.NOT, "c")],
)
def test_conditions_nest(store: VectorKitVectorStore, condition: FilterCondition, expected: str) -> None:
    inner = MetadataFilters(filters=[MetadataFilter(key="year", operator=FilterOperator.LTE, value=2021)])
    filters = MetadataFilters(filters=[MetadataFilter(key="lang", value="en"), inner], condition=condition)
    assert "".join(node.node_id for node in store.get_nodes(filters=filters)) == expected


def test_query_modes(store: VectorKitVectorStore) -> None:
    assert store.query(query("rivers", mode=VectorStoreQueryMode.TEXT_SEARCH)).ids == ["d"]
    hybrid = store.query(query("rivers", mode=VectorStoreQueryMode.HYBRID, alpha=0.1)).ids or []
    assert hybrid[0] == "d"
    diverse = store.query(query("networks", mode=VectorStoreQueryMode.MMR, mmr_threshold=0.1)).ids or []
    assert sorted(diverse) == ["a", "b", "c", "d"]
    with pytest.raises(vk.UnsupportedError, match="svm"):
        store.query(query("networks", mode=VectorStoreQueryMode.SVM))


def test_a_query_can_be_restricted_to_nodes(store: VectorKitVectorStore) -> None:
    assert sorted(store.query(query("networks", node_ids=["b", "c"])).ids or []) == ["b", "c"]
    assert store.query(query("networks", doc_ids=["doc-d"])).ids == ["d"]


def test_deleting(store: VectorKitVectorStore) -> None:
    store.delete("doc-a")
    assert store.client.count() == 3
    store.delete_nodes(["b"], MetadataFilters(filters=[MetadataFilter(key="lang", value="en")]))
    assert store.client.count() == 3
    store.delete_nodes(["b"])
    assert store.client.count() == 2
    store.clear()
    assert store.client.count() == 0


def test_everything_can_be_awaited(store: VectorKitVectorStore) -> None:
    async def run() -> None:
        assert (await store.aquery(query("networks"))).ids
        assert len(await store.aget_nodes(["a"])) == 1
        await store.adelete("doc-a")
        await store.async_add(nodes()[:1])
        await store.adelete_nodes(["b"])
        assert store.client.count() == 3
        await store.aclear()

    asyncio.run(run())
    assert store.client.count() == 0


def test_an_index_is_built_and_asked(url: str, name: str) -> None:
    store = VectorKitVectorStore.from_url(url, VectorKitEmbedding(EMBEDDER), collection_name=name)
    index = VectorStoreIndex.from_documents(
        [Document(text=text, metadata=dict(metadata), id_=f"doc-{id}") for id, (text, metadata) in TEXTS.items()],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=VectorKitEmbedding(EMBEDDER),
    )
    found = index.as_retriever(similarity_top_k=4).retrieve("networks of rivers")
    assert sorted(each.node.get_content() for each in found) == sorted(text for text, _ in TEXTS.values())
    index.delete_ref_doc("doc-d")
    assert store.client.count() == 3
    store.close()


def test_a_node_without_an_embedding_is_refused() -> None:
    with vk.connect("memory:") as opened:
        store = VectorKitVectorStore(opened.create_collection("docs", dimension=2))
        with pytest.raises(vk.InvalidArgumentError, match="must have an embedding"):
            store.add([TextNode(id_="x", text="t")])
