"""Exact search without reading the vectors, and what may go wrong with that."""

from collections.abc import Iterator

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.types import FloatArray


@pytest.fixture
def stores() -> Iterator[tuple[vk.VectorStore, vk.VectorStore]]:
    """Chroma and the reference."""
    with vk.connect("chroma:") as store, vk.connect("memory:") as reference:
        yield store, reference


def both(
    stores: tuple[vk.VectorStore, vk.VectorStore],
    metric: vk.Metric,
    vectors: FloatArray,
) -> tuple[vk.Collection, vk.Collection]:
    collections = [store.create_collection("docs", dimension=vectors.shape[1], metric=metric) for store in stores]
    for collection in collections:
        collection.add(ids=[f"{n:05}" for n in range(len(vectors))], embeddings=vectors)
    return collections[0], collections[1]


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("exact", [None, True, False])
def test_records_that_the_graph_cannot_reach_are_found(
    stores: tuple[vk.VectorStore, vk.VectorStore], metric: vk.Metric, exact: bool | None
) -> None:
    """6.1 With 900 equal vectors among 1,000, Chroma cannot reach most of the collection at any setting."""
    random = np.random.default_rng(4)
    vectors = np.tile(random.normal(size=16), (1000, 1))
    vectors[::10] = random.normal(size=(100, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    chroma, reference = both(stores, metric, vectors)
    for query in (vectors[0], vectors[1], vectors[500]):
        assert len(chroma.search(query, k=1000, exact=exact)) == 1000
        if exact is not False:
            expected = reference.search(query, k=30)
            found = chroma.search(query, k=30, exact=exact)
            assert [hit.id for hit in found] == [hit.id for hit in expected]
            assert np.allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-6)


def test_a_huge_vector_does_not_hide_in_the_errors_of_the_index(
    stores: tuple[vk.VectorStore, vk.VectorStore],
) -> None:
    """6.7 Under `ip` an index's error grows with a vector's norm, which its distances do not show."""
    random = np.random.default_rng(5)
    vectors = random.normal(size=(300, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[0].copy()
    across = random.normal(size=(20, 8))
    across -= np.outer(across @ query, query)
    vectors[100:120] = across * 1e9 + query * 0.9
    chroma, reference = both(stores, "ip", vectors.astype(np.float32))
    for k in (1, 3, 10, 300):
        found, expected = chroma.search(query, k=k), reference.search(query, k=k)
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        assert [hit.score for hit in found] == [hit.score for hit in expected]


def test_tiny_inner_products_keep_their_order(stores: tuple[vk.VectorStore, vk.VectorStore]) -> None:
    """6.7 Chroma computes `1 - a·b` in float32: to it, all products below 6e-8 are equal."""
    vectors = np.array([[1e-6 * n, 1e-6] for n in range(1, 40)], dtype=np.float32)
    chroma, reference = both(stores, "ip", vectors)
    for exact in (None, False):
        found = chroma.search([1e-6, 0], k=39, exact=exact)
        assert [hit.id for hit in found] == [hit.id for hit in reference.search([1e-6, 0], k=39)]
        assert found[0].score == pytest.approx(3.9e-11, rel=1e-6)


def test_an_update_moves_a_vector_over_norm_one_and_back(stores: tuple[vk.VectorStore, vk.VectorStore]) -> None:
    """6.7 Rows of large vectors are marked in a collection of inner products, by every way of writing."""
    chroma, reference = both(stores, "ip", np.eye(4, dtype=np.float32))
    for vector in ([0, 50, 0, 0], [0, 0.5, 0, 0]):
        for collection in (chroma, reference):
            collection.update(ids=["00001"], embeddings=[vector], metadatas=[{"k": 1}])
            collection.update(ids=["00001"], metadatas=[{"k": 2}])
        assert chroma.search([1, 1, 1, 1], k=4) == reference.search([1, 1, 1, 1], k=4)


def test_asking_for_more_than_sqlite_has_variables_for(stores: tuple[vk.VectorStore, vk.VectorStore]) -> None:
    """6.1 k beyond 32,766, on Chroma an error of SQLite, and many queries whose hits together are more than that."""
    vectors = np.random.default_rng(6).normal(size=(2500, 4)).astype(np.float32)
    chroma, _ = both(stores, "l2", vectors)
    assert len(chroma.search([0, 0, 0, 0], k=40_000)) == 2500
    assert [len(hits) for hits in chroma.search_many(vectors[:40], k=1000)] == [1000] * 40
