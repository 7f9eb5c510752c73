"""Chroma's index is HNSW, with settings of its own names."""

from typing import Any

import chromadb
import pytest

from vectorkit import HNSW, IVFFlat, UnsupportedError, VectorStore
from vectorkit.indexes import Index
from vectorkit_chroma import ChromaBackend


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (HNSW(), (16, 100, 100)),  # Chroma's own defaults
        (HNSW(m=8, ef_construction=77, ef_search=55), (8, 77, 55)),
        (HNSW(ef_search=300), (16, 100, 300)),
    ],
)
def test_settings_that_are_given_are_chromas(index: Index, expected: tuple[int, int, int]) -> None:
    """1.2 And those left out are Chroma's defaults."""
    client = chromadb.EphemeralClient()
    name = f"docs-{'-'.join(map(str, expected))}"
    docs = VectorStore(ChromaBackend(client=client)).create_collection(name, dimension=2, index=index)
    docs.add(ids=["a", "b"], embeddings=[[1, 0], [0, 1]])
    assert [hit.id for hit in docs.search([1, 0.1], exact=False)] == ["a", "b"]
    made: dict[str, Any] = client.get_collection(name, embedding_function=None).configuration_json["hnsw"]
    assert (made["max_neighbors"], made["ef_construction"], made["ef_search"]) == expected
    client.delete_collection(name)


@pytest.mark.parametrize("index", [IVFFlat(), HNSW(quantization="half"), HNSW(quantization="binary")])
def test_an_index_that_chroma_does_not_have_is_refused(index: Index) -> None:
    """9.2 And what it has cannot be changed afterwards."""
    with VectorStore(ChromaBackend("chroma:")) as store:
        with pytest.raises(UnsupportedError, match="hnsw"):
            store.create_collection("docs", dimension=2, index=index)
        assert store.list_collections() == []
        with pytest.raises(UnsupportedError, match="create_collection"):
            store.create_collection("docs", dimension=2).create_index(HNSW(m=8))


def test_a_collection_of_an_earlier_release_opens(tmp_path: Any) -> None:
    """1.3 Its index is stored as a name."""
    with VectorStore(ChromaBackend(f"chroma:{tmp_path}")) as store:
        for name, index in (("docs", "hnsw"), ("bare", "none")):
            store.create_collection(name, dimension=2, index="hnsw" if index == "hnsw" else "none")
        assert store.get_collection("docs").info().spec.index == HNSW()
        assert store.get_collection("bare").info().spec.index is None
